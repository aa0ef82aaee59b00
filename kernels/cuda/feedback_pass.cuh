/* feedback_pass.cuh: error feedback in one pass over residual and gradient, for feedback.cu.
 *
 *  1. sample, bracket: a sample of the sums says between which two magnitudes, lo and hi, the K-th
 *     largest lies, but for once in a million.
 *  2. pass: s = residual * decay + gradient. What is at or above hi is surely sent ("definite"): it
 *     is quantised at once and leaves the residual. What lies between is a candidate: it goes to a
 *     list, and stays in the residual as s. A definite goes out as a record of its place in the
 *     tile and its code, into the caller's `value`, which has just as many words as may be sent.
 *  3. decide: whether all went as it should; if not, nothing more is done here (feedback.cu
 *     restores s and goes on without a bracket).
 *  4. count, narrow: the K-th largest, exactly, among the candidates (digits.cuh).
 *  5. merge: records and chosen candidates of a tile in order into index and code.
 *  6. values: from codes and scales.
 *
 * The scale of a group follows from its largest magnitude alone: if anything of the group is sent,
 * that is. Only the floor is not known before the end; where it would matter, decide says so.
 */
#ifndef OWM_KERNELS_CUDA_FEEDBACK_PASS_CUH
#define OWM_KERNELS_CUDA_FEEDBACK_PASS_CUH

#include "kernels/cuda/collect.cuh"
#include "kernels/cuda/digits.cuh"
#include "kernels/cuda/quad.cuh"

#define PASS_THREADS COLLECT_THREADS
#define PASS_TILE    COLLECT_TILE
#define PASS_GROUPS  (PASS_TILE / OWM_QUANT_GROUP) /* of a tile */
#define PASS_QUADS   COLLECT_QUADS
#define PASS_SENT    0x80000000u /* In shared memory: this coordinate is. */

/* What a tile has, and what the tiles before it had. */
struct pass_tile {
    uint32_t definites, definites_before, candidates, candidates_before;
    uint32_t largest[PASS_GROUPS];
};

struct pass_state {
    collect_state select; /* threshold, ties; bad; largest; count: of what is sent */
    uint32_t lo, hi;
    uint32_t definites, candidates;
    uint32_t overflow;       /* more than there is room for */
    uint32_t above_smallest; /* 1000 - the smallest scale of a definite; 0: there is none */
    uint32_t go;
};

#define PASS_STATE_BYTES 256 /* of scratch */
static_assert(sizeof(pass_state) <= PASS_STATE_BYTES, "the state is the first thing in scratch");
static_assert(PASS_TILE <= 65536, "a record has 16 bits for the place and 16 for the code");

struct pass_job {
    struct owm_feedback_step op;
    pass_state *state;
    pass_tile *tiles;
    uint32_t *bins, *samples, *candidate; /* coordinates */
    float *candidate_s;
    uint32_t sample_count, candidates_max;
    uint32_t rank_lo, rank_hi; /* in the sample, from the largest; 0, or beyond it: no bound */
    bool wide;
};

static __device__ __forceinline__ float pass_sum(const pass_job &job, uint64_t at)
{
    return __fmaf_rn(job.op.residual[at], job.op.decay, job.op.gradient[at]);
}

/* One number out of each of sample_count equal stretches, at a place that looks random. */
static __global__ void __launch_bounds__(PASS_THREADS) pass_sample(const pass_job job)
{
    uint32_t i = blockIdx.x * PASS_THREADS + threadIdx.x;
    if (i >= job.sample_count) return;
    uint32_t hash = (i + 1) * 2654435761u;
    hash = (hash ^ hash >> 15) * 2246822519u;
    hash ^= hash >> 13;
    uint64_t begin = (uint64_t)i * job.op.n / job.sample_count;
    uint64_t end = ((uint64_t)i + 1) * job.op.n / job.sample_count;
    job.samples[i] =
        magnitude_bits(pass_sum(job, begin + (uint64_t)hash * (end - begin) / 0x100000000ull));
}

