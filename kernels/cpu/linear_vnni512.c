/* linear_vnni512.c: Q8_0 and Q4_0 with vpdpbusd on 64 bytes: unsigned weights times signed
 * activations, four products added to each lane. */
#include <immintrin.h>

#include "linear_kernels.h"

#define LANES 16
#define ROWS  6 /* With two panels 12 sums, 12 chains, and 8 loads for 12 products. */
#define PARTS 2

typedef __m512i int_v;
typedef __m512 float_v;

static inline __m512i load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}

static inline __m512 halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)p));
}

static inline __m512i start_q8(int32_t start)
{
    return _mm512_set1_epi32(start);
}

static inline __m512i start_q4(int32_t start)
{
    return _mm512_set1_epi32(start);
}

static inline __m512i four(const int8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}

static inline __m512i dot_q8(__m512i sum, __m512i weights, __m512i x)
{
    return _mm512_dpbusd_epi32(sum, weights, x);
}

static inline __m512i dot_q4(__m512i sum, __m512i weights, __m512i x)
{
    return dot_q8(sum, weights, x);
}

static inline __m512i low_nibbles(__m512i w)
{
    return _mm512_and_si512(w, _mm512_set1_epi8(15));
}

static inline __m512i high_nibbles(__m512i w)
{
    return low_nibbles(_mm512_srli_epi32(w, 4));
}

static inline __m512 to_float(__m512i x)
{
    return _mm512_cvtepi32_ps(x);
}

static inline __m512 splat(float x)
{
    return _mm512_set1_ps(x);
}

static inline void put(float *y, __m512 x, size_t lanes, bool accumulate)
{
    __mmask16 mask = (__mmask16)((1u << lanes) - 1);
    if (accumulate) x = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), x);
    _mm512_mask_storeu_ps(y, mask, x);
}

#include "linear_int.h"

void linear_q8_vnni512(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, true);
}

void linear_q4_vnni512(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, false);
}
