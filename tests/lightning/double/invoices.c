/* invoices.c: our invoices: OPEN -> (ACCEPTED, held) -> SETTLED or CANCELED, and who hears of it
 * (invoices/invoiceregistry.go). */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "double.h"

#define STATE(name)         LNRPC__INVOICE__INVOICE_STATE__##name
#define HOLD_EXPIRY_BLOCKS  18 /* LND gives a held HTLC back so long before its end */
#define CLTV_BLOCKS_DEFAULT 80
#define EXPIRY_S_DEFAULT    86400
#define EXPIRY_S_MAX        (365 * 86400)
#define LIST_DEFAULT        100

struct invoice *invoice_find(struct lnd_double *node, const uint8_t hash[32])
{
    const uint32_t *slot =
        index_slot(&node->invoice_index, hash, (uint8_t *)node->invoices, sizeof *node->invoices);
    return slot && *slot ? &node->invoices[*slot - 1] : NULL;
}

struct invoice *invoice_put(struct lnd_double *node, const struct invoice *invoice)
{
    if (invoice->settle_index > node->settle_index) node->settle_index = invoice->settle_index;
    struct invoice *at = invoice_find(node, invoice->hash);
    if (at) {
        *at = *invoice;
        return at;
    }
    OWM_ASSERT(node->invoice_count < LND_DOUBLE_INVOICES_MAX);
    node->invoices = table_grow(node->invoices, node->invoice_count, &node->invoice_room,
                                sizeof *node->invoices);
    node->invoices[node->invoice_count++] = *invoice;
    index_add(&node->invoice_index, node->invoice_count, (uint8_t *)node->invoices,
              sizeof *node->invoices);
    return &node->invoices[node->invoice_count - 1];
}

static void invoice_save(struct lnd_double *node, const struct invoice *invoice)
{
    journal_write(node, RECORD_INVOICE, invoice, sizeof *invoice);
}

/* --------------------------------------------------------------------------------- telling */

/* One message and what it points to. */
struct shown {
    Lnrpc__Invoice message;
    Lnrpc__InvoiceHTLC htlc, *htlcs;
    Lnrpc__CustomRecord record, *records;
    char payreq[PAYREQ_BYTES];
};

static void htlc_show(const struct invoice *invoice, struct shown *shown)
{
    static const Lnrpc__InvoiceHTLCState states[] = {
        [STATE(ACCEPTED)] = LNRPC__INVOICE_HTLCSTATE__ACCEPTED,
        [STATE(SETTLED)] = LNRPC__INVOICE_HTLCSTATE__SETTLED,
        [STATE(CANCELED)] = LNRPC__INVOICE_HTLCSTATE__CANCELED,
    };
    if (invoice->accept_height == 0) return;
    lnrpc__invoice_htlc__init(&shown->htlc);
    lnrpc__custom_record__init(&shown->record);
    shown->htlc.amt_msat = (uint64_t)invoice->paid_msat;
    shown->htlc.accept_height = (int32_t)invoice->accept_height;
    shown->htlc.expiry_height = (int32_t)invoice->expiry_height;
    shown->htlc.state = states[invoice->state];
    shown->record.key = invoice->record_key;
    shown->record.value =
        (ProtobufCBinaryData){.len = invoice->record_bytes, .data = (uint8_t *)invoice->record};
    shown->records = &shown->record;
    shown->htlc.custom_records = &shown->records;
    shown->htlc.n_custom_records = invoice->record_bytes > 0;
    shown->htlcs = &shown->htlc;
    shown->message.htlcs = &shown->htlcs;
    shown->message.n_htlcs = 1;
}

static void show(const struct lnd_double *node, const struct invoice *invoice, struct shown *shown)
{
    Lnrpc__Invoice *message = &shown->message;
    lnrpc__invoice__init(message);
    payreq_of(node, invoice, shown->payreq);
    message->memo = (char *)invoice->memo;
    if (invoice->has_preimage && (!invoice->is_hold || invoice->state == STATE(SETTLED)))
        message->r_preimage =
            (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)invoice->preimage};
    message->r_hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)invoice->hash};
    message->value = invoice->value_msat / 1000;
    message->value_msat = invoice->value_msat;
    message->creation_date = invoice->created_s;
    message->settle_date = invoice->settled_s;
    message->payment_request = shown->payreq;
    message->expiry = invoice->expiry_s;
    message->cltv_expiry = invoice->cltv_blocks;
    message->private_ = invoice->is_private;
    message->add_index = invoice->add_index;
    message->settle_index = invoice->settle_index;
    message->amt_paid_msat = invoice->state == STATE(SETTLED) ? invoice->paid_msat : 0;
    message->state = invoice->state;
    message->is_keysend = invoice->is_keysend;
    htlc_show(invoice, shown);
}

