/* packed.cuh: how pack() lays weights out, and how activations meet them.
 *
 * A matrix is a plane of chunks, [N][chunks] of 16 bytes, and a plane of scales, [N][groups] of
 * float16, where every row begins at 4 bytes:
 *   BF16  8 weights a chunk, zeros past K; no scales
 *   Q8_0  16 weights a chunk, in order
 *   Q4_0  32 weights a chunk, nibbles as in the file but in two's complement (q - 8): shifted to
 *         the upper half of a byte a nibble is 16 times its weight, with no more work
 * Activations are brought to the same shape in scratch: bf16, or int8 with f32 scales. */
#ifndef OWM_KERNELS_CUDA_PACKED_CUH
#define OWM_KERNELS_CUDA_PACKED_CUH

#include "bf16.cuh"
#include "quad.cuh"

static_assert(OWM_BLOCK_WEIGHTS == 32, "a group is what one integer product sums");

/** Chunks of a row of weights; of the activations that meet it; scales of a row, with padding. */
static inline __host__ __device__ uint32_t packed_chunks(enum owm_format format, uint32_t k)
{
    return format == OWM_FORMAT_BF16 ? (k + 7) / 8 : format == OWM_FORMAT_Q8_0 ? k / 16 : k / 32;
}

static inline __host__ __device__ uint32_t packed_input_chunks(enum owm_format format, uint32_t k)
{
    return format == OWM_FORMAT_BF16 ? (k + 7) / 8 : k / 16;
}

static inline __host__ __device__ uint32_t packed_scales(enum owm_format format, uint32_t k)
{
    return format == OWM_FORMAT_BF16 ? 0 : (k / 32 + 1) / 2 * 2;
}

/** packed_view: where the planes of a packed matrix are. */
struct packed_view {
    const uint4 *chunk;
    const uint16_t *scale;
    uint32_t n, k, chunks, scales;
};

static inline size_t packed_scale_offset(enum owm_format format, uint32_t n, uint32_t k)
{
    return ((size_t)n * packed_chunks(format, k) * 16 + 255) / 256 * 256;
}

static inline packed_view packed_of(const void *weights, enum owm_format format, uint32_t n,
                                    uint32_t k)
{
    packed_view v;
    v.chunk = (const uint4 *)weights;
    v.scale = (const uint16_t *)((const uint8_t *)weights + packed_scale_offset(format, n, k));
    v.n = n, v.k = k;
    v.chunks = packed_chunks(format, k), v.scales = packed_scales(format, k);
    return v;
}

/** The four words of a chunk of Q4_0 as int8, 16 times the weights: 0 .. 15 and 16 .. 31. */
static __device__ __forceinline__ uint32_t packed_low(uint32_t word)
{
    return word << 4 & 0xf0f0f0f0u;
}

static __device__ __forceinline__ uint32_t packed_high(uint32_t word)
{
    return word & 0xf0f0f0f0u;
}

/** What a sum over Q4_0 has to be multiplied with in the end. */
static __device__ __forceinline__ float packed_unit(enum owm_format format)
{
    return format == OWM_FORMAT_Q4_0 ? 0.0625f : 1.0f;
}

#endif
