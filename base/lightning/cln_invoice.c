/* cln_invoice.c: invoices of Core Lightning.
 *
 * The label of an invoice is its payment hash in hex: lightningd takes each label once, so that a
 * repeat finds the first. It has no hold invoices. Paid ones have a pay_index that grows, and
 * waitanyinvoice gives the first after a given one, from the beginning for 0; the watch keeps that
 * call open for as long as nothing comes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "cln.h"

#define CODE_LABEL_USED    900
#define CODE_PREIMAGE_USED 901
#define CODE_NOTHING_PAID  904
#define WAIT_S             3600 /* that lightningd waits before it says so */

/* A long BOLT12 text of somebody else's is left out: the watch must go on. */
static void take_text(const json_t *row, struct owm_lightning_invoice *invoice)
{
    const char *text = cln_text(row, "bolt11");
    if (!text[0]) text = cln_text(row, "bolt12");
    if (strlen(text) < OWM_LIGHTNING_INVOICE_BYTES)
        memcpy(invoice->invoice, text, strlen(text) + 1);
}

static owm_status read_paid(const json_t *row, struct owm_lightning_invoice *invoice)
{
    const json_t *index = json_object_get(row, "pay_index"), *at = json_object_get(row, "paid_at");
    if (!json_is_integer(index) || json_integer_value(index) <= 0 || !json_is_integer(at)
        || json_integer_value(at) < 0)
        return OWM_E_PROTO;
    invoice->state = OWM_LIGHTNING_INVOICE_SETTLED;
    invoice->settle_index = (uint64_t)json_integer_value(index);
    invoice->settled_s = json_integer_value(at);
    return cln_read_msat(row, "amount_received_msat", &invoice->paid_msat, NULL);
}

owm_status cln_read_invoice(const json_t *row, struct owm_lightning_invoice *invoice)
{
    *invoice = (struct owm_lightning_invoice){0};
    const char *state = cln_text(row, "status");
    bool there;
    owm_status status = cln_read_hex(row, "payment_hash", invoice->payment_hash, 32, NULL);
    if (status == OWM_OK) status = cln_read_msat(row, "amount_msat", &invoice->asked_msat, &there);
    if (status != OWM_OK) return status;
    take_text(row, invoice);
    if (strcmp(state, "paid") == 0) return read_paid(row, invoice);
    if (strcmp(state, "unpaid") == 0)
        invoice->state = OWM_LIGHTNING_INVOICE_OPEN;
    else if (strcmp(state, "expired") == 0)
        invoice->state = OWM_LIGHTNING_INVOICE_CANCELLED;
    else
        return OWM_E_PROTO;
    return OWM_OK;
}

/* --------------------------------------------------------------------------------- find */

static owm_status read_found(const json_t *result, const uint8_t hash[32],
                             struct owm_lightning_invoice *invoice)
{
    const json_t *rows = json_object_get(result, "invoices");
    if (!json_is_array(rows) || json_array_size(rows) > 1) return OWM_E_PROTO;
    if (json_array_size(rows) == 0) return OWM_E_NOTFOUND;
    owm_status status = cln_read_invoice(json_array_get(rows, 0), invoice);
    if (status == OWM_OK && memcmp(invoice->payment_hash, hash, 32) != 0) return OWM_E_PROTO;
    return status;
}

owm_status cln_invoice_find(owm_lightning *lightning, const uint8_t payment_hash[32],
                            struct owm_lightning_invoice *invoice, struct owm_error *error)
{
    char hex[65];
    struct cln_reply reply;
    owm_hex_encode(payment_hash, 32, hex);
    struct cln_ask ask = {.method = CLN_listinvoices,
                          .params = json_pack("{s:s}", "payment_hash", hex)};
    owm_status status = cln_call((struct cln *)lightning, ask, &reply, error);
    if (status == OWM_OK)
        status =
            cln_nonsense(CLN_listinvoices, read_found(reply.result, payment_hash, invoice), error);
    cln_reply_free(&reply);
    if (status == OWM_E_NOTFOUND)
        return owm_fail(error, status, "Core Lightning: it knows no such invoice");
    return status;
}

/* ------------------------------------------------------------------------------- adding */

/* NULL: out of memory. */
static json_t *ask_params(const struct owm_lightning_ask *ask, const uint8_t hash[32])
{
    char label[65], preimage[65];
    owm_hex_encode(hash, 32, label);
    owm_hex_encode(ask->preimage, 32, preimage);
    json_t *amount = ask->amount_msat ? json_integer(ask->amount_msat) : json_string("any");
    json_t *params =
        json_pack("{s:o, s:s, s:o, s:s}", "amount_msat", amount, "label", label, "description",
                  owm_json_text(ask->memo ? ask->memo : ""), "preimage", preimage);
    explicit_bzero(preimage, sizeof preimage);
    bool whole = params
                 && (!ask->expiry_s
                     || json_object_set_new(params, "expiry", json_integer(ask->expiry_s)) == 0)
                 && (!ask->route_hints
                     || json_object_set_new(params, "exposeprivatechannels", json_true()) == 0);
    if (whole) return params;
    json_decref(params);
    return NULL;
}

