/* linear_few.cuh: few rows of activations against packed weights as they stream by.
 *
 * A team of TEAM neighbouring threads owns a row of weights and takes a chunk of 16 bytes each, so
 * that a warp reads 512 bytes at once; FEW_AHEAD chunks are asked for before the first is used. The
 * activations are small and stay in the cache. */
#ifndef OWM_KERNELS_CUDA_LINEAR_FEW_CUH
#define OWM_KERNELS_CUDA_LINEAR_FEW_CUH

#include "packed.cuh"

#define LINEAR_FEW_MAX 8
#define FEW_THREADS    128
#define FEW_AHEAD      4
#define FEW_LONG       128 /* Chunks of a row from which a whole warp takes it. */

/** linear_input: rounded activations: chunks as packed.cuh says, scales of groups. */
struct linear_input {
    uint4 *chunk;
    float *scale;
    uint32_t chunks, scales;
};

struct linear_output {
    float *y;
    uint32_t m, n, stride;
    bool accumulate;
};

static __device__ __forceinline__ int few_dot4(const uint4 &a, const uint4 &b, int sum)
{
    sum = __dp4a((int)a.x, (int)b.x, sum);
    sum = __dp4a((int)a.y, (int)b.y, sum);
    sum = __dp4a((int)a.z, (int)b.z, sum);
    return __dp4a((int)a.w, (int)b.w, sum);
}

static __device__ __forceinline__ float few_dot_pair(uint32_t a, uint32_t b, float sum)
{
    sum = fmaf(__uint_as_float(a << 16), __uint_as_float(b << 16), sum);
    return fmaf(__uint_as_float(a & 0xffff0000u), __uint_as_float(b & 0xffff0000u), sum);
}

/** few_dot: chunk `c` of a row of weights with that of row `r` of the activations. */
template <enum owm_format FORMAT>
static __device__ __forceinline__ float few_dot(const linear_input &x, uint32_t r, const uint4 &w,
                                                float scale, uint32_t c, float sum)
{
    const uint4 *row = x.chunk + (size_t)r * x.chunks;
    if (FORMAT == OWM_FORMAT_BF16) {
        uint4 v = row[c];
        sum = few_dot_pair(v.x, w.x, sum);
        sum = few_dot_pair(v.y, w.y, sum);
        sum = few_dot_pair(v.z, w.z, sum);
        return few_dot_pair(v.w, w.w, sum);
    }
    const float *scales = x.scale + (size_t)r * x.scales;
    if (FORMAT == OWM_FORMAT_Q8_0)
        return fmaf((float)few_dot4(row[c], w, 0), scales[c / 2] * scale, sum);
    uint4 low = make_uint4(packed_low(w.x), packed_low(w.y), packed_low(w.z), packed_low(w.w));
    uint4 high = make_uint4(packed_high(w.x), packed_high(w.y), packed_high(w.z), packed_high(w.w));
    int dot = few_dot4(row[2 * c + 1], high, few_dot4(row[2 * c], low, 0));
    return fmaf((float)dot, scales[c] * scale, sum);
}

template <enum owm_format FORMAT, int ROWS, int TEAM>
static __global__ void __launch_bounds__(FEW_THREADS)
    linear_few_kernel(linear_output out, linear_input x, packed_view w)
{
    uint32_t n = (blockIdx.x * FEW_THREADS + threadIdx.x) / TEAM, lane = threadIdx.x % TEAM;
    uint32_t row = n < out.n ? n : out.n - 1; /* The shuffles need all lanes of a warp. */
    const uint4 *chunk = w.chunk + (size_t)row * w.chunks;
    const uint16_t *scale = w.scale + (size_t)row * w.scales;
    float sum[ROWS] = {};
    for (uint32_t base = lane; base < w.chunks; base += TEAM * FEW_AHEAD) {
        uint4 held[FEW_AHEAD];
        float held_scale[FEW_AHEAD];
#pragma unroll
        for (int i = 0; i < FEW_AHEAD; i++) {
            uint32_t c = base + i * TEAM;
            bool inside = c < w.chunks;
            held[i] = inside ? chunk[c] : make_uint4(0, 0, 0, 0);
            held_scale[i] = 0;
            if (FORMAT != OWM_FORMAT_BF16 && inside)
                held_scale[i] = gpu_half_widen(scale[FORMAT == OWM_FORMAT_Q8_0 ? c / 2 : c]);
        }
#pragma unroll
        for (int i = 0; i < FEW_AHEAD; i++) {
            uint32_t c = base + i * TEAM;
            if (c >= w.chunks) break;
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                if (r < (int)out.m)
                    sum[r] = few_dot<FORMAT>(x, r, held[i], held_scale[i], c, sum[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        for (int step = TEAM / 2; step > 0; step /= 2)
            sum[r] += __shfl_xor_sync(GPU_FULL, sum[r], step, TEAM);
        if (lane != 0 || n >= out.n || r >= (int)out.m) continue;
        float *to = out.y + (size_t)r * out.stride + n;
        *to = (out.accumulate ? *to : 0.0f) + sum[r] * packed_unit(FORMAT);
    }
}

template <enum owm_format FORMAT, int ROWS>
static void linear_few_rows(struct owm_device *device, const linear_output &out,
                            const linear_input &x, const packed_view &w)
{
    cudaStream_t stream = gpu_stream(device);
    if (w.chunks >= FEW_LONG)
        OWM_LAUNCH((linear_few_kernel<FORMAT, ROWS, 32>), gpu_blocks(out.n, FEW_THREADS / 32),
                   FEW_THREADS, 0, stream, out, x, w);
    else
        OWM_LAUNCH((linear_few_kernel<FORMAT, ROWS, 8>), gpu_blocks(out.n, FEW_THREADS / 8),
                   FEW_THREADS, 0, stream, out, x, w);
}

template <enum owm_format FORMAT>
static void linear_few(struct owm_device *device, const linear_output &out, const linear_input &x,
                       const packed_view &w)
{
    if (out.m == 1)
        linear_few_rows<FORMAT, 1>(device, out, x, w);
    else if (out.m == 2)
        linear_few_rows<FORMAT, 2>(device, out, x, w);
    else if (out.m <= 4)
        linear_few_rows<FORMAT, 4>(device, out, x, w);
    else
        linear_few_rows<FORMAT, LINEAR_FEW_MAX>(device, out, x, w);
}

#endif
