#!/usr/bin/env bash
# mining.sh: the mining half of a network: a miner with a node's key, a stock miner and a node that mines by
# itself on one pool; blocks found, followed and paid by FPPS, 80/20, up to the outbox, where every sat can be
# recomputed; pool and source of blocks killed meanwhile; Stratum v1 refused (TST-17 and TST-18 up to the
# payment itself, SRS-POOL-02, SRS-POOL-04, SRS-POOL-07, SRS-POOL-08, SRS-SEC-16, SRS-NODE-13).
source "$(dirname "$0")/network.sh"

sql() { # sql QUERY [DATABASE]: the first value
    local psql
    psql=$(ls /usr/lib/postgresql/*/bin/psql | tail -n 1)
    "$psql" -h "$work/run/postgres" -U owm -d "${2:-owm_pool}" -AtqX -c "$1"
}

until_sql() { # until_sql SECONDS WHAT QUERY: until it says t
    local end=$((SECONDS + $1))
    until [ "$(sql "$3" 2>/dev/null)" = t ]; do
        [ "$SECONDS" -lt "$end" ] || fail "not within $1 s: $2"
        sleep 0.3
    done
    say "$2"
}

field() { # field FILE NAME: the newest value of a JSON field
    sed -n 's/.*"'"$2"'": *"\{0,1\}\([^,"}]*\).*/\1/p' "$1" | tail -n 1
}

shares_of() { echo "(SELECT coalesce(sum(shares), 0) FROM accounts WHERE $1)"; }

node_key() { # node_key ALIAS: as the coordinator registered it
    sql "SELECT public_key FROM nodes WHERE alias = '$1'" owm
}

up --nodes 1
await 60 "the network is up" '^node-1 '
url=$(grep -oE 'stratum2\+tcp://\S+' "$work/up.log" | head -n 1)
port=$(sed 's|.*:\([0-9]*\)/.*|\1|' <<<"$url")
page=$(sed -n 's|^ *page \(http://.*\)|\1|p' "$work/up.log")

# A second node, which mines by itself, and a stock miner, which has a name and no key.
mkdir "$work/run/node-2"
node_port=$((20000 + RANDOM % 10000))
sed -e 's/node-1/node-2/g' -e "s/^http_port = .*/http_port = $node_port/" "$work/run/node-1/owm.toml" \
    >"$work/run/node-2/owm.toml"
chmod 600 "$work/run/node-2/owm.toml" # It names a Bitcoin node, so it may hold a password.
cp "$work/run/shards/node-1.txt" "$work/run/shards/node-2.txt"
printf '\n[mining]\nenabled = true\npool_url = "%s"\ndevices = "cpu"\nintensity = 10\nwhile_busy = true\n' "$url" \
    >>"$work/run/node-2/owm.toml"
"$bin/owm-node" start --config "$work/run/node-2/owm.toml" >"$work/run/logs/node-2.log" 2>&1 &
others+=($!)
"$bin/owm-mine" --pool "$url" --user acme.rig-7 --device cpu --threads 1 --intensity 50 --json \
    >"$work/run/logs/stock.log" 2>&1 &
stock=$!
others+=("$stock")

# Stratum v1 is refused, and the log says so.
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf '{"id":1,"method":"mining.subscribe","params":[]}\n%200s\n' ' ' >&3
[ -z "$(timeout 10 cat <&3)" ] || fail "the pool answered Stratum v1"
exec 3>&-
grep -q 'stratum_v1_refused' "$work/run/logs/pool.log" || fail "no word on Stratum v1 in the pool's log"
say "Stratum v1 was refused, and the log says so"

one=$(node_key node-1)
until_sql 60 "the miner with node-1's key has shares" "SELECT $(shares_of "kind = 1 AND name = '$one'") > 0"
until_sql 60 "the stock miner has shares" "SELECT $(shares_of "kind = 0 AND name = 'acme'") > 0"
two=$(node_key node-2)
[ "$one" != "$two" ] || fail "two nodes have one key"
until_sql 60 "the node that mines has shares" "SELECT $(shares_of "kind = 1 AND name = '$two'") > 0"
curl -fsS "http://127.0.0.1:$node_port/health" | grep -qE '"proven": *true' ||
    fail "the pool did not check node-2's key"
[ "$(sql "SELECT count(*) FROM workers WHERE name = 'rig-7'")" = 1 ] || fail "worker rig-7 is missing"
until_sql 90 "a block was found, submitted, and is in the chain" \
    "SELECT count(*) > 0 FROM blocks JOIN block_submissions USING (hash) WHERE accepted AND fate = 'active'"

# The pool dies; the one after it goes on, and pays what is due at its start.
kill -9 "$(pid_of pool)"
await 30 "the pool was killed and started again" 'pool ended with signal 9'
until_sql 60 "the outbox has a batch of 80 and 20" "SELECT count(*) > 0 AND bool_and(
    abs(miner_msat - 4 * treasury_msat) <= 4000 * (miners + 1)) FROM payout_batches"
[ "$(sql "SELECT count(*) FROM payments WHERE state <> 'owed' OR length(payment_hash) <> 32")" = 0 ] ||
    fail "a payment without Lightning is not merely owed"
before=$(sql "SELECT $(shares_of 'kind = 0')")
until_sql 60 "shares go on" "SELECT $(shares_of 'kind = 0') > $before"

# The source of blocks dies; blocks are found on the one after it, and confirm those before.
kill -9 "$(pid_of blocks)"
await 30 "the source of blocks was killed and started again" 'owm-devnet-blocks ended with signal 9'
height=$(sql 'SELECT max(height) FROM blocks')
until_sql 90 "a block was found on the new one" "SELECT max(height) > $height FROM blocks WHERE fate = 'active'"
until_sql 30 "a block has a second confirmation" 'SELECT max(confirmations) > 1 FROM blocks'

curl -fsS "${page}v1/mining/stats" >"$work/stats.json"
grep -q '"network": *"regtest"' "$work/stats.json" || fail "the pool's statistics do not answer"
say "a new tip: out to all miners within $(sed 's/.*"fanout_ms":{\([^}]*\)}.*/\1/' "$work/stats.json") ms;" \
    "the stock miner had switched $(field "$work/run/logs/stock.log" tip_switch_ms) ms after it was told"

"$bin/owm-devnet" status --folder "$work/run" | grep -qE '^pool: [1-9][0-9]* shares?, [1-9]' ||
    fail "status does not show the pool's shares and blocks"
"$bin/owm-devnet" admin recompute --folder "$work/run" | grep 'equal to the last picosat' ||
    fail "recompute on the running network"
kill "${others[@]}"
wait "$stock" || fail "the stock miner did not end well"
kill -TERM "$net"
finish
grep -qE "ok +the pool's ledger adds up: [1-9]" "$work/up.log" || fail "the summary does not add the pool's ledger up"
"$bin/owm-devnet" admin recompute --from 2020-01-01 --to 2120-01-01 --folder "$work/run" |
    grep 'equal to the last picosat' || fail "recompute on the stopped network"
no_secret_in_logs
