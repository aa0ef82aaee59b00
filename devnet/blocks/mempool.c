/* mempool.c: what is known, what waits; the rules for coming in are in mempool_admit.c. */
#include "mempool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "mempool_internal.h"

_Static_assert(MEMPOOL_SLOTS >= 2 * MEMPOOL_KNOWN_MAX, "the index is at most half full");

static uint32_t *slot_of(const struct mempool *pool, const uint8_t txid[32])
{
    size_t at;
    memcpy(&at, txid, sizeof at);
    at &= MEMPOOL_SLOTS - 1;
    while (pool->slot[at]
           && memcmp(pool->known[pool->slot[at] - 1]->read.tx[0].txid, txid, 32) != 0)
        at = (at + 1) & (MEMPOOL_SLOTS - 1);
    return &pool->slot[at];
}

struct chain *mempool_chain(const struct mempool *pool)
{
    return pool->chain;
}

const struct mempool_tx *mempool_find(const struct mempool *pool, const uint8_t txid[32])
{
    const uint32_t index = *slot_of(pool, txid);
    return index ? pool->known[index - 1] : NULL;
}

const struct mempool_tx *mempool_known(const struct mempool *pool, uint32_t index)
{
    return index < pool->count ? pool->known[index] : NULL;
}

const struct mempool_tx *const *mempool_waiting(const struct mempool *pool, uint32_t *count)
{
    *count = pool->waiting_count;
    return (const struct mempool_tx *const *)pool->waiting;
}

uint32_t mempool_changes(const struct mempool *pool)
{
    return pool->count;
}

const struct chain_node *mempool_block(const struct mempool *pool, const struct mempool_tx *tx)
{
    const struct chain_node *block = tx->block;
    return block && chain_at(pool->chain, block->height) == block ? block : NULL;
}

static bool spends(const struct mempool_tx *tx, const struct coin_key *key)
{
    for (uint32_t i = 0; i < tx->read.ins; i++)
        if (tx->read.in[i].index == key->index && memcmp(tx->read.in[i].txid, key->txid, 32) == 0)
            return true;
    return false;
}

const struct mempool_tx *mempool_spender(const struct mempool *pool, const struct coin_key *key)
{
    for (uint32_t i = 0; i < pool->waiting_count; i++)
        if (spends(pool->waiting[i], key)) return pool->waiting[i];
    return NULL;
}

bool mempool_conflict(const struct mempool_tx *a, const struct mempool_tx *b)
{
    for (uint32_t i = 0; i < b->read.ins; i++) {
        struct coin_key key = {.index = b->read.in[i].index};
        memcpy(key.txid, b->read.in[i].txid, 32);
        if (spends(a, &key)) return true;
    }
    return false;
}

struct check_row *mempool_row(const struct mempool *pool)
{
    const struct check_connection next = chain_next(pool->chain);
    struct check_row *row = check_row_begin(&next);
    struct check_spend spent;
    for (uint32_t i = 0; row && i < pool->waiting_count; i++) {
        if (!check_row_add(row, &pool->waiting[i]->read, &spent)) continue;
        check_row_end(row); /* Memory: each was judged behind those before it. */
        return NULL;
    }
    return row;
}

struct mempool_tx *mempool_keep(struct mempool *pool, uint8_t *data, const struct wire_block *read)
{
    struct wire_block owned = *read;
    struct mempool_tx *tx = pool->count < MEMPOOL_KNOWN_MAX ? calloc(1, sizeof *tx) : NULL;
    if (!tx) {
        wire_block_free(&owned);
        free(data);
        return NULL;
    }
    tx->data = data;
    tx->read = owned;
    pool->known[pool->count++] = tx;
    *slot_of(pool, tx->read.tx[0].txid) = pool->count;
    return tx;
}

static void note_block(struct mempool *pool, const struct chain_node *node)
{
    uint8_t *data;
    struct wire_block block;
    if (chain_read(pool->chain, node, &data) != OWM_OK) return; /* Logged where it was connected. */
    if (wire_block_read(&block, data, node->bytes) == OWM_OK) {
        for (uint32_t i = 1; i < block.txs; i++) {
            const uint32_t index = *slot_of(pool, block.tx[i].txid);
            if (index) pool->known[index - 1]->block = node;
        }
        wire_block_free(&block);
    }
    free(data);
}

