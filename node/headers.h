/* headers.h: this node's own block headers, which the blocks of proofs are checked with: from its
 * operator's Bitcoin node or from a file (docs/ots-verification.md). */
#ifndef OWM_NODE_HEADERS_H
#define OWM_NODE_HEADERS_H

#include "dataplane/ots/headers.h"
#include "node/config.h"

typedef struct node_headers node_headers;

/** node_headers_open: nothing is asked or read yet.
 *
 *  config   borrowed until close: model.bitcoin_*, model.headers_file.
 *  headers  NULL where neither is set.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status node_headers_open(const struct owm_node_config *config,
                                          node_headers **headers, struct owm_error *error);
void node_headers_close(node_headers *headers); /**< NULL is allowed. */

/** node_headers_source: borrowed from headers. Its tip opens what is not open: a Bitcoin node after
 *  it failed, a file after it was changed. A failure of either is no OWM_E_LIMIT.
 *  Thread: one at a time. */
struct owm_ots_headers node_headers_source(node_headers *headers);

#endif