/* Block 0 finds hi, block 1 lo: two digits of that order statistic, then up or down. */
static __global__ void __launch_bounds__(DIGIT_THREADS) pass_bracket(const pass_job job)
{
    OWM_SHARED(uint32_t, local, DIGIT_BINS * DIGIT_COPIES);
    OWM_SHARED(uint32_t, found, 2);
    uint32_t rank = blockIdx.x ? job.rank_lo : job.rank_hi;
    uint32_t *bins = job.bins + blockIdx.x * DIGIT_BINS;
    bool bounded = rank > 0 && rank <= job.sample_count;
    if (threadIdx.x < 2) found[threadIdx.x] = threadIdx.x ? rank : 0;
    for (int digit = 0; digit < 2 && bounded; digit++) {
        digits_begin(local);
        uint32_t prefix = found[0];
#pragma unroll 8
        for (uint32_t i = threadIdx.x; i < job.sample_count; i += DIGIT_THREADS)
            digits_count(local, job.samples[i], prefix, digit);
        digits_end(bins, local);
        __syncthreads();
        digits_narrow(bins, &found[0], &found[1], digit);
        __syncthreads();
    }
    if (threadIdx.x) return;
    if (blockIdx.x == 0)
        job.state->hi = bounded ? found[0] + (1u << digit_shift(1)) : INFINITY_BITS;
    else
        job.state->lo = bounded && found[0] ? found[0] : 1;
}

/* The codes of a value, and what it stands for then. */
template <bool BF16> struct pass_code {
    int exponent;      /* of the group */
    uint32_t smallest; /* bf16 */

    __device__ __forceinline__ uint32_t code(float s) const
    {
        return BF16 ? code_bf16(s, smallest) : (uint32_t)code_i8(s, exponent) & 0xffu;
    }
    __device__ __forceinline__ float value(uint32_t code) const
    {
        return BF16 ? value_bf16(code) : value_i8((int)(int8_t)code, exponent);
    }
};

/* The sums of a thread, four in a row at four places; those that cannot be sent are left out. */
struct pass_items {
    gpu_quad s[PASS_QUADS];
    uint32_t bits[COLLECT_ITEMS];
    uint32_t largest;
    bool bad;
};

static __device__ __forceinline__ void pass_load(const pass_job &job, uint32_t tile,
                                                 pass_items &items)
{
    gpu_quad g[PASS_QUADS];
    items.largest = 0;
    items.bad = false;
#pragma unroll
    for (int q = 0; q < PASS_QUADS; q++) {
        items.s[q] = gpu_load4(job.op.residual, collect_place(tile, q), job.op.n, job.wide);
        g[q] = gpu_load4(job.op.gradient, collect_place(tile, q), job.op.n, job.wide);
    }
#pragma unroll
    for (int q = 0; q < PASS_QUADS; q++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float s = __fmaf_rn(items.s[q].v[i], job.op.decay, g[q].v[i]);
            uint32_t bits = magnitude_bits(s);
            bool bad = bits > SENDABLE_BITS;
            items.bad = items.bad || bad;
            items.bits[4 * q + i] = bad ? 0 : bits;
            if (!bad) items.s[q].v[i] = s;
            if (!bad && bits > items.largest) items.largest = bits;
        }
}

/* The largest of each group of the tile, in every thread. */
static __device__ __forceinline__ void pass_groups(uint32_t largest, uint32_t (&group)[PASS_GROUPS])
{
    OWM_SHARED(uint32_t, warps, GPU_WARPS_MAX);
    largest = gpu_warp_max(largest);
    __syncthreads();
    if (gpu_lane() == 0) warps[gpu_warp()] = largest;
    __syncthreads();
    unsigned each = PASS_THREADS / warpSize / PASS_GROUPS;
    for (unsigned g = 0; g < PASS_GROUPS; g++) {
        group[g] = 0;
        for (unsigned w = g * each; w < (g + 1) * each; w++)
            group[g] = warps[w] > group[g] ? warps[w] : group[g];
    }
}

/* largest[g], without an address: it stays in registers. */
static __device__ __forceinline__ uint32_t pass_group(const uint32_t (&largest)[PASS_GROUPS],
                                                      unsigned g)
{
    uint32_t found = 0;
#pragma unroll
    for (unsigned i = 0; i < PASS_GROUPS; i++) found = i == g ? largest[i] : found;
    return found;
}

/* Definites of a thread's quads in the lower half, candidates in the upper. */
static __device__ __forceinline__ warp_ranks pass_ranks(const pass_items &items, uint32_t lo,
                                                        uint32_t hi)
{
    uint32_t counts[PASS_QUADS];
#pragma unroll
    for (int q = 0; q < PASS_QUADS; q++) {
        counts[q] = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t bits = items.bits[4 * q + i];
            counts[q] += bits >= hi ? 1u : bits >= lo ? 0x10000u : 0;
        }
    }
    return rank_quads(counts);
}

/* What the tile's definites and candidates come after. `room` says whether all of them may be
 * kept. */
struct pass_offsets {
    uint32_t definite, candidate;
    bool room;
};

