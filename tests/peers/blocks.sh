#!/usr/bin/env bash
# blocks.sh: runs COMMAND beside PROGRAM, the development network's own block source: blocks.sh PROGRAM COMMAND…
#
# COMMAND finds the source through OWM_PEER_URL, OWM_PEER_COOKIE and OWM_PEER_ZMQ.
set -euo pipefail
source "$(dirname "$0")/peer.sh"
prepare
export OWM_PEER_COOKIE=$folder/.cookie OWM_PEER_ZMQ=$zmq
start "$1" --folder "$folder" --port "$port" --zmqpubhashblock "$zmq"
"${@:2}"
