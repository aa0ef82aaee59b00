/* pipe.cu: what the pipes of a GPU give when nothing waits: the limit that owm-bench prints.
 *
 * Each thread has eight chains of one instruction, which hides its latency; there are enough
 * blocks to fill every processor. The instructions are named in PTX, so that no compiler removes or
 * rewrites them; elsewhere (hip, the emulator) plain operators stand for them.
 */
#include "gpu.cuh"

#define CHAINS  8
#define ROUNDS  512 /* Of 4 steps each. */
#define THREADS 256
#define PASSES  5

/* One instruction of the pipe. */
struct int_pipe {
    typedef uint32_t value;
    static __device__ __forceinline__ uint32_t step(uint32_t x, uint32_t y)
    {
#ifdef __CUDA_ARCH__
        asm volatile("lop3.b32 %0, %0, %1, %0, 0x96;" : "+r"(x) : "r"(y));
        return x;
#else
        return x ^ y;
#endif
    }
};

struct fma_pipe {
    typedef float value;
    static __device__ __forceinline__ float step(float x, float y)
    {
#ifdef __CUDA_ARCH__
        asm volatile("fma.rn.f32 %0, %0, %1, %1;" : "+f"(x) : "f"(y));
        return x;
#else
        return x * y + y;
#endif
    }
};

template <typename Pipe>
static __global__ void __launch_bounds__(THREADS) run_pipe(uint32_t *out, uint32_t rounds)
{
    typename Pipe::value x[CHAINS], y = (typename Pipe::value)threadIdx.x;
#pragma unroll
    for (int c = 0; c < CHAINS; c++) x[c] = y + (typename Pipe::value)c;
    for (uint32_t round = 0; round < rounds; round++)
#pragma unroll
        for (int s = 0; s < 4 * CHAINS; s++) x[s % CHAINS] = Pipe::step(x[s % CHAINS], y);
    typename Pipe::value sum = 0;
#pragma unroll
    for (int c = 0; c < CHAINS; c++) sum += x[c];
    if (threadIdx.x == 0) out[blockIdx.x] = (uint32_t)sum;
}

static void launch(struct owm_device *device, enum owm_pipe pipe, uint32_t *out, unsigned blocks)
{
    if (pipe == OWM_PIPE_INTEGER)
        OWM_LAUNCH(run_pipe<int_pipe>, blocks, THREADS, 0, gpu_stream(device), out, ROUNDS);
    else
        OWM_LAUNCH(run_pipe<fma_pipe>, blocks, THREADS, 0, gpu_stream(device), out, ROUNDS);
}

extern "C" owm_status gpu_pipe_rate(struct owm_device *device, enum owm_pipe pipe, double *rate)
{
    enum { from = OWM_EVENTS_MAX - 2, to = OWM_EVENTS_MAX - 1 };
    if (!rate || (pipe != OWM_PIPE_INTEGER && pipe != OWM_PIPE_FMA)) return OWM_E_ARG;
    unsigned blocks = 64 * (unsigned)gpu_of(device)->processors;
    uint32_t *out = (uint32_t *)gpu_scratch(device, blocks * sizeof *out);
    if (!out) return OWM_E_LIMIT;
    double work = (double)blocks * THREADS * ROUNDS * 4 * CHAINS;
    *rate = 0;
    for (int pass = 0; pass <= PASSES; pass++) { /* The first one wakes the clock. */
        double ms = 0;
        owm_status status = device->backend->event_record(device, OWM_QUEUE_COMPUTE, from);
        launch(device, pipe, out, blocks);
        if (status == OWM_OK) status = gpu_launched();
        if (status == OWM_OK) status = device->backend->event_record(device, OWM_QUEUE_COMPUTE, to);
        if (status == OWM_OK) status = device->backend->event_elapsed(device, from, to, &ms);
        if (status != OWM_OK) return status;
        if (pass && ms > 0 && work / ms * 1e3 > *rate) *rate = work / ms * 1e3;
    }
    return OWM_OK;
}
