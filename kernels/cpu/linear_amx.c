/* linear_amx.c: many rows by AMX: products of whole tiles of 16 rows of activations and a panel.
 *
 * BF16: two blocks of activations times two panels, four tiles of sums for four loads, over all
 * columns. The panels of a turn stay in the second-level cache while all rows pass by. (Cutting the
 * columns so that activations stay in the first level costs more in sums that come and go.)
 *
 * Q8_0 and Q4_0: a tile of sums holds one group of 32 columns, since the next has other scales; it
 * goes through memory into 16 registers of f32 sums. A piece of a panel is first unpacked to signed
 * bytes, for all rows. Rows that fill no block of 16 are left to vpdpbusd.
 */
#include <immintrin.h>

#include "linear_kernels.h"

#define INT_PIECE  64 /* 32 KiB of unpacked weights. */
#define AHEAD      2  /* Groups between what a tile stores and the sums that read it. */
#define RING       8  /* Groups of stored tiles: a place is free long before its next use. */
#define TILE_BYTES 1024
#define LINE       64

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes_of_row[16];
    uint8_t rows[16];
};

/** The intrinsics do not tell a compiler that they read memory: what was stored must be there. */
static inline void stored(void)
{
    __asm__ volatile("" : : : "memory");
}

static size_t low(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void configure(const uint16_t bytes_of_row[8], const uint8_t rows[8])
{
    struct tile_config config __attribute__((aligned(LINE))) = {.palette = 1};
    memcpy(config.bytes_of_row, bytes_of_row, 8 * sizeof *bytes_of_row);
    memcpy(config.rows, rows, 8);
    stored();
    _tile_loadconfig(&config);
}

/* --- BF16 --- */

/** One corner of y: rows x cols valid of 16 x 16, through `spare` where y cuts the tile off. */
struct corner {
    float *y;
    size_t ldy, rows, cols;
    float spare[LINEAR_PANEL][LINEAR_PANEL] __attribute__((aligned(LINE)));
};

static bool whole(const struct corner *c)
{
    return c->rows == LINEAR_PANEL && c->cols == LINEAR_PANEL;
}

static void corner_open(struct corner *c, const struct linear_job *j, size_t row, size_t panel)
{
    c->y = j->y + row * j->ldy + panel * LINEAR_PANEL;
    c->ldy = j->ldy;
    c->rows = low(LINEAR_PANEL, j->m - row);
    c->cols = low(LINEAR_PANEL, j->n - panel * LINEAR_PANEL);
    if (whole(c)) return;
    for (size_t i = 0; i < c->rows; i++)
        memcpy(c->spare[i], c->y + i * c->ldy, c->cols * sizeof(float));
}

static void corner_close(const struct corner *c)
{
    if (whole(c)) return;
    for (size_t i = 0; i < c->rows; i++)
        memcpy(c->y + i * c->ldy, c->spare[i], c->cols * sizeof(float));
}

/* Tile numbers must be constants. */
#define CORNER_LOAD(tile, c)                                                                       \
    do {                                                                                           \
        if (whole(c))                                                                              \
            _tile_loadd(tile, (c)->y, (c)->ldy * sizeof(float));                                   \
        else                                                                                       \
            _tile_loadd(tile, (c)->spare, LINE);                                                   \
    } while (0)
#define CORNER_STORE(tile, c)                                                                      \
    do {                                                                                           \
        if (whole(c))                                                                              \
            _tile_stored(tile, (c)->y, (c)->ldy * sizeof(float));                                  \
        else                                                                                       \
            _tile_stored(tile, (c)->spare, LINE);                                                  \
    } while (0)

/** a[2], b[2]: blocks of activations and panels. */
struct square {
    const uint8_t *a[2], *b[2];
    size_t a_step[2], blocks;
    struct corner corner[2][2];
    bool add; /* to what y holds */
};

static inline __attribute__((always_inline)) void multiply(const struct square *s, bool two_a,
                                                           bool two_b)
{
    const uint8_t *a0 = s->a[0], *a1 = s->a[two_a], *b0 = s->b[0], *b1 = s->b[two_b];
    for (size_t k = 0; k < s->blocks; k++) {
        _tile_loadd(4, a0, LINE);
        _tile_loadd(6, b0, LINE);
        _tile_dpbf16ps(0, 4, 6);
        if (two_b) {
            _tile_loadd(7, b1, LINE);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (two_a) {
            _tile_loadd(5, a1, LINE);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (two_a && two_b) _tile_dpbf16ps(3, 5, 7);
        a0 += s->a_step[0], a1 += s->a_step[two_a], b0 += TILE_BYTES, b1 += TILE_BYTES;
    }
}

static void square_of(struct square *s, bool two_a, bool two_b)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (s->add) {
        CORNER_LOAD(0, &s->corner[0][0]);
        if (two_b) CORNER_LOAD(1, &s->corner[0][1]);
        if (two_a) CORNER_LOAD(2, &s->corner[1][0]);
        if (two_a && two_b) CORNER_LOAD(3, &s->corner[1][1]);
    }
    if (two_a && two_b)
        multiply(s, true, true);
    else if (two_a)
        multiply(s, true, false);
    else if (two_b)
        multiply(s, false, true);
    else
        multiply(s, false, false);
    CORNER_STORE(0, &s->corner[0][0]);
    if (two_b) CORNER_STORE(1, &s->corner[0][1]);
    if (two_a) CORNER_STORE(2, &s->corner[1][0]);
    if (two_a && two_b) CORNER_STORE(3, &s->corner[1][1]);
}

/** Rows [row, row + 32) times panels [panel, panel + 2). */
static void bf16_square(const struct linear_job *j, struct square *s, size_t row, size_t panel,
                        size_t end)
{
    bool two_a = row + LINEAR_PANEL < j->m, two_b = panel + 1 < end;
    for (size_t i = 0; i < 1 + (size_t)two_a; i++) {
        size_t first = row + i * LINEAR_PANEL;
        s->a_step[i] = low(LINEAR_PANEL, j->m - first) * LINEAR_X_BF16;
        s->a[i] = j->x + first * j->blocks * LINEAR_X_BF16;
        for (size_t p = 0; p < 1 + (size_t)two_b; p++) {
            s->b[p] = j->weights + (panel + p) * j->panel_bytes;
            corner_open(&s->corner[i][p], j, first, panel + p);
        }
    }
    stored();
    square_of(s, two_a, two_b);
    for (size_t i = 0; i < 1 + (size_t)two_a; i++)
        for (size_t p = 0; p < 1 + (size_t)two_b; p++) corner_close(&s->corner[i][p]);
}

void linear_bf16_amx(const struct linear_job *j, size_t begin, size_t end)
{
    static const uint16_t bytes[8] = {64, 64, 64, 64, 64, 64, 64, 64};
    static const uint8_t rows[8] = {16, 16, 16, 16, 16, 16, 16, 16};
    struct square s;
    if (j->m < LINEAR_AMX_ROWS) {
        linear_bf16_avx512(j, begin, end);
        return;
    }
    s.blocks = j->blocks;
    s.add = j->accumulate;
    configure(bytes, rows);
    for (size_t row = 0; row < j->m; row += 2 * LINEAR_PANEL)
        for (size_t panel = begin; panel < end; panel += 2) bf16_square(j, &s, row, panel, end);
    _tile_release();
}

/* --- Q8_0 and Q4_0 --- */

struct piece {
    int8_t weights[INT_PIECE][8][64] __attribute__((aligned(LINE)));
    float scale[INT_PIECE][LINEAR_PANEL];
    size_t blocks;
};

static void unpack(struct piece *out, const uint8_t *panel, size_t blocks, size_t from, bool q8)
{
    const uint8_t *scale = panel + from * LINEAR_PANEL * 2;
    const uint8_t *square = panel + blocks * LINEAR_PANEL * 2 + from * (q8 ? 512 : 256);
    for (size_t b = 0; b < out->blocks; b++, scale += LINEAR_PANEL * 2) {
        __m256i half = _mm256_loadu_si256((const __m256i_u *)scale);
        _mm512_store_ps(out->scale[b], _mm512_cvtph_ps(half));
        for (size_t v = 0; v < 8; v++) {
            __m512i w = _mm512_loadu_si512(square + (q8 ? v : v % 4) * 64);
            if (!q8 && v >= 4) w = _mm512_srli_epi32(w, 4);
            if (q8)
                w = _mm512_xor_si512(w, _mm512_set1_epi8((char)0x80));
            else
                w = _mm512_sub_epi8(_mm512_and_si512(w, _mm512_set1_epi8(15)), _mm512_set1_epi8(8));
            _mm512_store_si512(out->weights[b][v], w);
        }
        square += q8 ? 512 : 256;
    }
}

/** sum[i] += float(t[i]) * (scale of the weights * scale of row i) */
static inline __attribute__((always_inline)) void fold(__m512 sum[LINEAR_PANEL],
                                                       const int32_t t[LINEAR_PANEL][LINEAR_PANEL],
                                                       const float *weights, const float *rows)
{
    __m512 d = _mm512_load_ps(weights);
#pragma GCC unroll 16
    for (int i = 0; i < LINEAR_PANEL; i++) {
        __m512 x = _mm512_cvtepi32_ps(_mm512_load_si512(t[i]));
        sum[i] = _mm512_fmadd_ps(x, _mm512_mul_ps(d, _mm512_set1_ps(rows[i])), sum[i]);
    }
}

#define GROUP_BYTES ((size_t)LINEAR_PANEL * LINEAR_X_Q)

/* One group into `out`, by tiles t, a and b. */
#define GROUP(t, a, b, out, x, w)                                                                  \
    do {                                                                                           \
        _tile_loadd(a, x, LINEAR_COLS);                                                            \
        _tile_loadd(b, w, LINE);                                                                   \
        _tile_zero(t);                                                                             \
        _tile_dpbssd(t, a, b);                                                                     \
        _tile_stored(t, out, LINE);                                                                \
    } while (0)

/* Group b + i + AHEAD by the tiles t, a and w into the ring; group b + i from there to the sums. */
#define STEP(i, t, a, w)                                                                           \
    do {                                                                                           \
        size_t g = b + (i), next = g + AHEAD;                                                      \
        if (next < p->blocks)                                                                      \
            GROUP(t, a, w, ring[next % RING], x + next * GROUP_BYTES, p->weights[next]);           \
        if (g < p->blocks)                                                                         \
            fold(sum, ring[g % RING], p->scale[g], scale + g * (GROUP_BYTES / sizeof(float)));     \
    } while (0)

/** 16 rows from x times a piece. Tiles and sums take turns group by group: a core looks ahead over
 *  one of each, so that both work at once, but not over several. */
static void int_block(const struct piece *p, const uint8_t *x, float *y, size_t ldy, size_t cols,
                      bool add)
{
    int32_t ring[RING][LINEAR_PANEL][LINEAR_PANEL] __attribute__((aligned(LINE)));
    __mmask16 mask = (__mmask16)((1u << cols) - 1);
    const float *scale = (const float *)(x + LINEAR_PANEL * LINEAR_COLS);
    __m512 sum[LINEAR_PANEL];
#pragma GCC unroll 16
    for (size_t i = 0; i < LINEAR_PANEL; i++)
        sum[i] = add ? _mm512_maskz_loadu_ps(mask, y + i * ldy) : _mm512_setzero_ps();
    for (size_t g = 0; g < AHEAD && g < p->blocks; g++)
        GROUP(0, 4, 6, ring[g], x + g * GROUP_BYTES, p->weights[g]);
    for (size_t b = 0; b < p->blocks; b += 4) {
        STEP(0, 0, 4, 6);
        STEP(1, 1, 5, 7);
        STEP(2, 2, 4, 6);
        STEP(3, 3, 5, 7);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < LINEAR_PANEL; i++) _mm512_mask_storeu_ps(y + i * ldy, mask, sum[i]);
}

static inline __attribute__((always_inline)) void int_panels(const struct linear_job *j,
                                                             size_t begin, size_t end, bool q8)
{
    static const uint16_t bytes[8] = {64, 64, 64, 64, 32, 32, 64, 64};
    static const uint8_t rows[8] = {16, 16, 16, 16, 16, 16, 8, 8};
    struct piece piece;
    configure(bytes, rows);
    for (size_t panel = begin; panel < end; panel++)
        for (size_t from = 0; from < j->blocks; from += INT_PIECE) {
            piece.blocks = low(INT_PIECE, j->blocks - from);
            unpack(&piece, j->weights + panel * j->panel_bytes, j->blocks, from, q8);
            stored();
            for (size_t row = 0; row + LINEAR_PANEL <= j->m; row += LINEAR_PANEL)
                int_block(&piece, j->x + row * j->blocks * LINEAR_X_Q + from * GROUP_BYTES,
                          j->y + row * j->ldy + panel * LINEAR_PANEL, j->ldy,
                          low(LINEAR_PANEL, j->n - panel * LINEAR_PANEL), j->accumulate || from);
        }
    _tile_release();
}

/** The rows that fill no block. */
static struct linear_job rest_of(const struct linear_job *j)
{
    struct linear_job rest = *j;
    size_t done = j->m / LINEAR_PANEL * LINEAR_PANEL;
    rest.m = j->m - (uint32_t)done;
    rest.x += done * j->blocks * LINEAR_X_Q;
    rest.y += done * j->ldy;
    return rest;
}

void linear_q8_amx(const struct linear_job *job, size_t begin, size_t end)
{
    struct linear_job rest = rest_of(job);
    if (job->m >= LINEAR_PANEL) int_panels(job, begin, end, true);
    if (rest.m) linear_q8_vnni512(&rest, begin, end);
}

void linear_q4_amx(const struct linear_job *job, size_t begin, size_t end)
{
    struct linear_job rest = rest_of(job);
    if (job->m >= LINEAR_PANEL) int_panels(job, begin, end, false);
    if (rest.m) linear_q4_vnni512(&rest, begin, end);
}
