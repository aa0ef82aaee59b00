/* faults.cu: kernels with one fault each, that the emulator must name; and kernels without any,
 * that it must let pass. Run by test_emu_faults.c. */
#include <cuda_runtime.h>

#include "faults.h"

#define THREADS 64

/* --- right programs ----------------------------------------------------------------------------
 */

/* A sum over the block in shared memory, halving; then by shuffles. */
static __global__ void block_sum(unsigned *out, const unsigned *in)
{
    OWM_SHARED(unsigned, part, THREADS);
    part[threadIdx.x] = in[blockIdx.x * THREADS + threadIdx.x];
    __syncthreads();
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    unsigned x = in[blockIdx.x * THREADS + threadIdx.x];
    for (int step = warpSize / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    OWM_SHARED(unsigned, warps, 2);
    if (threadIdx.x % warpSize == 0) warps[threadIdx.x / warpSize] = x;
    __syncthreads();
    unsigned sum = 0;
    for (unsigned w = 0; w < THREADS / (unsigned)warpSize; w++) sum += warps[w];
    if (threadIdx.x == 0) out[blockIdx.x] = part[0] == sum ? sum : 0;
}

/* Running sums of a block, by shuffles up. */
static __global__ void block_scan(unsigned *out, const unsigned *in)
{
    OWM_SHARED(unsigned, totals, 2);
    unsigned lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize, x = in[threadIdx.x];
    for (int step = 1; step < warpSize; step *= 2) {
        unsigned below = __shfl_up_sync(0xffffffffu, x, step);
        if (lane >= (unsigned)step) x += below;
    }
    if (lane == (unsigned)warpSize - 1) totals[warp] = x;
    __syncthreads();
    for (unsigned w = 0; w < warp; w++) x += totals[w];
    out[threadIdx.x] = x;
}

static __global__ void transpose(unsigned *out, const unsigned *in)
{
    OWM_SHARED_DYNAMIC(unsigned, tile); /* [8][9] */
    unsigned row = threadIdx.x / 8, col = threadIdx.x % 8;
    tile[row * 9 + col] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = tile[col * 9 + row];
}

static __global__ void histogram(unsigned *out, const unsigned *in)
{
    OWM_SHARED(unsigned, bins, 8);
    if (threadIdx.x < 8) bins[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&bins[in[threadIdx.x] % 8], 1);
    __syncthreads();
    if (threadIdx.x < 8) atomicAdd(&out[threadIdx.x], bins[threadIdx.x]);
}

/* A warp exchanges through shared memory: __syncwarp alone is enough, and votes count. */
static __global__ void warp_swap(unsigned *out, const unsigned *in)
{
    OWM_SHARED(unsigned, slot, THREADS);
    slot[threadIdx.x] = in[threadIdx.x];
    __syncwarp();
    unsigned other = slot[threadIdx.x ^ 1];
    __syncwarp();
    slot[threadIdx.x] = other + __popcll(__ballot_sync(0xffffffffu, threadIdx.x % 2)) * 0;
    out[threadIdx.x] = slot[threadIdx.x];
}

extern "C" void right_programs(unsigned *out, const unsigned *in)
{
    OWM_LAUNCH(block_sum, 2, THREADS, 0, 0, out, in);
    OWM_LAUNCH(block_scan, 1, THREADS, 0, 0, out + 64, in);
    OWM_LAUNCH(transpose, 1, THREADS, 8 * 9 * sizeof(unsigned), 0, out + 128, in);
    OWM_LAUNCH(histogram, 3, THREADS, 0, 0, out + 192, in);
    OWM_LAUNCH(warp_swap, 1, THREADS, 0, 0, out + 256, in);
}

/* --- one fault each ----------------------------------------------------------------------------
 */

static __global__ void two_barriers(unsigned *out)
{
    if (threadIdx.x < 32) {
        out[threadIdx.x] = 1;
        __syncthreads();
    } else {
        __syncthreads();
    }
}

static __global__ void gone_at_barrier(unsigned *)
{
    if (threadIdx.x == 5) return;
    __syncthreads();
}

static __global__ void gone_at_shuffle(unsigned *out)
{
    if (threadIdx.x % warpSize == 3) return;
    out[threadIdx.x] = __shfl_down_sync(0xffffffffu, threadIdx.x, 1);
}

static __global__ void two_votes(unsigned *out)
{
    if (threadIdx.x % 2)
        out[threadIdx.x] = __any_sync(0xffffffffu, 1);
    else
        out[threadIdx.x] = __any_sync(0xffffffffu, 0);
}

static __global__ void lane_not_in_mask(unsigned *out)
{
    if (threadIdx.x < 8) out[threadIdx.x] = __shfl_sync(0xffu, threadIdx.x, 9);
}

static __global__ void beyond_shared(unsigned *out)
{
    OWM_SHARED(unsigned, part, 10);
    unsigned *moved = part + 4;
    if (threadIdx.x < 10) part[threadIdx.x] = 1;
    __syncthreads();
    out[0] = moved[6];
}

static __global__ void before_shared(unsigned *out)
{
    OWM_SHARED(unsigned, part, 10);
    part[(int)out[0] - 1] = 1;
}

static __global__ void beyond_dynamic(unsigned *)
{
    OWM_SHARED_DYNAMIC(unsigned, part);
    part[threadIdx.x] = 1; /* The launch gave it one less. */
}

static __global__ void unwritten_shared(unsigned *out)
{
    OWM_SHARED(unsigned, part, THREADS);
    if (threadIdx.x != 7) part[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = part[threadIdx.x];
}

static __global__ void missing_barrier(unsigned *out)
{
    OWM_SHARED(unsigned, part, THREADS);
    part[threadIdx.x] = 0;
    __syncthreads();
    part[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = part[threadIdx.x / 2];
}

static __global__ void read_then_write(unsigned *out)
{
    OWM_SHARED(unsigned, part, THREADS);
    part[threadIdx.x] = threadIdx.x;
    __syncthreads();
    unsigned other = part[THREADS - 1 - threadIdx.x];
    part[threadIdx.x] = other;
    out[threadIdx.x] = other;
}

static __global__ void half_atomic(unsigned *out)
{
    OWM_SHARED(unsigned, count, 1);
    if (threadIdx.x == 0) count[0] = 0;
    __syncthreads();
    atomicAdd(&count[0], 1);
    out[threadIdx.x] = count[0];
}

static __global__ void misaligned_shared(unsigned *out)
{
    OWM_SHARED(unsigned, part, 8);
    if (threadIdx.x < 8) part[threadIdx.x] = 1;
    __syncthreads();
    out[0] = (unsigned)*reinterpret_cast<unsigned long long *>(part);
}

static __global__ void beyond_device(unsigned *out)
{
    out[blockIdx.x * THREADS + threadIdx.x] = 1;
}

static __global__ void before_device(unsigned *out)
{
    out[-1 - (int)threadIdx.x] = 1;
}

static __global__ void reads_host(unsigned *out, const unsigned *host)
{
    out[0] = host[0];
}

static __global__ void waits_forever(unsigned *out)
{
    volatile unsigned *flag = out;
    if (threadIdx.x > 1) return;
    while (flag[threadIdx.x] != 7) {
    }
    flag[1 - threadIdx.x] = 7; /* Each for the other. */
}

static __device__ unsigned deep(unsigned n)
{
    volatile unsigned room[1024];
    room[n % 1024] = n;
    return n ? deep(n - 1) + room[n % 1024] : 0;
}

static __global__ void fills_stack(unsigned *out)
{
    out[0] = deep(out[0] + 1000);
}

static __global__ void nothing(unsigned *)
{
}

/* One block, nothing but `out`. */
#define PLAIN(kernel) #kernel, kernel
static const struct {
    enum fault fault;
    const char *name;
    void (*kernel)(unsigned *);
} plain[] = {
    {TWO_BARRIERS, PLAIN(two_barriers)},         {GONE_AT_BARRIER, PLAIN(gone_at_barrier)},
    {GONE_AT_SHUFFLE, PLAIN(gone_at_shuffle)},   {TWO_VOTES, PLAIN(two_votes)},
    {LANE_NOT_IN_MASK, PLAIN(lane_not_in_mask)}, {BEYOND_SHARED, PLAIN(beyond_shared)},
    {BEFORE_SHARED, PLAIN(before_shared)},       {UNWRITTEN_SHARED, PLAIN(unwritten_shared)},
    {MISSING_BARRIER, PLAIN(missing_barrier)},   {READ_THEN_WRITE, PLAIN(read_then_write)},
    {HALF_ATOMIC, PLAIN(half_atomic)},           {MISALIGNED_SHARED, PLAIN(misaligned_shared)},
    {BEFORE_DEVICE, PLAIN(before_device)},       {WAITS_FOREVER, PLAIN(waits_forever)},
    {FILLS_STACK, PLAIN(fills_stack)},
};

/* What CUDA refuses, and what is not in the kernel. */
static void plant_at_call(enum fault fault, unsigned *out, unsigned words)
{
    unsigned on_host = 0;
    if (fault == BEYOND_DYNAMIC) OWM_LAUNCH(beyond_dynamic, 1, THREADS, THREADS * 4 - 4, 0, out);
    if (fault == BEYOND_DEVICE) OWM_LAUNCH(beyond_device, words / THREADS + 1, THREADS, 0, 0, out);
    if (fault == FREED_DEVICE) {
        (void)cudaFree(out);
        OWM_LAUNCH(beyond_device, 1, THREADS, 0, 0, out);
    }
    if (fault == READS_HOST) OWM_LAUNCH(reads_host, 1, THREADS, 0, 0, out, &on_host);
    if (fault == HOST_READS_DEVICE) on_host = *(volatile unsigned *)out;
    if (fault == LARGE_BLOCK) OWM_LAUNCH(nothing, 1, 1025, 0, 0, out);
    if (fault == EMPTY_GRID) OWM_LAUNCH(nothing, 0, THREADS, 0, 0, out);
    if (fault == HIGH_GRID) OWM_LAUNCH(nothing, dim3(1, 65536), THREADS, 0, 0, out);
    if (fault == MUCH_SHARED) OWM_LAUNCH(nothing, 1, THREADS, 49 << 10, 0, out);
    if (fault == BAD_COPY) (void)cudaMemcpy(out, &words, words * 4 + 4, cudaMemcpyHostToDevice);
    if (fault == BAD_STREAM) (void)cudaStreamSynchronize((cudaStream_t)&plain);
}

extern "C" void plant(enum fault fault, unsigned *out, unsigned words)
{
    for (const auto &p : plain)
        if (p.fault == fault)
            emu_start(p.name, __FILE__, __LINE__, emu_size(1), emu_size(THREADS), 0, nullptr,
                      p.kernel, out);
    plant_at_call(fault, out, words);
}
