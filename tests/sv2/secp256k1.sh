#!/usr/bin/env bash
# secp256k1.sh: where libsecp256k1 comes from, with tools that answer as we say; nothing is fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin"
export PATH=$folder/bin:$PATH
root=$PWD

pretend() { # pretend COMMAND SCRIPT
    printf '#!/bin/sh\n%s\n' "$2" >"$folder/bin/$1"
    chmod +x "$folder/bin/$1"
}

# expect CODE TEXT INSTALL: setup_secp256k1 in an empty folder of its own
expect() {
    local code=$1 text=$2 install=$3 got=0
    (
        cd "$folder"
        say() { printf 'owm: %s\n' "$*"; }
        fail() { say "${*:2}"; exit "$1"; }
        setup() { say "setup $*"; }
        watched() { say "fetched"; }
        source "$root/scripts/secp256k1.sh"
        setup_secp256k1
    ) >"$folder/said" 2>&1 </dev/null || got=$?
    [ "$got" -eq "$code" ] || { echo "exit $got, not $code"; cat "$folder/said"; exit 1; }
    if [ -z "$text" ]; then
        [ ! -s "$folder/said" ] || { echo "should have said nothing"; cat "$folder/said"; exit 1; }
    else
        grep -qF -- "$text" "$folder/said" || { echo "did not say '$text'"; cat "$folder/said"; exit 1; }
    fi
}

command -v dpkg >/dev/null || { echo "skipped: there is no dpkg here"; exit 77; }
pretend pkg-config 'exit 1'
pretend apt-cache 'printf "  Candidate: 0.2.0-2\n"'
expect 3 "libsecp256k1 0.4 or newer is missing" no
expect 0 "fetched" yes
pretend apt-cache 'printf "  Candidate: (none)\n"' # no lists yet
expect 0 "fetched" yes
pretend apt-cache 'printf "  Candidate: 0.6.0-1\n"'
expect 0 "setup libsecp256k1-dev" yes
mkdir -p "$folder/build/deps/secp256k1"
pretend apt-cache 'printf "  Candidate: 0.2.0-2\n"'
expect 0 "fetched" yes # what was left half done is not taken
touch "$folder/build/deps/secp256k1/complete"
expect 0 "" no
rm "$folder/build/deps/secp256k1/complete"
pretend pkg-config 'exit 0'
expect 0 "" no
echo "secp256k1: found, installed, fetched or asked for, as the machine has it"
