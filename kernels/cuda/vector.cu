/* vector.cu: sums over flat vectors: add, and sum_squares to the bit.
 *
 * sum_squares: OWM_AGG_LANES threads take one chunk, a lane each; they meet in halves by shuffles.
 * The chunks' sums, in scratch, are added in order by one thread: a chain of additions cannot be
 * shared, but it is one addition per 4096 numbers. */
#include "ops_cuda.h"
#include "quad.cuh"

#define THREADS     256
#define CHAIN_BLOCK 1024 /* Chunk sums fetched at once for the chain. */

static __global__ void __launch_bounds__(THREADS)
    add_kernel(float *out, const float *a, const float *b, size_t count, bool wide)
{
    size_t step = (size_t)gridDim.x * THREADS * 4;
    for (size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4; at < count; at += step) {
        gpu_quad x = gpu_load4(a, at, count, wide), y = gpu_load4(b, at, count, wide);
        for (int i = 0; i < 4; i++) x.v[i] += y.v[i];
        gpu_store4(out, at, count, wide, x);
    }
}

extern "C" owm_status gpu_add(struct owm_device *device, float *out, const float *a, const float *b,
                              size_t count)
{
    if (!out || !a || !b || !count) return OWM_E_ARG;
    bool wide = gpu_wide(out, 0) && gpu_wide(a, 0) && gpu_wide(b, 0);
    OWM_LAUNCH(add_kernel, gpu_flat_blocks(device, count, THREADS), THREADS, 0, gpu_stream(device),
               out, a, b, count, wide);
    return gpu_launched();
}

static __global__ void __launch_bounds__(THREADS)
    chunk_squares(double *chunk_sum, const float *x, size_t count, size_t chunks)
{
    size_t chunk = ((size_t)blockIdx.x * THREADS + threadIdx.x) / OWM_AGG_LANES;
    unsigned lane = threadIdx.x % OWM_AGG_LANES;
    size_t begin = chunk * OWM_AGG_CHUNK, end = begin + OWM_AGG_CHUNK;
    if (end > count) end = count;
    double sum = 0;
#pragma unroll 8
    for (size_t i = begin + lane; i < end; i += OWM_AGG_LANES) {
        double v = (double)x[i];
        sum = fma(v, v, sum);
    }
    for (int half = OWM_AGG_LANES / 2; half > 0; half /= 2)
        sum += __shfl_down_sync(GPU_FULL, sum, half, OWM_AGG_LANES);
    if (lane == 0 && chunk < chunks) chunk_sum[chunk] = sum;
}

static __global__ void __launch_bounds__(THREADS)
    add_in_order(double *total, const double *chunk_sum, size_t chunks)
{
    OWM_SHARED(double, part, CHAIN_BLOCK);
    double sum = 0;
    for (size_t begin = 0; begin < chunks; begin += CHAIN_BLOCK) {
        size_t left = chunks - begin;
        unsigned here = left < CHAIN_BLOCK ? (unsigned)left : CHAIN_BLOCK;
        for (unsigned i = threadIdx.x; i < here; i += THREADS) part[i] = chunk_sum[begin + i];
        __syncthreads();
        if (threadIdx.x == 0)
            for (unsigned i = 0; i < here; i++) sum += part[i];
        __syncthreads();
    }
    if (threadIdx.x == 0) *total = sum;
}

extern "C" owm_status gpu_sum_squares(struct owm_device *device, double *sum_host, const float *x,
                                      size_t count)
{
    if (!sum_host || !x || !count) return OWM_E_ARG;
    size_t chunks = (count + OWM_AGG_CHUNK - 1) / OWM_AGG_CHUNK;
    double *sums = (double *)gpu_scratch(device, (chunks + 1) * sizeof(double));
    if (!sums) return OWM_E_LIMIT;
    OWM_LAUNCH(chunk_squares, gpu_blocks(chunks * OWM_AGG_LANES, THREADS), THREADS, 0,
               gpu_stream(device), sums + 1, x, count, chunks);
    OWM_LAUNCH(add_in_order, 1, THREADS, 0, gpu_stream(device), sums, sums + 1, chunks);
    owm_status status = gpu_launched();
    return status == OWM_OK ? gpu_fetch(device, sum_host, sums, sizeof *sum_host) : status;
}
