/* rpc_internal.h: what a method gets and gives. */
#ifndef OWM_DEVNET_BLOCKS_RPC_INTERNAL_H
#define OWM_DEVNET_BLOCKS_RPC_INTERNAL_H

#include <jansson.h>

#include "rpc.h"

/* Bitcoin Core's protocol.h. */
enum rpc_code {
    RPC_OK = 0,
    RPC_MISC = -1,
    RPC_TYPE = -3,
    RPC_NOT_FOUND = -5,
    RPC_OUT_OF_MEMORY = -7,
    RPC_PARAMETER = -8,
    RPC_DESERIALIZATION = -22,
    RPC_INVALID_REQUEST = -32600,
    RPC_NO_METHOD = -32601,
    RPC_PARSE = -32700,
};

/** rpc_reply: `result` is a new reference (NULL: null). retry_ms above 0: ask the method again. */
struct rpc_reply {
    json_t *result;
    enum rpc_code code;
    const char *message;
    unsigned retry_ms;
};

struct rpc_method {
    const char *name;
    void (*call)(struct rpc *rpc, const json_t *params, struct rpc_reply *reply);
};

void rpc_fail(struct rpc_reply *reply, enum rpc_code code, const char *message);

/** The methods that make blocks (rpc_mining.c) and those that look at them (rpc_blocks.c); the last
 *  has no name. */
extern const struct rpc_method rpc_mining[], rpc_blocks[];

#endif
