/* bf16.h: bfloat16, the upper half of a float, one number at a time. */
#ifndef OWM_KERNELS_CPU_BF16_H
#define OWM_KERNELS_CPU_BF16_H

#include <stdint.h>
#include <string.h>

/** bf16_of: nearest even; too large becomes infinite, a NaN stays one. */
static inline uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float bf16_widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
