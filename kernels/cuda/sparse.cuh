/* sparse.cuh: what the kernels of sparse vectors share: magnitudes, the scales of sparse.h, and
 * looking up coordinates in ascending lists. Same arithmetic as cpu/sparse_ref.h.
 */
#ifndef OWM_KERNELS_CUDA_SPARSE_CUH
#define OWM_KERNELS_CUDA_SPARSE_CUH

#include "kernels/cuda/gpu.cuh"

#define INFINITY_BITS 0x7f800000u
/* 127 * 2^119, the largest magnitude that may be sent. */
#define SENDABLE_BITS 0x7e7e0000u

/* Finite floats compare like their bits without the sign. */
static __device__ __forceinline__ uint32_t magnitude_bits(float x)
{
    return (uint32_t)__float_as_int(x) & 0x7fffffffu;
}

/* Smallest e >= OWM_QUANT_EXPONENT_MIN with x <= 127 * 2^e, from the bits of x >= 0: the addition
 * carries into the exponent if x = m * 2^p with m > 127/64. */
static __host__ __device__ __forceinline__ int exponent_of_bits(uint32_t bits)
{
    int e = (int)((bits + 0x1ffffu) >> 23) - 133;
    return e < OWM_QUANT_EXPONENT_MIN ? OWM_QUANT_EXPONENT_MIN : e;
}

/* owm_quant_floor, from bits. */
static __host__ __device__ __forceinline__ int floor_of_bits(uint32_t largest)
{
    int e = exponent_of_bits(largest) - OWM_QUANT_SPAN;
    return e > OWM_QUANT_EXPONENT_MIN ? e : OWM_QUANT_EXPONENT_MIN;
}

/* 2^e for -126 <= e <= 127. */
static __device__ __forceinline__ float power_of_2(int e)
{
    return __int_as_float((e + 127) << 23);
}

/* The code of x with the scale 2^e. The product is exact unless it is below 2^-126, where the code
 * is 0 anyway. */
static __device__ __forceinline__ int code_i8(float x, int e)
{
    return __float2int_rn(__fmul_rn(x, power_of_2(-e)));
}

static __device__ __forceinline__ float value_i8(int code, int e)
{
    return __fmul_rn((float)code, power_of_2(e));
}

static __device__ __forceinline__ uint32_t bf16_smallest_bits(int floor_exponent)
{
    int e = floor_exponent < OWM_QUANT_EXPONENT_MIN ? OWM_QUANT_EXPONENT_MIN : floor_exponent;
    return (uint32_t)(e + 7 + 127) << 23;
}

static __device__ __forceinline__ uint32_t code_bf16(float x, uint32_t smallest)
{
    uint32_t bits = (uint32_t)__float_as_int(x);
    if ((bits & 0x7fffffffu) < smallest) return 0;
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

static __device__ __forceinline__ float value_bf16(uint32_t code)
{
    return __int_as_float((int)(code << 16));
}

/* The first place in ascending index[0..count) that is at or above `coordinate`. */
static __device__ __forceinline__ uint32_t lower_bound(const uint32_t *index, uint32_t count,
                                                       uint64_t coordinate)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index[middle] < coordinate)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#endif
