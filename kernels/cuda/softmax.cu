/* softmax.cu: softmax of rows. One block per row. */
#include "ops_cuda.h"
#include "softmax_row.cuh"

static __global__ void __launch_bounds__(1024)
    softmax_kernel(float *out, const float *x, uint32_t cols, float scale, bool wide)
{
    size_t at = (size_t)blockIdx.x * cols;
    gpu_row_sum row = gpu_row_softmax(x + at, cols, scale, wide);
    float inverse = 1.0f / row.sum;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad q = gpu_load4(x + at, c, cols, wide);
        for (int i = 0; i < 4; i++) q.v[i] = expf(q.v[i] * scale - row.max) * inverse;
        gpu_store4(out + at, c, cols, wide, q);
    }
}

extern "C" owm_status gpu_softmax(struct owm_device *device, const struct owm_softmax *a)
{
    owm_status status = owm_check_softmax(a);
    if (status != OWM_OK) return status;
    bool wide = gpu_wide(a->out, a->cols) && gpu_wide(a->x, a->cols);
    OWM_LAUNCH(softmax_kernel, a->rows, gpu_row_threads(a->cols), 0, gpu_stream(device), a->out,
               a->x, a->cols, a->scale, wide);
    return gpu_launched();
}
