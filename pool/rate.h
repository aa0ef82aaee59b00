/* rate.h: a hashrate from the shares that came: averages over a minute, ten minutes, an hour, a
 * day.
 *
 * Each share stands for a number of hashes; an average weighs a share by exp(-age / window) and is
 * divided by the weight of the time that has passed, so it is right from the first minute on.
 * One thread adds, any thread reads: each value is an atomic of its own.
 */
#ifndef OWM_POOL_RATE_H
#define OWM_POOL_RATE_H

#include <stdatomic.h>
#include <stdint.h>

enum owm_rate_window { OWM_RATE_1M, OWM_RATE_10M, OWM_RATE_1H, OWM_RATE_24H, OWM_RATE_WINDOWS };

/** owm_rate: caller-owned; times are of the monotonic clock, in ms. */
struct owm_rate {
    _Atomic double sum[OWM_RATE_WINDOWS]; /* Weighted hashes as of folded_ms. */
    _Atomic double fresh;                 /* Hashes since then. */
    _Atomic int64_t started_ms, folded_ms;
};

void owm_rate_init(struct owm_rate *rate, int64_t now_ms);

/** owm_rate_add: Thread: the one that owns it. No exp() but once in OWM_RATE_FOLD_MS. */
#define OWM_RATE_FOLD_MS 5000
void owm_rate_add(struct owm_rate *rate, uint64_t hashes, int64_t now_ms);

/** owm_rate_get: hashes per second. Thread: any. */
double owm_rate_get(const struct owm_rate *rate, enum owm_rate_window window, int64_t now_ms);

#endif
