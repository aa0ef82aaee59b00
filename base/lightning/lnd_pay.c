/* lnd_pay.c: payments through LND's router, each at most once.
 *
 * LND keeps one row for each payment hash, durably, and refuses a hash that is in flight or paid.
 * So a payment that may have been started is looked up by its hash, never guessed about; only when
 * LND has never heard of the hash, or says that it failed, is a refusal a refusal.
 * The payment is not cancelable: leaving the stream early does not stop it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "lnd.h"

#define DEADLINE_S     60
#define RECORD_KEYSEND 5482373484 /* the preimage, for the receiver */

/* ------------------------------------------------------------------------------ outcomes */

static const char *failure(Lnrpc__PaymentFailureReason reason)
{
    switch (reason) {
    case LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_TIMEOUT:
        return "TIMEOUT";
    case LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_NO_ROUTE:
        return "NO_ROUTE";
    case LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_INCORRECT_PAYMENT_DETAILS:
        return "INCORRECT_PAYMENT_DETAILS";
    case LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_INSUFFICIENT_BALANCE:
        return "INSUFFICIENT_BALANCE";
    case LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_CANCELED:
        return "CANCELED";
    default:
        return "ERROR";
    }
}

static owm_status read_success(const Lnrpc__Payment *payment, enum lnd_method method,
                               const uint8_t hash[32], struct owm_lightning_outcome *outcome,
                               struct owm_error *error)
{
    uint8_t digest[32];
    if (owm_hex_decode(payment->payment_preimage, outcome->preimage, 32) != OWM_OK)
        return lnd_nonsense(method, "paid, without a preimage", error);
    owm_sha256(outcome->preimage, 32, digest);
    if (memcmp(digest, hash, 32) != 0)
        return lnd_nonsense(method, "the preimage is not that of the payment hash", error);
    outcome->state = OWM_LIGHTNING_SUCCEEDED;
    return OWM_OK;
}

static owm_status read_payment(const Lnrpc__Payment *payment, enum lnd_method method,
                               const uint8_t hash[32], struct owm_lightning_outcome *outcome,
                               struct owm_error *error)
{
    uint8_t said[32];
    *outcome = (struct owm_lightning_outcome){.amount_msat = payment->value_msat,
                                              .fee_msat = payment->fee_msat};
    if (owm_hex_decode(payment->payment_hash, said, 32) != OWM_OK || memcmp(said, hash, 32) != 0)
        return lnd_nonsense(method, "it is about another payment hash", error);
    switch (payment->status) {
    case LNRPC__PAYMENT__PAYMENT_STATUS__INITIATED:
    case LNRPC__PAYMENT__PAYMENT_STATUS__IN_FLIGHT:
        outcome->state = OWM_LIGHTNING_IN_FLIGHT;
        return OWM_OK;
    case LNRPC__PAYMENT__PAYMENT_STATUS__SUCCEEDED:
        return read_success(payment, method, hash, outcome, error);
    case LNRPC__PAYMENT__PAYMENT_STATUS__FAILED:
        outcome->state = OWM_LIGHTNING_FAILED;
        snprintf(outcome->reason, sizeof outcome->reason, "%s", failure(payment->failure_reason));
        return OWM_OK;
    default:
        return lnd_nonsense(method, "a payment without a status", error);
    }
}

/* Up to timeout_ms for the node's first word, up to wait_ms for the payment's end. *heard: LND has
 * spoken of this payment, so if the stream then breaks, it is in flight all the same. */
static owm_status follow(struct lnd_stream *stream, const uint8_t hash[32], unsigned wait_ms,
                         struct owm_lightning_outcome *outcome, bool *heard,
                         struct owm_error *error)
{
    uint64_t start_ms = owm_clock_mono_ms();
    owm_status status;
    *heard = false;
    do {
        uint64_t limit =
            *heard || wait_ms > stream->lnd->timeout_ms ? wait_ms : stream->lnd->timeout_ms;
        uint64_t gone = owm_clock_mono_ms() - start_ms;
        ProtobufCMessage *reply;
        status =
            lnd_stream_read(stream, gone < limit ? (unsigned)(limit - gone) : 0, &reply, error);
        if (status != OWM_OK) break;
        *heard = true;
        status = read_payment((Lnrpc__Payment *)reply, stream->method, hash, outcome, error);
        lnd_free(reply);
    } while (status == OWM_OK && outcome->state == OWM_LIGHTNING_IN_FLIGHT);
    bool in_flight = *heard && outcome->state == OWM_LIGHTNING_IN_FLIGHT;
    return in_flight && status != OWM_E_PROTO ? OWM_OK : status;
}

