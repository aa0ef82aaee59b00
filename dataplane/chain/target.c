/* target.c: compact targets as Bitcoin Core reads and writes them; hashes as its GetBlockProof. */
#include "target.h"

#include <math.h>
#include <string.h>

#include "base/status.h"

#define SUBSIDY_SATS_FIRST UINT64_C(5000000000)

bool owm_target_from_compact(uint32_t bits, uint8_t target[32])
{
    uint32_t size = bits >> 24, word = bits & 0x7fffff;
    bool negative = bits & 0x800000;
    memset(target, 0, 32);
    if (size < 3) {
        word >>= 8 * (3 - size);
        size = 3;
    }
    if (word == 0 || negative) return false;
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t byte = (uint8_t)(word >> 8 * i);
        uint32_t at = size - 3 + i;
        if (byte && at > 31) return false;
        if (byte) target[at] = byte;
    }
    return true;
}

uint32_t owm_target_to_compact(const uint8_t target[32])
{
    uint32_t size = 32, word = 0;
    while (size > 0 && target[size - 1] == 0) size--;
    for (uint32_t i = 1; i <= 3; i++) word = word << 8 | (size >= i ? target[size - i] : 0);
    if (word & 0x800000) { /* The highest of the 24 bits is a sign. */
        word >>= 8;
        size++;
    }
    return size << 24 | word;
}

void owm_target_of_hashes(uint64_t hashes, uint8_t target[32])
{
    OWM_ASSERT(hashes > 0);
    const struct owm_uint256 ones = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    const struct owm_uint256 divisor = owm_uint256_of(hashes), one = owm_uint256_of(1);
    struct owm_uint256 quotient, remainder;
    /* floor(2^256 / hashes) - 1, with 2^256 = ones + 1. */
    owm_uint256_divide(&ones, &divisor, &quotient, &remainder);
    if (owm_uint256_to_u64(&remainder) != hashes - 1) owm_uint256_sub(&quotient, &one, &quotient);
    owm_uint256_to_le(&quotient, target);
}

struct owm_uint256 owm_target_hashes(const uint8_t target[32])
{
    const struct owm_uint256 value = owm_uint256_from_le(target), one = owm_uint256_of(1);
    struct owm_uint256 rest, next, below, hashes;
    for (int i = 0; i < 4; i++) rest.limb[i] = ~value.limb[i];
    /* floor(2^256 / next) = floor((2^256 - next) / next) + 1, and 2^256 - next = ~target. */
    if (!owm_uint256_add(&value, &one, &next)) return one;
    owm_uint256_divide(&rest, &next, &below, NULL);
    return owm_uint256_add(&below, &one, &hashes) ? hashes : below;
}

uint64_t owm_target_hashes_u64(const uint8_t target[32])
{
    struct owm_uint256 hashes = owm_target_hashes(target);
    return owm_uint256_to_u64(&hashes);
}

double owm_target_difficulty(const uint8_t target[32])
{
    struct owm_uint256 hashes = owm_target_hashes(target);
    return ldexp(owm_uint256_to_double(&hashes), -32);
}

uint64_t owm_block_subsidy_sats(uint32_t height, uint32_t halving_interval)
{
    OWM_ASSERT(halving_interval > 0);
    uint32_t halvings = height / halving_interval;
    return halvings < 64 ? SUBSIDY_SATS_FIRST >> halvings : 0;
}
