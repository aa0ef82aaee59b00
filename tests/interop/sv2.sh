#!/usr/bin/env bash
# sv2.sh: Stratum v2 beside the reference implementation's crates; exit 77 with the reason where cargo, or
# the crates and the registry that has them, are not there.
#
#   sv2.sh noise NOISE_PEER                 handshakes and frames against noise_sv2
#   sv2.sh verdicts VERDICTS [SHARES SEED]  a million shares against channels_sv2
#   sv2.sh miner OWM_MINE                   our miner on their pool
#   sv2.sh pool POOL_PEER                   their miner on our pool's loop
#   sv2.sh program PROGRAM OWM_POOL BLOCKS  and on owm-pool itself, until blocks are in the chain
#
# Proves the wire and both ends of it (SRS-POOL-01), that stale and fabricated shares are rejected, as
# channels_sv2 rejects them (SRS-SEC-15, TST-19), and that every difference is a deliberate one.
# The crate in sv2/ is built once, into build/interop, from the versions that sv2/Cargo.lock pins.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export CARGO_TARGET_DIR=${OWM_INTEROP_DIR:-$(cd "$here/../.." && pwd)/build/interop}
peer=$CARGO_TARGET_DIR/release/owm-interop-sv2
key=9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72 # The published example key.
other=9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "failed: $*"; exit 1; }

cargo_is_new() { # the crates want 1.75
    local version
    version=$(cargo --version | cut -d' ' -f2)
    [ "$(printf '%s\n1.75.0\n' "${version%%-*}" | sort -V | head -n 1)" = 1.75.0 ]
}

build() {
    command -v cargo >/dev/null || skip "no cargo on the PATH (Rust's package manager, 1.75 or newer)"
    cargo_is_new || skip "$(cargo --version) is older than 1.75, which the crates need"
    mkdir -p "$CARGO_TARGET_DIR"
    exec 9>"$CARGO_TARGET_DIR/lock"
    flock 9
    cd "$here/sv2"
    cargo fetch --locked --offline >"$CARGO_TARGET_DIR/fetch.log" 2>&1 ||
        timeout 300 cargo fetch --locked >"$CARGO_TARGET_DIR/fetch.log" 2>&1 ||
        skip "the crates are neither here nor to be had: $(grep -v '^ *$' "$CARGO_TARGET_DIR/fetch.log" | tail -n 1)"
    cargo build --release --locked --offline >"$CARGO_TARGET_DIR/build.log" 2>&1 ||
        { cat "$CARGO_TARGET_DIR/build.log"; fail "the peers do not build"; }
    flock -u 9
    cd - >/dev/null
}

# ------------------------------------------------------------- our miner on their pool

story() { # story NAME "SERVER ARGS" KEY MINER ARGS…: one connection; the server judges all of it
    local name=$1 arguments=$2 authority=$3 server miner port= status=0
    shift 3
    : >"$folder/server"
    # shellcheck disable=SC2086
    "$peer" server $arguments >>"$folder/server" 2>&1 &
    server=$!
    while [ -z "$port" ]; do # The server ends by itself when it is not used.
        kill -0 "$server" 2>/dev/null || { cat "$folder/server"; fail "$name: no server"; }
        sleep 0.1
        port=$(awk '/^listening/ {print $2}' "$folder/server")
    done
    "$mine" --pool "stratum2+tcp://127.0.0.1:$port/$authority" \
        --device cpu --threads 1 --json "$@" >"$folder/miner" 2>&1 &
    miner=$!
    wait "$server" || status=$?
    kill "$miner" 2>/dev/null || true
    wait "$miner" 2>/dev/null || true
    [ "$status" -eq 0 ] || { cat "$folder/server" "$folder/miner"; fail "$name"; }
    echo "$name: $(tail -n 1 "$folder/server")"
}

said() { # said FILE TEXT: or the test fails
    grep -q -- "$2" "$folder/$1" || { cat "$folder/$1"; fail "nobody said $2"; }
}

miner() { # a node's key goes as a name where the extension is not known
    local node
    mine=$1
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    story "standard channel" "" "$key" --user account.rig
    story "extended channel" "" "$key" --user account.rig --extended
    story "node, extension refused" "" "$key" --identity "$folder/identity" --worker rig
    node=$(awk '/"channel"/' "$folder/server" | sed 's/.*"identity":"\([0-9a-f]*\)\.rig".*/\1/')
    [ ${#node} -eq 64 ] || fail "the node's name is not its key"
    said server '"extensions":\[20311\]'
    story "node, no answer to extensions" --silent "$key" --identity "$folder/identity" --worker rig --extended
    said server "\"identity\":\"$node.rig\""
    story "wrong authority key" --refused "$other" --user account.rig
    said miner "not signed by the authority key"
}

verdicts() { # each checker is tried with a planted fault
    if "$1" "$peer" 20000 1 5000 >/dev/null 2>&1; then fail "a wrong verdict was not found"; fi
    "$1" "$peer" "${2:-1000000}" "${3:-1}"
}

[ $# -ge 2 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2; }
build
case $1 in
noise) "$peer" noise --peer "$2" ;;
verdicts) verdicts "${@:2}" ;;
miner) miner "$2" ;;
pool) "$peer" client --peer "$2" ;;
program) "${@:2}" "$peer" ;;
*) fail "no such step: $1" ;;
esac
