/* page_figures.c: the table of numbers. */
#include "page_figures.h"

#define DAY_S             86400.0
#define HASHES_PER_SHARE1 4294967296.0 /* Difficulty 1. */
#define TERA              1e12

double owm_report_day_sats(const struct owm_report_now *now, double hashes_per_s)
{
    return hashes_per_s * DAY_S * now->live->price.miner_sats_per_hash;
}

#define WRITE(name, ...)                                                                           \
    static void name(const struct owm_report_now *now, char *text)                                 \
    {                                                                                              \
        const struct owm_report_live *live = now->live;                                            \
        const struct owm_pool_summary *sum = &now->ledger->summary;                                \
        (void)live;                                                                                \
        (void)sum;                                                                                 \
        __VA_ARGS__;                                                                               \
    }

#define LEVEL(field) atomic_load_explicit(&live->stats.field, memory_order_relaxed)

static uint64_t rejected_of(const struct owm_report_live *live)
{
    uint64_t sum = 0;
    for (int i = 0; i < OWM_REJECTS; i++) sum += owm_counted(&live->stats.rejected[i]);
    return sum;
}

static void percent(uint64_t part, uint64_t all, char *text)
{
    snprintf(text, OWM_FORMAT_BYTES, "%.2f %%", all ? 100.0 * (double)part / (double)all : 0);
}

/** Known, or "–". */
static void span_if(bool known, int64_t ms, char *text)
{
    if (known)
        owm_format_span(ms, text);
    else
        snprintf(text, OWM_FORMAT_BYTES, "–");
}
static void ns_if(uint64_t count, uint64_t ns, char *text)
{
    if (count)
        owm_format_ns(ns, text);
    else
        snprintf(text, OWM_FORMAT_BYTES, "–");
}

static uint64_t mean_sync_ns(const struct owm_journal_stats *journal)
{
    return journal->batches ? journal->sync_ns_total / journal->batches : 0;
}

static void quantile(const struct owm_latency *latency, double q, char *text)
{
    ns_if(owm_counted(&latency->count), owm_latency_quantile(latency, q), text);
}

WRITE(rate_1m, owm_format_rate(live->hashes_per_s[OWM_RATE_1M], text))
WRITE(rate_10m, owm_format_rate(live->hashes_per_s[OWM_RATE_10M], text))
WRITE(rate_1h, owm_format_rate(sum->rate.hour, text))
WRITE(rate_24h, owm_format_rate(sum->rate.day, text))
WRITE(miners, owm_format_count(live->miners, text))
WRITE(workers, owm_format_count(live->workers, text))
WRITE(connections, owm_format_count(LEVEL(sessions), text))
WRITE(channels, owm_format_count(LEVEL(channels), text))

WRITE(difficulty, owm_format_large(live->price.difficulty, text))
WRITE(height, snprintf(text, OWM_FORMAT_BYTES, "%u", live->price.height))
WRITE(reward, owm_format_sats((double)(live->price.subsidy_sats + live->price.fees_sats), text))
WRITE(fpps_day, owm_format_small_sats(owm_report_day_sats(now, TERA), text))
WRITE(fpps_share, owm_format_small_sats(HASHES_PER_SHARE1 * live->price.miner_sats_per_hash, text))
WRITE(earning, owm_format_sats(owm_report_day_sats(now, sum->rate.hour), text))

WRITE(owed, owm_format_sats(sum->owed_sats, text))
WRITE(balances, owm_format_sats(sum->earned_sats - sum->paid_sats, text))
WRITE(earned, owm_format_sats(sum->earned_sats, text))
WRITE(treasury, owm_format_sats(sum->treasury_sats, text))

WRITE(accepted, owm_format_count(owm_counted(&live->stats.accepted), text))
WRITE(rejected, owm_format_count(rejected_of(live), text))
WRITE(rejected_part,
      percent(rejected_of(live), rejected_of(live) + owm_counted(&live->stats.accepted), text))