static void tell(struct stream *stream, const struct invoice *invoice)
{
    struct shown shown;
    show(stream->node, invoice, &shown);
    stream_send(stream, &shown.message.base);
}

/* Only OPEN and SETTLED are announced: not what is held or cancelled. */
static void tell_all(struct lnd_double *node, const struct invoice *invoice)
{
    if (invoice->state != STATE(OPEN) && invoice->state != STATE(SETTLED)) return;
    for (struct stream *stream = node->streams; stream; stream = stream->next)
        if (stream->method == METHOD_subscribe_invoices) tell(stream, invoice);
}

/* ------------------------------------------------------------------------------- happening */

struct invoice *invoice_add(struct lnd_double *node, struct invoice *invoice)
{
    if (invoice_find(node, invoice->hash) || node->invoice_count == LND_DOUBLE_INVOICES_MAX)
        return NULL;
    invoice->state = STATE(OPEN);
    invoice->created_s = owm_clock_wall_ms() / 1000;
    if (invoice->expiry_s == 0) invoice->expiry_s = EXPIRY_S_DEFAULT;
    if (invoice->cltv_blocks == 0) invoice->cltv_blocks = CLTV_BLOCKS_DEFAULT;
    invoice->add_index = node->invoice_count + 1;
    struct invoice *at = invoice_put(node, invoice);
    invoice_save(node, at);
    tell_all(node, at);
    return at;
}

void invoice_settle(struct lnd_double *node, struct invoice *invoice, const uint8_t preimage[32])
{
    memmove(invoice->preimage, preimage, 32);
    invoice->has_preimage = true;
    invoice->state = STATE(SETTLED);
    invoice->settled_s = owm_clock_wall_ms() / 1000;
    invoice->settle_index = ++node->settle_index;
    invoice_save(node, invoice);
    tell_all(node, invoice);
    payments_resolve(invoice->hash, invoice->preimage);
}

void invoice_cancel(struct lnd_double *node, struct invoice *invoice)
{
    invoice->state = STATE(CANCELED);
    invoice_save(node, invoice);
    payments_resolve(invoice->hash, NULL);
}

bool invoice_arrive(struct lnd_double *node, const uint8_t hash[32], int64_t msat)
{
    invoices_expire(node);
    struct invoice *invoice = invoice_find(node, hash);
    if (!invoice || invoice->state != STATE(OPEN) || msat < invoice->value_msat || msat <= 0)
        return false;
    invoice->paid_msat = msat;
    invoice->accept_height = node->height;
    invoice->expiry_height = node->height + invoice->cltv_blocks;
    if (!invoice->is_hold) {
        invoice_settle(node, invoice, invoice->preimage);
        return true;
    }
    invoice->state = STATE(ACCEPTED);
    invoice_save(node, invoice);
    return true;
}

void invoice_arrive_keysend(struct lnd_double *node, const struct payment *payment)
{
    struct invoice invoice;
    memset(&invoice, 0, sizeof invoice);
    memcpy(invoice.hash, payment->hash, 32);
    memcpy(invoice.preimage, payment->preimage, 32);
    invoice.has_preimage = invoice.is_keysend = true;
    invoice.value_msat = payment->amount_msat;
    invoice.record_key = payment->record_key;
    invoice.record_bytes = payment->record_bytes;
    memcpy(invoice.record, payment->record, sizeof invoice.record);
    if (invoice_add(node, &invoice)) (void)invoice_arrive(node, payment->hash, invoice.value_msat);
}

void invoices_expire(struct lnd_double *node)
{
    int64_t now_s = owm_clock_wall_ms() / 1000;
    for (size_t i = 0; i < node->invoice_count; i++) {
        struct invoice *invoice = &node->invoices[i];
        if (invoice->state == STATE(OPEN) && invoice->created_s + invoice->expiry_s < now_s)
            invoice_cancel(node, invoice);
    }
}

void invoices_mine(struct lnd_double *node)
{
    for (size_t i = 0; i < node->invoice_count; i++) {
        struct invoice *invoice = &node->invoices[i];
        if (invoice->state == STATE(ACCEPTED)
            && node->height + HOLD_EXPIRY_BLOCKS >= invoice->expiry_height)
            invoice_cancel(node, invoice);
    }
}

