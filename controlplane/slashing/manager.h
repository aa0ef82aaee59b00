/* manager.h: what the files of the slashing manager share. */
#ifndef OWM_SLASHING_MANAGER_H
#define OWM_SLASHING_MANAGER_H

#include <pthread.h>

#include "controlplane/slashing/rows.h"
#include "controlplane/slashing/slashing.h"

#define LOG_PAGES_MAX 16 /* asked for at the same time */

enum page_state { PAGE_FREE, PAGE_ASKED, PAGE_READY, PAGE_FAILED };

/** log_page: one page of the log that somebody waits for, or that was just made. */
struct log_page {
    enum page_state state;
    uint64_t after, asked_ms;
    size_t limit;
    char *text;
};

struct owm_slashing {
    struct owm_slashing_config config;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    bool stop, awake;
    struct log_page page[LOG_PAGES_MAX];
    /* the thread's own */
    struct owm_pg *pg;
    struct owm_case *scratch;
    uint64_t started_ms, say_again_ms;
    owm_gauge *open, *decided, *evicting, *last_week;
    owm_counter *decisions, *overturned;
};

/** case_move: load one case and do the next step that it is due, if any, in one transaction. */
owm_status case_move(struct owm_slashing *s, const uint8_t case_id[16], bool in_grace,
                     struct owm_error *error);

/** log_evictions: entries for the channels that owm-slasher saw closed. */
owm_status log_evictions(struct owm_slashing *s, struct owm_error *error);

/** enforce: see which suspensions and reinstatements have reached the nodes' rows, and say again
 *  those that have not. */
owm_status enforce(struct owm_slashing *s, bool in_grace, struct owm_error *error);

/** log_pages_fill: answer who waits for pages. pages_fail: the database is away. */
owm_status log_pages_fill(struct owm_slashing *s, struct owm_error *error);
void log_pages_fail(struct owm_slashing *s);

#endif
