/* agg_gram.c: gram by register blocks of B x B pairs.
 *
 *   chunk   OWM_AGG_CHUNK coordinates of all vectors: the unit of work, and of the contract's f32.
 *   tile    some vectors against some others, so many that their sums stay in L2.
 *   piece   coordinates that are packed for all vectors of a tile, in the order in which the blocks
 *           read them: no two vectors fight for a place in a cache, and a missing coordinate or
 *           vector is a zero. The next piece is asked for meanwhile.
 *   block   B x B pairs in registers; between pieces their lanes wait in `lanes`.
 *
 * Lane l of a pair is lane l of the contract, whatever the width of a register. The sums of a batch
 * of chunks are kept, then added in order. */
#include <assert.h>

#include "simd.h"

#define INLINE static inline __attribute__((always_inline))
#define LANES  OWM_AGG_LANES
#ifndef PIECE
#define PIECE ((size_t)512)
#endif
#ifndef NEAR
#define NEAR 3
#endif
#if W == 16
#define B 4 /* 16 sums, 4 + 1 operands: of 32 registers */
#else
#define B 3 /* 9 sums, 3 + 1 operands: of 16 registers */
#endif
#define TILE_MAX  (104 / B) /* Blocks of a tile's side. */
#define BATCH_MAX 64        /* Chunks per worker between two additions. */

#define LANES_FLOATS  ((size_t)TILE_MAX * TILE_MAX * B * B * LANES)
#define PACKED_FLOATS (TILE_MAX * B * PIECE)
#define SUMS_FLOATS   (CPU_SCRATCH_FLOATS - LANES_FLOATS - 2 * PACKED_FLOATS)
#define PAIRS_MAX     ((size_t)OWM_AGG_VECTORS_MAX * (OWM_AGG_VECTORS_MAX + 1) / 2)
static_assert(LANES_FLOATS + 2 * PACKED_FLOATS + PAIRS_MAX <= CPU_SCRATCH_FLOATS, "scratch");

struct gram_job {
    struct cpu_device *cpu;
    const struct owm_gram *a;
    size_t pairs;
    uint32_t tile;       /* blocks of a side */
    size_t slots;        /* sums of chunks that fit in a worker's scratch */
    size_t first, count; /* chunks of the batch */
};

/* Where the sums of the batch's chunk c wait: pair (i, j), i <= j, at j (j + 1) / 2 + i. */
static float *sums_of(const struct gram_job *j, size_t c)
{
    float *scratch = cpu_scratch(j->cpu, (unsigned)(c / j->slots));
    return scratch + LANES_FLOATS + 2 * PACKED_FLOATS + c % j->slots * j->pairs;
}

/* Packs coordinates first .. first + n of the vectors of `blocks` blocks: [block][step][B][LANES],
 * filled up with zeros to whole steps. */
static void pack(float *packed, const struct owm_gram *a, uint32_t block, uint32_t blocks,
                 size_t first, size_t n)
{
    size_t steps = (n + LANES - 1) / LANES, whole = n / LANES;
    for (uint32_t v = block * B; v < (block + blocks) * B; v++) {
        float *to = packed + (v / B - block) * steps * B * LANES + v % B * LANES;
        const float *x = v < a->count ? a->x[v] + first : NULL;
        for (size_t s = 0; s < steps; s++, to += B * LANES)
            if (x && s < whole)
                for (size_t l = 0; l < LANES; l += W) v_store(to + l, v_load(x + s * LANES + l));
            else
                memset(to, 0, LANES * sizeof *to);
        if (x && whole < steps) memcpy(to - B * LANES, x + whole * LANES, n % LANES * sizeof *to);
    }
}

/** block: lanes [B][B][LANES] of its pairs, packed vectors, and what to ask for meanwhile. */
struct block {
    float *lanes;
    const float *a, *b, *next;
};

