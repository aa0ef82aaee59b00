/* ledger.h: what the database knows beside shares: blocks and their fate, and the numbers of pages.
 *
 * Blocks. Events of bitcoin.h are queued and written by a thread, again and again until the
 * database takes them, so they may come from any thread and never wait. That a block was found is
 * in the journal as well, with its share; whichever comes first makes the row, the other one
 * completes it. After a start owm_ledger_open_blocks names the blocks whose fate is still to be
 * followed.
 *
 * Pages. Hashrate of a window is work in it by time in it; work is kept by five minutes, so that a
 * window of 10 minutes is one of 10 to 15, divided by what it really is.
 *
 * Thread: any. A query waits for its turn on the one connection: ask from a thread that may wait.
 */
#ifndef OWM_POOL_LEDGER_H
#define OWM_POOL_LEDGER_H

#include "base/status.h"
#include "bitcoin.h"
#include "share.h"

#define OWM_LEDGER_EVENTS_MAX 1024 /* Waiting for the database; beyond, the oldest is dropped. */
#define OWM_LEDGER_ROWS_MAX   1000 /* Of one list. */
#define OWM_BLOCK_FINAL       100  /* Confirmations after which a block is not followed. */

struct owm_ledger;

/** owm_ledger_open: connect to a migrated database (db/schema.h) and start the thread of events.
 *  Returns: OWM_OK; as owm_pg_open; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_ledger_open(const char *database_url, struct owm_ledger **ledger,
                                        struct owm_error *error);

/** owm_ledger_close: write what is queued if the database answers. NULL is allowed. */
void owm_ledger_close(struct owm_ledger *ledger);

/* ---------------------------------------------------------------------------- events of blocks */

/** owm_ledger_block_found: reward_sats of its coinbase. */
void owm_ledger_block_found(struct owm_ledger *ledger, const uint8_t hash[32], uint32_t height,
                            uint64_t reward_sats, int64_t time_ms);
/** owm_ledger_block_submitted: node's URL and reason are cut at 127 bytes. */
void owm_ledger_block_submitted(struct owm_ledger *ledger, const uint8_t hash[32], const char *node,
                                bool accepted, const char *reason, int64_t time_ms);
void owm_ledger_block_fate(struct owm_ledger *ledger, const uint8_t hash[32],
                           enum owm_block_fate fate, uint32_t confirmations);

/** owm_ledger_open_blocks: call each(ctx, hash) for every block below OWM_BLOCK_FINAL that was
 *  found in the last 30 days. Returns: OWM_OK; as owm_pg_query. */
OWM_MUST_USE owm_status owm_ledger_open_blocks(struct owm_ledger *ledger,
                                               void (*each)(void *ctx, const uint8_t hash[32]),
                                               void *ctx, struct owm_error *error);

/* ---------------------------------------------------------------------------- pages */

/** Hashes per second. */
struct owm_rates {
    double ten_minutes, hour, day;
};

struct owm_pool_summary {
    struct owm_rates rate;
    uint32_t miners, workers; /* With a share in the last hour. */
    uint64_t shares_hour, shares_day;
    uint32_t blocks_month, orphans_month;
    double earned_sats, paid_sats, owed_sats; /* Of miners: credited; as payments; not settled. */
    double treasury_sats;                     /* Credited to the treasury. */
    int64_t newest_share_ms;                  /* 0: none. */
};

struct owm_miner_line {
    enum owm_miner_kind kind;
    char name[OWM_MINER_TEXT_BYTES];
    uint8_t id[OWM_MINER_ID_BYTES];
    struct owm_rates rate;
    uint64_t shares;
    double balance_sats, paid_sats;
    int64_t last_ms;
};

struct owm_worker_line {
    char name[OWM_WORKER_TEXT_BYTES];
    struct owm_rates rate;
    uint64_t shares;
    int64_t last_ms;
};

struct owm_block_line {
    uint8_t hash[32];
    uint32_t height;
    int64_t found_ms;
    char miner[OWM_MINER_TEXT_BYTES], worker[OWM_WORKER_TEXT_BYTES]; /* "" as long as unknown. */
    uint64_t reward_sats;
    enum owm_block_fate fate;
    uint32_t confirmations;
    uint32_t accepted, refused; /* Nodes that said so. */
    char reason[128];           /* Of a node that refused it. */
};

struct owm_payout_line {
    char payment_id[37];
    char miner[OWM_MINER_TEXT_BYTES]; /* "treasury" for that. */
    uint64_t amount_msat;
    char state[16];
    int64_t created_ms;
};

struct owm_hour_line {
    int64_t hour_ms;
    double rate;
    uint64_t shares;
};

OWM_MUST_USE owm_status owm_ledger_summary(struct owm_ledger *ledger, int64_t now_ms,
                                           struct owm_pool_summary *summary,
                                           struct owm_error *error);

/** owm_ledger_miner: one of them. Returns: OWM_OK; OWM_E_NOTFOUND; as owm_pg_query. */
OWM_MUST_USE owm_status owm_ledger_miner(struct owm_ledger *ledger,
                                         const uint8_t id[OWM_MINER_ID_BYTES], int64_t now_ms,
                                         struct owm_miner_line *line, struct owm_error *error);

/** owm_ledger_list: which lines, and of whom. */
struct owm_ledger_list {
    const uint8_t *miner; /* [OWM_MINER_ID_BYTES]; NULL: all, where that makes sense. */
    int64_t now_ms;
    size_t max; /* Room in `lines`, up to OWM_LEDGER_ROWS_MAX. */
};

/** Lists; *count lines are written. miners: the strongest of the last hour first; workers: of one
 *  miner; blocks: of the last 30 days, newest first, of one miner or of all; payouts: the same of
 *  all time; hours: the newest `max` of the pool, newest first.
 *  Returns: OWM_OK; as owm_pg_query; OWM_E_ARG workers of nobody. */
OWM_MUST_USE owm_status owm_ledger_miners(struct owm_ledger *ledger,
                                          const struct owm_ledger_list *list,
                                          struct owm_miner_line *lines, size_t *count,
                                          struct owm_error *error);
OWM_MUST_USE owm_status owm_ledger_workers(struct owm_ledger *ledger,
                                           const struct owm_ledger_list *list,
                                           struct owm_worker_line *lines, size_t *count,
                                           struct owm_error *error);
OWM_MUST_USE owm_status owm_ledger_blocks(struct owm_ledger *ledger,
                                          const struct owm_ledger_list *list,
                                          struct owm_block_line *lines, size_t *count,
                                          struct owm_error *error);
OWM_MUST_USE owm_status owm_ledger_payouts(struct owm_ledger *ledger,
                                           const struct owm_ledger_list *list,
                                           struct owm_payout_line *lines, size_t *count,
                                           struct owm_error *error);
OWM_MUST_USE owm_status owm_ledger_hours(struct owm_ledger *ledger,
                                         const struct owm_ledger_list *list,
                                         struct owm_hour_line *lines, size_t *count,
                                         struct owm_error *error);

#endif
