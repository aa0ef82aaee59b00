/* clip.cu: a vector scaled down to a norm. The norm is sum_squares', to the bit. */
#include <math.h>

#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/quad.cuh"

#define THREADS 256

static __global__ void __launch_bounds__(THREADS)
    scale(float *x, uint32_t n, float factor, bool wide)
{
    uint64_t at = ((uint64_t)blockIdx.x * THREADS + threadIdx.x) * 4;
    if (at >= n) return;
    gpu_quad q = gpu_load4(x, at, n, wide);
#pragma unroll
    for (int i = 0; i < 4; i++) q.v[i] = __fmul_rn(q.v[i], factor);
    gpu_store4(x, at, n, wide, q);
}

extern "C" owm_status gpu_clip(struct owm_device *device, const struct owm_clip *op)
{
    double squares = 0;
    owm_status status = owm_check_clip(op);
    if (status == OWM_OK) status = gpu_sum_squares(device, &squares, op->x, op->n);
    if (status) return status;
    *op->norm = sqrt(squares);
    if (!isfinite(*op->norm)) return OWM_E_ARG;
    if (*op->norm <= op->max_norm) return OWM_OK;
    OWM_LAUNCH(scale, gpu_blocks(op->n, 4 * THREADS), THREADS, 0, gpu_stream(device), op->x, op->n,
               (float)(op->max_norm / *op->norm), gpu_wide(op->x, 0));
    return gpu_launched();
}
