# setup.sh: the Debian and Ubuntu packages we need, and how they come onto the machine. Sourced by ./owm.

build_packages=(
    build-essential          # C and C++ compilers, libc headers
    cmake                    # the build; presets need 3.22
    ninja-build              # what the presets generate for
    pkg-config               # finds the libraries below
    libgrpc-dev              # nodes and coordinator talk gRPC (C core)
    libabsl-dev              # gRPC stands on it; base/rpc turns its lock tracking off
    libprotobuf-c-dev        # protobuf messages in C
    protobuf-c-compiler      # makes their code from proto/
    protobuf-compiler        # well-known .proto files, and the oracle of the encoding tests
    libsodium-dev            # Ed25519, box encryption
    libssl-dev               # TLS certificates, SHA-256
    libwebsockets-dev        # HTTP server
    libcurl4-openssl-dev     # HTTP client
    libzmq3-dev              # a Bitcoin node tells of new blocks through it
    libjansson-dev           # JSON
    nettle-dev               # RIPEMD-160 and Keccak of OpenTimestamps proofs
    libtomlplusplus-dev      # TOML, behind one C++ file
    libzstd-dev              # compressed deltas
    liburing-dev             # the pool's network loops
    libseccomp-dev           # the worker's sandbox
    libsqlite3-dev           # the node's task log
    libpq-dev                # the coordinator's side of PostgreSQL
    postgresql               # the server itself; we start a private one, never the system's
)

test_packages=(
    libcmocka-dev            # unit tests
    curl                     # the stories in tests/devnet ask pages with it
    jq                       # an outsider reads a manifest with it,
    openssl                  # and checks its signature (tests/coordinator/outsider.sh)
    python3-opentimestamps   # the reference that our proofs are compared with
    procps                   # and find processes to kill with pgrep
    clang                    # libFuzzer, and a second opinion on warnings
    libclang-rt-dev          # clang's sanitizer and fuzzer run-time libraries
    clang-format             # the format check
    gcc-aarch64-linux-gnu    # the kernels for 64-bit ARM: the compiler,
    libc6-dev-arm64-cross    # the C library to link,
    qemu-user                # and what runs them here
)

missing_packages() { # missing_packages NAME…: those that dpkg does not call installed, one a line
    local name state
    for name in "$@"; do
        state=$(dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null) || state=
        [ "$state" = installed ] || printf '%s\n' "$name"
    done
}

setup() { # setup NAME…: afterwards they are all installed, or we have stopped with what to do
    local missing
    if ! command -v dpkg-query >/dev/null; then
        say "this is no Debian or Ubuntu, so nothing is installed; what is needed, by Debian's names:"
        printf '  %s\n' "$@"
        say "going on: CMake will name what it does not find"
        return
    fi
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "needed and not installed: ${missing[*]}"
    [ "$install" = yes ] || stop_with_line 3 "${missing[@]}"
    become_root "${missing[@]}"
    install_packages "${missing[@]}"
}

stop_with_line() { # stop_with_line CODE NAME…
    local code=$1 prefix=
    shift
    if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then prefix="sudo "; fi
    say "install them as root with this line, then run the same command again:"
    printf '  %sapt-get install --no-install-recommends %s\n' "$prefix" "$*"
    exit "$code"
}

become_root() { # sets as_root to what stands before a command that needs root
    as_root=()
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || { say "this needs root, and there is no sudo"; stop_with_line 3 "$@"; }
    say "root is needed to install; sudo may ask for your password"
    sudo -v || stop_with_line 3 "$@"
    as_root=(sudo)
}

install_packages() {
    trap allow_clusters EXIT # Ctrl-C included
    forbid_clusters
    watched "installing what is needed" setup apt_twice "$@" ||
        fail 1 "apt-get could not install them; its last lines stand above"
    allow_clusters
    trap - EXIT
}

# Debian makes and starts a cluster for whoever installs the server. We run our own, so we say no for
# the time of this installation, in the folder that createcluster.conf includes.
clusters=/etc/postgresql-common/createcluster.d

forbid_clusters() {
    "${as_root[@]}" mkdir -p "$clusters"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$clusters/owm.conf" >/dev/null
}

allow_clusters() {
    "${as_root[@]}" rm -f "$clusters/owm.conf"
    "${as_root[@]}" rmdir --ignore-fail-on-non-empty "$clusters"
}

apt_twice() { # mirrors and locks fail for a moment: once more before giving up
    apt_once "$@" && return
    echo "apt-get failed; trying once more in 5 s"
    sleep 5
    apt_once "$@"
}

apt_once() {
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "$@"
}
