/* stats.c: counters of several loops together. */
#include "stats.h"

#define SUM(field) owm_count(&a->field, owm_counted(&b->field))
#define SUM_LEVEL(field)                                                                           \
    owm_level(&a->field, atomic_load_explicit(&a->field, memory_order_relaxed)                     \
                             + atomic_load_explicit(&b->field, memory_order_relaxed))

void owm_pool_stats_merge(struct owm_pool_stats *a, const struct owm_pool_stats *b)
{
    for (int i = 0; i < OWM_REJECTS; i++) SUM(rejected[i]);
    for (int i = 0; i < OWM_CLOSES; i++) SUM(closed[i]);
    SUM(accepted);
    SUM(difficulty);
    SUM(blocks);
    SUM(sessions_opened);
    SUM(handshakes);
    SUM(ephemerals_missed);
    SUM(node_auths);
    SUM(channels_opened);
    SUM(channels_refused);
    SUM(frames);
    SUM(ignored_frames);
    SUM(targets_sent);
    SUM(jobs);
    SUM_LEVEL(sessions);
    SUM_LEVEL(channels);
    SUM_LEVEL(workers);
    SUM_LEVEL(shares_waiting);
    owm_latency_merge(&a->verdict, &b->verdict);
    owm_latency_merge(&a->ack, &b->ack);
    owm_latency_merge(&a->fanout, &b->fanout);
}
