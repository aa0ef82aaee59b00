#!/usr/bin/env bash
# story.sh: a whole network on real lnd nodes, most of it killed with -9 on the way: whoever worked has its sats.
#
# Run by tests/peers/lightning.sh with the folder of our programs. Real coordinator, slasher, nodes, workers,
# PostgreSQL, btcd and lnd. Four nodes have stakes of 1, 1.5, 2 and 2.5 minima, so other bonuses (TST-12,
# TST-13); rewards arrive by keysend over channels that the coordinator opened (TST-01, SRS-LN-02,
# SRS-LN-03, SRS-LN-04), each once, whatever was killed (SRS-LN-05, design promise 1); node-2 spends its
# stake, is degraded, gets it back and is active (TST-14 without the day's end); node-4 is poisoned: three
# signals, suspended, its channel force-closed (TST-15), and it cannot come back (TST-16). At the end the
# coordinator's books and those of the nodes' own lnds are equal to the millisat.
source "$(dirname "$0")/../../devnet/network.sh"
peers=${OWM_LIGHTNING_PROGRAMS:?run me by tests/peers/lightning.sh}
rig=$work/run/lightning

killed() { # killed WHAT PATTERN: with -9
    local pid
    pid=$(pgrep -n -f "$2") || fail "$1 does not run"
    kill -9 "$pid"
    say "killed: $1"
}

lightning() { "$rig/$1/lncli" "${@:2}"; } # lightning NODE WORDS…

key_of() { lightning "$1" getinfo | grep -oE '"identity_pubkey": *"[0-9a-f]+"' | grep -oE '0[23][0-9a-f]{64}'; }

stake_channel() { # stake_channel NODE: the short id of the one that it opened, for LND's command line
    lightning treasury listchannels --peer "$(key_of "$1")" |
        awk '/"scid":/ { gsub(/[",]/, "", $2); id = $2 } /"initiator": *false/ { print id }'
}

becomes() { # becomes NODE STATUS SECONDS
    local end=$((SECONDS + $3))
    until "$bin/owm-devnet" status --folder "$work/run" 2>/dev/null | grep -qE "^$1 .* $2 "; do
        kill -0 "$net" 2>/dev/null || fail "the network ended before $1 was $2"
        [ "$SECONDS" -lt "$end" ] || fail "$1 is not $2 within $3 s"
        sleep 0.5
    done
    say "$1 is $2"
}

logs() { # logs NODE WORD SECONDS: until its log has it
    local end=$((SECONDS + $3))
    until grep -q "$2" "$work/run/logs/$1.log"; do
        kill -0 "$net" 2>/dev/null || fail "the network ended before $1 was told $2"
        [ "$SECONDS" -lt "$end" ] || fail "$1 was not told $2 within $3 s"
        sleep 0.2
    done
    say "$1 was told $2"
}

say "with real lnd nodes from $peers"
up --rounds 6 --nodes 4 --poison 1 --no-mining --target 8 --lightning "$peers"
await 120 "treasury and operators have their channels" '^ +the treasury is'
await 60 "the coordinator is up" '^coordinator'
await 120 "sats have arrived" '^ +newest: [0-9.]+ sats to node-[123], preimage [0-9a-f]{64}'

lightning operator-2 sendpayment --force --keysend --dest "$(key_of treasury)" --amt 60000 >/dev/null
becomes node-2 degraded 30
lightning treasury sendpayment --force --keysend --dest "$(key_of operator-2)" --amt 55000 \
    --outgoing_chan_id "$(stake_channel operator-2)" >/dev/null # Over another one it would be no stake.
becomes node-2 active 30

await 180 "round 2 is complete" '^round 2: held-out'
killed "the coordinator, as rewards of round 2 leave" "$bin/owm-coordinator --config $work/run/"
await 180 "round 3 is complete" '^round 3: held-out'
killed "the treasury's lnd, as rewards of round 3 leave" "lnd --lnddir=$rig/treasury"
becomes node-4 suspended 180 # After rounds 3 or 4: not every update that is left out is a signal.
killed "the slasher, as it has somebody to evict" "$bin/owm-slasher --config $work/run/"
killed "the poisoned node" "$bin/owm-node start --config $work/run/node-4/"
logs node-4 COOLDOWN 60
await 180 "round 4 is complete" '^round 4: held-out'
killed "an operator's lnd, as rewards of round 4 leave" "lnd --lnddir=$rig/operator-1"
finish

grep -qE 'ok +node-4 was poisoned: caught in [3-6] rounds .* earned 0 sats, now suspended' "$work/up.log" ||
    fail "the poisoned node was not caught three times and suspended"
grep -qE 'ok +[0-9]+ payments.*the same, to the millisat' "$work/up.log" || fail "nobody compared the books"
no_secret_in_logs
