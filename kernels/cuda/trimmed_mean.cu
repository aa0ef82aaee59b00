/* trimmed_mean.cu: per coordinate, sort what the participants sent and average the middle.
 *
 * Up to 32 vectors: a thread has a coordinate, and sorts it in registers by Batcher's network,
 * whose comparisons are all known when this is compiled. A network serves up to four counts: the
 * rest is filled with the highest key. Above 32: a block has some coordinates in shared memory and
 * sorts them by a bitonic network.
 *
 * Keys are integers in the order of IEEE 754 totalOrder: see cpu/agg_trim.c.
 */
#include <limits.h>

#include "kernels/cuda/gpu.cuh"
#include "kernels/cuda/ops_cuda.h"

#define THREADS      256
#define SHARED_KEYS  8192 /* 32 KiB; for 1024 vectors 8 coordinates, one 32-byte sector of each */
#define REGISTER_MAX 32

struct trim_job {
    float *out;
    const float *const *x;
    uint32_t count, trim, n;
};

static __device__ __forceinline__ int key_of(float x)
{
    int bits = __float_as_int(x);
    return bits ^ (int)((unsigned)(bits >> 31) >> 1);
}

static __device__ __forceinline__ float float_of(int key)
{
    return __int_as_float(key ^ (int)((unsigned)(key >> 31) >> 1));
}

/* The sum goes on from the lowest kept to the highest. */
static __device__ __forceinline__ float sum_kept(float sum, int key, uint32_t i,
                                                 const trim_job &job)
{
    if (i == job.trim) return float_of(key);
    return i > job.trim && i < job.count - job.trim ? __fadd_rn(sum, float_of(key)) : sum;
}

static __device__ __forceinline__ float mean_kept(float sum, const trim_job &job)
{
    return __fdiv_rn(sum, (float)(job.count - 2 * job.trim));
}

static __device__ __forceinline__ void in_order(int &low, int &high)
{
    int a = low, b = high;
    low = a < b ? a : b;
    high = a < b ? b : a;
}

/* Batcher's odd-even merge sort of N keys (Knuth, 5.2.2, algorithm M's comparisons): sorted runs of
 * P become runs of 2P by comparing at distance K = P, P/2, .. 1. */
template <int N, int P = 1, int K = 1>
static __device__ __forceinline__ void sort_keys(int (&key)[N])
{
    if constexpr (P < N) {
#pragma unroll
        for (int a = K % P; a + K < N; a++)
            if ((a - K % P) / K % 2 == 0 && a / (2 * P) == (a + K) / (2 * P))
                in_order(key[a], key[a + K]);
        if constexpr (K > 1)
            sort_keys<N, P, K / 2>(key);
        else
            sort_keys<N, 2 * P, 2 * P>(key);
    }
}

template <int N>
static __global__ void __launch_bounds__(THREADS) trim_in_registers(const trim_job job)
{
    uint64_t at = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= job.n) return;
    int key[N];
#pragma unroll
    for (int p = 0; p < N; p++) key[p] = (uint32_t)p < job.count ? key_of(job.x[p][at]) : INT_MAX;
    sort_keys<N>(key);
    float sum = 0;
#pragma unroll
    for (int p = 0; p < N; p++) sum = sum_kept(sum, key[p], (uint32_t)p, job);
    job.out[at] = mean_kept(sum, job);
}

/* `rows` keys, a power of two, of each of SHARED_KEYS / rows coordinates. */
static __global__ void __launch_bounds__(THREADS) trim_in_shared(const trim_job job, uint32_t rows)
{
    OWM_SHARED(int, key, SHARED_KEYS);
    uint32_t cols = SHARED_KEYS / rows;
    uint64_t first = (uint64_t)blockIdx.x * cols;
    for (uint32_t i = threadIdx.x; i < SHARED_KEYS; i += THREADS) {
        uint32_t p = i / cols;
        uint64_t at = first + i % cols;
        key[i] = p < job.count && at < job.n ? key_of(job.x[p][at]) : INT_MAX;
    }
    for (uint32_t run = 2; run <= rows; run *= 2)
        for (uint32_t step = run / 2; step > 0; step /= 2) {
            __syncthreads();
            for (uint32_t i = threadIdx.x; i < SHARED_KEYS / 2; i += THREADS) {
                uint32_t pair = i / cols, low = pair / step * 2 * step + pair % step;
                uint32_t a = low * cols + i % cols, b = a + step * cols;
                int x = key[a], y = key[b];
                if ((x > y) == ((low & run) == 0)) {
                    key[a] = y;
                    key[b] = x;
                }
            }
        }
    __syncthreads();
    if (threadIdx.x >= cols || first + threadIdx.x >= job.n) return;
    float sum = 0;
    for (uint32_t p = job.trim; p < job.count - job.trim; p++)
        sum = sum_kept(sum, key[p * cols + threadIdx.x], p, job);
    job.out[first + threadIdx.x] = mean_kept(sum, job);
}

template <int N> static void launch_registers(struct owm_device *device, const trim_job &job)
{
    if constexpr (N > 4) {
        if (job.count <= N - 4) {
            launch_registers<N - 4>(device, job);
            return;
        }
    }
    OWM_LAUNCH(trim_in_registers<N>, gpu_blocks(job.n, THREADS), THREADS, 0, gpu_stream(device),
               job);
}

extern "C" owm_status gpu_trimmed_mean(struct owm_device *device, const struct owm_trimmed_mean *op)
{
    owm_status status = owm_check_trimmed_mean(op);
    if (status) return status;
    void *x;
    status = gpu_stage(device, op->x, op->count * sizeof *op->x, &x);
    if (status) return status;
    trim_job job = {op->out, (const float *const *)x, op->count, op->trim, op->n};
    if (op->count <= REGISTER_MAX) {
        launch_registers<REGISTER_MAX>(device, job);
        return gpu_launched();
    }
    uint32_t rows = REGISTER_MAX;
    while (rows < op->count) rows *= 2;
    OWM_LAUNCH(trim_in_shared, gpu_blocks(op->n, SHARED_KEYS / rows), THREADS, 0,
               gpu_stream(device), job, rows);
    return gpu_launched();
}
