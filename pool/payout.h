/* payout.h: balances become payment rows: the outbox of a Lightning sender (promise 1).
 *
 * A miner is due when its balance has reached the threshold, or when the oldest share that it has
 * not been paid for is as old as the timer (SRS-POOL-07), but never below the minimum. The
 * treasury's balance goes into the same batch (SRS-POOL-08). One transaction takes the whole sats
 * off the balances and writes the rows, each with the hash that its payment will have; what is
 * below a sat stays. A row is `owed` until a sender takes it, also where nobody knows yet how to
 * reach the miner: it is not lost and not paid to another.
 *
 * The minimum is 1 sat, so that the timer pays whoever has earned anything at all. Sending a few
 * sats costs more in routing fees than they are: an operator who pays the fees raises the minimum
 * (100 sats is a sensible one); the balance then waits, and is paid as soon as it has reached it.
 *
 * Several pools may share a database: an advisory lock lets one of them pay at a time.
 * Thread: owm_payout_run as its connection; owm_payer: one.
 */
#ifndef OWM_POOL_PAYOUT_H
#define OWM_POOL_PAYOUT_H

#include "base/metrics.h"
#include "base/outbox.h"
#include "base/pg/pg.h"

#define OWM_PAYOUT_THRESHOLD_SATS 10000
#define OWM_PAYOUT_TIMER_MS       3600000
#define OWM_PAYOUT_INTERVAL_MS    60000 /* Between two looks at the balances. */
#define OWM_PAYOUT_MINIMUM_SATS   1
#define OWM_PAYOUT_MINERS_MAX     5000 /* Of one batch; the next one follows at once. */

struct owm_payout_options {
    uint64_t threshold_sats; /* 0: the default, as those below. */
    uint64_t timer_ms;       /* A share is paid before it is this old: one interval earlier. */
    uint64_t interval_ms;
    uint64_t minimum_sats;
};

struct owm_payout_result {
    uint8_t batch_id[16];
    uint32_t miners; /* 0: nobody was due, and there is no batch. */
    uint64_t miner_msat, treasury_msat;
};

/** owm_payout_run: at most one batch, as of now_ms.
 *  Returns: OWM_OK durable; OWM_E_EXISTS another process is paying; as owm_pg_exec, with nothing
 *  changed. */
OWM_MUST_USE owm_status owm_payout_run(struct owm_pg *pg, const struct owm_payment_secret *secret,
                                       const struct owm_payout_options *options, int64_t now_ms,
                                       struct owm_payout_result *result, struct owm_error *error);

struct owm_payer;

/** owm_payer_start: owm_payout_run every interval on a thread of its own, with a connection of its
 *  own that is made again when it is lost.
 *  secret   Borrowed until owm_payer_stop. metrics: NULL for none.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_payer_start(const char *database_url,
                                        const struct owm_payment_secret *secret,
                                        const struct owm_payout_options *options,
                                        struct owm_metrics *metrics, struct owm_payer **payer);
void owm_payer_stop(struct owm_payer *payer); /* NULL is allowed. */

#endif
