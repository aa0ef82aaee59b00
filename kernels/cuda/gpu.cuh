/* gpu.cuh: what kernels share: launching, shared memory, and sums over a warp and a block.
 *
 * Kernels are written in CUDA's spelling. Three things go through macros, because the emulator and
 * HIP need a hand in them: launches, shared arrays, votes. Never assume 32 threads in a warp: use
 * warpSize, and blocks of a multiple of 64 threads.
 *
 *     static __global__ void __launch_bounds__(256) row_sum(float *out, const float *x, uint32_t n)
 *     {
 *         OWM_SHARED(float, partial, GPU_WARPS_MAX);
 *         ...
 *     }
 *     OWM_LAUNCH(row_sum, rows, 256, 0, gpu_stream(device), out, x, cols);
 *     return gpu_launched();
 */
#ifndef OWM_KERNELS_CUDA_GPU_CUH
#define OWM_KERNELS_CUDA_GPU_CUH

#include "kernels/cuda/gpu.h"

#ifndef OWM_EMULATED
#define OWM_LAUNCH(kernel, grid, block, shared, stream, ...)                                       \
    kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)

/** A static shared array, in function scope, which may be read 16 bytes at a time. The emulator
 *  checks each access of it. */
#define OWM_SHARED(type, name, count) __shared__ __align__(16) type name[count]

/** The dynamic shared array whose bytes the launch names; one per kernel, 16-byte aligned. */
#define OWM_SHARED_DYNAMIC(type, name)                                                             \
    extern __shared__ __align__(16) unsigned char owm_dynamic_shared[];                            \
    type *name = reinterpret_cast<type *>(owm_dynamic_shared)
#endif

#define GPU_FULL      0xffffffffu /* All lanes of a warp, where CUDA asks for a mask. */
#define GPU_WARPS_MAX 32          /* 1024 threads in warps of 32. */

/** A vote: bit l is lane l; HIP's warps may have 64, and the emulator's. */
#if defined(__HIP__) || defined(OWM_EMULATED)
typedef unsigned long long gpu_lanes;
#else
typedef unsigned int gpu_lanes;
#endif

static __device__ __forceinline__ gpu_lanes gpu_ballot(bool vote)
{
    return __ballot_sync(GPU_FULL, vote);
}

static __device__ __forceinline__ int gpu_count(gpu_lanes lanes)
{
    return sizeof lanes == 8 ? __popcll(lanes) : __popc((unsigned)lanes);
}

static __device__ __forceinline__ unsigned gpu_lane()
{
    return threadIdx.x % warpSize;
}

static __device__ __forceinline__ unsigned gpu_warp()
{
    return threadIdx.x / warpSize;
}

/** The lanes below this one. */
static __device__ __forceinline__ gpu_lanes gpu_lanes_below()
{
    return ((gpu_lanes)1 << gpu_lane()) - 1;
}

/** gpu_warp_sum, gpu_warp_max: over all lanes, in every lane; a fixed order. */
template <typename T> static __device__ __forceinline__ T gpu_warp_sum(T x)
{
    for (int step = warpSize / 2; step > 0; step /= 2) x += __shfl_xor_sync(GPU_FULL, x, step);
    return x;
}

template <typename T> static __device__ __forceinline__ T gpu_warp_max(T x)
{
    for (int step = warpSize / 2; step > 0; step /= 2) {
        T other = __shfl_xor_sync(GPU_FULL, x, step);
        x = other > x ? other : x;
    }
    return x;
}

/** gpu_block_sum, gpu_block_max: over a block of one dimension, in every thread. All threads call;
 *  each call has barriers on both sides. */
template <typename T> static __device__ T gpu_block_sum(T x)
{
    OWM_SHARED(T, partial, GPU_WARPS_MAX);
    unsigned warps = blockDim.x / warpSize;
    x = gpu_warp_sum(x);
    __syncthreads();
    if (gpu_lane() == 0) partial[gpu_warp()] = x;
    __syncthreads();
    T sum = 0;
    for (unsigned w = 0; w < warps; w++) sum += partial[w];
    __syncthreads();
    return sum;
}

template <typename T> static __device__ T gpu_block_max(T x)
{
    OWM_SHARED(T, partial, GPU_WARPS_MAX);
    unsigned warps = blockDim.x / warpSize;
    x = gpu_warp_max(x);
    __syncthreads();
    if (gpu_lane() == 0) partial[gpu_warp()] = x;
    __syncthreads();
    T highest = partial[0];
    for (unsigned w = 1; w < warps; w++) highest = partial[w] > highest ? partial[w] : highest;
    __syncthreads();
    return highest;
}

/** Blocks of `threads` that cover `items`. */
static inline unsigned gpu_blocks(uint64_t items, unsigned threads)
{
    return (unsigned)((items + threads - 1) / threads);
}

#endif
