/* quantise.h: rounding to int8 with a power-of-two scale and to bfloat16, many values at once. */
#ifndef OWM_KERNELS_SIMD_QUANTISE_H
#define OWM_KERNELS_SIMD_QUANTISE_H

#include "kernels/cpu/sparse_ref.h"

static inline float power_of_two(int e)
{
    uint32_t bits = (uint32_t)(e + 127) << 23;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Codes of s[count] and what they stand for. Adding 1.5 * 2^23 rounds to an integer, ties to even.
 */
static inline void quantise_i8(const float *s, uint32_t count, int exponent, int8_t *code,
                               float *sent)
{
    const float shift = 12582912.0f;
    float scale = power_of_two(exponent), inverse = power_of_two(-exponent);
    for (uint32_t i = 0; i < count; i++) {
        float rounded = s[i] * inverse + shift - shift;
        code[i] = (int8_t)rounded;
        sent[i] = rounded * scale;
    }
}

static inline void quantise_bf16(const float *s, uint32_t count, uint32_t smallest, uint16_t *code,
                                 float *sent)
{
    const uint32_t *from = (const void *)s;
    uint32_t *to = (void *)sent;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, sizeof bits);
        uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u;
        rounded = (bits & MAGNITUDE_MASK) < smallest ? 0 : rounded;
        code[i] = (uint16_t)(rounded >> 16);
        memcpy(to + i, &rounded, sizeof rounded);
    }
}

#endif
