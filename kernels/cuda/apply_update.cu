/* apply_update.cu: the server's step, four coordinates to a thread. */
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/quad.cuh"

#define THREADS 256

static __global__ void __launch_bounds__(THREADS)
    apply_update(const struct owm_apply_update op, bool wide)
{
    uint64_t at = ((uint64_t)blockIdx.x * THREADS + threadIdx.x) * 4;
    if (at >= op.n) return;
    gpu_quad w = gpu_load4(op.w, at, op.n, wide), u = gpu_load4(op.u, at, op.n, wide);
    if (op.m) {
        gpu_quad m = gpu_load4(op.m, at, op.n, wide);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            m.v[i] = __fmaf_rn(op.momentum, m.v[i], u.v[i]);
            u.v[i] = __fmaf_rn(op.momentum, m.v[i], u.v[i]);
        }
        gpu_store4(op.m, at, op.n, wide, m);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) w.v[i] = __fmaf_rn(op.lr, u.v[i], w.v[i]);
    gpu_store4(op.w, at, op.n, wide, w);
}

extern "C" owm_status gpu_apply_update(struct owm_device *device, const struct owm_apply_update *op)
{
    owm_status status = owm_check_apply_update(op);
    if (status) return status;
    bool wide = gpu_wide(op->w, 0) && gpu_wide(op->u, 0) && gpu_wide(op->m, 0);
    OWM_LAUNCH(apply_update, gpu_blocks(op->n, 4 * THREADS), THREADS, 0, gpu_stream(device), *op,
               wide);
    return gpu_launched();
}
