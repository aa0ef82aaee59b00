/* anchor_path.c: three trees on top of each other. */
#include "anchor_path.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "dataplane/chain/hash.h"

/* --- the tree over a batch: an odd one at the end goes up as it is --------------------------- */

static void join(const uint8_t left[32], const uint8_t right[32], uint8_t parent[32])
{
    uint8_t pair[64];
    memcpy(pair, left, 32);
    memcpy(pair + 32, right, 32);
    owm_sha256(pair, sizeof pair, parent);
}

static uint32_t node_count(uint32_t leaves)
{
    uint32_t nodes = leaves;
    for (uint32_t width = leaves; width > 1; nodes += width) width = width / 2 + width % 2;
    return nodes;
}

owm_status anchor_levels_make(struct journal *journal, uint32_t first, uint32_t count,
                              struct anchor_levels *levels)
{
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    OWM_ASSERT(count > 0 && count <= OWM_OTS_LEAVES_MAX);
    *levels = (struct anchor_levels){calloc(node_count(count), 32), count};
    if (!levels->node) return OWM_E_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        journal_get(journal, first + i, commitment);
        owm_sha256(commitment, sizeof commitment, levels->node[i]);
    }
    uint8_t(*below)[32] = levels->node;
    for (uint32_t width = count; width > 1; width = width / 2 + width % 2) {
        uint8_t(*above)[32] = below + width;
        for (uint32_t i = 0; i < width / 2; i++) join(below[2 * i], below[2 * i + 1], above[i]);
        if (width % 2) memcpy(above[width / 2], below[width - 1], 32);
        below = above;
    }
    return OWM_OK;
}

void anchor_levels_deinit(struct anchor_levels *levels)
{
    free(levels->node);
    *levels = (struct anchor_levels){0};
}

const uint8_t *anchor_levels_root(const struct anchor_levels *levels)
{
    return levels->node[node_count(levels->count) - 1];
}

/* --- the block's tree: an odd one at the end is its own neighbour ---------------------------- */

static void join_twice(const uint8_t left[32], const uint8_t right[32], uint8_t parent[32])
{
    join(left, right, parent);
    owm_sha256(parent, 32, parent);
}

void anchor_fold(const uint8_t txid[static 32], const struct anchor_end *end, uint8_t root[32])
{
    memcpy(root, txid, 32);
    for (uint32_t i = 0; i < end->branches; i++) {
        if (end->position >> i & 1)
            join_twice(end->branch[i], root, root);
        else
            join_twice(root, end->branch[i], root);
    }
}

bool anchor_branches(uint8_t (*txids)[32], uint32_t count, struct anchor_end *end)
{
    uint32_t at = end->position;
    for (end->branches = 0; count > 1; at /= 2) {
        if (end->branches == ANCHOR_BRANCHES_MAX) return false;
        uint32_t neighbour = (at ^ 1) < count ? at ^ 1 : at;
        memcpy(end->branch[end->branches++], txids[neighbour], 32);
        uint32_t above = count / 2 + count % 2;
        for (uint32_t i = 0; i < above; i++) {
            uint32_t right = 2 * i + 1 < count ? 2 * i + 1 : 2 * i;
            join_twice(txids[2 * i], txids[right], txids[i]);
        }
        count = above;
    }
    return true;
}

/* --- the path -------------------------------------------------------------------------------- */

/* A tree that grows at its end. */
struct growing {
    struct owm_ots_tree *tree;
    uint32_t node;
    owm_status status;
    struct owm_error *error;
};

static void add(struct growing *to, uint8_t tag, const uint8_t *argument, size_t bytes)
{
    const struct owm_ots_op op = {tag, {argument, (uint32_t)bytes}};
    if (to->status == OWM_OK)
        to->status = owm_ots_add_op(to->tree, to->node, op, &to->node, to->error);
}

static void hash(struct growing *to, int times)
{
    while (times-- > 0) add(to, OWM_OTS_SHA256, NULL, 0);
}

static void climb_batch(struct growing *to, const struct anchor_levels *levels, uint32_t leaf)
{
    const uint8_t(*level)[32] = (const uint8_t(*)[32])levels->node;
    hash(to, 1);
    for (uint32_t width = levels->count; width > 1; width = width / 2 + width % 2) {
        if (leaf % 2) {
            add(to, OWM_OTS_PREPEND, level[leaf - 1], 32);
            hash(to, 1);
        } else if (leaf + 1 < width) {
            add(to, OWM_OTS_APPEND, level[leaf + 1], 32);
            hash(to, 1);
        }
        level += width;
        leaf /= 2;
    }
}

static void climb_block(struct growing *to, const struct anchor_end *end)
{
    for (uint32_t i = 0; i < end->branches; i++) {
        add(to, end->position >> i & 1 ? OWM_OTS_PREPEND : OWM_OTS_APPEND, end->branch[i], 32);
        hash(to, 2);
    }
}

owm_status anchor_path(const struct anchor_place *place, struct owm_ots_tree *tree,
                       struct owm_error *error)
{
    struct growing to = {tree, OWM_OTS_ROOT, OWM_OK, error};
    const struct anchor_transaction *transaction = place->transaction;
    const uint8_t *stripped = anchors_stripped(transaction);
    uint32_t behind = transaction->root_at + 32;
    climb_batch(&to, place->levels, place->leaf);
    add(&to, OWM_OTS_PREPEND, stripped, transaction->root_at);
    add(&to, OWM_OTS_APPEND, stripped + behind, transaction->read.stripped_bytes - behind);
    hash(&to, 2);
    climb_block(&to, place->end);
    if (to.status != OWM_OK) return to.status;
    const struct owm_ots_attestation block = owm_ots_bitcoin(place->end->height);
    return owm_ots_add_attestation(tree, to.node, &block, NULL, error);
}
