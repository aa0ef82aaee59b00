/* softmax_row.cuh: the maximum of a row and the sum of its exponentials in one pass, by a block. */
#ifndef OWM_KERNELS_CUDA_SOFTMAX_ROW_CUH
#define OWM_KERNELS_CUDA_SOFTMAX_ROW_CUH

#include "quad.cuh"

#define GPU_LOWEST (-3.402823466e38f) /* Below every finite score, and no infinity to subtract. */

struct gpu_row_sum {
    float max, sum; /* sum of exp(x - max) */
};

/** gpu_row_softmax: of x[c] * scale over `cols` columns; in every thread of the block. Each thread
 *  keeps a maximum of its own and rescales its sum when it rises. */
static __device__ __forceinline__ gpu_row_sum gpu_row_softmax(const float *x, uint32_t cols,
                                                              float scale, bool wide)
{
    float max = GPU_LOWEST, sum = 0;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad q = gpu_load4(x, c, cols, wide);
        float top = max;
        for (int i = 0; i < 4; i++) {
            q.v[i] = c + i < cols ? q.v[i] * scale : GPU_LOWEST;
            top = fmaxf(top, q.v[i]);
        }
        sum *= expf(max - top);
        max = top;
        for (int i = 0; i < 4; i++) sum += c + i < cols ? expf(q.v[i] - max) : 0.0f;
    }
    gpu_row_sum row;
    row.max = gpu_block_max(max);
    row.sum = gpu_block_sum(sum * expf(max - row.max));
    return row;
}

#endif
