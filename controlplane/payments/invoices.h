/* invoices.h: what others pay the treasury: access to the API, bonds.
 *
 * 1. The preimage follows from the payment secret, the source and the purpose, so asking twice
 *    gives the same invoice, and a lost database can be rebuilt.
 * 2. A row is settled, its hook is called and the place in the node's list of settled invoices
 *    moves on in one transaction: each is credited once, whatever dies. What was missed is found
 *    at a start.
 * 3. What was paid is credited, which may be more than was asked.
 * Sources: LND's SubscribeInvoices (settle_index), Core Lightning's waitanyinvoice (lastpay_index).
 */
#ifndef OWM_PAYMENTS_INVOICES_H
#define OWM_PAYMENTS_INVOICES_H

#include "base/metrics.h"
#include "base/outbox.h"
#include "base/pg/pg.h"
#include "wallet.h"

#define OWM_INVOICE_HOOKS_MAX     8
#define OWM_INVOICE_PURPOSE_BYTES (OWM_PAYMENT_PURPOSE_BYTES_MAX - 3) /* "in:" stands before it */

struct owm_invoice_row {
    uint8_t invoice_id[16], source_id[16], payment_hash[32];
    char purpose[OWM_PAYMENT_PURPOSE_BYTES_MAX];
    char state[16]; /* open, settled, cancelled */
    int64_t asked_msat, paid_msat, expires_ms;
    char invoice[OWM_LIGHTNING_INVOICE_BYTES]; /* "" until the node has made it */
};

/** owm_invoice_hook: paid: inside the transaction of the credit, on its connection; the invoice
 *  thread. What it returns but OWM_OK undoes the credit, which is tried again. */
struct owm_invoice_hook {
    const char *purpose;
    owm_status (*paid)(void *ctx, struct owm_pg *pg, const struct owm_invoice_row *row,
                       struct owm_error *error);
    void *ctx;
};

struct owm_invoices_options {
    const char *database_url;
    const struct owm_payment_secret *secret;
    struct owm_lightning_config node;
    struct owm_metrics *metrics;
    owm_wallet_note *note;
    void *note_ctx;
    struct owm_invoice_hook hooks[OWM_INVOICE_HOOKS_MAX];
    size_t hook_count;
};

struct owm_invoices;

/** owm_invoices_open: start; database and node are waited for behind it. Strings and secret are
 *  borrowed until close. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_invoices_open(const struct owm_invoices_options *options,
                                          struct owm_invoices **invoices);
void owm_invoices_close(struct owm_invoices *invoices); /* NULL is allowed */

struct owm_invoice_order {
    const uint8_t *source_id; /* [16] */
    const char *purpose;      /* up to OWM_INVOICE_PURPOSE_BYTES */
    int64_t amount_msat;
    unsigned expiry_s;
    const char *memo;
    bool route_hints;
};

/** owm_invoices_create: the invoice for (source, purpose), made now or before; look at row->state.
 *
 *  pg  the caller's connection, outside of a transaction.
 *  Thread: any, with a connection of its own.
 *  Returns: OWM_OK; OWM_E_AGAIN the node is away: ask again; OWM_E_EXISTS it was asked for with
 *  another amount; as owm_pg_exec and owm_lightning_invoice_add. */
OWM_MUST_USE owm_status owm_invoices_create(struct owm_invoices *invoices, struct owm_pg *pg,
                                            const struct owm_invoice_order *order,
                                            struct owm_invoice_row *row, struct owm_error *error);

#endif
