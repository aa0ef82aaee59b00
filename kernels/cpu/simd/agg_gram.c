/* agg_gram.c: gram by register blocks of B x B pairs.
 *
 *   chunk   OWM_AGG_CHUNK coordinates of all vectors: the unit of work, and of the contract's f32.
 *   tile    some vectors against some others, so many that their sums stay in L2.
 *   piece   coordinates that are packed for all vectors of a tile, in the order in which the blocks
 *           read them: no two vectors fight for a place in a cache, and a missing coordinate or
 *           vector is a zero. The next piece is packed meanwhile, a line with each step of a block:
 *           loads and stores have time, the multipliers do not.
 *   block   B x B pairs in registers; between pieces their lanes wait in memory.
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
#define SUMS_FLOATS   (CPU_SCRATCH_FLOATS - LANES_FLOATS - 4 * PACKED_FLOATS)
#define PAIRS_MAX     ((size_t)OWM_AGG_VECTORS_MAX * (OWM_AGG_VECTORS_MAX + 1) / 2)
static_assert(LANES_FLOATS + 4 * PACKED_FLOATS + PAIRS_MAX <= CPU_SCRATCH_FLOATS, "scratch");

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
    return scratch + LANES_FLOATS + 4 * PACKED_FLOATS + c % j->slots * j->pairs;
}

/** side: the blocks of a tile's left or right side, and two places for packed pieces of them:
 *  [block][step][B][LANES]. */
struct side {
    uint32_t first, blocks;
    float *packed[2];
};

struct tile {
    const struct owm_gram *a;
    struct side left, right; /* on the diagonal, the right one shares the left one's pieces */
    float *lanes;            /* [left blocks][right blocks][B][B][LANES] */
};

static const float no_vector[PIECE];

static const float *vector_at(const struct owm_gram *a, size_t v, size_t first)
{
    return v < a->count ? a->x[v] + first : no_vector;
}

/* Packs one row of a side, filled up with zeros to whole steps. */
static void pack_row(const struct tile *t, const struct side *side, uint32_t row, float *packed,
                     size_t first, size_t n)
{
    size_t steps = (n + LANES - 1) / LANES, whole = n / LANES;
    const float *x = vector_at(t->a, (size_t)side->first * B + row, first);
    float *to = packed + row / B * steps * B * LANES + row % B * LANES;
    for (size_t s = 0; s < whole; s++, to += B * LANES)
        for (size_t l = 0; l < LANES; l += W) v_store(to + l, v_load(x + s * LANES + l));
    if (whole == steps) return;
    memset(to, 0, LANES * sizeof *to);
    memcpy(to, x + whole * LANES, n % LANES * sizeof *to);
}

/** block: lanes [B][B][LANES] of its pairs, packed vectors, and a row to pack meanwhile. */
struct block {
    float *lanes;
    const float *a, *b;
    const float *from; /* NULL: none */
    float *to;
    bool fresh; /* lanes hold nothing yet */
};

