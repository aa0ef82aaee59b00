/* reward.h: the reward formula of SRS 4.4.2 in exact integers, usable alone.
 *
 *   reward = base x tier x weight x quality x uptime bonus x stake bonus
 *
 * Every factor is an integer over a power of ten, the product is formed in 128 bits and divided
 * once, rounding down: the same bits everywhere, no drift, never more than the formula says.
 */
#ifndef OWM_ENGINE_REWARD_H
#define OWM_ENGINE_REWARD_H

#include "controlplane/engine/types.h"

#define OWM_REWARD_BASE_MSAT_MAX INT64_C(1000000000000) /* 1e9 sats per unit: the product fits */

/** owm_reward_factors: caller-owned. Values out of range are clamped to it. */
struct owm_reward_factors {
    int64_t base_msat; /* base_rate_sats x 1000, 0..OWM_REWARD_BASE_MSAT_MAX */
    enum owm_tier tier;
    enum owm_task_type type;
    uint32_t quality_ppm;     /* 0..1,000,000 */
    uint32_t uptime_ppm;      /* 0..1,000,000 */
    uint32_t stake_bonus_ppm; /* 1,000,000..2,000,000, owm_stake_bonus_ppm() */
};

/** owm_reward_msat: millisats, >= 0. Exact: floor of the rational product. */
int64_t owm_reward_msat(const struct owm_reward_factors *factors);

/** owm_uptime_bonus_ppm: 1.0 + max(0, (uptime - 0.9) x 5), exact: 1.0 to 1.5. */
uint32_t owm_uptime_bonus_ppm(uint32_t uptime_ppm);

/** owm_stake_bonus_ppm: clamp(1 + (stake - min) / min x 0.5, 1, 2), floor (TST-12, TST-13): 1.0 at
 *  the minimum, 2.0 from three times the minimum. 1.0 where the minimum is 0. */
uint32_t owm_stake_bonus_ppm(int64_t stake_sats, int64_t minimum_sats);

/** owm_tier_multiplier_tenths: 10, 25, 80 (SRS 4.1.3). */
int owm_tier_multiplier_tenths(enum owm_tier tier);

/** owm_tier_stake_sats: minimum of SRS 4.1.3: 100,000, 500,000, 2,000,000. */
int64_t owm_tier_stake_sats(enum owm_tier tier);

#endif
