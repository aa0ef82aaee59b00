/* sparse_gram.c: exact dot products of all pairs of sparse vectors, by dense tiles of integers.
 *
 * A tile is up to 1024 coordinates. There the values of a package are integers times one power of
 * two: quantised ones of 7 bits, others of up to 40, which are cut into digits of 11 bits,
 * -1024..1023. So a package becomes one row of 16-bit integers in the tile, or up to four. Every
 * row is multiplied with every row: a sum of 1024 products of two digits is at most 2^30 and exact
 * in 32 bits; shifted to its place it is added to a sum of 128 bits, which holds 2^32 products of
 * 80 bits. Nothing is ever rounded before the last conversion, so tiles may be summed in any order.
 *
 * A register holds 32 products and no jump depends on the data, which pays until about one
 * coordinate in 24 W is left; sparser vectors take the walk along two lists.
 */
#include <math.h>

#include "select.h"

#define TILE_MAX   1024u
#define TILES      64u /* that a thread takes at once */
#define DIGIT_BITS 11
#define DIGITS_MAX 4u
#define BLOCK      4u /* rows of one side multiplied with BLOCK of the other */
#define ROW_BYTES  ((size_t)2 << 20)

typedef __int128 wide;

struct row {
    uint16_t package;
    uint8_t shift; /* its integers are times 2^(the package's exponent + shift) */
};

/* Work space of a thread. */
struct space {
    uint32_t cursor[OWM_SPARSE_PACKAGES_MAX];
    struct row row[DIGITS_MAX * OWM_SPARSE_PACKAGES_MAX + BLOCK];
    int64_t integer[TILE_MAX];
    int16_t code[TILE_MAX];
    int16_t digit[ROW_BYTES / sizeof(int16_t) + BLOCK * TILE_MAX];
    wide sum[]; /* [P (P + 1) / 2]: row by row of the lower half */
};
_Static_assert(sizeof(struct space)
                       + OWM_SPARSE_PACKAGES_MAX * (OWM_SPARSE_PACKAGES_MAX + 1) / 2 * sizeof(wide)
                   <= CPU_SCRATCH_FLOATS * sizeof(float),
               "it fits the scratch");

struct gram_job {
    struct cpu_device *cpu;
    const struct owm_sparse_gram *op;
    uint32_t tile;
};

static struct space *space_of(const struct gram_job *job, unsigned worker)
{
    return (struct space *)cpu_scratch(job->cpu, worker);
}

static size_t pairs(uint32_t count)
{
    return (size_t)count * (count + 1) / 2;
}

/* --- rows ------------------------------------------------------------------------------------- */

static int16_t *new_row(const struct gram_job *job, struct space *w, uint32_t *rows,
                        uint32_t package, int shift)
{
    int16_t *digit = w->digit + (size_t)*rows * job->tile;
    memset(digit, 0, job->tile * sizeof *digit);
    w->row[*rows] = (struct row){(uint16_t)package, (uint8_t)shift};
    ++*rows;
    return digit;
}

/* Integers of at most 10 bits and a sign in w->code, if all of x[count] are such times one power of
 * two, 2^*exponent, which is not below that of the package. */
static bool short_integers(const float *x, uint32_t count, struct space *w, int *exponent)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t m = magnitude_bits(x[i]);
        largest = m > largest ? m : largest;
    }
    int e = (int)((largest + 0x1ffffu) >> 23) - 133 - 3; /* largest <= 127 * 8 * 2^e */
    if (*exponent < e) *exponent = e;
    double inverse = ldexp(1.0, -*exponent);
    uint32_t bad = 0;
    for (uint32_t i = 0; i < count; i++) {
        double exact = (double)x[i] * inverse;
        int32_t integer = (int32_t)exact;
        bad |= (double)integer != exact;
        w->code[i] = (int16_t)integer;
    }
    return !bad;
}

