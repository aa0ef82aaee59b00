/* select.h: the K largest of many: what topk.c, feedback.c and select.c share.
 *
 * One pass over memory is enough when the K-th largest is known beforehand to lie in a narrow
 * bracket [low, high) of magnitudes:
 *
 *   1. select_bracket looks at a sample and names the bracket.
 *   2. A pass over tiles: what is >= high is sure to be among the K and is staged; what lies in the
 *      bracket, about one in a hundred, is a candidate and is listed.
 *   3. select_settle finds the exact K-th among the candidates, hands out ties in order, and gives
 *      each tile its place in the output.
 *   4. A pass over the tiles' lists merges sure and chosen into the output.
 *
 * The sample decides how long it takes, never what comes out: if the bracket was wrong (or the
 * candidates are too many: ties), select_exact counts its way down over all data, in some passes
 * more. Magnitudes are compared as integers, the bits without the sign.
 */
#ifndef OWM_KERNELS_SIMD_SELECT_H
#define OWM_KERNELS_SIMD_SELECT_H

#include <stdatomic.h>

#include "kernels/cpu/sparse_ref.h"
#include "simd.h"

#define SELECT_TILE   32768u /* coordinates: places fit 16 bits, groups of a tile fit an array */
#define SELECT_GROUPS (SELECT_TILE / OWM_QUANT_GROUP)

/* Below this many coordinates all is in the cache, and counting down is faster than sampling. */
#define SELECT_SMALL (4 * SELECT_TILE)

struct select_tile {
    uint32_t sure_at, sure;            /* its part of the staged lists */
    uint32_t candidate_at, candidates; /* its part of the candidates */
    uint32_t ties;                     /* how many that equal the threshold it may choose */
    uint32_t out;                      /* where its output begins */
    uint16_t group_sure[SELECT_GROUPS];
};

/* A range of magnitudes and how many of the largest in it are wanted. */
struct select_range {
    uint32_t low, high; /* low <= bits < high */
    uint32_t wanted;
};

struct select {
    struct cpu_device *cpu;
    const float *x; /* what is selected from, once s is in it */
    uint32_t n, k;
    uint32_t limit; /* larger magnitudes are refused */

    /* Error feedback; residual is x. NULL: plain topk. */
    const struct owm_feedback_step *step;

    uint32_t low, high; /* the bracket */
    struct select_tile *tile;
    uint32_t tiles;

    /* In the device's arena. */
    uint16_t *place;  /* [k] sure ones: coordinate in the tile */
    void *code;       /* [k] and what is sent, i8 or u16 */
    float *candidate; /* [candidates_max] */
    uint16_t *candidate_place;
    uint32_t candidates_max;

    atomic_uint sure, candidates, largest;
    atomic_int lowest_exponent; /* of a group with sure ones */
    atomic_bool bad, missed;

    uint32_t threshold; /* the K-th largest */
    uint32_t count;
    int floor_exponent;
};

static inline vi v_magnitude(vf x)
{
    return (vi)x & (int32_t)MAGNITUDE_MASK;
}

static inline vi v_highest_of(vi a, vi b)
{
#if SIMD_avx512
    return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b);
#elif SIMD_avx2
    return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b);
#else
    vi more = a > b;
    return (a & more) | (b & ~more);
#endif
}

static inline uint32_t v_top(vi x)
{
    int32_t top = x[0];
    for (int i = 1; i < W; i++) top = x[i] > top ? x[i] : top;
    return (uint32_t)top;
}

static inline vf v_fma(vf a, float b, vf c)
{
#if SIMD_avx512
    return (vf)_mm512_fmadd_ps((__m512)a, _mm512_set1_ps(b), (__m512)c);
#elif SIMD_avx2
    return (vf)_mm256_fmadd_ps((__m256)a, _mm256_set1_ps(b), (__m256)c);
#else
    if (b == 1.0f) return a + c;
    for (int i = 0; i < W; i++) c[i] = __builtin_fmaf(a[i], b, c[i]);
    return c;
#endif
}

/** v_append: write first + lane for each lane of x that is >= low behind list[at], and return the
 *  new end. Up to W places behind the end are overwritten. */
static inline uint32_t v_append(uint32_t *list, uint32_t at, vi x, int32_t low, uint32_t first)
{
#if SIMD_avx512
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __mmask16 hit = _mm512_cmpge_epi32_mask((__m512i)x, _mm512_set1_epi32(low));
    __m512i all = _mm512_add_epi32(lane, _mm512_set1_epi32((int)first));
    _mm512_storeu_si512(list + at, _mm512_maskz_compress_epi32(hit, all));
    return at + (uint32_t)__builtin_popcount(hit);
#elif SIMD_avx2
    __m256i less = _mm256_cmpgt_epi32(_mm256_set1_epi32(low), (__m256i)x);
    uint32_t miss = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(less));
    for (uint32_t i = 0; i < W; i++) {
        list[at] = first + i;
        at += ~miss >> i & 1;
    }
    return at;
#else
    for (uint32_t i = 0; i < W; i++) {
        list[at] = first + i;
        at += x[i] >= low;
    }
    return at;
#endif
}

static inline uint32_t select_tiles(uint32_t n)
{
    return n / SELECT_TILE + (n % SELECT_TILE != 0);
}

/** select_kth: the range->wanted-th largest magnitude among those of x in the range, which must be
 *  that many; range->wanted becomes how many that equal it are wanted. */
uint32_t SIMD(select_kth)(struct cpu_device *cpu, const float *x, size_t n,
                          struct select_range *range);

/** select_bracket: low and high, from a sample. `work` [SELECT_SAMPLE_MAX]. */
#define SELECT_SAMPLE_MAX 131072
void SIMD(select_bracket)(struct select *s, float *work);

/** select_exact: the threshold and each tile's part of the output by counting over all of x. Tiles
 *  are then written by emitting all that is above, and the first `ties` that equal it.
 *  Returns whether everything is <= limit. */
bool SIMD(select_exact)(struct select *s);

/** select_settle: the same after a pass with the bracket. Returns false if the bracket missed. */
bool SIMD(select_settle)(struct select *s);

/** select_stage: room in the arena for a pass. Returns false if there is none. */
bool SIMD(select_stage)(struct select *s, size_t code_bytes);

owm_status SIMD(topk)(struct owm_device *, const struct owm_topk *);
owm_status SIMD(threshold)(struct owm_device *, const struct owm_threshold *);
owm_status SIMD(feedback)(struct owm_device *, const struct owm_feedback_step *);

#endif
