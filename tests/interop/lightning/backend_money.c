/* backend_money.c: payments and invoices between two real nodes. */
#include <string.h>

#include "backend.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "test.h"

#define PAID_MSAT 123457

static struct owm_lightning_outcome pay(owm_lightning *lightning,
                                        const struct owm_lightning_order *order, unsigned wait_ms)
{
    struct owm_lightning_outcome outcome;
    struct owm_error error = {""};
    if (owm_lightning_pay(lightning, order, wait_ms, &outcome, &error)) fail_msg("%s", error.text);
    return outcome;
}

/* The same order three times is one payment, of exactly its millisats. SRS-LN-02, TST-11 */
void test_keysend_once(void **state)
{
    struct pair *pair = *state;
    unsigned count;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_PAY);
    const struct owm_lightning_order order = pair_keysend(pair->operator_key, PAID_MSAT, 2);
    const struct owm_lightning_order other = pair_keysend(pair->operator_key, PAID_MSAT, 3);
    struct owm_lightning_outcome outcome;
    assert_int_equal(owm_lightning_track(treasury, order.payment_hash, &outcome, NULL),
                     OWM_E_NOTFOUND);
    for (int i = 0; i < 3; i++) {
        outcome = pay(treasury, &order, PAIR_WAIT_MS);
        assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
        assert_memory_equal(outcome.preimage, order.preimage, 32);
        assert_int_equal(outcome.amount_msat, PAID_MSAT);
        assert_int_equal(outcome.fee_msat, 0); /* A direct channel. */
    }
    assert_int_equal(pair_received(pair->owner, order.payment_hash, &count), PAID_MSAT);
    assert_int_equal(count, 1);
    assert_ok(owm_lightning_track(treasury, order.payment_hash, &outcome, NULL));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);

    struct owm_lightning_order large = other; /* More than the channel has. */
    large.amount_msat = 2 * PAIR_PAYOUT_SATS * 1000LL;
    outcome = pay(treasury, &large, PAIR_WAIT_MS);
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    assert_true(*outcome.reason);
    outcome =
        pay(treasury, &other, PAIR_WAIT_MS); /* The hash of a failed one may be tried again. */
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    owm_lightning_close(treasury);
}

/* An invoice is added once, paid, watched from the beginning, and credited with what was paid. */
void test_invoice(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_INVOICE);
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR);
    uint8_t preimage[32] = {7}, hash[32], other[32] = {9};
    char text[OWM_LIGHTNING_INVOICE_BYTES], again[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_lightning_ask ask = {
        .preimage = preimage, .amount_msat = 54321, .expiry_s = 600, .memo = "OWM access"};
    struct owm_lightning_request request;
    struct owm_lightning_invoice invoice;
    struct owm_lightning_invoices *watch;
    owm_sha256(preimage, sizeof preimage, hash);
    assert_int_equal(owm_lightning_invoice_find(treasury, other, &invoice, NULL), OWM_E_NOTFOUND);
    assert_ok(owm_lightning_invoice_add(treasury, &ask, text, NULL));
    assert_ok(owm_lightning_invoice_add(treasury, &ask, again, NULL));
    assert_string_equal(text, again);
    ask.amount_msat++;
    assert_int_equal(owm_lightning_invoice_add(treasury, &ask, again, NULL), OWM_E_EXISTS);

    assert_ok(owm_lightning_decode(owner, text, &request, NULL));
    assert_int_equal(request.amount_msat, 54321);
    assert_memory_equal(request.payment_hash, hash, sizeof hash);
    assert_memory_equal(request.destination, pair->treasury_key, sizeof request.destination);
    assert_string_equal(request.description, "OWM access");
    assert_int_equal(request.expires_s - request.created_s, 600);
    assert_int_equal(owm_lightning_decode(owner, "lnbc1nonsense", &request, NULL), OWM_E_ARG);

    struct owm_lightning_order order = {.invoice = text, .fee_limit_msat = 1000};
    memcpy(order.payment_hash, hash, sizeof hash);
    struct owm_lightning_outcome outcome = pay(owner, &order, PAIR_WAIT_MS);
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_memory_equal(outcome.preimage, preimage, sizeof preimage);
    assert_ok(owm_lightning_invoice_find(treasury, hash, &invoice, NULL));
    assert_int_equal(invoice.state, OWM_LIGHTNING_INVOICE_SETTLED);
    assert_int_equal(invoice.paid_msat, 54321);

    bool seen = false; /* From 0: everything that was ever settled, keysends too. */
    assert_ok(owm_lightning_watch_invoices(treasury, 0, &watch, NULL));
    while (owm_lightning_invoices_next(watch, seen ? 200 : 5000, &invoice, NULL) == OWM_OK)
        seen = seen || !memcmp(invoice.payment_hash, hash, sizeof hash);
    assert_true(seen);
    owm_lightning_invoices_close(watch);
    owm_lightning_close(treasury);
    owm_lightning_close(owner);
}

static struct owm_lightning_invoice wait_for_state(owm_lightning *lightning, const uint8_t *hash,
                                                   enum owm_lightning_invoice_state wanted)
{
    struct owm_lightning_invoice invoice;
    uint64_t give_up_ms = owm_clock_mono_ms() + PAIR_WAIT_MS;
    do {
        assert_ok(owm_lightning_invoice_find(lightning, hash, &invoice, NULL));
        if (invoice.state == wanted) return invoice;
        owm_clock_sleep_ms(100);
    } while (owm_clock_mono_ms() < give_up_ms);
    fail_msg("the invoice is in state %d, not %d", invoice.state, wanted);
    return invoice;
}

