/* sparse_quantise.c: int8 with a power-of-two scale per group of coordinates, and bfloat16.
 *
 * Powers of two make value - code * scale exact in f32, so that residual plus what was sent is
 * exactly what was there, and make dot products of packages integers.
 */
#include "kernels/check.h"
#include "sparse_ref.h"

int owm_quant_floor(float largest)
{
    int e = exponent_of_bits(magnitude_bits(largest)) - OWM_QUANT_SPAN;
    return largest > 0 && e > OWM_QUANT_EXPONENT_MIN ? e : OWM_QUANT_EXPONENT_MIN;
}

static bool quantisable(const float *value, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (magnitude_bits(value[i]) > SENDABLE_BITS) return false;
    return true;
}

static int8_t quantise_group(float *value, uint32_t count, int floor_exponent, int8_t *code)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++)
        largest = magnitude_bits(value[i]) > largest ? magnitude_bits(value[i]) : largest;
    int e = exponent_of_bits(largest);
    if (e < floor_exponent) e = floor_exponent;
    float scale = ldexpf(1.0f, e);
    double inverse = ldexp(1.0, -e);
    for (uint32_t i = 0; i < count; i++) {
        code[i] = (int8_t)nearbyint((double)value[i] * inverse);
        value[i] = (float)code[i] * scale;
    }
    return (int8_t)e;
}

static void quantise_i8(const struct owm_quantise *op)
{
    uint32_t at = 0, groups = (uint32_t)(((uint64_t)op->n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP);
    for (uint32_t group = 0; group < groups; group++) {
        uint32_t end = at;
        while (end < op->count && op->index[end] / OWM_QUANT_GROUP == group) end++;
        op->exponent[group] = at == end
                                  ? OWM_QUANT_EXPONENT_MIN
                                  : quantise_group(op->value + at, end - at, op->floor_exponent,
                                                   (int8_t *)op->code + at);
        at = end;
    }
}

static uint16_t round_bf16(float x, uint32_t smallest)
{
    uint32_t bits;
    if (magnitude_bits(x) < smallest) return 0;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static void quantise_bf16(const struct owm_quantise *op)
{
    uint32_t smallest = bf16_smallest_bits(op->floor_exponent);
    uint16_t *code = op->code;
    for (uint32_t i = 0; i < op->count; i++) {
        code[i] = round_bf16(op->value[i], smallest);
        uint32_t bits = (uint32_t)code[i] << 16;
        memcpy(&op->value[i], &bits, sizeof bits);
    }
}

owm_status ref_quantise(struct owm_device *device, const struct owm_quantise *op)
{
    (void)device;
    owm_status status = owm_check_quantise(op);
    if (status != OWM_OK) return status;
    if (!quantisable(op->value, op->count)) return OWM_E_ARG;
    if (op->quant == OWM_QUANT_I8)
        quantise_i8(op);
    else
        quantise_bf16(op);
    return OWM_OK;
}