static owm_status track(struct lnd *lnd, const uint8_t hash[32], unsigned wait_ms,
                        struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    Lnrpc__TrackPaymentRequest request = LNRPC__TRACK_PAYMENT_REQUEST__INIT;
    struct lnd_stream stream;
    bool heard;
    request.payment_hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)hash};
    owm_status status = lnd_stream_open(lnd, LND_TrackPaymentV2, &request.base, &stream, error);
    if (status != OWM_OK) return status;
    status = follow(&stream, hash, wait_ms, outcome, &heard, error);
    lnd_stream_close(&stream);
    return status;
}

owm_status lnd_track(owm_lightning *lightning, const uint8_t payment_hash[32],
                     struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    return track((struct lnd *)lightning, payment_hash, 0, outcome, error);
}

/* ---------------------------------------------------------------------------------- pay */

/* The invoice must be the one that the order was written down for. */
static owm_status check_invoice(owm_lightning *lightning, const struct owm_lightning_order *order,
                                bool *with_amount, struct owm_error *error)
{
    struct owm_lightning_request asked;
    owm_status status = lnd_decode(lightning, order->invoice, &asked, error);
    if (status != OWM_OK) return status;
    if (memcmp(asked.payment_hash, order->payment_hash, 32) != 0)
        return owm_fail(error, OWM_E_ARG,
                        "LND: the invoice has another payment hash than the order");
    if (asked.amount_msat > 0 && order->amount_msat > 0 && asked.amount_msat != order->amount_msat)
        return owm_fail(error, OWM_E_ARG,
                        "LND: the invoice asks for %" PRId64 " msat, the order is about %" PRId64,
                        asked.amount_msat, order->amount_msat);
    if (asked.amount_msat == 0 && order->amount_msat == 0)
        return owm_fail(error, OWM_E_ARG, "LND: neither invoice nor order have an amount");
    *with_amount = asked.amount_msat == 0; /* LND refuses to hear it twice */
    return OWM_OK;
}

static owm_status check_keysend(const struct owm_lightning_order *order, struct owm_error *error)
{
    uint8_t digest[32];
    owm_sha256(order->preimage, 32, digest);
    if (memcmp(digest, order->payment_hash, 32) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_ARG, "LND: the order's preimage is not that of its payment hash");
}

static owm_status send_stream(struct lnd *lnd, const struct owm_lightning_order *order,
                              bool with_amount, struct lnd_stream *stream, struct owm_error *error)
{
    static const uint8_t none[sizeof order->record_id];
    Lnrpc__SendPaymentRequest request = LNRPC__SEND_PAYMENT_REQUEST__INIT;
    Lnrpc__CustomRecord keysend = LNRPC__CUSTOM_RECORD__INIT, ours = LNRPC__CUSTOM_RECORD__INIT;
    Lnrpc__CustomRecord *records[] = {&keysend, &ours};
    keysend.key = RECORD_KEYSEND;
    keysend.value = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)order->preimage};
    ours.key = OWM_LIGHTNING_RECORD_ID;
    ours.value = (ProtobufCBinaryData){.len = sizeof none, .data = (uint8_t *)order->record_id};
    if (order->destination) {
        request.dest = (ProtobufCBinaryData){.len = OWM_LIGHTNING_KEY_BYTES,
                                             .data = (uint8_t *)order->destination};
        request.payment_hash =
            (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)order->payment_hash};
        request.dest_custom_records = records;
        request.n_dest_custom_records = memcmp(order->record_id, none, sizeof none) != 0 ? 2 : 1;
    } else {
        request.payment_request = (char *)order->invoice;
    }
    if (with_amount) request.amt_msat = order->amount_msat;
    request.timeout_seconds = (int32_t)(order->deadline_s ? order->deadline_s : DEADLINE_S);
    request.fee_limit_msat = order->fee_limit_msat;
    return lnd_stream_open(lnd, LND_SendPaymentV2, &request.base, stream, error);
}

