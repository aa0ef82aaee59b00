/* merkle.h: many digests under one, so that one submission to a calendar stamps them all.
 *
 * The tree of the reference implementation, not Bitcoin's: pairs in order, left `append right`,
 * right `prepend left`, both then sha256; the odd one at the end goes up as it is.
 */
#ifndef OWM_OTS_MERKLE_H
#define OWM_OTS_MERKLE_H

#include "tree.h"

#define OWM_OTS_LEAVES_MAX  65536
#define OWM_OTS_NONCE_BYTES 16

/** owm_ots_leaf: a node of a tree of its own; afterwards the node whose message all share. */
struct owm_ots_leaf {
    struct owm_ots_tree *tree;
    uint32_t node;
};

/** owm_ots_blind: a nonce and a hash behind it, so that neighbours and calendars learn nothing of
 *  the message. *node moves to the new one. nonce: from a generator fit for keys.
 *  Returns: as owm_ots_add_op. */
OWM_MUST_USE owm_status owm_ots_blind(struct owm_ots_leaf *leaf,
                                      const uint8_t nonce[static OWM_OTS_NONCE_BYTES],
                                      struct owm_error *error);

/** owm_ots_merkle: lead every leaf to the one root. A single leaf is its own root.
 *  Returns: OWM_OK; OWM_E_ARG no leaf, or more than OWM_OTS_LEAVES_MAX; else as owm_ots_add_op. */
OWM_MUST_USE owm_status owm_ots_merkle(struct owm_ots_leaf *leaves, size_t count,
                                       struct owm_error *error);

#endif