INLINE void run_lanes(const struct block *k, size_t lane, size_t steps, bool diagonal, bool packs)
{
    vf s[B][B];
    const float *a = k->a + lane, *b = k->b + lane, *from = k->from + (packs ? lane : 0);
    float *to = k->to + (packs ? lane : 0);
    bool fresh = k->fresh;
#pragma GCC unroll 16
    for (int p = 0; p < B * B; p++)
        s[p / B][p % B] = fresh ? (vf){0} : v_load(k->lanes + p * LANES + lane);
    for (size_t step = 0; step < steps; step++) {
        vf right[B];
        if (packs) {
            __builtin_prefetch(from + PIECE, 0, 2);
            v_store(to, v_load(from));
            from += LANES, to += B * LANES;
        }
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
    for (int p = 0; p < B * B; p++) v_store(k->lanes + p * LANES + lane, s[p / B][p % B]);
}

static void run_block(const struct block *k, size_t steps)
{
    bool diagonal = k->a == k->b;
    for (size_t lane = 0; lane < LANES; lane += W) {
        if (k->from)
            diagonal ? run_lanes(k, lane, steps, true, true)
                     : run_lanes(k, lane, steps, false, true);
        else
            diagonal ? run_lanes(k, lane, steps, true, false)
                     : run_lanes(k, lane, steps, false, false);
    }
}

/* The sums of a block's pairs: lane l takes lane l + 8, then l + 4, l + 2, l + 1. */
INLINE void halve_all(float *sum, const float *lanes)
{
#if W == LANES
    static_assert(B * B == W, "a block turned on its side");
    vf pair[W]; /* Turned, lane l of all pairs is one register. */
    for (int p = 0; p < W; p++) pair[p] = v_load(lanes + p * LANES);
    v_transpose(pair);
    for (int half = W / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) pair[l] += pair[l + half];
    v_store(sum, pair[0]);
#else
    for (int p = 0; p < B * B; p++, lanes += LANES) {
        vf part[LANES / W];
        for (int r = 0; r < LANES / W; r++) part[r] = v_load(lanes + r * W);
        for (int half = LANES / W / 2; half > 0; half /= 2)
            for (int r = 0; r < half; r++) part[r] += part[r + half];
        sum[p] = v_sum(part[0]);
    }
#endif
}

static void put_sums(float *sums, const float *lanes, uint32_t left, uint32_t right, uint32_t count)
{
    float sum[B * B];
    halve_all(sum, lanes);
    for (uint32_t i = 0; i < B; i++)
        for (uint32_t j = 0; j < B; j++) {
            size_t v = left * B + i, w = right * B + j;
            if (v <= w && w < count) sums[w * (w + 1) / 2 + v] = sum[i * B + j];
        }
}

static bool on_diagonal(const struct tile *t)
{
    return t->left.first == t->right.first;
}

/* Pairs in order only: on the diagonal of tiles, blocks on it and to its right. */
static bool has_block(const struct tile *t, uint32_t i, uint32_t j)
{
    return t->left.first + i <= t->right.first + j;
}

static float *lanes_of(const struct tile *t, uint32_t i, uint32_t j)
{
    return t->lanes + (size_t)(i * t->right.blocks + j) * B * B * LANES;
}

/** piece: coordinates first .. first + n, packed in place `now`; more to come, or not. */
struct piece {
    size_t first, n, more;
    int now;
};

/* Rows of both sides, in the order in which they are packed. */
static uint32_t rows_of(const struct tile *t)
{
    return (t->left.blocks + (on_diagonal(t) ? 0 : t->right.blocks)) * B;
}

static const struct side *side_of(const struct tile *t, uint32_t *row)
{
    if (*row < t->left.blocks * B) return &t->left;
    *row -= t->left.blocks * B;
    return &t->right;
}

static void pack_rows(const struct tile *t, uint32_t row, size_t first, size_t n, int place)
{
    for (; row < rows_of(t); row++) {
        uint32_t at = row;
        const struct side *side = side_of(t, &at);
        pack_row(t, side, at, side->packed[place], first, n);
    }
}

/* Gives a block a row of the next piece to pack. Only of a whole one: its steps are this one's. */
static void give_row(const struct tile *t, const struct piece *p, uint32_t row, struct block *k)
{
    const struct side *side = side_of(t, &row);
    k->from = vector_at(t->a, (size_t)side->first * B + row, p->first + PIECE);
    k->to = side->packed[!p->now] + row / B * PIECE * B + row % B * LANES;
}

static void run_piece(const struct tile *t, const struct piece *p, bool fresh)
{
    size_t steps = (p->n + LANES - 1) / LANES, stride = steps * B * LANES;
    const float *lefts = t->left.packed[p->now], *rights = t->right.packed[p->now];
    uint32_t row = 0, rows = p->more >= PIECE ? rows_of(t) : 0;
    for (uint32_t near = 0; near < t->left.blocks; near += NEAR)
        for (uint32_t j = 0; j < t->right.blocks; j++)
            for (uint32_t i = near; i < near + NEAR && i < t->left.blocks && has_block(t, i, j);
                 i++) {
                struct block block = {.lanes = lanes_of(t, i, j),
                                      .a = lefts + i * stride,
                                      .b = rights + j * stride,
                                      .fresh = fresh};
                if (row < rows) give_row(t, p, row++, &block);
                run_block(&block, steps);
            }
    if (p->more) pack_rows(t, row, p->first + p->n, p->more < PIECE ? p->more : PIECE, !p->now);
}

static void run_tile(const struct tile *t, float *sums, size_t first, size_t n)
{
    struct piece p = {.first = first, .n = n < PIECE ? n : PIECE};
    pack_rows(t, 0, first, p.n, 0);
    for (size_t done = 0; done < n; done += p.n, p.now = !p.now) {
        p.first = first + done;
        p.n = n - done < PIECE ? n - done : PIECE;
        p.more = n - done - p.n;
        run_piece(t, &p, done == 0);
    }
    for (uint32_t i = 0; i < t->left.blocks; i++)
        for (uint32_t j = 0; j < t->right.blocks; j++)
            if (has_block(t, i, j))
                put_sums(sums, lanes_of(t, i, j), t->left.first + i, t->right.first + j,
                         t->a->count);
}

static struct side side(const struct gram_job *j, uint32_t first, float *packed)
{
    uint32_t blocks = (j->a->count + B - 1) / B;
    return (struct side){first,
                         blocks - first < j->tile ? blocks - first : j->tile,
                         {packed, packed + PACKED_FLOATS}};
}

static void chunk_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct gram_job *j = ctx;
    float *scratch = cpu_scratch(j->cpu, worker), *packed = scratch + LANES_FLOATS;
    struct tile t = {.a = j->a, .lanes = scratch};
    uint32_t blocks = (j->a->count + B - 1) / B;
    for (size_t c = begin; c < end; c++) {
        size_t first = (j->first + c) * OWM_AGG_CHUNK;
        size_t n = j->a->n - first < OWM_AGG_CHUNK ? j->a->n - first : OWM_AGG_CHUNK;
        for (uint32_t left = 0; left < blocks; left += j->tile)
            for (uint32_t right = left; right < blocks; right += j->tile) {
                t.left = side(j, left, packed);
                t.right = side(j, right, left == right ? packed : packed + 2 * PACKED_FLOATS);
                run_tile(&t, sums_of(j, c), first, n);
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
