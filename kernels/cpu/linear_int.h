/* linear_int.h: the product of Q8_0 and Q4_0 panels with prepared activations, over the vector type
 * of the file that includes it.
 *
 * That file has defined before: int_v and float_v, registers of LANES 32-bit lanes (a divisor of
 * 16); ROWS, the most rows of activations that a pass over a panel serves; and int_v load(const
 * uint8_t *); float_v halves(const uint8_t *f16); int_v start_q8(int32_t), start_q4(int32_t): where
 * the sum of a group begins; int_v dot_q8(int_v sum, int_v weights, const int8_t *x), dot_q4: adds
 * four products a lane; int_v low_nibbles(int_v), high_nibbles(int_v); float_v to_float(int_v),
 * splat(float); void put(float *y, float_v, size_t lanes, bool accumulate).
 *
 * A pass keeps one float sum a row; each group adds float(integer sum) * (weight scale * row scale)
 * to it, groups in order, so all sets with a fused multiply-add agree to the bit.
 */
#ifndef OWM_KERNELS_CPU_LINEAR_INT_H
#define OWM_KERNELS_CPU_LINEAR_INT_H

#include "linear_kernels.h"

#define INT_INLINE     static inline __attribute__((always_inline))
#define PREFETCH_BYTES 4096 /* Memory's latency at a core's share of its bandwidth. */

/** One pass: `rows` (a constant) rows from `row` of a block; LANES rows from `lane` of each of
 *  `parts` (a constant) panels side by side, `lanes` of the last one valid. */
struct int_pass {
    const uint8_t *panel, *x; /* x: of the whole block */
    size_t panel_bytes;
    float *y;
    size_t ldy, blocks, block_rows, row, lane, lanes;
    bool accumulate, prefetch;
};

/** The sums of one square of each part: side by side, since each sum is a chain. */
INT_INLINE void square_of(int_v t[ROWS][PARTS], const uint8_t *square, size_t panel_bytes,
                          const int8_t *q, int rows, int parts, bool q8)
{
    int vectors = q8 ? 8 : 4;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        int_v w[PARTS];
#pragma GCC unroll 2
        for (int s = 0; s < parts; s++) w[s] = load(square + (size_t)s * panel_bytes + v * 64);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            int_v x = four(q + i * LINEAR_COLS + 4 * v);
#pragma GCC unroll 2
            for (int s = 0; s < parts; s++)
                t[i][s] = q8 ? dot_q8(t[i][s], w[s], x) : dot_q4(t[i][s], low_nibbles(w[s]), x);
            if (q8) continue;
            x = four(q + i * LINEAR_COLS + 4 * v + 16);
#pragma GCC unroll 2
            for (int s = 0; s < parts; s++) t[i][s] = dot_q4(t[i][s], high_nibbles(w[s]), x);
        }
    }
}

/** What is needed a while after this square: behind the end of a panel lies that of the next part,
 *  so the next pass's is behind those of all parts. To the second cache: there is more room for
 *  lines under way than at the first, and it hides the rest. */
INT_INLINE void ahead(const struct int_pass *p, const uint8_t *square, int parts, size_t bytes)
{
    const uint8_t *at = square + PREFETCH_BYTES;
    if (at >= p->panel + p->panel_bytes) at += (size_t)(parts - 1) * p->panel_bytes;
    for (int s = 0; s < parts; s++)
        for (size_t i = 0; i < bytes; i += 64)
            __builtin_prefetch(at + (size_t)s * p->panel_bytes + i, 0, 2);
}

