#!/usr/bin/env bash
# gpu.sh: everything that a machine with an NVIDIA GPU can say of the kernels, in one command.
#
#     tests/kernels/gpu.sh [OUT]     results go to OUT, or $OUT, or build/gpu/results
#
# Builds preset gpu (C compiler and nvcc alone), runs every kernel test on the device, where a
# missing device is a failure; then the small sizes under compute-sanitizer, if it is there; then
# every benchmark. Goes on after a failure, and ends with their number.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-${OUT:-build/gpu/results}}
mkdir -p "$out"
out=$(cd "$out" && pwd)
failures=0
tests="test_ops test_agg test_decode test_gradients test_linear test_sha256d test_sparse"

# step NAME COMMAND…: its output is kept as NAME.txt; one line here.
step() {
    local name=$1 began=$SECONDS
    shift
    if "$@" >"$out/$name.txt" 2>&1; then
        echo "ok      $name ($((SECONDS - began)) s)"
    else
        echo "FAILED  $name: see $name.txt; its end:"
        tail -n 5 "$out/$name.txt"
        failures=$((failures + 1))
        return 1
    fi
}

nvidia-smi >"$out/nvidia-smi.txt" 2>&1
step configure cmake --preset gpu || exit 1
step build cmake --build build/gpu || exit 1
bin=$PWD/build/gpu/bin

export OWM_REQUIRE=cuda OWM_TEST_BACKEND=cuda
for t in $tests; do step "$t" timeout 300 "$bin/$t"; done

# Small sizes: a sanitizer is a hundred times slower. The emulator sees barriers, shared memory and
# races in more orders than hardware takes; this sees what the real compiler made of the sources.
PATH=$PATH:/usr/local/cuda/bin
if sanitizer=$(command -v compute-sanitizer); then
    for tool in memcheck racecheck synccheck; do
        for t in $tests; do
            OWM_TEST_SMALL=1 step "${t}_$tool" timeout 300 \
                "$sanitizer" --tool "$tool" --error-exitcode 9 "$bin/$t"
        done
    done
else
    echo "skipped compute-sanitizer: not here"
fi

unset OWM_TEST_BACKEND
step bench timeout 600 "$bin/owm-bench" all --backend cuda --json
grep '^{' "$out/bench.txt" >"$out/bench.json"
echo "$failures failures; results in $out"
[ "$failures" -eq 0 ]
