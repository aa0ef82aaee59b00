/* bf16.cuh: bfloat16 and binary16 by their bits, the same on every architecture. */
#ifndef OWM_KERNELS_CUDA_BF16_CUH
#define OWM_KERNELS_CUDA_BF16_CUH

#include "gpu.cuh"

static __device__ __forceinline__ float gpu_bf16_widen(uint16_t x)
{
    return __uint_as_float((uint32_t)x << 16);
}

/** gpu_bf16: nearest even; too large becomes infinite, a NaN stays one. */
static __device__ __forceinline__ uint16_t gpu_bf16(float x)
{
    uint32_t bits = __float_as_uint(x);
    if (x != x) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/** gpu_half_widen: IEEE binary16 to f32, exactly: the biases of the exponents differ by 112, and a
 *  multiplication brings subnormals out right too. */
static __device__ __forceinline__ float gpu_half_widen(uint16_t h)
{
#if defined(__CUDA_ARCH__)
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
#else
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
    float f = __uint_as_float(magnitude) * 5192296858534827628530496329220096.0f;
    uint32_t bits = magnitude >= 0x7c00u << 13 ? magnitude | 0x7f800000 : __float_as_uint(f);
    return __uint_as_float(bits | (uint32_t)(h & 0x8000) << 16);
#endif
}

#endif
