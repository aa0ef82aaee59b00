/* linear_int.h: the product of Q8_0 and Q4_0 panels with prepared activations, over the vector type
 * of the file that includes it.
 *
 * That file has defined before: int_v and float_v, registers of LANES 32-bit lanes (a divisor of
 * 16); ROWS, the rows of activations that a pass over a panel serves; and int_v load(const uint8_t
 * *); float_v halves(const uint8_t *f16); int_v start_q8(int32_t), start_q4(int32_t): where the sum
 * of a group begins; int_v dot_q8(int_v sum, int_v weights, const int8_t *x), dot_q4: adds four
 * products a lane; int_v low_nibbles(int_v), high_nibbles(int_v); float_v to_float(int_v),
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

/** One pass: `rows` (a constant) rows from `row` of a block, LANES rows of a panel from `lane`. */
struct int_pass {
    const uint8_t *panel, *x; /* x: of the whole block */
    float *y;
    size_t ldy, blocks, block_rows, row, lane, lanes;
    bool accumulate;
};

INT_INLINE void weights_of(int_v w[8], const uint8_t *square, size_t lane, bool q8)
{
#pragma GCC unroll 8
    for (size_t v = 0; v < 8; v++)
        if (q8)
            w[v] = load(square + v * 64 + lane * 4);
        else if (v < 4)
            w[v] = low_nibbles(load(square + v * 64 + lane * 4));
        else
            w[v] = high_nibbles(load(square + (v - 4) * 64 + lane * 4));
}

INT_INLINE void pass(const struct int_pass *p, int rows, bool q8)
{
    size_t square_bytes = q8 ? 512 : 256, x_bytes = p->block_rows * LINEAR_X_Q;
    const uint8_t *scales = p->panel + p->lane * 2, *x = p->x;
    const uint8_t *square = p->panel + p->blocks * LINEAR_PANEL * 2;
    float_v sum[ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) sum[i] = splat(0);
    for (size_t b = 0; b < p->blocks; b++) {
        int_v w[8];
        const int8_t *q = (const int8_t *)x + p->row * LINEAR_COLS;
        const float *scale = (const float *)(x + p->block_rows * LINEAR_COLS) + p->row;
        const int32_t *start = (const int32_t *)scale + p->block_rows;
        weights_of(w, square, p->lane, q8);
        float_v d = halves(scales);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            int_v t = q8 ? start_q8(start[i]) : start_q4(start[i]);
#pragma GCC unroll 8
            for (int v = 0; v < 8; v++)
                t = q8 ? dot_q8(t, w[v], q + i * LINEAR_COLS + 4 * v)
                       : dot_q4(t, w[v], q + i * LINEAR_COLS + 4 * v);
            sum[i] += to_float(t) * (d * splat(scale[i]));
        }
        if (rows <= 4)
            for (size_t i = 0; i < square_bytes; i += 64)
                __builtin_prefetch(square + PREFETCH_BYTES + i);
        square += square_bytes;
        scales += LINEAR_PANEL * 2;
        x += x_bytes;
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) put(p->y + (size_t)i * p->ldy, sum[i], p->lanes, p->accumulate);
}

/** A pass of a number of rows that is not known before. */
INT_INLINE void pass_of(const struct int_pass *p, size_t rows, bool q8)
{
    switch (rows) {
#if ROWS > 4
    case 8:
        pass(p, 8, q8);
        break;
    case 7:
        pass(p, 7, q8);
        break;
    case 6:
        pass(p, 6, q8);
        break;
    case 5:
        pass(p, 5, q8);
        break;
#endif
    case 4:
        pass(p, 4, q8);
        break;
    case 3:
        pass(p, 3, q8);
        break;
    case 2:
        pass(p, 2, q8);
        break;
    default:
        pass(p, 1, q8);
    }
}

/** All rows of a block, all lanes of a panel. */
INT_INLINE void block(const struct linear_job *j, size_t panel, size_t first, bool q8)
{
    size_t n = j->n - panel * LINEAR_PANEL, rows = j->m - first;
    struct int_pass p = {.panel = j->weights + panel * j->panel_bytes,
                         .x = j->x + first * j->blocks * LINEAR_X_Q,
                         .ldy = j->ldy,
                         .blocks = j->blocks,
                         .block_rows = rows < LINEAR_PANEL ? rows : LINEAR_PANEL,
                         .accumulate = j->accumulate};
    for (p.lane = 0; p.lane < LINEAR_PANEL && p.lane < n; p.lane += LANES)
        for (p.row = 0; p.row < p.block_rows; p.row += ROWS) {
            size_t left = p.block_rows - p.row;
            p.lanes = n - p.lane < LANES ? n - p.lane : LANES;
            p.y = j->y + (first + p.row) * j->ldy + panel * LINEAR_PANEL + p.lane;
            pass_of(&p, left < ROWS ? left : ROWS, q8);
        }
}

INT_INLINE void panels(const struct linear_job *j, size_t begin, size_t end, bool q8)
{
    for (size_t panel = begin; panel < end; panel++)
        for (size_t first = 0; first < j->m; first += LINEAR_PANEL) block(j, panel, first, q8);
}

#endif
