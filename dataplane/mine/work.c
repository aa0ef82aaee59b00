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

static void sha256d(const void *data, size_t bytes, uint8_t hash[32])
{
    owm_sha256(data, bytes, hash);
    owm_sha256(hash, 32, hash);
}

static void roll(uint8_t *rolled, uint32_t bytes, uint64_t value)
{
    for (uint32_t i = 0; i < bytes && i < 8; i++)
        rolled[bytes - 1 - i] = (uint8_t)(value >> (8 * i));
}

void owm_mine_work_root(const struct owm_mine_work *work, uint64_t value, uint8_t root[32])
{
    const struct owm_mine_extended *extended = &work->extended;
    if (!work->is_extended) {
        memcpy(root, work->root, 32);
        return;
    }
    uint8_t coinbase[OWM_MINE_COINBASE_BYTES_MAX];
    memcpy(coinbase, extended->coinbase, extended->coinbase_bytes);
    roll(coinbase + extended->rolled_at, extended->rolled_bytes, value);
    uint8_t pair[64];
    sha256d(coinbase, extended->coinbase_bytes, pair);
    for (uint32_t i = 0; i < extended->branches; i++) {
        memcpy(pair + 32, extended->branch[i], 32);
        sha256d(pair, sizeof pair, pair);
    }
    memcpy(root, pair, 32);
}

uint32_t owm_mine_work_time(const struct owm_mine_work *work, int64_t now_ms)
{
    int64_t passed_s = (now_ms - work->received_ms) / 1000;
    return work->min_time_s + (uint32_t)(passed_s > 0 ? passed_s : 0);
}
