/* bonds.h: what a node can forfeit. A force close gives a stake back (docs/slashing.md); a bond is
 * money that the treasury can keep.
 *
 *   hold  a hold invoice that the node paid: its sats lie in an HTLC of the direct channel, and
 *         neither side has them. Settle = slash, cancel = release. An HTLC does not live for ever,
 *         so it is rolled: a new bond is held before the old one is released.
 *   paid  an invoice that the node paid: the treasury has the sats, and owes them back.
 *
 *   asked --HTLC came--> held --leave, no case--> leaving --called off--> returned
 *     |  `--paid-------> paid --leave-----------> leaving --delay over--> returned (outbox row)
 *     |                   `--a case is decided--> slashing --taken--> slashed
 *     |                         slashing, slashed --overturned--> giving_back --> returned
 *     `--not paid in time, or the HTLC's time is over--> expired --paid all the same--> paid
 *
 * What is owed back goes through the outbox (purpose "bond_return"), so promise 1 covers it. What
 * the Lightning node has to be told follows from the rows: one thread tells it, looks the invoice
 * up first, and may be killed anywhere; each step holds its row, so that a decision comes before or
 * after it. A bond of a node with an open case does not leave, but where a newer one replaces it.
 * Bonds are an option: a network that asks for none has none.
 */
#ifndef OWM_BONDS_BONDS_H
#define OWM_BONDS_BONDS_H

#include "controlplane/payments/invoices.h"
#include "controlplane/slashing/bonds.h"

#define OWM_BONDS_OF_NODE_MAX 8 /* that have not ended */
#define OWM_BOND_PURPOSE      "bond"
#define OWM_BOND_RETURN       "bond_return"
#define OWM_BOND_NOTICE_BYTES 240

struct owm_bonds_options {
    const char *database_url;
    const struct owm_payment_secret *secret;
    struct owm_lightning_config node; /* role INVOICE */
    struct owm_invoices *invoices;    /* of paid bonds */
    struct owm_metrics *metrics;
    int64_t min_sats, max_sats; /* of one bond */
    int64_t unbonding_ms;       /* paid: between leave and the way back */
    unsigned hold_blocks;       /* how long an HTLC may lie; LND's own limit on a route is 2016 */
    unsigned roll_blocks;       /* this long before its end the node is told to roll */
    unsigned poll_ms;           /* 0: 2000 */
    /* What whoever looks after the coordinator should know, from the bonds' thread; "": nothing.
     * NULL: nobody asks. */
    void (*note)(void *ctx, const char *text);
    void *note_ctx;
};

struct owm_bonds;

/** owm_bonds_open: start. All borrowed until close. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_bonds_open(const struct owm_bonds_options *options,
                                       struct owm_bonds **bonds);
void owm_bonds_close(struct owm_bonds *bonds); /* NULL is allowed */

enum owm_bond_kind { OWM_BOND_NONE, OWM_BOND_HOLD, OWM_BOND_PAID };

struct owm_bond_ask {
    enum owm_bond_kind kind; /* NONE: asks only */
    int64_t amount_sats;
    bool leave; /* every bond of this node */
};

struct owm_bond {
    uint8_t bond_id[16];
    char kind[8], state[16];
    int64_t amount_msat, until_ms;
    char invoice[OWM_LIGHTNING_INVOICE_BYTES]; /* while asked */
    char note[160];                            /* what it waits for */
};

/** owm_bonds_ask: make a bond, leave, or look; then the bonds of the node, newest first.
 *
 *  A hold bond while another is held rolls: the old one is released once the new one is held. The
 *  same request while one is asked gives that one again.
 *  Blocks for the Lightning node's answer. Thread: any; one is served at a time.
 *  Returns: OWM_OK; OWM_E_ARG the amount (named limits); OWM_E_LIMIT too many; OWM_E_STATE a case
 *  is open: nothing leaves; OWM_E_AGAIN the treasury's node is away; OWM_E_UNSUPPORTED it has no
 *  hold invoices; as owm_pg_query. */
OWM_MUST_USE owm_status owm_bonds_ask(struct owm_bonds *bonds, const uint8_t node_id[16],
                                      const struct owm_bond_ask *ask,
                                      struct owm_bond list[OWM_BONDS_OF_NODE_MAX], size_t *count,
                                      struct owm_error *error);

/** owm_bonds_notice: what this node is told with a heartbeat: that its hold bond ends soon. Out of
 *  memory, so it costs next to nothing. Thread: any.
 *  Returns: whether there is something; notice "" otherwise. */
bool owm_bonds_notice(struct owm_bonds *bonds, const uint8_t node_id[16],
                      char notice[OWM_BOND_NOTICE_BYTES]);

/** owm_bonds_invoice_hook: give it to owm_invoices_open: paid bonds are credited by it.
 *  owm_bonds_hooks_of: give them to owm_slashing_open. Static. */
struct owm_invoice_hook owm_bonds_invoice_hook(void);
const struct owm_bonds_hooks *owm_bonds_hooks_of(void);

#endif
