/* report.h: the numbers of the pool, collected for whoever shows them: page, REST, feed, metrics.
 *
 *   live thread, each second:   counters, rates, latencies and miners of all loops, node, feeder
 *   ledger thread, each 5 s:    rates of an hour and a day, blocks, payouts, hours, from PostgreSQL
 *   ledger thread, when asked:  one miner: its balance, workers, payouts, blocks; kept for 10 s
 *
 * Live numbers count from the start of this process; those of the ledger survive a restart. Each
 * part has the time at which it was taken, so that whoever shows it can say its age. What the
 * database does not answer stays as it was last.
 */
#ifndef OWM_POOL_REPORT_H
#define OWM_POOL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "bitcoin.h"
#include "feeder.h"
#include "journal.h"
#include "ledger.h"
#include "stats.h"
#include "work.h"
#include "workers.h"

#define OWM_REPORT_LIVE_MS       1000
#define OWM_REPORT_LEDGER_MS     5000
#define OWM_REPORT_MINER_MS      10000 /* How long an answer about one miner is good. */
#define OWM_REPORT_ASKED_MAX     256   /* Miners whose answers are kept. */
#define OWM_REPORT_WAITING_MAX   64    /* Of these, such that wait for the database. */
#define OWM_REPORT_TOP           20    /* Miners named one by one; the others are summed up. */
#define OWM_REPORT_BLOCKS        100
#define OWM_REPORT_PAYOUTS       OWM_LEDGER_ROWS_MAX
#define OWM_REPORT_HOURS         24
#define OWM_REPORT_WORKERS       256 /* Of one miner, shown. */
#define OWM_REPORT_MINER_PAYOUTS 50
#define OWM_REPORT_MINER_BLOCKS  20

#define OWM_REPORT_TEMPLATE_AGE_MS  180000 /* Older than this: /health is 503. */
#define OWM_REPORT_DATABASE_AWAY_MS 600000

/** owm_report_loop: what one loop lets everybody see (owm_pool_loop_stats and so on). */
struct owm_report_loop {
    const struct owm_pool_stats *stats;
    struct owm_workers *workers;
    const struct owm_journal *journal; /* NULL: none. */
};

/** owm_report_terms: what the operator promises, as configured. */
struct owm_report_terms {
    uint16_t pay_basis_points;
    bool pay_fees;
    uint64_t threshold_sats, minimum_sats, timer_s;
    double shares_per_minute;
    unsigned keep_days;
};

/** owm_report_options: zero in a limit means its default above. The database URL, the network and
 *  the array of loops are copied; what they point to is borrowed until close. */
struct owm_report_options {
    const struct owm_report_loop *loops;
    size_t loop_count;
    struct owm_bitcoin *bitcoin;     /* NULL: no word on nodes. */
    const struct owm_feeder *feeder; /* NULL: no word on the feeder. */
    const char *database_url;
    const char *network; /* "mainnet" … */
    struct owm_report_terms terms;
    uint64_t template_age_max_ms, database_away_max_ms;
};

/** owm_report_price: what work is worth on the tip that is mined now. */
struct owm_report_price {
    uint64_t work_number; /* 0: nothing is mined yet. */
    uint32_t height;      /* Of the block to be found. */
    double difficulty;    /* Of the network. */
    double network_hashes;
    uint64_t subsidy_sats, fees_sats; /* Counted into the price. */
    double miner_sats_per_hash;       /* For miners: after pay_basis_points. */
    uint32_t transactions;
    int64_t made_ms; /* Monotonic. */
};

/** owm_report_miner: one miner over all loops. */
struct owm_report_miner {
    struct owm_miner miner;
    double hashes_per_s[OWM_RATE_WINDOWS];
    uint64_t accepted, rejected, best_hashes;
    uint32_t workers;          /* Connected. */
    int64_t last_share_age_ms; /* -1: none yet. */
};

/** owm_report_live: one collection from the loops. */
struct owm_report_live {
    int64_t taken_ms; /* Wall clock. */
    uint64_t taken_mono_ms, started_mono_ms;
    struct owm_pool_stats stats;
    double hashes_per_s[OWM_RATE_WINDOWS];
    uint32_t miners, workers; /* Connected. */
    uint64_t best_hashes;     /* Of all workers in the tables. */
    struct owm_miner best_by;
    struct owm_report_miner top[OWM_REPORT_TOP]; /* The strongest of ten minutes first. */
    size_t top_count;
    uint32_t rest_miners;
    double rest_hashes_per_s[OWM_RATE_WINDOWS];
    struct owm_journal_stats journal;
    bool journal_failed, has_feeder, has_node;
    struct owm_feeder_stats feeder;
    struct owm_bitcoin_health node;
    struct owm_report_price price;
};

