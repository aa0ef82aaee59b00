#!/usr/bin/env bash
# tidy.sh: checks the whole tree with tidy.awk; with --self-test plants one fault per rule and finds it.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/tree/files.sh
export LC_ALL=C
rules=$PWD/tests/tree/tidy.awk

check_tree() {
    local files
    mapfile -t files < <(tree_files '*.c' '*.h' '*.cu' '*.cuh' '*.hip' '*.cpp' '*.sh' '*.awk' '*.cmake' owm)
    [ ${#files[@]} -gt 5 ] || { echo "no files to check: is this the tree?"; exit 1; }
    awk -f "$rules" "${files[@]}"
    echo "tidy: ${#files[@]} files keep the rules"
}

# plant FILE RULE BODY: FILE, with its proper first line and then BODY, must be reported as RULE.
plant() {
    local file=$1 rule=$2 body=$3
    mkdir -p "$(dirname "$file")"
    printf '/* %s: a planted fault. */\n%b\n' "$(basename "$file")" "$body" >"$file"
    expect "$file" "$rule"
}

expect() { # expect FILE RULE: RULE is reported; an empty RULE means that nothing is
    local file=$1 rule=$2 said
    said=$(awk -f "$rules" "$file") || true
    planted=$((planted + 1))
    if [ -z "$rule" ]; then
        [ -z "$said" ] || { echo "clean file reported: $said"; exit 1; }
    else
        case $said in *"$rule"*) ;; *) echo "not found: $rule in $file (said: $said)"; exit 1 ;; esac
    fi
}

repeat() { local i; for ((i = 0; i < $1; i++)); do printf '%s' "$2"; done; }

self_test() {
    local planted=0 long_line body
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    long_line=$(repeat 101 x)
    body=$(repeat 71 '    f();\n')
    plant base/clean.c "" '#include "base/log.h"\n#include "file.h"\n\nint f(void)\n{\n    return 0;\n}'
    plant base/dash.c "" "// $(repeat 88 x) – – – –"
    plant base/long.c "over 100 columns" "$long_line"
    plant base/space.c "trailing space" 'int a; '
    plant base/crlf.c "carriage return" 'int a;\r'
    plant base/later.c "open it as an issue" '// TO''DO: later'
    plant base/lines.c "file over 800 lines" "$(repeat 801 '\n')"
    plant base/function.c "function over 70 lines" "void f(void)\n{\n$body}"
    local call
    for call in strcpy strcat sprintf vsprintf atoi atof atol strtok gets; do
        plant base/call.c "banned call" "void f(void)\n{\n    $call(a);\n}"
    done
    plant base/snprintf.c "" 'int n = snprintf(a, b, c);'
    plant base/up.c 'never by "../"' '#include "../kernels/ops.h"'
    plant base/layer.c "base must not include kernels" '#include "kernels/ops.h"'
    plant kernels/layer.c "kernels must not include dataplane" '#include "dataplane/fl/delta.h"'
    plant dataplane/fl/layer.c "dataplane must not include node" '#include "node/node.h"'
    plant node/layer.c "node must not include controlplane" '#include "controlplane/db/db.h"'
    plant controlplane/layer.c "controlplane must not include node" '#include "node/node.h"'
    plant devnet/layer.c "devnet must not include controlplane" '#include "controlplane/db/db.h"'
    plant base/rpc/other.c "only base/rpc/grpc" '#include <grpc/grpc.h>'
    plant base/rpc/grpc_core.c "" '#include <grpc/grpc.h>'
    plant node/pq.c "only base/pg includes libpq" '#include <libpq-fe.h>'
    plant base/pg/pg.c "" '#include <libpq-fe.h>'
    plant node/pq2.c "only base/pg includes libpq" '#include <postgresql/libpq-fe.h>'
    plant dataplane/gpu.c "only kernels/cuda includes CUDA" '#include <cuda_runtime.h>'
    plant dataplane/nccl.c "includes NCCL" '#include <nccl.h>'
    plant kernels/cuda/gpu.cu "" '#include <cuda_runtime.h>\n#include <nccl.h>'
    plant kernels/cpu/hip.c "only kernels/hip includes HIP" '#include <hip/hip_runtime.h>'
    plant base/conf.cpp "only base/conf_toml.cpp" '#include <toml++/toml.h>'
    plant base/conf_toml.cpp "" '#include <toml++/toml.h>'
    plant dataplane/net/other.c "includes liburing" '#include <liburing.h>'
    plant dataplane/net/other2.c "includes DPDK" '#include <rte_eal.h>'
    plant node/page.c "only base includes libwebsockets" '#include <libwebsockets.h>'
    plant node/get.c "only base includes curl" '#include <curl/curl.h>'
    plant pool/bitcoin.c "only pool/zmq.c and devnet" '#include <zmq.h>'
    plant pool/zmq.c "" '#include "zmq.h"\n#include <zmq.h>'
    plant pool/bitcoin2.c "" '#include "zmq.h"'
    printf 'int a;\n' >base/first.c && expect base/first.c "first line must be"
    printf '#!/bin/sh\n# other.sh: a script\n' >script.sh && expect script.sh "first line must be"
    printf '#!/bin/sh\n# script.sh: a script\n' >script.sh && expect script.sh ""
    echo "tidy: $planted planted files judged rightly"
}

case ${1:-} in
--self-test) self_test ;;
"") check_tree ;;
*) echo "usage: tidy.sh [--self-test]" >&2; exit 2 ;;
esac