/* ---------------------------------------------------------------------------------- asking */

/* What AddInvoice and AddHoldInvoice have in common. false: the call was refused. */
static bool ask_check(struct owm_rpc_call *call, const char *memo, int64_t msat, int64_t expiry_s)
{
    if (strlen(memo) >= MEMO_BYTES)
        refuse(call, OWM_RPC_UNKNOWN, "memo too large: %zu bytes (maxsize=%d)", strlen(memo),
               MEMO_BYTES - 1);
    else if (msat < 0)
        refuse(call, OWM_RPC_UNKNOWN, "payments of negative value are not allowed, value is %lld",
               (long long)msat);
    else if (expiry_s > EXPIRY_S_MAX)
        refuse(call, OWM_RPC_UNKNOWN,
               "expiry of %lld seconds greater than max expiry of %d seconds", (long long)expiry_s,
               EXPIRY_S_MAX);
    else
        return true;
    return false;
}

void handle_add_invoice(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__Invoice *request = message;
    struct invoice invoice;
    memset(&invoice, 0, sizeof invoice);
    invoice.value_msat = request->value_msat ? request->value_msat : request->value * 1000;
    if (request->r_preimage.len != 0 && request->r_preimage.len != 32) {
        refuse(call, OWM_RPC_UNKNOWN, "payment preimage must be exactly 32 bytes, is instead %zu",
               request->r_preimage.len);
        return;
    }
    if (request->value && request->value_msat) {
        refuse(call, OWM_RPC_UNKNOWN, "sat and msat arguments are mutually exclusive");
        return;
    }
    if (!ask_check(call, request->memo, invoice.value_msat, request->expiry)) return;
    owm_uuid_random(invoice.preimage);
    owm_uuid_random(invoice.preimage + 16);
    if (request->r_preimage.len) memcpy(invoice.preimage, request->r_preimage.data, 32);
    invoice.has_preimage = true;
    owm_sha256(invoice.preimage, 32, invoice.hash);
    snprintf(invoice.memo, sizeof invoice.memo, "%s", request->memo);
    invoice.expiry_s = request->expiry;
    invoice.cltv_blocks = (uint32_t)request->cltv_expiry;
    invoice.is_private = request->private_;
    const struct invoice *added = invoice_add(node, &invoice);
    if (!added) {
        refuse(call, OWM_RPC_UNKNOWN, "invoice with payment hash already exists");
        return;
    }
    char payreq[PAYREQ_BYTES];
    payreq_of(node, added, payreq);
    Lnrpc__AddInvoiceResponse reply = LNRPC__ADD_INVOICE_RESPONSE__INIT;
    reply.r_hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)added->hash};
    reply.payment_request = payreq;
    reply.add_index = added->add_index;
    answer(call, &reply.base);
}

void handle_add_hold_invoice(struct lnd_double *node, struct owm_rpc_call *call,
                             const void *message)
{
    const Lnrpc__AddHoldInvoiceRequest *request = message;
    struct invoice invoice;
    memset(&invoice, 0, sizeof invoice);
    if (request->hash.len != 32) {
        refuse(call, OWM_RPC_UNKNOWN, "invalid hash length of %zu, want 32", request->hash.len);
        return;
    }
    if (!ask_check(call, request->memo, request->value_msat, request->expiry)) return;
    memcpy(invoice.hash, request->hash.data, 32);
    invoice.is_hold = true;
    invoice.value_msat = request->value_msat;
    snprintf(invoice.memo, sizeof invoice.memo, "%s", request->memo);
    invoice.expiry_s = request->expiry;
    invoice.cltv_blocks = (uint32_t)request->cltv_expiry;
    invoice.is_private = request->private_;
    const struct invoice *added = invoice_add(node, &invoice);
    if (!added) {
        refuse(call, OWM_RPC_UNKNOWN, "invoice with payment hash already exists");
        return;
    }
    char payreq[PAYREQ_BYTES];
    payreq_of(node, added, payreq);
    Lnrpc__AddHoldInvoiceResp reply = LNRPC__ADD_HOLD_INVOICE_RESP__INIT;
    reply.payment_request = payreq;
    reply.add_index = added->add_index;
    answer(call, &reply.base);
}

