/* wallet.h: a handle of the treasury's Lightning node: opened when it answers, watched, and left
 * alone while it is away, locked or behind the chain. A thread asks it every few seconds how it is
 * and, in role PAY, what it holds.
 *
 * Thread: any, but open and close.
 */
#ifndef OWM_PAYMENTS_WALLET_H
#define OWM_PAYMENTS_WALLET_H

#include "base/lightning/lightning.h"
#include "base/metrics.h"

#define OWM_WALLET_TRY_MS  2000  /* between two tries while it is away */
#define OWM_WALLET_LOOK_MS 10000 /* between two looks at its funds */

struct owm_wallet;

/** What to tell a person: "" when all is well. Thread: the wallet's. */
typedef void owm_wallet_note(void *ctx, const char *text);

struct owm_wallet_options {
    struct owm_lightning_config node; /* role PAY or INVOICE; strings borrowed until close */
    struct owm_metrics *metrics;
    owm_wallet_note *note; /* may be NULL */
    void *note_ctx;
};

/** owm_wallet_open: start; the node is opened behind it. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_wallet_open(const struct owm_wallet_options *options,
                                        struct owm_wallet **wallet);
void owm_wallet_close(struct owm_wallet *wallet); /* NULL is allowed; nobody is inside */

bool owm_wallet_ready(struct owm_wallet *wallet);

/** owm_wallet_enter: the node, to be used until owm_wallet_leave; NULL: it is away (no leave then).
 *  own  its key, written. */
owm_lightning *owm_wallet_enter(struct owm_wallet *wallet, uint8_t own[OWM_LIGHTNING_KEY_BYTES]);
void owm_wallet_leave(struct owm_wallet *wallet);

/** owm_wallet_heard: how a call ended: one without an answer makes it "away" until it is seen. */
void owm_wallet_heard(struct owm_wallet *wallet, owm_status status, const char *why);

#endif
