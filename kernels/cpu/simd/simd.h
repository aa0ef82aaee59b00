/* simd.h: one vector type for all instruction sets.
 *
 * The files of this folder are compiled once per set, with W the floats in a register; names made
 * by SIMD() carry the set. GCC and Clang vector extensions do the arithmetic, so a new set needs
 * flags in CMakeLists.txt and four small functions here, not new kernels.
 */
#ifndef OWM_KERNELS_SIMD_H
#define OWM_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>

#include "base/pool.h"
#include "kernels/check.h"
#include "kernels/cpu/cpu.h"

#if __x86_64__
#include <immintrin.h>
#elif __aarch64__
#include <arm_neon.h>
#endif

#if SIMD_avx512
#define W 16
#elif SIMD_avx2
#define W 8
#else
#define W 4
#endif

#define SIMD_PASTE(name, set) name##_##set
#define SIMD_NAME(name, set)  SIMD_PASTE(name, set)
#define SIMD(name)            SIMD_NAME(name, SIMD_SET)

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef float vf_mem __attribute__((vector_size(W * 4), aligned(4), may_alias));

static inline vf v_load(const float *p)
{
    return *(const vf_mem *)p;
}

static inline void v_store(float *p, vf x)
{
    *(vf_mem *)p = x;
}

static inline vf v_set(float x)
{
    return x - (vf){0};
}

/** Loads and stores of the first `count` <= W lanes; the others read as `fill`. */
static inline vf v_load_part(const float *p, size_t count, float fill)
{
    if (count == W) return v_load(p);
    vf x = v_set(fill);
    memcpy(&x, p, count * sizeof(float));
    return x;
}

static inline void v_store_part(float *p, vf x, size_t count)
{
    if (count == W)
        v_store(p, x);
    else
        memcpy(p, &x, count * sizeof(float));
}

