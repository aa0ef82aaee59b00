/* rng.c: xoshiro256** (https://prng.di.unimi.it), seeded through splitmix64. */
#include "rng.h"

#include <math.h>

#include "status.h"

static uint64_t rotate_left(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

void owm_rng_seed(struct owm_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t mix = seed;
        mix = (mix ^ mix >> 30) * 0xbf58476d1ce4e5b9u;
        mix = (mix ^ mix >> 27) * 0x94d049bb133111ebu;
        rng->state[i] = mix ^ mix >> 31;
    }
}

uint64_t owm_rng_u64(struct owm_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t owm_rng_below(struct owm_rng *rng, uint64_t bound)
{
    OWM_ASSERT(bound > 0);
    __uint128_t product = (__uint128_t)owm_rng_u64(rng) * bound;
    if ((uint64_t)product < bound) {
        uint64_t threshold = (0 - bound) % bound;
        while ((uint64_t)product < threshold) product = (__uint128_t)owm_rng_u64(rng) * bound;
    }
    return (uint64_t)(product >> 64);
}

double owm_rng_f64(struct owm_rng *rng)
{
    return (double)(owm_rng_u64(rng) >> 11) * 0x1p-53;
}

float owm_rng_f32(struct owm_rng *rng)
{
    return (float)(owm_rng_u64(rng) >> 40) * 0x1p-24f;
}

double owm_rng_normal(struct owm_rng *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - owm_rng_f64(rng)));
    return radius * cos(6.283185307179586 * owm_rng_f64(rng));
}
