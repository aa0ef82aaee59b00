/* swiglu.cu: gated unit and its gradient. A block takes 4 * THREADS columns of one row; a thread
 * reads the gate and up of its quad before it writes, so that the gradient may replace its input.
 */
#include "ops_cuda.h"
#include "quad.cuh"

#define THREADS 128

static __device__ __forceinline__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static __global__ void __launch_bounds__(THREADS)
    swiglu_kernel(float *out, const float *gate_up, uint32_t cols, bool wide)
{
    uint32_t c = (blockIdx.y * THREADS + threadIdx.x) * 4;
    if (c >= cols) return;
    const float *gate = gate_up + (size_t)blockIdx.x * 2 * cols;
    gpu_quad g = gpu_load4(gate, c, cols, wide), u = gpu_load4(gate + cols, c, cols, wide);
    for (int i = 0; i < 4; i++) g.v[i] = g.v[i] * sigmoid(g.v[i]) * u.v[i];
    gpu_store4(out + (size_t)blockIdx.x * cols, c, cols, wide, g);
}

extern "C" owm_status gpu_swiglu(struct owm_device *device, const struct owm_swiglu *a)
{
    owm_status status = owm_check_swiglu(a);
    if (status != OWM_OK) return status;
    bool wide = gpu_wide(a->out, a->cols) && gpu_wide(a->gate_up, a->cols);
    dim3 grid(a->rows, gpu_blocks(a->cols, 4 * THREADS));
    OWM_LAUNCH(swiglu_kernel, grid, THREADS, 0, gpu_stream(device), a->out, a->gate_up, a->cols,
               wide);
    return gpu_launched();
}

/* With s = sigmoid(g): d silu/dg = s * (1 + g * (1 - s)). */
static __global__ void __launch_bounds__(THREADS)
    swiglu_bwd_kernel(float *dgate_up, const float *dout, const float *gate_up, uint32_t cols,
                      bool wide)
{
    uint32_t c = (blockIdx.y * THREADS + threadIdx.x) * 4;
    if (c >= cols) return;
    size_t row = (size_t)blockIdx.x * 2 * cols;
    gpu_quad g = gpu_load4(gate_up + row, c, cols, wide);
    gpu_quad u = gpu_load4(gate_up + row + cols, c, cols, wide);
    gpu_quad d = gpu_load4(dout + (size_t)blockIdx.x * cols, c, cols, wide);
    for (int i = 0; i < 4; i++) {
        float gate = g.v[i], s = sigmoid(gate);
        g.v[i] = d.v[i] * u.v[i] * s * (1.0f + gate * (1.0f - s));
        u.v[i] = d.v[i] * gate * s;
    }
    gpu_store4(dgate_up + row, c, cols, wide, g);
    gpu_store4(dgate_up + row + cols, c, cols, wide, u);
}

extern "C" owm_status gpu_swiglu_bwd(struct owm_device *device, const struct owm_swiglu_bwd *a)
{
    owm_status status = owm_check_swiglu_bwd(a);
    if (status != OWM_OK) return status;
    bool wide = gpu_wide(a->dgate_up, a->cols) && gpu_wide(a->gate_up, a->cols)
                && gpu_wide(a->dout, a->cols);
    dim3 grid(a->rows, gpu_blocks(a->cols, 4 * THREADS));
    OWM_LAUNCH(swiglu_bwd_kernel, grid, THREADS, 0, gpu_stream(device), a->dgate_up, a->dout,
               a->gate_up, a->cols, wide);
    return gpu_launched();
}
