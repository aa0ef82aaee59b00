/* agg_trim.c: trimmed_mean by sorting networks: W coordinates at once, one per lane.
 *
 * A step is some registers of coordinates: its values are gathered in `stage`, one row per vector,
 * each column of registers is sorted by Batcher's odd-even merge sort (in registers up to RUN rows,
 * longer ones by merging in L1), and the rows that are kept are added up, lowest first.
 *
 * The contract orders by totalOrder of the bits, for which integers are needed. AMD's processors do
 * twice as many minima of integers as of floats. Others do half as many, so there the floats are
 * tried first:
 *  1. exchange() never loses a value, whatever it compares: (a, b) becomes (a, b) or (b, a).
 *  2. Order is wrong only around NaN. A NaN then is in the sum of all rows, so that is NaN: the
 *     step is done again with integers (as it is when inf meets -inf there, for no reason), and so
 *     are the steps after it: who sends NaN sends many.
 *  3. -0 and +0 may be in any order. That shows only in a sum that is 0, whose sign is then set. */
#include <assert.h>
#include <math.h>

#include "simd.h"

#define INLINE      static inline __attribute__((always_inline))
#define GRAIN       ((size_t)16384) /* Coordinates a worker takes at once. */
#define RUN         32              /* Rows sorted in registers. */
#define COLUMNS     4               /* Registers of a step: sums that wait for each other's adds. */
#define ROW         ((size_t)W * COLUMNS + 16) /* Floats from row to row: an odd number of lines. */
#define NARROW_ROWS 128 /* With more rows a step is one register, so that L1 holds it. */
#define AHEAD       512 /* Floats that are asked for ahead. */
#define LINE        16  /* Floats of a cache line. */

/* The cpu's scratch holds a stage: rows are padded to whole runs. */
static_assert((OWM_AGG_VECTORS_MAX + RUN) * ROW <= CPU_SCRATCH_FLOATS, "stage");

/* The second where one is NaN, as x86 has it: an exchange then loses no NaN. NEON's own minimum
 * would prefer the number both times. */
INLINE vf lower(vf a, vf b)
{
#if __aarch64__
    return v_select(a < b, a, b);
#else
    return v_min(a, b);
#endif
}

INLINE vf higher(vf a, vf b)
{
#if __aarch64__
    return v_select(a > b, a, b);
#else
    return v_max(a, b);
#endif
}

INLINE void exchange(vf *v, int low, int high, bool ints)
{
    vf a = v[low], b = v[high];
    if (!ints) {
        v[low] = lower(a, b), v[high] = higher(b, a);
        return;
    }
#if SIMD_avx512
    v[low] = (vf)_mm512_min_epi32((__m512i)a, (__m512i)b);
    v[high] = (vf)_mm512_max_epi32((__m512i)a, (__m512i)b);
#elif SIMD_avx2
    v[low] = (vf)_mm256_min_epi32((__m256i)a, (__m256i)b);
    v[high] = (vf)_mm256_max_epi32((__m256i)a, (__m256i)b);
#else
    vi less = (vi)a < (vi)b;
    v[low] = v_select(less, a, b), v[high] = v_select(less, b, a);
#endif
}

/* merge: two sorted halves interleaved with stride r from `first` on; sort: `n` from `first` on. */
INLINE void merge2(vf *v, int first, int r, bool ints)
{
    exchange(v, first, first + r, ints);
}

INLINE void sort2(vf *v, int first, bool ints)
{
    exchange(v, first, first + 1, ints);
}

#define NETWORK(n, half)                                                                           \
    INLINE void merge##n(vf *v, int first, int r, bool ints)                                       \
    {                                                                                              \
        merge##half(v, first, 2 * r, ints), merge##half(v, first + r, 2 * r, ints);                \
        _Pragma("GCC unroll 32") for (int i = 1; i < n - 1; i += 2)                                \
            exchange(v, first + i * r, first + (i + 1) * r, ints);                                 \
    }                                                                                              \
    INLINE void sort##n(vf *v, int first, bool ints)                                               \
    {                                                                                              \
        sort##half(v, first, ints), sort##half(v, first + half, ints);                             \
        merge##n(v, first, 1, ints);                                                               \
    }
NETWORK(4, 2)
NETWORK(8, 4)
NETWORK(16, 8)
NETWORK(32, 16)

/* Turns the bits of a float into an integer that orders like it, and back. */
INLINE vf turn(vf x)
{
    vi bits = (vi)x;
    return (vf)(bits ^ ((bits >> 31) & INT32_MAX));
}