/* The rows of one package in a tile that begins at `first`. */
static void make_rows(const struct gram_job *job, struct space *w, uint32_t package, uint64_t first,
                      uint32_t *rows)
{
    const struct owm_sparse *p = &job->op->package[package];
    uint32_t at = w->cursor[package], end = at;
    uint64_t last = first + job->tile;
    while (end < p->count && p->index[end] < last) end++;
    w->cursor[package] = end;
    const uint32_t *index = p->index + at, count = end - at;
    if (count == 0) return;
    int exponent = p->exponent;
    if (short_integers(p->value + at, count, w, &exponent)) {
        int16_t *digit = new_row(job, w, rows, package, exponent - p->exponent);
        for (uint32_t i = 0; i < count; i++) digit[index[i] - first] = w->code[i];
        return;
    }
    double inverse = ldexp(1.0, -p->exponent);
    uint64_t any = 0;
    for (uint32_t i = 0; i < count; i++) {
        w->integer[i] = (int64_t)((double)p->value[at + i] * inverse);
        any |= (uint64_t)w->integer[i];
    }
    int shift = __builtin_ctzll(any | (uint64_t)1 << 40);
    for (uint32_t i = 0; i < count; i++) w->integer[i] >>= shift;
    for (uint32_t d = 0; d < DIGITS_MAX; d++, shift += DIGIT_BITS) {
        const int64_t half = 1 << (DIGIT_BITS - 1);
        int16_t *digit = new_row(job, w, rows, package, shift);
        uint64_t left = 0;
        for (uint32_t i = 0; i < count; i++) {
            int64_t low = ((w->integer[i] + half) & (2 * half - 1)) - half;
            digit[index[i] - first] = (int16_t)low;
            w->integer[i] = (w->integer[i] - low) >> DIGIT_BITS;
            left |= (uint64_t)w->integer[i];
        }
        if (left == 0) return;
    }
}

/* --- products --------------------------------------------------------------------------------- */

#if SIMD_avx512
typedef __m512i vs;
#define VS_ADD(a, b)  _mm512_add_epi32(a, b)
#define VS_MADD(a, b) _mm512_madd_epi16(a, b)
#define VS_LOAD(p)    _mm512_loadu_si512(p)
#define SIDE          4u
#elif SIMD_avx2
typedef __m256i vs;
#define VS_ADD(a, b)  _mm256_add_epi32(a, b)
#define VS_MADD(a, b) _mm256_madd_epi16(a, b)
#define VS_LOAD(p)    _mm256_loadu_si256((const __m256i *)(p))
#define SIDE          2u
#endif

#if SIMD_avx512 || SIMD_avx2
static int32_t sum_of(vs x)
{
    vi lane = (vi)x;
    int32_t sum = 0;
    for (int i = 0; i < W; i++) sum += lane[i];
    return sum;
}

/* dot[i][j] of 4 rows with SIDE rows, all products in registers. */
static void multiply_side(const int16_t *a, const int16_t *b, uint32_t tile, int32_t dot[4][BLOCK])
{
    vs sum[4][SIDE];
    memset(sum, 0, sizeof sum);
    for (uint32_t k = 0; k < tile; k += 2 * W) {
        vs y[SIDE];
#pragma GCC unroll 4
        for (unsigned j = 0; j < SIDE; j++) y[j] = VS_LOAD(b + (size_t)j * tile + k);
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) {
            vs x = VS_LOAD(a + (size_t)i * tile + k);
#pragma GCC unroll 4
            for (unsigned j = 0; j < SIDE; j++) sum[i][j] = VS_ADD(sum[i][j], VS_MADD(x, y[j]));
        }
    }
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < SIDE; j++) dot[i][j] = sum_of(sum[i][j]);
}

static void multiply_block(const int16_t *a, const int16_t *b, uint32_t tile,
                           int32_t dot[BLOCK][BLOCK])
{
    for (unsigned j = 0; j < BLOCK; j += SIDE) {
        int32_t part[4][BLOCK];
        multiply_side(a, b + (size_t)j * tile, tile, part);
        for (unsigned i = 0; i < BLOCK; i++)
            for (unsigned n = 0; n < SIDE; n++) dot[i][j + n] = part[i][n];
    }
}
#else
static void multiply_block(const int16_t *a, const int16_t *b, uint32_t tile,
                           int32_t dot[BLOCK][BLOCK])
{
    for (unsigned i = 0; i < BLOCK; i++)
        for (unsigned j = 0; j < BLOCK; j++) {
            const int16_t *x = a + (size_t)i * tile, *y = b + (size_t)j * tile;
            int32_t sum = 0;
            for (uint32_t k = 0; k < tile; k++) sum += x[k] * y[k];
            dot[i][j] = sum;
        }
}
#endif

