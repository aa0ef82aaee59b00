/* vardiff.c: an estimate of a hashrate, and when it is worth a new target. */
#include "vardiff.h"

#include <math.h>

/* What a miner says of itself counts as if it had been watched for this long. */
#define PRIOR_S 10.0

/* Far too easy: this many shares since the last change, and this many times more than expected. One
 * in a thousand changes is followed by that by chance. */
#define FLOOD_SHARES 16
#define FLOOD_FACTOR 3.0

/* Far too hard: nothing came for as long as 13 shares take (by chance: once in 400,000 shares). */
#define SILENCE_SHARES 13.0

/* All that silence says is "at most so much": that weighs as if it had been watched this long. */
#define SILENCE_S 5.0

/* A hint is believed if it is off by this factor. */
#define HINT_FACTOR 2.0

/* The smallest worthwhile change, and how many standard errors of the estimate come on top. */
#define CHANGE_MIN       0.10
#define CHANGE_DEVIATION 0.5

static void default_to(double *value, double fallback)
{
    if (!(*value > 0)) *value = fallback;
}

void owm_vardiff_policy_complete(struct owm_vardiff_policy *policy)
{
    default_to(&policy->shares_per_minute, OWM_VARDIFF_SHARES_PER_MINUTE);
    default_to(&policy->window_s, 300);
    default_to(&policy->settle_s, 60);
    default_to(&policy->hurry_s, 5);
    default_to(&policy->start_rate, 1e10);
    if (!policy->floor_hashes) policy->floor_hashes = 1;
}

bool owm_vardiff_rate_valid(float rate)
{
    return isfinite(rate) && rate >= 0;
}

double owm_vardiff_rate(const struct owm_vardiff *vardiff)
{
    return vardiff->time_sum_s > 0 ? vardiff->hashes_sum / vardiff->time_sum_s : 0;
}

/** Let time pass; a clock that stepped back lets none pass. */
static void fade(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                 int64_t now_ms)
{
    double passed_s = (double)(now_ms - vardiff->updated_ms) / 1000;
    vardiff->updated_ms = now_ms;
    if (passed_s < 0) {
        vardiff->changed_ms += (int64_t)(passed_s * 1000);
        vardiff->quiet_ms += (int64_t)(passed_s * 1000);
        return;
    }
    double kept = exp(-passed_s / policy->window_s);
    vardiff->hashes_sum *= kept;
    vardiff->time_sum_s = vardiff->time_sum_s * kept + policy->window_s * (1 - kept);
}

/** Forget what was known: these hashes in this time are all that was seen. */
static void restart(struct owm_vardiff *vardiff, double hashes, double time_s, int64_t now_ms)
{
    vardiff->hashes_sum = hashes;
    vardiff->time_sum_s = time_s;
    vardiff->updated_ms = now_ms;
}

/** The target that the estimate asks for, within limits: of two that contradict each other the
 *  miner's wins, since it refuses easier ones. */
static uint64_t wanted(const struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                       const struct owm_vardiff_limits *limits)
{
    double hashes = owm_vardiff_rate(vardiff) * 60 / policy->shares_per_minute;
    uint64_t value = hashes >= 0x1p63 ? UINT64_C(1) << 63 : (uint64_t)hashes;
    if (value < policy->floor_hashes) value = policy->floor_hashes;
    if (value > limits->hardest) value = limits->hardest;
    if (value < limits->easiest) value = limits->easiest;
    return value ? value : 1;
}

static void change(struct owm_vardiff *vardiff, uint64_t hashes, int64_t now_ms)
{
    vardiff->hashes = hashes;
    vardiff->changed_ms = vardiff->quiet_ms = now_ms;
    vardiff->shares = 0;
    vardiff->fresh_hashes = 0;
}

