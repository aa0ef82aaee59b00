/* reward.c: SRS 4.4.2 as one product and one division.
 *
 * Largest product: 1e12 base x 80 x 50 x 1e6 x 1.5e6 x 2e6 = 1.2e34, below 2^127 = 1.7e38.
 */
#include "reward.h"

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    if (value < low) return low;
    return value > high ? high : value;
}

int owm_tier_multiplier_tenths(enum owm_tier tier)
{
    static const int tenths[OWM_TIERS + 1] = {0, 10, 25, 80};
    return tenths[tier];
}

int64_t owm_tier_stake_sats(enum owm_tier tier)
{
    static const int64_t sats[OWM_TIERS + 1] = {0, 100000, 500000, 2000000};
    return sats[tier];
}

uint32_t owm_uptime_bonus_ppm(uint32_t uptime_ppm)
{
    int64_t above = clamp(uptime_ppm, 0, 1000000) - 900000;
    return (uint32_t)(1000000 + (above > 0 ? above * 5 : 0));
}

uint32_t owm_stake_bonus_ppm(int64_t stake_sats, int64_t minimum_sats)
{
    if (minimum_sats <= 0) return 1000000;
    /* 1 + (stake - min) / (2 min) = (stake + min) / (2 min) */
    __int128 ppm = ((__int128)stake_sats + minimum_sats) * 1000000 / ((__int128)minimum_sats * 2);
    if (ppm < 1000000) return 1000000;
    return ppm > 2000000 ? 2000000 : (uint32_t)ppm;
}

int64_t owm_reward_msat(const struct owm_reward_factors *factors)
{
    __int128 product = clamp(factors->base_msat, 0, OWM_REWARD_BASE_MSAT_MAX);
    product *= owm_tier_multiplier_tenths(factors->tier);
    product *= owm_task_type_weight_tenths(factors->type);
    product *= clamp(factors->quality_ppm, 0, 1000000);
    product *= owm_uptime_bonus_ppm(factors->uptime_ppm);
    product *= clamp(factors->stake_bonus_ppm, 1000000, 2000000);
    const __int128 unit = (__int128)10 * 10 * 1000000 * 1000000 * 1000000;
    return (int64_t)(product / unit);
}
