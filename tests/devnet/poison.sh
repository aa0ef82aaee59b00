#!/usr/bin/env bash
# poison.sh: one of four nodes sends poisoned updates; it is caught each time, earns nothing and is
# suspended after three signals, and the others go on learning (TST-02, SRS-MODEL-08, SRS-SEC-05,
# SRS-SEC-11).
source "$(dirname "$0")/network.sh"

up --rounds 5 --nodes 4 --poison 1 --no-mining
await 60 "the coordinator is up" '^coordinator'
finish
grep -qE 'ok +node-4 was poisoned: caught in [34] rounds .* earned 0 sats, now suspended' "$work/up.log" ||
    fail "the poisoned node was not caught three times and suspended"
