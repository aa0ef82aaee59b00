/* linear_bf16.c: BF16 with vdpbf16ps: two products added to each of 16 lanes. A pass keeps ROWS
 * rows of activations times two panels; with few rows the even and odd pairs of columns have sums
 * of their own, so that the loop waits for memory and not for the adder. */
#include <immintrin.h>

#include "linear_kernels.h"

#define ROWS           8
#define PREFETCH_BYTES 4096

struct pass {
    const uint8_t *panel[2];
    const uint16_t *x; /* Of the first row of the pass. */
    float *y;
    size_t ldy, blocks, block_rows, n;
    bool accumulate;
};

static inline void put(float *y, __m512 x, size_t lanes, bool accumulate)
{
    __mmask16 mask = (__mmask16)(lanes >= 16 ? 0xffff : (1u << lanes) - 1);
    if (accumulate) x = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), x);
    _mm512_mask_storeu_ps(y, mask, x);
}

static inline __m512bh pair_of(const uint16_t *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

static inline __attribute__((always_inline)) void pass(const struct pass *p, int rows, int chains)
{
    __m512 sum[ROWS][2][2];
    const uint16_t *x = p->x;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++) sum[i][s / 2][s % 2] = _mm512_setzero_ps();
    const size_t bytes = p->blocks * 1024;
    for (size_t at = 0; at < bytes; at += 1024, x += p->block_rows * LINEAR_COLS) {
        /* Behind a panel lies the other one, and what comes next behind that. */
        size_t ahead = PREFETCH_BYTES + (at + PREFETCH_BYTES >= bytes ? bytes : 0);
#pragma GCC unroll 16
        for (int pair = 0; pair < LINEAR_COLS / 2; pair++) {
            int chain = pair % chains;
            const uint8_t *w0 = p->panel[0] + at + pair * 64, *w1 = p->panel[1] + at + pair * 64;
            if (rows <= 4) {
                __builtin_prefetch(w0 + ahead, 0, 2);
                __builtin_prefetch(w1 + ahead, 0, 2);
            }
            __m512bh b0 = (__m512bh)_mm512_loadu_si512(w0), b1 = (__m512bh)_mm512_loadu_si512(w1);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) {
                __m512bh a = pair_of(x + i * LINEAR_COLS + 2 * pair);
                sum[i][0][chain] = _mm512_dpbf16_ps(sum[i][0][chain], a, b0);
                sum[i][1][chain] = _mm512_dpbf16_ps(sum[i][1][chain], a, b1);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        float *y = p->y + (size_t)i * p->ldy;
        put(y, _mm512_add_ps(sum[i][0][0], sum[i][0][1]), p->n, p->accumulate);
        if (p->n > LINEAR_PANEL)
            put(y + LINEAR_PANEL, _mm512_add_ps(sum[i][1][0], sum[i][1][1]), p->n - LINEAR_PANEL,
                p->accumulate);
    }
}

static void pass_of(const struct pass *p, size_t rows)
{
    switch (rows) {
    case 8:
        pass(p, 8, 1);
        break;
    case 7:
        pass(p, 7, 1);
        break;
    case 6:
        pass(p, 6, 1);
        break;
    case 5:
        pass(p, 5, 1);
        break;
    case 4:
        pass(p, 4, 1);
        break;
    case 3:
        pass(p, 3, 2);
        break;
    case 2:
        pass(p, 2, 2);
        break;
    default:
        pass(p, 1, 2);
    }
}

/** All rows of a block times two panels; at the end of the matrix the second may be the first. */
static void block(const struct linear_job *j, size_t panel, size_t end, size_t first)
{
    size_t n = j->n - panel * LINEAR_PANEL, rows = j->m - first;
    if (rows > LINEAR_PANEL) rows = LINEAR_PANEL;
    if (panel + 1 == end && n > LINEAR_PANEL) n = LINEAR_PANEL;
    const uint8_t *weights = j->weights + panel * j->panel_bytes;
    struct pass p = {.panel = {weights, panel + 1 < end ? weights + j->panel_bytes : weights},
                     .x = (const uint16_t *)j->x + first * j->blocks * LINEAR_COLS,
                     .y = j->y + first * j->ldy + panel * LINEAR_PANEL,
                     .ldy = j->ldy,
                     .blocks = j->blocks,
                     .block_rows = rows,
                     .n = n,
                     .accumulate = j->accumulate};
    for (size_t row = 0; row < rows; row += ROWS) {
        pass_of(&p, rows - row < ROWS ? rows - row : ROWS);
        p.x += ROWS * LINEAR_COLS;
        p.y += ROWS * j->ldy;
    }
}

void linear_prepare_bf16_native(void *to, const float *x, size_t ldx, uint32_t rows, uint32_t cols,
                                int32_t zero_point)
{
    (void)zero_point;
    for (size_t r = 0; r < rows; r++) {
        const float *from = x + r * ldx;
        char *out = (char *)to + r * LINEAR_X_BF16;
        size_t left = cols;
        for (; left >= LINEAR_COLS; left -= LINEAR_COLS, from += LINEAR_COLS) {
            __m512 low = _mm512_loadu_ps(from), high = _mm512_loadu_ps(from + 16);
            _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
            out += rows * LINEAR_X_BF16;
        }
        if (!left) continue;
        uint32_t mask = (uint32_t)((1ull << left) - 1);
        __m512 low = _mm512_maskz_loadu_ps((__mmask16)mask, from);
        __m512 high = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), from + 16);
        _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

void linear_bf16_avx512(const struct linear_job *job, size_t begin, size_t end)
{
    for (size_t panel = begin; panel < end; panel += 2)
        for (size_t first = 0; first < job->m; first += LINEAR_PANEL) block(job, panel, end, first);
}
