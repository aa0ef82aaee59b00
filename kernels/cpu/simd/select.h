/* select.h: the K largest of many: what topk.c, feedback.c and select.c share.
 *
 * One pass over memory is enough when the K-th largest is known beforehand to lie in a narrow
 * bracket [low, high) of magnitudes:
 *
 *   1. select_bracket looks at a sample and names the bracket.
 *   2. A pass over tiles lists what is >= low. What is >= high is sure to be among the K; the rest
 *      of the list, about one in ten, are candidates and are flagged.
 *   3. select_settle finds the exact K-th among the candidates, hands out ties in order, and gives
 *      each tile its place in the output.
 *   4. A pass over the lists clears the flags of those chosen and leaves out the others.
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

#define SELECT_TILE   32768u /* coordinates: a place in it has 15 bits */
#define SELECT_GROUPS (SELECT_TILE / OWM_QUANT_GROUP)

/* An entry of a tile's list: the place, the flag of a candidate, above it the code that is sent. */
#define WORD_PLACE     (SELECT_TILE - 1)
#define WORD_CANDIDATE SELECT_TILE
#define WORD_CODE      16
#define WORD_GROUP     11
_Static_assert(OWM_QUANT_GROUP == 1u << WORD_GROUP, "the group of a place is its upper bits");
_Static_assert(WORD_CANDIDATE == 1u << (WORD_CODE - 1), "place, flag and code fill 32 bits");

/* Below this many coordinates all is in the cache, and counting down is faster than sampling. */
#define SELECT_SMALL (4 * SELECT_TILE)

struct select_tile {
    size_t word_at; /* its part of the list */
    uint32_t words;
    uint32_t sure;                     /* how many of it are */
    uint32_t candidate_at, candidates; /* its part of the candidates */
    uint32_t ties;                     /* how many that equal the threshold it may choose */
    uint32_t out;                      /* where its output begins */
};

/* Work space of a thread for the list of one tile, in its scratch. */
struct select_list {
    uint32_t word[SELECT_TILE + 64];
    uint32_t kept[SELECT_TILE + 64];
    uint32_t at[SELECT_TILE + 64]; /* of candidates: where in the list */
    uint32_t words, sure;
};
_Static_assert(sizeof(struct select_list) <= CPU_SCRATCH_FLOATS * sizeof(float), "it fits");

/* A range of magnitudes and how many of the largest in it are wanted. */
struct select_range {
    uint32_t low, high; /* low <= bits < high */
    uint32_t wanted;
};

/* Outputs of so many values leave no room for anything else in the caches nearby. */
#define SELECT_STREAM (1u << 17)

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
    uint32_t *word;         /* [words_max]: k, candidates_max and a line for each tile */
    float *candidate;       /* [candidates_max] */
    uint16_t *candidate_at; /* where in the tile's list */
    uint32_t candidates_max;
    size_t words_max;

    atomic_size_t words; /* in whole lines */
    atomic_uint sure, candidates, largest;
    atomic_int lowest_exponent; /* of a group with sure ones */
    atomic_bool bad, missed;

    uint32_t threshold; /* the K-th largest */
    uint32_t count;
    int floor_exponent;
};

#if SIMD_avx2
/* Row m: the numbers of the bits set in m, the rest 0. */
extern const uint8_t select_order[256][8];
#endif

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
    uint32_t lane[W], top = 0; /* not x[i], or x lives in memory all the time */
    memcpy(lane, &x, sizeof lane);
    for (int i = 0; i < W; i++) top = lane[i] > top ? lane[i] : top;
    return top;
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

/** v_places: first, first + 1, … */
static inline vi v_places(uint32_t first)
{
    vi x;
    for (int i = 0; i < W; i++) x[i] = i;
    return x + (int32_t)first;
}

/** v_keep: write the lanes of x whose mask is set behind list[at] and return the new end. Up to W
 *  places behind the end are overwritten. */
static inline uint32_t v_keep(uint32_t *list, uint32_t at, vi x, vi mask)
{
#if SIMD_avx512
    __mmask16 kept = _mm512_movepi32_mask((__m512i)mask);
    _mm512_storeu_si512(list + at, _mm512_maskz_compress_epi32(kept, (__m512i)x));
    return at + (uint32_t)__builtin_popcount(kept);
#elif SIMD_avx2
    uint32_t kept = (uint32_t)_mm256_movemask_ps((__m256)mask);
    uint64_t order;
    memcpy(&order, select_order[kept], sizeof order);
    __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)order));
    _mm256_storeu_si256((__m256i *)(list + at), _mm256_permutevar8x32_epi32((__m256i)x, lanes));
    return at + (uint32_t)__builtin_popcount(kept);
