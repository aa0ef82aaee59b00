/* feeder.h: journals into PostgreSQL: shares, balances, history (promise 2, SRS-POOL-11).
 *
 *   segments of all loops -> batches of rows -> ONE transaction {shares, credits, balances, work,
 *   blocks found, how far each segment has come}
 *
 * The place up to which a segment has been fed is in the same transaction as what was fed: so
 * whatever dies at whatever moment, each record has its effect exactly once. After any failure the
 * feeder forgets all it knows and asks the database where to go on.
 *
 * A share never pays twice, even where the journals have it twice (two loops, or a restart that
 * lost the duplicate check's memory): the hash of a share is the hash of its header, which covers
 * the block before, the tip. Shares are stored in partitions by the day of their *tip* (the day
 * of the first share on it), not by the day on which they came: so the same hash always meets the
 * unique index of the same partition, over midnight as well. A partition is dropped when its
 * newest share is older than what is kept; a tip that is still mined on has newer ones.
 *
 * Thread: open, step, close: one; stats: any.
 */
#ifndef OWM_POOL_FEEDER_H
#define OWM_POOL_FEEDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/status.h"

#define OWM_FEEDER_POLL_MS      250
#define OWM_FEEDER_KEEP_DAYS    30 /* SRS-POOL-11 */
#define OWM_FEEDER_JOURNAL_DAYS 30
#define OWM_FEEDER_BACKOFF_MS   10000 /* At most, between tries while the database is away. */

struct owm_feeder;

struct owm_feeder_options {
    const char *folder;           /* Of the journals. */
    const char *database_url;     /* Migrated (ledger.h). */
    unsigned poll_ms;             /* 0: the default, as the next two. */
    unsigned keep_days;           /* Of shares in the database. */
    unsigned journal_days;        /* Of segments that have been fed. */
    int64_t (*now_ms)(void *ctx); /* NULL: the wall clock. */
    void *now_ctx;
    struct owm_metrics *metrics; /* NULL: none. */
};

/** owm_feeder_open: connect; nothing is fed yet. Returns: OWM_OK; as owm_pg_open; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_feeder_open(const struct owm_feeder_options *options,
                                        struct owm_feeder **feeder, struct owm_error *error);

/** owm_feeder_step: at most one transaction, and housekeeping when it is due.
 *  shares  how many records were fed, duplicates among them; 0: nothing new.
 *  Returns: OWM_OK; else nothing was done and the next call begins from what the database says. */
OWM_MUST_USE owm_status owm_feeder_step(struct owm_feeder *feeder, uint64_t *shares,
                                        struct owm_error *error);

/** owm_feeder_start: step for ever on a thread of its own. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_feeder_start(struct owm_feeder *feeder);

/** owm_feeder_close: stop; a thread first feeds what the journals hold if the database answers.
 *  NULL is allowed. */
void owm_feeder_close(struct owm_feeder *feeder);

struct owm_feeder_stats {
    uint64_t fed, duplicates, transactions, failures, damaged_segments;
    int64_t lag_ms; /* Age of the newest share fed while there is more to feed; 0: all is fed. */
    bool database_away;
};
void owm_feeder_stats_get(const struct owm_feeder *feeder, struct owm_feeder_stats *stats);

#endif
