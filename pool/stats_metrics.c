/* stats_metrics.c: counters of the loops into the registry of metrics. */
#include "stats_metrics.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* X(field of owm_pool_stats, metric, help) */
#define COUNTERS(X)                                                                                \
    X(accepted, "owm_pool_shares_accepted_total", "Shares that were accepted.")                    \
    X(difficulty, "owm_pool_difficulty_accepted_total",                                            \
      "Difficulty of accepted shares, in units of 2^32 hashes.")                                   \
    X(blocks, "owm_pool_blocks_found_total", "Solved blocks that were handed to the nodes.")       \
    X(sessions_opened, "owm_pool_connections_total", "Connections that were accepted.")            \
    X(handshakes, "owm_pool_handshakes_total", "Noise handshakes that were finished.")             \
    X(ephemerals_missed, "owm_pool_ephemerals_missed_total",                                       \
      "Handshakes that had to make their key pair, since none was ready.")                         \
    X(node_auths, "owm_pool_node_auths_total", "Connections that proved a node's key.")            \
    X(channels_opened, "owm_pool_channels_opened_total", "Mining channels that were opened.")      \
    X(channels_refused, "owm_pool_channels_refused_total", "Mining channels that were refused.")   \
    X(frames, "owm_pool_frames_total", "Frames that came from miners.")                            \
    X(ignored_frames, "owm_pool_frames_ignored_total", "Frames of extensions not in use.")         \
    X(targets_sent, "owm_pool_targets_sent_total", "SetTarget messages.")                          \
    X(jobs, "owm_pool_jobs_total", "Jobs, counted once for each loop.")

#define LEVELS(X)                                                                                  \
    X(sessions, "owm_pool_sessions", "Connections now open.")                                      \
    X(channels, "owm_pool_channels", "Mining channels now open.")                                  \
    X(workers, "owm_pool_workers", "Workers in the tables, connected or not.")                     \
    X(shares_waiting, "owm_pool_shares_waiting", "Accepted shares that wait for the journal.")

#define LATENCIES(X)                                                                               \
    X(verdict, "owm_pool_share_verdict_seconds", "From a share's arrival to its verdict.")         \
    X(ack, "owm_pool_share_ack_seconds",                                                           \
      "From a share's arrival to its Success, journal included.")                                  \
    X(fanout, "owm_pool_job_fanout_seconds", "From a new work to the last miner that was sent it.")

#define COUNT(field, metric, help) COUNTER_##field,
enum { COUNTERS(COUNT) COUNTER_COUNT };
#undef COUNT
#define COUNT(field, metric, help) LEVEL_##field,
enum { LEVELS(COUNT) LEVEL_COUNT };
#undef COUNT
#define COUNT(field, metric, help) LATENCY_##field,
enum { LATENCIES(COUNT) LATENCY_COUNT };
#undef COUNT

#define QUANTILES 4
static const double quantile[QUANTILES] = {0.5, 0.99, 0.999, 1};
static const char *const quantile_text[QUANTILES] = {"0.5", "0.99", "0.999", "1"};
static const char *const window_text[OWM_RATE_WINDOWS] = {"1m", "10m", "1h", "24h"};

struct owm_stats_metrics {
    owm_counter *counter[COUNTER_COUNT], *rejected[OWM_REJECTS], *closed[OWM_CLOSES];
    owm_gauge *level[LEVEL_COUNT], *rate[OWM_RATE_WINDOWS];
    owm_gauge *latency[LATENCY_COUNT][QUANTILES];
    struct owm_pool_stats sum; /* Of all loops; the caller's stack need not hold it. */
};

static const char *const *label(const char *key, const char *value, const char *labels[3])
{
    labels[0] = key;
    labels[1] = value;
    labels[2] = NULL;
    return labels;
}

static void make_reasons(struct owm_stats_metrics *stats, owm_metrics *metrics)
{
    const char *labels[3];
    for (int i = 0; i < OWM_REJECTS; i++)
        stats->rejected[i] = owm_metrics_counter(
            metrics, "owm_pool_shares_rejected_total", "Shares that were rejected, by reason.",
            label("reason", owm_reject_text((enum owm_reject)i), labels));
    for (int i = 0; i < OWM_CLOSES; i++)
        stats->closed[i] =
            owm_metrics_counter(metrics, "owm_pool_connections_closed_total",
                                "Connections that were refused or closed, by reason.",
                                label("reason", owm_close_text((enum owm_close)i), labels));
}

