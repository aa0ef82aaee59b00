/* stake_internal.h: what the threads of the stake manager share. */
#ifndef OWM_STAKE_INTERNAL_H
#define OWM_STAKE_INTERNAL_H

#include <pthread.h>

#include "controlplane/stake/nodes.h"
#include "controlplane/stake/plan.h"
#include "controlplane/stake/rows.h"
#include "controlplane/stake/stake.h"

#define STAKE_ASK_TIMEOUT_MS  2000
#define STAKE_LIST_TIMEOUT_MS 30000 /* 10,000 channels are some megabytes */
#define STAKE_FOLLOW_MS       15000
#define STAKE_LIST_PAUSE_MS   250
#define STAKE_AWAY_MS         1000 /* between two tries to reach a treasury that is away */

#define STAKE_THREADS 4

struct stake_ask {
    struct stake_ask *next;
    uint64_t number;
    uint8_t ln_key[OWM_LIGHTNING_KEY_BYTES];
    int64_t asked_ms; /* monotonic */
    owm_stake_answer_fn *answer;
    void *ctx;
};

/** stake_treasury: what is known of the treasury's node. */
struct stake_treasury {
    bool answers, known; /* known: it has answered once, key and uri are set */
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    char uri[OWM_LIGHTNING_TEXT_BYTES];
    char text[OWM_ERROR_BYTES_MAX]; /* of owm_stake_state_text */
};

struct stake_metrics {
    owm_gauge *channels, *sats, *degraded, *slashings, *oldest_s, *up;
    owm_counter *readings, *failures;
    owm_histogram *seconds;
};

struct owm_stake {
    struct owm_stake_config config;
    pthread_mutex_t lock;
    pthread_cond_t reader_wakes, asker_wakes, expirer_wakes, watcher_wakes;
    bool running, stopping;
    struct stake_nodes nodes;                /* lock; number is that of the plan */
    struct owm_stake_plan *plan;             /* lock */
    struct stake_ask *first_ask, **last_ask; /* lock; the first is the oldest */
    uint32_t ask_count;
    uint64_t asks;
    struct stake_treasury treasury; /* lock */
    struct stake_metrics metrics;
    struct stake_rows rows; /* reader's thread */
    pthread_t thread[STAKE_THREADS];
};

int64_t stake_mono_ms(void);

/** stake_wait: with the lock held, until the condition is signalled or for wait_ms. */
void stake_wait(struct owm_stake *stake, pthread_cond_t *condition, int64_t wait_ms);
bool stake_is_stopping(struct owm_stake *stake);

/** treasury_open: a handle of role STAKE, after a look at who answers.
 *  Returns: as owm_stake_open, and NET, TIMEOUT, AGAIN. */
OWM_MUST_USE owm_status treasury_open(struct owm_stake *stake, unsigned timeout_ms,
                                      owm_lightning **handle, struct owm_error *error);

/** treasury_say: note and log how it stands, if that is news. treasury_look: ask and note it. */
void treasury_say(struct owm_stake *stake, bool answers, const char *text);
OWM_MUST_USE owm_status treasury_look(struct owm_stake *stake, owm_lightning *handle,
                                      struct owm_error *error);

/** treasury_is_away: whether a status says that there is nobody now, and nothing about what is
 *  configured. */
bool treasury_is_away(owm_status status);

void *reader_main(void *stake);
void *asker_main(void *stake);
void *expirer_main(void *stake);
void *watcher_main(void *stake);

/** asker_cancel: answer all that wait with OWM_E_CANCELLED. */
void asker_cancel(struct owm_stake *stake);

#endif
