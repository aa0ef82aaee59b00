/* topk_quantise.c: int8 with a power-of-two scale per group, and bfloat16.
 *
 * Powers of two make value - code * scale exact in f32, so that residual plus what was sent is
 * exactly what was there, and make dot products of packages integers.
 */
#include <math.h>
#include <string.h>

#include "sparse_ref.h"

#define CODE_MAX 127

/* Smallest e with x <= 127 * 2^e. */
static int exponent_for(float x)
{
    int e;
    float m = frexpf(x, &e); /* x = m * 2^e, m in [0.5, 1) */
    e -= 7;
    return m * 128.0f > (float)CODE_MAX ? e + 1 : e;
}

static int clamp_exponent(int e)
{
    return e < OWM_QUANT_EXPONENT_MIN ? OWM_QUANT_EXPONENT_MIN : e;
}

int owm_quant_floor(float largest)
{
    return clamp_exponent(largest > 0 ? exponent_for(largest) - OWM_QUANT_SPAN
                                      : OWM_QUANT_EXPONENT_MIN);
}

static bool quantisable(const float *value, uint32_t count)
{
    float limit = ldexpf(CODE_MAX, OWM_QUANT_EXPONENT_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (!(fabsf(value[i]) <= limit)) return false;
    return true;
}

static int8_t quantise_group(float *value, uint32_t count, int floor_exponent, int8_t *code)
{
    float largest = 0;
    for (uint32_t i = 0; i < count; i++) largest = fmaxf(largest, fabsf(value[i]));
    int e = largest > 0 ? exponent_for(largest) : floor_exponent;
    e = clamp_exponent(e < floor_exponent ? floor_exponent : e);
    float scale = ldexpf(1.0f, e);
    double inverse = ldexp(1.0, -e);
    for (uint32_t i = 0; i < count; i++) {
        code[i] = (int8_t)nearbyint((double)value[i] * inverse);
        value[i] = (float)code[i] * scale;
    }
    return (int8_t)e;
}

owm_status ref_quantise_i8(struct owm_device *device, const struct owm_quantise_i8 *op)
{
    (void)device;
    if (!op->value || !op->code || !op->exponent || op->count == 0) return OWM_E_ARG;
    if (op->floor_exponent > OWM_QUANT_EXPONENT_MAX || !quantisable(op->value, op->count))
        return OWM_E_ARG;
    for (uint32_t at = 0, group = 0; at < op->count; at += OWM_QUANT_GROUP, group++) {
        uint32_t left = op->count - at;
        op->exponent[group] =
            quantise_group(op->value + at, left < OWM_QUANT_GROUP ? left : OWM_QUANT_GROUP,
                           op->floor_exponent, op->code + at);
    }
    return OWM_OK;
}

static uint16_t round_bf16(float x, float smallest)
{
    uint32_t bits;
    if (fabsf(x) < smallest) return 0;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

owm_status ref_quantise_bf16(struct owm_device *device, const struct owm_quantise_bf16 *op)
{
    (void)device;
    if (!op->value || !op->code || op->count == 0) return OWM_E_ARG;
    if (op->floor_exponent > OWM_QUANT_EXPONENT_MAX || !quantisable(op->value, op->count))
        return OWM_E_ARG;
    float smallest = ldexpf(1.0f, clamp_exponent(op->floor_exponent) + 7);
    for (uint32_t i = 0; i < op->count; i++) {
        op->code[i] = round_bf16(op->value[i], smallest);
        uint32_t bits = (uint32_t)op->code[i] << 16;
        memcpy(&op->value[i], &bits, sizeof bits);
    }
    return OWM_OK;
}
