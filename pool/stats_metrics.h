/* stats_metrics.h: the counters of all loops as Prometheus metrics: one series for each reason of a
 * rejected share and of a closed connection, so that an alert can name the one it is about.
 *
 *   owm_pool_shares_accepted_total            owm_pool_shares_rejected_total{reason="stale-share"}
 *   owm_pool_connections_closed_total{reason="…"}  owm_pool_share_verdict_seconds{quantile="0.99"}
 */
#ifndef OWM_POOL_STATS_METRICS_H
#define OWM_POOL_STATS_METRICS_H

#include "base/metrics.h"
#include "stats.h"

struct owm_stats_metrics;

/** owm_stats_metrics_open: makes all series, so that they are there with 0 from the start. Keeps
 *  metrics. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_stats_metrics_open(owm_metrics *metrics,
                                               struct owm_stats_metrics **stats);
void owm_stats_metrics_close(struct owm_stats_metrics *stats); /* NULL is allowed. */

/** owm_stats_metrics_refresh: bring the series up to what the loops have counted; before a page is
 *  written. loop [loops]; now_ms: monotonic. Thread: one at a time. */
void owm_stats_metrics_refresh(struct owm_stats_metrics *stats,
                               const struct owm_pool_stats *const *loop, unsigned loops,
                               int64_t now_ms);

#endif
