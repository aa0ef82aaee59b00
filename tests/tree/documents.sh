#!/usr/bin/env bash
# documents.sh: SRS-SEC-09, and SRS section 11: the documents stand where they should, and their links lead somewhere.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/tree/files.sh
found=0

bad() { echo "$*"; found=1; }

for name in README.md ARCHITECTURE.md LICENSE SECURITY.md CONTRIBUTING.md CHANGELOG.md docs/requirements.md \
    docs/node-setup.md docs/fl-protocol.md docs/kernels.md; do
    [ -s "$name" ] || bad "$name is missing or empty"
done
# A disclosure policy says where to report, by when we answer, and what is supported.
for words in "Report a vulnerability" "within 3 days" "Supported versions" "Trust boundaries"; do
    grep -qF "$words" SECURITY.md || bad "SECURITY.md does not say: $words"
done

# links FILE: "target" of each relative [text](target) outside code
links() {
    awk '/^```/ { code = !code } !code && !/^    /' "$1" | sed 's/`[^`]*`//g' | grep -oE '\]\([^)]+\)' |
        sed -E 's/^\]\(//; s/\)$//; s/#.*//' | grep -vE '^([a-z]+:|$)' | sort -u || true
}
mapfile -t pages < <(tree_files '*.md')
for page in "${pages[@]}"; do
    while IFS= read -r target; do
        [ -e "$(dirname "$page")/$target" ] || bad "$page links to $target, which is not there"
    done < <(links "$page")
done
[ "$found" -eq 0 ] && echo "documents: ${#pages[@]} pages"
