/* scatter_add.cu: a sparse vector added to a dense one: a thread for each value. Indices differ, so
 * no two threads meet. */
#include "kernels/cuda/gpu.cuh"
#include "kernels/cuda/ops_cuda.h"

#define THREADS 256

static __global__ void __launch_bounds__(THREADS)
    scatter_add(float *x, const uint32_t *index, const float *value, uint32_t count, float alpha)
{
    uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < count) x[index[i]] = __fmaf_rn(alpha, value[i], x[index[i]]);
}

extern "C" owm_status gpu_scatter_add(struct owm_device *device, const struct owm_scatter_add *op)
{
    owm_status status = owm_check_scatter_add(op);
    if (status || op->package->count == 0) return status;
    const struct owm_sparse *x = op->package;
    OWM_LAUNCH(scatter_add, gpu_blocks(x->count, THREADS), THREADS, 0, gpu_stream(device), op->x,
               x->index, x->value, x->count, op->alpha);
    return gpu_launched();
}
