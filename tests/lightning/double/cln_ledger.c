/* cln_ledger.c: payments and invoices of the double: rows by hash, as lightningd keeps them. */
#include "cln_ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/status.h"

#define FEE_MSAT 7

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The first row with this hash, in this state if one is named. */
static json_t *row_of(const json_t *rows, const char *hash, const char *state)
{
    json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        bool same = strcmp(text_of(row, "payment_hash"), hash) == 0;
        if (same && (!state || strcmp(text_of(row, "status"), state) == 0)) return row;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------ payments */

static void set_state(json_t *row, const char *state)
{
    json_object_set_new(row, "status", json_string(state));
    json_object_set_new(row, "completed_at", json_integer(time(NULL)));
    if (strcmp(state, "complete") == 0)
        json_object_set(row, "preimage", json_object_get(row, "secret"));
}

/* A part is sent: from now on listpays knows of it. */
static json_t *send_part(struct cln_double *node, const json_t *invoice, json_int_t msat)
{
    bool bolt12 = json_object_get(invoice, "invoice_payment_hash") != NULL;
    json_t *row =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "payment_hash",
                  text_of(invoice, bolt12 ? "invoice_payment_hash" : "payment_hash"), "status",
                  "pending", "created_at", (json_int_t)time(NULL), "amount_msat", msat,
                  "amount_sent_msat", msat + FEE_MSAT, "secret", text_of(invoice, "preimage"));
    json_array_append_new(node->pays, row);
    return row;
}

/* False: the node is closing, or was restarted, and the payment's command with it. */
static bool pass_time(struct cln_double *node)
{
    uint64_t until_ms = owm_clock_mono_ms() + node->after_ms;
    unsigned generation = node->generation;
    while (!node->closing && node->generation == generation) {
        uint64_t now_ms = owm_clock_mono_ms();
        if (now_ms >= until_ms) return true;
        cln_wait(node, (unsigned)(until_ms - now_ms));
    }
    return false;
}

static json_t *paid(const json_t *row)
{
    return cln_result(json_pack(
        "{s:O, s:O, s:O, s:i, s:i}", "payment_preimage", json_object_get(row, "secret"),
        "amount_msat", json_object_get(row, "amount_msat"), "amount_sent_msat",
        json_object_get(row, "amount_sent_msat"), "failed_parts", 0, "successful_parts", 1));
}

/* The part's end, which the script says, or a test with cln_double_end. */
static json_t *finish(struct cln_double *node, json_t *row, enum cln_pay_script script, int code)
{
    if (script == CLN_PAY_STUCK) {
        while (!node->closing && strcmp(text_of(row, "status"), "pending") == 0)
            if (!pass_time(node)) return cln_error(-5, "lightningd is shutting down");
    } else if (!pass_time(node)) {
        return cln_error(-4, "Plugin terminated before replying to RPC call.");
    } else {
        set_state(row, script == CLN_PAY_FAIL ? "failed" : "complete");
        pthread_cond_broadcast(&node->news);
    }
    if (strcmp(text_of(row, "status"), "complete") == 0) return paid(row);
    return cln_error(code, "Destination said it does not know the invoice");
}

json_t *cln_xpay(struct cln_double *node, const json_t *params)
{
    const char *text = text_of(params, "invstring");
    json_t *invoice = cln_decode_text(text[0] ? text : text_of(params, "bolt11")), *row, *answer;
    if (!invoice) return cln_error(-32602, "Invalid bolt11 invoice");
    bool bolt12 = json_object_get(invoice, "invoice_payment_hash") != NULL;
    const char *hash = text_of(invoice, bolt12 ? "invoice_payment_hash" : "payment_hash");
    json_t *asked = json_object_get(invoice, bolt12 ? "invoice_amount_msat" : "amount_msat");
    json_t *given = json_object_get(params, "amount_msat");
    enum cln_pay_script script = node->script;
    int code = node->script_code;
    if (!asked == !given)
        answer = cln_error(-32602, given ? "amount_msat unnecessary" : "amount_msat required");
    else if (row_of(node->pays, hash, "complete"))
        answer = cln_error(219, "Already paid");
    else if (row_of(node->pays, hash, "pending"))
        answer = cln_error(-3, "injectpaymentonion: {\"code\":200,\"message\":\"Payment with hash "
                               "is still in progress\"}");
    else if (script == CLN_PAY_NO_ROUTE)
        answer = cln_error(code, "Failed: We could not find a usable set of paths.");
    else {
        json_int_t msat = json_integer_value(asked ? asked : given);
        row = send_part(node, invoice, msat);
        if (script == CLN_PAY_RETRY) {
            set_state(row, "failed");
            if (pass_time(node)) row = send_part(node, invoice, msat);
        }
        json_incref(row);
        answer = finish(node, row, script, code);
        json_decref(row);
    }
    json_decref(invoice);
    return answer;
}

json_t *cln_listpays(struct cln_double *node, const json_t *params)
{
    const char *hash = text_of(params, "payment_hash");
    json_t *rows = json_array(), *row;
    size_t i;
    json_array_foreach(node->pays, i, row)
    {
        if (strcmp(text_of(row, "payment_hash"), hash) != 0) continue;
        json_t *copy = json_deep_copy(row);
        json_object_del(copy, "secret");
        json_array_append_new(rows, copy);
    }
    return cln_result(json_pack("{s:o}", "pays", rows));
}

void cln_double_end(struct cln_double *node, const uint8_t hash[32], bool success)
{
    char hex[65];
    owm_hex_encode(hash, 32, hex);
    pthread_mutex_lock(&node->lock);
    json_t *row = row_of(node->pays, hex, "pending");
    OWM_ASSERT(row);
    set_state(row, success ? "complete" : "failed");
    pthread_cond_broadcast(&node->news);
    pthread_mutex_unlock(&node->lock);
}

