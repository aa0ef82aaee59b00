/* histogram.c: latencies in buckets of a quarter octave. */
#include "histogram.h"

#include <math.h>

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* One thread writes, so a load and a store are enough. */
static void add(_Atomic uint64_t *value, uint64_t amount)
{
    atomic_store_explicit(value, get(value) + amount, memory_order_relaxed);
}

/** Four buckets an octave: the two bits below the highest one choose. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < 4) return (unsigned)ns;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
    unsigned bucket = (octave - 1) * 4 + (unsigned)(ns >> (octave - 2) & 3);
    return bucket < OWM_HISTOGRAM_BUCKETS ? bucket : OWM_HISTOGRAM_BUCKETS - 1;
}

uint64_t owm_latency_bound(unsigned i)
{
    if (i < 4) return i;
    unsigned octave = i / 4 + 1;
    return ((uint64_t)(4 + i % 4 + 1) << (octave - 2)) - 1;
}

void owm_latency_add(struct owm_latency *latency, uint64_t ns, uint64_t times)
{
    add(&latency->bucket[bucket_of(ns)], times);
    add(&latency->count, times);
    add(&latency->sum_ns, ns * times);
    if (ns > get(&latency->max_ns))
        atomic_store_explicit(&latency->max_ns, ns, memory_order_relaxed);
}

void owm_latency_merge(struct owm_latency *a, const struct owm_latency *b)
{
    for (unsigned i = 0; i < OWM_HISTOGRAM_BUCKETS; i++) add(&a->bucket[i], get(&b->bucket[i]));
    add(&a->count, get(&b->count));
    add(&a->sum_ns, get(&b->sum_ns));
    if (get(&b->max_ns) > get(&a->max_ns))
        atomic_store_explicit(&a->max_ns, get(&b->max_ns), memory_order_relaxed);
}

uint64_t owm_latency_quantile(const struct owm_latency *latency, double q)
{
    uint64_t count = get(&latency->count), seen = 0;
    if (!count) return 0;
    uint64_t rank = (uint64_t)ceil(q * (double)count);
    for (unsigned i = 0; i < OWM_HISTOGRAM_BUCKETS; i++) {
        seen += get(&latency->bucket[i]);
        if (seen >= rank && seen) return owm_latency_bound(i);
    }
    return get(&latency->max_ns);
}
