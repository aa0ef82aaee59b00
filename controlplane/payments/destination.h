/* destination.h: where a payment goes: whom a row means, and the invoice of whoever gives invoices.
 *
 *   node           nodes.payout_to: "" or "keysend": the key of its ln_node_uri; else a Lightning
 *                  address or a BOLT12 offer
 *   miner          a name that is a Lightning address, a node key (66 hex digits, with or without
 *                  @host:port) or an offer; any other name is owed until the miner says where
 *   treasury       payments.treasury_destination; empty: it pays itself, in the books
 *
 * Core Lightning has no keysend with a hash of ours, so with it keys are nobody's.
 */
#ifndef OWM_PAYMENTS_DESTINATION_H
#define OWM_PAYMENTS_DESTINATION_H

#include "base/lightning/lightning.h"
#include "ledger.h"

/* An invoice must be payable for this long when its attempt is written. */
#define OWM_PAY_INVOICE_LEFT_MS 30000

enum owm_destination_kind {
    OWM_DESTINATION_NONE, /* nobody knows: `why` */
    OWM_DESTINATION_KEY,
    OWM_DESTINATION_ADDRESS,
    OWM_DESTINATION_OFFER,
    OWM_DESTINATION_BOOK,
};

struct owm_destination {
    enum owm_destination_kind kind;
    uint8_t key[OWM_LIGHTNING_KEY_BYTES]; /* KEY */
    char text[OWM_PAY_TEXT_BYTES];        /* ADDRESS, OFFER */
    char why[OWM_PAY_REASON_BYTES];       /* NONE */
};

/** owm_destination_of: treasury  payments.treasury_destination. */
struct owm_destination owm_destination_of(const struct owm_payment *payment, const char *treasury,
                                          enum owm_lightning_backend backend);

/** owm_destination_text: from what a person wrote; "": NONE. */
struct owm_destination owm_destination_text(const char *text);

/** owm_destination_invoice: ADDRESS, OFFER: an invoice over exactly amount_msat, decoded and
 *  judged: of our network, payable for a while, not our own. Blocks for the exchange.
 *
 *  own      our node's key.
 *  invoice  [OWM_LIGHTNING_INVOICE_BYTES] written.
 *  Returns: as the calls it makes; OWM_E_PROTO the invoice is not what was asked for. */
struct owm_destination_ask {
    const struct owm_destination *destination;
    const uint8_t *own;
    int64_t amount_msat, now_ms;
};
OWM_MUST_USE owm_status owm_destination_invoice(owm_lightning *lightning,
                                                const struct owm_destination_ask *ask,
                                                char *invoice,
                                                struct owm_lightning_request *request,
                                                struct owm_error *error);

#endif
