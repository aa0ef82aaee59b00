/* uint256.c: four limbs with carries; division by shifting and subtracting. */
#include "uint256.h"

#include <math.h>

#include "base/bytes.h"
#include "base/status.h"

typedef unsigned __int128 wide;

struct owm_uint256 owm_uint256_of(uint64_t value)
{
    return (struct owm_uint256){{value, 0, 0, 0}};
}

struct owm_uint256 owm_uint256_from_le(const uint8_t bytes[32])
{
    struct owm_uint256 value;
    struct owm_reader r;
    owm_reader_init(&r, bytes, 32);
    for (int i = 0; i < 4; i++) value.limb[i] = owm_read_u64_le(&r);
    return value;
}

void owm_uint256_to_le(const struct owm_uint256 *value, uint8_t bytes[32])
{
    struct owm_writer w;
    owm_writer_init(&w, bytes, 32);
    for (int i = 0; i < 4; i++) owm_write_u64_le(&w, value->limb[i]);
}

int owm_uint256_compare(const struct owm_uint256 *a, const struct owm_uint256 *b)
{
    for (int i = 3; i >= 0; i--)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

bool owm_uint256_is_zero(const struct owm_uint256 *value)
{
    return !(value->limb[0] | value->limb[1] | value->limb[2] | value->limb[3]);
}

bool owm_uint256_add(const struct owm_uint256 *a, const struct owm_uint256 *b,
                     struct owm_uint256 *out)
{
    wide carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += (wide)a->limb[i] + b->limb[i];
        out->limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return carry == 0;
}

bool owm_uint256_sub(const struct owm_uint256 *a, const struct owm_uint256 *b,
                     struct owm_uint256 *out)
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        wide difference = (wide)a->limb[i] - b->limb[i] - borrow;
        out->limb[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> 64) & 1;
    }
    return borrow == 0;
}

bool owm_uint256_mul_u64(const struct owm_uint256 *a, uint64_t b, struct owm_uint256 *out)
{
    wide carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += (wide)a->limb[i] * b;
        out->limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return carry == 0;
}

/* How many bits the value needs; 0 for 0. */
static int bit_length(const struct owm_uint256 *value)
{
    for (int i = 3; i >= 0; i--)
        if (value->limb[i]) return 64 * i + 64 - __builtin_clzll(value->limb[i]);
    return 0;
}

static struct owm_uint256 shift_left(const struct owm_uint256 *value, int bits)
{
    struct owm_uint256 out = {{0}};
    int limbs = bits / 64, rest = bits % 64;
    for (int i = 3; i >= limbs; i--) {
        out.limb[i] = value->limb[i - limbs] << rest;
        if (rest && i > limbs) out.limb[i] |= value->limb[i - limbs - 1] >> (64 - rest);
    }
    return out;
}

static void halve(struct owm_uint256 *value)
{
    for (int i = 0; i < 3; i++) value->limb[i] = value->limb[i] >> 1 | value->limb[i + 1] << 63;
    value->limb[3] >>= 1;
}

void owm_uint256_divide(const struct owm_uint256 *a, const struct owm_uint256 *b,
                        struct owm_uint256 *quotient, struct owm_uint256 *remainder)
{
    OWM_ASSERT(!owm_uint256_is_zero(b));
    struct owm_uint256 left = *a, result = {{0}};
    int shift = bit_length(a) - bit_length(b);
    struct owm_uint256 part = shift >= 0 ? shift_left(b, shift) : *b;
    for (; shift >= 0; shift--, halve(&part)) {
        if (owm_uint256_compare(&left, &part) < 0) continue;
        owm_uint256_sub(&left, &part, &left);
        result.limb[shift / 64] |= UINT64_C(1) << shift % 64;
    }
    *quotient = result;
    if (remainder) *remainder = left;
}

uint64_t owm_uint256_to_u64(const struct owm_uint256 *value)
{
    return value->limb[1] | value->limb[2] | value->limb[3] ? UINT64_MAX : value->limb[0];
}

double owm_uint256_to_double(const struct owm_uint256 *value)
{
    int shift = bit_length(value) - 64;
    if (shift <= 0) return (double)value->limb[0];
    int limb = shift / 64, rest = shift % 64;
    uint64_t top = value->limb[limb] >> rest;
    if (rest) top |= value->limb[limb + 1] << (64 - rest);
    /* What is cut off can only decide a tie, so one sticky bit stands for all of it. */
    uint64_t lost = rest ? value->limb[limb] << (64 - rest) : 0;
    for (int i = 0; i < limb; i++) lost |= value->limb[i];
    return ldexp((double)(top | (lost != 0)), shift);
}