/** stage: rows of a step, `rows` of vectors and then padding that sorts last. */
struct stage {
    float *row;
    uint32_t rows, padded; /* 2, 4, 8, 16 or whole runs of 32 */
    uint32_t columns;      /* registers of a row: COLUMNS or 1 */
    const float *const *x; /* [padded] where the rows come from */
};

/* What a later step will read is asked for here, where there is time: all at once would wait. */
#define SORT_RUN(n)                                                                                \
    static void run##n(float *at, const float *const *x, size_t ahead, bool ints)                  \
    {                                                                                              \
        vf v[n];                                                                                   \
        _Pragma("GCC unroll 32") for (int p = 0; p < n; p++)                                       \
        {                                                                                          \
            v[p] = v_load(at + p * ROW);                                                           \
            __builtin_prefetch(x[p] + ahead, 0, 2);                                                \
        }                                                                                          \
        ints ? sort##n(v, 0, true) : sort##n(v, 0, false);                                         \
        _Pragma("GCC unroll 32") for (int p = 0; p < n; p++) v_store(at + p * ROW, v[p]);          \
    }
SORT_RUN(2)
SORT_RUN(4)
SORT_RUN(8)
SORT_RUN(16)
SORT_RUN(32)

INLINE void exchange_rows(const struct stage *s, uint32_t low, uint32_t apart, uint32_t count,
                          uint32_t columns, bool ints)
{
    uint32_t end = low + count + apart < s->rows ? low + count : s->rows - apart;
    float *row = s->row + low * ROW;
    for (uint32_t i = low; i < end; i++, row += ROW)
        for (uint32_t c = 0; c < columns; c++) {
            vf v[2] = {v_load(row + c * W), v_load(row + apart * ROW + c * W)};
            exchange(v, 0, 1, ints);
            v_store(row + c * W, v[0]), v_store(row + apart * ROW + c * W, v[1]);
        }
}

/* Merges sorted stretches of `half` rows into ones twice as long. Padding is where it belongs. */
INLINE void merge_rows(const struct stage *s, uint32_t half, uint32_t columns, bool ints)
{
    for (uint32_t low = 0; low + half < s->rows; low += 2 * half) {
        exchange_rows(s, low, half, half, columns, ints);
        for (uint32_t apart = half / 2; apart > 0; apart /= 2)
            for (uint32_t j = low + apart; j + apart < low + 2 * half && j + apart < s->rows;
                 j += 2 * apart)
                exchange_rows(s, j, apart, apart, columns, ints);
    }
}

static void sort_column(const struct stage *s, uint32_t column, size_t ahead, bool ints)
{
    float *at = s->row + column * W;
    if (s->padded == 2) run2(at, s->x, ahead, ints);
    if (s->padded == 4) run4(at, s->x, ahead, ints);
    if (s->padded == 8) run8(at, s->x, ahead, ints);
    if (s->padded == 16) run16(at, s->x, ahead, ints);
    for (uint32_t p = 0; s->padded >= RUN && p < s->padded; p += RUN)
        run32(at + p * ROW, s->x + p, ahead, ints);
}

static void sort_rows(const struct stage *s, size_t first, bool ints)
{
    for (uint32_t c = 0; c < s->columns; c++) sort_column(s, c, first + c * W + AHEAD, ints);
    for (uint32_t half = RUN; half < s->rows; half *= 2) {
        if (s->columns == 1)
            ints ? merge_rows(s, half, 1, true) : merge_rows(s, half, 1, false);
        else
            ints ? merge_rows(s, half, COLUMNS, true) : merge_rows(s, half, COLUMNS, false);
    }
}

INLINE void fill_row(float *row, const float *x, uint32_t columns, bool ints)
{
    for (uint32_t c = 0; c < columns; c++) {
        vf v = v_load(x + c * W);
        v_store(row + c * W, ints ? turn(v) : v);
    }
}

static void fill_part(float *row, const float *x, uint32_t columns, size_t n, bool ints)
{
    float part[W * COLUMNS] = {0};
    memcpy(part, x, n * sizeof *x);
    fill_row(row, part, columns, ints);
}

static void fill(const struct stage *s, const struct owm_trimmed_mean *a, size_t first, size_t n,
                 bool ints)
{
    for (uint32_t p = 0; p < a->count; p++) {
        float *row = s->row + p * ROW;
        const float *x = a->x[p] + first;
        if (n < (size_t)s->columns * W)
            fill_part(row, x, s->columns, n, ints);
        else if (s->columns == 1)
            fill_row(row, x, 1, ints);
        else
            fill_row(row, x, COLUMNS, ints);
    }
    vf last = ints ? (vf)((vi){0} + INT32_MAX) : v_set(INFINITY);
    for (uint32_t p = a->count; p < s->padded; p++)
        for (uint32_t c = 0; c < s->columns; c++) v_store(s->row + p * ROW + c * W, last);
}

