#!/usr/bin/env bash
# bitcoind.sh: runs COMMAND beside the bitcoind of the PATH on regtest; without one, exit 77.
#
# COMMAND finds the node through OWM_PEER_URL, OWM_PEER_COOKIE and OWM_PEER_ZMQ.
set -euo pipefail
source "$(dirname "$0")/peer.sh"
command -v bitcoind >/dev/null || skip "no bitcoind on the PATH"
prepare
export OWM_PEER_COOKIE=$folder/regtest/.cookie OWM_PEER_ZMQ=$zmq
start bitcoind -regtest -server -disablewallet -listen=0 -datadir="$folder" -rpcport="$port" \
    -zmqpubhashblock="$zmq"
"$@"
