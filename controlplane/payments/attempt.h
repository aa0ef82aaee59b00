/* attempt.h: what to do next with a payment: the decisions alone, without database, node or clock.
 *
 *     owed -> attempt N written and committed -> pay -> settled
 *      ^                                          |
 *      |   the node says FAILED, or refuses       | no answer, a restart, still in flight
 *      +------------------------------------------+--> track, and again, until it is known
 *
 * 1. An attempt is a row before it is a call, so after a crash it is asked about, never guessed.
 * 2. The node refuses a hash that it has in flight or has paid. So the same attempt may be called
 *    again whenever the node says that it never heard of it: it is the same payment.
 * 3. Another attempt follows only when the old one is dead: the node says FAILED or refused the
 *    call, and no other call of it can still be on its way; or it never heard of an invoice that
 *    nobody can pay any more. Keysend attempts of a payment all have one hash; invoices each have
 *    their own.
 * 4. No answer is no failure, whatever the error was called.
 * Sources: LND's control tower (SRS-LN-05, promise 1); Core Lightning's listpays is the same.
 */
#ifndef OWM_PAYMENTS_ATTEMPT_H
#define OWM_PAYMENTS_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lightning/lightning.h"
#include "base/status.h"

#define OWM_PAY_REASON_BYTES 200

/* The clocks of the node and of us differ by less than this. */
#define OWM_ATTEMPT_SKEW_MS 600000

/* No call that we gave up, or that a process which died had made, is on its way to the node for
 * longer than this: a local network, and a node that was busy. */
#define OWM_ATTEMPT_TRANSIT_MS 30000

/* First and longest pause between two looks at an attempt that is under way. */
#define OWM_ATTEMPT_LOOK_MIN_MS 250
#define OWM_ATTEMPT_LOOK_MAX_MS 30000

enum owm_attempt_kind {
    OWM_ATTEMPT_KEYSEND,
    OWM_ATTEMPT_INVOICE,
    OWM_ATTEMPT_BOOK, /* no payment: the treasury pays itself */
};

/** owm_attempt: one that is alive. */
struct owm_attempt {
    enum owm_attempt_kind kind;
    int64_t expires_ms; /* INVOICE */
    int64_t unsure_ms;  /* when a call of it last ended without an answer, or it was read from its
                           row; 0: never, every call was answered */
    unsigned looks;     /* since this process has it */
    char refused[OWM_PAY_REASON_BYTES]; /* the node's words, if it refused the last call */
};

/** owm_heard: what became of the last call, or nothing (the attempt was just read from its row). */
enum owm_heard_of { OWM_HEARD_NOTHING, OWM_HEARD_PAY, OWM_HEARD_TRACK };
struct owm_heard {
    enum owm_heard_of of;
    owm_status status;                         /* of the call */
    const struct owm_lightning_outcome *found; /* with OWM_OK */
    const char *why;                           /* with anything else */
};

enum owm_step_kind {
    OWM_STEP_PAY,    /* call pay with this attempt at at_ms */
    OWM_STEP_TRACK,  /* call track at at_ms */
    OWM_STEP_SETTLE, /* paid: the outcome has preimage and fee */
    OWM_STEP_OWE,    /* the attempt is dead: owed again, another one from at_ms on */
    OWM_STEP_FAIL,   /* the same, and no other until a person says so */
};

struct owm_step {
    enum owm_step_kind kind;
    int64_t at_ms;
    char reason[OWM_PAY_REASON_BYTES]; /* OWE, FAIL: why; PAY, TRACK: what is waited for */
};

/** owm_retry: how a payment that failed is tried again. */
struct owm_retry {
    int64_t min_ms, max_ms; /* the pause doubles from one to the other */
    int64_t transit_ms;     /* OWM_ATTEMPT_TRANSIT_MS */
    unsigned failures_max;  /* then it is failed for good; 0: never */
};

/** owm_moment: what a decision depends on beside the attempt. */
struct owm_moment {
    const struct owm_retry *retry;
    unsigned failures; /* of this payment so far, without this attempt */
    int64_t now_ms;
    uint32_t chance; /* uniform in 32 bits */
};

/** owm_retry_pause_ms: after `failures` of them: between half and all of what doubling gives, so
 *  that many do not come back at once. */
int64_t owm_retry_pause_ms(const struct owm_moment *moment);

/** owm_attempt_step: what to do now. Updates the attempt. */
struct owm_step owm_attempt_step(struct owm_attempt *attempt, const struct owm_heard *heard,
                                 const struct owm_moment *moment);

/** owm_attempt_none: the step after no attempt could even be made, for this reason. */
struct owm_step owm_attempt_none(const char *why, const struct owm_moment *moment);

const char *owm_attempt_kind_name(enum owm_attempt_kind kind); /* "keysend", "invoice", "book" */

#endif
