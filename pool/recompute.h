/* recompute.h: every sat once more, from the shares, beside what was credited and paid.
 *
 *   shares of a day, priced again     = credits of that day, per account and in sum
 *   all credits of an account         = what it has earned
 *   all payments of an account        = what was taken off its balance
 *   earned - paid                     = its balance
 *
 * A day is that of the tip of its shares (feeder.h), UTC. Shares are kept for 30 days, credits and
 * payments for ever. One snapshot: nothing that the feeder or the payer does meanwhile disturbs.
 * Thread: as its connection.
 */
#ifndef OWM_POOL_RECOMPUTE_H
#define OWM_POOL_RECOMPUTE_H

#include <stdint.h>
#include <stdio.h>

#include "base/pg/pg.h"

struct owm_recompute_options {
    int32_t from_day, to_day; /* Since 1970-01-01, both counted. */
    const char *journal; /* A folder of segments to price instead of the table; NULL: the table. */
    FILE *out;           /* The table of days, and a line per difference. */
};

struct owm_recompute_result {
    uint64_t shares;      /* Priced again. */
    uint32_t days;        /* That could be compared. */
    uint32_t days_gone;   /* Credited, and their shares dropped after their time. */
    uint64_t differences; /* 0: equal to the last picosat. */
};

/** owm_recompute: Returns: OWM_OK, whether equal or not; as owm_pg_query; OWM_E_NOMEM; of the
 *  journal: OWM_E_IO, OWM_E_LIMIT too many shares for one run (narrow the window). */
OWM_MUST_USE owm_status owm_recompute(struct owm_pg *pg,
                                      const struct owm_recompute_options *options,
                                      struct owm_recompute_result *result, struct owm_error *error);

#endif