static void make_gauges(struct owm_stats_metrics *stats, owm_metrics *metrics)
{
    const char *labels[3];
#define MAKE(field, metric, help)                                                                  \
    stats->level[LEVEL_##field] = owm_metrics_gauge(metrics, metric, help, NULL);
    LEVELS(MAKE)
#undef MAKE
    for (int w = 0; w < OWM_RATE_WINDOWS; w++)
        stats->rate[w] = owm_metrics_gauge(metrics, "owm_pool_hashrate_hashes_per_second",
                                           "Hashrate by accepted shares, over a window.",
                                           label("window", window_text[w], labels));
    for (int q = 0; q < QUANTILES; q++) {
#define MAKE(field, metric, help)                                                                  \
    stats->latency[LATENCY_##field][q] =                                                           \
        owm_metrics_gauge(metrics, metric, help, label("quantile", quantile_text[q], labels));
        LATENCIES(MAKE)
#undef MAKE
    }
}

owm_status owm_stats_metrics_open(owm_metrics *metrics, struct owm_stats_metrics **out)
{
    struct owm_stats_metrics *stats = calloc(1, sizeof *stats);
    if (!stats) return OWM_E_NOMEM;
#define MAKE(field, metric, help)                                                                  \
    stats->counter[COUNTER_##field] = owm_metrics_counter(metrics, metric, help, NULL);
    COUNTERS(MAKE)
#undef MAKE
    make_reasons(stats, metrics);
    make_gauges(stats, metrics);
    *out = stats;
    return OWM_OK;
}

void owm_stats_metrics_close(struct owm_stats_metrics *stats)
{
    free(stats);
}

/** Counters only grow; what is missing to the loops' is added. */
static void raise_to(owm_counter *counter, uint64_t value)
{
    uint64_t now = owm_counter_value(counter);
    if (value > now) owm_counter_add(counter, value - now);
}

static void set_latency(owm_gauge *const *gauge, const struct owm_latency *latency)
{
    for (int q = 0; q < QUANTILES; q++) {
        uint64_t ns = quantile[q] < 1 ? owm_latency_quantile(latency, quantile[q])
                                      : owm_counted(&latency->max_ns);
        owm_gauge_set(gauge[q], (double)ns / 1e9);
    }
}

static void set_all(struct owm_stats_metrics *stats)
{
    const struct owm_pool_stats *sum = &stats->sum;
    for (int i = 0; i < OWM_REJECTS; i++)
        raise_to(stats->rejected[i], owm_counted(&sum->rejected[i]));
    for (int i = 0; i < OWM_CLOSES; i++) raise_to(stats->closed[i], owm_counted(&sum->closed[i]));
#define SET(field, metric, help)                                                                   \
    raise_to(stats->counter[COUNTER_##field], owm_counted(&sum->field));
    COUNTERS(SET)
#undef SET
#define SET(field, metric, help)                                                                   \
    owm_gauge_set(stats->level[LEVEL_##field],                                                     \
                  atomic_load_explicit(&sum->field, memory_order_relaxed));
    LEVELS(SET)
#undef SET
#define SET(field, metric, help) set_latency(stats->latency[LATENCY_##field], &sum->field);
    LATENCIES(SET)
#undef SET
}

void owm_stats_metrics_refresh(struct owm_stats_metrics *stats,
                               const struct owm_pool_stats *const *loop, unsigned loops,
                               int64_t now_ms)
{
    double rate[OWM_RATE_WINDOWS] = {0};
    memset(&stats->sum, 0, sizeof stats->sum);
    for (unsigned i = 0; i < loops; i++) {
        owm_pool_stats_merge(&stats->sum, loop[i]);
        for (int w = 0; w < OWM_RATE_WINDOWS; w++)
            rate[w] += owm_rate_get(&loop[i]->rate, (enum owm_rate_window)w, now_ms);
    }
    set_all(stats);
    for (int w = 0; w < OWM_RATE_WINDOWS; w++) owm_gauge_set(stats->rate[w], rate[w]);
}