INLINE void run_lanes(const struct block *k, size_t from, size_t steps, bool diagonal)
{
    vf s[B][B];
    const float *a = k->a + from, *b = k->b + from, *next = k->next;
#pragma GCC unroll 16
    for (int p = 0; p < B * B; p++) s[p / B][p % B] = v_load(k->lanes + p * LANES + from);
    for (size_t step = 0; step < steps; step++) {
        vf right[B];
        __builtin_prefetch(next, 0, 2);
        next += LANES;
#pragma GCC unroll 4
        for (int j = 0; j < B; j++) right[j] = v_load(b + j * LANES);
#pragma GCC unroll 4
        for (int i = 0; i < B; i++) {
            vf left = diagonal ? right[i] : v_load(a + i * LANES);
#pragma GCC unroll 4
            for (int j = diagonal ? i : 0; j < B; j++) s[i][j] = v_fmadd(left, right[j], s[i][j]);
        }
        a += B * LANES, b += B * LANES;
    }
#pragma GCC unroll 16
    for (int p = 0; p < B * B; p++) v_store(k->lanes + p * LANES + from, s[p / B][p % B]);
}

static void run_block(const struct block *k, size_t steps)
{
    for (size_t from = 0; from < LANES; from += W) {
        if (k->a == k->b)
            run_lanes(k, from, steps, true);
        else
            run_lanes(k, from, steps, false);
    }
}

#define TURN(h, i)  (((h) + (i)) % W)
#define TURN4(h, i) TURN(h, i), TURN(h, i + 1), TURN(h, i + 2), TURN(h, i + 3)
#if W == 16
#define UPPER(x, h)                                                                                \
    __builtin_shufflevector(x, x, TURN4(h, 0), TURN4(h, 4), TURN4(h, 8), TURN4(h, 12))
#elif W == 8
#define UPPER(x, h) __builtin_shufflevector(x, x, TURN4(h, 0), TURN4(h, 4))
#else
#define UPPER(x, h) __builtin_shufflevector(x, x, TURN4(h, 0))
#endif

/* Lane l takes lane l + 8, then 4, 2, 1. */
INLINE float halve(const float *lanes)
{
    vf part[LANES / W];
    for (int r = 0; r < LANES / W; r++) part[r] = v_load(lanes + r * W);
    for (int half = LANES / W / 2; half > 0; half /= 2)
        for (int r = 0; r < half; r++) part[r] += part[r + half];
    vf x = part[0];
#if W == 16
    x += UPPER(x, 8);
#endif
#if W >= 8
    x += UPPER(x, 4);
#endif
    x += UPPER(x, 2);
    x += UPPER(x, 1);
    return x[0];
}

static void put_sums(float *sums, const float *lanes, uint32_t left, uint32_t right, uint32_t count)
{
    for (uint32_t i = 0; i < B; i++)
        for (uint32_t j = 0; j < B; j++) {
            size_t v = left * B + i, w = right * B + j;
            float sum = halve(lanes + (i * B + j) * LANES);
            if (v <= w && w < count) sums[w * (w + 1) / 2 + v] = sum;
        }
}

/** tile: blocks left .. against blocks right .. of one chunk. */
struct tile {
    uint32_t left, lefts, right, rights;
    float *lanes, *packed_left, *packed_right;
};

/* Pairs in order only: on the diagonal of tiles, blocks on it and to its right. */
static bool has_block(const struct tile *t, uint32_t i, uint32_t j)
{
    return t->left + i <= t->right + j;
}

static float *lanes_of(const struct tile *t, uint32_t i, uint32_t j)
{
    return t->lanes + (size_t)(i * t->rights + j) * B * B * LANES;
}

/* NEAR blocks on the left stay in L1 while those on the right pass by. */
static void run_piece(const struct owm_gram *a, const struct tile *t, size_t first, size_t n)
{
    size_t steps = (n + LANES - 1) / LANES, stride = steps * B * LANES;
    pack(t->packed_left, a, t->left, t->lefts, first, n);
    if (t->left != t->right) pack(t->packed_right, a, t->right, t->rights, first, n);
    const float *rights = t->left == t->right ? t->packed_left : t->packed_right;
    uint32_t next = 0;
    for (uint32_t near = 0; near < t->lefts; near += NEAR)
        for (uint32_t j = 0; j < t->rights; j++)
            for (uint32_t i = near; i < near + NEAR && i < t->lefts && has_block(t, i, j); i++) {
                struct block block = {lanes_of(t, i, j), t->packed_left + i * stride,
                                      rights + j * stride, a->x[next] + first + n};
                run_block(&block, steps);
                next = next + 1 < a->count ? next + 1 : 0;
            }
}

