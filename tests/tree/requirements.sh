#!/usr/bin/env bash
# requirements.sh: the traceability check itself: on a small tree, it finds a stale page and an unknown ID.
set -euo pipefail
tool=$(readlink -f "$(dirname "$0")/../../scripts/requirements.sh")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/docs "$folder"/tests/node "$folder"/bench "$folder"/node
export OWM_TREE=$folder
s=SRS # IDs are put together here, so that this file does not claim to prove them
printf '%s\n' "$s-NODE-01 starts | with one <command> *" "$s-NODE-02 makes a key" "$s-PERF-01 fast" \
    >"$folder/docs/requirements.ids"
echo "/* $s-NODE-01 */" >"$folder/tests/node/test_a.c"
echo "/* $s-NODE-02 in the product proves nothing */" >"$folder/node/a.c"
echo "/* $s-PERF-01 $s-NODE-02 */" >"$folder/bench/bench_a.c"

must() { "$@" >"$folder/said" || { echo "should pass: $*"; cat "$folder/said"; exit 1; }; }
must_not() { # must_not TEXT COMMAND…: it fails and says TEXT
    local text=$1
    shift
    ! "$@" >"$folder/said" 2>&1 || { echo "should fail: $*"; exit 1; }
    grep -qF "$text" "$folder/said" || { echo "did not say '$text':"; cat "$folder/said"; exit 1; }
}
line() { # line TEXT: it stands in the page
    grep -qxF "$1" "$folder/docs/requirements.md" && return
    echo "no line: $1"
    cat "$folder/docs/requirements.md"
    exit 1
}

must_not "is stale" "$tool" check
must "$tool" write
must "$tool" check
line "2 of 3 requirements are named by a test."
line "| $s-NODE-01 | starts \\| with one &lt;command> \\* | [tests/node/test_a.c](../tests/node/test_a.c) |"
line "| $s-NODE-02 | makes a key | not yet |"
line "| $s-PERF-01 | fast | [bench/bench_a.c](../bench/bench_a.c) |"
echo "/* $s-NODE-02 */" >"$folder/tests/node/test_b.c"
must_not "is stale" "$tool" check
must "$tool" write
echo "/* $s-BOGUS-99 */" >"$folder/node/b.c"
must_not "$s-BOGUS-99 node/b.c:1" "$tool" check
echo "requirements: stale page and unknown ID found"