INT_INLINE void pass(const struct int_pass *p, int rows, int parts, bool q8)
{
    size_t square_bytes = q8 ? 512 : 256, x_bytes = p->block_rows * LINEAR_X_Q;
    const uint8_t *scales = p->panel + p->lane * 2, *x = p->x;
    const uint8_t *square = p->panel + p->blocks * LINEAR_PANEL * 2 + p->lane * 4;
    float_v sum[ROWS][PARTS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int s = 0; s < parts; s++) sum[i][s] = splat(0);
    for (size_t b = 0; b < p->blocks; b++) {
        int_v t[ROWS][PARTS];
        float_v d[PARTS];
        const int8_t *q = (const int8_t *)x + p->row * LINEAR_COLS;
        const float *scale = (const float *)(x + p->block_rows * LINEAR_COLS) + p->row;
        const int32_t *start = (const int32_t *)scale + p->block_rows;
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (int s = 0; s < parts; s++) t[i][s] = q8 ? start_q8(start[i]) : start_q4(start[i]);
        square_of(t, square, p->panel_bytes, q, rows, parts, q8);
#pragma GCC unroll 2
        for (int s = 0; s < parts; s++) d[s] = halves(scales + (size_t)s * p->panel_bytes);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (int s = 0; s < parts; s++)
                sum[i][s] += to_float(t[i][s]) * (d[s] * splat(scale[i]));
        if (p->prefetch) ahead(p, square, parts, square_bytes);
        square += square_bytes;
        scales += LINEAR_PANEL * 2;
        x += x_bytes;
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int s = 0; s < parts; s++)
            put(p->y + (size_t)i * p->ldy + s * LINEAR_PANEL, sum[i][s],
                s + 1 < parts ? LANES : p->lanes, p->accumulate);
}

/** A pass of a number of rows that is not known before. */
INT_INLINE void pass_of(const struct int_pass *p, size_t rows, int parts, bool q8)
{
    switch (rows) {
#if ROWS > 4
    case 6:
        pass(p, 6, parts, q8);
        break;
    case 5:
        pass(p, 5, parts, q8);
        break;
#endif
    case 4:
        pass(p, 4, parts, q8);
        break;
    case 3:
        pass(p, 3, parts, q8);
        break;
    case 2:
        pass(p, 2, parts, q8);
        break;
    default:
        pass(p, 1, parts, q8);
    }
}

/** All rows of a block times `parts` panels. */
INT_INLINE void block(const struct linear_job *j, size_t panel, int parts, size_t first, bool q8)
{
    size_t rows = j->m - first, last = panel + (size_t)parts - 1;
    size_t n = j->n - last * LINEAR_PANEL; /* Of the last panel. */
    struct int_pass p = {.panel = j->weights + panel * j->panel_bytes,
                         .panel_bytes = j->panel_bytes,
                         .x = j->x + first * j->blocks * LINEAR_X_Q,
                         .ldy = j->ldy,
                         .blocks = j->blocks,
                         .block_rows = rows < LINEAR_PANEL ? rows : LINEAR_PANEL,
                         .accumulate = j->accumulate,
                         .prefetch = j->m <= LINEAR_PANEL};
    size_t passes = (p.block_rows + ROWS - 1) / ROWS, each = (p.block_rows + passes - 1) / passes;
    for (p.lane = 0; p.lane < LINEAR_PANEL && p.lane < n; p.lane += LANES)
        for (p.row = 0; p.row < p.block_rows; p.row += each) {
            size_t left = p.block_rows - p.row;
            p.lanes = n - p.lane < LANES ? n - p.lane : LANES;
            p.y = j->y + (first + p.row) * j->ldy + panel * LINEAR_PANEL + p.lane;
            pass_of(&p, left < each ? left : each, parts, q8);
        }
}

INT_INLINE void panels(const struct linear_job *j, size_t begin, size_t end, bool q8)
{
    size_t panel = begin;
    for (; panel + PARTS <= end; panel += PARTS)
        for (size_t first = 0; first < j->m; first += LINEAR_PANEL)
            block(j, panel, PARTS, first, q8);
    for (; panel < end; panel++)
        for (size_t first = 0; first < j->m; first += LINEAR_PANEL) block(j, panel, 1, first, q8);
}

#endif