WRITE(best_share, owm_format_large((double)live->best_hashes / HASHES_PER_SHARE1, text))
WRITE(shares_1h, owm_format_count(sum->shares_hour, text))
WRITE(shares_24h, owm_format_count(sum->shares_day, text))

WRITE(verdict_p50, quantile(&live->stats.verdict, 0.5, text))
WRITE(verdict_p99, quantile(&live->stats.verdict, 0.99, text))
WRITE(ack_p50, quantile(&live->stats.ack, 0.5, text))
WRITE(ack_p99, quantile(&live->stats.ack, 0.99, text))
WRITE(fanout_p99, quantile(&live->stats.fanout, 0.99, text))
WRITE(waiting, owm_format_count(LEVEL(shares_waiting), text))
WRITE(sync_mean, ns_if(live->journal.batches, mean_sync_ns(&live->journal), text))
WRITE(sync_max, ns_if(live->journal.batches, live->journal.sync_ns_max, text))
WRITE(feeder_lag, span_if(live->has_feeder, live->feeder.lag_ms, text))
WRITE(template_age, span_if(live->has_node, (int64_t)live->node.template_age_ms, text))
WRITE(uptime, owm_format_span((int64_t)(live->taken_mono_ms - live->started_mono_ms), text))
WRITE(live_at, owm_format_clock(live->taken_ms, text))
WRITE(ledger_at, owm_format_clock(now->ledger->taken_ms, text))

