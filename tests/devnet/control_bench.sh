#!/usr/bin/env bash
# control_bench.sh: owm-bench control in its short form works, and is far from the required limits, also
# on a busy machine: 10,000 nodes a minute (SRS-PERF-04) and dispatch within a second (SRS-PERF-09).
set -euo pipefail
bin=$1
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo "no PostgreSQL server"; exit 77; }

rows=$("$bin/owm-bench" control --nodes 200 --seconds 2 --json)
printf '%s\n' "$rows"
value() { sed -n 's/.*"op":"'"$1"'".*"value":\([0-9.e+]*\),.*/\1/p' <<<"$rows"; }
awk -v rate="$(value 'heartbeats accepted')" -v p99="$(value 'dispatch p99')" 'BEGIN {
    if (!(rate > 10000 / 60)) { print "too few heartbeats: " rate; exit 1 }
    if (!(p99 > 0 && p99 < 1000)) { print "dispatch takes too long: " p99 " ms"; exit 1 }
}'
