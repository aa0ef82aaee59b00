/* attention_paged.c: attention over a cache in pages, a tile of queries against blocks of keys.
 *
 * Mapping: a tile is up to VECTORS query vectors: the heads that share a key/value head, of rows
 * that follow each other in one sequence; where these are few (decode), of several key/value heads,
 * so that a page is read at once. A block of KEYS keys of a head is turned to [E][KEYS] and widened
 * to f32, its values are widened to [KEYS][E], once for all who read it; the scores are a small
 * product, softened with a running maximum and sum (Milakov & Gimelshein, 2018), and a second
 * product adds them to the tile's result, so no score outlives its block.
 *
 * Where tiles are few and contexts long, a tile's blocks are shared out in parts, whose results are
 * put together in order. How many follows from the arguments alone, so the bits do as well.
 */
#include <math.h>

#include "simd.h"

#define KEYS        ((size_t)64) /* In a block: four pages. */
#define VECTORS     ((size_t)64) /* Query vectors in a tile. */
#define DIM         ((size_t)OWM_ATTENTION_DIM_MAX)
#define SLOTS       ((size_t)256)   /* Results of parts. */
#define PART_BLOCKS ((size_t)8)     /* A part has no fewer, or starting it would cost more. */
#define COLS        ((size_t)2 * W) /* Columns of a product come in multiples of this. */

#if SIMD_avx512 || __aarch64__ /* 32 registers. */
#define MR 8
#else
#define MR 4
#endif

typedef uint16_t vh_mem __attribute__((vector_size(W * 2), aligned(2), may_alias));
typedef float pair_mem __attribute__((vector_size(W * 4), aligned(2), may_alias)); /* Of bf16. */

/** result: per query vector the running maximum of its scores, and relative to that the sum of what
 *  they count and of the values. */
struct result {
    float acc[VECTORS][DIM], max[VECTORS], sum[VECTORS];
};

/** space: a worker's tile. */
struct space {
    float q[VECTORS][DIM];              /* Scaled. */
    float kt[DIM][KEYS], v[KEYS * DIM]; /* v: rows of `cols`, as few as hold a value. */
    float s[VECTORS][KEYS];
    struct result result;
    size_t cols;
};

/** shared: in the first worker's scratch, behind its space. */
struct shared {
    struct result slot[SLOTS];
    uint32_t tile[OWM_PAGED_ROWS_MAX + 1]; /* The rows at which tiles begin, and the end. */
};
_Static_assert(sizeof(struct space) + sizeof(struct shared) <= CPU_SCRATCH_FLOATS * sizeof(float),
               "tiles and parts fit the scratch");
_Static_assert(KEYS % (4 * W) == 0 && OWM_PAGE_TOKENS % W == 0, "a register stays in its page");

struct paged_job {
    const struct owm_attention_paged *a;
    struct cpu_device *cpu;
    struct shared *shared;
    size_t tiles, parts, sets; /* An item is one part of one tile for one set of heads. */
    size_t group;              /* Heads that share a key. */
    size_t span, split;        /* Key/value heads of a set, or sets of a key/value head. */
};

/** place: what an item is about. */
struct place {
    size_t row, rows;   /* The tile's. */
    size_t head, heads; /* The first, and how many for each key/value head. */
    size_t kv_head, span;
    size_t readers, vectors; /* Of one key/value head, and of all of them. */
    const uint32_t *page;
    size_t length; /* Keys that its longest row sees. */
};

static struct place place_of(const struct paged_job *j, size_t tile, size_t set)
{
    const struct owm_attention_paged *a = j->a;
    size_t done = set % j->split * VECTORS, heads = j->group - done;
    struct place p = {.row = j->shared->tile[tile], .kv_head = set / j->split * j->span};
    size_t kv_left = a->cache.kv_heads - p.kv_head;
    p.rows = j->shared->tile[tile + 1] - p.row;
    p.heads = heads < VECTORS ? heads : VECTORS;
    p.head = p.kv_head * j->group + done;
    p.span = kv_left < j->span ? kv_left : j->span;
    p.readers = p.rows * p.heads;
    p.vectors = p.span * p.readers;
    p.page = a->page + (size_t)a->sequence[p.row] * a->pages_each;
    for (size_t r = p.row; r < p.row + p.rows; r++)
        if (p.length <= a->position[r]) p.length = (size_t)a->position[r] + 1;
    return p;
}