void handle_settle_invoice(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__SettleInvoiceMsg *request = message;
    uint8_t hash[32];
    if (request->preimage.len != 32) {
        refuse(call, OWM_RPC_UNKNOWN, "invalid preimage length of %zu, want 32",
               request->preimage.len);
        return;
    }
    owm_sha256(request->preimage.data, 32, hash);
    invoices_expire(node);
    struct invoice *invoice = invoice_find(node, hash);
    const char *why = NULL;
    if (!invoice)
        why = "unable to locate invoice";
    else if (invoice->state == STATE(OPEN))
        why = "invoice still open";
    else if (invoice->state == STATE(CANCELED))
        why = "invoice already canceled";
    if (why) {
        refuse(call, OWM_RPC_UNKNOWN, "%s", why);
        return;
    }
    if (invoice->state == STATE(ACCEPTED)) invoice_settle(node, invoice, request->preimage.data);
    Lnrpc__SettleInvoiceResp reply = LNRPC__SETTLE_INVOICE_RESP__INIT;
    answer(call, &reply.base);
}

void handle_cancel_invoice(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__CancelInvoiceMsg *request = message;
    if (request->payment_hash.len != 32) {
        refuse(call, OWM_RPC_UNKNOWN, "invalid hash length of %zu, want 32",
               request->payment_hash.len);
        return;
    }
    struct invoice *invoice = invoice_find(node, request->payment_hash.data);
    if (!invoice || invoice->state == STATE(SETTLED)) {
        refuse(call, OWM_RPC_UNKNOWN, "%s",
               invoice ? "invoice already settled" : "unable to locate invoice");
        return;
    }
    if (invoice->state != STATE(CANCELED)) invoice_cancel(node, invoice);
    Lnrpc__CancelInvoiceResp reply = LNRPC__CANCEL_INVOICE_RESP__INIT;
    answer(call, &reply.base);
}

void handle_lookup_invoice(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__PaymentHash *request = message;
    struct shown shown;
    if (request->r_hash.len != 32) {
        refuse(call, OWM_RPC_UNKNOWN, "payment hash must be exactly 32 bytes, is instead %zu",
               request->r_hash.len);
        return;
    }
    invoices_expire(node);
    const struct invoice *invoice = invoice_find(node, request->r_hash.data);
    if (!invoice) {
        refuse(call, OWM_RPC_NOT_FOUND, "%s",
               node->invoice_count ? "unable to locate invoice" : "there are no existing invoices");
        return;
    }
    show(node, invoice, &shown);
    answer(call, &shown.message.base);
}

void handle_list_invoices(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__ListInvoiceRequest *request = message;
    size_t most = request->num_max_invoices ? request->num_max_invoices : LIST_DEFAULT;
    if (most > node->invoice_count) most = node->invoice_count;
    struct shown *shown = calloc(most + 1, sizeof *shown);
    Lnrpc__Invoice **list = calloc(most + 1, sizeof(Lnrpc__Invoice *));
    OWM_ASSERT(shown && list);
    invoices_expire(node);
    Lnrpc__ListInvoiceResponse reply = LNRPC__LIST_INVOICE_RESPONSE__INIT;
    for (size_t i = request->index_offset; i < node->invoice_count && reply.n_invoices < most;
         i++) {
        show(node, &node->invoices[i], &shown[reply.n_invoices]);
        list[reply.n_invoices] = &shown[reply.n_invoices].message;
        reply.n_invoices++;
    }
    reply.invoices = list;
    if (reply.n_invoices > 0) {
        reply.first_index_offset = list[0]->add_index;
        reply.last_index_offset = list[reply.n_invoices - 1]->add_index;
    }
    answer(call, &reply.base);
    free(list);
    free(shown);
}

/* Nothing of the past for an index of 0; else what is above it. */
void handle_subscribe_invoices(struct lnd_double *node, struct owm_rpc_call *call,
                               const void *message)
{
    const Lnrpc__InvoiceSubscription *request = message;
    struct stream *stream = stream_open(node, call, METHOD_subscribe_invoices);
    if (!stream) return;
    if (request->add_index > 0)
        for (size_t i = request->add_index; i < node->invoice_count; i++)
            tell(stream, &node->invoices[i]);
    if (request->settle_index == 0 || request->settle_index >= node->settle_index) return;
    const struct invoice **settled = calloc(node->settle_index + 1, sizeof(struct invoice *));
    OWM_ASSERT(settled);
    for (size_t i = 0; i < node->invoice_count; i++)
        settled[node->invoices[i].settle_index] = &node->invoices[i];
    for (uint64_t i = request->settle_index + 1; i <= node->settle_index; i++)
        if (settled[i]) tell(stream, settled[i]);
    free(settled);
}
