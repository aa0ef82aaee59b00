/* rpc.h: Bitcoin Core's JSON-RPC over chain, mempool and wallet, as far as a pool and a calendar
 * need it. */
#ifndef OWM_DEVNET_BLOCKS_RPC_H
#define OWM_DEVNET_BLOCKS_RPC_H

#include "base/http_server.h"
#include "chain.h"
#include "mempool.h"
#include "publish.h"

#define RPC_BODY_BYTES_MAX (2 * WIRE_BLOCK_BYTES_MAX + 65536) /* A block in hex. */
#define RPC_SECRET_MAX     256

struct rpc {
    struct chain *chain;
    struct mempool *mempool;     /* Of that chain. */
    struct publisher *publisher; /* NULL: nobody is told. */
    uint32_t spends_max;
    char authorization[2 * RPC_SECRET_MAX]; /* The header that is expected. */
};

/** rpc_expect: who may call. false: longer than RPC_SECRET_MAX. */
bool rpc_expect(struct rpc *rpc, const char *user, const char *password);

/** rpc_handle: the handler of POST /; ctx is a struct rpc. */
void rpc_handle(void *ctx, const struct owm_http_request *request, owm_http_response *response);

#endif