/** row_of, head_of: of a query vector of a place. */
static size_t row_of(const struct place *p, size_t vector)
{
    return p->row + vector % p->readers / p->heads;
}

static size_t head_of(const struct place *p, size_t vector)
{
    return p->head + vector / p->readers * p->heads + vector % p->heads;
}

/** product: c[m][n] (+)= a[m][k] b[k][n]; n is a multiple of COLS. */
struct product {
    float *c;
    const float *a, *b;
    size_t ldc, lda, ldb, m, n, k;
    bool accumulate;
};

/** piece: m rows and `width` registers of columns of c, held in registers. */
static inline __attribute__((always_inline)) void piece(const struct product *p, size_t row,
                                                        size_t col, int m, int width)
{
    const float *a = p->a + row * p->lda, *b = p->b + col;
    float *c = p->c + row * p->ldc + col;
    vf sum[MR][4];
#pragma GCC unroll 8
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int w = 0; w < width; w++)
            sum[i][w] = p->accumulate ? v_load(c + (size_t)i * p->ldc + (size_t)w * W) : (vf){0};
    for (size_t k = 0; k < p->k; k++, b += p->ldb) {
        vf x[4];
#pragma GCC unroll 4
        for (int w = 0; w < width; w++) x[w] = v_load(b + (size_t)w * W);
#pragma GCC unroll 8
        for (int i = 0; i < m; i++) {
            vf factor = v_set(a[(size_t)i * p->lda + k]);
#pragma GCC unroll 4
            for (int w = 0; w < width; w++) sum[i][w] += factor * x[w];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int w = 0; w < width; w++) v_store(c + (size_t)i * p->ldc + (size_t)w * W, sum[i][w]);
}

/** last_rows: too few for a full piece; one or two of them take a wider one. */
static void last_rows(const struct product *p, size_t row)
{
    size_t left = p->m - row, col = 0;
    for (; left <= MR / 2 && col + 2 * COLS <= p->n; col += 2 * COLS) switch (left) {
        case 1:
            piece(p, row, col, 1, 4);
            break;
        case 2:
            piece(p, row, col, 2, 4);
            break;
#if MR == 8
        case 3:
            piece(p, row, col, 3, 4);
            break;
        case 4:
            piece(p, row, col, 4, 4);
            break;
#endif
        default:
            break;
        }
    for (; col < p->n; col += COLS) switch (left) {
        case 1:
            piece(p, row, col, 1, 2);
            break;
        case 2:
            piece(p, row, col, 2, 2);
            break;
        case 3:
            piece(p, row, col, 3, 2);
            break;
#if MR == 8
        case 4:
            piece(p, row, col, 4, 2);
            break;
        case 5:
            piece(p, row, col, 5, 2);
            break;
        case 6:
            piece(p, row, col, 6, 2);
            break;
        case 7:
            piece(p, row, col, 7, 2);
            break;
#endif
        default:
            break;
        }
}

static void multiply(const struct product *p)
{
    size_t row = 0;
    for (; row + MR <= p->m; row += MR)
        for (size_t col = 0; col < p->n; col += COLS) piece(p, row, col, MR, 2);
    if (row < p->m) last_rows(p, row);
}

static inline vf widen(const uint16_t *p)
{
#if SIMD_avx512 /* GCC 12 makes four instructions of the conversion below. */
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(*(const __m256i_u *)(const void *)p), 16);
#elif SIMD_avx2
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(*(const __m128i_u *)(const void *)p), 16);
#else
    return (vf)(__builtin_convertvector(*(const vh_mem *)p, vi) << 16);
#endif
}

