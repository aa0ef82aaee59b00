/* meters.c: see meters.h. */
#include "meters.h"

#include <inttypes.h>

#define NS_PER_S         1e9
#define HISTOGRAM_FIRST  35  /* The bucket that ends at 1 µs; */
#define HISTOGRAM_STRIDE 4   /* one of each octave from there, */
#define HISTOGRAM_LAST   131 /* up to 17 s. */

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP owm_pool_%s %s\n# TYPE owm_pool_%s %s\n", name, help, name, type);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    fprintf(out, "owm_pool_%s %" PRIu64 "\n", name, value);
}

static void gauge(FILE *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    fprintf(out, "owm_pool_%s %.17g\n", name, value);
}

/** A histogram of latencies: the fine buckets that end at a bound lie below it. */
static void histogram(FILE *out, const char *name, const char *help,
                      const struct owm_latency *latency)
{
    uint64_t below = 0;
    unsigned next = HISTOGRAM_FIRST;
    head(out, name, "histogram", help);
    for (unsigned i = 0; i < OWM_HISTOGRAM_BUCKETS; i++) {
        below += owm_counted(&latency->bucket[i]);
        if (i != next || i > HISTOGRAM_LAST) continue;
        fprintf(out, "owm_pool_%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name,
                (double)(owm_latency_bound(i) + 1) / NS_PER_S, below);
        next += HISTOGRAM_STRIDE;
    }
    /* Of what was summed up here, so that the last bucket and the count are the same. */
    fprintf(out, "owm_pool_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, below);
    fprintf(out, "owm_pool_%s_sum %.9g\nowm_pool_%s_count %" PRIu64 "\n", name,
            (double)owm_counted(&latency->sum_ns) / NS_PER_S, name, below);
}

static void put_rejects(FILE *out, const struct owm_pool_stats *stats)
{
    head(out, "shares_rejected_total", "counter",
         "Rejected shares by reason; many stale-share: miners or network are slow, many "
         "difficulty-too-low or invalid-job-id: a broken miner, share-limit: raise "
         "pool.share_table, journal-busy: a faster disk, internal-error: see the log");
    for (int i = 0; i < OWM_REJECTS; i++)
        fprintf(out, "owm_pool_shares_rejected_total{reason=\"%s\"} %" PRIu64 "\n",
                owm_reject_text((enum owm_reject)i), owm_counted(&stats->rejected[i]));
}

static void put_closes(FILE *out, const struct owm_pool_stats *stats)
{
    head(out, "connections_closed_total", "counter",
         "Ended connections by reason; 'sessions full': raise pool.connections_max, 'too many "
         "connections': a farm behind one address needs a higher pool.handshakes_per_minute, "
         "'address full': or a higher pool.connections_per_address, "
         "'stratum v1': those miners need Stratum v2 firmware or a proxy");
    for (int i = 0; i < OWM_CLOSES; i++)
        fprintf(out, "owm_pool_connections_closed_total{reason=\"%s\"} %" PRIu64 "\n",
                owm_close_text((enum owm_close)i), owm_counted(&stats->closed[i]));
}

static void put_rates(FILE *out, const struct owm_report_now *now)
{
    static const char *const windows[OWM_RATE_WINDOWS] = {"1m", "10m", "1h", "24h"};
    head(out, "hashrate_hashes_per_second", "gauge",
         "Hashrate from accepted shares, averaged over a window since the start; a fall that the "
         "miners did not want: look at rejected shares and closed connections");
    for (int i = 0; i < OWM_RATE_WINDOWS; i++)
        fprintf(out, "owm_pool_hashrate_hashes_per_second{window=\"%s\"} %.17g\n", windows[i],
                now->live->hashes_per_s[i]);
}

#define TOTAL(name, field, help) counter(out, name, help, owm_counted(&stats->field))
#define LEVEL(name, field, help)                                                                   \
    gauge(out, name, help, atomic_load_explicit(&stats->field, memory_order_relaxed))

static void put_stats(FILE *out, const struct owm_pool_stats *stats)
{
    TOTAL("shares_accepted_total", accepted, "Accepted shares; no rise for minutes: see /health");
    put_rejects(out, stats);
    head(out, "hashes_total", "counter", "Hashes that accepted shares stand for");
    fprintf(out, "owm_pool_hashes_total %.17g\n",
            (double)owm_counted(&stats->difficulty) * 4294967296.0);
    TOTAL("blocks_total", blocks, "Solved blocks that were handed to the Bitcoin nodes");
    TOTAL("connections_total", sessions_opened, "Connections taken");
    put_closes(out, stats);
    TOTAL("handshakes_total", handshakes, "Finished Noise handshakes");
    TOTAL("handshakes_without_ready_key_total", ephemerals_missed,
          "Handshakes for which no key was ready; many: more connections come than the machine can "
          "take, lower pool.handshakes_per_minute");
    TOTAL("nodes_proven_total", node_auths, "Connections that proved an OWM node's key");
    TOTAL("channels_opened_total", channels_opened, "Channels opened");
    TOTAL("channels_refused_total", channels_refused,
          "Channels refused; rising: raise pool.channels_per_connection or "
          "pool.channels_per_miner, or look at the log");
    TOTAL("frames_total", frames, "Frames from miners");
    TOTAL("frames_ignored_total", ignored_frames, "Frames of unknown extensions");
    TOTAL("targets_sent_total", targets_sent,
          "New difficulties sent; many per miner: pool.shares_per_minute is too low to judge by");
    TOTAL("jobs_sent_total", jobs, "Jobs sent to channels");
    LEVEL("connections", sessions, "Open connections");
    LEVEL("channels", channels, "Open channels");
    LEVEL("shares_waiting", shares_waiting,
          "Shares that wait for the journal; rising: the disk does not keep up");
    histogram(out, "verdict_seconds",
              "From a submit's last byte to its verdict; above 0.1: too few loops or cores",
              &stats->verdict);
    histogram(out, "ack_seconds",
              "From a submit's last byte to its Success, journal included; high with low "
              "verdict_seconds: a slow disk",
              &stats->ack);
    histogram(out, "fanout_seconds",
              "From a new template to the last miner that was sent it; high: more loops",
              &stats->fanout);
}

static void put_journal(FILE *out, const struct owm_report_live *live)
{
    counter(out, "journal_shares_total", "Shares written to the journal", live->journal.shares);
    counter(out, "journal_batches_total", "Group commits of the journal", live->journal.batches);
    counter(out, "journal_bytes_total", "Bytes written to the journal", live->journal.bytes);
    head(out, "journal_sync_seconds_total", "counter",
         "Time in write and fdatasync; per batch above 0.05: use a faster or less busy disk");
    fprintf(out, "owm_pool_journal_sync_seconds_total %.9g\n",
            (double)live->journal.sync_ns_total / NS_PER_S);
    gauge(out, "journal_sync_max_seconds", "The longest of them since the start",
          (double)live->journal.sync_ns_max / NS_PER_S);
    gauge(out, "journal_failed",
          "1: no share is acknowledged any more; make room on the disk, start the pool again",
          live->journal_failed);
}

static void put_node(FILE *out, const struct owm_report_live *live)
{
    if (live->has_node)
        gauge(out, "node_usable", "1: a Bitcoin node gives templates; 0: see /health",
              live->node.usable);
    gauge(out, "mined_height_blocks", "Height of the block being mined", live->price.height);
    gauge(out, "network_difficulty", "Difficulty of the block being mined", live->price.difficulty);
    gauge(out, "fpps_sats_per_difficulty", "Sats that a share of difficulty 1 earns a miner",
          live->price.miner_sats_per_hash * 4294967296.0);
}

static void put_ledger(FILE *out, const struct owm_report_now *now)
{
    const struct owm_report_ledger *ledger = now->ledger;
    gauge(out, "page_database_up", "1: the page's last question to the database was answered",
          ledger->away_since_ms == 0);
    if (ledger->taken_ms == 0) return;
    gauge(out, "page_ledger_timestamp_seconds", "When the page last read the database",
          (double)ledger->taken_ms / 1000);
    gauge(out, "ledger_credited_sats", "Credited to miners by all accepted shares",
          ledger->summary.earned_sats);
    gauge(out, "ledger_blocks_30d", "Blocks found in 30 days", ledger->summary.blocks_month);
    gauge(out, "ledger_orphans_30d",
          "Of these, orphaned; more than one in a hundred: blocks reach the network slowly",
          ledger->summary.orphans_month);
}

void owm_pool_meters(FILE *out, const struct owm_report_now *now)
{
    put_stats(out, &now->live->stats);
    put_rates(out, now);
    gauge(out, "miners", "Miners with an open channel", now->live->miners);
    gauge(out, "workers", "Workers with an open channel", now->live->workers);
    put_journal(out, now->live);
    put_node(out, now->live);
    put_ledger(out, now);
}
