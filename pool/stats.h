/* stats.h: what one loop counts, for pages and metrics: written by the loop alone, read by any
 * thread while it runs. Each value is an atomic of its own; together they are not a snapshot.
 */
#ifndef OWM_POOL_STATS_H
#define OWM_POOL_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "histogram.h"
#include "rate.h"
#include "reason.h"

/** owm_pool_stats: since the loop's start. */
struct owm_pool_stats {
    _Atomic uint64_t accepted, rejected[OWM_REJECTS];
    _Atomic uint64_t difficulty; /* Sum over accepted shares, in units of 2^32 hashes. */
    _Atomic uint64_t blocks;     /* Handed to on_block. */
    _Atomic uint64_t sessions_opened, closed[OWM_CLOSES];
    _Atomic uint64_t handshakes, ephemerals_missed, node_auths;
    _Atomic uint64_t channels_opened, channels_refused, frames, ignored_frames, targets_sent, jobs;
    _Atomic uint32_t sessions, channels, workers, shares_waiting; /* Now. */
    struct owm_rate rate;
    struct owm_latency verdict; /* From the last byte of a submit to its verdict (SRS-POOL-06). */
    struct owm_latency ack;     /* … to its SubmitShares.Success, journal included. */
    struct owm_latency fanout;  /* From post of a work to the last miner that was sent it. */
};

/** owm_count/owm_gauge: add to a counter, set a gauge; for the loop that owns it. */
static inline void owm_count(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}
static inline void owm_level(_Atomic uint32_t *gauge, uint32_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}
static inline uint64_t owm_counted(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/** owm_pool_stats_merge: add b to a, which is the caller's own (zeroed): all loops together. Rates
 *  are not merged: sum up owm_rate_get of each loop. */
void owm_pool_stats_merge(struct owm_pool_stats *a, const struct owm_pool_stats *b);

#endif
