# steps.sh: what the stories in this folder do to a network on real lnd nodes, and what they wait for.
# Sourced; run by tests/peers/lightning.sh with the folder of our programs.
source "$(dirname "${BASH_SOURCE[0]}")/../../devnet/network.sh"
peers=${OWM_LIGHTNING_PROGRAMS:?run me by tests/peers/lightning.sh}
rig=$work/run/lightning

killed() { # killed WHAT PATTERN: with -9
    local pid
    pid=$(pgrep -n -f "$2") || fail "$1 does not run"
    kill -9 "$pid"
    say "killed: $1"
}

lightning() { "$rig/$1/lncli" "${@:2}"; } # lightning NODE WORDS…

key_of() { lightning "$1" getinfo | grep -oE '"identity_pubkey": *"[0-9a-f]+"' | grep -oE '0[23][0-9a-f]{64}'; }

stake_channel() { # stake_channel FIELD NODE: of the one that it opened; "" once that is closed
    lightning treasury listchannels --peer "$(key_of "$2")" | awk -v field="\"$1\":" '
        $1 == field { gsub(/[",]/, "", $2); value = $2 } /"initiator": *false/ { print value }'
}

becomes() { # becomes NODE STATUS SECONDS
    local end=$((SECONDS + $3))
    until "$bin/owm-devnet" status --folder "$work/run" 2>/dev/null | grep -qE "^$1 .* $2 "; do
        kill -0 "$net" 2>/dev/null || fail "the network ended before $1 was $2"
        [ "$SECONDS" -lt "$end" ] || fail "$1 is not $2 within $3 s"
        sleep 0.5
    done
    say "$1 is $2"
}

logs() { # logs NODE WORD SECONDS: until its log has it
    local end=$((SECONDS + $3))
    until grep -q "$2" "$work/run/logs/$1.log"; do
        kill -0 "$net" 2>/dev/null || fail "the network ended before $1 was told $2"
        [ "$SECONDS" -lt "$end" ] || fail "$1 was not told $2 within $3 s"
        sleep 0.2
    done
    say "$1 was told $2"
}
