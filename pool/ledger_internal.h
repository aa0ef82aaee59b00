/* ledger_internal.h: what ledger.c (connection, events) and ledger_pages.c (queries) share. */
#ifndef OWM_POOL_LEDGER_INTERNAL_H
#define OWM_POOL_LEDGER_INTERNAL_H

#include <pthread.h>

#include "base/pg/pg.h"
#include "ledger.h"

#define LEDGER_TEXT_BYTES 128

enum ledger_kind { LEDGER_FOUND, LEDGER_SUBMITTED, LEDGER_FATE };

struct ledger_event {
    enum ledger_kind kind;
    uint8_t hash[32];
    int64_t time_ms;
    uint64_t reward_sats;
    uint32_t height, confirmations;
    enum owm_block_fate fate;
    bool accepted;
    char node[LEDGER_TEXT_BYTES], reason[LEDGER_TEXT_BYTES];
};

struct owm_ledger {
    pthread_mutex_t asking; /* Holds pg. */
    struct owm_pg *pg;
    pthread_mutex_t lock; /* Holds what follows. */
    pthread_cond_t more;
    struct ledger_event *events; /* [OWM_LEDGER_EVENTS_MAX], a ring. */
    size_t first, count;
    bool stopping, started;
    pthread_t thread;
};

/** ledger_query: one query on the connection, which is made again if it is lost. */
OWM_MUST_USE owm_status ledger_query(struct owm_ledger *ledger, const char *sql,
                                     const struct owm_pg_args *args, struct owm_pg_rows **rows,
                                     struct owm_error *error);

#endif
