/* invoice_command.c: what a test says about invoices and asks of them. */
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "command.h"

static owm_status run_invoice(struct lnd_double *node, struct words *words)
{
    struct invoice invoice;
    memset(&invoice, 0, sizeof invoice);
    const char *memo = word_option(words, "memo"), *hash = word_option(words, "hash");
    snprintf(invoice.memo, sizeof invoice.memo, "%s", memo ? memo : "");
    invoice.value_msat = word_number(words, "value", 0);
    invoice.expiry_s = word_number(words, "expiry", 0);
    invoice.is_hold = hash != NULL;
    if (hash && (strlen(hash) != 64 || owm_hex_decode(hash, invoice.hash, 32) != OWM_OK))
        return wrong(words, "invoice: hash= 64 hex digits");
    if (!hash) {
        owm_uuid_random(invoice.preimage);
        owm_uuid_random(invoice.preimage + 16);
        owm_sha256(invoice.preimage, 32, invoice.hash);
        invoice.has_preimage = true;
    }
    const struct invoice *added = invoice_add(node, &invoice);
    if (!added) return wrong(words, "invoice: it is there");
    char payreq[PAYREQ_BYTES];
    payreq_of(node, added, payreq);
    fprintf(words->out, "%s", payreq);
    return OWM_OK;
}

static struct invoice *named(struct lnd_double *node, struct words *words)
{
    uint8_t hash[32];
    struct invoice *invoice = NULL;
    if (strlen(words->word[1]) == 64 && owm_hex_decode(words->word[1], hash, 32) == OWM_OK)
        invoice = invoice_find(node, hash);
    if (!invoice) (void)!wrong(words, "%s: no invoice %s", words->word[0], words->word[1]);
    return invoice;
}

static owm_status run_arrive(struct lnd_double *node, struct words *words)
{
    const struct invoice *invoice = named(node, words);
    if (!invoice) return OWM_E_NOTFOUND;
    int64_t msat = word_number(words, "msat", invoice->value_msat);
    if (!invoice_arrive(node, invoice->hash, msat))
        return wrong(words, "arrive: refused: it is not open, or too little");
    return OWM_OK;
}

static owm_status run_invoice_state(struct lnd_double *node, struct words *words)
{
    static const char *const names[] = {"open", "settled", "cancelled", "held"};
    invoices_expire(node);
    const struct invoice *invoice = named(node, words);
    if (!invoice) return OWM_E_NOTFOUND;
    fprintf(words->out, "%s", names[invoice->state]);
    return OWM_OK;
}

static owm_status run_expire(struct lnd_double *node, struct words *words)
{
    struct invoice *invoice = named(node, words);
    if (!invoice) return OWM_E_NOTFOUND;
    if (invoice->state != LNRPC__INVOICE__INVOICE_STATE__OPEN)
        return wrong(words, "expire: it is not open");
    invoice_cancel(node, invoice);
    return OWM_OK;
}

const struct command invoice_commands[] = {
    {"invoice", 2, run_invoice}, {"arrive", 2, run_arrive}, {"invoice-state", 2, run_invoice_state},
    {"expire", 2, run_expire},   {NULL, 0, NULL},
};
