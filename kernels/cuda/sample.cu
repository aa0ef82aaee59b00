/* sample.cu: choose one token per row without putting the row in order. One block per row.
 *
 * A logit becomes a key whose order as an integer is the order of logits. To find where a running
 * count, or a running mass, along the falling keys passes a goal takes three passes over the row: a
 * histogram of the upper 11 bits of the key, of the next 11 inside the bin where it passes, of the
 * last 10. Masses are integers, 2^-40 of the largest logit's, so sums have no order and atomics
 * cost no bit. Tokens of one key have one mass: which of them it is follows by division. */
#include "ops_cuda.h"
#include "quad.cuh"

#define BINS        2048
#define BIN_BITS    11
#define GROUP       32 /* Bins that one thread adds up. */
#define GROUPS      (BINS / GROUP)
#define MASS_OF_ONE 1099511627776.0f /* 2^40 */

struct sample_rule {
    uint32_t vocab, top_k;
    float temperature, top_p;
    bool wide;
};

/** What a block shares: a histogram from the highest keys down, and what was found in it. */
struct sample_found {
    uint32_t bin;
    unsigned long long count, mass; /* Before the bin. */
};

/** One row, as its block sees it. */
struct sample_row {
    const float *logits;
    uint32_t *count, *low, *high;                 /* [BINS], shared; mass = high * 2^32 + low */
    unsigned long long *group_count, *group_mass; /* [GROUPS], shared */
    sample_found *found;                          /* shared */
    float max, temperature;
    uint32_t vocab;
    bool wide;
};

/** A place in the falling order: the token of this key that has `rank` before it. */
struct sample_place {
    uint32_t key, rank;
    unsigned long long mass; /* Of all tokens up to it. */
};

/** Higher logits have lower keys; -0 has that of 0. */
static __device__ __forceinline__ uint32_t key_of(float logit)
{
    uint32_t bits = __float_as_uint(logit + 0.0f);
    return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}

static __device__ __forceinline__ float logit_of(uint32_t key)
{
    return __uint_as_float(key >> 31 ? key : ~key & 0x7fffffffu);
}

static __device__ __forceinline__ unsigned long long mass_of(const sample_row &row, float logit)
{
    float share = expf((logit - row.max) / row.temperature);
    return (unsigned long long)(share * MASS_OF_ONE + 0.5f);
}

/** clear: an empty histogram. With barriers before and after. */
static __device__ __forceinline__ void clear(const sample_row &row)
{
    __syncthreads();
    for (unsigned b = threadIdx.x; b < BINS; b += blockDim.x)
        row.count[b] = row.low[b] = row.high[b] = 0;
    __syncthreads();
}

/** put: one token into a bin; the carry of the lower half goes to the upper. */
static __device__ __forceinline__ void put(const sample_row &row, uint32_t bin,
                                           unsigned long long mass)
{
    atomicAdd(&row.count[bin], 1u);
    uint32_t low = (uint32_t)mass, high = (uint32_t)(mass >> 32);
    if (low) {
        uint32_t before = atomicAdd(&row.low[bin], low);
        high += before + low < before;
    }
    if (high) atomicAdd(&row.high[bin], high);
}

static __device__ __forceinline__ unsigned long long bin_mass(const sample_row &row, uint32_t bin)
{
    return (unsigned long long)row.high[bin] << 32 | row.low[bin];
}

/** find: the bin in which the running count (or mass) reaches the goal, added to what there was
 *  before. The goal is reached, at the latest in the last bin that is not empty. */
static __device__ __forceinline__ sample_found find(const sample_row &row, sample_found before,
                                                    unsigned long long goal, bool by_mass)
{
    __syncthreads();
    if (threadIdx.x < GROUPS) {
        unsigned long long count = 0, mass = 0;
        for (uint32_t b = threadIdx.x * GROUP; b < (threadIdx.x + 1) * GROUP; b++) {
            count += row.count[b];
            mass += bin_mass(row, b);
        }
        row.group_count[threadIdx.x] = count, row.group_mass[threadIdx.x] = mass;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        sample_found f = before;
        uint32_t g = 0;
        for (; g < GROUPS - 1; g++) {
            if ((by_mass ? f.mass + row.group_mass[g] : f.count + row.group_count[g]) >= goal)
                break;
            f.mass += row.group_mass[g], f.count += row.group_count[g];
        }
        for (f.bin = g * GROUP; f.bin < (g + 1) * GROUP - 1; f.bin++) {
            if ((by_mass ? f.mass + bin_mass(row, f.bin) : f.count + row.count[f.bin]) >= goal)
                break;
            f.mass += bin_mass(row, f.bin), f.count += row.count[f.bin];
        }
        *row.found = f;
    }
    __syncthreads();
    return *row.found;
}

/** descend: the place where the running count (or mass) along the falling order reaches the goal,
 *  which is above 0 and not above that of the whole row. */
