/* anchor_path.h: from a promise to the header of a block: the tree over a batch, the transaction
 * that holds its root, the block's own tree. No IO. Private to ots/calendar.
 */
#ifndef OWM_OTS_CALENDAR_ANCHOR_PATH_H
#define OWM_OTS_CALENDAR_ANCHOR_PATH_H

#include "anchors.h"
#include "journal.h"

#define ANCHOR_CHUNK 256 /* Promises; a batch has at most as many chunks. */

/** anchor_tops: the tree of dataplane/ots/merkle.h over a batch's promises, each through sha256
 *  first, cut at the roots of its chunks. With them at hand a path costs one chunk, not the batch.
 *
 *  count  from 1 to OWM_OTS_LEAVES_MAX promises from `first` on.
 *  tops   [ANCHOR_CHUNK][32] written, the first anchor_chunks(count) of it.
 *  root   [32] written. */
void anchor_tops(struct journal *journal, uint32_t first, uint32_t count, uint8_t (*tops)[32],
                 uint8_t root[32]);
uint32_t anchor_chunks(uint32_t count);

/** anchor_fold: the root of the block's tree, from the transaction along the branches. */
void anchor_fold(const uint8_t txid[static 32], const struct anchor_end *end, uint8_t root[32]);

/** anchor_branches: of a transaction among those of a block, in order.
 *
 *  txids  [count][32], overwritten; count at least 1.
 *  end    position is read; branches and branch are written.
 *  Returns: false: more branches than ANCHOR_BRANCHES_MAX. */
bool anchor_branches(uint8_t (*txids)[32], uint32_t count, struct anchor_end *end);

/** anchor_path: all steps, added to a tree whose root is the promise; then the attestation.
 *  Returns: OWM_OK; as owm_ots_add_op. */
struct anchor_place {
    struct journal *journal;
    uint32_t first, count, index; /* The batch, and the promise in the journal. */
    const uint8_t (*tops)[32];    /* As anchor_tops writes them. */
    const struct anchor_transaction *transaction;
    const struct anchor_end *end;
};
OWM_MUST_USE owm_status anchor_path(const struct anchor_place *place, struct owm_ots_tree *tree,
                                    struct owm_error *error);

#endif
