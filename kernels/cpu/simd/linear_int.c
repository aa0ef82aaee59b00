/* linear_int.c: Q8_0 and Q4_0 without an instruction for four products of bytes at once. */
#include "linear_simd.h"

typedef vi int_v;
typedef vf float_v;
typedef int16_t vs __attribute__((vector_size(W * 4)));

#define LANES W
#define ROWS  4
#define PARTS 1

static inline vi load(const uint8_t *p)
{
    return v_load_bits(p);
}

static inline vi to_lanes(int32_t x)
{
    return x - (vi){0};
}

static inline vi four(const int8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return to_lanes(bytes);
}

static inline vi low_nibbles(vi w)
{
    return w & 0x0f0f0f0f;
}

static inline vi high_nibbles(vi w)
{
    return w >> 4 & 0x0f0f0f0f;
}

static inline vf to_float(vi x)
{
    return __builtin_convertvector(x, vf);
}

static inline vf halves(const uint8_t *p)
{
    return v_halves(p);
}

static inline vf splat(float x)
{
    return v_set(x);
}

static inline void put(float *y, vf x, size_t lanes, bool accumulate)
{
    v_store_part(y, accumulate ? v_load_part(y, lanes, 0) + x : x, lanes);
}

/* A product of u8 and i8 fits 16 bits, the sum of two need not. In Q4_0 it does; in Q8_0 signed
 * weights are used instead, with the sign moved to the activation: |w| <= 128 and |x| <= 127. */
static inline vi start_q8(int32_t start)
{
#if SIMD_avx512 || SIMD_avx2
    (void)start;
    return (vi){0};
#else
    return to_lanes(start);
#endif
}

static inline vi start_q4(int32_t start)
{
    return to_lanes(start);
}

#if SIMD_avx512
static inline vi add_pairs(vi sum, __m512i pairs)
{
    return sum + (vi)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}

static inline vi dot_q8(vi sum, vi w, vi x)
{
    __m512i s = (__m512i)(w ^ to_lanes((int32_t)0x80808080)), v = (__m512i)x;
    __m512i turned = _mm512_mask_sub_epi8(v, _mm512_movepi8_mask(s), _mm512_setzero_si512(), v);
    return add_pairs(sum, _mm512_maddubs_epi16(_mm512_abs_epi8(s), turned));
}

static inline vi dot_q4(vi sum, vi w, vi x)
{
    return add_pairs(sum, _mm512_maddubs_epi16((__m512i)w, (__m512i)x));
}
#elif SIMD_avx2
static inline vi add_pairs(vi sum, __m256i pairs)
{
    return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

static inline vi dot_q8(vi sum, vi w, vi x)
{
    __m256i s = (__m256i)(w ^ to_lanes((int32_t)0x80808080));
    __m256i turned = _mm256_sign_epi8((__m256i)x, s);
    return add_pairs(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(s), turned));
}

static inline vi dot_q4(vi sum, vi w, vi x)
{
    return add_pairs(sum, _mm256_maddubs_epi16((__m256i)w, (__m256i)x));
}
#else
/** Products of bytes in 16 bits, the even and the odd ones apart, then sums of neighbours. */
static inline vi dot_q8(vi sum, vi w, vi x)
{
    vs weights = (vs)w, v = (vs)x;
    vi even = (vi)((weights & 0xff) * (vs)(v << 8 >> 8));
    vi odd = (vi)((vs)((vi)weights >> 8 & 0x00ff00ff) * (vs)(v >> 8));
    return sum + (even << 16 >> 16) + (even >> 16) + (odd << 16 >> 16) + (odd >> 16);
}

static inline vi dot_q4(vi sum, vi w, vi x)
{
    return dot_q8(sum, w, x);
}
#endif

#include "kernels/cpu/linear_int.h"

void SIMD(linear_q8)(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, true);
}

void SIMD(linear_q4)(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, false);
}
