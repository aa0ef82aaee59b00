/* sha256.cuh: SHA-256 (FIPS 180-4) for one thread, as the kernels of mining and share validation
 * use it. A table of the constants and a compression without a shortcut; the scan has its own.
 */
#ifndef OWM_KERNELS_CUDA_SHA256_CUH
#define OWM_KERNELS_CUDA_SHA256_CUH

#include "kernels/cuda/gpu.cuh"

#define SHA256_K                                                                                   \
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,            \
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,        \
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,        \
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,        \
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,        \
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,        \
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,        \
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,        \
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,        \
        0xc67178f2

/** sha256_k, sha256_iv: 4.2.2 and 5.3.3. They fold to immediates where the index is known; the
 *  table is for loops. */
static __constant__ const uint32_t sha256_table[64] = {SHA256_K};

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_k(int t)
{
    constexpr uint32_t k[64] = {SHA256_K};
    return k[t];
}

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_iv(int i)
{
    constexpr uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    return iv[i];
}

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The four sigmas of 4.1.2: upper-case of the rounds, lower-case of the schedule. */
static __host__ __device__ __forceinline__ constexpr uint32_t sha256_big0(uint32_t x)
{
    return sha256_ror(x, 2) ^ sha256_ror(x, 13) ^ sha256_ror(x, 22);
}

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_big1(uint32_t x)
{
    return sha256_ror(x, 6) ^ sha256_ror(x, 11) ^ sha256_ror(x, 25);
}

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_s0(uint32_t x)
{
    return sha256_ror(x, 7) ^ sha256_ror(x, 18) ^ x >> 3;
}

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_s1(uint32_t x)
{
    return sha256_ror(x, 17) ^ sha256_ror(x, 19) ^ x >> 10;
}

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_choose(uint32_t x, uint32_t y,
                                                                            uint32_t z)
{
    return (x & y) ^ (~x & z);
}

static __host__ __device__ __forceinline__ constexpr uint32_t
sha256_majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (x & z) ^ (y & z);
}

static __host__ __device__ __forceinline__ constexpr uint32_t sha256_swap(uint32_t x)
{
    return x << 24 | (x & 0xff00u) << 8 | (x >> 8 & 0xff00u) | x >> 24;
}

/** Step 3 of 6.2.2 with kw = K + W of round t. Words keep their places: the name a is s[-t mod 8],
 *  and so on, so that in an unrolled loop nothing moves. */
static __host__ __device__ __forceinline__ void sha256_round(uint32_t (&s)[8], int t, uint32_t kw)
{
    uint32_t &d = s[(3 - t) & 7], &h = s[(7 - t) & 7];
    uint32_t e = s[(4 - t) & 7], a = s[-t & 7];
    uint32_t t1 = h + kw + sha256_choose(e, s[(5 - t) & 7], s[(6 - t) & 7]) + sha256_big1(e);
    d += t1;
    h = t1 + sha256_majority(a, s[(1 - t) & 7], s[(2 - t) & 7]) + sha256_big0(a);
}

/** sha256_compress: one block of 16 words into the state; w is used up. Sixteen rounds are
 *  unrolled, no more: messages are many kinds of code, and none of it is what a miner waits for. */
static __device__ __forceinline__ void sha256_compress(uint32_t (&state)[8], uint32_t (&w)[16])
{
    uint32_t s[8];
#pragma unroll
    for (int i = 0; i < 8; i++) s[i] = state[i];
#pragma unroll 1
    for (int first = 0; first < 64; first += 16) {
#pragma unroll
        for (int t = 0; t < 16; t++) {
            if (first)
                w[t] += sha256_s1(w[(t + 14) & 15]) + w[(t + 9) & 15] + sha256_s0(w[(t + 1) & 15]);
            sha256_round(s, t, w[t] + sha256_table[first + t]);
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

static __device__ __forceinline__ void sha256_start(uint32_t (&state)[8])
{
#pragma unroll
    for (int i = 0; i < 8; i++) state[i] = sha256_iv(i);
}

/** sha256_again: the hash of the 32 bytes that are `state`: what makes SHA-256 SHA-256d. */
static __device__ __forceinline__ void sha256_again(uint32_t (&state)[8])
{
    uint32_t w[16];
#pragma unroll
    for (int i = 0; i < 16; i++) w[i] = i < 8 ? state[i] : i == 8 ? 0x80000000u : 0;
    w[15] = 256;
    sha256_start(state);
    sha256_compress(state, w);
}

#endif
