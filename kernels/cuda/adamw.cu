/* adamw.cu: one AdamW step over flat vectors: 28 bytes per parameter, and nothing but them. The
 * bias corrections are the same for all and come from the host, in double. */
#include <math.h>

#include "ops_cuda.h"
#include "quad.cuh"

#define THREADS 256

struct adamw_factors {
    float grad_scale, beta1, rest1, beta2, rest2;
    float keep;      /* 1 - lr * weight_decay */
    float step;      /* lr / (1 - beta1^t) */
    float inverse_c; /* 1 / sqrt(1 - beta2^t) */
    float eps;
};

static __global__ void __launch_bounds__(THREADS)
    adamw_kernel(float *params, float *moment, float *square, const float *grad, size_t count,
                 bool wide, adamw_factors f)
{
    size_t stride = (size_t)gridDim.x * THREADS * 4;
    for (size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4; at < count; at += stride) {
        gpu_quad w = gpu_load4(params, at, count, wide), g = gpu_load4(grad, at, count, wide);
        gpu_quad m = gpu_load4(moment, at, count, wide), v = gpu_load4(square, at, count, wide);
        for (int i = 0; i < 4; i++) {
            float d = g.v[i] * f.grad_scale;
            m.v[i] = f.beta1 * m.v[i] + f.rest1 * d;
            v.v[i] = f.beta2 * v.v[i] + f.rest2 * d * d;
            w.v[i] = w.v[i] * f.keep - f.step * m.v[i] / (sqrtf(v.v[i]) * f.inverse_c + f.eps);
        }
        gpu_store4(params, at, count, wide, w);
        gpu_store4(moment, at, count, wide, m);
        gpu_store4(square, at, count, wide, v);
    }
}

extern "C" owm_status gpu_adamw(struct owm_device *device, const struct owm_adamw *a)
{
    owm_status status = owm_check_adamw(a);
    if (status != OWM_OK) return status;
    double beta1 = (double)a->beta1, beta2 = (double)a->beta2, lr = (double)a->lr;
    adamw_factors f;
    f.grad_scale = a->grad_scale, f.eps = a->eps;
    f.beta1 = a->beta1, f.rest1 = (float)(1 - beta1);
    f.beta2 = a->beta2, f.rest2 = (float)(1 - beta2);
    f.keep = (float)(1 - lr * (double)a->weight_decay);
    f.step = (float)(lr / (1 - pow(beta1, (double)a->step)));
    f.inverse_c = (float)(1 / sqrt(1 - pow(beta2, (double)a->step)));
    bool wide =
        gpu_wide(a->params, 0) && gpu_wide(a->m, 0) && gpu_wide(a->v, 0) && gpu_wide(a->grad, 0);
    OWM_LAUNCH(adamw_kernel, gpu_flat_blocks(device, a->count, THREADS), THREADS, 0,
               gpu_stream(device), a->params, a->m, a->v, a->grad, a->count, wide, f);
    return gpu_launched();
}
