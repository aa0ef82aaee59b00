/* tree.h: an OpenTimestamps proof in memory: messages, the ops that lead from one to the next, and
 * the attestations at them.
 *
 * 1. A node is a message. Every other node than the root is the result of an op on its parent's.
 * 2. The index of a node is larger than its parent's, so one loop over the indices sees parents
 *    first: nothing here recurses.
 * 3. Children and attestations hang in the order in which they are written; the same one is never
 *    there twice. Adding what is there finds it, so that two proofs of one message merge and
 *    neither loses an attestation.
 * 4. Limits hold at every step: depth as in the reference (256 nodes on a path), and a number of
 *    items that the reference does not have.
 */
#ifndef OWM_OTS_TREE_H
#define OWM_OTS_TREE_H

#include <stddef.h>

#include "attestation.h"

#define OWM_OTS_NODES_DEEP_MAX 256  /* On a path: the root and 255 ops. */
#define OWM_OTS_ITEMS_MAX      4096 /* Nodes and attestations of a tree together. */
#define OWM_OTS_NONE           UINT32_MAX
#define OWM_OTS_ROOT           0

struct owm_ots_node {
    struct owm_ots_op op; /* From the parent's message to this one; of the root: nothing. */
    struct owm_ots_bytes message;
    uint32_t parent, child, next; /* child: the first; next: sibling. OWM_OTS_NONE: none. */
    uint32_t attestation;         /* The first. */
    uint32_t depth;               /* Of the root: 0. */
};

/** owm_ots_tree: caller-owned; read the fields, change them through the functions alone.
 *  Thread: one at a time. */
struct owm_ots_tree {
    struct owm_ots_node *nodes;
    struct owm_ots_attestation *attestations;
    uint32_t node_count, node_room;
    uint32_t attestation_count, attestation_room;
    struct owm_ots_chunk *chunks; /* Bytes of messages, arguments and payloads. */
    bool changed;                 /* Something came after owm_ots_parse. */
};

/** owm_ots_tree_init: a root alone, which holds a copy of the message. After a failure nothing
 *  needs a deinit.
 *  Returns: OWM_OK; OWM_E_PROTO longer than a message may be; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_tree_init(struct owm_ots_tree *tree, struct owm_ots_bytes message,
                                          struct owm_error *error);
void owm_ots_tree_deinit(struct owm_ots_tree *tree); /**< Safe on a zeroed one, and twice. */

/** owm_ots_add_op: the node behind an op, which may be there already. The argument is copied.
 *  Returns: OWM_OK; OWM_E_PROTO as owm_ots_op_apply; OWM_E_LIMIT too deep or too many items;
 *  OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_add_op(struct owm_ots_tree *tree, uint32_t node,
                                       struct owm_ots_op op, uint32_t *child,
                                       struct owm_error *error);

/** owm_ots_add_attestation: copied, with its bytes; node and next of it are not read.
 *  added  whether it was not there; NULL is allowed.
 *  Returns: OWM_OK; OWM_E_LIMIT too many items; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ots_add_attestation(struct owm_ots_tree *tree, uint32_t node,
                                                const struct owm_ots_attestation *attestation,
                                                bool *added, struct owm_error *error);

/** owm_ots_merge: all of `from`, whose root must be the message of `node`.
 *  added  attestations that were not there; NULL is allowed.
 *  Returns: OWM_OK; OWM_E_PROTO another message; OWM_E_LIMIT and OWM_E_NOMEM leave the part that
 *  came first, which is a valid tree except for nodes that may attest nothing. */
OWM_MUST_USE owm_status owm_ots_merge(struct owm_ots_tree *tree, uint32_t node,
                                      const struct owm_ots_tree *from, uint32_t *added,
                                      struct owm_error *error);

#endif