/* Refused: what does LND know of this hash? Nothing, or an attempt that failed before: then the
 * refusal stands, unless it was about that attempt. */
static owm_status after_refusal(struct lnd *lnd, const struct owm_lightning_order *order,
                                unsigned wait_ms, owm_status refused,
                                struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    struct owm_lightning_outcome known;
    struct owm_error second = {0};
    owm_status status = track(lnd, order->payment_hash, wait_ms, &known, &second);
    if (status == OWM_E_NOTFOUND && refused == OWM_E_EXISTS)
        return owm_fail(error, OWM_E_PROTO,
                        "LND: it refuses a payment that it has, and then it has none: were its "
                        "payments deleted?");
    if (status == OWM_E_NOTFOUND) return OWM_E_STATE;
    if (status == OWM_OK && known.state == OWM_LIGHTNING_FAILED && refused != OWM_E_EXISTS)
        return OWM_E_STATE;
    if (status != OWM_OK) return owm_fail(error, status, "%s", second.text);
    *outcome = known;
    return OWM_OK;
}

owm_status lnd_pay(owm_lightning *lightning, const struct owm_lightning_order *order,
                   unsigned wait_ms, struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    struct lnd *lnd = (struct lnd *)lightning;
    struct lnd_stream stream;
    bool heard, with_amount = true;
    owm_status status = OWM_OK;
    if (order->invoice)
        status = check_invoice(lightning, order, &with_amount, error);
    else
        status = check_keysend(order, error);
    if (status != OWM_OK) return status;
    status = send_stream(lnd, order, with_amount, &stream, error);
    if (status != OWM_OK) return status;
    status = follow(&stream, order->payment_hash, wait_ms, outcome, &heard, error);
    lnd_stream_close(&stream);
    bool refused = status == OWM_E_EXISTS || status == OWM_E_STATE || status == OWM_E_NOTFOUND;
    if (!refused || heard) return status;
    return after_refusal(lnd, order, wait_ms, status, outcome, error);
}

/* ------------------------------------------------------------------------------- decode */

static owm_status read_request(const Lnrpc__PayReq *from, struct owm_lightning_request *request,
                               struct owm_error *error)
{
    if (owm_hex_decode(from->destination, request->destination, OWM_LIGHTNING_KEY_BYTES) != OWM_OK)
        return lnd_nonsense(LND_DecodePayReq, "destination", error);
    if (owm_hex_decode(from->payment_hash, request->payment_hash, 32) != OWM_OK)
        return lnd_nonsense(LND_DecodePayReq, "payment_hash", error);
    if (from->num_msat < 0 || from->timestamp < 0 || from->timestamp > INT32_MAX * INT64_C(1000)
        || from->expiry < 0 || from->expiry > INT32_MAX * INT64_C(1000))
        return lnd_nonsense(LND_DecodePayReq, "amount or time", error);
    request->amount_msat = from->num_msat;
    request->created_s = from->timestamp;
    request->expires_s = from->timestamp + from->expiry;
    snprintf(request->description, sizeof request->description, "%s", from->description);
    return OWM_OK;
}

owm_status lnd_decode(owm_lightning *lightning, const char *invoice,
                      struct owm_lightning_request *request, struct owm_error *error)
{
    Lnrpc__PayReqString asked = LNRPC__PAY_REQ_STRING__INIT;
    ProtobufCMessage *reply;
    asked.pay_req = (char *)invoice;
    owm_status status =
        lnd_call((struct lnd *)lightning, LND_DecodePayReq, &asked.base, &reply, error);
    if (status == OWM_E_STATE) return OWM_E_ARG; /* LND's words say what is wrong with it */
    if (status != OWM_OK) return status;
    status = read_request((Lnrpc__PayReq *)reply, request, error);
    lnd_free(reply);
    return status;
}
