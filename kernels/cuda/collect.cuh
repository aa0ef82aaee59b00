/* collect.cuh: the indices of the magnitudes above a threshold, and the first few that equal it, in
 * ascending order, in one pass over x.
 *
 * A block has a tile. A thread has quads of it: in a warp's part of the tile, quad q of lane l is
 * at (q * lanes + l) * 4. Two kinds of numbers are ranked side by side, in halves of a word: a
 * thread counts its quads, shuffles add up the lanes, shared memory the warps, lookback.cuh the
 * tiles. Here the kinds are "above" and "ties": of the ties before a place, no more than the limit
 * are in the list.
 */
#ifndef OWM_KERNELS_CUDA_COLLECT_CUH
#define OWM_KERNELS_CUDA_COLLECT_CUH

#include "kernels/cuda/lookback.cuh"
#include "kernels/cuda/quad.cuh"
#include "kernels/cuda/sparse.cuh"

#define COLLECT_THREADS 256
#define COLLECT_ITEMS   16
#define COLLECT_QUADS   (COLLECT_ITEMS / 4)
#define COLLECT_TILE    (COLLECT_THREADS * COLLECT_ITEMS)

/** What is collected; on the device, since a selection finds it there. 0 is never collected. */
struct collect_state {
    uint32_t threshold; /* bits */
    uint32_t ties;      /* how many that equal it; for a selection, what is wanted yet */
    uint32_t bad;       /* then nothing is */
    uint32_t largest;   /* bits; who collects may use it */
    unsigned long long count;
};

/** Where quad q of this thread begins. */
static __device__ __forceinline__ uint64_t collect_place(uint32_t tile, int q)
{
    return (uint64_t)tile * COLLECT_TILE + (uint64_t)gpu_warp() * COLLECT_ITEMS * warpSize
           + ((uint64_t)q * warpSize + gpu_lane()) * 4;
}

/** Counts of the two kinds, the first in the lower half: `all` of the warp, and what of it comes
 *  before each quad of this thread. A warp has at most 64 * COLLECT_ITEMS numbers. */
struct warp_ranks {
    uint32_t before[COLLECT_QUADS], all;
};

static __device__ __forceinline__ warp_ranks rank_quads(const uint32_t (&counts)[COLLECT_QUADS])
{
    warp_ranks ranks;
    ranks.all = 0;
#pragma unroll
    for (int q = 0; q < COLLECT_QUADS; q++) {
        uint32_t sum = counts[q];
        for (unsigned step = 1; step < (unsigned)warpSize; step *= 2) {
            uint32_t lower = __shfl_up_sync(GPU_FULL, sum, step);
            if (gpu_lane() >= step) sum += lower;
        }
        ranks.before[q] = ranks.all + sum - counts[q];
        ranks.all += __shfl_sync(GPU_FULL, sum, warpSize - 1);
    }
    return ranks;
}

/** Sums of the two kinds over the warps before this one and over the block. Barriers on both
 *  sides. */
struct block_counts {
    uint32_t before[2], all[2];
};

static __device__ __forceinline__ block_counts count_warps(uint32_t mine)
{
    OWM_SHARED(uint32_t, counts, GPU_WARPS_MAX);
    block_counts sums = {{0, 0}, {0, 0}};
    __syncthreads();
    if (gpu_lane() == 0) counts[gpu_warp()] = mine;
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / warpSize; w++) {
        uint32_t first = counts[w] & 0xffffu, second = counts[w] >> 16;
        sums.all[0] += first;
        sums.all[1] += second;
        sums.before[0] += w < gpu_warp() ? first : 0;
        sums.before[1] += w < gpu_warp() ? second : 0;
    }
    __syncthreads();
    return sums;
}

/** index gets at most `most` of them; state->count says how many there are. */
static __global__ void __launch_bounds__(COLLECT_THREADS)
    collect(uint32_t *index, uint64_t most, const float *x, uint64_t n, bool wide,
            collect_state *state, const gpu_lookback chain)
{
    uint32_t tile = gpu_tile(chain), threshold = state->threshold, limit = state->ties;
    if (state->bad) return;
    uint32_t bits[COLLECT_ITEMS], counts[COLLECT_QUADS];
#pragma unroll
    for (int q = 0; q < COLLECT_QUADS; q++) {
        gpu_quad quad = gpu_load4(x, collect_place(tile, q), n, wide);
#pragma unroll
        for (int i = 0; i < 4; i++) bits[4 * q + i] = magnitude_bits(quad.v[i]);
    }
#pragma unroll
    for (int q = 0; q < COLLECT_QUADS; q++) {
        counts[q] = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t b = bits[4 * q + i];
            if (b > INFINITY_BITS) bits[4 * q + i] = b = 0; /* NaN is not above anything. */
            counts[q] += b > threshold ? 1u : b == threshold && b ? 0x10000u : 0;
        }
    }
    warp_ranks ranks = rank_quads(counts);
    block_counts block = count_warps(ranks.all);
    uint64_t before[LOOKBACK_SUMS];
    gpu_running(chain, tile, block.all[0], block.all[1], before);
#pragma unroll
    for (int q = 0; q < COLLECT_QUADS; q++) {
        uint64_t above = before[0] + block.before[0] + (ranks.before[q] & 0xffffu);
        uint64_t ties = before[1] + block.before[1] + (ranks.before[q] >> 16);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t b = bits[4 * q + i];
            bool is_above = b > threshold, is_tie = b == threshold && b;
            uint64_t place = above + (ties < limit ? ties : limit);
            if ((is_above || (is_tie && ties < limit)) && place < most)
                index[place] = (uint32_t)(collect_place(tile, q) + i);
            above += is_above;
            ties += is_tie;
        }
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
