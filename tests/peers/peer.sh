# peer.sh: a node of its own for the time of a test. Sourced by the scripts beside it.

skip() { echo "skipped: $*"; exit 77; }

free_port() { # one that nobody listens on, below those that outgoing connections take
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    return 1
}

prepare() { # sets folder, port and zmq, exports OWM_PEER_URL
    folder=$(mktemp -d)
    port=$(free_port)
    zmq=tcp://127.0.0.1:$(free_port)
    export OWM_PEER_URL=http://127.0.0.1:$port
}

start() { # start COMMAND…: runs it until the script ends; returns when it listens on port
    "$@" >"$folder/out" 2>&1 &
    pid=$!
    trap stop EXIT
    for _ in $(seq 300); do
        ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "$1 does not listen:"
    tail "$folder/out"
    exit 1
}

stop() {
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -rf "$folder"
}