/* Notes which blocks the known ones are in. Returns whether blocks have left the chain. */
static bool note_blocks(struct mempool *pool)
{
    const struct chain_node *fork = pool->followed, *tip = chain_tip(pool->chain);
    bool left = !fork;
    while (fork && chain_at(pool->chain, fork->height) != fork) {
        fork = fork->previous;
        left = true;
    }
    for (uint32_t at = fork ? fork->height + 1 : 1; pool->count && at <= tip->height; at++)
        note_block(pool, chain_at(pool->chain, at));
    pool->followed = tip;
    return left;
}

void mempool_follow(struct mempool *pool)
{
    const bool judge_all = note_blocks(pool);
    pool->waiting_count = 0;
    for (uint32_t i = 0; i < pool->count; i++) {
        struct mempool_tx *tx = pool->known[i];
        const bool candidate = (tx->waiting || judge_all) && !mempool_block(pool, tx);
        tx->waiting = false;
        if (candidate) (void)mempool_admit(pool, tx, 0);
    }
}

/* Takes data and read: a new one is kept only if it comes in. */
static const char *send_new(struct mempool *pool, uint8_t *data, struct wire_block *read,
                            int64_t fee_rate_max, const struct mempool_tx **out)
{
    struct mempool_tx draft = {.data = data, .read = *read, .time_s = owm_clock_wall_ms() / 1000};
    const char *reason = mempool_judge(pool, &draft, fee_rate_max);
    if (!reason && pool->count == MEMPOOL_KNOWN_MAX)
        reason = "mempool full"; /* Also of the file. */
    if (!reason && mempool_append(pool, &draft) != OWM_OK)
        reason = "cannot write the file of transactions";
    if (reason) {
        wire_block_free(read);
        free(data);
        return reason;
    }
    struct mempool_tx *tx = mempool_keep(pool, data, read);
    if (!tx) return "out of memory";
    tx->time_s = draft.time_s;
    *out = tx;
    return mempool_admit(pool, tx, fee_rate_max);
}

/* One that is known already: it may be sent again, and comes in if it can now. */
static const char *send_known(struct mempool *pool, struct mempool_tx *tx, int64_t fee_rate_max)
{
    if (tx->waiting) return NULL;
    if (mempool_block(pool, tx)) return MEMPOOL_MINED;
    return mempool_admit(pool, tx, fee_rate_max);
}

const char *mempool_send(struct mempool *pool, const uint8_t *data, size_t bytes,
                         int64_t fee_rate_max, const struct mempool_tx **out)
{
    struct wire_block read;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) return "out of memory";
    memcpy(copy, data, bytes);
    owm_status status = wire_tx_read(&read, copy, bytes, false);
    if (status != OWM_OK) {
        free(copy);
        return status == OWM_E_NOMEM ? "out of memory" : "";
    }
    const uint32_t index = *slot_of(pool, read.tx[0].txid);
    if (!index || memcmp(pool->known[index - 1]->read.tx[0].wtxid, read.tx[0].wtxid, 32) != 0)
        return send_new(pool, copy, &read, fee_rate_max, out);
    wire_block_free(&read);
    free(copy);
    *out = pool->known[index - 1];
    return send_known(pool, pool->known[index - 1], fee_rate_max);
}

owm_status mempool_open(const char *path, struct chain *chain, struct mempool **out,
                        struct owm_error *error)
{
    *out = NULL;
    struct mempool *pool = calloc(1, sizeof *pool);
    if (!pool) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    pool->chain = chain;
    pool->fd = -1;
    pool->known = calloc(MEMPOOL_KNOWN_MAX, sizeof(*pool->known));
    pool->slot = calloc(MEMPOOL_SLOTS, sizeof *pool->slot);
    owm_status status = pool->known && pool->slot ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK) status = mempool_load(pool, path, error);
    if (status == OWM_E_NOMEM) owm_fail(error, status, "out of memory");
    if (status != OWM_OK) {
        mempool_close(pool);
        return status;
    }
    mempool_follow(pool);
    *out = pool;
    return OWM_OK;
}

void mempool_close(struct mempool *pool)
{
    if (!pool) return;
    for (uint32_t i = 0; i < pool->count; i++) {
        wire_block_free(&pool->known[i]->read);
        free(pool->known[i]->data);
        free(pool->known[i]);
    }
    free(pool->known);
    free(pool->slot);
    if (pool->fd >= 0) close(pool->fd);
    free(pool);
}
