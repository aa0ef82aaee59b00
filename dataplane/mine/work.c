/* work.c: jobs under reference counts, and the merkle roots of an extended one. */
#include "work.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

struct counted {
    struct owm_mine_work work; /* First: a work's address is its block's. */
    atomic_uint references;
};

struct owm_mine_work *owm_mine_work_new(void)
{
    struct counted *block = calloc(1, sizeof *block);
    if (block == NULL) return NULL;
    atomic_init(&block->references, 1);
    return &block->work;
}

struct owm_mine_work *owm_mine_work_retain(struct owm_mine_work *work)
{
    atomic_fetch_add_explicit(&((struct counted *)work)->references, 1, memory_order_relaxed);
    return work;
}

void owm_mine_work_release(struct owm_mine_work *work)
{
    if (work == NULL) return;
    struct counted *block = (struct counted *)work;
    if (atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) == 1) free(block);
}

static void roll(uint8_t *rolled, uint32_t bytes, uint64_t value)
{
    for (uint32_t i = 0; i < bytes && i < 8; i++)
        rolled[bytes - 1 - i] = (uint8_t)(value >> (8 * i));
}

/* The id of the coinbase, whose rolled part lies between two pieces that stay. */
static void coinbase_id(const struct owm_mine_extended *extended, uint64_t value, uint8_t id[32])
{
    uint8_t rolled[OWM_SV2_EXTRANONCE_BYTES_MAX];
    struct owm_sha256_ctx sha;
    uint32_t end = extended->rolled_at + extended->rolled_bytes;
    memcpy(rolled, extended->coinbase + extended->rolled_at, extended->rolled_bytes);
    roll(rolled, extended->rolled_bytes, value);
    owm_sha256_init(&sha);
    owm_sha256_update(&sha, extended->coinbase, extended->rolled_at);
    owm_sha256_update(&sha, rolled, extended->rolled_bytes);
    owm_sha256_update(&sha, extended->coinbase + end, extended->coinbase_bytes - end);
    owm_sha256_final(&sha, id);
    owm_sha256(id, 32, id);
}

void owm_mine_work_root(const struct owm_mine_work *work, uint64_t value, uint8_t root[32])
{
    const struct owm_mine_extended *extended = &work->extended;
    if (!work->is_extended) {
        memcpy(root, work->root, 32);
        return;
    }
    uint8_t pair[64];
    coinbase_id(extended, value, pair);
    for (uint32_t i = 0; i < extended->branches; i++) {
        memcpy(pair + 32, extended->branch[i], 32);
        owm_sha256(pair, sizeof pair, pair);
        owm_sha256(pair, 32, pair);
    }
    memcpy(root, pair, 32);
}

uint32_t owm_mine_work_time(const struct owm_mine_work *work, int64_t now_ms)
{
    int64_t passed_s = (now_ms - work->received_ms) / 1000;
    return work->min_time_s + (uint32_t)(passed_s > 0 ? passed_s : 0);
}
