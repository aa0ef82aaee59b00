# build.sh: configure and build a preset with its log kept, and the doctor. Sourced by ./owm.

# What `./owm up` runs.
programs=(owm-coordinator owm-slasher owm-admin owm-node owm-worker owm-pool owm-mine owm-ots owm-devnet
    owm-devnet-blocks owm-devnet-lightning)

build() { # build PRESET [TARGET…]
    local preset=$1 flags=()
    shift
    [ -z "${OWM_WERROR:-}" ] || flags=(-DOWM_WERROR="$OWM_WERROR")
    watched "configuring preset $preset" "$preset-configure" cmake --preset "$preset" "${flags[@]}" ||
        fail 1 "CMake could not configure; its last lines stand above"
    [ $# -eq 0 ] || set -- --target "$@"
    watched "building preset $preset" "$preset-build" cmake --build --preset "$preset" "$@" ||
        fail 1 "the build failed; its last lines stand above"
}

watched() { # watched WHAT LOG COMMAND…: output into build/LOG.log, its progress here, its tail on failure
    local what=$1 log=build/$2.log code=0
    shift 2
    mkdir -p build
    say "$what (log: $log)"
    "$@" </dev/null 2>&1 | tee "$log" | show_progress || code=$?
    [ "$code" -eq 0 ] || tail -n 40 "$log" >&2
    return "$code"
}

show_progress() { # a terminal sees the newest line; a log file sees each tenth of ninja's [n/m]
    local line tenth=0 columns=${COLUMNS:-80} on_terminal=no
    [ ! -t 1 ] || on_terminal=yes
    while IFS= read -r line; do
        if [ "$on_terminal" = yes ]; then
            printf '\r\033[K%s' "${line:0:columns-1}"
        elif [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
            if ((BASH_REMATCH[1] * 10 / BASH_REMATCH[2] > tenth)); then
                tenth=$((BASH_REMATCH[1] * 10 / BASH_REMATCH[2]))
                printf '  %s\n' "$line"
            fi
        fi
    done
    [ "$on_terminal" = no ] || printf '\r\033[K'
}

doctor() {
    local missing
    fact "system" "$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}"), $(uname -srm)"
    fact "cores, memory" "$(nproc) cores, $(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
    fact "free disk here" "$(df -h --output=avail . | tail -n 1 | tr -d ' ')"
    fact "compiler" "$(first_line cc --version)"
    fact "cmake" "$(first_line cmake --version)"
    fact "postgresql" "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1 || echo none)"
    fact "libsecp256k1" "$(find_secp256k1)"
    fact "bitcoin node" "$(command -v bitcoind || command -v btcd || echo "none; ./owm up has a stand-in")"
    fact "lnd" "$(ls build/peers/bin/lnd 2>/dev/null || echo "none; ./owm up --lightning builds it, with Go")"
    fact "go" "$(first_line go version)"
    fact "gpu" "$(first_line nvidia-smi --list-gpus)"
    fact "amd gpu" "$(ls -d /sys/class/drm/card*/device/mem_info_vram_total 2>/dev/null | wc -l)"
    fact "programs built" "$(ls build/cpu/bin/owm-* 2>/dev/null | wc -l)"
    mapfile -t missing < <(missing_packages "${build_packages[@]}" "${test_packages[@]}")
    if [ ${#missing[@]} -eq 0 ]; then
        say "every package is installed"
    else
        stop_with_line 3 "${missing[@]}"
    fi
}

fact() { printf '%-16s %s\n' "$1" "${2:-none}"; }

first_line() { { command -v "$1" >/dev/null && "$@" 2>/dev/null | sed -n 1p; } || echo none; }
