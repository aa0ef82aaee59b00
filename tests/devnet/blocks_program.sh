#!/usr/bin/env bash
# blocks_program.sh: owm-devnet-blocks as a program: what it says it is, its cookie, its end and its return.
set -euo pipefail
program=$1
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT

fail() { echo "blocks_program: $*" >&2; exit 1; }

start() { # start ARGUMENT…: sets pid and port
    "$program" --folder "$folder/chain" --port 0 "$@" 2>"$folder/log" &
    pid=$!
    local tries
    for tries in $(seq 100); do
        port=$(sed -n 's/.*no Bitcoin node: port=\([0-9]*\).*/\1/p' "$folder/log")
        [ -z "$port" ] || return 0
        kill -0 "$pid" 2>/dev/null || fail "it ended: $(cat "$folder/log")"
        sleep 0.1
    done
    fail "no port after 10 s: $(cat "$folder/log")"
}

stop() { kill -TERM "$pid"; wait "$pid" || fail "it did not end well"; pid=; }

ask() { # ask USER:PASSWORD METHOD [PARAMETERS]
    curl --silent --max-time 10 --user "$1" \
        --data "{\"id\":1,\"method\":\"$2\",\"params\":${3:-[]}}" "http://127.0.0.1:$port/"
}

hex_of() { sed -n 's/.*"hex":"\([0-9a-f]*\)".*/\1/p'; }
result_of() { sed -n 's/.*"result":"*\([^",]*\).*/\1/p'; }

"$program" --help | grep -q 'It is no Bitcoin node' || fail "--help does not say what it is"
for wrong in '' '--folder' '--folder x --bits zz' '--folder x --port 65536' '--folder x --rpcuser u' \
    '--folder x y'; do
    # shellcheck disable=SC2086 # the words are arguments
    if "$program" $wrong 2>/dev/null; then fail "'$wrong' was taken"; fi
done

start
cookie=$(cat "$folder/chain/.cookie")
[ "$(stat -c %a "$folder/chain/.cookie")" = 600 ] || fail "others can read the cookie"
[ "$(ask "$cookie" getblockcount)" = '{"result":200,"error":null,"id":1}' ] || fail "no 200 blocks"
ask "$cookie" getnetworkinfo | grep -q 'no Bitcoin node' || fail "subversion does not say what it is"
if "$program" --folder "$folder/chain" --port 0 2>"$folder/second"; then fail "two share a chain"; fi
grep -q 'in use' "$folder/second" || fail "a second one does not say why: $(cat "$folder/second")"
stop
[ ! -e "$folder/chain/.cookie" ] || fail "the cookie is left behind"

start --rpcuser u --rpcpassword p
[ "$(ask u:p getblockcount)" = '{"result":200,"error":null,"id":1}' ] || fail "the chain is not found again"
[ "$(ask u:q getblockcount)" = 'the user or the password is wrong' ] || fail "a wrong password was taken"

# A transaction that was accepted outlives kill -9: it waits still, and the balance is right.
raw=$(ask u:p createrawtransaction '[[],[{"data":"00ff"}]]' | result_of)
funded=$(ask u:p fundrawtransaction "[\"$raw\",{\"fee_rate\":2}]" | hex_of)
signed=$(ask u:p signrawtransactionwithwallet "[\"$funded\"]" | hex_of)
txid=$(ask u:p sendrawtransaction "[\"$signed\"]" | result_of)
[ "${#txid}" = 64 ] || fail "the transaction was not taken: $(ask u:p sendrawtransaction "[\"$signed\"]")"
balance=$(ask u:p getbalance)
kill -KILL "$pid"; wait "$pid" || true; pid=
start --rpcuser u --rpcpassword p
[ "$(ask u:p getrawmempool)" = "{\"result\":[\"$txid\"],\"error\":null,\"id\":1}" ] \
    || fail "kill -9 lost the transaction: $(ask u:p getrawmempool)"
[ "$(ask u:p getbalance)" = "$balance" ] || fail "the balance is $(ask u:p getbalance), it was $balance"
stop
