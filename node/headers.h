/* headers.h: this node's own block headers, which the blocks of proofs are checked with: from its
 * operator's Bitcoin node, from a file, or from both (dataplane/ots/header_source.h). */
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

/** node_headers_source: borrowed from headers. Its tip is what asks the Bitcoin node, reads or
 *  extends the file; OWM_E_AGAIN: it is not at the newest block yet. Never OWM_E_LIMIT.
 *  Thread: one at a time. */
struct owm_ots_headers node_headers_source(node_headers *headers);

#endif
