/* chain.c: an index of blocks by hash, the active chain by height, and the change of branches.
 *
 * A block behind the tip is connected. A block elsewhere is kept, and once its branch has more work
 * the coins are made again from genesis along it: slow, and so simple that it is right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "chain_internal.h"
#include "dataplane/chain/target.h"

#define MEDIAN_BLOCKS 11

static size_t slot_of(const struct chain *chain, const uint8_t hash[32])
{
    size_t at;
    memcpy(&at, hash, sizeof at);
    at &= chain->slots - 1;
    while (chain->slot[at] && memcmp(chain->slot[at]->hash, hash, 32) != 0)
        at = (at + 1) & (chain->slots - 1);
    return at;
}

const struct chain_node *chain_find(const struct chain *chain, const uint8_t hash[32])
{
    return chain->slot[slot_of(chain, hash)];
}

const struct chain_node *chain_tip(const struct chain *chain)
{
    return chain->active[chain->height];
}

const struct chain_node *chain_at(const struct chain *chain, uint32_t height)
{
    return height <= chain->height ? chain->active[height] : NULL;
}

struct coins *chain_coins(struct chain *chain)
{
    return chain->coins;
}

uint32_t chain_bits_at(const struct chain *chain, uint32_t height)
{
    return height <= chain->premined ? CHAIN_REGTEST_BITS : chain->bits;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t chain_median_time_s(const struct chain_node *node)
{
    uint32_t time_s[MEDIAN_BLOCKS], count = 0;
    for (; node && count < MEDIAN_BLOCKS; node = node->previous) time_s[count++] = node->time_s;
    qsort(time_s, count, sizeof *time_s, by_value);
    return time_s[count / 2];
}

static uint32_t median_time_before(void *ctx, uint32_t height)
{
    const struct chain *chain = ctx;
    return chain_median_time_s(chain->active[height ? height - 1 : 0]);
}

struct chain_node *chain_insert(struct chain *chain, const struct wire_block *block,
                                const struct chain_node *previous, uint64_t at)
{
    uint8_t target[32];
    struct chain_node *node = calloc(1, sizeof *node);
    if (!node) return NULL;
    memcpy(node->header, block->header, sizeof node->header);
    memcpy(node->hash, block->hash, sizeof node->hash);
    node->previous = previous;
    node->height = previous ? previous->height + 1 : 0;
    node->time_s = block->time_s;
    node->txs = block->txs;
    node->at = at;
    node->bytes = block->bytes;
    owm_target_from_compact(block->bits, target);
    node->work = owm_target_hashes(target);
    if (previous) owm_uint256_add(&node->work, &previous->work, &node->work);
    chain->slot[slot_of(chain, node->hash)] = node;
    chain->nodes++;
    return node;
}

/* One of four premined coins is the wallet's, of both kinds (premine.c), so that blocks that hold
 * templates' own spends never take what the wallet has promised. */
static enum coin_owner owner_at(const struct chain *chain, uint32_t height)
{
    if (height > chain->premined) return COIN_NOBODY;
    return height % 8 == 1 || height % 8 == 2 ? COIN_WALLET : COIN_TEMPLATES;
}

static struct check_connection connection_to(struct chain *chain, const struct chain_node *previous)
{
    const uint32_t height = previous->height + 1;
    return (struct check_connection){.coins = chain->coins,
                                     .height = height,
                                     .owner = owner_at(chain, height),
                                     .median_time_s = chain_median_time_s(previous),
                                     .median_time_before = median_time_before,
                                     .ctx = chain};
}

struct check_connection chain_next(struct chain *chain)
{
    return connection_to(chain, chain_tip(chain));
}

static const char *connect_block(struct chain *chain, const struct wire_block *block,
                                 const struct chain_node *node)
{
    const struct check_connection to = connection_to(chain, node->previous);
    const char *reason = check_connect(block, &to);
    if (reason) return reason;
    chain->height = node->height;
    chain->active[node->height] = node;
    return NULL;
}

static const char *connect_stored(struct chain *chain, struct chain_node *node)
{
    uint8_t *data;
    struct wire_block block;
    if (chain_read(chain, node, &data) != OWM_OK) return "cannot read the file of blocks";
    if (wire_block_read(&block, data, node->bytes) != OWM_OK) {
        free(data);
        return "cannot read the file of blocks";
    }
    const char *reason = connect_block(chain, &block, node);
    wire_block_free(&block);
    free(data);
    return reason;
}

/* The coins along the branch of `tip`, from genesis. Stops at the first block that breaks a rule.
 * */
