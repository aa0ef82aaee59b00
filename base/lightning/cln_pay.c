/* cln_pay.c: payments through Core Lightning, each at most once.
 *
 * 1. lightningd keeps a row for each part of a payment, by payment hash, durably. It takes no
 *    second payment of a hash while parts of it are under way (200) or it is paid (219). So a
 *    payment that may have been started is looked up by its hash, never guessed about.
 * 2. "failed" means that the parts so far have failed. `xpay` may be looking for other routes, with
 *    nothing on its way, until its retry_for is over. So a failure counts when our own call of xpay
 *    has ended with it, or when it is older than the longest retry_for: until then it is in flight.
 * 3. Once it has begun, xpay goes on without us. It is asked about with the call's connection kept
 *    open for as long as the caller waits.
 * 4. `keysend` chooses its own preimage: a repeat would be another payment. It is not used.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "cln.h"

#define DEADLINE_S  60
#define RETRY_S_MAX 600 /* longest retry_for that we give */
#define SLACK_S     60  /* a search for routes that was under way when the time was over */
#define LOOK_MS     250

#define CODE_PLUGIN_FIRST (-5) /* a plugin failed, ended, lightningd shuts down */
#define CODE_PLUGIN_LAST  (-3)
#define CODE_IN_PROGRESS  200
#define CODE_PAID         219

/* ------------------------------------------------------------------------------ outcomes */

static bool is_preimage(const uint8_t preimage[32], const uint8_t hash[32])
{
    uint8_t digest[32];
    owm_sha256(preimage, 32, digest);
    return memcmp(digest, hash, 32) == 0;
}

/* amount_msat is missing where old versions of xpay paid. */
static owm_status read_paid(const json_t *row, const char *preimage_key, const uint8_t hash[32],
                            struct owm_lightning_outcome *outcome)
{
    int64_t sent;
    bool there;
    owm_status status = cln_read_hex(row, preimage_key, outcome->preimage, 32, NULL);
    if (status == OWM_OK) status = cln_read_msat(row, "amount_sent_msat", &sent, NULL);
    if (status == OWM_OK) status = cln_read_msat(row, "amount_msat", &outcome->amount_msat, &there);
    if (status != OWM_OK || !is_preimage(outcome->preimage, hash)) return OWM_E_PROTO;
    if (!there || outcome->amount_msat > sent) outcome->amount_msat = sent;
    outcome->fee_msat = sent - outcome->amount_msat;
    outcome->state = OWM_LIGHTNING_SUCCEEDED;
    return OWM_OK;
}

/* When something last happened to a row, as far as it tells. */
static int64_t touched_s(const json_t *row)
{
    json_int_t created = json_integer_value(json_object_get(row, "created_at"));
    json_int_t completed = json_integer_value(json_object_get(row, "completed_at"));
    return created > completed ? created : completed;
}

/* One row more. Rows of one hash are calls of xpay, one after the other. */
static owm_status read_row(const json_t *row, const uint8_t hash[32], int64_t now_s,
                           struct owm_lightning_outcome *outcome)
{
    uint8_t said[32];
    const char *state = cln_text(row, "status");
    owm_status status = cln_read_hex(row, "payment_hash", said, 32, NULL);
    if (status != OWM_OK || memcmp(said, hash, 32) != 0) return OWM_E_PROTO;
    if (strcmp(state, "complete") == 0) return read_paid(row, "preimage", hash, outcome);
    bool failed = strcmp(state, "failed") == 0;
    if (!failed && strcmp(state, "pending") != 0) return OWM_E_PROTO;
    if (outcome->state == OWM_LIGHTNING_SUCCEEDED) return OWM_OK;
    int64_t at_s = touched_s(row);
    bool over = failed && at_s >= 0 && at_s < now_s - RETRY_S_MAX - SLACK_S;
    if (!over) outcome->state = OWM_LIGHTNING_IN_FLIGHT;
    return OWM_OK;
}

