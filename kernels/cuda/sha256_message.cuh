/* sha256_message.cuh: SHA-256d of a message of any length by one thread. */
#ifndef OWM_KERNELS_CUDA_SHA256_MESSAGE_CUH
#define OWM_KERNELS_CUDA_SHA256_MESSAGE_CUH

#include "kernels/cuda/sha256.cuh"

/* A big-endian word of the message from byte `at` on; `words`: the message lies on 4-byte bounds.
 */
static __device__ __forceinline__ uint32_t sha256_load(const uint8_t *message, uint64_t at,
                                                       bool words)
{
    const uint8_t *p = message + at;
    if (words) return sha256_swap(*reinterpret_cast<const uint32_t *>(p));
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The same in the padded message (5.1.1), but for the length. */
static __device__ __forceinline__ uint32_t sha256_padded(const uint8_t *message, uint32_t bytes,
                                                         uint64_t at, bool words)
{
    if (at + 4 <= bytes) return sha256_load(message, at, words);
    uint32_t word = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t byte = at + i < bytes ? message[at + i] : at + i == bytes ? 0x80 : 0;
        word = word << 8 | byte;
    }
    return word;
}

/** sha256d_message: SHA-256 of the SHA-256 of `bytes` bytes, as words. */
static __device__ __forceinline__ void sha256d_message(uint32_t (&hash)[8], const uint8_t *message,
                                                       uint32_t bytes)
{
    bool words = reinterpret_cast<uintptr_t>(message) % 4 == 0;
    uint32_t w[16];
    sha256_start(hash);
    uint64_t blocks = ((uint64_t)bytes + 8) / 64 + 1;
#pragma unroll 1
    for (uint64_t block = 0; block < blocks; block++) {
#pragma unroll
        for (int i = 0; i < 16; i++)
            w[i] = sha256_padded(message, bytes, block * 64 + 4 * (uint64_t)i, words);
        if (block + 1 == blocks) {
            w[14] = bytes >> 29;
            w[15] = bytes << 3;
        }
        sha256_compress(hash, w);
    }
    sha256_again(hash);
}

static __device__ __forceinline__ void sha256_store(uint8_t *out, const uint32_t (&hash)[8])
{
    bool words = reinterpret_cast<uintptr_t>(out) % 4 == 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (words) {
            reinterpret_cast<uint32_t *>(out)[i] = sha256_swap(hash[i]);
            continue;
        }
        for (int b = 0; b < 4; b++) out[4 * i + b] = (uint8_t)(hash[i] >> (24 - 8 * b));
    }
}

#endif
