#!/usr/bin/env bash
# five_rounds.sh: what a newcomer sees: five rounds of real learning end to end, questions answered
# meanwhile, a ledger that adds up, and every version stamped by a calendar of our own, which outlives kill -9, and
# followed into a block that owm-ots finds, too (SRS-OTS-01, SRS-OTS-04, SRS-OTS-07, SRS-NODE-01, SRS-COORD-02,
# SRS-COORD-03, SRS-MODEL-06, TST-01 without the payment itself, SRS-SEC-01, SRS-SEC-07).
source "$(dirname "$0")/network.sh"

up --rounds 5 --nodes 4
await 60 "the coordinator is up" '^coordinator'
await 120 "the first round is complete" '^round 1: held-out'

answer=$("$bin/owm-devnet" ask "Permission is hereby " --tokens 60 --folder "$work/run")
printf '%s\n' "$answer"
[ ${#answer} -gt 60 ] || fail "the answer is too short"
grep -qE '\[owm-v0\.1\.[0-9]+, node [0-9a-f]{8}, [0-9.]+ sats\]' <<<"$answer" ||
    fail "the answer names no version, node and reward"
say "a question was answered"

status=$("$bin/owm-devnet" status --folder "$work/run")
grep -q 'stake policy "none"' <<<"$status" || fail "status hides the stake policy"
grep -qE 'node-4 .*connected' <<<"$status" || fail "status does not show node-4"

page=$(curl -fsS "$(grep -oE 'http://127.0.0.1:[0-9]+/' "$work/up.log" | head -n 1)metrics")
grep -q '^owm_' <<<"$page" || fail "the coordinator's /metrics has no owm_ series"
node_page=$(grep -oE '^node-1 +http://127.0.0.1:[0-9]+/' "$work/up.log" | grep -oE 'http.*')
curl -fsS "${node_page}health" >/dev/null || fail "node-1's /health is not well"
say "pages and metrics answer"

grep -qE '^owm-v0\.1\.0 +0 +(pending: promised by 1 calendar|confirmed in block [0-9]+)' <<<"$status" ||
    fail "status does not show the first version's proof"
kill -9 "$(pid_of calendar)"
await 30 "the calendar was killed and started again" 'calendar ended with signal 9 .* and was started again'

finish
grep -qE '^  ok +each of 6 versions has (its|a well-formed) proof' "$work/up.log" || fail "a version has no proof"
no_secret_in_logs