#else
    for (int i = 0; i < W; i++) {
        list[at] = (uint32_t)x[i];
        at -= (uint32_t)mask[i];
    }
    return at;
#endif
}

/** v_put: W words; past the caches if `stream`, for what nobody reads soon, to aligned memory. */
static inline void v_put(void *to, vi x, bool stream)
{
#if SIMD_avx512
    if (stream)
        _mm512_stream_si512(to, (__m512i)x);
    else
        _mm512_storeu_si512(to, (__m512i)x);
#elif SIMD_avx2
    if (stream)
        _mm256_stream_si256(to, (__m256i)x);
    else
        _mm256_storeu_si256(to, (__m256i)x);
#else
    (void)stream;
    memcpy(to, &x, sizeof x);
#endif
}

/** v_fence: what was streamed is ordered before what follows. */
static inline void v_fence(void)
{
#if SIMD_avx512 || SIMD_avx2
    _mm_sfence();
#endif
}

static inline bool v_any(vi mask)
{
#if SIMD_avx512
    return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif SIMD_avx2
    return _mm256_movemask_ps((__m256)mask) != 0;
#else
    return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}

static inline uint32_t select_tiles(uint32_t n)
{
    return n / SELECT_TILE + (n % SELECT_TILE != 0);
}

/** select_fetch: while a pass works on 16 of x, what it needs next comes from memory: to the second
 *  cache, where more lines can be under way than at the first. */
static inline void select_fetch(const float *x)
{
    __builtin_prefetch(x + OWM_QUANT_GROUP, 0, 2);
}

/** select_grain: tiles that a thread takes at once: up to `most` neighbours, since it fetches
 *  ahead, but few enough that all threads end together. */
static inline size_t select_grain(const struct select *s, size_t most)
{
    size_t share = s->tiles / (8 * s->cpu->workers);
    return share < 1 ? 1 : share > most ? most : share;
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
bool SIMD(select_stage)(struct select *s);

/** select_put: in a pass: keep the tile's list. Returns false if it has no room: the bracket
 *  missed.
 *  select_choose: after it: which of a tile's candidates are sent, into `at`; returns their number.
 *  select_kept: those of words[count] that have no flag, in order; returns their number; meanwhile
 *  as many words are fetched from `fetched`, unless NULL. The lists have room for SELECT_TILE + 64.
 *  select_chosen: whether this candidate is sent; counts its ties down. */
bool SIMD(select_put)(struct select *s, struct select_tile *tile, struct select_list *list,
                      const float *x);
uint32_t SIMD(select_choose)(const struct select *s, const struct select_tile *tile, uint32_t *at);
uint32_t SIMD(select_kept)(const uint32_t *words, uint32_t count, uint32_t *kept,
                           const uint32_t *fetched);
static inline bool select_chosen(const struct select *s, float candidate, uint32_t *ties)
{
    uint32_t m = magnitude_bits(candidate);
    if (m < s->threshold || (m == s->threshold && *ties == 0)) return false;
    *ties -= m == s->threshold;
    return true;
}

static inline struct select_list *select_list(const struct select *s, unsigned worker)
{
    return (struct select_list *)cpu_scratch(s->cpu, worker);
}

owm_status SIMD(topk)(struct owm_device *, const struct owm_topk *);
owm_status SIMD(threshold)(struct owm_device *, const struct owm_threshold *);
owm_status SIMD(feedback)(struct owm_device *, const struct owm_feedback_step *);
owm_status SIMD(quantise)(struct owm_device *, const struct owm_quantise *);
owm_status SIMD(scatter_add)(struct owm_device *, const struct owm_scatter_add *);
owm_status SIMD(sparse_sum)(struct owm_device *, const struct owm_sparse_sum *);
owm_status SIMD(sparse_gram)(struct owm_device *, const struct owm_sparse_gram *);
owm_status SIMD(apply_update)(struct owm_device *, const struct owm_apply_update *);

#endif