owm_status cln_read_pays(const json_t *result, const uint8_t hash[32], int64_t now_s,
                         struct owm_lightning_outcome *outcome)
{
    const json_t *rows = json_object_get(result, "pays"), *row;
    owm_status status = OWM_OK;
    size_t i;
    *outcome = (struct owm_lightning_outcome){.state = OWM_LIGHTNING_FAILED};
    if (!json_is_array(rows)) return OWM_E_PROTO;
    if (json_array_size(rows) == 0) return OWM_E_NOTFOUND;
    json_array_foreach(rows, i, row)
    {
        if (status == OWM_OK) status = read_row(row, hash, now_s, outcome);
    }
    if (outcome->state == OWM_LIGHTNING_FAILED)
        snprintf(outcome->reason, sizeof outcome->reason, "FAILED");
    return status;
}

static owm_status look(struct cln *cln, const uint8_t hash[32], int64_t now_s,
                       struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    char hex[65];
    struct cln_reply reply;
    owm_hex_encode(hash, 32, hex);
    struct cln_ask ask = {.method = CLN_listpays,
                          .params = json_pack("{s:s}", "payment_hash", hex)};
    owm_status status = cln_call(cln, ask, &reply, error);
    if (status == OWM_OK)
        status =
            cln_nonsense(CLN_listpays, cln_read_pays(reply.result, hash, now_s, outcome), error);
    cln_reply_free(&reply);
    if (status == OWM_E_NOTFOUND)
        return owm_fail(error, status, "Core Lightning: it knows no such payment");
    return status;
}

owm_status cln_track(owm_lightning *lightning, const uint8_t payment_hash[32],
                     struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    return look((struct cln *)lightning, payment_hash, owm_clock_wall_ms() / 1000, outcome, error);
}

/* Until it has ended, or the time is over. */
static owm_status follow(struct cln *cln, const uint8_t hash[32], uint64_t until_ms,
                         struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    for (;;) {
        owm_status status = cln_track(&cln->base, hash, outcome, error);
        bool over = owm_clock_mono_ms() + LOOK_MS > until_ms;
        if (status != OWM_OK || outcome->state != OWM_LIGHTNING_IN_FLIGHT || over) return status;
        owm_clock_sleep_ms(LOOK_MS);
    }
}

/* ---------------------------------------------------------------------------------- pay */

/* attempt: one call of xpay. */
struct attempt {
    struct cln *cln;
    const struct owm_lightning_order *order;
    bool with_amount;
    enum cln_method method;
    uint64_t start_ms;
    unsigned wait_ms;
};

/* The invoice must be the one that the order was written down for. */
static owm_status check_invoice(struct attempt *attempt, struct owm_error *error)
{
    const struct owm_lightning_order *order = attempt->order;
    struct owm_lightning_request asked;
    owm_status status = cln_decode(&attempt->cln->base, order->invoice, &asked, error);
    if (status != OWM_OK) return status;
    if (memcmp(asked.payment_hash, order->payment_hash, 32) != 0)
        return owm_fail(error, OWM_E_ARG,
                        "Core Lightning: the invoice has another payment hash than the order");
    if (asked.amount_msat > 0 && order->amount_msat > 0 && asked.amount_msat != order->amount_msat)
        return owm_fail(error, OWM_E_ARG,
                        "Core Lightning: the invoice asks for %" PRId64
                        " msat, the order is about %" PRId64,
                        asked.amount_msat, order->amount_msat);
    if (asked.amount_msat == 0 && order->amount_msat == 0)
        return owm_fail(error, OWM_E_ARG,
                        "Core Lightning: neither invoice nor order have an "
                        "amount");
    attempt->with_amount = asked.amount_msat == 0; /* it refuses to hear it twice */
    return OWM_OK;
}

