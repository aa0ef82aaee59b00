/* quad.cuh: four floats at a time, where alignment allows, so that a warp moves 512 bytes at once.
 *
 * A thread owns the elements at .. at + 3. Where they are 16-byte aligned and inside, one load
 * fetches them; else each is fetched that is inside, and the others are 0. `wide` is the same in
 * all threads of a launch: gpu_wide, asked on the host. */
#ifndef OWM_KERNELS_CUDA_QUAD_CUH
#define OWM_KERNELS_CUDA_QUAD_CUH

#include "gpu.cuh"

struct gpu_quad {
    float v[4];
};

/** gpu_wide: whether rows `stride` floats apart from x on all begin at 16 bytes. */
static inline bool gpu_wide(const void *x, uint64_t stride)
{
    return (uintptr_t)x % 16 == 0 && stride % 4 == 0;
}

static __device__ __forceinline__ gpu_quad gpu_load4(const float *x, uint64_t at, uint64_t end,
                                                     bool wide)
{
    gpu_quad q;
    if (wide && at + 4 <= end) {
        float4 four = *reinterpret_cast<const float4 *>(x + at);
        q.v[0] = four.x, q.v[1] = four.y, q.v[2] = four.z, q.v[3] = four.w;
        return q;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) q.v[i] = at + i < end ? x[at + i] : 0.0f;
    return q;
}

static __device__ __forceinline__ void gpu_store4(float *x, uint64_t at, uint64_t end, bool wide,
                                                  const gpu_quad &q)
{
    if (wide && at + 4 <= end) {
        *reinterpret_cast<float4 *>(x + at) = make_float4(q.v[0], q.v[1], q.v[2], q.v[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (at + i < end) x[at + i] = q.v[i];
}

/** The same in shared memory, where `at` is a multiple of 4. */
template <typename Shared>
static __device__ __forceinline__ gpu_quad gpu_shared_get4(const Shared &x, unsigned at)
{
    float4 four = *reinterpret_cast<const float4 *>(&x[at]);
    gpu_quad q = {{four.x, four.y, four.z, four.w}};
    return q;
}

template <typename Shared>
static __device__ __forceinline__ void gpu_shared_put4(Shared &x, unsigned at, const gpu_quad &q)
{
    *reinterpret_cast<float4 *>(&x[at]) = make_float4(q.v[0], q.v[1], q.v[2], q.v[3]);
}

/** gpu_flat_blocks: blocks of `threads` for a loop over quads that strides by the grid; enough to
 *  fill the device a few times over. */
static inline unsigned gpu_flat_blocks(struct owm_device *device, uint64_t count, unsigned threads)
{
    uint64_t blocks = ((count + 3) / 4 + threads - 1) / threads;
    uint64_t most = (uint64_t)gpu_of(device)->processors * 16;
    return (unsigned)(blocks < most ? blocks : most);
}

/** gpu_row_threads: threads for one row of `cols`, a quad each: 64 .. 1024. */
static inline unsigned gpu_row_threads(uint32_t cols)
{
    unsigned threads = 64;
    while (threads < 1024 && threads * 4 < cols) threads *= 2;
    return threads;
}

#endif
