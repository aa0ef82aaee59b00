/* report_internal.h: what the parts of a report share: report.c (threads), report_live.c (loops),
 * report_ledger.c (database) and report_ask.c (one miner). */
#ifndef OWM_POOL_REPORT_INTERNAL_H
#define OWM_POOL_REPORT_INTERNAL_H

#include <pthread.h>

#include "report.h"

/** report_entry: one place of a loop's table of workers, without its texts. */
struct report_entry {
    uint8_t miner[OWM_MINER_ID_BYTES];
    uint8_t worker[OWM_WORKER_ID_BYTES];
    uint32_t loop, index, channels;
    double hashes_per_s[OWM_RATE_WINDOWS];
    uint64_t accepted, rejected, best_hashes;
    int64_t last_share_age_ms; /* -1: none yet. */
};

/** report_table: the entries of all loops, by miner and worker. */
struct report_table {
    struct report_entry *entries;
    size_t count, room;
};

/** report_stored: what the ledger says about one miner. */
struct report_stored {
    int64_t taken_ms;
    bool known;
    struct owm_miner_line line;
    struct owm_worker_line workers[OWM_REPORT_WORKERS];
    struct owm_payout_line payouts[OWM_REPORT_MINER_PAYOUTS];
    struct owm_block_line blocks[OWM_REPORT_MINER_BLOCKS];
    size_t worker_count, payout_count, block_count;
};

/** report_asked: one miner about whom somebody has asked.
 *
 *   free -> waiting -> ready   (good for OWM_REPORT_MINER_MS, then waiting again)
 *                   -> failed  (for ASKED_FAILED_MS, then waiting again) */
enum report_asked_state { ASKED_FREE, ASKED_WAITING, ASKED_READY, ASKED_FAILED };
struct report_asked {
    enum report_asked_state state;
    uint8_t miner[OWM_MINER_ID_BYTES];
    uint64_t since_ms;            /* In this state; monotonic. */
    struct report_stored *stored; /* The last answer; NULL: none yet. */
};

struct owm_report {
    struct owm_report_options options;
    struct owm_report_loop *loops;
    char *database_url, *network;
    struct owm_worker_view *views; /* [OWM_WORKERS_COPY], of the live thread. */
    uint64_t started_mono_ms;

    pthread_mutex_t lock;   /* Holds what follows. */
    pthread_cond_t changed; /* Somebody asks, or it ends. */
    bool stopping;
    struct owm_report_price price;
    struct owm_report_live *live, *next_live; /* next_…: of their thread. */
    struct report_table table, next_table;
    struct owm_report_ledger *ledger, *next_ledger;
    struct report_asked asked[OWM_REPORT_ASKED_MAX];

    struct owm_ledger *database; /* Of the ledger thread, as away_told. */
    bool away_told;
    pthread_t live_thread, ledger_thread;
    bool live_started, ledger_started;
    void (*on_live)(void *ctx);
    void *ctx;
};

/** report_collect: one look at all loops into next_live and next_table; out of memory, miners are
 *  missing. Then they are swapped in. */
void report_collect(struct owm_report *report);

/** report_sum_up: entries [count] of one miner as one, without its name; a worker in two loops is
 *  one worker. */
void report_sum_up(const struct report_entry *entries, size_t count,
                   struct owm_report_miner *miner);

/** report_ledger_run: the ledger thread. */
void *report_ledger_run(void *report);

/** report_answer: one question to the database, of those that wait; the lock is held, and let go
 *  meanwhile. Returns false when none waits. */
bool report_answer(struct owm_report *report);

/** report_pause: until the time comes or the report ends; wake: or somebody asks. With the lock. */
void report_pause(struct owm_report *report, uint64_t until_mono_ms, bool wake);

/** report_waiting: a question that has waited longest; NULL: none. With the lock. */
struct report_asked *report_waiting(struct owm_report *report);

#endif
