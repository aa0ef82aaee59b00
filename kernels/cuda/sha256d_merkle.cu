/* sha256d_merkle.cu: merkle roots of blocks that differ in the coinbase: one thread for each. */
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/sha256_message.cuh"

#define MERKLE_THREADS 128

/* h = SHA-256d(h || branch): a block of 64 bytes, then one of padding alone. */
static __device__ __forceinline__ void fold(uint32_t (&h)[8], const uint8_t *branch)
{
    bool words = reinterpret_cast<uintptr_t>(branch) % 4 == 0;
    uint32_t w[16];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        w[i] = h[i];
        w[8 + i] = sha256_load(branch, 4 * (uint64_t)i, words);
    }
    sha256_start(h);
    sha256_compress(h, w);
#pragma unroll
    for (int i = 0; i < 16; i++) w[i] = i == 0 ? 0x80000000u : i == 15 ? 512 : 0;
    sha256_compress(h, w);
    sha256_again(h);
}

static __global__ void __launch_bounds__(MERKLE_THREADS)
    merkle_root(uint8_t *root, const uint8_t *coinbase, size_t stride, uint32_t count,
                uint32_t bytes, const uint8_t *branch, uint32_t branches)
{
    size_t i = (size_t)blockIdx.x * MERKLE_THREADS + threadIdx.x;
    if (i >= count) return;
    uint32_t hash[8];
    sha256d_message(hash, coinbase + i * stride, bytes);
#pragma unroll 1
    for (uint32_t b = 0; b < branches; b++) fold(hash, branch + (size_t)32 * b);
    sha256_store(root + 32 * i, hash);
}

extern "C" owm_status gpu_sha256d_merkle(struct owm_device *device,
                                         const struct owm_sha256d_merkle *op)
{
    owm_status status = owm_check_sha256d_merkle(op);
    if (status) return status;
    OWM_LAUNCH(merkle_root, gpu_blocks(op->count, MERKLE_THREADS), MERKLE_THREADS, 0,
               gpu_stream(device), op->root, op->coinbase, op->stride, op->count, op->bytes,
               op->branch, op->branches);
    return gpu_launched();
}
