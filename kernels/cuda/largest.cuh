/* largest.cuh: the largest magnitude of a vector, as bits; and the maximum over a launch. */
#ifndef OWM_KERNELS_CUDA_LARGEST_CUH
#define OWM_KERNELS_CUDA_LARGEST_CUH

#include "kernels/cuda/quad.cuh"
#include "kernels/cuda/sparse.cuh"

#define LARGEST_THREADS 256

/** block_largest: *all = the maximum of it and of what the threads of all blocks bring. */
static __device__ __forceinline__ void block_largest(uint32_t *all, uint32_t bits)
{
    bits = gpu_block_max(bits);
    if (threadIdx.x == 0) atomicMax(all, bits);
}

static __global__ void __launch_bounds__(LARGEST_THREADS)
    largest_magnitude(uint32_t *all, const float *x, uint64_t n, bool wide)
{
    uint32_t bits = 0;
    uint64_t step = (uint64_t)gridDim.x * LARGEST_THREADS * 4;
    for (uint64_t at = ((uint64_t)blockIdx.x * LARGEST_THREADS + threadIdx.x) * 4; at < n;
         at += step) {
        gpu_quad q = gpu_load4(x, at, n, wide);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t b = magnitude_bits(q.v[i]);
            bits = b > bits ? b : bits;
        }
    }
    block_largest(all, bits);
}

#endif
