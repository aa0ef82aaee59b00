/* agg_gram.c: gram by register blocks of B x B pairs.
 *
 *   chunk   OWM_AGG_CHUNK coordinates of all vectors: the unit of work, and of the contract's f32.
 *   tile    some vectors against some others, so many that their sums stay in L2.
 *   piece   coordinates of all vectors of a tile, read where they are: the rows of some blocks stay
 *           in L1, all of them in L2. A later piece is fetched meanwhile, evenly, a line or less
 *           with each step of a block: in bursts it would keep the loads of this one waiting.
 *   block   B x B pairs in registers; between pieces their lanes wait in memory.
 *
 * Lane l of a pair is lane l of the contract, whatever the width of a register. The sums of a batch
 * of chunks are kept, then added in order. */
#include <assert.h>

#include "simd.h"

#define INLINE static inline __attribute__((always_inline))
#define LANES  OWM_AGG_LANES
#define PIECE  ((size_t)512)
#define NEAR   2 /* Blocks below each other that are run in turn. */
#define AHEAD  2 /* Pieces from the one that is worked on to the one that is fetched. */
#if W == 16
#define B 4 /* 16 sums, 4 + 1 operands: of 32 registers */
#else
#define B 3 /* 9 sums, 3 + 1 operands: of 16 registers */
#endif
#define TILE_MAX  (104 / B) /* Blocks of a tile's side. */
#define BATCH_MAX 64        /* Chunks per worker between two additions. */

#define LANES_FLOATS ((size_t)TILE_MAX * TILE_MAX * B * B * LANES)
#define TAIL_FLOATS  ((size_t)2 * TILE_MAX * B * LANES)
#define SUMS_FLOATS  (CPU_SCRATCH_FLOATS - LANES_FLOATS - TAIL_FLOATS)
#define PAIRS_MAX    ((size_t)OWM_AGG_VECTORS_MAX * (OWM_AGG_VECTORS_MAX + 1) / 2)
static_assert(LANES_FLOATS + TAIL_FLOATS + PAIRS_MAX <= CPU_SCRATCH_FLOATS, "scratch");

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
    return scratch + LANES_FLOATS + TAIL_FLOATS + c % j->slots * j->pairs;
}

/** side: the blocks of a tile's left or right side, and their vectors at the piece's begin. */
struct side {
    uint32_t first, blocks;
    const float *row[TILE_MAX * B];
};

struct tile {
    const struct owm_gram *a;
    struct side left, right;
    float *lanes; /* [left blocks][right blocks][B][B][LANES] */
    float *tail;  /* [TAIL_FLOATS]: the rows of a piece shorter than LANES */
};

/* Stands for the vectors missing in the last block. */
static const float no_vector[PIECE];

static const float *vector_at(const struct owm_gram *a, size_t v, size_t first)
{
    return v < a->count ? a->x[v] + first : no_vector;
}

/** block: lanes [B][B][LANES] of its pairs, its vectors, and what is fetched meanwhile. */
struct block {
    float *lanes;
    const float *const *a, *const *b;
    const float *soon; /* fetched from here on, */
    size_t pace;       /* so many bytes of it with each step */
    bool fresh;        /* lanes hold nothing yet */
};

INLINE void run_lanes(const struct block *k, size_t lane, size_t steps, bool diagonal)
{
    vf s[B][B];
    const float *a[B], *b[B];
    const char *soon = (const char *)k->soon;
    for (int i = 0; i < B; i++) a[i] = k->a[i] + lane, b[i] = k->b[i] + lane;
    bool fresh = k->fresh;
#pragma GCC unroll 16
    for (int p = 0; p < B * B; p++)
        s[p / B][p % B] = fresh ? (vf){0} : v_load(k->lanes + p * LANES + lane);
    for (size_t at = 0; at < steps * LANES; at += LANES) {
        vf right[B];
        __builtin_prefetch(soon, 0, 2);
        soon += k->pace;
#pragma GCC unroll 4
        for (int j = 0; j < B; j++) right[j] = v_load(b[j] + at);
#pragma GCC unroll 4
        for (int i = 0; i < B; i++) {
            vf left = diagonal ? right[i] : v_load(a[i] + at);
#pragma GCC unroll 4
            for (int j = diagonal ? i : 0; j < B; j++) s[i][j] = v_fmadd(left, right[j], s[i][j]);
        }
    }
#pragma GCC unroll 16
    for (int p = 0; p < B * B; p++) v_store(k->lanes + p * LANES + lane, s[p / B][p % B]);
}

