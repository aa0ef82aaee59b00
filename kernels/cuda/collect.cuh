/* collect.cuh: the indices of the magnitudes above a threshold, and the first few that equal it, in
 * ascending order, in one pass over x.
 *
 * A block has a tile, a warp of it COLLECT_ITEMS rows of as many numbers as it has lanes; votes
 * count them, lookback.cuh adds up the tiles. Numbers that equal the threshold ("ties") are counted
 * on their own: of the ties before a place, no more than the limit are in the list.
 */
#ifndef OWM_KERNELS_CUDA_COLLECT_CUH
#define OWM_KERNELS_CUDA_COLLECT_CUH

#include "kernels/cuda/lookback.cuh"
#include "kernels/cuda/sparse.cuh"

#define COLLECT_THREADS 256
#define COLLECT_ITEMS   16
#define COLLECT_TILE    (COLLECT_THREADS * COLLECT_ITEMS)

/** What is collected; on the device, since a selection finds it there. 0 is never collected. */
struct collect_state {
    uint32_t threshold; /* bits */
    uint32_t ties;      /* how many that equal it; for a selection, what is wanted yet */
    uint32_t bad;       /* then nothing is */
    uint32_t largest;   /* bits; who collects may use it */
    unsigned long long count;
};

/** Sums of two counts over the warps before this one and over the block. Barriers on both sides. */
struct block_counts {
    uint32_t before[2], all[2];
};

static __device__ __forceinline__ block_counts count_warps(uint32_t mine0, uint32_t mine1)
{
    OWM_SHARED(uint32_t, counts, 2 * GPU_WARPS_MAX);
    block_counts sums = {{0, 0}, {0, 0}};
    __syncthreads();
    if (gpu_lane() == 0) {
        counts[gpu_warp()] = mine0;
        counts[GPU_WARPS_MAX + gpu_warp()] = mine1;
    }
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / warpSize; w++)
        for (int i = 0; i < 2; i++) {
            uint32_t count = counts[i * GPU_WARPS_MAX + w];
            sums.all[i] += count;
            if (w < gpu_warp()) sums.before[i] += count;
        }
    __syncthreads();
    return sums;
}

/** index gets at most `most` of them; state->count says how many there are. */
static __global__ void __launch_bounds__(COLLECT_THREADS)
    collect(uint32_t *index, uint64_t most, const float *x, uint64_t n, collect_state *state,
            const gpu_lookback chain)
{
    uint32_t tile = gpu_tile(chain), threshold = state->threshold, limit = state->ties;
    if (state->bad) return;
    uint64_t first = (uint64_t)tile * COLLECT_TILE + (uint64_t)gpu_warp() * COLLECT_ITEMS * warpSize
                     + gpu_lane();
    uint32_t above = 0, ties = 0, bits[COLLECT_ITEMS];
#pragma unroll
    for (int j = 0; j < COLLECT_ITEMS; j++) {
        uint64_t at = first + (uint64_t)j * warpSize;
        bits[j] = at < n ? magnitude_bits(x[at]) : 0;
        if (bits[j] > INFINITY_BITS) bits[j] = 0; /* NaN is not above anything. */
    }
#pragma unroll
    for (int j = 0; j < COLLECT_ITEMS; j++) {
        above += gpu_count(gpu_ballot(bits[j] > threshold));
        ties += gpu_count(gpu_ballot(bits[j] == threshold && bits[j]));
    }
    block_counts block = count_warps(above, ties);
    uint64_t before[LOOKBACK_SUMS];
    gpu_running(chain, tile, block.all[0], block.all[1], before);
    uint64_t above_at = before[0] + block.before[0], ties_at = before[1] + block.before[1];
#pragma unroll
    for (int j = 0; j < COLLECT_ITEMS; j++) {
        gpu_lanes is_above = gpu_ballot(bits[j] > threshold);
        gpu_lanes is_tie = gpu_ballot(bits[j] == threshold && bits[j]);
        uint64_t tie = ties_at + gpu_count(is_tie & gpu_lanes_below());
        uint64_t place =
            above_at + gpu_count(is_above & gpu_lanes_below()) + (tie < limit ? tie : limit);
        bool wanted = bits[j] > threshold || (bits[j] == threshold && bits[j] && tie < limit);
        if (wanted && place < most) index[place] = (uint32_t)(first + (uint64_t)j * warpSize);
        above_at += gpu_count(is_above);
        ties_at += gpu_count(is_tie);
    }
    if (threadIdx.x == 0 && (uint64_t)(tile + 1) * COLLECT_TILE >= n) {
        uint64_t all = before[1] + block.all[1];
        state->count = before[0] + block.all[0] + (all < limit ? all : limit);
    }
}

static inline uint64_t collect_tiles(uint64_t n)
{
    return (n + COLLECT_TILE - 1) / COLLECT_TILE;
}

#endif