static __device__ __forceinline__ pass_offsets pass_count(const pass_job &job, uint32_t tile,
                                                          const gpu_lookback &chain,
                                                          const warp_ranks &ranks,
                                                          const uint32_t (&group)[PASS_GROUPS])
{
    block_counts block = count_warps(ranks.all);
    uint64_t before[LOOKBACK_SUMS];
    gpu_running(chain, tile, block.all[0], block.all[1], before);
    uint64_t end0 = before[0] + block.all[0], end1 = before[1] + block.all[1];
    bool room = end0 <= job.op.k && end1 <= job.candidates_max;
    if (threadIdx.x == 0) {
        pass_tile *mine = &job.tiles[tile];
        mine->definites = room ? block.all[0] : 0;
        mine->candidates = room ? block.all[1] : 0;
        mine->definites_before = (uint32_t)before[0];
        mine->candidates_before = (uint32_t)before[1];
        for (int g = 0; g < PASS_GROUPS; g++) mine->largest[g] = group[g];
        if (!room) job.state->overflow = 1;
        if ((uint64_t)(tile + 1) * PASS_TILE >= job.op.n) {
            job.state->definites = (uint32_t)end0;
            job.state->candidates = (uint32_t)end1;
        }
    }
    pass_offsets offsets = {(uint32_t)before[0] + block.before[0],
                            (uint32_t)before[1] + block.before[1], room};
    return offsets;
}

/* Definites leave the residual, as records; candidates are listed. */
template <bool BF16>
static __device__ __forceinline__ void pass_emit(const pass_job &job, uint32_t tile,
                                                 const pass_code<BF16> &code, pass_items &items,
                                                 const warp_ranks &ranks, const pass_offsets &at)
{
    uint32_t lo = job.state->lo, hi = job.state->hi;
    uint32_t *record = reinterpret_cast<uint32_t *>(job.op.value);
#pragma unroll
    for (int q = 0; q < PASS_QUADS; q++) {
        uint32_t d = at.definite + (ranks.before[q] & 0xffffu);
        uint32_t c = at.candidate + (ranks.before[q] >> 16);
        uint32_t place = (uint32_t)collect_place(tile, q);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float s = items.s[q].v[i];
            uint32_t bits = items.bits[4 * q + i];
            if (bits >= hi) {
                uint32_t sent = code.code(s);
                items.s[q].v[i] = __fsub_rn(s, code.value(sent));
                record[d++] = (place + i) % PASS_TILE | sent << 16;
            } else if (bits >= lo) {
                job.candidate[c] = place + i;
                job.candidate_s[c++] = s;
            }
        }
    }
}

template <bool BF16>
static __global__ void __launch_bounds__(PASS_THREADS)
    pass_select(const pass_job job, const gpu_lookback chain)
{
    OWM_SHARED(uint32_t, seen, 1);
    uint32_t tile = gpu_tile(chain), group[PASS_GROUPS];
    pass_items items;
    pass_load(job, tile, items);
    pass_groups(items.largest, group);
    if (threadIdx.x == 0) seen[0] = 0;
    warp_ranks ranks = pass_ranks(items, job.state->lo, job.state->hi);
    pass_offsets offsets = pass_count(job, tile, chain, ranks, group);
    pass_code<BF16> code;
    code.exponent =
        exponent_of_bits(pass_group(group, gpu_warp() * PASS_GROUPS * warpSize / PASS_THREADS));
    code.smallest = 0;
    if (offsets.room) pass_emit(job, tile, code, items, ranks, offsets);
#pragma unroll
    for (int q = 0; q < PASS_QUADS; q++)
        gpu_store4(job.op.residual, collect_place(tile, q), job.op.n, job.wide, items.s[q]);
    if (items.bad) seen[0] = 1;
    __syncthreads();
    if (threadIdx.x) return;
    if (seen[0]) job.state->select.bad = 1;
    uint32_t hi = job.state->hi, largest = 0;
    for (int g = 0; g < PASS_GROUPS; g++) {
        largest = group[g] > largest ? group[g] : largest;
        if (group[g] >= hi)
            atomicMax(&job.state->above_smallest, (uint32_t)(1000 - exponent_of_bits(group[g])));
    }
    atomicMax(&job.state->select.largest, largest);
}

/* One thread: is all as it should be, and how many candidates are wanted? */
static __global__ void pass_decide(const pass_job job, bool bf16)
{
    pass_state *state = job.state;
    int floor = floor_of_bits(state->select.largest);
    uint32_t wanted = job.op.k - state->definites;
    bool enough = state->candidates >= wanted || state->lo == 1;
    bool above = bf16 ? state->hi >= bf16_smallest_bits(floor)
                      : !state->above_smallest || 1000 - (int)state->above_smallest >= floor;
    state->go = !state->select.bad && !state->overflow && enough && above;
    if (wanted > state->candidates) wanted = state->candidates;
    state->select.ties = wanted;
    state->select.threshold = wanted ? 0 : UINT32_MAX;
}

