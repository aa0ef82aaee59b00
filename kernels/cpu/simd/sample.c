/* sample.c: one token per row without putting the row in order.
 *
 * One pass over the logits counts and weighs them in bins of equal distance from the largest; the
 * bins are in order by themselves, and what is far away is one bin more. A rank or a mass is then
 * found by walking the bins, and only the one that it falls into is gathered and sorted. Top-k, the
 * nucleus and the draw are three such walks, mostly into the same bin or two.
 */
#include <float.h>
#include <math.h>

#include "simd.h"

#define BINS         1024
#define BINS_PER_NAT 64               /* Up to e^-16 of the largest. */
#define RUN          ((size_t)64 * W) /* Weights summed in f32 before they go to a double. */
#define INSERT_MAX   24               /* Elements up to which insertion sorts fastest. */

struct entry {
    uint32_t key, token; /* Rising keys are falling logits. */
};

/** row: one row under way, in a worker's scratch. */
struct row {
    const float *logits;
    size_t vocab;
    float max, sharpness; /* 1 / temperature */
    double mass[BINS + 1];
    uint32_t count[BINS + 1];
    size_t gathered; /* The bin that is in `order`, BINS + 1 for none. */
    struct entry order[OWM_SAMPLE_VOCAB_MAX], spare[OWM_SAMPLE_VOCAB_MAX];
};
_Static_assert(sizeof(struct row) <= CPU_SCRATCH_FLOATS * sizeof(float), "a row fits the scratch");

/** place: a token in the order of a row, and how many and how much there is up to it. */
struct place {
    uint32_t token, rank;
    double mass;
};

/** v_bits: bit i: lane i of a comparison holds. */
static inline uint32_t v_bits(vi mask)
{
#if SIMD_avx512
    return _mm512_movepi32_mask((__m512i)mask);
#elif SIMD_avx2
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#else
    uint32_t bits = 0;
    for (int i = 0; i < W; i++) bits |= (uint32_t)(mask[i] & 1) << i;
    return bits;
#endif
}

static float highest(const float *x, size_t count)
{
    vf top = v_set(x[0]);
    for (size_t i = 0; i < count; i += W)
        top = v_max(top, v_load_part(x + i, count - i < W ? count - i : W, x[0]));
    return v_highest(top);
}

static uint32_t first_of(const float *x, size_t count, float value)
{
    size_t i = 0;
    while (i + 1 < count && x[i] != value) i++;
    return (uint32_t)i;
}

/** distances: from the largest, in units of the temperature; lanes behind the end are infinite. */
static inline vf distances(const struct row *row, size_t i)
{
    size_t count = row->vocab - i < W ? row->vocab - i : W;
    return (row->max - v_load_part(row->logits + i, count, -INFINITY)) * row->sharpness;
}

/* Never out of range, whatever the logits are: of a NaN, v_min gives its second argument. */
static inline vi bins_of(vf distance)
{
    vf place = v_min(distance, v_set((float)BINS / BINS_PER_NAT)) * BINS_PER_NAT;
    return __builtin_convertvector(place, vi);
}

/** weigh: fills the bins. */
static void weigh(struct row *row)
{
    size_t near = 0;
    memset(row->mass, 0, sizeof row->mass);
    memset(row->count, 0, sizeof row->count);
    row->gathered = BINS + 1;
    for (size_t run = 0; run < row->vocab; run += RUN) {
        vf far = {0};
        for (size_t i = run; i < run + RUN && i < row->vocab; i += W) {
            vf distance = distances(row, i), weight = v_exp(-distance);
            vi bin = bins_of(distance);
            far += v_select(bin == BINS, weight, (vf){0});
            for (uint32_t bits = v_bits(bin < BINS); bits; bits &= bits - 1) {
                int lane = __builtin_ctz(bits);
                row->mass[bin[lane]] += (double)weight[lane];
                row->count[bin[lane]]++;
                near++;
            }
        }
        row->mass[BINS] += (double)v_sum(far);
    }
    row->count[BINS] = (uint32_t)(row->vocab - near);
}

static uint32_t key_of(float logit)
{
    uint32_t bits;
    logit += 0.0f; /* -0 and 0 are a tie. */
    memcpy(&bits, &logit, sizeof bits);
    return bits >> 31 ? bits : ~bits & 0x7fffffff;
}

