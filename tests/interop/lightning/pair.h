/* pair.h: the real pair of Lightning nodes for a test program: a rig in a temporary folder, and
 * what a test asks of it. Everything fails the test that it happens in. */
#ifndef OWM_TESTS_PAIR_H
#define OWM_TESTS_PAIR_H

#include "base/lightning/lightning.h"
#include "rig.h"

#define PAIR_STAKE_SATS  1000000
#define PAIR_PAYOUT_SATS 500000
#define PAIR_WAIT_MS     30000

struct pair {
    char folder[64]; /* "/tmp/owm-lightning-XXXXXX" */
    struct rig rig;
    struct daemon *treasury, *owner; /* of the rig; the owner is an operator of a node */
    uint8_t treasury_key[OWM_LIGHTNING_KEY_BYTES], operator_key[OWM_LIGHTNING_KEY_BYTES];
    char stake[OWM_LIGHTNING_POINT_TEXT];  /* opened by the operator, PAIR_STAKE_SATS */
    char payout[OWM_LIGHTNING_POINT_TEXT]; /* opened by the treasury, PAIR_PAYOUT_SATS */
};

/** pair_start: 0, or 77 with the reason where tests/peers/lightning.sh has built nothing, or 1. */
int pair_start(struct pair *pair);
void pair_stop(struct pair *pair);       /* Removes the folder. */
void pair_logs(const struct pair *pair); /* Prints their ends. */

/** pair_config: `of` with the credential of a role, as its recipe has made it. Static text. */
struct owm_lightning_config pair_config(const struct daemon *of, enum owm_lightning_role role);
owm_lightning *pair_open(const struct daemon *of, enum owm_lightning_role role);

/** pair_channel: the channel at `point` as the node behind the handle sees it. */
struct owm_lightning_channel pair_channel(owm_lightning *lightning, const char *point);

/** pair_keysend: an order with a preimage that follows from `number`. */
struct owm_lightning_order pair_keysend(const uint8_t *destination, int64_t amount_msat,
                                        unsigned number);

/** pair_received: what settled invoices with this hash have brought `of`, in millisats; *count how
 *  many of them there are. hash NULL: all invoices. */
int64_t pair_received(const struct daemon *of, const uint8_t *hash, unsigned *count);

/** pair_sent: what succeeded payments have cost `of`, without fees. */
int64_t pair_sent(const struct daemon *of);

/** pair_settle: until no channel of either node has an HTLC. */
void pair_settle(struct pair *pair);

/** pair_restart: one that was stopped or killed, and connect it. pair_wait_active: until both
 *  channels carry payments again. Neither uses gRPC, so a test that forks may call them. */
void pair_restart(struct pair *pair, struct daemon *daemon);
void pair_wait_active(struct pair *pair);

#endif