static __global__ void __launch_bounds__(DIGIT_THREADS) pass_digits(const pass_job job, int digit)
{
    OWM_SHARED(uint32_t, local, DIGIT_BINS * DIGIT_COPIES);
    if (!job.state->go) return;
    digits_begin(local);
    uint32_t prefix = job.state->select.threshold, count = job.state->candidates;
    for (uint32_t i = blockIdx.x * DIGIT_THREADS + threadIdx.x; i < count;
         i += gridDim.x * DIGIT_THREADS)
        digits_count(local, magnitude_bits(job.candidate_s[i]), prefix, digit);
    digits_end(job.bins, local);
}

static __global__ void __launch_bounds__(DIGIT_THREADS) pass_narrow(const pass_job job, int digit)
{
    collect_state *select = &job.state->select;
    if (job.state->go && select->ties)
        digits_narrow(job.bins, &select->threshold, &select->ties, digit);
}

/* A tile's candidates, PASS_THREADS at a time: those above the threshold, and as many ties as are
 * wanted, go into the tile's slots and out of the residual. */
template <bool BF16, class SHARED>
static __device__ __forceinline__ void merge_candidates(const pass_job &job, const pass_tile &mine,
                                                        uint64_t ties_before, int floor,
                                                        SHARED &slot)
{
    uint32_t threshold = job.state->select.threshold, limit = job.state->select.ties;
    for (uint32_t first = 0; first < mine.candidates; first += PASS_THREADS) {
        bool have = first + threadIdx.x < mine.candidates;
        uint32_t at = mine.candidates_before + first + threadIdx.x;
        float s = have ? job.candidate_s[at] : 0;
        uint32_t bits = magnitude_bits(s);
        gpu_lanes ties = gpu_ballot(have && bits == threshold);
        block_counts block = count_warps((uint32_t)gpu_count(ties));
        uint64_t tie = ties_before + block.before[0] + gpu_count(ties & gpu_lanes_below());
        ties_before += block.all[0];
        if (!have || !(bits > threshold || (bits == threshold && tie < limit))) continue;
        uint32_t coordinate = job.candidate[at], place = coordinate % PASS_TILE;
        pass_code<BF16> code;
        code.exponent = exponent_of_bits(pass_group(mine.largest, place / OWM_QUANT_GROUP));
        if (code.exponent < floor) code.exponent = floor;
        code.smallest = bf16_smallest_bits(floor);
        uint32_t c = code.code(s);
        job.op.residual[coordinate] = __fsub_rn(s, code.value(c));
        slot[place] = PASS_SENT | c;
    }
}

static __device__ __forceinline__ block_counts merge_count(const pass_job &job,
                                                           const pass_tile &mine)
{
    uint32_t threshold = job.state->select.threshold, above = 0, ties = 0;
    for (uint32_t first = 0; first < mine.candidates; first += PASS_THREADS) {
        bool have = first + threadIdx.x < mine.candidates;
        uint32_t at = mine.candidates_before + first + threadIdx.x;
        uint32_t bits = have ? magnitude_bits(job.candidate_s[at]) : 0;
        above += gpu_count(gpu_ballot(have && bits > threshold));
        ties += gpu_count(gpu_ballot(have && bits == threshold));
    }
    return count_warps(above | ties << 16);
}

/* The slots of a tile that are sent, in order, from place `base` on. */
template <bool BF16, class SHARED>
static __device__ __forceinline__ void merge_write(const pass_job &job, uint32_t tile,
                                                   uint64_t base, const SHARED &slot)
{
    uint32_t own[COLLECT_ITEMS], counts[PASS_QUADS];
#pragma unroll
    for (int q = 0; q < PASS_QUADS; q++) {
        counts[q] = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            own[4 * q + i] = slot[(uint32_t)collect_place(0, q) + i];
            counts[q] += own[4 * q + i] >> 31;
        }
    }
    warp_ranks ranks = rank_quads(counts);
    block_counts block = count_warps(ranks.all);
#pragma unroll
    for (int q = 0; q < PASS_QUADS; q++) {
        uint64_t to = base + block.before[0] + ranks.before[q];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t s = own[4 * q + i];
            if (!(s & PASS_SENT)) continue;
            job.op.index[to] = (uint32_t)collect_place(tile, q) + i;
            if (BF16)
                static_cast<uint16_t *>(job.op.code)[to] = (uint16_t)s;
            else
                static_cast<int8_t *>(job.op.code)[to] = (int8_t)s;
            to++;
        }
    }
}

