/* linear_f32.c: BF16 weights without an instruction for them: widened to f32 in registers, which is
 * a shift, and multiplied there. A pass keeps ROWS rows of activations times the 16 rows of a
 * panel.
 */
#include "linear_simd.h"

#define PARTS          (LINEAR_PANEL / W) /* Registers of a panel's rows. */
#define ROWS           (8 / PARTS)        /* 8 sums; 2 * PARTS weights, and room. */
#define PREFETCH_BYTES 4096

struct pass {
    const uint8_t *panel;
    const float *x; /* Of the first row of the pass. */
    float *y;
    size_t ldy, blocks, block_rows, n;
    bool accumulate;
};

static inline void store(const struct pass *p, float *y, const vf sum[PARTS])
{
    for (size_t part = 0; part < PARTS && part * W < p->n; part++) {
        size_t at = part * W, n = p->n - at < W ? p->n - at : W;
        vf before = p->accumulate ? v_load_part(y + at, n, 0) : (vf){0};
        v_store_part(y + at, before + sum[part], n);
    }
}

static inline __attribute__((always_inline)) void pass(const struct pass *p, int rows)
{
    vf sum[ROWS][PARTS] = {{{0}}};
    const float *x = p->x;
    const uint8_t *w = p->panel;
    for (size_t b = 0; b < p->blocks; b++, x += p->block_rows * LINEAR_COLS)
        for (int pair = 0; pair < LINEAR_COLS / 2; pair++, w += 64) {
            __builtin_prefetch(w + PREFETCH_BYTES);
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; part++) {
                vi both = v_load_bits(w + part * W * 4);
                vf even = (vf)(both << 16), odd = (vf)(both & (int32_t)0xffff0000);
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++) {
                    sum[i][part] += v_set(x[i * LINEAR_COLS + 2 * pair]) * even;
                    sum[i][part] += v_set(x[i * LINEAR_COLS + 2 * pair + 1]) * odd;
                }
            }
        }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) store(p, p->y + (size_t)i * p->ldy, sum[i]);
}

static void block(const struct linear_job *j, size_t panel, size_t first)
{
    size_t n = j->n - panel * LINEAR_PANEL, rows = j->m - first;
    if (rows > LINEAR_PANEL) rows = LINEAR_PANEL;
    struct pass p = {.panel = j->weights + panel * j->panel_bytes,
                     .x = (const float *)j->x + first * j->blocks * LINEAR_COLS,
                     .y = j->y + first * j->ldy + panel * LINEAR_PANEL,
                     .ldy = j->ldy,
                     .blocks = j->blocks,
                     .block_rows = rows,
                     .n = n < LINEAR_PANEL ? n : LINEAR_PANEL,
                     .accumulate = j->accumulate};
    size_t row = 0;
    for (; row + ROWS <= rows; row += ROWS) {
        pass(&p, ROWS);
        p.x += ROWS * LINEAR_COLS;
        p.y += ROWS * j->ldy;
    }
    for (; row < rows; row++) {
        pass(&p, 1);
        p.x += LINEAR_COLS;
        p.y += j->ldy;
    }
}

void SIMD(linear_f32)(const struct linear_job *job, size_t begin, size_t end)
{
    for (size_t panel = begin; panel < end; panel++)
        for (size_t first = 0; first < job->m; first += LINEAR_PANEL) block(job, panel, first);
}
