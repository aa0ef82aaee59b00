/* rng.h: small seeded generator (xoshiro256**, Blackman and Vigna 2018; seeded through splitmix64).
 *
 * For weights, sampling and simulation. NOT FOR KEYS, nonces or tokens: its output predicts its
 * future. Keys come from identity.h, random ids from uuid.h.
 */
#ifndef OWM_BASE_RNG_H
#define OWM_BASE_RNG_H

#include <stdint.h>

/** owm_rng: caller-owned; copying it forks the stream. Thread: one at a time. */
struct owm_rng {
    uint64_t state[4];
};

/** owm_rng_seed: every seed, 0 included, gives a good state. Exact: same stream on each machine. */
void owm_rng_seed(struct owm_rng *rng, uint64_t seed);

uint64_t owm_rng_u64(struct owm_rng *rng);

/** owm_rng_below: uniform in [0, bound), without bias (Lemire 2019). bound > 0. */
uint64_t owm_rng_below(struct owm_rng *rng, uint64_t bound);

/** owm_rng_f64 / owm_rng_f32: uniform in [0, 1), 53 and 24 bits. Exact: same on each machine. */
double owm_rng_f64(struct owm_rng *rng);
float owm_rng_f32(struct owm_rng *rng);

/** owm_rng_normal: mean 0, deviation 1 (Box and Muller). Same bits only with the same libm. */
double owm_rng_normal(struct owm_rng *rng);

#endif