/* Scales of the tile's groups: of those that send anything. */
template <class SHARED>
static __device__ __forceinline__ void merge_scales(const pass_job &job, uint32_t tile,
                                                    const pass_tile &mine, int floor,
                                                    const SHARED &slot)
{
    OWM_SHARED(uint32_t, sends, PASS_GROUPS);
    if (threadIdx.x < PASS_GROUPS) sends[threadIdx.x] = 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < PASS_TILE; i += PASS_THREADS)
        if (slot[i] & PASS_SENT) atomicOr(&sends[i / OWM_QUANT_GROUP], 1u);
    __syncthreads();
    uint64_t group = (uint64_t)tile * PASS_GROUPS + threadIdx.x;
    if (threadIdx.x >= PASS_GROUPS || group * OWM_QUANT_GROUP >= job.op.n) return;
    int e = exponent_of_bits(pass_group(mine.largest, threadIdx.x));
    if (e < floor) e = floor;
    job.op.exponent[group] = (int8_t)(sends[threadIdx.x] ? e : OWM_QUANT_EXPONENT_MIN);
}

template <bool BF16>
static __global__ void __launch_bounds__(PASS_THREADS)
    pass_merge(const pass_job job, const gpu_lookback chain)
{
    OWM_SHARED(uint32_t, slot, PASS_TILE);
    if (!job.state->go) return;
    uint32_t tile = gpu_tile(chain), limit = job.state->select.ties;
    pass_tile mine = job.tiles[tile];
    int floor = floor_of_bits(job.state->select.largest);
    block_counts block = merge_count(job, mine);
    uint64_t before[LOOKBACK_SUMS];
    gpu_running(chain, tile, block.all[0], block.all[1], before);
    uint64_t ties = before[1] + block.all[1];
    uint64_t base = mine.definites_before + before[0] + (before[1] < limit ? before[1] : limit);
    if (threadIdx.x == 0 && (uint64_t)(tile + 1) * PASS_TILE >= job.op.n)
        job.state->select.count = mine.definites_before + mine.definites + before[0] + block.all[0]
                                  + (ties < limit ? ties : limit);
    for (uint32_t i = threadIdx.x; i < PASS_TILE; i += PASS_THREADS) slot[i] = 0;
    __syncthreads();
    const uint32_t *record = reinterpret_cast<const uint32_t *>(job.op.value);
    for (uint32_t i = threadIdx.x; i < mine.definites; i += PASS_THREADS) {
        uint32_t r = record[mine.definites_before + i];
        slot[r % PASS_TILE] = PASS_SENT | r >> 16;
    }
    merge_candidates<BF16>(job, mine, before[1], floor, slot);
    __syncthreads();
    merge_write<BF16>(job, tile, base, slot);
    if (!BF16) merge_scales(job, tile, mine, floor, slot);
}

template <bool BF16>
static __global__ void __launch_bounds__(PASS_THREADS) pass_values(const pass_job job)
{
    uint64_t i = (uint64_t)blockIdx.x * PASS_THREADS + threadIdx.x;
    if (!job.state->go || i >= job.state->select.count) return;
    pass_code<BF16> code;
    code.smallest = 0;
    code.exponent = BF16 ? 0 : job.op.exponent[job.op.index[i] / OWM_QUANT_GROUP];
    job.op.value[i] = code.value(BF16 ? static_cast<const uint16_t *>(job.op.code)[i]
                                      : static_cast<const uint8_t *>(job.op.code)[i]);
}

/* Undo the pass: the definites of a tile return to the residual, which is then s again, exactly. */
template <bool BF16>
static __global__ void __launch_bounds__(PASS_THREADS) pass_restore(const pass_job job)
{
    pass_tile mine = job.tiles[blockIdx.x];
    const uint32_t *record = reinterpret_cast<const uint32_t *>(job.op.value);
    for (uint32_t i = threadIdx.x; i < mine.definites; i += PASS_THREADS) {
        uint32_t r = record[mine.definites_before + i], place = r % PASS_TILE;
        float *x = job.op.residual + (uint64_t)blockIdx.x * PASS_TILE + place;
        pass_code<BF16> code;
        code.smallest = 0;
        code.exponent = exponent_of_bits(pass_group(mine.largest, place / OWM_QUANT_GROUP));
        *x = __fadd_rn(*x, code.value(r >> 16));
    }
}

#endif
