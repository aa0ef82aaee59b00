/* weighted_sum.cu: sum of alpha[p] * x[p]: four coordinates to a thread, which adds the vectors up
 * in order; memory is the limit, so the loads of several vectors are under way at once. */
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/quad.cuh"

#define THREADS 256

struct term {
    const float *x;
    float alpha;
};

static __global__ void __launch_bounds__(THREADS)
    weighted_sum(float *out, const term *terms, uint32_t count, uint32_t n, bool wide)
{
    uint64_t at = ((uint64_t)blockIdx.x * THREADS + threadIdx.x) * 4;
    if (at >= n) return;
    float sum[4] = {0, 0, 0, 0};
#pragma unroll 8
    for (uint32_t p = 0; p < count; p++) {
        gpu_quad x = gpu_load4(terms[p].x, at, n, wide);
        float alpha = terms[p].alpha;
#pragma unroll
        for (int i = 0; i < 4; i++) sum[i] = __fmaf_rn(alpha, x.v[i], sum[i]);
    }
    gpu_quad q = {{sum[0], sum[1], sum[2], sum[3]}};
    gpu_store4(out, at, n, wide, q);
}

extern "C" owm_status gpu_weighted_sum(struct owm_device *device, const struct owm_weighted_sum *op)
{
    owm_status status = owm_check_weighted_sum(op);
    if (status) return status;
    term host[OWM_AGG_VECTORS_MAX] = {};
    bool wide = gpu_wide(op->out, 0);
    for (uint32_t p = 0; p < op->count; p++) {
        host[p].x = op->x[p];
        host[p].alpha = op->alpha[p];
        wide = wide && gpu_wide(op->x[p], 0);
    }
    void *terms;
    status = gpu_stage(device, host, op->count * sizeof *host, &terms);
    if (status) return status;
    OWM_LAUNCH(weighted_sum, gpu_blocks(op->n, 4 * THREADS), THREADS, 0, gpu_stream(device),
               op->out, (const term *)terms, op->count, op->n, wide);
    return gpu_launched();
}
