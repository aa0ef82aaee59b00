/* anchor_path.h: from a promise to the header of a block: the tree over a batch, the transaction
 * that holds its root, the block's own tree. No IO. Private to ots/calendar.
 */
#ifndef OWM_OTS_CALENDAR_ANCHOR_PATH_H
#define OWM_OTS_CALENDAR_ANCHOR_PATH_H

#include "anchors.h"
#include "journal.h"

/** anchor_levels: the tree of dataplane/ots/merkle.h over a batch's promises, each through sha256
 *  first; level by level, kept so that many paths cost little. */
struct anchor_levels {
    uint8_t (*node)[32]; /* The leaves, then each level above; the last is the root. */
    uint32_t count;      /* Of leaves. */
};

/** anchor_levels_make: over promises `first` to first + count - 1; count from 1 to
 *  OWM_OTS_LEAVES_MAX.   Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status anchor_levels_make(struct journal *journal, uint32_t first, uint32_t count,
                                           struct anchor_levels *levels);
void anchor_levels_deinit(struct anchor_levels *levels); /**< Safe on a zeroed one, and twice. */
const uint8_t *anchor_levels_root(const struct anchor_levels *levels);

/** anchor_fold: the root of the block's tree, from the transaction along the branches. */
void anchor_fold(const uint8_t txid[static 32], const struct anchor_end *end, uint8_t root[32]);

/** anchor_branches: of a transaction among those of a block, in order.
 *
 *  txids  [count][32], overwritten; count at least 1.
 *  end    position is read; branches and branch are written.
 *  Returns: false: more branches than ANCHOR_BRANCHES_MAX. */
bool anchor_branches(uint8_t (*txids)[32], uint32_t count, struct anchor_end *end);

/** anchor_path: all steps, added to a tree whose root is the promise; then the attestation.
 *  leaf  of the promise in the batch.
 *  Returns: OWM_OK; as owm_ots_add_op. */
struct anchor_place {
    const struct anchor_levels *levels;
    uint32_t leaf;
    const struct anchor_transaction *transaction;
    const struct anchor_end *end;
};
OWM_MUST_USE owm_status anchor_path(const struct anchor_place *place, struct owm_ots_tree *tree,
                                    struct owm_error *error);

#endif