static const char *walk_to(struct chain *chain, const struct chain_node *tip)
{
    const char *reason = NULL;
    const uint32_t height = tip->height;
    struct chain_node **branch = malloc((height + 1) * sizeof(*branch));
    if (!branch) return "out of memory";
    for (uint32_t i = height + 1; i-- > 0; tip = tip->previous)
        branch[i] = (struct chain_node *)tip;
    coins_clear(chain->coins);
    chain->height = 0;
    for (uint32_t i = 1; !reason && i <= height; i++) {
        reason = connect_stored(chain, branch[i]);
        for (uint32_t k = i; reason && k <= height; k++) branch[k]->failed = true;
    }
    free(branch);
    return reason;
}

/* To the branch of a node with more work, or back to where we were. */
static const char *change_branch(struct chain *chain, struct chain_node *node)
{
    const struct chain_node *before = chain_tip(chain);
    const char *reason = walk_to(chain, node);
    if (reason) {
        const bool own = chain->height + 1 == node->height;
        OWM_ASSERT(walk_to(chain, before) == NULL); /* It held once. */
        owm_log(OWM_LOG_WARN, "branch_refused height=%u reason=%s", node->height, reason);
        return own ? reason : "inconclusive";
    }
    owm_log(OWM_LOG_INFO, "branch_changed height=%u was=%u", node->height, before->height);
    return NULL;
}

static const char *check_all(const struct chain *chain, const struct wire_block *block,
                             const struct chain_node *previous, uint32_t now_s, bool proposal)
{
    const struct check_context context = {.height = previous->height + 1,
                                          .bits = chain_bits_at(chain, previous->height + 1),
                                          .median_time_s = chain_median_time_s(previous),
                                          .now_s = now_s,
                                          .proposal = proposal};
    const char *reason = check_header(block, &context);
    return reason ? reason : check_content(block, &context);
}

/* Stored first, so that nothing is the tip that a restart would not find. */
static const char *place(struct chain *chain, const struct wire_block *block, const uint8_t *data,
                         const struct chain_node *previous)
{
    const char *reason = "inconclusive";
    struct chain_node *node = chain_insert(chain, block, previous, chain->file_bytes);
    if (!node) return "out of memory";
    if (chain_append(chain, node, data) != OWM_OK) {
        node->failed = true;
        return "cannot write the file of blocks";
    }
    if (previous == chain_tip(chain))
        reason = connect_block(chain, block, node);
    else if (owm_uint256_compare(&node->work, &chain_tip(chain)->work) > 0)
        reason = change_branch(chain, node);
    if (!reason || strcmp(reason, "inconclusive") == 0) return reason;
    node->failed = true;
    chain_cut(chain, node);
    return reason;
}

static const char *submit(struct chain *chain, const struct wire_block *block, const uint8_t *data,
                          uint32_t now_s)
{
    const struct chain_node *known = chain_find(chain, block->hash);
    if (known) return known->failed ? "duplicate-invalid" : "duplicate";
    const char *reason = check_alone(block, false);
    if (reason) return reason;
    const struct chain_node *previous = chain_find(chain, block->previous);
    if (!previous) return "prev-blk-not-found";
    if (previous->failed) return "bad-prevblk";
    if (chain->nodes == CHAIN_BLOCKS_MAX) return "this block source is full; begin a new one";
    reason = check_all(chain, block, previous, now_s, false);
    return reason ? reason : place(chain, block, data, previous);
}

const char *chain_submit(struct chain *chain, const uint8_t *data, size_t bytes, uint32_t now_s)
{
    struct wire_block block;
    owm_status status = wire_block_read(&block, data, bytes);
    if (status != OWM_OK) return status == OWM_E_NOMEM ? "out of memory" : "";
    const char *reason = submit(chain, &block, data, now_s);
    wire_block_free(&block);
    return reason;
}

static const char *propose(struct chain *chain, const struct wire_block *block, uint32_t now_s)
{
    const struct chain_node *known = chain_find(chain, block->hash), *tip = chain_tip(chain);
    if (known) return known->failed ? "duplicate-invalid" : "duplicate";
    if (memcmp(block->previous, tip->hash, 32) != 0) return "inconclusive-not-best-prevblk";
    const char *reason = check_alone(block, true);
    if (!reason) reason = check_all(chain, block, tip, now_s, true);
    if (reason) return reason;
    struct check_connection to = connection_to(chain, tip);
    to.dry = true;
    return check_connect(block, &to);
}

const char *chain_propose(struct chain *chain, const uint8_t *data, size_t bytes, uint32_t now_s)
{
    struct wire_block block;
    owm_status status = wire_block_read(&block, data, bytes);
    if (status != OWM_OK) return status == OWM_E_NOMEM ? "out of memory" : "";
    const char *reason = propose(chain, &block, now_s);
    wire_block_free(&block);
    return reason;
}