static inline float widen_one(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** turn_bf16: W keys, `stride` apart, to columns of kt. A pair of elements is moved as one word. */
static void turn_bf16(float *kt, const uint16_t *k, size_t stride, size_t dim)
{
    size_t e = 0;
    for (; e + 2 * W <= dim; e += 2 * W) {
        vf pair[W];
#pragma GCC unroll 16
        for (size_t i = 0; i < W; i++)
            pair[i] = *(const pair_mem *)(const void *)(k + i * stride + e);
        v_transpose(pair);
#pragma GCC unroll 16
        for (size_t i = 0; i < W; i++) {
            v_store(kt + (e + 2 * i) * KEYS, (vf)((vi)pair[i] << 16));
            v_store(kt + (e + 2 * i + 1) * KEYS, (vf)((vi)pair[i] & (int32_t)0xffff0000));
        }
    }
    for (; e < dim; e++)
        for (size_t i = 0; i < W; i++) kt[e * KEYS + i] = widen_one(k[i * stride + e]);
}

static void turn_f32(float *kt, const float *k, size_t stride, size_t dim)
{
    size_t e = 0;
    for (; e + W <= dim; e += W) {
        vf square[W];
#pragma GCC unroll 16
        for (size_t i = 0; i < W; i++) square[i] = v_load(k + i * stride + e);
        v_transpose(square);
#pragma GCC unroll 16
        for (size_t i = 0; i < W; i++) v_store(kt + (e + i) * KEYS, square[i]);
    }
    for (; e < dim; e++)
        for (size_t i = 0; i < W; i++) kt[e * KEYS + i] = k[i * stride + e];
}

/** value_row: one value, with zeros up to a whole register. */
static void value_row(float *out, const struct owm_kv_cache *c, size_t at)
{
    size_t dim = c->head_dim, e = 0;
    if (c->bf16) {
        const uint16_t *v = (const uint16_t *)c->v + at;
        for (; e + W <= dim; e += W) v_store(out + e, widen(v + e));
        for (; e < dim; e++) out[e] = widen_one(v[e]);
    } else {
        memcpy(out, (const float *)c->v + at, dim * sizeof *out);
    }
}

/** place_in_cache: of the element at which the key and the value at a position begin. */
static size_t place_in_cache(const struct owm_kv_cache *c, const struct place *p, size_t kv_head,
                             size_t position)
{
    size_t page = p->page[position / OWM_PAGE_TOKENS];
    size_t slot = page * OWM_PAGE_TOKENS + position % OWM_PAGE_TOKENS;
    return (slot * c->kv_heads + kv_head) * c->head_dim;
}

/** fetch: W keys and values on their way to the cache: pages lie anywhere, and heads of a page far
 *  apart, so the processor does not foresee them. */
static void fetch(const struct owm_kv_cache *c, size_t at)
{
    size_t bytes = c->bf16 ? 2 : 4, step = bytes * c->kv_heads * c->head_dim;
    const char *k = (const char *)c->k + at * bytes, *v = (const char *)c->v + at * bytes;
    for (size_t i = 0; i < W; i++, k += step, v += step)
        for (size_t line = 0; line < c->head_dim * bytes; line += 64) {
            __builtin_prefetch(k + line);
            __builtin_prefetch(v + line);
        }
}

/** stretch: keys first .. first + keys of a key/value head, of which there are `end`. */
struct stretch {
    size_t kv_head, first, keys, end;
};

/** load_block: a stretch, and a prefetch of the one behind it. What lies behind the last key is
 *  never multiplied as a value, and as a key its score is not looked at. */
static void load_block(struct space *t, const struct owm_kv_cache *c, const struct place *p,
                       const struct stretch *b)
{
    size_t stride = (size_t)c->kv_heads * c->head_dim;
    for (size_t i = 0; i < b->keys; i += W) {
        size_t at = place_in_cache(c, p, b->kv_head, b->first + i), next = b->first + i + KEYS;
        if (next < b->end) fetch(c, place_in_cache(c, p, b->kv_head, next));
        if (c->bf16)
            turn_bf16(&t->kt[0][i], (const uint16_t *)c->k + at, stride, c->head_dim);
        else
            turn_f32(&t->kt[0][i], (const float *)c->k + at, stride, c->head_dim);
        for (size_t n = 0; n < W && i + n < b->keys; n++)
            value_row(t->v + (i + n) * t->cols, c, at + n * stride);
    }
}

/** soften: scores of one query to what they count against its running maximum; `seen` of `keys`
 *  are before its end. */
static void soften(struct space *t, size_t i, size_t seen, size_t keys, size_t dim)
{
    float *s = t->s[i];
    size_t full = (seen + W - 1) / W * W;
    memset(s + seen, 0, (keys - seen) * sizeof *s);
    if (seen == 0) return;
    for (size_t k = seen; k < full; k++) s[k] = -INFINITY;
    vf top = v_set(t->result.max[i]), sum = {0};
    for (size_t k = 0; k < full; k += W) top = v_max(top, v_load(s + k));
    float max = v_highest(top), keep = expf(t->result.max[i] - max);
    for (size_t k = 0; k < full; k += W) {
        vf p = v_exp(v_load(s + k) - max);
        v_store(s + k, p);
        sum += p;
    }
    for (size_t k = seen; k < full; k++) s[k] = 0; /* They were e^-87, too little to count. */
    t->result.sum[i] = t->result.sum[i] * keep + v_sum(sum);
    t->result.max[i] = max;
    if (keep == 1) return;
    for (size_t e = 0; e < dim; e += W)
        v_store(t->result.acc[i] + e, v_load(t->result.acc[i] + e) * keep);
}

static void start_tile(struct space *t, const struct owm_attention_paged *a, const struct place *p)
{
    size_t dim = a->cache.head_dim;
    float scale = 1 / sqrtf((float)dim);
    for (size_t i = 0; i < p->vectors; i++) {
        const float *q = a->q + row_of(p, i) * a->stride + head_of(p, i) * dim;
        for (size_t e = 0; e < dim; e++) t->q[i][e] = q[e] * scale;
        memset(t->result.acc[i], 0, sizeof t->result.acc[i]);
        t->result.max[i] = -INFINITY;
        t->result.sum[i] = 0;
    }
    t->cols = (dim + COLS - 1) / COLS * COLS;
    if (t->cols > dim) memset(t->v, 0, sizeof t->v);
}

/** attend_block: what query vectors from `at` on gain from a stretch of the keys that they read. */
static void attend_block(struct space *t, const struct owm_attention_paged *a,
                         const struct place *p, size_t at, const struct stretch *b)
{
    size_t dim = a->cache.head_dim;
    load_block(t, &a->cache, p, b);
    multiply(&(struct product){.c = t->s[at],
                               .a = t->q[at],
                               .b = t->kt[0],
                               .ldc = KEYS,
                               .lda = DIM,
                               .ldb = KEYS,
                               .m = p->readers,
                               .n = (b->keys + COLS - 1) / COLS * COLS,
                               .k = dim});
    for (size_t i = at; i < at + p->readers; i++) {
        size_t length = (size_t)a->position[row_of(p, i)] + 1;
        size_t seen = length < b->first ? 0 : length - b->first;
        soften(t, i, seen < b->keys ? seen : b->keys, b->keys, dim);
    }
    multiply(&(struct product){.c = t->result.acc[at],
                               .a = t->s[at],
                               .b = t->v,
                               .ldc = DIM,
                               .lda = KEYS,
                               .ldb = t->cols,
                               .m = p->readers,
                               .n = t->cols,
                               .k = b->keys,
                               .accumulate = true});
}

/** attend: a tile against keys begin .. end of its sequence. */
static void attend(struct space *t, const struct owm_attention_paged *a, const struct place *p,
                   size_t begin, size_t end)
{
    start_tile(t, a, p);
    for (size_t first = begin; first < end; first += KEYS)
        for (size_t k = 0; k < p->span; k++)
            attend_block(t, a, p, k * p->readers,
                         &(struct stretch){.kv_head = p->kv_head + k,
                                           .first = first,
                                           .keys = end - first < KEYS ? end - first : KEYS,
                                           .end = end});
}

/** write_out: results divided by their sums. */
static void write_out(const struct owm_attention_paged *a, const struct place *p,
                      const struct result *result)
{
    size_t dim = a->cache.head_dim;
    for (size_t i = 0; i < p->vectors; i++) {
        float *out = a->out + (row_of(p, i) * a->heads + head_of(p, i)) * dim;
        float inverse = 1 / result->sum[i];
        for (size_t e = 0; e < dim; e++) out[e] = result->acc[i][e] * inverse;
    }
}

static void save(struct result *slot, const struct result *result, size_t vectors)
{
    memcpy(slot->acc, result->acc, vectors * sizeof *slot->acc);
    memcpy(slot->max, result->max, vectors * sizeof *slot->max);
    memcpy(slot->sum, result->sum, vectors * sizeof *slot->sum);
}

/** add_part: the next keys of query i to what those before them gave. The first key of all is in
 *  the first part, so its maximum is finite; a part without a key counts nothing. */
static void add_part(struct result *to, const struct result *from, size_t i)
{
    float max = to->max[i] > from->max[i] ? to->max[i] : from->max[i];
    float keep = expf(to->max[i] - max), take = expf(from->max[i] - max);
    to->max[i] = max;
    to->sum[i] = to->sum[i] * keep + from->sum[i] * take;
    for (size_t e = 0; e < DIM; e++) to->acc[i][e] = to->acc[i][e] * keep + from->acc[i][e] * take;
}

static void item_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct paged_job *j = ctx;
    struct space *t = (struct space *)(void *)cpu_scratch(j->cpu, worker);
    for (size_t n = begin; n < end; n++) {
        struct place p = place_of(j, n / j->sets / j->parts, n % j->sets);
        size_t blocks = (p.length + KEYS - 1) / KEYS, share = (blocks + j->parts - 1) / j->parts;
        size_t from = n / j->sets % j->parts * share * KEYS, to = from + share * KEYS;
        attend(t, j->a, &p, from, to < p.length ? to : p.length);
        if (j->parts == 1)
            write_out(j->a, &p, &t->result);
        else
            save(&j->shared->slot[n], &t->result, p.vectors);
    }
}

