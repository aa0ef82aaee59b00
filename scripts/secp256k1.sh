# secp256k1.sh: libsecp256k1 0.4 or newer, which the handshake of Stratum v2 stands on (ElligatorSwift). Sourced
# by ./owm.
#
# Debian 13 has it. Debian 12 and Ubuntu 24.04 have an older one, so there the two packages of Debian 13 are
# unpacked into the build folder, where cmake/secp256k1.cmake looks: nothing of the system is replaced.
# They are fetched by apt with lists and settings of their own, signatures checked as ever.

secp256k1_folder=build/deps/secp256k1
secp256k1_packages=(libsecp256k1-2 libsecp256k1-dev)
debian_keys=/usr/share/keyrings/debian-archive-keyring.gpg

find_secp256k1() { # is it there? prints where
    if pkg-config --atleast-version=0.4 libsecp256k1 2>/dev/null; then
        echo "the system's $(pkg-config --modversion libsecp256k1)"
    elif [ -e "$secp256k1_folder/complete" ]; then
        echo "$secp256k1_folder"
    else
        return 1
    fi
}

# setup_secp256k1: afterwards it is there, or we have stopped with what to do.
setup_secp256k1() {
    find_secp256k1 >/dev/null && return
    command -v dpkg-query >/dev/null || return 0 # setup has said that CMake will name what it misses
    if dpkg --compare-versions "$(secp256k1_candidate)" ge 0.4; then
        setup libsecp256k1-dev
        return
    fi
    if [ "$install" = no ]; then
        say "libsecp256k1 0.4 or newer is missing, and this system's own is older"
        say "'./owm setup' unpacks that of Debian 13 into $secp256k1_folder; or install one where pkg-config finds it"
        exit 3
    fi
    [ -e "$debian_keys" ] || setup debian-archive-keyring
    watched "fetching libsecp256k1 of Debian 13 (once)" secp256k1 fetch_secp256k1 ||
        fail 1 "libsecp256k1 could not be fetched; the last lines stand above. One that pkg-config finds will do too"
}

secp256k1_candidate() { # the version that this system would install, or 0
    local version
    version=$(apt-cache policy libsecp256k1-dev 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
    case $version in "" | "(none)") echo 0 ;; *) echo "$version" ;; esac
}

fetch_secp256k1() ( # of two at once the second waits, and finds it done
    mkdir -p build/deps
    exec 9>build/deps/secp256k1.lock
    flock 9
    [ ! -e "$secp256k1_folder/complete" ] || exit 0
    rm -rf "$secp256k1_folder"
    mkdir -p "$secp256k1_folder"/apt/{none,lists/partial,cache/archives/partial}
    cd "$secp256k1_folder" || exit 1
    download_secp256k1 "$(debian_mirror)" || download_secp256k1 http://deb.debian.org/debian || exit 1
    for package in ./*.deb; do dpkg -x "$package" . || exit 1; done
    ls ./usr/include/secp256k1_ellswift.h || exit 1
    rm -rf apt ./*.deb
    touch complete
)

download_secp256k1() { # download_secp256k1 MIRROR: the .deb files into this folder
    local apt=(apt-get -q -o Dir::Etc::sourcelist="$PWD/apt/sources.list" -o Dir::Etc::sourceparts="$PWD/apt/none"
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$PWD/apt/none"
        -o Dir::State::lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt/cache" -o APT::Default-Release=
        -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none)
    printf 'deb [signed-by=%s] %s trixie main\n' "$debian_keys" "$1" >apt/sources.list
    "${apt[@]}" update && "${apt[@]}" download "${secp256k1_packages[@]}"
}

debian_mirror() { # the machine's own mirror of Debian, if it has one
    local uri
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 2>/dev/null | sed -n 1p)
    echo "${uri:-http://deb.debian.org/debian}"
}