void owm_vardiff_start(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                       const struct owm_vardiff_limits *limits, float rate, int64_t now_ms)
{
    double said = owm_vardiff_rate_valid(rate) && isnormal(rate) ? (double)rate : 0;
    restart(vardiff, (said > 0 ? said : policy->start_rate) * PRIOR_S, PRIOR_S, now_ms);
    change(vardiff, wanted(vardiff, policy, limits), now_ms);
}

void owm_vardiff_hint(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                      float rate, int64_t now_ms)
{
    if (!isnormal(rate) || rate < 0) return;
    fade(vardiff, policy, now_ms);
    double ratio = (double)rate / fmax(owm_vardiff_rate(vardiff), 1e-9);
    if (ratio <= HINT_FACTOR && ratio >= 1 / HINT_FACTOR) return;
    restart(vardiff, (double)rate * PRIOR_S, PRIOR_S, now_ms);
    change(vardiff, vardiff->hashes, now_ms);                  /* The same target, watched anew, */
    vardiff->changed_ms -= (int64_t)(policy->settle_s * 1000); /* and a new one due at once. */
}

bool owm_vardiff_share(struct owm_vardiff *vardiff, uint64_t hashes, int64_t now_ms)
{
    vardiff->hashes_sum += (double)hashes;
    vardiff->fresh_hashes += (double)hashes;
    vardiff->quiet_ms = now_ms;
    if (vardiff->shares < UINT32_MAX) vardiff->shares++;
    return vardiff->shares == FLOOD_SHARES || vardiff->shares % (4 * FLOOD_SHARES) == 0;
}

static double seconds_since(int64_t then_ms, int64_t now_ms)
{
    return (double)(now_ms - then_ms) / 1000;
}

/** Is the target so wrong that the older estimate cannot be right? Then start again from what came
 *  since the last change, or from the silence. */
static bool urgent(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                   int64_t now_ms)
{
    double per_s = policy->shares_per_minute / 60;
    double since_s = seconds_since(vardiff->changed_ms, now_ms);
    double quiet_s = seconds_since(vardiff->quiet_ms, now_ms);
    if (since_s < policy->hurry_s) return false;
    if (vardiff->shares >= FLOOD_SHARES && vardiff->shares >= FLOOD_FACTOR * since_s * per_s) {
        restart(vardiff, vardiff->fresh_hashes, since_s, now_ms);
        return true;
    }
    if (quiet_s * per_s < SILENCE_SHARES) return false;
    restart(vardiff, (double)vardiff->hashes / quiet_s * SILENCE_S, SILENCE_S, now_ms);
    return true;
}

/** Is the difference more than noise would make it? */
static bool settled(const struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                    uint64_t next, int64_t now_ms)
{
    double ratio = (double)next / (double)vardiff->hashes;
    double seen = 2 * vardiff->time_sum_s * policy->shares_per_minute / 60;
    double error = 1 / sqrt(fmax(seen, 1));
    return seconds_since(vardiff->changed_ms, now_ms) >= policy->settle_s
           && fabs(ratio - 1) > CHANGE_MIN + CHANGE_DEVIATION * error;
}

bool owm_vardiff_check(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                       const struct owm_vardiff_limits *limits, int64_t now_ms)
{
    fade(vardiff, policy, now_ms);
    bool hurry = urgent(vardiff, policy, now_ms);
    uint64_t next = wanted(vardiff, policy, limits);
    bool differs = next != vardiff->hashes;
    if (!hurry && !(differs && settled(vardiff, policy, next, now_ms))) return false;
    change(vardiff, next, now_ms); /* At a limit: the same one, watched anew. */
    return differs;
}

bool owm_vardiff_clamp(struct owm_vardiff *vardiff, const struct owm_vardiff_limits *limits,
                       int64_t now_ms)
{
    uint64_t hashes = vardiff->hashes;
    if (hashes > limits->hardest) hashes = limits->hardest;
    if (hashes < limits->easiest) hashes = limits->easiest;
    if (hashes == 0 || hashes == vardiff->hashes) return false;
    change(vardiff, hashes, now_ms);
    return true;
}
