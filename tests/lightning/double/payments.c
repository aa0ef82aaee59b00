/* payments.c: the control tower: one entry per hash, kept over restarts, and what becomes of it.
 *
 *     INITIATED -> IN_FLIGHT -> SUCCEEDED
 *                      \-----> FAILED -> (sent again) INITIATED
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "double.h"

#define STATUS(name) LNRPC__PAYMENT__PAYMENT_STATUS__##name

struct payment *payment_find(struct lnd_double *node, const uint8_t hash[32])
{
    const uint32_t *slot =
        index_slot(&node->payment_index, hash, (uint8_t *)node->payments, sizeof *node->payments);
    return slot && *slot ? &node->payments[*slot - 1] : NULL;
}

struct payment *payment_put(struct lnd_double *node, const struct payment *payment)
{
    struct payment *at = payment_find(node, payment->hash);
    if (at) {
        *at = *payment;
        return at;
    }
    OWM_ASSERT(node->payment_count < LND_DOUBLE_PAYMENTS_MAX);
    node->payments = table_grow(node->payments, node->payment_count, &node->payment_room,
                                sizeof *node->payments);
    node->payments[node->payment_count++] = *payment;
    index_add(&node->payment_index, node->payment_count, (uint8_t *)node->payments,
              sizeof *node->payments);
    return &node->payments[node->payment_count - 1];
}

static void payment_save(struct lnd_double *node, const struct payment *payment)
{
    journal_write(node, RECORD_PAYMENT, payment, sizeof *payment);
}

static bool is_over(const struct payment *payment)
{
    return payment->status == STATUS(SUCCEEDED) || payment->status == STATUS(FAILED);
}

/* -------------------------------------------------------------------------------- telling */

/* LND shows INITIATED as IN_FLIGHT, and an unknown preimage as zeros. */
static void payment_tell(struct stream *stream, const struct payment *payment)
{
    if (stream->quiet && !is_over(payment)) return;
    char hash[65], preimage[65];
    static const uint8_t unknown[32];
    bool paid = payment->status == STATUS(SUCCEEDED);
    owm_hex_encode(payment->hash, 32, hash);
    owm_hex_encode(paid ? payment->preimage : unknown, 32, preimage);
    Lnrpc__Payment message = LNRPC__PAYMENT__INIT;
    message.payment_hash = hash;
    message.payment_preimage = preimage;
    message.value_msat = payment->amount_msat;
    message.status = is_over(payment) ? payment->status : STATUS(IN_FLIGHT);
    message.fee_msat = paid ? payment->fee_msat : 0;
    message.failure_reason = payment->reason;
    stream_send(stream, &message.base);
}

static void payment_changed(struct lnd_double *node, const struct payment *payment)
{
    payment_save(node, payment);
    for (struct stream *stream = node->streams; stream; stream = stream->next) {
        if ((stream->method != METHOD_send_payment && stream->method != METHOD_track_payment)
            || memcmp(stream->hash, payment->hash, 32) != 0)
            continue;
        payment_tell(stream, payment);
        if (is_over(payment)) stream_finish(stream);
    }
}

/* ------------------------------------------------------------------------------ happening */

void payment_end(struct lnd_double *node, struct payment *payment, const uint8_t *preimage,
                 Lnrpc__PaymentFailureReason reason)
{
    if (is_over(payment)) return;
    payment->status = preimage ? STATUS(SUCCEEDED) : STATUS(FAILED);
    payment->reason = preimage ? LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_NONE : reason;
    if (preimage) {
        memcpy(payment->preimage, preimage, 32);
        payment->settled++;
    }
    payment_changed(node, payment);
}

void payments_resolve(const uint8_t hash[32], const uint8_t *preimage)
{
    for (struct lnd_double *node = node_first(); node; node = node->next) {
        struct payment *payment = payment_find(node, hash);
        if (payment && payment->delivered)
            payment_end(node, payment, preimage,
                        LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_INCORRECT_PAYMENT_DETAILS);
    }
}

/* To a receiver of this process: what its invoice says decides, now or when it is settled. */
static void payment_deliver(struct lnd_double *node, struct payment *payment,
                            struct lnd_double *receiver)
{
    const struct invoice *invoice = invoice_find(receiver, payment->hash);
    bool had = payment->delivered && invoice && invoice->paid_msat > 0;
    payment->delivered = true;
    payment_save(node, payment);
    bool taken = true;
    if (!had && payment->is_keysend && !invoice)
        invoice_arrive_keysend(receiver, payment);
    else if (!had)
        taken = invoice_arrive(receiver, payment->hash, payment->amount_msat);
    invoice = invoice_find(receiver, payment->hash);
    if (!taken || (had && invoice->state == LNRPC__INVOICE__INVOICE_STATE__CANCELED))
        payment_end(node, payment, NULL,
                    LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_INCORRECT_PAYMENT_DETAILS);
    else if (invoice->state == LNRPC__INVOICE__INVOICE_STATE__SETTLED)
        payment_end(node, payment, invoice->preimage, 0);
}

