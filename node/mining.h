/* mining.h: the miner inside owm-node (SRS-NODE-13): dataplane/mine with the node's identity,
 * standing still while a task runs unless the operator says otherwise.
 */
#ifndef OWM_NODE_MINING_H
#define OWM_NODE_MINING_H

#include <stdio.h>

#include "base/json.h"
#include "node/node.h"

struct node_mining;

/** node_mining_open: with mining.enabled false, *mining is NULL. Metrics go to node->metrics.
 *  Returns: OWM_OK; OWM_E_CONFIG a pool's address; as owm_mine_open. */
OWM_MUST_USE owm_status node_mining_open(struct node *node, struct node_mining **mining,
                                         struct owm_error *error);
void node_mining_close(struct node_mining *mining); /* NULL is allowed. */

/** node_mining_json: for /health; null when the node does not mine. */
json_t *node_mining_json(struct node_mining *mining);

/** node_mining_line: two sentences for the page; "" when the node does not mine. */
void node_mining_line(struct node_mining *mining, char *text, size_t bytes);

#endif