static __device__ sample_place descend(const sample_row &row, unsigned long long goal, bool by_mass)
{
    sample_found at = {0, 0, 0};
    uint32_t key = 0;
    for (int width = BIN_BITS, shift = 32 - BIN_BITS; width > 0;) {
        clear(row);
        for (uint32_t v = threadIdx.x * 4; v < row.vocab; v += blockDim.x * 4) {
            gpu_quad q = gpu_load4(row.logits, v, row.vocab, row.wide);
            for (uint32_t i = 0; i < 4 && v + i < row.vocab; i++) {
                uint32_t k = key_of(q.v[i]);
                bool inside = shift + width == 32 || k >> (shift + width) == key;
                if (inside) put(row, k >> shift & ((1u << width) - 1), mass_of(row, q.v[i]));
            }
        }
        at = find(row, at, goal, by_mass);
        key = key << width | at.bin;
        width = shift < BIN_BITS ? shift : BIN_BITS;
        shift -= width;
    }
    unsigned long long one = mass_of(row, logit_of(key));
    sample_place place;
    place.key = key;
    place.rank = by_mass ? (uint32_t)((goal - at.mass - 1) / one) : (uint32_t)(goal - at.count - 1);
    place.mass = at.mass + (place.rank + 1) * one;
    return place;
}

/** token_at: the token of a place: threads count their stretches of the row, then the one whose
 *  stretch it is in walks it. */
static __device__ void token_at(const sample_row &row, const sample_place &place, uint32_t *token)
{
    uint32_t stretch = (row.vocab + blockDim.x - 1) / blockDim.x;
    uint32_t begin = threadIdx.x * stretch, end = begin + stretch;
    if (end > row.vocab) end = row.vocab;
    clear(row);
    uint32_t here = 0;
    for (uint32_t v = begin; v < end; v++) here += key_of(row.logits[v]) == place.key;
    row.count[threadIdx.x] = here;
    sample_found nothing = {0, 0, 0};
    sample_found at = find(row, nothing, (unsigned long long)place.rank + 1, false);
    if (threadIdx.x != at.bin) return;
    uint32_t left = place.rank - (uint32_t)at.count;
    for (uint32_t v = begin; v < end; v++)
        if (key_of(row.logits[v]) == place.key && left-- == 0) *token = v;
}

static __global__ void __launch_bounds__(1024, 1)
    sample_kernel(uint32_t *token, const float *logits, const float *uniform, sample_rule rule)
{
    OWM_SHARED(uint32_t, bins, 3 * BINS);
    OWM_SHARED(unsigned long long, groups, 2 * GROUPS);
    OWM_SHARED(sample_found, found, 1);
    sample_row row = {logits + (size_t)blockIdx.x * rule.vocab,
                      bins,
                      bins + BINS,
                      bins + 2 * BINS,
                      groups,
                      groups + GROUPS,
                      found,
                      -INFINITY,
                      rule.temperature,
                      rule.vocab,
                      rule.wide};
    float max = row.max;
    for (uint32_t v = threadIdx.x * 4; v < rule.vocab; v += blockDim.x * 4) {
        gpu_quad q = gpu_load4(row.logits, v, rule.vocab, rule.wide);
        for (uint32_t i = 0; i < 4 && v + i < rule.vocab; i++) max = fmaxf(max, q.v[i]);
    }
    row.max = gpu_block_max(max);
    sample_place place = {key_of(row.max), 0, 0};
    if (rule.temperature > 0) {
        bool some = rule.top_k && rule.top_k < rule.vocab;
        unsigned long long all = descend(row, some ? rule.top_k : rule.vocab, false).mass;
        if (rule.top_p < 1) {
            unsigned long long goal = (unsigned long long)ceil((double)rule.top_p * (double)all);
            all = descend(row, goal, true).mass;
        }
        double goal = floor((double)uniform[blockIdx.x] * (double)all);
        place = descend(row, (unsigned long long)goal + 1, true);
    }
    token_at(row, place, token + blockIdx.x);
}

extern "C" owm_status gpu_sample(struct owm_device *device, const struct owm_sample *a)
{
    owm_status status = owm_check_sample(a);
    if (status != OWM_OK) return status;
    uint32_t *token = (uint32_t *)gpu_scratch(device, a->rows * sizeof *token);
    if (!token) return OWM_E_LIMIT;
    void *uniform;
    status = gpu_stage(device, a->uniform, a->rows * sizeof *a->uniform, &uniform);
    if (status != OWM_OK) return status;
    sample_rule rule = {a->vocab, a->top_k, a->temperature, a->top_p,
                        gpu_wide(a->logits, a->vocab)};
    OWM_LAUNCH(sample_kernel, a->rows, gpu_row_threads(a->vocab), 0, gpu_stream(device), token,
               a->logits, (const float *)uniform, rule);
    status = gpu_launched();
    return status == OWM_OK ? gpu_fetch(device, a->token, token, a->rows * sizeof *token) : status;
}
