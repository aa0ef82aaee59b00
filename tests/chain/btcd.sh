#!/usr/bin/env bash
# btcd.sh: blocks that we build from a real node's templates are accepted by it: btcd in regtest. SRS-POOL-05
set -euo pipefail
peer=$1       # the program btcd_peer
version=0.26.2
peers=$PWD/build/peers
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT

skip() { echo "btcd.sh: skipped: $*"; exit 77; }
fail() { echo "btcd.sh: $*" >&2; tail -n 20 "$folder/log" >&2 || true; exit 1; }

find_btcd() { # sets btcd: the system's, the one fetched before, or one fetched now
    btcd=$(command -v btcd || true)
    [ -z "$btcd" ] || return 0
    btcd=$peers/bin/btcd
    [ ! -x "$btcd" ] || return 0
    command -v go >/dev/null || skip "there is neither btcd nor the Go toolchain to build it with"
    mkdir -p "$peers/bin"
    (cd "$folder" && GOBIN=$peers/bin GOFLAGS=-modcacherw timeout 800 go install "github.com/btcsuite/btcd@v$version") \
        >"$folder/log" 2>&1 || skip "btcd $version could not be built: $(tail -n 1 "$folder/log")"
}

free_port() { # prints one from a range of its own; the node says so if another took it meanwhile
    local port
    for port in $(shuf -i 20000-29999 -n 50); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    fail "no free port"
}

start_btcd() { # sets pid and url
    local port tries count='{"jsonrpc":"1.0","id":1,"method":"getblockcount","params":[]}'
    port=$(free_port)
    url=http://127.0.0.1:$port/
    "$btcd" --regtest --notls --nolisten --nodnsseed --configfile="$folder/none.conf" --datadir="$folder" \
        --logdir="$folder" --rpcuser=u --rpcpass=p --rpclisten="127.0.0.1:$port" \
        --miningaddr=mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r >"$folder/log" 2>&1 &
    pid=$!
    for tries in $(seq 300); do
        if curl --silent --max-time 5 --user u:p --data "$count" "$url" | grep -q '"result":0'; then return; fi
        kill -0 "$pid" 2>/dev/null || fail "btcd ended"
        sleep 0.1
    done
    fail "btcd does not answer after 30 s"
}

find_btcd
: >"$folder/none.conf"
start_btcd
timeout 200 "$peer" "$url" u:p || fail "btcd refused"
