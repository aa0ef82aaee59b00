/* destination.c: see destination.h. */
#include "destination.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/lightning/address.h"

#define KEY_DIGITS (2 * OWM_LIGHTNING_KEY_BYTES)

static struct owm_destination none(const char *why)
{
    struct owm_destination none = {.kind = OWM_DESTINATION_NONE};
    snprintf(none.why, sizeof(none.why), "%s", why);
    return none;
}

static struct owm_destination named(enum owm_destination_kind kind, const char *text)
{
    struct owm_destination named = {.kind = kind};
    snprintf(named.text, sizeof(named.text), "%s", text);
    return named;
}

/* "66 hex digits" or "66 hex digits@host:port". */
static bool read_key(const char *text, uint8_t key[OWM_LIGHTNING_KEY_BYTES])
{
    char digits[KEY_DIGITS + 1] = "";
    const char *host;
    if (owm_lightning_uri_parse(text, key, &host) == OWM_OK) return true;
    if (strlen(text) != KEY_DIGITS) return false;
    memcpy(digits, text, KEY_DIGITS);
    return owm_hex_decode(digits, key, OWM_LIGHTNING_KEY_BYTES) == OWM_OK
           && (key[0] == 2 || key[0] == 3);
}

struct owm_destination owm_destination_text(const char *text)
{
    struct owm_destination to = {.kind = OWM_DESTINATION_KEY};
    if (read_key(text, to.key)) return to;
    if (strncasecmp(text, "lno1", 4) == 0) return named(OWM_DESTINATION_OFFER, text);
    if (owm_lightning_address_valid(text)) return named(OWM_DESTINATION_ADDRESS, text);
    return none("nobody knows where to: this is no Lightning address, node key or BOLT12 offer");
}

static struct owm_destination of_node(const struct owm_payment *payment)
{
    struct owm_destination to = {.kind = OWM_DESTINATION_KEY};
    const char *payout = payment->payout_to;
    if (payout[0] && strcmp(payout, "keysend") != 0) return owm_destination_text(payout);
    if (read_key(payment->ln_node_uri, to.key)) return to;
    return none(payment->ln_node_uri[0]
                    ? "the node's Lightning URI is none: it registers with pubkey@host:port"
                    : "the node has named no Lightning node yet");
}

struct owm_destination owm_destination_of(const struct owm_payment *payment, const char *treasury,
                                          enum owm_lightning_backend backend)
{
    if (payment->account == OWM_PAY_TREASURY && !treasury[0])
        return (struct owm_destination){.kind = OWM_DESTINATION_BOOK};
    struct owm_destination to =
        payment->account == OWM_PAY_TREASURY ? owm_destination_text(treasury)
        : payment->account == OWM_PAY_NODE   ? of_node(payment)
                                             : owm_destination_text(payment->payee);
    if (to.kind == OWM_DESTINATION_KEY && backend == OWM_LIGHTNING_CLN)
        return none(
            "Core Lightning cannot send to a bare key with a hash of ours: name a Lightning "
            "address or a BOLT12 offer to be paid at");
    return to;
}

static owm_status judge(const struct owm_lightning_request *request,
                        const struct owm_destination_ask *ask, struct owm_error *error)
{
    static const uint8_t zero[32];
    if (request->amount_msat != ask->amount_msat)
        return owm_fail(error, OWM_E_PROTO,
                        "an invoice over %lld msat came where %lld msat were asked for",
                        (long long)request->amount_msat, (long long)ask->amount_msat);
    if (request->expires_s * 1000 < ask->now_ms + OWM_PAY_INVOICE_LEFT_MS)
        return owm_fail(error, OWM_E_PROTO, "the invoice expires too soon to be paid");
    if (memcmp(request->destination, ask->own, OWM_LIGHTNING_KEY_BYTES) == 0)
        return owm_fail(error, OWM_E_PROTO, "the invoice is one of our own node");
    if (memcmp(request->payment_hash, zero, sizeof(zero)) == 0)
        return owm_fail(error, OWM_E_PROTO, "the invoice has no payment hash");
    return OWM_OK;
}

owm_status owm_destination_invoice(owm_lightning *lightning, const struct owm_destination_ask *ask,
                                   char *invoice, struct owm_lightning_request *request,
                                   struct owm_error *error)
{
    const struct owm_destination *to = ask->destination;
    owm_status status =
        to->kind == OWM_DESTINATION_OFFER
            ? owm_lightning_fetch_invoice(lightning, to->text, ask->amount_msat, invoice, error)
            : owm_lightning_address_fetch(to->text, ask->amount_msat, invoice, error);
    if (status == OWM_OK) status = owm_lightning_decode(lightning, invoice, request, error);
    if (status == OWM_OK) status = judge(request, ask, error);
    return status;
}
