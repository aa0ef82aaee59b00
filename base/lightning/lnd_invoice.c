/* lnd_invoice.c: invoices of LND, plain and held. */
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "lnd.h"

static const enum owm_lightning_invoice_state states[] = {
    [LNRPC__INVOICE__INVOICE_STATE__OPEN] = OWM_LIGHTNING_INVOICE_OPEN,
    [LNRPC__INVOICE__INVOICE_STATE__SETTLED] = OWM_LIGHTNING_INVOICE_SETTLED,
    [LNRPC__INVOICE__INVOICE_STATE__CANCELED] = OWM_LIGHTNING_INVOICE_CANCELLED,
    [LNRPC__INVOICE__INVOICE_STATE__ACCEPTED] = OWM_LIGHTNING_INVOICE_HELD,
};

/* The first block at which one of the HTLCs that we hold is over. */
static uint32_t expiry_height(const Lnrpc__Invoice *from)
{
    uint32_t height = 0;
    for (size_t i = 0; i < from->n_htlcs; i++) {
        const Lnrpc__InvoiceHTLC *htlc = from->htlcs[i];
        if (htlc->state != LNRPC__INVOICE_HTLCSTATE__ACCEPTED || htlc->expiry_height <= 0) continue;
        if (height == 0 || (uint32_t)htlc->expiry_height < height)
            height = (uint32_t)htlc->expiry_height;
    }
    return height;
}

/* What HTLCs that we hold bring; LND counts what was paid only once it is settled. */
static int64_t held_msat(const Lnrpc__Invoice *from)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < from->n_htlcs; i++)
        if (from->htlcs[i]->state == LNRPC__INVOICE_HTLCSTATE__ACCEPTED
            && from->htlcs[i]->amt_msat < INT64_MAX / 1024)
            sum += from->htlcs[i]->amt_msat;
    return sum <= INT64_MAX ? (int64_t)sum : 0;
}

owm_status lnd_invoice_read(const Lnrpc__Invoice *from, struct owm_lightning_invoice *invoice,
                            struct owm_error *error)
{
    *invoice = (struct owm_lightning_invoice){0};
    if (from->r_hash.len != 32) return lnd_nonsense(LND_LookupInvoice, "r_hash", error);
    if ((unsigned)from->state >= sizeof states / sizeof states[0])
        return lnd_nonsense(LND_LookupInvoice, "an unknown state", error);
    if (strlen(from->payment_request) >= OWM_LIGHTNING_INVOICE_BYTES)
        return lnd_nonsense(LND_LookupInvoice, "a payment_request that is too long", error);
    if (from->value_msat < 0 || from->amt_paid_msat < 0)
        return lnd_nonsense(LND_LookupInvoice, "a negative amount", error);
    memcpy(invoice->payment_hash, from->r_hash.data, 32);
    memcpy(invoice->invoice, from->payment_request, strlen(from->payment_request) + 1);
    invoice->state = states[from->state];
    invoice->asked_msat = from->value_msat;
    invoice->paid_msat = from->amt_paid_msat;
    invoice->settled_s = from->settle_date;
    invoice->settle_index = from->settle_index;
    if (invoice->state != OWM_LIGHTNING_INVOICE_HELD) return OWM_OK;
    invoice->expiry_height = expiry_height(from);
    if (invoice->paid_msat == 0) invoice->paid_msat = held_msat(from);
    return OWM_OK;
}

owm_status lnd_invoice_find(owm_lightning *lightning, const uint8_t payment_hash[32],
                            struct owm_lightning_invoice *invoice, struct owm_error *error)
{
    Lnrpc__PaymentHash request = LNRPC__PAYMENT_HASH__INIT;
    ProtobufCMessage *reply;
    request.r_hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)payment_hash};
    owm_status status =
        lnd_call((struct lnd *)lightning, LND_LookupInvoice, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    status = lnd_invoice_read((Lnrpc__Invoice *)reply, invoice, error);
    if (status == OWM_OK && memcmp(invoice->payment_hash, payment_hash, 32) != 0)
        status = lnd_nonsense(LND_LookupInvoice, "it is about another payment hash", error);
    lnd_free(reply);
    return status;
}

/* ------------------------------------------------------------------------------- adding */

static owm_status take_text(enum lnd_method method, const char *text,
                            char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    size_t length = strlen(text);
    if (length == 0 || length >= OWM_LIGHTNING_INVOICE_BYTES)
        return lnd_nonsense(method, "payment_request", error);
    memcpy(invoice, text, length + 1);
    return OWM_OK;
}