static owm_status begin(const struct attempt *attempt, struct cln_wire *wire,
                        struct owm_error *error)
{
    const struct owm_lightning_order *order = attempt->order;
    unsigned deadline_s = order->deadline_s ? order->deadline_s : DEADLINE_S;
    json_t *amount = attempt->with_amount ? json_integer(order->amount_msat) : NULL;
    json_t *params =
        json_pack("{s:s, s:I, s:i, s:o*}", attempt->method == CLN_xpay ? "invstring" : "bolt11",
                  order->invoice, "maxfee", (json_int_t)order->fee_limit_msat, "retry_for",
                  deadline_s < RETRY_S_MAX ? (int)deadline_s : RETRY_S_MAX, "amount_msat", amount);
    return cln_call_begin(
        attempt->cln, (struct cln_ask){.method = attempt->method, .params = params}, wire, error);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Wait for xpay's answer; from wait_ms on, a row of it is answer enough, and up to timeout_ms it
 * has time to write one. *found: outcome is from the row.  Returns: as cln_call_end. */
static owm_status await(const struct attempt *attempt, struct cln_wire *wire,
                        struct cln_reply *reply, struct owm_lightning_outcome *outcome, bool *found,
                        struct owm_error *error)
{
    struct cln *cln = attempt->cln;
    uint64_t until_ms = attempt->start_ms + attempt->wait_ms;
    uint64_t end_ms = attempt->start_ms + cln->timeout_ms;
    *found = false;
    for (;;) {
        owm_status status = cln_call_end(cln, attempt->method, wire, until_ms, reply, error);
        if (status != OWM_E_TIMEOUT) return status;
        struct owm_error unheard;
        owm_status seen = cln_track(&cln->base, attempt->order->payment_hash, outcome, &unheard);
        *found = seen == OWM_OK && outcome->state != OWM_LIGHTNING_FAILED; /* an earlier call did */
        bool hung_up = wire->fd < 0;
        if (*found || hung_up || owm_clock_mono_ms() >= end_ms) return status;
        until_ms = later(until_ms, owm_clock_mono_ms()) + LOOK_MS;
    }
}

static const char *failure(int64_t code)
{
    switch (code) {
    case 203:
        return "INCORRECT_PAYMENT_DETAILS";
    case 205:
    case 206:
        return "NO_ROUTE";
    case 207:
        return "EXPIRED";
    case 210:
        return "TIMEOUT";
    case 215:
        return "INSUFFICIENT_BALANCE";
    default:
        return "ERROR";
    }
}

/* xpay ended with an error, which is in `error`. What does lightningd know of the hash? Nothing:
 * then the refusal stands, unless it was about a payment that must be there. */
static owm_status after_error(const struct attempt *attempt, const struct cln_reply *reply,
                              struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    const uint8_t *hash = attempt->order->payment_hash;
    struct owm_error second = {{0}};
    int64_t code = reply->code;
    bool other = code == CODE_IN_PROGRESS || code == CODE_PAID
                 || (code >= CODE_PLUGIN_FIRST && code <= CODE_PLUGIN_LAST);
    owm_status status =
        other ? follow(attempt->cln, hash, attempt->start_ms + attempt->wait_ms, outcome, &second)
              : look(attempt->cln, hash, INT64_MAX, outcome, &second);
    bool nothing =
        status == OWM_E_NOTFOUND || (status == OWM_OK && outcome->state == OWM_LIGHTNING_FAILED);
    if (status == OWM_E_NOTFOUND && !other) return OWM_E_STATE;
    if (nothing && other)
        return owm_fail(error, OWM_E_PROTO,
                        "Core Lightning: %s says %.200s (%" PRId64 "), and listpays knows of "
                        "none; was delpay used?",
                        cln_method_name(attempt->method), reply->message, code);
    if (status != OWM_OK) return owm_fail(error, status, "%s", second.text);
    if (outcome->state == OWM_LIGHTNING_FAILED)
        snprintf(outcome->reason, sizeof outcome->reason, "%s: %.150s", failure(code),
                 reply->message);
    return OWM_OK;
}

static owm_status run(const struct attempt *attempt, struct owm_lightning_outcome *outcome,
                      struct owm_error *error)
{
    struct cln_wire wire;
    struct cln_reply reply = {0};
    bool found = false;
    owm_status status = begin(attempt, &wire, error);
    if (status != OWM_OK) return status; /* it was not sent */
    status = await(attempt, &wire, &reply, outcome, &found, error);
    if (found)
        status = OWM_OK;
    else if (status == OWM_OK)
        status = cln_nonsense(
            attempt->method,
            read_paid(reply.result, "payment_preimage", attempt->order->payment_hash, outcome),
            error);
    else if (status == OWM_E_STATE)
        status = after_error(attempt, &reply, outcome, error);
    cln_reply_free(&reply);
    cln_wire_close(&wire);
    return status;
}

owm_status cln_pay(owm_lightning *lightning, const struct owm_lightning_order *order,
                   unsigned wait_ms, struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    struct attempt attempt = {.cln = (struct cln *)lightning,
                              .order = order,
                              .method = CLN_xpay,
                              .start_ms = owm_clock_mono_ms(),
                              .wait_ms = wait_ms};
    if (!order->invoice)
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "Core Lightning cannot send to a bare key with a preimage of ours; set a "
                        "Lightning address or a BOLT12 offer as payout_to");
    owm_status status = check_invoice(&attempt, error);
    if (status != OWM_OK) return status;
    status = follow(attempt.cln, order->payment_hash, attempt.start_ms + wait_ms, outcome, error);
    bool known = status == OWM_OK && outcome->state != OWM_LIGHTNING_FAILED;
    if (known || (status != OWM_OK && status != OWM_E_NOTFOUND)) return status;
    status = run(&attempt, outcome, error);
    if (status != OWM_E_UNSUPPORTED) return status;
    attempt.method = CLN_pay; /* before 24.11 there was no xpay */
    return run(&attempt, outcome, error);
}

