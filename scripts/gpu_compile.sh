#!/usr/bin/env bash
# gpu_compile.sh: run a compiler and keep what it says; show it when it fails or warns.
# Usage: gpu_compile.sh REPORT COMPILER…
set -u
report=$1
shift
"$@" >"$report" 2>&1
code=$?
if [ $code -ne 0 ] || grep -q 'warning' "$report"; then cat "$report" >&2; fi
exit $code
