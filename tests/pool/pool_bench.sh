#!/usr/bin/env bash
# pool_bench.sh: owm-bench pool in its short form works: it fails by itself when a share is lost,
# refused or acknowledged twice. Its numbers are sane; that they are good is not for a busy machine
# to say, but for p99 of a share's way to its Success, journal included: within a second, alone.
set -euo pipefail
bin=$1

rows=$("$bin/owm-bench" pool --connections 100 --seconds 1 --rate 500 --json)
printf '%s\n' "$rows"
value() { sed -n 's/.*"op":"'"$1"'".*"value":\([0-9.e+-]*\),.*/\1/p' <<<"$rows" | tail -1; }
for op in 'standard shares' 'extended shares' 'end to end standard' 'end to end extended' \
    'end to end, by the clock' 'new job' 'new job, first' 'new job, last' 'handshakes' \
    'submit to ack, p50' 'submit to ack, p99' 'submit to ack, longest'; do
    awk -v op="$op" -v value="$(value "$op")" 'BEGIN {
        if (!(value > 0)) { print op ": no value"; exit 1 } }'
done
awk -v standard="$(value 'standard shares')" -v p50="$(value 'submit to ack, p50')" \
    -v p99="$(value 'submit to ack, p99')" -v first="$(value 'new job, first')" \
    -v last="$(value 'new job, last')" 'BEGIN {
    if (!(standard > 10000)) { print "too few shares: " standard; exit 1 }
    if (!(p50 <= p99 && p99 < 1000)) { print "ack takes too long: " p50 ", " p99 " ms"; exit 1 }
    if (!(first <= last && last < 5000)) { print "a job takes too long: " last " ms"; exit 1 }
}'
