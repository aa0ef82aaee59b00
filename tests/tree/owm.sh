#!/usr/bin/env bash
# owm.sh: the front door's own promises, with a dpkg-query that answers as we say; nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

expect() { # expect CODE TEXT COMMAND…: that exit code, and TEXT among what it said
    local code=$1 text=$2 got=0
    shift 2
    "$@" >"$folder/said" 2>&1 </dev/null || got=$?
    [ "$got" -eq "$code" ] || { echo "exit $got, not $code: $*"; cat "$folder/said"; exit 1; }
    grep -qF -- "$text" "$folder/said" || { echo "did not say '$text': $*"; cat "$folder/said"; exit 1; }
}

pretend() { # pretend SCRIPT: what dpkg-query does
    printf '#!/bin/sh\n%s\n' "$1" >"$folder/dpkg-query"
    chmod +x "$folder/dpkg-query"
}
export PATH=$folder:$PATH

expect 0 "./owm up" ./owm help
expect 0 "./owm up" ./owm
expect 2 "no verb 'dance'" ./owm dance
expect 2 "does not know '--fast'" ./owm setup --fast

pretend 'printf installed'
expect 0 "nothing more to install" ./owm setup --no-install
pretend 'exit 1'
expect 3 "apt-get install --no-install-recommends build-essential cmake" ./owm setup --no-install
expect 3 "needed and not installed" ./owm up --no-install
expect 3 "libcmocka-dev" ./owm test --no-install
# Removed but not purged is not installed; and only what is missing is named.
# shellcheck disable=SC2016
pretend 'for name; do :; done; [ "$name" = cmake ] && printf config-files || printf installed'
expect 3 "needed and not installed: cmake" ./owm setup --no-install
! grep -q libgrpc-dev "$folder/said" || { echo "named what is installed"; exit 1; }
echo "owm: verbs and exit codes are as its help says"