static void run_tile(const struct owm_gram *a, const struct tile *t, float *sums, size_t first,
                     size_t n)
{
    memset(t->lanes, 0, (size_t)t->lefts * t->rights * B * B * LANES * sizeof(float));
    for (size_t i = 0; i < n; i += PIECE) run_piece(a, t, first + i, n - i < PIECE ? n - i : PIECE);
    for (uint32_t i = 0; i < t->lefts; i++)
        for (uint32_t j = 0; j < t->rights; j++)
            if (has_block(t, i, j))
                put_sums(sums, lanes_of(t, i, j), t->left + i, t->right + j, a->count);
}

static void chunk_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct gram_job *j = ctx;
    const struct owm_gram *a = j->a;
    float *scratch = cpu_scratch(j->cpu, worker);
    struct tile t = {.lanes = scratch,
                     .packed_left = scratch + LANES_FLOATS,
                     .packed_right = scratch + LANES_FLOATS + PACKED_FLOATS};
    uint32_t blocks = (a->count + B - 1) / B;
    for (size_t c = begin; c < end; c++) {
        size_t first = (j->first + c) * OWM_AGG_CHUNK;
        size_t n = a->n - first < OWM_AGG_CHUNK ? a->n - first : OWM_AGG_CHUNK;
        for (t.left = 0; t.left < blocks; t.left += j->tile)
            for (t.right = t.left; t.right < blocks; t.right += j->tile) {
                t.lefts = blocks - t.left < j->tile ? blocks - t.left : j->tile;
                t.rights = blocks - t.right < j->tile ? blocks - t.right : j->tile;
                run_tile(a, &t, sums_of(j, c), first, n);
            }
    }
}

/* Rows of the lower triangle: adds the chunks of the batch in order. */
static void add_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct gram_job *j = ctx;
    (void)worker;
    for (size_t c = 0; c < j->count; c++) {
        const float *sums = sums_of(j, c);
        for (size_t v = begin; v < end; v++) {
            double *row = j->a->gram + v * j->a->count;
            for (size_t w = 0; w <= v; w++) row[w] += (double)sums[v * (v + 1) / 2 + w];
        }
    }
}

static struct gram_job plan(struct owm_device *device, const struct owm_gram *a)
{
    struct gram_job j = {.cpu = cpu_of(device), .a = a};
    j.pairs = (size_t)a->count * (a->count + 1) / 2;
    uint32_t blocks = (a->count + B - 1) / B, tiles = (blocks + TILE_MAX - 1) / TILE_MAX;
    j.tile = (blocks + tiles - 1) / tiles;
    j.slots = SUMS_FLOATS / j.pairs < BATCH_MAX ? SUMS_FLOATS / j.pairs : BATCH_MAX;
    return j;
}

owm_status SIMD(gram)(struct owm_device *device, const struct owm_gram *a)
{
    owm_status status = owm_check_gram(a);
    if (status != OWM_OK) return status;
    struct gram_job j = plan(device, a);
    size_t chunks = ((size_t)a->n + OWM_AGG_CHUNK - 1) / OWM_AGG_CHUNK;
    size_t batch = j.slots * j.cpu->workers;
    memset(a->gram, 0, (size_t)a->count * a->count * sizeof *a->gram);
    for (; j.first < chunks; j.first += j.count) {
        j.count = chunks - j.first < batch ? chunks - j.first : batch;
        owm_pool_for(device->pool, j.count, 1, chunk_job, &j);
        owm_pool_for(device->pool, a->count, 32, add_job, &j);
    }
    for (size_t v = 0; v < a->count; v++)
        for (size_t w = 0; w < v; w++) a->gram[w * a->count + v] = a->gram[v * a->count + w];
    return OWM_OK;
}
