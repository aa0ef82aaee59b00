#!/usr/bin/env bash
# paths.sh: no file names a folder of the machine on which it was written; --self-test plants such paths.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/tree/files.sh

# The brackets keep this file from finding itself.
pattern='(^|[^A-Za-z0-9_.*}-])/([w]ork|[f]arm|[U]sers|[h]ome/[a-z]+/src)/|/[t]mp/brief'

if [ "${1:-}" = --self-test ]; then
    w=work
    for bad in "cd /$w/main" "/$w/x" "\"/$w/shared\""; do
        grep -qE "$pattern" <<<"$bad" || { echo "not found: $bad"; exit 1; }
    done
    for good in network/ "a/$w/b" "the frame$w/" "https://example.org/$w/x"; do
        ! grep -qE "$pattern" <<<"$good" || { echo "wrongly found: $good"; exit 1; }
    done
    exit 0
fi
mapfile -t files < <(tree_files '*')
! grep -nIE "$pattern" "${files[@]}" || { echo "paths of one machine stand in the tree"; exit 1; }
echo "paths: ${#files[@]} files"
