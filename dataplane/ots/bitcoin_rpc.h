/* bitcoin_rpc.h: JSON-RPC calls to one Bitcoin node, and to its wallet where it has one.
 *
 * Thread: a client makes one call at a time; cancel is for any thread.
 */
#ifndef OWM_OTS_BITCOIN_RPC_H
#define OWM_OTS_BITCOIN_RPC_H

#include <jansson.h>

#include "base/status.h"

#define OWM_OTS_RPC_REPLY_BYTES_MAX (32 * 1024 * 1024) /* A large block's transactions, by name. */
#define OWM_OTS_RPC_DEADLINE_MS     10000

typedef struct owm_ots_bitcoin_rpc owm_ots_bitcoin_rpc;

/** owm_ots_bitcoin_rpc_open: connects with the first call.
 *
 *  url     http://user:password@host:port[/wallet/NAME] or without user; copied. In errors it
 *          stands without them.
 *  cookie  Bitcoin Core's cookie file, in place of user and password; copied. It is read before
 *          each call, for a node that starts writes a new one. NULL: none.
 *  Returns: OWM_OK; OWM_E_ARG the URL; OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_ots_bitcoin_rpc_open(const char *url, const char *cookie,
                                                 owm_ots_bitcoin_rpc **rpc,
                                                 struct owm_error *error);
void owm_ots_bitcoin_rpc_close(owm_ots_bitcoin_rpc *rpc); /**< NULL is allowed. */

/** owm_ots_bitcoin_rpc_cancel: as owm_http_client_cancel. */
void owm_ots_bitcoin_rpc_cancel(owm_ots_bitcoin_rpc *rpc);

/** owm_ots_bitcoin_rpc_url: without user and password; as long as the client. */
const char *owm_ots_bitcoin_rpc_url(const owm_ots_bitcoin_rpc *rpc);

/** Codes of a node's errors (Bitcoin Core's rpc/protocol.h). */
enum owm_ots_bitcoin_code {
    OWM_OTS_BITCOIN_NO_METHOD = -32601, /* Also: a node without wallets. */
    OWM_OTS_BITCOIN_WARMING_UP = -28,
    OWM_OTS_BITCOIN_IN_CHAIN = -27, /* A transaction that is sent. */
    OWM_OTS_BITCOIN_REJECTED = -26,
    OWM_OTS_BITCOIN_TRANSACTION = -25, /* Its inputs are missing or spent, among others. */
    OWM_OTS_BITCOIN_WALLET_NOT_NAMED = -19,
    OWM_OTS_BITCOIN_NO_WALLET = -18,
    OWM_OTS_BITCOIN_LOCKED = -13,
    OWM_OTS_BITCOIN_PARAMETER = -8, /* Also: no block at that height. */
    OWM_OTS_BITCOIN_NO_COINS = -6,
    OWM_OTS_BITCOIN_UNKNOWN = -5, /* Block or transaction. */
    OWM_OTS_BITCOIN_WALLET = -4,
};

/** owm_ots_bitcoin_call: one call.
 *
 *  params  a JSON array, as text.
 *  result  of any type, null included; json_decref it after OWM_OK.
 *  code    of the node's error; 0: it told none. NULL: not wanted.
 *  Returns: OWM_OK; OWM_E_PERM credentials; OWM_E_NOTFOUND codes -5 and -8; OWM_E_STATE the node is
 *  starting; OWM_E_UNSUPPORTED it does not know the method; OWM_E_PROTO any other error of the
 *  node, or no node at all; OWM_E_NET, OWM_E_TIMEOUT, OWM_E_LIMIT, OWM_E_CRYPTO, OWM_E_CANCELLED of
 *  the transport; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_bitcoin_call(owm_ots_bitcoin_rpc *rpc, const char *method,
                                             const char *params, json_t **result, int *code,
                                             struct owm_error *error);

/** owm_ots_bitcoin_reply_read: what a call returns, from the bytes of a reply. Sentences begin with
 *  `url`.   Returns: as owm_ots_bitcoin_call, without the transport. */
OWM_MUST_USE owm_status owm_ots_bitcoin_reply_read(const char *url, const void *data, size_t bytes,
                                                   json_t **result, int *code,
                                                   struct owm_error *error);

#endif
