#!/usr/bin/env bash
# judged.sh: a T2 node that lies is judged by two maintainers, and the pool pays a miner, both on real lnd nodes.
#
# Run by tests/peers/lightning.sh with the folder of our programs. Node-3 is poisoned and of tier 2: its case waits
# for people. One maintainer's signature changes nothing; with the second one's it is suspended, and owm-slasher
# closes its channel (TST-20, SRS-STAKE-04, SRS-STAKE-05, SRS-SEC-14, SRS-LN-12). Meanwhile the miner with node-1's
# key finds blocks of a chain whose subsidy fits through channels: its FPPS sats leave the pool's outbox by
# Lightning, to the node that node-1 registered, and the treasury's fifth is credited in its books (TST-17, TST-18,
# SRS-LN-14). At the end all books agree to the millisat.
source "$(dirname "$0")/steps.sh"

slash() { "$bin/owm-devnet" admin slash "$1" --folder "$work/run" "${@:2}"; } # slash VERB WORDS…

case_says() { # case_says SECONDS WHAT PATTERN: until the one line of the list does
    local end=$((SECONDS + $1))
    until slash list 2>/dev/null | grep -qE "$3"; do
        kill -0 "$net" 2>/dev/null || fail "the network ended before: $2"
        [ "$SECONDS" -lt "$end" ] || fail "not within $1 s: $2; there is: $(slash list 2>&1)"
        sleep 0.3
    done
    say "$2"
}

say "with real lnd nodes from $peers"
up --nodes 3 --poison 1 --tier2 1 --lightning "$peers"
await 120 "treasury and operators have their channels" '^ +the treasury is'
await 60 "the coordinator is up" '^coordinator'

case_says 180 "a case is open against the T2 node" ' t2 +open +[0-9]+ +0 of 2 '
case=$(slash list | awk '$2 == "t2" { print $1 }')
slash ack "$case" --reason "replayed, holds" || fail "the first maintainer could not sign"
case_says 10 "the first maintainer has signed" ' t2 +open +[0-9]+ +1 of 2 '
sleep 3 # The coordinator and the slasher look every second.
case_says 1 "one maintainer is not enough" ' t2 +open +[0-9]+ +1 of 2 '
becomes node-3 active 1
[ -n "$(stake_channel scid operator-3)" ] || fail "its channel was closed before two had signed"

slash ack "$case" --key "$work/run/maintainer.key" --reason "so say I" || fail "the second maintainer could not sign"
becomes node-3 suspended 30
end=$((SECONDS + 60))
until [ -z "$(stake_channel scid operator-3)" ]; do
    [ "$SECONDS" -lt "$end" ] || fail "its channel is open a minute after two have signed"
    sleep 0.5
done
say "its channel was closed"

await 180 "the miner's sats have arrived" '^ +by the pool: [1-9][0-9.]* sats to miners'
kill -TERM "$net"
finish
grep -qE 'ok +[0-9]+ payments.*the same, to the millisat' "$work/up.log" || fail "the books do not agree"
grep -qE "ok +the pool's ledger adds up: [1-9]" "$work/up.log" || fail "the summary does not add the pool's ledger up"
no_secret_in_logs