static void payment_succeed(struct lnd_double *node, struct payment *payment)
{
    uint8_t hash[32];
    struct lnd_double *receiver = node_by_key(payment->destination);
    if (payment->is_keysend) owm_sha256(payment->preimage, 32, hash);
    if (payment->is_keysend && memcmp(hash, payment->hash, 32) != 0)
        payment_end(node, payment, NULL,
                    LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_INCORRECT_PAYMENT_DETAILS);
    else if (receiver)
        payment_deliver(node, payment, receiver);
    else if (payment->has_preimage)
        payment_end(node, payment, payment->preimage, 0);
}

static void payment_due(struct lnd_double *node, void *arg, bool dropped)
{
    struct payment *payment = dropped ? NULL : payment_find(node, arg);
    free(arg);
    if (!payment || payment->status != STATUS(IN_FLIGHT)) return;
    if (payment->plan == PLAN_FAIL)
        payment_end(node, payment, NULL, payment->plan_reason);
    else
        payment_succeed(node, payment);
}

static void payment_plan(struct lnd_double *node, struct payment *payment)
{
    if (payment->plan != PLAN_SUCCEED && payment->plan != PLAN_FAIL) return;
    uint8_t *hash = malloc(32);
    OWM_ASSERT(hash);
    memcpy(hash, payment->hash, 32);
    if (payment->due_ms > owm_clock_wall_ms())
        task_add(node, payment->due_ms, payment_due, hash);
    else
        payment_due(node, hash, false);
}

/* LND sends on what it had in flight when it stopped. */
void payments_resume(struct lnd_double *node)
{
    for (size_t i = 0; i < node->payment_count; i++) {
        struct payment *payment = &node->payments[i];
        if (is_over(payment) || payment->plan == PLAN_STALL) continue;
        payment->status = STATUS(IN_FLIGHT);
        payment_save(node, payment);
        payment_plan(node, payment);
    }
}

/* --------------------------------------------------------------------------------- asking */

#define KEYSEND_RECORD 5482373484u

struct rule *rule_for(struct lnd_double *node, const uint8_t destination[KEY_BYTES])
{
    for (size_t i = 0; i < node->rule_count; i++)
        if (memcmp(node->rules[i].destination, destination, KEY_BYTES) == 0) return &node->rules[i];
    return &node->default_rule;
}

static void records_read(const Lnrpc__SendPaymentRequest *request, struct payment *payment)
{
    for (size_t i = 0; i < request->n_dest_custom_records; i++) {
        const Lnrpc__CustomRecord *record = request->dest_custom_records[i];
        if (record->key == KEYSEND_RECORD && record->value.len == 32) {
            payment->is_keysend = payment->has_preimage = true;
            memcpy(payment->preimage, record->value.data, 32);
        } else if (payment->record_bytes == 0 && record->value.len <= RECORD_BYTES) {
            payment->record_key = record->key;
            payment->record_bytes = (unsigned)record->value.len;
            if (record->value.len) memcpy(payment->record, record->value.data, record->value.len);
        }
    }
}

/* routerrpc's extractIntentFromSendRequest; false: why is in text. */
static bool invoice_read(const struct lnd_double *node, const Lnrpc__SendPaymentRequest *request,
                         struct payment *payment, char text[200])
{
    struct payreq payreq;
    const char *why = NULL;
    if (request->dest.len > 0) why = "dest and payment_request cannot appear together";
    if (request->payment_hash.len > 0)
        why = "payment_hash and payment_request cannot appear together";
    if (!why) why = payreq_decode(node->network, request->payment_request, &payreq);
    if (!why && payreq.created_s + payreq.expiry_s < owm_clock_wall_ms() / 1000)
        why = "invoice expired. Valid until its time";
    if (!why && payreq.msat == 0 && request->amt_msat == 0)
        why = "amount must be specified when paying a zero amount invoice";
    if (!why && payreq.msat != 0 && request->amt_msat != 0)
        why = "amount must not be specified when paying a non-zero amount invoice";
    if (why) {
        snprintf(text, 200, "%s", why);
        return false;
    }
    memcpy(payment->hash, payreq.hash, 32);
    memcpy(payment->destination, payreq.payee, KEY_BYTES);
    payment->has_preimage = payreq.has_preimage;
    memcpy(payment->preimage, payreq.preimage, 32);
    payment->amount_msat = payreq.msat ? payreq.msat : request->amt_msat;
    return true;
}

