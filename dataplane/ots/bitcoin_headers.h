/* bitcoin_headers.h: block headers from a Bitcoin node over JSON-RPC. */
#ifndef OWM_OTS_BITCOIN_HEADERS_H
#define OWM_OTS_BITCOIN_HEADERS_H

#include "bitcoin_rpc.h"
#include "headers.h"

typedef struct owm_ots_bitcoin_node owm_ots_bitcoin_node;

/** owm_ots_bitcoin_open: ask the node once whether it is of the network, by its first block.
 *
 *  url, cookie  as owm_ots_bitcoin_rpc_open.
 *  Returns: OWM_OK; OWM_E_CONFIG another network; OWM_E_ARG the URL; OWM_E_NOMEM; as
 *  owm_ots_bitcoin_call.
 */
OWM_MUST_USE owm_status owm_ots_bitcoin_open(const char *url, const char *cookie,
                                             enum owm_network network, owm_ots_bitcoin_node **node,
                                             struct owm_error *error);
void owm_ots_bitcoin_close(owm_ots_bitcoin_node *node); /**< NULL is allowed. */

/** owm_ots_bitcoin_source: borrowed from the node, which is asked when it is. A header is refused
 *  (OWM_E_PROTO) if it is not of the hash that the node names, or has not the work for it.
 *  Thread: one at a time. */
struct owm_ots_headers owm_ots_bitcoin_source(owm_ots_bitcoin_node *node);

/** owm_ots_bitcoin_hash: of the block at a height. Returns: OWM_OK; OWM_E_NOTFOUND; as open. */
OWM_MUST_USE owm_status owm_ots_bitcoin_hash(owm_ots_bitcoin_node *node, uint64_t height,
                                             uint8_t hash[static 32], struct owm_error *error);

/** owm_ots_bitcoin_rpc_of: for other calls to the same node; borrowed from it. */
owm_ots_bitcoin_rpc *owm_ots_bitcoin_rpc_of(owm_ots_bitcoin_node *node);

#endif