/* ------------------------------------------------------------------------------- decode */

owm_status cln_decode(owm_lightning *lightning, const char *invoice,
                      struct owm_lightning_request *request, struct owm_error *error)
{
    struct cln *cln = (struct cln *)lightning;
    struct cln_reply reply;
    struct cln_ask ask = {.method = CLN_decode, .params = json_pack("{s:s}", "string", invoice)};
    owm_status status = cln_call(cln, ask, &reply, error);
    if (status == OWM_E_STATE) status = OWM_E_ARG; /* its words say what is wrong with it */
    if (status == OWM_OK) {
        status = cln_read_request(reply.result, cln->network, request);
        if (status == OWM_E_ARG)
            owm_fail(error, status, "Core Lightning: this is no valid invoice of %s", cln->network);
        status = cln_nonsense(CLN_decode, status, error);
    }
    cln_reply_free(&reply);
    return status;
}

owm_status cln_fetch_invoice(owm_lightning *lightning, const char *offer, int64_t amount_msat,
                             char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    struct cln *cln = (struct cln *)lightning;
    struct cln_reply reply;
    unsigned timeout_s = cln->timeout_ms / 1000;
    struct cln_ask ask = {.method = CLN_fetchinvoice,
                          .params = json_pack("{s:s, s:I, s:i}", "offer", offer, "amount_msat",
                                              (json_int_t)amount_msat, "timeout",
                                              timeout_s > 1 ? (int)timeout_s - 1 : 1)};
    owm_status status = cln_call(cln, ask, &reply, error);
    if (status == OWM_OK) {
        const char *text = cln_text(reply.result, "invoice");
        size_t length = strlen(text);
        if (length > 0 && length < OWM_LIGHTNING_INVOICE_BYTES)
            memcpy(invoice, text, length + 1);
        else
            status = cln_nonsense(CLN_fetchinvoice, OWM_E_PROTO, error);
    }
    cln_reply_free(&reply);
    return status;
}
