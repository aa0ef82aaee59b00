/* target.h: targets, their compact form, and how many hashes they stand for.
 *
 * `hashes` of a target is floor(2^256 / (target + 1)): the expected number of hashes for one hit
 * (Bitcoin Core's GetBlockProof). The pool counts work in this unit, in integers: a share of
 * `hashes` h has the target owm_target_of_hashes(h) and earns in proportion to h, so sums never
 * drift. Difficulty, for people, is hashes / 2^32 (pool difficulty 1 = 2^32 hashes).
 */
#ifndef OWM_CHAIN_TARGET_H
#define OWM_CHAIN_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "uint256.h"

/** owm_target_from_compact: nBits to target. false: negative, overflowing or zero; *target then
 *  holds nothing of use. */
bool owm_target_from_compact(uint32_t bits, uint8_t target[32]);
/** owm_target_to_compact: the nBits of a target, rounded down as Bitcoin does. */
uint32_t owm_target_to_compact(const uint8_t target[32]);

/** owm_target_of_hashes: the largest target whose hashes are at least `hashes` (1: all ones). 0 is
 *  the caller's bug and asserts. */
void owm_target_of_hashes(uint64_t hashes, uint8_t target[32]);

/** owm_target_hashes: floor(2^256 / (target + 1)). A network's target can stand for more than 64
 *  bits; a share's never does, and is clamped to UINT64_MAX. Target 0, which nothing has, gives
 *  2^256 - 1. owm_target_hashes(owm_target_of_hashes(h)) is h. */
struct owm_uint256 owm_target_hashes(const uint8_t target[32]);
uint64_t owm_target_hashes_u64(const uint8_t target[32]);

/** owm_target_difficulty: hashes / 2^32, for people. */
double owm_target_difficulty(const uint8_t target[32]);

/** owm_block_subsidy_sats: of a height; halving_interval 210000, regtest 150. */
uint64_t owm_block_subsidy_sats(uint32_t height, uint32_t halving_interval);

#endif
