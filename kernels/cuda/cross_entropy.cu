/* cross_entropy.cu: softmax cross-entropy and its gradient. One block per row: one pass for the
 * maximum and the sum, one for the gradient, which may replace the logits. */
#include "ops_cuda.h"
#include "softmax_row.cuh"

static __global__ void __launch_bounds__(1024)
    cross_entropy_kernel(float *losses, float *dlogits, const float *logits,
                         const uint16_t *targets, uint32_t vocab, float scale, bool wide)
{
    size_t at = (size_t)blockIdx.x * vocab;
    uint32_t target = targets[blockIdx.x];
    gpu_row_sum row = gpu_row_softmax(logits + at, vocab, 1.0f, wide);
    float log_sum = logf(row.sum);
    if (threadIdx.x == 0) losses[blockIdx.x] = log_sum - (logits[at + target] - row.max);
    if (!dlogits) return;
    __syncthreads(); /* The loss has read its logit before it may be replaced. */
    float inverse = scale / row.sum;
    for (uint32_t c = threadIdx.x * 4; c < vocab; c += blockDim.x * 4) {
        gpu_quad q = gpu_load4(logits + at, c, vocab, wide);
        for (int i = 0; i < 4; i++)
            q.v[i] = expf(q.v[i] - row.max) * inverse - (c + i == target ? scale : 0.0f);
        gpu_store4(dlogits + at, c, vocab, wide, q);
    }
}

extern "C" owm_status gpu_cross_entropy(struct owm_device *device,
                                        const struct owm_cross_entropy *a)
{
    owm_status status = owm_check_cross_entropy(a);
    if (status != OWM_OK) return status;
    void *targets;
    status = gpu_stage(device, a->targets, a->rows * sizeof *a->targets, &targets);
    if (status != OWM_OK) return status;
    bool wide = gpu_wide(a->logits, a->vocab) && (!a->dlogits || gpu_wide(a->dlogits, a->vocab));
    OWM_LAUNCH(cross_entropy_kernel, a->rows, gpu_row_threads(a->vocab), 0, gpu_stream(device),
               a->losses, a->dlogits, a->logits, (const uint16_t *)targets, a->vocab, a->scale,
               wide);
    return gpu_launched();
}