static owm_status take_existing(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                                const uint8_t hash[32], char *invoice, struct owm_error *error)
{
    struct owm_lightning_invoice there;
    struct owm_error second = {{0}};
    owm_status status = cln_invoice_find(lightning, hash, &there, &second);
    if (status == OWM_E_NOTFOUND) return OWM_E_STATE; /* with lightningd's own sentence */
    if (status != OWM_OK) return owm_fail(error, status, "%s", second.text);
    if (there.asked_msat != ask->amount_msat)
        return owm_fail(error, OWM_E_EXISTS,
                        "Core Lightning: there is an invoice with this payment hash and another "
                        "amount");
    memcpy(invoice, there.invoice, sizeof there.invoice);
    return invoice[0] ? OWM_OK : cln_nonsense(CLN_listinvoices, OWM_E_PROTO, error);
}

owm_status cln_invoice_add(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                           char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    uint8_t hash[32];
    struct cln_reply reply;
    if (!ask->preimage)
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "Core Lightning has no hold invoices; use LND for them, or do without");
    owm_sha256(ask->preimage, 32, hash);
    owm_status status = cln_call(
        (struct cln *)lightning,
        (struct cln_ask){.method = CLN_invoice, .params = ask_params(ask, hash)}, &reply, error);
    bool used = reply.code == CODE_LABEL_USED || reply.code == CODE_PREIMAGE_USED;
    if (status == OWM_OK) {
        const char *text = cln_text(reply.result, "bolt11");
        size_t length = strlen(text);
        if (length > 0 && length < OWM_LIGHTNING_INVOICE_BYTES)
            memcpy(invoice, text, length + 1);
        else
            status = cln_nonsense(CLN_invoice, OWM_E_PROTO, error);
    }
    cln_reply_free(&reply);
    if (status != OWM_E_STATE || !used) return status;
    return take_existing(lightning, ask, hash, invoice, error);
}

/* -------------------------------------------------------------------------------- watch */

struct invoice_watch {
    struct owm_lightning_invoices base; /* first */
    struct cln *cln;
    uint64_t pay_index;
    bool waiting; /* a call is open on the wire */
    struct cln_wire wire;
};

owm_status cln_watch_invoices(owm_lightning *lightning, uint64_t settle_index,
                              struct owm_lightning_invoices **out, struct owm_error *error)
{
    struct invoice_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
    watch->cln = (struct cln *)lightning;
    watch->pay_index = settle_index;
    watch->wire.fd = -1;
    *out = &watch->base;
    return OWM_OK;
}

static owm_status begin_wait(struct invoice_watch *watch, struct owm_error *error)
{
    struct cln_ask ask = {.method = CLN_waitanyinvoice,
                          .params = json_pack("{s:I, s:i}", "lastpay_index",
                                              (json_int_t)watch->pay_index, "timeout", WAIT_S)};
    owm_status status = cln_call_begin(watch->cln, ask, &watch->wire, error);
    watch->waiting = status == OWM_OK;
    return status;
}

static void end_wait(struct invoice_watch *watch)
{
    cln_wire_close(&watch->wire);
    watch->waiting = false;
}

static owm_status read_news(struct invoice_watch *watch, const json_t *result,
                            struct owm_lightning_invoice *invoice)
{
    owm_status status = cln_read_invoice(result, invoice);
    if (status != OWM_OK) return status;
    if (invoice->state != OWM_LIGHTNING_INVOICE_SETTLED
        || invoice->settle_index <= watch->pay_index)
        return OWM_E_PROTO;
    watch->pay_index = invoice->settle_index;
    return OWM_OK;
}

owm_status cln_invoices_next(struct owm_lightning_invoices *base, unsigned wait_ms,
                             struct owm_lightning_invoice *invoice, struct owm_error *error)
{
    struct invoice_watch *watch = (struct invoice_watch *)base;
    uint64_t until_ms = owm_clock_mono_ms() + wait_ms;
    for (;;) {
        struct cln_reply reply;
        owm_status status = watch->waiting ? OWM_OK : begin_wait(watch, error);
        if (status != OWM_OK) return status == OWM_E_TIMEOUT ? OWM_E_NET : status;
        status =
            cln_call_end(watch->cln, CLN_waitanyinvoice, &watch->wire, until_ms, &reply, error);
        if (status == OWM_E_TIMEOUT && watch->wire.fd >= 0) return status;
        bool nothing = status == OWM_E_STATE && reply.code == CODE_NOTHING_PAID;
        if (status == OWM_OK)
            status =
                cln_nonsense(CLN_waitanyinvoice, read_news(watch, reply.result, invoice), error);
        cln_reply_free(&reply);
        end_wait(watch);
        if (!nothing) return status == OWM_E_TIMEOUT ? OWM_E_NET : status;
    }
}

void cln_invoices_close(struct owm_lightning_invoices *base)
{
    struct invoice_watch *watch = (struct invoice_watch *)base;
    end_wait(watch);
    free(watch);
}