/** merge_job: adds up the parts of a tile's set of heads in the first one's slot, in order. */
static void merge_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct paged_job *j = ctx;
    (void)worker;
    for (size_t n = begin; n < end; n++) {
        size_t tile = n / j->sets, set = n % j->sets;
        struct place p = place_of(j, tile, set);
        struct result *first = &j->shared->slot[tile * j->parts * j->sets + set];
        for (size_t i = 0; i < p.vectors; i++)
            for (size_t k = 1; k < j->parts; k++) add_part(first, first + k * j->sets, i);
        write_out(j->a, &p, first);
    }
}

/** cut: rows into tiles: neighbours of one sequence, as many as fill the vectors with the heads of
 *  a key. Returns: the most rows in a tile. */
static size_t cut(struct paged_job *j)
{
    const struct owm_attention_paged *a = j->a;
    size_t limit = j->group < VECTORS ? VECTORS / j->group : 1, begin = 0, most = 0;
    for (uint32_t r = 0; r < a->rows; r++) {
        if (r == 0 || a->sequence[r] != a->sequence[r - 1] || r - begin == limit) {
            j->shared->tile[j->tiles++] = r;
            begin = r;
        }
        most = most <= r - begin ? r - begin + 1 : most;
    }
    j->shared->tile[j->tiles] = a->rows;
    return most;
}

