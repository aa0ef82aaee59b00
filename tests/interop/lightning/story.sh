#!/usr/bin/env bash
# story.sh: a whole network on real lnd nodes, most of it killed with -9 on the way: whoever worked has its sats.
#
# Run by tests/peers/lightning.sh with the folder of our programs. Real coordinator, slasher, nodes, workers,
# PostgreSQL, btcd and lnd. Nodes have stakes of one, two and three minima, so bonuses of 1, 1.5 and 2 (TST-12,
# TST-13); rewards arrive by keysend over channels that the coordinator opened (TST-01, SRS-LN-02,
# SRS-LN-03, SRS-LN-04), each once, whatever was killed (SRS-LN-05, design promise 1); node-2 spends its
# stake, is degraded, gets it back and is active (TST-14 without the day's end); node-4 closes its channel, so it
# is no longer of the network, without a penalty (SRS-STAKE-08), and is refused without a stake (TST-11); node-5 is
# poisoned: three signals, suspended, its channel force-closed (TST-15), and it cannot come back (TST-16). At the
# end the coordinator's books and those of the nodes' own lnds are equal to the millisat.
source "$(dirname "$0")/steps.sh"

say "with real lnd nodes from $peers"
up --rounds 6 --nodes 5 --poison 1 --no-mining --target 8 --lightning "$peers"
await 120 "treasury and operators have their channels" '^ +the treasury is'
await 60 "the coordinator is up" '^coordinator'
await 120 "sats have arrived" '^ +newest: [0-9.]+ sats to node-[1-4], preimage [0-9a-f]{64}'

"$bin/owm-devnet" status --folder "$work/run" | grep -qE '^node-3 +[0-9]+ sats +2\.00 +[0-9.]+ sats ' ||
    fail "status does not show what node-3 has staked and received"
lightning operator-2 sendpayment --force --keysend --dest "$(key_of treasury)" --amt 120000 >/dev/null
becomes node-2 degraded 30
lightning treasury sendpayment --force --keysend --dest "$(key_of operator-2)" --amt 115000 \
    --outgoing_chan_id "$(stake_channel scid operator-2)" >/dev/null # Over another one it would be no stake.
becomes node-2 active 30

lightning operator-4 closechannel --sat_per_vbyte 2 --chan_point "$(stake_channel channel_point operator-4)" >/dev/null
becomes node-4 pending 60

await 180 "round 2 is complete" '^round 2: held-out' # So node-4 has ended what it had begun.
killed "the coordinator, as rewards of round 2 leave" "$bin/owm-coordinator --config $work/run/"
killed "the node that left" "$bin/owm-node start --config $work/run/node-4/"
logs node-4 INSUFFICIENT_STAKE 60
await 180 "round 3 is complete" '^round 3: held-out'
killed "the treasury's lnd, as rewards of round 3 leave" "lnd --lnddir=$rig/treasury"
becomes node-5 suspended 180 # After rounds 3 or 4: not every update that is left out is a signal.
killed "the slasher, as it has somebody to evict" "$bin/owm-slasher --config $work/run/"
killed "the poisoned node" "$bin/owm-node start --config $work/run/node-5/"
logs node-5 COOLDOWN 60
await 180 "round 4 is complete" '^round 4: held-out'
killed "an operator's lnd, as rewards of round 4 leave" "lnd --lnddir=$rig/operator-1"
finish

grep -qE 'ok +node-5 was poisoned: caught in [3-6] rounds .* earned 0 sats, now suspended' "$work/up.log" ||
    fail "the poisoned node was not caught three times and suspended"
grep -qE '^node-4 +t1 +pending .*it left: its channel was closed' "$work/up.log" || fail "node-4 has not merely left"
if grep -q COOLDOWN "$work/run/logs/node-4.log"; then fail "who left has a cooldown"; fi
bonus() { grep -E "^$1 +[0-9]+ sats +$2 " "$work/up.log" >/dev/null || fail "$1 has not the bonus $2"; }
bonus node-1 1.00
bonus node-3 2.00
reward() { sed -n 's/^ *'"$1"' *included *\([0-9.]*\) sats.*/\1/p' "$work/up.log" | head -n 1; } # the first one
[ "$(reward node-1)" = 45 ] || fail "node-1 earns $(reward node-1) sats in a round"
[ "$(reward node-3)" = 90 ] || fail "three minima do not earn twice of one: $(reward node-3) sats"
grep -qE 'ok +[0-9]+ payments.*the same, to the millisat' "$work/up.log" || fail "nobody compared the books"
no_secret_in_logs
