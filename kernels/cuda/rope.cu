/* rope.cu: rotary positions in place. One block per row; a thread takes pairs. */
#include "gpu.cuh"
#include "ops_cuda.h"

#define THREADS 256

static __global__ void __launch_bounds__(THREADS)
    rope_kernel(float *x, const float *cos_sin, uint32_t stride, uint32_t heads, uint32_t half,
                uint32_t first, uint32_t period, float sign)
{
    uint32_t row = blockIdx.x;
    float *data = x + (size_t)row * stride;
    const float *cosine = cos_sin + (size_t)(first + row % period) * 2 * half;
    for (uint32_t pair = threadIdx.x; pair < heads * half; pair += THREADS) {
        uint32_t i = pair % half;
        float *at = data + (size_t)(pair / half) * 2 * half + i;
        float re = at[0], im = at[half], c = cosine[i], s = sign * cosine[half + i];
        at[0] = re * c - im * s;
        at[half] = re * s + im * c;
    }
}

extern "C" owm_status gpu_rope(struct owm_device *device, const struct owm_rope *a)
{
    owm_status status = owm_check_rope(a);
    if (status != OWM_OK) return status;
    OWM_LAUNCH(rope_kernel, a->rows, THREADS, 0, gpu_stream(device), a->x, a->cos_sin, a->stride,
               a->heads, a->head_dim / 2, a->first, a->period, a->inverse ? -1.0f : 1.0f);
    return gpu_launched();
}
