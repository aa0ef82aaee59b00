/* linear_vnni256.c: Q8_0 and Q4_0 with vpdpbusd on 32 bytes, for processors that have it (AVX-VNNI)
 * but no AVX-512: half a panel at a time. */
#include <immintrin.h>

#include "linear_kernels.h"

#define LANES 8
#define ROWS  4 /* Of 16 registers, 4 sums and 4 chains. */
#define PARTS 1

typedef __m256i int_v;
typedef __m256 float_v;

static inline __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i_u *)p);
}

static inline __m256 halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)p));
}

static inline __m256i start_q8(int32_t start)
{
    return _mm256_set1_epi32(start);
}

static inline __m256i start_q4(int32_t start)
{
    return _mm256_set1_epi32(start);
}

static inline __m256i four(const int8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return _mm256_set1_epi32(bytes);
}

static inline __m256i dot_q8(__m256i sum, __m256i weights, __m256i x)
{
    return _mm256_dpbusd_avx_epi32(sum, weights, x);
}

static inline __m256i dot_q4(__m256i sum, __m256i weights, __m256i x)
{
    return dot_q8(sum, weights, x);
}

static inline __m256i low_nibbles(__m256i w)
{
    return _mm256_and_si256(w, _mm256_set1_epi8(15));
}

static inline __m256i high_nibbles(__m256i w)
{
    return low_nibbles(_mm256_srli_epi32(w, 4));
}

static inline __m256 to_float(__m256i x)
{
    return _mm256_cvtepi32_ps(x);
}

static inline __m256 splat(float x)
{
    return _mm256_set1_ps(x);
}

static inline void put(float *y, __m256 x, size_t lanes, bool accumulate)
{
    float lane[LANES];
    if (lanes == LANES) {
        if (accumulate) x = _mm256_add_ps(_mm256_loadu_ps(y), x);
        _mm256_storeu_ps(y, x);
        return;
    }
    _mm256_storeu_ps(lane, x);
    for (size_t i = 0; i < lanes; i++) y[i] = accumulate ? y[i] + lane[i] : lane[i];
}

#include "linear_int.h"

void linear_q8_vnni256(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, true);
}

void linear_q4_vnni256(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, false);
}