/** owm_report_ledger: one collection from the database. */
struct owm_report_ledger {
    int64_t taken_ms;       /* Wall clock; 0: never yet. */
    uint64_t away_since_ms; /* Monotonic; 0: it answers. */
    struct owm_pool_summary summary;
    struct owm_block_line blocks[OWM_REPORT_BLOCKS];
    struct owm_payout_line payouts[OWM_REPORT_PAYOUTS];
    struct owm_hour_line hours[OWM_REPORT_HOURS];
    size_t block_count, payout_count, hour_count;
};

/** owm_report_worker: live numbers and those of the ledger of one worker's name. */
struct owm_report_worker {
    char name[OWM_WORKER_TEXT_BYTES];
    bool live, stored; /* Which of the two are filled. */
    uint32_t channels; /* 0: not connected. */
    double hashes_per_s[OWM_RATE_WINDOWS];
    uint64_t accepted, rejected, hashes, best_hashes;
    int64_t last_share_age_ms;
    struct owm_worker_line line;
};

/** owm_report_view: all about one miner. */
struct owm_report_view {
    struct owm_miner miner;
    bool live;        /* In a loop's table since the start. */
    bool known;       /* To the ledger. */
    int64_t taken_ms; /* Of the ledger's part, wall clock; 0: the database does not answer. */
    struct owm_report_miner now;
    struct owm_miner_line line;
    struct owm_report_worker workers[OWM_REPORT_WORKERS];
    struct owm_payout_line payouts[OWM_REPORT_MINER_PAYOUTS];
    struct owm_block_line blocks[OWM_REPORT_MINER_BLOCKS];
    size_t worker_count, payout_count, block_count;
    uint32_t workers_left_out;
};

struct owm_report;

/** owm_report_open: the first live collection is done when this returns.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_report_open(const struct owm_report_options *options,
                                        struct owm_report **report);

/** owm_report_start: start both threads, once. on_live: after each collection, on the live thread;
 *  NULL: nothing. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_report_start(struct owm_report *report, void (*on_live)(void *ctx),
                                         void *ctx);

/** owm_report_stop: end both threads; what was collected can be looked at until close. Waits for a
 *  query that is under way. close stops as well. NULL is allowed in both. */
void owm_report_stop(struct owm_report *report);
void owm_report_close(struct owm_report *report);

/** owm_report_work: see owm_pool_page_work. Thread: any. */
void owm_report_work(struct owm_report *report, const struct owm_work *work);

/** owm_report_lock: both collections, unchanged until owm_report_unlock. Keep it for the time of
 *  writing a text, no longer. Thread: any. */
struct owm_report_now {
    const struct owm_report_live *live;
    const struct owm_report_ledger *ledger;
    const struct owm_report_terms *terms;
    const char *network;
};
struct owm_report_now owm_report_lock(struct owm_report *report);
void owm_report_unlock(struct owm_report *report);

/** owm_report_ask: everything about one miner. Never waits.
 *  view  malloc'ed; free it.
 *  Returns: OWM_OK, with what is known (taken_ms 0: without the database); OWM_E_TIMEOUT the
 *  database has been asked: come again in OWM_REPORT_ASK_AGAIN_MS; OWM_E_NOTFOUND no such miner;
 *  OWM_E_NET no such miner here, and the database does not answer; OWM_E_LIMIT too many ask;
 *  OWM_E_NOMEM. Thread: any. */
#define OWM_REPORT_ASK_AGAIN_MS 25
OWM_MUST_USE owm_status owm_report_ask(struct owm_report *report, const struct owm_miner *miner,
                                       struct owm_report_view **view);

/** owm_report_reasons: why the pool is not healthy, as sentences for everybody: paths and addresses
 *  are in the log alone; 0: it is.
 *  reasons [OWM_REPORT_REASONS_MAX] written. With the report locked. */
#define OWM_REPORT_REASONS_MAX 8
struct owm_report_reason {
    char text[192];
};
size_t owm_report_reasons(const struct owm_report *report, struct owm_report_reason *reasons);

#endif
