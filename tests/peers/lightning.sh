#!/usr/bin/env bash
# lightning.sh: lnd, lncli and btcd for a Lightning network on this machine; without them, exit 77 with the reason.
#
# They are built once, from the versions that tests/interop/lightning/go.mod pins, into build/peers/bin,
# which needs Go and its module proxy; Go's caches are kept. btcd is the one of btcd.sh beside this.
# Without COMMAND: prints the folder that has all three. Else runs COMMAND with it in OWM_LIGHTNING_PROGRAMS.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/peer.sh"
module=$here/../interop/lightning
programs=$(cd "$here/../.." && pwd)/build/peers/bin
tags="invoicesrpc signrpc walletrpc chainrpc peersrpc" # invoicesrpc has hold invoices.
seconds=1500

wanted() { cat "$module/go.mod" "$module/go.sum" && echo "$tags"; } # what the stamp remembers

go_is_new() { # 1.21 and later fetch the Go that go.mod names, if they are let
    local version
    version=$(go env GOVERSION 2>/dev/null)
    [ "$(printf 'go1.21\n%s\n' "${version:-go1}" | sort -V | head -n 1)" = go1.21 ]
}

build() { # lnd and lncli
    command -v go >/dev/null || skip "no Go on the PATH to build lnd with (1.25 or newer; 1.21 fetches it)"
    go_is_new || skip "$(go version) is too old to build lnd (1.25 or newer; 1.21 fetches it)"
    cd "$module"
    export GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS="-mod=readonly -p=2"
    timeout "$seconds" go mod download >"$programs/lightning.log" 2>&1 ||
        skip "lnd's modules are neither here nor to be had: $(grep -v '^ *$' "$programs/lightning.log" | tail -n 1)"
    timeout "$seconds" go build -tags "$tags" -ldflags "-s -w" -o "$programs/" \
        github.com/lightningnetwork/lnd/cmd/lnd github.com/lightningnetwork/lnd/cmd/lncli \
        >"$programs/lightning.log" 2>&1 || { cat "$programs/lightning.log"; echo "lnd does not build"; exit 1; }
    wanted >"$programs/lightning.stamp"
}

mkdir -p "$programs"
exec 8>"$programs/lightning.lock"
flock 8 # Two may come here at once.
wanted | cmp -s - "$programs/lightning.stamp" || (build) || exit
btcd=$("$here/btcd.sh") || { echo "$btcd"; exit 77; }
[ "$btcd" = "$programs/btcd" ] || ln -sf "$btcd" "$programs/btcd"
exec 8>&-
[ $# -gt 0 ] || { echo "$programs"; exit 0; }
export OWM_LIGHTNING_PROGRAMS=$programs
exec "$@"