static owm_status add_plain(struct lnd *lnd, const struct owm_lightning_ask *ask,
                            char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    Lnrpc__Invoice request = LNRPC__INVOICE__INIT;
    ProtobufCMessage *reply;
    request.r_preimage = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)ask->preimage};
    request.memo = (char *)(ask->memo ? ask->memo : "");
    request.value_msat = ask->amount_msat;
    request.expiry = ask->expiry_s;
    request.private_ = ask->route_hints;
    owm_status status = lnd_call(lnd, LND_AddInvoice, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    status = take_text(LND_AddInvoice, ((Lnrpc__AddInvoiceResponse *)reply)->payment_request,
                       invoice, error);
    lnd_free(reply);
    return status;
}

static owm_status add_hold(struct lnd *lnd, const struct owm_lightning_ask *ask,
                           char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    Lnrpc__AddHoldInvoiceRequest request = LNRPC__ADD_HOLD_INVOICE_REQUEST__INIT;
    ProtobufCMessage *reply;
    request.hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)ask->payment_hash};
    request.memo = (char *)(ask->memo ? ask->memo : "");
    request.value_msat = ask->amount_msat;
    request.expiry = ask->expiry_s;
    request.cltv_expiry = ask->cltv_blocks;
    request.private_ = ask->route_hints;
    owm_status status = lnd_call(lnd, LND_AddHoldInvoice, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    status = take_text(LND_AddHoldInvoice, ((Lnrpc__AddHoldInvoiceResp *)reply)->payment_request,
                       invoice, error);
    lnd_free(reply);
    return status;
}

/* LND refused; if that was because the hash is there, what is there is the answer. */
static owm_status find_existing(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                                owm_status refused, char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                struct owm_error *error)
{
    uint8_t hash[32];
    if (ask->preimage)
        owm_sha256(ask->preimage, 32, hash);
    else
        memcpy(hash, ask->payment_hash, 32);
    struct owm_lightning_invoice there;
    struct owm_error second = {0};
    owm_status status = lnd_invoice_find(lightning, hash, &there, &second);
    if (status == OWM_E_NOTFOUND) return refused == OWM_E_EXISTS ? OWM_E_STATE : refused;
    if (status != OWM_OK) return owm_fail(error, status, "%s", second.text);
    if (there.asked_msat != ask->amount_msat)
        return owm_fail(error, OWM_E_EXISTS,
                        "LND: there is an invoice with this payment hash and another amount");
    return take_text(LND_LookupInvoice, there.invoice, invoice, error);
}

owm_status lnd_invoice_add(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                           char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    struct lnd *lnd = (struct lnd *)lightning;
    owm_status status =
        ask->preimage ? add_plain(lnd, ask, invoice, error) : add_hold(lnd, ask, invoice, error);
    if (status != OWM_E_STATE && status != OWM_E_EXISTS) return status;
    return find_existing(lightning, ask, status, invoice, error);
}

/* --------------------------------------------------------------------- settle and cancel */

/* LND says no such invoice in words. */
static owm_status unknown_or(owm_status status, const struct owm_error *refusal,
                             struct owm_error *error)
{
    bool unknown = status == OWM_E_STATE
                   && (strstr(refusal->text, "unable to locate invoice")
                       || strstr(refusal->text, "no existing invoices"));
    return owm_fail(error, unknown ? OWM_E_NOTFOUND : status, "%s", refusal->text);
}

owm_status lnd_invoice_settle(owm_lightning *lightning, const uint8_t preimage[32],
                              struct owm_error *error)
{
    Lnrpc__SettleInvoiceMsg request = LNRPC__SETTLE_INVOICE_MSG__INIT;
    ProtobufCMessage *reply;
    struct owm_error refusal = {0};
    request.preimage = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)preimage};
    owm_status status =
        lnd_call((struct lnd *)lightning, LND_SettleInvoice, &request.base, &reply, &refusal);
    lnd_free(reply);
    return status == OWM_OK ? OWM_OK : unknown_or(status, &refusal, error);
}

owm_status lnd_invoice_cancel(owm_lightning *lightning, const uint8_t payment_hash[32],
                              struct owm_error *error)
{
    Lnrpc__CancelInvoiceMsg request = LNRPC__CANCEL_INVOICE_MSG__INIT;
    ProtobufCMessage *reply;
    struct owm_error refusal = {0};
    request.payment_hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)payment_hash};
    owm_status status =
        lnd_call((struct lnd *)lightning, LND_CancelInvoice, &request.base, &reply, &refusal);
    lnd_free(reply);
    return status == OWM_OK ? OWM_OK : unknown_or(status, &refusal, error);
}
