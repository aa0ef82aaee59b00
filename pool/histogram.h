/* histogram.h: latencies in buckets of a quarter octave, written by one thread and read by any.
 *
 * 1 ns to 18 minutes in 160 buckets: a quantile is exact to 19 %. No lock, no allocation.
 */
#ifndef OWM_POOL_HISTOGRAM_H
#define OWM_POOL_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define OWM_HISTOGRAM_BUCKETS 160

struct owm_latency {
    _Atomic uint64_t bucket[OWM_HISTOGRAM_BUCKETS];
    _Atomic uint64_t count, sum_ns, max_ns;
};

/** owm_latency_add: `times` values of ns. Thread: the writer. */
void owm_latency_add(struct owm_latency *latency, uint64_t ns, uint64_t times);

/** owm_latency_merge: add b to a; a is the caller's own. */
void owm_latency_merge(struct owm_latency *a, const struct owm_latency *b);

/** owm_latency_quantile: upper end of the bucket in which the q-th (0..1) lies; 0 when empty. */
uint64_t owm_latency_quantile(const struct owm_latency *latency, double q);

/** owm_latency_bound: upper end of bucket i, ns. For an exposition with cumulative buckets. */
uint64_t owm_latency_bound(unsigned i);

#endif
