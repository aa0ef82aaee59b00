#!/usr/bin/env bash
# chaos.sh: a node and the coordinator killed with -9 in mid-round and PostgreSQL restarted; rounds go
# on, nothing is counted or paid twice (TST-03, SRS-SCHED-02, SRS-COORD-06; design promises 1, 6, 7).
source "$(dirname "$0")/network.sh"

up --rounds 4 --nodes 4 --target 8
await 60 "the coordinator is up" '^coordinator'
await 60 "round 1 is open" '^round 1: open'
sleep 2
kill -9 "$(pid_of node-2)"
say "node-2 was killed in round 1"
await 120 "round 1 is complete" '^round 1: held-out'

await 60 "round 2 is open" '^round 2: open'
sleep 3
kill -9 "$(pid_of coordinator)"
say "the coordinator was killed in round 2"
await 180 "round 2 is complete" '^round 2: held-out'

await 60 "round 3 is open" '^round 3: open'
server=$(pgrep -o -f "postgres -D $work/run/postgres/data")
kill -QUIT "$server"
say "PostgreSQL was stopped at once (immediate shutdown) in round 3"
await 60 "PostgreSQL is back" 'PostgreSQL ended and was started again'
await 180 "round 3 is complete" '^round 3: held-out'
finish
no_secret_in_logs
