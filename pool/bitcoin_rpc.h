/* bitcoin_rpc.h: JSON-RPC calls to one Bitcoin node over a connection that stays open.
 *
 * Thread: a client makes one call at a time; cancel is for any thread.
 */
#ifndef OWM_POOL_BITCOIN_RPC_H
#define OWM_POOL_BITCOIN_RPC_H

#include "base/http_client.h"
#include "bitcoin_reply.h"

#define OWM_BITCOIN_NAME_BYTES       128
#define OWM_BITCOIN_COOKIE_BYTES_MAX 1024

struct owm_bitcoin_rpc;

/** owm_bitcoin_rpc_name: a node's URL without user, password and path: what logs and errors say. */
void owm_bitcoin_rpc_name(const char *url, char name[static OWM_BITCOIN_NAME_BYTES]);

/** owm_bitcoin_rpc_open: Borrows: node and its texts, until close. Connects with the first call.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_bitcoin_rpc_open(const struct owm_bitcoin_node *node,
                                             struct owm_bitcoin_rpc **rpc);
void owm_bitcoin_rpc_close(struct owm_bitcoin_rpc *rpc); /* NULL is allowed. */
void owm_bitcoin_rpc_cancel(struct owm_bitcoin_rpc *rpc);

struct owm_bitcoin_call {
    const char *method;
    const char *params;   /* JSON array; borrowed. */
    uint32_t deadline_ms; /* Until the reply begins and ends. */
    uint32_t finish_ms;   /* From its first byte to its last; 0: deadline_ms. */
};

/** owm_bitcoin_answer: views live until owm_bitcoin_answer_deinit. */
struct owm_bitcoin_answer {
    struct owm_bitcoin_reply reply;
    struct owm_http_result http;
};

/** owm_bitcoin_rpc_call: one call. A cookie file is read anew for each, and once more if the node
 *  refuses what stood in it: a node that starts writes a new one.
 *
 *  answer  deinit after OWM_OK; zeroed on failure, save reply.failed, reply.code and reply.message.
 *  Returns: OWM_OK; OWM_E_NET, OWM_E_TIMEOUT, OWM_E_LIMIT, OWM_E_CRYPTO, OWM_E_ARG,
 *  OWM_E_CANCELLED of the transport; OWM_E_PERM credentials; OWM_E_PROTO no JSON-RPC; OWM_E_STATE
 *  warming up, downloading blocks, no peers, or too busy; OWM_E_NOTFOUND no such block;
 *  OWM_E_UNSUPPORTED the node does not know the method; OWM_E_IO any other error of the node. The
 *  sentence names node, cause and fix. */
OWM_MUST_USE owm_status owm_bitcoin_rpc_call(struct owm_bitcoin_rpc *rpc,
                                             const struct owm_bitcoin_call *call,
                                             struct owm_bitcoin_answer *answer,
                                             struct owm_error *error);
void owm_bitcoin_answer_deinit(struct owm_bitcoin_answer *answer);

#endif
