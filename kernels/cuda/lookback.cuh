/* lookback.cuh: running sums over the tiles of one launch, in one pass (Merrill and Garland, 2016).
 *
 * Blocks take tiles in order by a ticket. A tile publishes its own count at once, looks back over
 * the tiles before it until it meets one that knows its running sum, adds up what lies between, and
 * publishes its own running sum. Tiles before it have blocks already, so it never waits in vain.
 *
 * Up to two sums run side by side, each by one warp. A word holds the state in its highest two
 * bits, so state and value are seen together, without a fence. All words are 0 before the launch.
 */
#ifndef OWM_KERNELS_CUDA_LOOKBACK_CUH
#define OWM_KERNELS_CUDA_LOOKBACK_CUH

#include "kernels/cuda/gpu.cuh"

#define LOOKBACK_SUMS  2
#define LOOKBACK_VALUE 0x3fffffffffffffffull
#define LOOKBACK_OWN   0x4000000000000000ull /* The tile's own count. */
#define LOOKBACK_SUM   0x8000000000000000ull /* The sum up to and with it. */

struct gpu_lookback {
    uint32_t *ticket;
    unsigned long long *word; /* [tiles][LOOKBACK_SUMS] */
};

/** gpu_lookback_bytes: of the words and the ticket behind them. */
static inline size_t gpu_lookback_bytes(uint64_t tiles)
{
    return (tiles * LOOKBACK_SUMS + 1) * sizeof(unsigned long long);
}

static inline gpu_lookback gpu_lookback_at(void *mem, uint64_t tiles)
{
    gpu_lookback chain;
    chain.word = (unsigned long long *)mem;
    chain.ticket = (uint32_t *)(chain.word + tiles * LOOKBACK_SUMS);
    return chain;
}

/** gpu_tile: the block's next tile, in every thread. Barriers on both sides. */
static __device__ __forceinline__ uint32_t gpu_tile(const gpu_lookback &chain)
{
    OWM_SHARED(uint32_t, tile, 1);
    __syncthreads();
    if (threadIdx.x == 0) tile[0] = atomicAdd(chain.ticket, 1u);
    __syncthreads();
    return tile[0];
}

static __device__ __forceinline__ unsigned long long lookback_wait(const unsigned long long *word)
{
    unsigned long long w;
    do w = *reinterpret_cast<const volatile unsigned long long *>(word);
    while ((w & ~LOOKBACK_VALUE) == 0);
    return w;
}

/* The sum over the tiles before this one; the whole warp calls. */
static __device__ __forceinline__ unsigned long long lookback_sum(const unsigned long long *words,
                                                                  uint32_t tile)
{
    unsigned long long sum = 0;
    for (int64_t at = (int64_t)tile - 1 - gpu_lane();; at -= warpSize) {
        unsigned long long w = LOOKBACK_SUM; /* Before the first tile: 0. */
        if (at >= 0) w = lookback_wait(words + at * LOOKBACK_SUMS);
        gpu_lanes know = gpu_ballot((w & LOOKBACK_SUM) != 0);
        /* Those behind the nearest that knows are in its sum already. */
        bool wanted = (know & gpu_lanes_below()) == 0;
        sum += gpu_warp_sum(wanted ? w & LOOKBACK_VALUE : 0ull);
        if (know) return sum;
    }
}

/** gpu_running: *before = the sums of count0 and count1 over the tiles before. All threads call
 * with the same arguments; barriers on both sides. */
static __device__ __forceinline__ void gpu_running(const gpu_lookback &chain, uint32_t tile,
                                                   uint32_t count0, uint32_t count1,
                                                   uint64_t (&before)[LOOKBACK_SUMS])
{
    OWM_SHARED(unsigned long long, sums, LOOKBACK_SUMS);
    unsigned which = gpu_warp();
    if (which < LOOKBACK_SUMS) {
        unsigned long long *words = chain.word + which, count = which ? count1 : count0;
        unsigned long long *own = words + (uint64_t)tile * LOOKBACK_SUMS;
        if (gpu_lane() == 0) (void)atomicExch(own, LOOKBACK_OWN | count);
        unsigned long long sum = lookback_sum(words, tile);
        if (gpu_lane() == 0) {
            (void)atomicExch(own, LOOKBACK_SUM | (sum + count));
            sums[which] = sum;
        }
    }
    __syncthreads();
    for (int i = 0; i < LOOKBACK_SUMS; i++) before[i] = sums[i];
    __syncthreads();
}

#endif
