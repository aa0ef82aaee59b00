/* linear_turn.c: a part of packed weights turned round, into BF16 panels whose rows are columns of
 * the matrix: what the gradient of the input multiplies by.
 *
 * A square is 32 rows of weights (two panels) times 16 columns: for each column the 32 numbers go
 * side by side as bf16, sixteen pairs; pairs against columns, the square is then transposed.
 */
#include "linear_simd.h"

#define PAIRS 16

/** Column c of half a block (16 columns), W rows of a panel from `lane`, as f32. `square`: the 32
 *  columns; `scale`: of those rows. */
static inline vf weights_of(enum owm_format format, const uint8_t *square, vf scale, size_t lane,
                            size_t half, size_t c)
{
    if (format == OWM_FORMAT_BF16) {
        vi both = v_load_bits(square + (half * 8 + c / 2) * 64 + lane * 4);
        return (vf)(c % 2 ? both & (int32_t)0xffff0000 : both << 16);
    }
    bool q8 = format == OWM_FORMAT_Q8_0;
    vi four = v_load_bits(square + ((q8 ? half * 4 : 0) + c / 4) * 64 + lane * 4);
    vi q = q8 ? (four >> (int)(8 * (c % 4)) & 255) - 128
              : (four >> (int)(8 * (c % 4) + 4 * half) & 15) - 8;
    return __builtin_convertvector(q, vf) * scale;
}

/** 16 columns of one panel into the 16 bf16 of `side` of each of them. */
static inline void half_square(uint32_t out[16][PAIRS], enum owm_format format,
                               const uint8_t *panel, size_t blocks, size_t column, size_t side)
{
    size_t block = column / LINEAR_COLS, half = column % LINEAR_COLS / 16;
    bool scaled = format != OWM_FORMAT_BF16;
    const uint8_t *scales = panel + block * LINEAR_PANEL * 2;
    const uint8_t *square = panel + (scaled ? blocks * LINEAR_PANEL * 2 : 0)
                            + block * (linear_square_bytes(format) - (scaled ? 32 : 0));
    for (size_t lane = 0; lane < LINEAR_PANEL; lane += W) {
        vf scale = scaled ? v_halves(scales + lane * 2) : (vf){0};
        for (size_t c = 0; c < 16; c++) {
            vi bits = v_bf16(weights_of(format, square, scale, lane, half, c)) >> 16;
            vh sixteen = __builtin_convertvector(bits, vh);
            memcpy((uint16_t *)out[c] + side * LINEAR_PANEL + lane, &sixteen, sizeof sixteen);
        }
    }
}

/** Rows of `turned` become columns of a tile of a BF16 panel. */
static inline void transpose(uint32_t *tile, const uint32_t turned[16][PAIRS])
{
    for (size_t r = 0; r < 16; r += W)
        for (size_t c = 0; c < PAIRS; c += W) {
            vf square[W];
#pragma GCC unroll 16
            for (size_t i = 0; i < W; i++) square[i] = v_load((const float *)turned[r + i] + c);
            v_transpose(square);
#pragma GCC unroll 16
            for (size_t i = 0; i < W; i++) v_store((float *)tile + (c + i) * 16 + r, square[i]);
        }
}

static inline __attribute__((always_inline)) void turn(void *out, const struct linear_turn *t,
                                                       enum owm_format format)
{
    size_t bytes = linear_panel_bytes(format, t->cols), blocks = linear_blocks(t->cols);
    size_t panels = ((size_t)t->rows + LINEAR_PANEL - 1) / LINEAR_PANEL;
    uint32_t *tile = out, turned[16][PAIRS];
    for (size_t p = 0; p < t->panels; p++)
        for (size_t b = 0; b < t->blocks; b++, tile += 16 * PAIRS) {
            size_t column = t->column + p * 16, from = t->row / LINEAR_PANEL + 2 * b;
            for (size_t side = 0; side < 2; side++) {
                if (from + side < panels)
                    half_square(turned, format, t->weights + (from + side) * bytes, blocks, column,
                                side);
                else
                    for (size_t c = 0; c < 16; c++) memset(turned[c] + side * 8, 0, 32);
            }
            transpose(tile, (const uint32_t(*)[PAIRS])turned);
        }
}

void SIMD(linear_turn)(void *out, const struct linear_turn *t)
{
    if (t->format == OWM_FORMAT_BF16)
        turn(out, t, OWM_FORMAT_BF16);
    else if (t->format == OWM_FORMAT_Q8_0)
        turn(out, t, OWM_FORMAT_Q8_0);
    else
        turn(out, t, OWM_FORMAT_Q4_0);
}
