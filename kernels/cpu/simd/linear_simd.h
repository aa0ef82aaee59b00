/* linear_simd.h: number formats of packed weights, a register at a time. */
#ifndef OWM_KERNELS_LINEAR_SIMD_H
#define OWM_KERNELS_LINEAR_SIMD_H

#include "kernels/cpu/linear_kernels.h"
#include "simd.h"

typedef uint16_t vh __attribute__((vector_size(W * 2)));
typedef vi vi_mem __attribute__((aligned(2), may_alias));

static inline vi v_load_bits(const void *p)
{
    return *(const vi_mem *)p;
}

/** The bits of bfloat16, nearest even, in the upper half; a NaN stays one. */
static inline vi v_bf16(vf x)
{
    vi bits = (vi)x, odd = bits >> 16 & 1;
    vi nan = (bits & 0x7fffffff) > 0x7f800000;
    vi up = bits + 0x7fff + odd;
    return ((nan & (bits | 0x400000)) | (~nan & up)) & (int32_t)0xffff0000;
}

/** linear_half of W scales. */
static inline vf v_halves(const uint8_t *p)
{
    vh bits;
    memcpy(&bits, p, sizeof bits);
    vi h = __builtin_convertvector(bits, vi), magnitude = (h & 0x7fff) << 13;
    vf finite = (vf)magnitude * 0x1p112f;
    vf x = v_select(magnitude >= 0x7c00 << 13, (vf)(magnitude | 0x7f800000), finite);
    return (vf)((vi)x | (h & 0x8000) << 16);
}

#endif
