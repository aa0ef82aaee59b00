/* uint256.h: unsigned integers of 256 bits: targets, work, exact shares of a reward.
 *
 * Four limbs, lowest first. Bytes are Bitcoin's: little endian, byte 31 the highest. Thread: any.
 */
#ifndef OWM_CHAIN_UINT256_H
#define OWM_CHAIN_UINT256_H

#include <stdbool.h>
#include <stdint.h>

struct owm_uint256 {
    uint64_t limb[4];
};

struct owm_uint256 owm_uint256_of(uint64_t value);
struct owm_uint256 owm_uint256_from_le(const uint8_t bytes[32]);
void owm_uint256_to_le(const struct owm_uint256 *value, uint8_t bytes[32]);
int owm_uint256_compare(const struct owm_uint256 *a, const struct owm_uint256 *b); /* -1, 0, 1 */
bool owm_uint256_is_zero(const struct owm_uint256 *value);

/** owm_uint256_add: false on overflow, *out then wrapped. out may be a or b. */
bool owm_uint256_add(const struct owm_uint256 *a, const struct owm_uint256 *b,
                     struct owm_uint256 *out);
/** owm_uint256_sub: false if b > a, *out then wrapped. out may be a or b. */
bool owm_uint256_sub(const struct owm_uint256 *a, const struct owm_uint256 *b,
                     struct owm_uint256 *out);
/** owm_uint256_mul_u64: false on overflow, *out then the low 256 bits. out may be a. */
bool owm_uint256_mul_u64(const struct owm_uint256 *a, uint64_t b, struct owm_uint256 *out);
/** owm_uint256_divide: floor(a / b) and the remainder (NULL: not wanted). b of 0 asserts. */
void owm_uint256_divide(const struct owm_uint256 *a, const struct owm_uint256 *b,
                        struct owm_uint256 *quotient, struct owm_uint256 *remainder);
/** owm_uint256_to_u64: UINT64_MAX where it does not fit. */
uint64_t owm_uint256_to_u64(const struct owm_uint256 *value);
/** owm_uint256_to_double: nearest; for people and estimates, never for sats. */
double owm_uint256_to_double(const struct owm_uint256 *value);

#endif
