/* vardiff.h: how hard a channel's shares should be, so that about 18 a minute come.
 *
 * The estimate is of the hashrate, not of the number of shares: every share counts with the hashes
 * of its own target, so a new target does not disturb it and there is no loop that could
 * oscillate. It is an average that fades with `window_s` and is divided by the weight of the time
 * that has passed, with what the miner said of itself (or the last known) as if it had been
 * watched for a few seconds.
 *   wanted = estimate * 60 / shares_per_minute, clamped to
 *     [ hashes of the miner's max_target, policy's floor ] <= hashes <= the network's
 *
 * A new target is worth a message when it differs by more than 10 % and half the standard error of
 * the estimate, at most once in `settle_s`. When it is far off, and that is certain (16 shares and
 * three times as many as expected; or silence for as long as 13 shares take), what was believed is
 * dropped and the new target follows from what came since, at most once in `hurry_s`.
 * The clock is an argument and may step back: then no time has passed. No IO, nothing shared.
 */
#ifndef OWM_POOL_VARDIFF_H
#define OWM_POOL_VARDIFF_H

#include <stdbool.h>
#include <stdint.h>

#define OWM_VARDIFF_SHARES_PER_MINUTE 18

/** owm_vardiff_policy: zero means the default behind it. */
struct owm_vardiff_policy {
    double shares_per_minute; /* OWM_VARDIFF_SHARES_PER_MINUTE */
    double window_s;          /* 300: 18 shares a minute give a standard error of 7.5 %. */
    double settle_s;          /* 60 */
    double hurry_s;           /* 5 */
    double start_rate;        /* Hashes/s of a miner that says 0: 1e10. */
    uint64_t floor_hashes;    /* Never easier than this, whatever the miner; 1. */
};

/** owm_vardiff: state of one channel. */
struct owm_vardiff {
    double hashes_sum, time_sum_s; /* Faded sums as of updated_ms. */
    int64_t updated_ms, changed_ms, quiet_ms;
    double fresh_hashes; /* Since the last change, */
    uint32_t shares;     /* and shares. */
    uint64_t hashes;     /* Of the current target. */
};

/** owm_vardiff_limits: of the moment. */
struct owm_vardiff_limits {
    uint64_t easiest; /* Hashes of the miner's max_target: never fewer. */
    uint64_t hardest; /* Hashes of the network's target: never more, unless `easiest` is. */
};

/** owm_vardiff_policy_complete: fill in defaults. */
void owm_vardiff_policy_complete(struct owm_vardiff_policy *policy);

/** owm_vardiff_rate_valid: a nominal hashrate that can be true: finite, not negative. */
bool owm_vardiff_rate_valid(float hashes_per_s);

/** owm_vardiff_start: set the first target. rate  as said; not valid counts as 0. */
void owm_vardiff_start(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                       const struct owm_vardiff_limits *limits, float rate, int64_t now_ms);

/** owm_vardiff_hint: the miner says that its hashrate is another now (UpdateChannel). Believed as
 *  at the start, and a new target is due at once, if it differs by more than a factor of two from
 *  the estimate; 0 says nothing. */
void owm_vardiff_hint(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                      float rate, int64_t now_ms);

/** owm_vardiff_share: an accepted share of a target that stands for `hashes`; cheap, since it fades
 *  nothing. true: there are so many that a check is worth its price now. */
bool owm_vardiff_share(struct owm_vardiff *vardiff, uint64_t hashes, int64_t now_ms);

/** owm_vardiff_check: is a new target due? true: vardiff->hashes is it, and it counts as sent. To
 *  be asked every few seconds, and when a share says so. */
bool owm_vardiff_check(struct owm_vardiff *vardiff, const struct owm_vardiff_policy *policy,
                       const struct owm_vardiff_limits *limits, int64_t now_ms);

/** owm_vardiff_clamp: bring the current target within new limits at once (UpdateChannel, a new
 *  tip). true: it changed. */
bool owm_vardiff_clamp(struct owm_vardiff *vardiff, const struct owm_vardiff_limits *limits,
                       int64_t now_ms);

/** owm_vardiff_rate: the estimate, hashes/s. */
double owm_vardiff_rate(const struct owm_vardiff *vardiff);

#endif