static bool intent_read(const struct lnd_double *node, const Lnrpc__SendPaymentRequest *request,
                        struct payment *payment, char text[200])
{
    memset(payment, 0, sizeof *payment);
    payment->fee_limit_msat = request->fee_limit_msat;
    records_read(request, payment);
    if (request->payment_request[0]) {
        if (!invoice_read(node, request, payment, text)) return false;
    } else if (request->dest.len != KEY_BYTES) {
        snprintf(text, 200, "invalid vertex length of %zu, want 33", request->dest.len);
        return false;
    } else if (request->amt_msat == 0) {
        snprintf(text, 200, "amount must be specified");
        return false;
    } else if (request->payment_hash.len != 32) {
        snprintf(text, 200, "invalid hash length of %zu, want 32", request->payment_hash.len);
        return false;
    } else {
        memcpy(payment->destination, request->dest.data, KEY_BYTES);
        memcpy(payment->hash, request->payment_hash.data, 32);
        payment->amount_msat = request->amt_msat;
    }
    snprintf(text, 200, "self-payments not allowed");
    return memcmp(payment->destination, node->key, KEY_BYTES) != 0;
}

/* payments/db/payment_status.go: initializable. */
static const char *tower_refusal(const struct payment *payment)
{
    switch (payment->status) {
    case STATUS(INITIATED):
        return "payment already exists";
    case STATUS(IN_FLIGHT):
        return "payment is in transition";
    case STATUS(SUCCEEDED):
        return "invoice is already paid";
    default:
        return NULL;
    }
}

static void plan_make(struct payment *payment, const struct rule *rule)
{
    payment->plan = rule->plan;
    payment->plan_reason = rule->reason;
    payment->fee_msat = rule->fee_msat;
    payment->due_ms = rule->after_ms ? owm_clock_wall_ms() + rule->after_ms : 0;
    payment->status = STATUS(INITIATED);
    bool unknown_to_receiver =
        !payment->is_keysend && !payment->has_preimage && !node_by_key(payment->destination);
    if (rule->plan != PLAN_SUCCEED) return;
    if (unknown_to_receiver) payment->plan = PLAN_HANG; /* a hold invoice of another process */
    if (rule->fee_msat <= payment->fee_limit_msat) return;
    payment->plan = PLAN_FAIL;
    payment->plan_reason = LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_NO_ROUTE;
}

static int64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

void handle_send_payment(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__SendPaymentRequest *request = message;
    struct payment payment;
    char text[200];
    if (!intent_read(node, request, &payment, text)) {
        refuse(call, OWM_RPC_UNKNOWN, "%s", text);
        return;
    }
    struct rule *rule = rule_for(node, payment.destination);
    if (rule->refuse > 0) {
        rule->refuse--;
        refuse(call, OWM_RPC_UNAVAILABLE, "connection reset by peer");
        return;
    }
    struct payment *old = payment_find(node, payment.hash);
    const char *refusal = old ? tower_refusal(old) : NULL;
    if (refusal) {
        old->refused++;
        payment_save(node, old);
        refuse(call, OWM_RPC_ALREADY_EXISTS, "%s", refusal);
        return;
    }
    struct stream *stream = stream_open(node, call, METHOD_send_payment);
    if (!stream) return;
    if (rule->cut >= 0) stream->cut = rule->cut;
    stream->quiet = request->no_inflight_updates;
    memcpy(stream->hash, payment.hash, 32);
    payment.accepted = (old ? old->accepted : 0) + 1;
    payment.arrived_us = old ? old->arrived_us : wall_us();
    payment.refused = old ? old->refused : 0;
    payment.settled = old ? old->settled : 0;
    plan_make(&payment, rule);
    struct payment *at = payment_put(node, &payment);
    payment_changed(node, at);
    if (at->plan == PLAN_STALL) return;
    at->status = STATUS(IN_FLIGHT);
    payment_changed(node, at);
    payment_plan(node, at);
}

void handle_track_payment(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__TrackPaymentRequest *request = message;
    if (request->payment_hash.len != 32) {
        refuse(call, OWM_RPC_UNKNOWN, "invalid hash length of %zu, want 32",
               request->payment_hash.len);
        return;
    }
    struct payment *payment = payment_find(node, request->payment_hash.data);
    if (!payment) {
        refuse(call, OWM_RPC_NOT_FOUND, "payment isn't initiated");
        return;
    }
    struct stream *stream = stream_open(node, call, METHOD_track_payment);
    if (!stream) return;
    stream->quiet = request->no_inflight_updates;
    memcpy(stream->hash, payment->hash, 32);
    payment_tell(stream, payment);
    if (is_over(payment)) stream_finish(stream);
}
