/* payer.h: the dispatcher: what is owed in an outbox leaves through a Lightning node.
 *
 * One thread per ledger decides and writes; workers make the calls, which block. A row is claimed
 * as soon as it is committed (NOTIFY; a poll in case one is lost), its attempt is committed before
 * the call, and what is under way longer than a call waits is looked at until it has an end. At a
 * start everything in flight is asked about before anything is sent (attempt.h has the rules).
 *
 * Bounds: `concurrency` calls at a time; `in_flight_max` payments under way in a ledger, and
 * OWM_PAY_PER_PAYEE of them to one payee, so that payments that somebody holds back keep nobody
 * else waiting; a budget for any 24 hours, in our own ledger, because a Lightning node has none; a
 * fee limit of max(fee_min, fee_ppm of the amount), never above the amount itself.
 */
#ifndef OWM_PAYMENTS_PAYER_H
#define OWM_PAYMENTS_PAYER_H

#include "attempt.h"
#include "base/metrics.h"
#include "base/outbox.h"
#include "wallet.h"

#define OWM_PAY_PER_PAYEE 16
#define OWM_PAY_RESOLVERS 8    /* threads that ask strangers for invoices: they may be slow */
#define OWM_PAY_WAIT_MS   3000 /* that a call waits for the end of its payment */
#define OWM_PAY_SURE_MS                                                                            \
    5000 /* nothing is sent longer than this after we were last sure to lead: with
                                  a call's own time it ends within OWM_ATTEMPT_TRANSIT_MS */
#define OWM_PAY_POLL_MS 1000 /* a retry is late by this at most */

struct owm_pay_options {
    const char *database_url; /* the coordinator's */
    const struct owm_payment_secret *secret;
    const char *pool_database_url; /* "" or NULL: no pool */
    const struct owm_payment_secret *pool_secret;
    struct owm_lightning_config node;
    const char *treasury_destination; /* "": the pool's treasury pays itself, in the books */
    unsigned concurrency, in_flight_max;
    unsigned deadline_s; /* after which the node gives a payment up */
    int64_t fee_min_msat, fee_ppm;
    int64_t daily_budget_msat; /* 0: none */
    bool paused;               /* nothing is sent, nor sent again; what is under way is followed */
    struct owm_retry retry;
    bool open_channels; /* SRS-LN-03 */
    int64_t channel_sats, reserve_sats;
    struct owm_metrics *metrics;
    owm_wallet_note *note;
    void *note_ctx;
};

struct owm_pay;

/** owm_pay_open: start; databases and node are waited for behind it. Strings and secrets are
 *  borrowed until close. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_pay_open(const struct owm_pay_options *options, struct owm_pay **pay);

/** owm_pay_close: send nothing more, wait for calls that are being made (OWM_PAY_WAIT_MS, or the
 *  node's time limit), write what they brought. NULL is allowed. */
void owm_pay_close(struct owm_pay *pay);

/** owm_pay_fee_limit_msat: for a payment of this amount. */
int64_t owm_pay_fee_limit_msat(const struct owm_pay_options *options, int64_t amount_msat);

#endif