static inline vf row_at(const struct stage *s, uint32_t p, size_t column, bool ints)
{
    vf v = v_load(s->row + p * ROW + column);
    return ints ? turn(v) : v;
}

/* The sum is 0: all that is kept is. It is -0 if the highest kept, by totalOrder, is. */
static vf zero_sign(const struct stage *s, size_t column, uint32_t last, vf sum)
{
    vi below = {0};
    for (uint32_t p = 0; p < s->rows; p++) below -= (vi)v_load(s->row + p * ROW + column) >> 31;
    vi minus = below >= (vi){0} + (int32_t)last;
    return v_select(sum == 0, (vf)(minus & INT32_MIN), sum);
}

static inline bool any(vi mask)
{
    vi none = {0};
    return memcmp(&mask, &none, sizeof mask) != 0;
}

/* Adds up what is kept, and divides. Returns false when the order of floats does not do. */
INLINE bool mean_of(const struct stage *s, uint32_t trim, float *out, size_t n, int columns,
                    bool ints)
{
    uint32_t last = s->rows - trim;
    vf sum[COLUMNS];
    for (int c = 0; c < columns; c++) sum[c] = row_at(s, trim, c * W, ints);
    for (uint32_t p = trim + 1; p < last; p++)
        for (int c = 0; c < columns; c++) sum[c] += row_at(s, p, c * W, ints);
    if (!ints) {
        vf all[COLUMNS];
        vi nan = {0}, zero = {0};
        for (int c = 0; c < columns; c++) all[c] = sum[c];
        for (uint32_t p = 0; p < trim; p++)
            for (int c = 0; c < columns; c++) all[c] += row_at(s, p, c * W, ints);
        for (uint32_t p = last; p < s->padded; p++)
            for (int c = 0; c < columns; c++) all[c] += row_at(s, p, c * W, ints);
        for (int c = 0; c < columns; c++) nan |= all[c] != all[c], zero |= sum[c] == 0;
        if (any(nan)) return false;
        for (int c = 0; c < columns && any(zero); c++) sum[c] = zero_sign(s, c * W, last, sum[c]);
    }
    vf kept = v_set((float)(last - trim));
    for (int c = 0; c < columns; c++) {
        size_t at = (size_t)c * W;
        if (at < n) v_store_part(out + at, sum[c] / kept, n - at < W ? n - at : W);
    }
    return true;
}

/* One step. Returns false when it is to be done with integers. */
static bool step(const struct stage *s, const struct owm_trimmed_mean *a, size_t first, size_t n,
                 bool ints)
{
    fill(s, a, first, n, ints);
    sort_rows(s, first, ints);
    float *out = a->out + first;
    if (s->columns == 1)
        return ints ? mean_of(s, a->trim, out, n, 1, true) : mean_of(s, a->trim, out, n, 1, false);
    return ints ? mean_of(s, a->trim, out, n, COLUMNS, true)
                : mean_of(s, a->trim, out, n, COLUMNS, false);
}

static bool integers_first(void)
{
#if SIMD_avx512 || SIMD_avx2
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

struct trim_job {
    struct cpu_device *cpu;
    const struct owm_trimmed_mean *a;
    bool ints; /* from the first step on */
    uint32_t padded, columns;
    const float *x[OWM_AGG_VECTORS_MAX + RUN];
};

static void trim_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct trim_job *j = ctx;
    const struct stage s = {cpu_scratch(j->cpu, worker), j->a->count, j->padded, j->columns, j->x};
    size_t width = (size_t)s.columns * W;
    bool ints = j->ints;
    for (size_t i = begin; i < end; i += width) {
        size_t n = end - i < width ? end - i : width;
        ints = ints || !step(&s, j->a, i, n, false);
        if (ints) (void)step(&s, j->a, i, n, true);
    }
}

owm_status SIMD(trimmed_mean)(struct owm_device *device, const struct owm_trimmed_mean *a)
{
    owm_status status = owm_check_trimmed_mean(a);
    if (status != OWM_OK) return status;
    struct trim_job job = {.cpu = cpu_of(device), .a = a, .ints = integers_first(), .padded = 2};
    job.columns = a->count > NARROW_ROWS ? 1 : COLUMNS;
    while (job.padded < a->count && job.padded < RUN) job.padded *= 2;
    if (a->count > RUN) job.padded = (a->count + RUN - 1) / RUN * RUN;
    for (uint32_t p = 0; p < job.padded; p++) job.x[p] = a->x[p < a->count ? p : 0];
    owm_pool_for(device->pool, a->n, GRAIN, trim_job, &job);
    return OWM_OK;
}