static inline vf v_select(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

static inline vf v_max(vf a, vf b)
{
#if SIMD_avx512
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif SIMD_avx2
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif __aarch64__
    return (vf)vmaxnmq_f32((float32x4_t)a, (float32x4_t)b);
#else
    return v_select(a > b, a, b);
#endif
}

static inline vf v_min(vf a, vf b)
{
#if SIMD_avx512
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif SIMD_avx2
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif __aarch64__
    return (vf)vminnmq_f32((float32x4_t)a, (float32x4_t)b);
#else
    return v_select(a < b, a, b);
#endif
}

/** v_fmadd: a * b + c, rounded once. Without an instruction for it, by the double whose last bit
 *  remembers what was rounded off (round to odd: Boldo & Melquiond, 2008): a * b is exact in it. */
static inline vf v_fmadd(vf a, vf b, vf c)
{
#if SIMD_avx512
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif SIMD_avx2
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif __aarch64__
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    typedef double wide __attribute__((vector_size(W * 8)));
    typedef int64_t wide_bits __attribute__((vector_size(W * 8)));
    wide product = __builtin_convertvector(a, wide) * __builtin_convertvector(b, wide);
    wide addend = __builtin_convertvector(c, wide), sum = product + addend, back = sum - product;
    wide lost = (product - (sum - back)) + (addend - back);
    wide_bits inexact = (lost > 0) | (lost < 0), even = ((wide_bits)sum & 1) - 1;
    wide_bits away = (((wide_bits)sum ^ (wide_bits)lost) < 0) | 1; /* -1: towards zero */
    return __builtin_convertvector((wide)((wide_bits)sum + (inexact & even & away)), vf);
#endif
}

/** v_stream: a store that does not read what it overwrites; p is aligned to a register.
 *  v_stream_end before anyone else may read what was streamed. */
static inline void v_stream(float *p, vf x)
{
#if SIMD_avx512
    _mm512_stream_ps(p, (__m512)x);
#elif SIMD_avx2
    _mm256_stream_ps(p, (__m256)x);
#elif __x86_64__
    _mm_stream_ps(p, (__m128)x);
#else
    v_store(p, x);
#endif
}

static inline void v_stream_end(void)
{
#if __x86_64__
    _mm_sfence();
#endif
}

static inline vf v_sqrt(vf x)
{
#if SIMD_avx512
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif SIMD_avx2
    return (vf)_mm256_sqrt_ps((__m256)x);
#elif __aarch64__
    return (vf)vsqrtq_f32((float32x4_t)x);
#else
    for (int i = 0; i < W; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

/* v_half(x, n): lane i becomes lane i + n, for i < n: the upper half of the first 2n lanes. */
#if W == 16
#define v_half(x, n)                                                                               \
    __builtin_shufflevector(x, x, n, n + 1, (n + 2) % 16, (n + 3) % 16, (n + 4) % 16,              \
                            (n + 5) % 16, (n + 6) % 16, (n + 7) % 16, 8, 9, 10, 11, 12, 13, 14,    \
                            15)
#elif W == 8
#define v_half(x, n) __builtin_shufflevector(x, x, n, n + 1, (n + 2) % 8, (n + 3) % 8, 4, 5, 6, 7)
#else
#define v_half(x, n) __builtin_shufflevector(x, x, n, n + 1, 2, 3)
#endif

/** Halving trees, so that the order of additions is the same in every build of one set. */
static inline float v_sum(vf x)
{
#if W == 16
    x += v_half(x, 8);
#endif
#if W >= 8
    x += v_half(x, 4);
#endif
    x += v_half(x, 2);
    x += v_half(x, 1);
    return x[0];
}

static inline float v_highest(vf x)
{
#if W == 16
    x = v_max(x, v_half(x, 8));
#endif
#if W >= 8
    x = v_max(x, v_half(x, 4));
#endif
    x = v_max(x, v_half(x, 2));
    x = v_max(x, v_half(x, 1));
    return x[0];
}

#if W == 16
#define V_LOW  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define V_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define V_LOG2 4
#elif W == 8
#define V_LOW  0, 8, 1, 9, 2, 10, 3, 11
#define V_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define V_LOG2 3
#else
#define V_LOW  0, 4, 1, 5
#define V_HIGH 2, 6, 3, 7
#define V_LOG2 2
#endif

/** v_transpose: W rows of W in place. Each round shuffles the square like a deck of cards, which
 *  turns the bits of (row, column) by one place; after log2(W) rounds they have changed sides. */
static inline __attribute__((always_inline)) void v_transpose(vf row[W])
{
#pragma GCC unroll 4
    for (int round = 0; round < V_LOG2; round++) {
        vf out[W];
#pragma GCC unroll 8
        for (int i = 0; i < W / 2; i++) {
            out[2 * i] = __builtin_shufflevector(row[i], row[i + W / 2], V_LOW);
            out[2 * i + 1] = __builtin_shufflevector(row[i], row[i + W / 2], V_HIGH);
        }
#pragma GCC unroll 16
        for (int i = 0; i < W; i++) row[i] = out[i];
    }
}

/** v_exp: e^x, relative error below 3e-7 for x in [-87, 88]; beyond, it saturates (never inf or 0,
 *  and a NaN does not come out as a NaN: callers look at their sums). Cephes' polynomial. */
static inline vf v_exp(vf x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer. */
    x = v_min(v_max(x, v_set(-87.0f)), v_set(88.0f));
    vf n = x * 1.44269504f + shift - shift;
    vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vi power = (__builtin_convertvector(n, vi) + 127) << 23;
    return p * (vf)power;
}

/* gemm.c: the pieces that attention is built of as well. Packed b is panels of SIMD_NR columns,
 * each [depth][SIMD_NR], the last one filled up with zeros. */
#define SIMD_NR ((size_t)2 * W)

static inline size_t simd_panels(size_t cols)
{
    return (cols + SIMD_NR - 1) / SIMD_NR;
}

/** A strided view: element (i, k) is at i * row + k * col. */
struct simd_view {
    const float *at;
    size_t row, col;
};

/** simd_block: c[m][n] (+)= a[m][k] * packed b. `panel` floats lie between panels, so that a prefix
 *  of the depth can be used. */
struct simd_block {
    float *c;
    size_t ldc;
    struct simd_view a;
    const float *packed;
    size_t panel;
    size_t m, n, k;
    bool accumulate;
};
void SIMD(pack_panels)(float *packed, struct simd_view b, size_t depth, size_t first_panel,
                       size_t panels, size_t cols);
void SIMD(block_gemm)(const struct simd_block *block);

owm_status SIMD(gemm)(struct owm_device *, const struct owm_gemm *);
owm_status SIMD(rmsnorm)(struct owm_device *, const struct owm_rmsnorm *);
owm_status SIMD(rmsnorm_bwd)(struct owm_device *, const struct owm_rmsnorm_bwd *);
owm_status SIMD(rope)(struct owm_device *, const struct owm_rope *);
owm_status SIMD(swiglu)(struct owm_device *, const struct owm_swiglu *);
owm_status SIMD(swiglu_bwd)(struct owm_device *, const struct owm_swiglu_bwd *);
owm_status SIMD(attention)(struct owm_device *, const struct owm_attention *);
owm_status SIMD(attention_bwd)(struct owm_device *, const struct owm_attention_bwd *);
owm_status SIMD(attention_decode)(struct owm_device *, const struct owm_attention_decode *);
owm_status SIMD(embedding)(struct owm_device *, const struct owm_embedding *);
owm_status SIMD(embedding_bwd)(struct owm_device *, const struct owm_embedding_bwd *);
owm_status SIMD(cross_entropy)(struct owm_device *, const struct owm_cross_entropy *);
owm_status SIMD(adamw)(struct owm_device *, const struct owm_adamw *);
owm_status SIMD(kv_put)(struct owm_device *, const struct owm_kv_put *);
owm_status SIMD(attention_paged)(struct owm_device *, const struct owm_attention_paged *);
owm_status SIMD(softmax)(struct owm_device *, const struct owm_softmax *);
owm_status SIMD(sample)(struct owm_device *, const struct owm_sample *);
owm_status SIMD(add)(struct owm_device *, float *out, const float *a, const float *b, size_t count);
owm_status SIMD(sum_squares)(struct owm_device *, double *sum, const float *x, size_t count);
owm_status SIMD(weighted_sum)(struct owm_device *, const struct owm_weighted_sum *);
owm_status SIMD(trimmed_mean)(struct owm_device *, const struct owm_trimmed_mean *);
owm_status SIMD(gram)(struct owm_device *, const struct owm_gram *);
owm_status SIMD(clip)(struct owm_device *, const struct owm_clip *);

#endif
