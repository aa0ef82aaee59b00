/* anchor_path.c: three trees on top of each other. */
#include "anchor_path.h"

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

static uint32_t half(uint32_t width)
{
    return width / 2 + width % 2;
}

/* A level replaced by the one above. Returns: its width. */
static uint32_t climb(uint8_t (*node)[32], uint32_t width)
{
    for (uint32_t i = 0; i < width / 2; i++) join(node[2 * i], node[2 * i + 1], node[i]);
    if (width % 2) memmove(node[width / 2], node[width - 1], 32);
    return half(width);
}

/* The promises of a chunk, each through sha256. Returns: how many. */
static uint32_t read_chunk(struct journal *journal, uint32_t first, uint32_t left,
                           uint8_t (*leaf)[32])
{
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    const uint32_t count = left < ANCHOR_CHUNK ? left : ANCHOR_CHUNK;
    for (uint32_t i = 0; i < count; i++) {
        journal_get(journal, first + i, commitment);
        owm_sha256(commitment, sizeof commitment, leaf[i]);
    }
    return count;
}

uint32_t anchor_chunks(uint32_t count)
{
    return (count + ANCHOR_CHUNK - 1) / ANCHOR_CHUNK;
}

void anchor_tops(struct journal *journal, uint32_t first, uint32_t count, uint8_t (*tops)[32],
                 uint8_t root[32])
{
    uint8_t node[ANCHOR_CHUNK][32];
    OWM_ASSERT(count > 0 && count <= OWM_OTS_LEAVES_MAX);
    for (uint32_t at = 0; at < count; at += ANCHOR_CHUNK) {
        uint32_t width = read_chunk(journal, first + at, count - at, node);
        while (width > 1) width = climb(node, width);
        memcpy(tops[at / ANCHOR_CHUNK], node[0], 32);
    }
    uint32_t width = anchor_chunks(count);
    memcpy(node, tops, 32 * (size_t)width);
    while (width > 1) width = climb(node, width);
    memcpy(root, node[0], 32);
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

/* From a node to the root above its level; the nodes are overwritten. */
static void climb_tree(struct growing *to, uint8_t (*node)[32], uint32_t width, uint32_t at)
{
    for (; width > 1; at /= 2) {
        if (at % 2) {
            add(to, OWM_OTS_PREPEND, node[at - 1], 32);
            hash(to, 1);
        } else if (at + 1 < width) {
            add(to, OWM_OTS_APPEND, node[at + 1], 32);
            hash(to, 1);
        }
        width = climb(node, width);
    }
}

static void climb_batch(struct growing *to, const struct anchor_place *place)
{
    uint8_t node[ANCHOR_CHUNK][32];
    const uint32_t leaf = place->index - place->first, chunk = leaf / ANCHOR_CHUNK;
    const uint32_t before = chunk * ANCHOR_CHUNK, chunks = anchor_chunks(place->count);
    uint32_t width = read_chunk(place->journal, place->first + before, place->count - before, node);
    hash(to, 1);
    climb_tree(to, node, width, leaf - before);
    memcpy(node, place->tops, 32 * (size_t)chunks);
    climb_tree(to, node, chunks, chunk);
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
    climb_batch(&to, place);
    add(&to, OWM_OTS_PREPEND, stripped, transaction->root_at);
    add(&to, OWM_OTS_APPEND, stripped + behind, transaction->read.stripped_bytes - behind);
    hash(&to, 2);
    climb_block(&to, place->end);
    if (to.status != OWM_OK) return to.status;
    const struct owm_ots_attestation block = owm_ots_bitcoin(place->end->height);
    return owm_ots_add_attestation(tree, to.node, &block, NULL, error);
}
