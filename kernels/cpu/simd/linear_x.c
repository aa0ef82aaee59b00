/* linear_x.c: activations prepared for products with packed weights (linear_path.h). Compiled
 * without contraction: rounding is part of the contract. */
#include "linear_simd.h"

typedef int8_t vb __attribute__((vector_size(W)));

#define VECTORS (LINEAR_COLS / W)

static inline vf v_abs(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

static inline int32_t sum_of(vi x)
{
#if SIMD_avx512
    return _mm512_reduce_add_epi32((__m512i)x);
#else
    int32_t sum = 0;
    for (int i = 0; i < W; i++) sum += x[i];
    return sum;
#endif
}

static inline float highest_of(vf x)
{
#if SIMD_avx512
    return _mm512_reduce_max_ps((__m512)x);
#else
    return v_highest(x);
#endif
}

/** One group of one row: integers and their scale; minus the zero point times their sum. */
static inline void group(int8_t *q, float *scale, int32_t *start, const float *x, int32_t zero)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer. */
    vf v[VECTORS], top = {0};
    vi sum = {0};
    for (int i = 0; i < VECTORS; i++) {
        v[i] = v_load(x + i * W);
        top = v_max(top, v_abs(v[i]));
    }
    float highest = highest_of(top), inverse = 127.0f / highest;
    if (!(inverse <= __FLT_MAX__)) inverse = 0;
    for (int i = 0; i < VECTORS; i++) {
        vi n = __builtin_convertvector(v[i] * inverse + shift - shift, vi);
        vb byte = __builtin_convertvector(n, vb);
        memcpy(q + i * W, &byte, sizeof byte);
        sum += n;
    }
    *scale = highest / 127.0f;
    *start = -zero * sum_of(sum);
}

void SIMD(linear_prepare_q)(void *block, const float *x, size_t ldx, uint32_t rows, uint32_t cols,
                            int32_t zero_point)
{
    size_t bytes = (size_t)rows * LINEAR_X_Q;
    for (size_t r = 0; r < rows; r++) {
        char *at = block;
        for (size_t k = 0; k < cols; k += LINEAR_COLS, at += bytes) {
            int8_t *q = (int8_t *)at;
            float *scale = (float *)(at + (size_t)rows * LINEAR_COLS);
            int32_t *start = (int32_t *)(scale + rows);
            group(q + r * LINEAR_COLS, scale + r, start + r, x + r * ldx + k, zero_point);
        }
    }
}

/** The next 32 columns, with zeros beyond the last. */
static inline const float *columns(const float *x, size_t left, float spare[LINEAR_COLS])
{
    if (left >= LINEAR_COLS) return x;
    memset(spare, 0, LINEAR_COLS * sizeof *spare);
    memcpy(spare, x, left * sizeof *spare);
    return spare;
}

void SIMD(linear_prepare_f32)(void *block, const float *x, size_t ldx, uint32_t rows, uint32_t cols,
                              int32_t zero_point)
{
    (void)zero_point;
    float *out = block, spare[LINEAR_COLS];
    for (size_t k = 0; k < cols; k += LINEAR_COLS)
        for (size_t r = 0; r < rows; r++, out += LINEAR_COLS) {
            const float *from = columns(x + r * ldx + k, cols - k, spare);
            for (int i = 0; i < VECTORS; i++)
                v_store(out + i * W, (vf)v_bf16(v_load(from + i * W)));
        }
}
