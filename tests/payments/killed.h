/* killed.h: a payer in a process of its own that dies by SIGKILL between two steps of a payment.
 *
 * The steps are the calls that the payer makes: of its ledger and of the Lightning library, that is
 * of a node or of the double, whichever is linked. Whoever links this has those calls led through
 * killed.c (--wrap); the payer itself is what ships.
 * Thread: one, which has no others when it begins a life.
 */
#ifndef TESTS_PAYMENTS_KILLED_H
#define TESTS_PAYMENTS_KILLED_H

#include <sys/types.h>

#include "world.h"

enum killed_step {
    KILLED_CLAIMED,       /* rows are locked, nothing is written */
    KILLED_INVOICE_ASKED, /* of a row that goes to a Lightning address: its server knows nothing */
    KILLED_INVOICE_TOLD,  /* there is an invoice, and nobody has it any more */
    KILLED_ATTEMPT_WRITTEN,   /* and not committed */
    KILLED_ATTEMPT_COMMITTED, /* no worker has the call yet */
    KILLED_PAY_ASKED,         /* the node has not heard of it */
    KILLED_PAY_TAKEN,         /* the node has it, and nobody waited for more */
    KILLED_PAY_TOLD,          /* the end, or that there is none yet, is known and not written */
    KILLED_TRACK_ASKED,       /* the same of a payment that an earlier life left behind */
    KILLED_TRACK_TOLD,
    KILLED_END_KNOWN,   /* a transaction is open, nothing is written */
    KILLED_END_WRITTEN, /* settled or dead, not committed */
    KILLED_END_COMMITTED,
    KILLED_STEPS,
    KILLED_NEVER = KILLED_STEPS,
};

/** killed_fetch: who answers for a Lightning address, as owm_lightning_address_fetch; NULL: the
 *  library that is linked. A server on the public Internet is nothing for a test. */
extern owm_status (*killed_fetch)(const char *address, int64_t amount_msat,
                                  char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                  struct owm_error *error);

/** killed_begin: a life of this world's payer, which ends at the nth time that it comes to `at`.
 *  nth  from 1. */
pid_t killed_begin(struct world *world, enum killed_step at, unsigned nth);

/** killed_ended: it did, by its own hand. */
bool killed_ended(pid_t life);

/** killed_end: kill it with -9 wherever it is, if it lives. */
void killed_end(pid_t life);

/** killed_deaths: how many lives have ended at this step. killed_at: the step in words. */
unsigned killed_deaths(enum killed_step step);
const char *killed_at(enum killed_step step);

#endif
