/* sha256d_batch.cu: SHA-256d of many messages of one length: one thread for each. */
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/sha256_message.cuh"

#define BATCH_THREADS 128

static __global__ void __launch_bounds__(BATCH_THREADS)
    batch_hash(uint8_t *hash, const uint8_t *message, size_t stride, uint32_t count, uint32_t bytes)
{
    size_t i = (size_t)blockIdx.x * BATCH_THREADS + threadIdx.x;
    if (i >= count) return;
    uint32_t words[8];
    sha256d_message(words, message + i * stride, bytes);
    sha256_store(hash + 32 * i, words);
}

extern "C" owm_status gpu_sha256d_batch(struct owm_device *device,
                                        const struct owm_sha256d_batch *op)
{
    owm_status status = owm_check_sha256d_batch(op);
    if (status) return status;
    OWM_LAUNCH(batch_hash, gpu_blocks(op->count, BATCH_THREADS), BATCH_THREADS, 0,
               gpu_stream(device), op->hash, op->message, op->stride, op->count, op->bytes);
    return gpu_launched();
}