static void run_block(const struct block *k, size_t steps)
{
    bool diagonal = k->a == k->b;
    for (size_t lane = 0; lane < LANES; lane += W)
        diagonal ? run_lanes(k, lane, steps, true) : run_lanes(k, lane, steps, false);
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

/* The rows of a side's piece; `tail`, if not NULL, takes a copy filled up with zeros. */
static void find_rows(const struct tile *t, struct side *side, size_t first, size_t n, float *tail)
{
    for (uint32_t r = 0; r < side->blocks * B; r++) {
        side->row[r] = vector_at(t->a, (size_t)side->first * B + r, first);
        if (!tail) continue;
        memset(tail, 0, LANES * sizeof *tail);
        memcpy(tail, side->row[r], n * sizeof *tail);
        side->row[r] = tail;
        tail += LANES;
    }
}

/* Spreads the fetching of a later piece evenly over the blocks of this one. Behind the last one it
 * asks for what nobody wants, or what is not there, which does no harm. */
static void fetch_soon(const struct tile *t, uint32_t nth, struct block *k)
{
    uint32_t lefts = t->left.blocks * B, rights = t->right.blocks * B;
    uint32_t rows = on_diagonal(t) ? lefts : lefts + rights;
    uint32_t blocks = on_diagonal(t) ? t->left.blocks * (t->left.blocks + 1) / 2
                                     : t->left.blocks * t->right.blocks;
    uint32_t shares = blocks > rows ? blocks / rows : 1, row = nth / shares;
    k->soon = k->lanes;
    k->pace = 0;
    if (row >= rows) return;
    k->soon = row < lefts ? t->left.row[row] : t->right.row[row - lefts];
    k->soon += AHEAD * PIECE + PIECE / shares * (nth % shares);
    k->pace = LANES * sizeof(float) / shares;
}

static void run_piece(const struct tile *t, size_t steps, bool fresh)
{
    uint32_t nth = 0;
    const struct side *right = on_diagonal(t) ? &t->left : &t->right;
    for (uint32_t near = 0; near < t->left.blocks; near += NEAR)
        for (uint32_t j = 0; j < t->right.blocks; j++)
            for (uint32_t i = near; i < near + NEAR && i < t->left.blocks && has_block(t, i, j);
                 i++) {
                struct block block = {.lanes = lanes_of(t, i, j),
                                      .a = t->left.row + i * B,
                                      .b = right->row + j * B,
                                      .fresh = fresh};
                fetch_soon(t, nth++, &block);
                run_block(&block, steps);
            }
}

static void run_tile(struct tile *t, float *sums, size_t first, size_t n)
{
    for (size_t done = 0, now; done < n; done += now) {
        now = n - done;
        if (now >= LANES) now -= now % LANES;
        if (now > PIECE) now = PIECE;
        find_rows(t, &t->left, first + done, now, now < LANES ? t->tail : NULL);
        if (!on_diagonal(t))
            find_rows(t, &t->right, first + done, now,
                      now < LANES ? t->tail + TILE_MAX * B * LANES : NULL);
        run_piece(t, (now + LANES - 1) / LANES, done == 0);
    }
    for (uint32_t i = 0; i < t->left.blocks; i++)
        for (uint32_t j = 0; j < t->right.blocks; j++)
            if (has_block(t, i, j))
                put_sums(sums, lanes_of(t, i, j), t->left.first + i, t->right.first + j,
                         t->a->count);
}

static struct side side(const struct gram_job *j, uint32_t first)
{
    uint32_t blocks = (j->a->count + B - 1) / B;
    return (struct side){.first = first,
                         .blocks = blocks - first < j->tile ? blocks - first : j->tile};
}

static void chunk_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct gram_job *j = ctx;
    float *scratch = cpu_scratch(j->cpu, worker);
    struct tile t = {.a = j->a, .lanes = scratch, .tail = scratch + LANES_FLOATS};
    uint32_t blocks = (j->a->count + B - 1) / B;
    for (size_t c = begin; c < end; c++) {
        size_t first = (j->first + c) * OWM_AGG_CHUNK;
        size_t n = j->a->n - first < OWM_AGG_CHUNK ? j->a->n - first : OWM_AGG_CHUNK;
        for (uint32_t left = 0; left < blocks; left += j->tile)
            for (uint32_t right = left; right < blocks; right += j->tile) {
                t.left = side(j, left);
                t.right = side(j, right);
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
