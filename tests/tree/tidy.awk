# tidy.awk: the rules a compiler does not check, one block each; prints file:line: rule.
# Input: the files as arguments, relative to the top. Exit 1 if any rule is broken. Plain POSIX awk.

function bad(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; found++ }

BEGIN {
    # A layer may include what stands here, and nothing else that is a layer.
    may["base"] = " base "
    may["kernels"] = " base kernels "
    may["dataplane"] = " base kernels dataplane "
    may["controlplane"] = " base kernels dataplane controlplane "
    may["node"] = " base kernels dataplane node "
    may["devnet"] = " base kernels dataplane devnet "
    may["pool"] = " base kernels dataplane pool "
    may["miner"] = " base kernels dataplane miner "
    may["ots"] = " base kernels dataplane ots "

    # A library is seen by one place: header, the paths that may include it, what to include instead.
    library("grpc/", "^base/rpc/grpc[^/]*\\.[ch]$", "only base/rpc/grpc*.c includes gRPC; use base/rpc/rpc.h")
    library("libpq-fe.h", "^base/pg/", "only base/pg includes libpq; use base/pg/pg.h")
    library("postgresql/", "^base/pg/", "only base/pg includes libpq; use base/pg/pg.h")
    library("cu(da|blas|rand|sparse)[A-Za-z0-9_]*\\.h", "^kernels/(cuda|hip)/", "only kernels/cuda includes CUDA")
    library("nccl", "^kernels/(cuda|hip)/", "only kernels/cuda includes NCCL")
    library("hip/", "^kernels/hip/", "only kernels/hip includes HIP")
    library("toml\\+\\+/", "^base/conf_toml\\.cpp$", "only base/conf_toml.cpp includes toml++; use base/conf.h")
    library("liburing", "^dataplane/net/uring[^/]*\\.c$", "only dataplane/net/uring*.c includes liburing")
    library("rte_", "^dataplane/net/dpdk[^/]*\\.c$", "only dataplane/net/dpdk*.c includes DPDK")
    library("libwebsockets", "^base/", "only base includes libwebsockets; use base/http_server.h")
    library("curl/", "^base/", "only base includes curl; use base/http_client.h")
    library("nettle/", "^dataplane/ots/(op|file_hash)\\.c$",
            "only dataplane/ots/op.c and file_hash.c include nettle")
    library("zmq(_utils)?\\.h>", "^(pool/zmq|devnet/blocks/publish)\\.c$",
            "only pool/zmq.c and devnet/blocks/publish.c include libzmq")
}

function library(header, where, text) {
    libraries++
    lib_header[libraries] = "^#[ \t]*include[ \t]*[<\"]" header
    lib_where[libraries] = where
    lib_text[libraries] = text
}

FNR == 1 {
    base = FILENAME; sub(/.*\//, "", base)
    layer = FILENAME; sub(/\/.*/, "", layer)
    is_code = base ~ /\.(c|h|cu|cuh|hip|cpp)$/
    start = 0
    first = 0
}

# The first line says what the file is; a script's shebang may stand before it.
is_code && FNR == 1 && index($0, "/* " base ": ") != 1 { bad("first line must be \"/* " base ": what it is. */\"") }
!is_code && FNR <= 2 && index($0, "# " base ": ") == 1 { first = 1 }
!is_code && FNR == 2 && !first { bad("first line must be \"# " base ": what it is\"") }

{ # columns are characters: the later bytes of UTF-8 do not count
    line = $0
    gsub(/[\200-\277]/, "", line)
    if (length(line) > (is_code ? 100 : 120)) bad("over " (is_code ? 100 : 120) " columns")
}
/[ \t]$/ { bad("trailing space") }
/\r$/ { bad("carriage return") }
/(^|[^A-Za-z0-9_])(T[O]DO|F[I]XME|X[X]X)($|[^A-Za-z0-9_])/ { bad("open it as an issue instead") }
FNR == 801 { bad("file over 800 lines") }

is_code && /(^|[^A-Za-z0-9_])(strcpy|strcat|sprintf|vsprintf|atoi|atof|atol|strtok|gets)\(/ { bad("banned call") }
is_code && /^\{$/ { start = FNR }
is_code && /^\}$/ && start { if (FNR - start - 1 > 70) bad("function over 70 lines"); start = 0 }

is_code && /^#[ \t]*include[ \t]*"/ {
    name = $0; sub(/^[^"]*"/, "", name); sub(/".*/, "", name)
    if (name ~ /(^|\/)\.\.\//) bad("include by layer (\"base/log.h\"), never by \"../\"")
    target = name; sub(/\/.*/, "", target)
    if (name ~ /\// && (layer in may) && (target in may) && !index(may[layer], " " target " "))
        bad(layer " must not include " target)
}
is_code && layer != "tests" && /^#[ \t]*include/ {
    for (i = 1; i <= libraries; i++)
        if ($0 ~ lib_header[i] && FILENAME !~ lib_where[i]) bad(lib_text[i])
}

END { exit found > 0 }
