#!/usr/bin/env bash
# requirements.sh: which test proves which requirement: `write` makes docs/requirements.md, `check` compares.
set -euo pipefail
cd "${OWM_TREE:-$(dirname "$0")/..}"
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../tests/tree/files.sh"
export LC_ALL=C
ids=docs/requirements.ids page=docs/requirements.md
pattern='(SRS-[A-Z]+|TST)-[0-9]+'

# uses FILE…: "ID file:line" for each ID that stands there
uses() {
    [ $# -gt 0 ] || return 0
    grep -noE "$pattern" /dev/null "$@" | sed -E 's/^([^:]+):([0-9]+):(.*)$/\3 \1:\2/' || true
}

named_by_tests() { # "ID file", sorted, each once
    local tests benches
    mapfile -t tests < <(tree_files 'tests/*.c' 'tests/*.cpp' 'tests/*.sh' 'tests/*.cmake' 'tests/*CMakeLists.txt')
    mapfile -t benches < <(tree_files 'bench/*.c')
    { uses "${tests[@]}"; uses "${benches[@]}" | grep '^SRS-PERF-' || true; } |
        sed -E 's/:[0-9]+$//' | sort -u
}

page() { awk -v ids_file="$ids" -f "$scripts/requirements.awk" "$ids" <(named_by_tests); }

check() {
    local unknown files code=0
    mapfile -t files < <(tree_files '*.c' '*.h' '*.cpp' '*.cu' '*.sh' '*.proto' '*.sql' '*CMakeLists.txt')
    unknown=$(uses "${files[@]}" | awk 'NR == FNR { known[$1]; next } !($1 in known)' "$ids" -)
    if [ -n "$unknown" ]; then
        echo "these name a requirement that the specification does not have:"
        echo "$unknown"
        code=1
    fi
    if ! diff -u "$page" <(page); then
        echo "$page is stale; run: ./owm requirements"
        code=1
    fi
    return "$code"
}

scripts=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
case ${1:-} in
write) page >"$page.new" && mv "$page.new" "$page" && sed -n 's/^[0-9]* of [0-9]* .*/&/p' "$page" ;;
check) check ;;
*) echo "usage: requirements.sh write | check" >&2; exit 2 ;;
esac