const struct owm_figure owm_figures[] = {
    {"rate_10m", OWM_FIGURES_RATE, "Hashrate, 10 minutes", false,
     "Hashes that accepted shares stand for, weighed by exp(-age / 10 min), from all loops.",
     rate_10m},
    {"rate_1m", OWM_FIGURES_RATE, "Hashrate, 1 minute", false,
     "The same over a minute; jumps with luck.", rate_1m},
    {"rate_1h", OWM_FIGURES_RATE, "Hashrate, 1 hour", true,
     "Work in the database by time; from whole five minutes, so 60 to 65 of them.", rate_1h},
    {"rate_24h", OWM_FIGURES_RATE, "Hashrate, 24 hours", true,
     "The same over a day; a restart of the pool does not change it.", rate_24h},
    {"miners", OWM_FIGURES_RATE, "Miners connected", false,
     "Names or node keys with at least one open channel.", miners},
    {"workers", OWM_FIGURES_RATE, "Workers connected", false,
     "Worker names of these miners with at least one open channel.", workers},
    {"connections", OWM_FIGURES_RATE, "Connections", false, "Open ones, handshakes included.",
     connections},
    {"channels", OWM_FIGURES_RATE, "Channels", false, "Open ones of all connections.", channels},

    {"fpps_day", OWM_FIGURES_PRICE, "FPPS rate, per TH/s and day", false,
     "10^12 hashes/s × 86,400 s × reward counted ÷ network hashes × miners' part.", fpps_day},
    {"fpps_share", OWM_FIGURES_PRICE, "FPPS rate, per share of difficulty 1", false,
     "2^32 hashes × reward counted ÷ network hashes × miners' part. A share of difficulty d earns "
     "d "
     "times that, whether or not the pool finds a block.",
     fpps_share},
    {"difficulty", OWM_FIGURES_PRICE, "Network difficulty", false,
     "Of the block being mined: network hashes ÷ 2^32.", difficulty},
    {"height", OWM_FIGURES_PRICE, "Block being mined", false, "Height, from the Bitcoin node.",
     height},
    {"reward", OWM_FIGURES_PRICE, "Reward counted into the price", false,
     "The block's subsidy, and its fees where the pool pays them.", reward},
    {"earning", OWM_FIGURES_PRICE, "All miners earn, per day", true,
     "Hashrate of the last hour × FPPS rate: an estimate.", earning},

    {"earned", OWM_FIGURES_MONEY, "Credited to miners so far", true,
     "Sum over all accepted shares, each rounded down to 10^-12 sat.", earned},
    {"balances", OWM_FIGURES_MONEY, "Balances not yet due", true,
     "Credited, and below the threshold and younger than the timer.", balances},
    {"owed", OWM_FIGURES_MONEY, "Owed: payments not yet sent", true,
     "Payments of miners in the outbox that are not settled.", owed},
    {"treasury", OWM_FIGURES_MONEY, "Credited to the treasury so far", true,
     "What is left of each share's price after the miners' part.", treasury},

    {"accepted", OWM_FIGURES_SHARES, "Shares accepted", false, "Since the pool's start.", accepted},
    {"rejected", OWM_FIGURES_SHARES, "Shares rejected", false,
     "Since the pool's start; by reason below.", rejected},
    {"rejected_part", OWM_FIGURES_SHARES, "Rejected part", false,
     "Rejected ÷ (accepted + rejected). Under 1 % is usual.", rejected_part},
    {"best_share", OWM_FIGURES_SHARES, "Best share", false,
     "Difficulty of the luckiest accepted hash since the pool's start.", best_share},
    {"shares_1h", OWM_FIGURES_SHARES, "Shares accepted, 1 hour", true, "Rows of the database.",
     shares_1h},
    {"shares_24h", OWM_FIGURES_SHARES, "Shares accepted, 24 hours", true, "Rows of the database.",
     shares_24h},

    {"verdict_p50", OWM_FIGURES_HEALTH, "Verdict, half within", false,
     "From a submit's last byte to its verdict; since the pool's start.", verdict_p50},
    {"verdict_p99", OWM_FIGURES_HEALTH, "Verdict, 99 of 100 within", false,
     "The same. The specification asks for 100 ms.", verdict_p99},
    {"ack_p50", OWM_FIGURES_HEALTH, "Acknowledgement, half within", false,
     "From a submit's last byte to its Success: the share is on disk by then.", ack_p50},
    {"ack_p99", OWM_FIGURES_HEALTH, "Acknowledgement, 99 of 100 within", false, "The same.",
     ack_p99},
    {"fanout_p99", OWM_FIGURES_HEALTH, "New work to the last miner, 99 of 100", false,
     "From a new template's arrival to the last miner that was sent it.", fanout_p99},
    {"waiting", OWM_FIGURES_HEALTH, "Shares that wait for the disk", false,
     "Judged, not yet acknowledged.", waiting},
    {"sync_mean", OWM_FIGURES_HEALTH, "Journal sync, mean", false,
     "Time of one write with fdatasync; many shares share one.", sync_mean},
    {"sync_max", OWM_FIGURES_HEALTH, "Journal sync, longest", false, "Since the pool's start.",
     sync_max},
    {"feeder_lag", OWM_FIGURES_HEALTH, "Database behind the journal", false,
     "Age of the newest share in the database while there are newer ones in the journal.",
     feeder_lag},
    {"template_age", OWM_FIGURES_HEALTH, "Template age", false,
     "Since the Bitcoin node gave the newest one.", template_age},
    {"uptime", OWM_FIGURES_AGE, "Running for", false, "Since this process started to count.",
     uptime},
    {"live_at", OWM_FIGURES_AGE, "Live numbers as of", false,
     "The pool's clock when its loops were last asked, each second.", live_at},
    {"ledger_at", OWM_FIGURES_AGE, "Database numbers as of", true,
     "The pool's clock when the database was last asked, every five seconds.", ledger_at},
};

const size_t owm_figures_count = sizeof owm_figures / sizeof owm_figures[0];

const char *owm_figure_text(const struct owm_figure *figure, const struct owm_report_now *now,
                            char *text)
{
    bool missing = figure->ledger
                       ? now->ledger->taken_ms == 0
                       : figure->group == OWM_FIGURES_PRICE && now->live->price.work_number == 0;
    if (missing)
        snprintf(text, OWM_FORMAT_BYTES, "–");
    else
        figure->write(now, text);
    return text;
}