/* Two rows' product to the sum of their packages. Rows r and s of one package are met once, but its
 * square holds their product twice. */
static inline void add_product(struct space *w, uint32_t r, uint32_t s, int32_t dot)
{
    uint32_t a = w->row[r].package, b = w->row[s].package;
    unsigned shift = (unsigned)w->row[r].shift + w->row[s].shift + (a == b && r != s);
    w->sum[pairs(a) + b] += (wide)((unsigned __int128)(wide)dot << shift);
}

static void multiply_rows(const struct gram_job *job, struct space *w, uint32_t rows)
{
    const size_t tile = job->tile;
    int32_t dot[BLOCK][BLOCK];
    memset(w->digit + rows * tile, 0, BLOCK * tile * sizeof *w->digit); /* fills the last block */
    for (uint32_t r = 0; r < rows; r += BLOCK)
        for (uint32_t s = 0; s <= r; s += BLOCK) {
            multiply_block(w->digit + r * tile, w->digit + s * tile, job->tile, dot);
            for (uint32_t i = 0; i < BLOCK && r + i < rows; i++)
                for (uint32_t j = 0; j < BLOCK && s + j <= r + i; j++)
                    if (dot[i][j]) add_product(w, r + i, s + j, dot[i][j]);
        }
}

static void gram_tiles(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct gram_job *job = ctx;
    struct space *w = space_of(job, worker);
    uint32_t count = job->op->count;
    for (uint32_t p = 0; p < count; p++)
        w->cursor[p] = sparse_lower_bound(&job->op->package[p], (uint64_t)begin * job->tile);
    for (size_t t = begin; t < end; t++) {
        uint32_t rows = 0;
        for (uint32_t p = 0; p < count; p++) make_rows(job, w, p, (uint64_t)t * job->tile, &rows);
        if (rows > 0) multiply_rows(job, w, rows);
    }
}

/* --- the op ----------------------------------------------------------------------------------- */

static void write_gram(const struct gram_job *job)
{
    const struct owm_sparse_gram *op = job->op;
    for (uint32_t a = 0; a < op->count; a++)
        for (uint32_t b = 0; b <= a; b++) {
            wide sum = 0;
            for (unsigned w = 0; w < job->cpu->workers; w++)
                sum += space_of(job, w)->sum[pairs(a) + b];
            double value = ldexp((double)sum, op->package[a].exponent + op->package[b].exponent);
            op->gram[(size_t)a * op->count + b] = op->gram[(size_t)b * op->count + a] = value;
        }
}

owm_status SIMD(sparse_gram)(struct owm_device *device, const struct owm_sparse_gram *op)
{
    owm_status status = owm_check_sparse_gram(op);
    if (status != OWM_OK) return status;
    uint64_t coordinates = 0, values = 0;
    for (uint32_t p = 0; p < op->count; p++) {
        const struct owm_sparse *x = &op->package[p];
        if (x->count && x->index[x->count - 1] >= coordinates)
            coordinates = (uint64_t)x->index[x->count - 1] + 1;
        values += x->count;
    }
    if (coordinates * op->count > 24 * W * values || values == 0)
        return ref_sparse_gram(device, op);
    struct gram_job job = {cpu_of(device), op, TILE_MAX};
    while ((size_t)DIGITS_MAX * op->count * job.tile * sizeof(int16_t) > ROW_BYTES) job.tile /= 2;
    for (unsigned w = 0; w < job.cpu->workers; w++)
        memset(space_of(&job, w)->sum, 0, pairs(op->count) * sizeof(wide));
    owm_pool_for(device->pool, (coordinates + job.tile - 1) / job.tile, TILES, gram_tiles, &job);
    write_gram(&job);
    return OWM_OK;
}
