/* kv_put.cu: keys and values of new tokens into the pages of a cache. One block per token; the two
 * planes side by side in grid.y. */
#include "bf16.cuh"
#include "ops_cuda.h"
#include "quad.cuh"

static __global__ void __launch_bounds__(1024)
    kv_put_kernel(owm_kv_cache cache, const float *k, const float *v, const uint32_t *slot,
                  uint32_t stride, bool wide)
{
    uint32_t cols = cache.kv_heads * cache.head_dim;
    const float *from = (blockIdx.y ? v : k) + (size_t)blockIdx.x * stride;
    void *plane = blockIdx.y ? cache.v : cache.k;
    size_t at = (size_t)slot[blockIdx.x] * cols;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad q = gpu_load4(from, c, cols, wide);
        if (!cache.bf16) {
            gpu_store4((float *)plane + at, c, cols, wide, q);
            continue;
        }
        uint16_t *to = (uint16_t *)plane + at + c;
        if (wide && c + 4 <= cols)
            *reinterpret_cast<uint2 *>(to) =
                make_uint2(gpu_bf16(q.v[0]) | (uint32_t)gpu_bf16(q.v[1]) << 16,
                           gpu_bf16(q.v[2]) | (uint32_t)gpu_bf16(q.v[3]) << 16);
        else
            for (uint32_t i = 0; i < 4 && c + i < cols; i++) to[i] = gpu_bf16(q.v[i]);
    }
}

extern "C" owm_status gpu_kv_put(struct owm_device *device, const struct owm_kv_put *a)
{
    owm_status status = owm_check_kv_put(a);
    if (status != OWM_OK) return status;
    void *slot;
    status = gpu_stage(device, a->slot, a->rows * sizeof *a->slot, &slot);
    if (status != OWM_OK) return status;
    uint32_t cols = a->cache.kv_heads * a->cache.head_dim;
    bool wide = gpu_wide(a->k, a->stride) && gpu_wide(a->v, a->stride) && gpu_wide(a->cache.k, cols)
                && gpu_wide(a->cache.v, cols);
    dim3 grid(a->rows, 2);
    OWM_LAUNCH(kv_put_kernel, grid, gpu_row_threads(cols), 0, gpu_stream(device), a->cache, a->k,
               a->v, (const uint32_t *)slot, a->stride, wide);
    return gpu_launched();
}