/** gather: the tokens of a bin into `order`, lowest first. Returns: how many. */
static size_t gather(struct row *row, size_t bin)
{
    size_t n = 0;
    for (size_t i = 0; i < row->vocab; i += W) {
        uint32_t bits = v_bits(bins_of(distances(row, i)) == (int32_t)bin);
        if (row->vocab - i < W) bits &= (1u << (row->vocab - i)) - 1;
        for (; bits; bits &= bits - 1) {
            size_t token = i + (size_t)__builtin_ctz(bits);
            row->order[n++] = (struct entry){key_of(row->logits[token]), (uint32_t)token};
        }
    }
    return n;
}

static void sort_by_insertion(struct entry *x, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct entry moved = x[i];
        size_t at = i;
        for (; at > 0 && x[at - 1].key > moved.key; at--) x[at] = x[at - 1];
        x[at] = moved;
    }
}

/** sort_by_digit: one stable pass over eight bits of the key. Returns: false, and nothing is moved,
 *  if they are the same in all. */
static bool sort_by_digit(struct entry *to, const struct entry *from, size_t count, int shift)
{
    uint32_t begin[257] = {0};
    for (size_t i = 0; i < count; i++) begin[(from[i].key >> shift & 255) + 1]++;
    if (begin[(from[0].key >> shift & 255) + 1] == count) return false;
    for (int digit = 0; digit < 256; digit++) begin[digit + 1] += begin[digit];
    for (size_t i = 0; i < count; i++) to[begin[from[i].key >> shift & 255]++] = from[i];
    return true;
}

/** sorted: the tokens of a bin in the order of the contract. Both sorts are stable. */
static const struct entry *sorted(struct row *row, size_t bin)
{
    if (row->gathered == bin) return row->order;
    size_t count = gather(row, bin);
    row->gathered = bin;
    if (count <= INSERT_MAX) {
        sort_by_insertion(row->order, count);
        return row->order;
    }
    struct entry *from = row->order, *to = row->spare;
    for (int shift = 0; shift < 32; shift += 8) {
        if (!sort_by_digit(to, from, count, shift)) continue;
        struct entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != row->order) memcpy(row->order, from, count * sizeof *from);
    return row->order;
}

/** walk: the first place at which the mass is at least `mass` (above it, if `strict`), or else the
 *  one of rank `limit`. */
static struct place walk(struct row *row, uint32_t limit, double mass, bool strict)
{
    struct place at = {0};
    for (size_t bin = 0; bin <= BINS; bin++) {
        double behind = at.mass + row->mass[bin];
        if (at.rank + row->count[bin] < limit && (strict ? behind <= mass : behind < mass)) {
            at.rank += row->count[bin];
            at.mass = behind;
            continue;
        }
        const struct entry *order = row->count[bin] ? sorted(row, bin) : NULL;
        for (uint32_t i = 0; i < row->count[bin]; i++) {
            float distance = (row->max - row->logits[order[i].token]) * row->sharpness;
            at.token = order[i].token;
            at.mass += (double)expf(-distance);
            at.rank++;
            if (at.rank == limit || (strict ? at.mass > mass : at.mass >= mass)) return at;
        }
    }
    return at;
}

static uint32_t draw(struct row *row, const struct owm_sample *a, double uniform)
{
    uint32_t limit = a->top_k && a->top_k < a->vocab ? a->top_k : a->vocab;
    double mass = 0;
    weigh(row);
    if (limit < a->vocab)
        mass = walk(row, limit, INFINITY, false).mass;
    else
        for (size_t bin = 0; bin <= BINS; bin++) mass += row->mass[bin];
    if (a->top_p < 1) {
        struct place end = walk(row, limit, (double)a->top_p * mass, false);
        limit = end.rank;
        mass = end.mass;
    }
    return walk(row, limit, uniform * mass, true).token;
}

struct sample_job {
    const struct owm_sample *a;
    struct cpu_device *cpu;
};

static void sample_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct sample_job *j = ctx;
    const struct owm_sample *a = j->a;
    struct row *row = (struct row *)(void *)cpu_scratch(j->cpu, worker);
    for (size_t r = begin; r < end; r++) {
        row->logits = a->logits + r * a->vocab;
        row->vocab = a->vocab;
        row->max = highest(row->logits, row->vocab);
        row->sharpness = fminf(1 / a->temperature, FLT_MAX);
        a->token[r] = a->temperature > 0 ? draw(row, a, (double)a->uniform[r])
                                         : first_of(row->logits, row->vocab, row->max);
    }
}

owm_status SIMD(sample)(struct owm_device *device, const struct owm_sample *a)
{
    owm_status status = owm_check_sample(a);
    if (status != OWM_OK) return status;
    struct sample_job j = {a, cpu_of(device)};
    owm_pool_for(device->pool, a->rows, 1 + 16384 / a->vocab, sample_job, &j);
    return OWM_OK;
}