void cln_double_age(struct cln_double *node, const uint8_t hash[32], int s)
{
    static const char *const keys[] = {"created_at", "completed_at"};
    char hex[65];
    json_t *row;
    size_t i;
    owm_hex_encode(hash, 32, hex);
    pthread_mutex_lock(&node->lock);
    json_array_foreach(node->pays, i, row) for (size_t k = 0; k < 2; k++)
    {
        json_int_t at = json_integer_value(json_object_get(row, keys[k]));
        if (at > 0 && strcmp(text_of(row, "payment_hash"), hex) == 0)
            json_object_set_new(row, keys[k], json_integer(at - s));
    }
    pthread_mutex_unlock(&node->lock);
}

unsigned cln_double_paid(struct cln_double *node, const uint8_t hash[32])
{
    char hex[65];
    unsigned count = 0;
    json_t *row;
    size_t i;
    owm_hex_encode(hash, 32, hex);
    pthread_mutex_lock(&node->lock);
    json_array_foreach(node->pays, i, row) if (strcmp(text_of(row, "payment_hash"), hex) == 0
                                               && strcmp(text_of(row, "status"), "failed") != 0)
        count++;
    pthread_mutex_unlock(&node->lock);
    return count;
}

/* ------------------------------------------------------------------------------ invoices */

json_t *cln_invoice(struct cln_double *node, const json_t *params)
{
    char text[CLN_DOUBLE_INVOICE_BYTES], hash[65];
    uint8_t raw[32];
    const char *preimage = text_of(params, "preimage"), *label = text_of(params, "label");
    const json_t *amount = json_object_get(params, "amount_msat"), *row;
    json_int_t expiry = json_integer_value(json_object_get(params, "expiry"));
    size_t i;
    OWM_ASSERT(owm_hex_decode(preimage, raw, 32) == OWM_OK);
    OWM_ASSERT(json_object_get(params, "description"));
    owm_sha256(raw, 32, raw);
    owm_hex_encode(raw, 32, hash);
    json_array_foreach(node->invoices, i, row) if (strcmp(text_of(row, "label"), label)
                                                   == 0) return cln_error(900, "Duplicate label");
    if (row_of(node->invoices, hash, NULL)) return cln_error(901, "preimage already used");
    cln_sell(node->key, preimage, json_integer_value(amount), expiry ? expiry : 604800, false,
             text);
    json_t *made = json_pack("{s:s, s:s, s:s, s:s, s:I}", "label", label, "bolt11", text,
                             "payment_hash", hash, "status", "unpaid", "expires_at",
                             (json_int_t)time(NULL) + (expiry ? expiry : 604800));
    if (json_is_integer(amount)) json_object_set(made, "amount_msat", (json_t *)amount);
    json_array_append_new(node->invoices, made);
    return cln_result(json_pack("{s:s, s:s}", "bolt11", text, "payment_hash", hash));
}

json_t *cln_listinvoices(struct cln_double *node, const json_t *params)
{
    json_t *row = row_of(node->invoices, text_of(params, "payment_hash"), NULL);
    json_t *rows = json_array();
    if (row) json_array_append_new(rows, json_deep_copy(row));
    json_int_t expires = json_integer_value(json_object_get(row, "expires_at"));
    if (row && strcmp(text_of(row, "status"), "unpaid") == 0 && expires < time(NULL))
        json_object_set_new(json_array_get(rows, 0), "status", json_string("expired"));
    return cln_result(json_pack("{s:o}", "invoices", rows));
}

static json_t *next_paid(const struct cln_double *node, json_int_t after)
{
    json_t *row, *next = NULL;
    size_t i;
    json_array_foreach(node->invoices, i, row)
    {
        json_int_t index = json_integer_value(json_object_get(row, "pay_index"));
        if (index > after
            && (!next || index < json_integer_value(json_object_get(next, "pay_index"))))
            next = row;
    }
    return next;
}

json_t *cln_waitanyinvoice(struct cln_double *node, const json_t *params)
{
    json_int_t after = json_integer_value(json_object_get(params, "lastpay_index"));
    json_int_t timeout_s = json_integer_value(json_object_get(params, "timeout"));
    uint64_t until_ms = owm_clock_mono_ms() + (uint64_t)timeout_s * 1000;
    unsigned generation = node->generation;
    json_t *row = next_paid(node, after);
    while (!row && !node->closing && node->generation == generation) {
        if (owm_clock_mono_ms() >= until_ms)
            return cln_error(904, "Timed out while waiting for invoice to be paid");
        cln_wait(node, 1000);
        row = next_paid(node, after);
    }
    return row ? cln_result(json_deep_copy(row)) : cln_error(-5, "lightningd is shutting down");
}

void cln_double_receive(struct cln_double *node, const uint8_t hash[32], int64_t msat)
{
    char hex[65];
    owm_hex_encode(hash, 32, hex);
    pthread_mutex_lock(&node->lock);
    json_t *row = row_of(node->invoices, hex, "unpaid");
    OWM_ASSERT(row);
    json_object_set_new(row, "status", json_string("paid"));
    json_object_set_new(row, "pay_index", json_integer(++node->pay_index));
    json_object_set_new(row, "amount_received_msat", json_integer(msat));
    json_object_set_new(row, "paid_at", json_integer(time(NULL)));
    pthread_cond_broadcast(&node->news);
    pthread_mutex_unlock(&node->lock);
}
