/* anchor_internal.h: what the thread, the file and the questions of others share. Private to
 * ots/calendar.
 */
#ifndef OWM_OTS_CALENDAR_ANCHOR_INTERNAL_H
#define OWM_OTS_CALENDAR_ANCHOR_INTERNAL_H

#include <pthread.h>

#include "anchor.h"
#include "anchor_path.h"
#include "wallet.h"

#define ANCHOR_WATCH_BLOCKS 144 /* A block that is deeper is not expected to leave the chain. */

/** What the thread alone uses, too large for its stack. */
struct anchor_scratch {
    struct wallet_draft draft;
    struct wallet_found found;
    uint8_t data[ANCHOR_TRANSACTION_BYTES];
    uint8_t record[ANCHORS_RECORD_BYTES_MAX];
};

struct anchor {
    struct anchor_options options;
    pthread_t thread;
    bool has_thread;
    struct anchor_scratch *scratch;
    int fd; /* folder/anchors, at its end. */

    pthread_mutex_t lock; /* Of all below. The thread alone changes anchors, so it reads without. */
    pthread_cond_t wake;
    bool stop;
    struct wallet *wallet; /* NULL: no node that is of use. */
    struct anchors anchors;
    struct wallet_view seen; /* At the last look; height 0: never. */
    bool moved;              /* The newest block is another than at the look before. */
    struct owm_error trouble;

    pthread_mutex_t tops_lock; /* Of both below: of each batch that was asked for, or NULL. */
    uint8_t (**tops)[32];
    uint32_t tops_room;
};

/* anchors_file.c */

/** anchors_open: reads folder/anchors, or makes it; what a crash cut off at its end is removed.
 *  Returns: OWM_OK; OWM_E_PROTO damaged; OWM_E_IO, OWM_E_NOMEM, …. */
OWM_MUST_USE owm_status anchors_open(struct anchor *anchor, struct owm_error *error);

/** anchors_append: a record [bytes], first on disk, then in memory. After a failure nothing is
 *  appended any more, for memory may not be what the file says.
 *  Returns: OWM_OK; OWM_E_IO, OWM_E_NOMEM, OWM_E_PROTO. */
OWM_MUST_USE owm_status anchors_append(struct anchor *anchor, const uint8_t *record, size_t bytes,
                                       struct owm_error *error);

/* anchor_steps.c */

/** anchor_step: one look at the chain, and what follows from it.
 *  Returns: OWM_OK; else a sentence for `trouble`: it is tried again. */
OWM_MUST_USE owm_status anchor_step(struct anchor *anchor, struct owm_error *error);

/** anchor_due_ms: when the next transaction may be sent; Unix ms. */
int64_t anchor_due_ms(const struct anchor *anchor);

/* anchor_follow.c */

/** anchor_follow: a batch that is not done: in which block is it, has it all confirmations, must it
 *  be sent again or replaced?   Returns: as anchor_step. */
OWM_MUST_USE owm_status anchor_follow(struct anchor *anchor, uint32_t batch,
                                      struct owm_error *error);

/* anchor_make.c */

/** anchor_make: a signed transaction for a batch, on disk, not yet sent.
 *
 *  replaced  whose inputs it spends, with a higher fee; NULL: any inputs.
 *  Returns: OWM_OK; OWM_E_LIMIT a fee is over its limit; what the wallet says. */
struct anchor_wish {
    uint32_t batch, first, count;
    const uint8_t *root; /* [32] */
    const struct anchor_transaction *replaced;
};
OWM_MUST_USE owm_status anchor_make(struct anchor *anchor, const struct anchor_wish *wish,
                                    struct owm_error *error);

#endif
