#!/usr/bin/env bash
# preset.sh: builds another preset and runs the tests that it can run, as one test; its log's tail on failure.
# Usage: preset.sh PRESET LABELS TARGET [CMake -D…]; LABELS is CTest's -L expression.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
preset=$1 labels=$2 target=$3
shift 3
log=build/preset-$preset.log

# The plug-ins need a compiler of their own, which not every machine can have.
source scripts/gpu_tools.sh
case $preset in
gpu) find_nvcc >/dev/null || { echo "skipped: there is no nvcc on this machine"; exit 77; } ;;
hip) find_hipcc >/dev/null || { echo "skipped: there is no hipcc on this machine"; exit 77; } ;;
esac
mkdir -p build
: >"$log"

# The kernels for ARM are built by a cross compiler and run by an emulator, and not each machine has both.
if [ "$preset" = arm64 ]; then
    for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
        command -v "$tool" >/dev/null && continue
        echo "skipped: there is no $tool here; ./owm setup installs it"
        exit 77
    done
fi

failed_output() { # the end of what each failed test printed: CTest puts it between two lines of its own
    awk '
        function show() { for (i = n > 60 ? n - 60 : 0; i < n; i++) print line[i]; n = 0 }
        /^ *Start +[0-9]+: | Test +#[0-9]+: / { show(); on = /\*\*\*(Failed|Exception|Timeout)/; if (on) print; next }
        on { line[n++] = $0 }
        END { show() }' "$log"
}

step() { # step COMMAND…: into the log; the first that fails ends the test
    echo "== $*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null && return
    echo "failed: $*"
    grep -nE 'error:|FAILED:|ERROR: |SUMMARY: |runtime error|\*\*\*(Failed|Exception|Timeout)' "$log" | head -n 20
    failed_output | cut -c1-400 | head -n 300
    echo "the last lines of $log:"
    tail -n 60 "$log"
    exit 1
}

# ThreadSanitizer of older compilers refuses the address layout of newer kernels.
wrap=()
if [ "$preset" = tsan ] && setarch "$(uname -m)" -R true 2>/dev/null; then wrap=(setarch "$(uname -m)" -R); fi

unset MAKEFLAGS
step cmake --preset "$preset" "$@"
step cmake --build --preset "$preset" --target "$target"
step "${wrap[@]}" ctest --preset "$preset" --no-label-summary --no-tests=error \
    --parallel "${OWM_TEST_JOBS:-2}" --label-regex "$labels" --label-exclude '^(e2e|heavy|slow|preset|tree)$'
grep -E 'tests passed' "$log"
