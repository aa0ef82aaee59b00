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
    RPC_WALLET = -4,
    RPC_NOT_FOUND = -5,
    RPC_OUT_OF_MEMORY = -7,
    RPC_PARAMETER = -8,
    RPC_DESERIALIZATION = -22,
    RPC_TRANSACTION = -25,
    RPC_REJECTED = -26,
    RPC_IN_CHAIN = -27,
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

/** rpc_values.c: of what parameters and results consist. NULL and false: no memory, or the reply
 *  has a failure. */
json_t *rpc_hash_json(const uint8_t hash[32]);
json_t *rpc_hex_json(const uint8_t *data, size_t bytes);
json_t *rpc_sats_json(int64_t sats); /* In bitcoins. */

/** rpc_bytes: of a hex parameter, malloc'ed; `malformed` is said of one that is no hex. */
uint8_t *rpc_bytes(const json_t *text, size_t *bytes, const char *malformed,
                   struct rpc_reply *reply);
bool rpc_hash(const json_t *text, const char *malformed, uint8_t hash[32], struct rpc_reply *reply);

/** rpc_decimal: a number, or a text with one, times `scale`; from 0 to RPC_DECIMAL_MAX. */
#define RPC_DECIMAL_MAX INT64_C(2100000000000000)
bool rpc_decimal(const json_t *value, double scale, int64_t *out, struct rpc_reply *reply);

/** rpc_transaction_json: as getrawtransaction shows it. */
json_t *rpc_transaction_json(const struct wire_block *block, const struct wire_tx *tx);

/** rpc_block_named: the block of the active chain or another branch that a parameter names. */
const struct chain_node *rpc_block_named(struct rpc *rpc, const json_t *text,
                                         struct rpc_reply *reply);

/** The methods that make blocks (rpc_mining.c), that look at them (rpc_blocks.c), those of the
 *  mempool (rpc_transactions.c) and of the wallet (rpc_wallet.c); the last has no name. */
extern const struct rpc_method rpc_mining[], rpc_blocks[], rpc_transactions[], rpc_wallet[];

#endif