/* One hold invoice with this preimage, which the operator pays until it is held. */
static void hold(struct pair *pair, owm_lightning *treasury, owm_lightning *owner,
                 uint8_t preimage[static 32])
{
    char text[OWM_LIGHTNING_INVOICE_BYTES];
    uint8_t hash[32];
    struct owm_error error = {""};
    owm_sha256(preimage, 32, hash);
    struct owm_lightning_ask ask = {.payment_hash = hash,
                                    .amount_msat = 50000000,
                                    .expiry_s = 600,
                                    .cltv_blocks = 500,
                                    .memo = "OWM bond"};
    if (owm_lightning_invoice_add(treasury, &ask, text, &error)) fail_msg("%s", error.text);
    assert_int_equal(owm_lightning_invoice_settle(treasury, preimage, NULL), OWM_E_STATE);
    struct owm_lightning_order order = {.invoice = text, .fee_limit_msat = 1000};
    memcpy(order.payment_hash, hash, sizeof hash);
    struct owm_lightning_outcome outcome = pay(owner, &order, 1000);
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    struct owm_lightning_invoice invoice =
        wait_for_state(treasury, hash, OWM_LIGHTNING_INVOICE_HELD);
    assert_in_range(invoice.expiry_height, 900, 2000);

    owm_lightning *stake = pair_open(pair->treasury, OWM_LIGHTNING_STAKE);
    struct owm_lightning_channel channel = pair_channel(stake, pair->stake);
    assert_int_equal(channel.unsettled_msat, 50000000); /* In neither balance. */
    owm_lightning_close(stake);
}

static struct owm_lightning_outcome wait_for_end(owm_lightning *lightning, const uint8_t *hash)
{
    struct owm_lightning_outcome outcome;
    uint64_t give_up_ms = owm_clock_mono_ms() + PAIR_WAIT_MS;
    do {
        assert_ok(owm_lightning_track(lightning, hash, &outcome, NULL));
        if (outcome.state != OWM_LIGHTNING_IN_FLIGHT) return outcome;
        owm_clock_sleep_ms(100);
    } while (owm_clock_mono_ms() < give_up_ms);
    fail_msg("the payment does not end");
    return outcome;
}

/* A bond that is released, and one that is forfeited; both calls may be repeated. */
void test_hold_invoice(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_INVOICE);
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR);
    uint8_t released[32] = {21}, forfeited[32] = {22}, hash[32];
    struct owm_lightning_outcome outcome;

    hold(pair, treasury, owner, released);
    owm_sha256(released, 32, hash);
    for (int i = 0; i < 2; i++) assert_ok(owm_lightning_invoice_cancel(treasury, hash, NULL));
    assert_int_equal(owm_lightning_invoice_settle(treasury, released, NULL), OWM_E_STATE);
    outcome = wait_for_end(owner, hash);
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    pair_settle(pair);

    hold(pair, treasury, owner, forfeited);
    owm_sha256(forfeited, 32, hash);
    for (int i = 0; i < 2; i++) assert_ok(owm_lightning_invoice_settle(treasury, forfeited, NULL));
    assert_int_equal(owm_lightning_invoice_cancel(treasury, hash, NULL), OWM_E_STATE);
    outcome = wait_for_end(owner, hash);
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_memory_equal(outcome.preimage, forfeited, 32);
    pair_settle(pair);
    owm_lightning_close(treasury);
    owm_lightning_close(owner);
}

/* SRS-LN-03: the treasury opens a channel to a node by itself, and says so when it cannot. */
void test_funds_and_opening(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_PAY);
    struct owm_lightning_funds before, after;
    struct owm_lightning_point point;
    struct owm_error error = {""};
    char host[32], text[OWM_LIGHTNING_POINT_TEXT];
    snprintf(host, sizeof host, "127.0.0.1:%u", pair->owner->peer_port);
    assert_ok(owm_lightning_get_funds(treasury, &before, NULL));
    assert_true(before.wallet_confirmed_msat > 0 && before.outbound_msat > 0);
    if (owm_lightning_open_channel(treasury, pair->operator_key, host, 300000, 100000000, &point,
                                   &error))
        fail_msg("%s", error.text);
    owm_lightning_point_format(&point, text);
    assert_int_equal(pair_channel(treasury, text).state, OWM_LIGHTNING_OPENING);
    assert_ok(rig_mine(&pair->rig, RIG_CONFIRMATIONS, NULL));
    struct owm_lightning_channel channel = {0};
    for (int i = 0; i < 100 && channel.state != OWM_LIGHTNING_NORMAL; i++) {
        owm_clock_sleep_ms(100);
        channel = pair_channel(treasury, text);
    }
    assert_int_equal(channel.state, OWM_LIGHTNING_NORMAL);
    assert_int_equal(channel.pushed_msat, 100000000);
    assert_int_equal(channel.remote_msat, 100000000);
    assert_ok(owm_lightning_get_funds(treasury, &after, NULL));
    assert_true(after.outbound_msat > before.outbound_msat);

    owm_lightning *poor = pair_open(pair->owner, OWM_LIGHTNING_PAY);
    snprintf(host, sizeof host, "127.0.0.1:%u", pair->treasury->peer_port);
    assert_int_equal(
        owm_lightning_open_channel(poor, pair->treasury_key, host, 16000000, 0, &point, NULL),
        OWM_E_LIMIT);
    owm_lightning_close(poor);
    owm_lightning_close(treasury);
}