/** plan: how many heads an item takes, and in how many parts their keys are. */
static void plan(struct paged_job *j)
{
    const struct owm_attention_paged *a = j->a;
    size_t kv_heads = a->cache.kv_heads, readers = cut(j) * j->group, longest = 0;
    j->span = readers < VECTORS ? VECTORS / readers : 1;
    j->split = (j->group + VECTORS - 1) / VECTORS;
    j->sets = (kv_heads + j->span - 1) / j->span * j->split;
    for (uint32_t r = 0; r < a->rows; r++)
        if (longest <= a->position[r]) longest = (size_t)a->position[r] + 1;
    size_t most = (longest - 1) / (KEYS * PART_BLOCKS) + 1, free = SLOTS / (j->tiles * j->sets);
    j->parts = free < most ? free : most;
    if (j->parts == 0) j->parts = 1;
}

owm_status SIMD(attention_paged)(struct owm_device *device, const struct owm_attention_paged *a)
{
    owm_status status = owm_check_attention_paged(a);
    if (status != OWM_OK) return status;
    struct paged_job j = {.a = a, .cpu = cpu_of(device), .group = a->heads / a->cache.kv_heads};
    j.shared = (struct shared *)(void *)((struct space *)(void *)cpu_scratch(j.cpu, 0) + 1);
    plan(&j);
    size_t items = j.tiles * j.sets;
    owm_pool_for(device->pool, items * j.parts, 1, item_job, &j);
    if (j.parts > 1) owm_pool_for(device->pool, items, 1, merge_job, &j);
    return OWM_OK;
}
