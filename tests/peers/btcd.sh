#!/usr/bin/env bash
# btcd.sh: runs COMMAND beside a btcd of its own on regtest; without one, exit 77 with the reason.
#
# The btcd on the PATH is taken, else the one in build/peers/bin, which is built there by `go install` if
# Go is on the PATH. COMMAND finds the node through OWM_PEER_URL, OWM_PEER_USER and OWM_PEER_PASSWORD.
# Without COMMAND: prints the program's path.
set -euo pipefail
source "$(dirname "$0")/peer.sh"
version=v0.26.2
built=$(cd "$(dirname "$0")/../.." && pwd)/build/peers/bin

build() {
    command -v go >/dev/null || skip "no btcd on the PATH, and no Go to build one"
    mkdir -p "$built"
    exec 9>"$built/lock"
    flock 9 # Two tests may come here at once.
    [ ! -x "$built/btcd" ] || return 0
    GOBIN=$built GOFLAGS=-p=2 go install "github.com/btcsuite/btcd@$version" >"$built/btcd.log" 2>&1 ||
        skip "btcd $version could not be built: $(tail -n 1 "$built/btcd.log")"
}

btcd=$(command -v btcd || echo "$built/btcd")
[ -x "$btcd" ] || build
[ $# -gt 0 ] || { echo "$btcd"; exit 0; }
prepare
export OWM_PEER_USER=owm OWM_PEER_PASSWORD=regtest
start "$btcd" --regtest --notls --nolisten --configfile=/dev/null --datadir="$folder" --logdir="$folder" \
    --rpclisten="127.0.0.1:$port" --rpcuser="$OWM_PEER_USER" --rpcpass="$OWM_PEER_PASSWORD"
"$@"
