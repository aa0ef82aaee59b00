# network.sh: a whole development network in a temporary folder, for the stories in this folder.
# Sourced. Sets bin (where the programs are) and work (a fresh folder, removed at the end); what a story puts into
# others is ended with it.
set -euo pipefail
bin=$1
work=$(mktemp -d /tmp/owm-e2e-XXXXXX)
chmod 755 "$work" # PostgreSQL's own account must pass.
net=
others=()

say() { printf '%s %s\n' "$(date +%T)" "$*"; }

fail() {
    say "FAILED: $*"
    exit 1
}

leave() {
    local code=$?
    [ ${#others[@]} -eq 0 ] || kill "${others[@]}" 2>/dev/null || true
    if [ -n "$net" ] && kill -0 "$net" 2>/dev/null; then
        kill -TERM "$net"
        wait "$net" || true
    fi
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
        for log in "$work"/run/lightning/logs/*.log "$work"/run/logs/*.log "$work"/up.log; do
            [ -f "$log" ] && { echo "--- $log"; tail -n 25 "$log"; }
        done
    fi
    rm -rf "$work"
    exit "$code"
}
trap leave EXIT

ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo "no PostgreSQL server"; exit 77; }

up() { # up ARGUMENT…: in the background, its output in $work/up.log
    : >"$work/up.log"
    "$bin/owm-devnet" up --folder "$work/run" "$@" >"$work/up.log" 2>&1 &
    net=$!
}

await() { # await SECONDS WHAT PATTERN: until the output has it
    local end=$((SECONDS + $1))
    until grep -qE "$3" "$work/up.log"; do
        kill -0 "$net" 2>/dev/null || fail "the network ended before: $2"
        [ "$SECONDS" -lt "$end" ] || fail "no '$3' within $1 s: $2"
        sleep 0.2
    done
    say "$2"
}

finish() { # finish: the network ends by itself and says that all is well
    local code=0
    wait "$net" || code=$?
    net=
    sed -n '/^Summary/,$p' "$work/up.log"
    [ "$code" -eq 0 ] || fail "owm-devnet up ended with exit code $code"
}

pid_of() { # pid_of coordinator | node-N | pool | blocks | calendar: the newest child of that kind
    case $1 in
    calendar) pgrep -n -f "$bin/owm-ots calendar --folder $work/run/" ;;
    pool) pgrep -n -f "$bin/owm-pool --config $work/run/" ;;
    blocks) pgrep -n -f "$bin/owm-devnet-blocks --folder $work/run/" ;;
    coordinator) pgrep -n -f "$bin/owm-coordinator --config $work/run/" ;;
    *) pgrep -n -f "$bin/owm-node start --config $work/run/$1/" ;;
    esac
}

no_secret_in_logs() { # SRS-SEC-07: not one seed, payment secret or private key in any log
    local secret
    for secret in "$work"/run/*.key "$work"/run/*/*.key "$work"/run/*/*.secret; do
        [ -f "$secret" ] || continue
        for word in $(grep -oE '[0-9a-fA-F]{64}' "$secret" || true); do
            if grep -rqiF "$word" "$work/run/logs" "$work/up.log"; then fail "$secret stands in a log"; fi
        done
    done
    if grep -rqE 'PRIVATE KEY' "$work/run/logs" "$work/up.log"; then fail "a private key stands in a log"; fi
    say "no secret stands in any log"
}
