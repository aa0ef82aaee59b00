/* test_lnd_calls.c: what the LND backend makes of channels, payments and invoices.
 * SRS-LN-01 (LND over gRPC). */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "lnd_rig.h"
#include "test.h"

#define PATIENCE_MS 10000
#define OPERATORS   4

static struct lnd_double *node, *operators[OPERATORS];

static void key_of(const struct lnd_double *of, uint8_t key[OWM_LIGHTNING_KEY_BYTES])
{
    assert_ok(owm_hex_decode(lnd_double_key(of), key, OWM_LIGHTNING_KEY_BYTES));
}

/* ------------------------------------------------------------------------------ channels */

/* The one channel with a peer. */
static struct owm_lightning_channel channel_with(owm_lightning *lightning,
                                                 const struct lnd_double *peer)
{
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    struct owm_lightning_channel *channels, only;
    struct owm_error error = {{0}};
    size_t count;
    key_of(peer, key);
    if (owm_lightning_channels(lightning, key, true, &channels, &count, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_int_equal(count, 1);
    only = channels[0];
    free(channels);
    return only;
}

/* Whatever the kind of commitment, an operator that put in a million has a million. */
static void test_gross_balances_of_every_type(void **state)
{
    (void)state;
    static const char *const types[OPERATORS] = {"anchors", "static", "legacy", "taproot"};
    owm_lightning *stake = rig_open(node, OWM_LIGHTNING_STAKE);
    for (int i = 0; i < OPERATORS; i++) {
        char point[OWM_LIGHTNING_POINT_TEXT];
        snprintf(point, sizeof point, "%s",
                 lnd_double_do(node, "channel peer=%s capacity=1000000 type=%s",
                               lnd_double_key(operators[i]), types[i]));
        struct owm_lightning_channel channel = channel_with(stake, operators[i]);
        assert_int_equal(channel.remote_msat, 1000000000);
        assert_int_equal(channel.local_msat, 0);
        lnd_double_do(node, "move %s 300000", point); /* below the dust limit: no output of ours */
        channel = channel_with(stake, operators[i]);
        assert_int_equal(channel.remote_msat, 999700000);
        lnd_double_do(node, "move %s 499700000", point);
        lnd_double_do(node, "hold %s 100000", point); /* dust, too */
        channel = channel_with(stake, operators[i]);
        assert_int_equal(channel.remote_msat, 499900000);
        assert_int_equal(channel.local_msat, 500000000);
        assert_int_equal(channel.unsettled_msat, 100000);
        assert_int_equal(channel.remote_reserve_msat, 10000000);
        lnd_double_do(node, "hold %s 0", point);
        lnd_double_do(node, "close %s us", point);
    }
    lnd_double_do(node, "mine 1");
    owm_lightning_close(stake);
}

/* What the treasury opened and pushed is the operator's, but no stake of its own. */
static void test_who_opened(void **state)
{
    (void)state;
    struct lnd_double *treasury = rig_node("opener"), *peer = rig_node("opened");
    owm_lightning *stake = rig_open(treasury, OWM_LIGHTNING_STAKE);
    lnd_double_do(treasury, "channel peer=%s capacity=500000 by=us push=100000 private",
                  lnd_double_key(peer));
    struct owm_lightning_channel channel = channel_with(stake, peer);
    assert_false(channel.opened_by_peer);
    assert_true(channel.is_private);
    assert_int_equal(channel.remote_msat, 100000000);
    assert_int_equal(channel.pushed_msat, 100000000);
    assert_true(channel.local_msat < 400000000); /* less what the commitment costs */
    owm_lightning_close(stake);
    lnd_double_close(peer);
    lnd_double_close(treasury);
}

static void test_zero_conf_is_not_open(void **state)
{
    (void)state;
    struct lnd_double *treasury = rig_node("hasty"), *peer = rig_node("hastier");
    owm_lightning *stake = rig_open(treasury, OWM_LIGHTNING_STAKE);
    lnd_double_do(treasury, "channel peer=%s capacity=500000 zeroconf", lnd_double_key(peer));
    struct owm_lightning_channel channel = channel_with(stake, peer);
    assert_int_equal(channel.state, OWM_LIGHTNING_OPENING);
    assert_int_equal(channel.confirmations, 0);
    assert_int_equal(channel.short_id, 0);
    lnd_double_do(treasury, "mine 6");
    channel = channel_with(stake, peer);
    assert_int_equal(channel.state, OWM_LIGHTNING_NORMAL);
    assert_int_equal(channel.confirmations, 6);
    assert_true(channel.short_id >> 40 < 16000000);
    owm_lightning_close(stake);
    lnd_double_close(peer);
    lnd_double_close(treasury);
}

/* Each kind of close, from the broadcast to the end. */
static void test_closes_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *how;
        enum owm_lightning_channel_state broadcast;
        enum owm_lightning_close_kind kind;
        bool by_peer;
    } closes[] = {
        {"us", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_COOPERATIVE, false},
        {"peer", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_COOPERATIVE, true},
        {"force-us", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_FORCED_BY_US, false},
        {"force-peer", OWM_LIGHTNING_NORMAL, OWM_LIGHTNING_CLOSE_FORCED_BY_PEER, true},
        {"breach", OWM_LIGHTNING_NORMAL, OWM_LIGHTNING_CLOSE_BREACH, true},
    };
    for (size_t i = 0; i < sizeof closes / sizeof closes[0]; i++) {
        char names[2][32];
        snprintf(names[0], 32, "closer-%zu", i);
        snprintf(names[1], 32, "closed-%zu", i);
        struct lnd_double *treasury = rig_node(names[0]), *peer = rig_node(names[1]);
        owm_lightning *stake = rig_open(treasury, OWM_LIGHTNING_STAKE);
        char point[OWM_LIGHTNING_POINT_TEXT];
        snprintf(point, sizeof point, "%s",
                 lnd_double_do(treasury, "channel peer=%s capacity=500000 push=200000",
                               lnd_double_key(peer)));
        lnd_double_do(treasury, "close %s %s", point, closes[i].how);
        struct owm_lightning_channel channel = channel_with(stake, peer);
        assert_int_equal(channel.state, closes[i].broadcast);
        if (channel.state == OWM_LIGHTNING_CLOSING)
            assert_int_equal(channel.close_kind, closes[i].kind);
        lnd_double_do(treasury, "mine 1");
        if (closes[i].kind == OWM_LIGHTNING_CLOSE_FORCED_BY_US)
            assert_int_equal(channel_with(stake, peer).state, OWM_LIGHTNING_CLOSING);
        lnd_double_do(treasury, "mine 200");
        channel = channel_with(stake, peer);
        assert_int_equal(channel.state, OWM_LIGHTNING_CLOSED);
        assert_int_equal(channel.close_kind, closes[i].kind);
        assert_int_equal(channel.closed_by_peer, closes[i].by_peer);
        assert_true(channel.opened_by_peer);
        static const uint8_t none[32];
        assert_memory_not_equal(channel.closing_txid, none, 32);
        owm_lightning_close(stake);
        lnd_double_close(peer);
        lnd_double_close(treasury);
    }
}

static void expect_event(struct owm_lightning_watch *watch, const struct lnd_double *peer)
{
    uint8_t key[OWM_LIGHTNING_KEY_BYTES], expected[OWM_LIGHTNING_KEY_BYTES];
    struct owm_error error = {{0}};
    key_of(peer, expected);
    uint64_t end_ms = owm_clock_mono_ms() + PATIENCE_MS;
    while (owm_clock_mono_ms() < end_ms) {
        owm_status status = owm_lightning_watch_next(watch, PATIENCE_MS, key, &error);
        if (status != OWM_OK) fail_msg("%s", error.text);
        if (memcmp(key, expected, sizeof key) == 0) return;
    }
    fail_msg("no event of the peer");
}

static void test_channels_are_watched(void **state)
{
    (void)state;
    struct lnd_double *treasury = rig_node("watched"), *peer = rig_node("watching");
    owm_lightning *stake = rig_open(treasury, OWM_LIGHTNING_STAKE);
    struct owm_lightning_watch *watch;
    struct owm_error error;
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    char point[OWM_LIGHTNING_POINT_TEXT];
    assert_ok(owm_lightning_watch_channels(stake, &watch, &error));
    assert_int_equal(owm_lightning_watch_next(watch, 200, key, &error), OWM_E_TIMEOUT);
    snprintf(point, sizeof point, "%s",
             lnd_double_do(treasury, "channel peer=%s capacity=500000", lnd_double_key(peer)));
    expect_event(watch, peer);
    lnd_double_do(treasury, "move %s 1000000", point);
    expect_event(watch, peer);
    while (owm_lightning_watch_next(watch, 200, key, &error) == OWM_OK) {
    }
    lnd_double_do(treasury, "active %s no", point); /* no balance has changed */
    assert_int_equal(owm_lightning_watch_next(watch, 300, key, &error), OWM_E_TIMEOUT);
    lnd_double_do(treasury, "active %s yes", point);
    lnd_double_do(treasury, "close %s peer", point);
    lnd_double_do(treasury, "mine 1");
    expect_event(watch, peer);
    lnd_double_do(treasury, "restart");
    owm_status status;
    do {
        status = owm_lightning_watch_next(watch, PATIENCE_MS, key, &error);
    } while (status == OWM_OK);
    assert_int_equal(status, OWM_E_NET);
    owm_lightning_watch_close(watch);
    owm_lightning_close(stake);
    lnd_double_close(peer);
    lnd_double_close(treasury);
}

/* ------------------------------------------------------------------------------ payments */

struct sale {
    char invoice[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_lightning_order order;
};

static void sale_make(owm_lightning *seller, struct sale *sale, uint8_t number, int64_t msat)
{
    struct owm_error error = {{0}};
    memset(sale, 0, sizeof *sale);
    memset(sale->order.preimage, number, 32);
    struct owm_lightning_ask ask = {
        .preimage = sale->order.preimage, .amount_msat = msat, .expiry_s = 600, .memo = "work"};
    if (owm_lightning_invoice_add(seller, &ask, sale->invoice, &error) != OWM_OK)
        fail_msg("%s", error.text);
    owm_sha256(sale->order.preimage, 32, sale->order.payment_hash);
    sale->order.invoice = sale->invoice;
    sale->order.amount_msat = msat;
    sale->order.fee_limit_msat = 1000;
}

static void test_an_order_must_be_of_its_invoice(void **state)
{
    (void)state;
    owm_lightning *seller = rig_open(operators[0], OWM_LIGHTNING_INVOICE);
    owm_lightning *payer = rig_open(node, OWM_LIGHTNING_PAY);
    struct owm_lightning_outcome outcome;
    struct owm_error error;
    struct sale sale;
    sale_make(seller, &sale, 21, 5000);
    lnd_double_do(node, "pay default succeed");
    struct owm_lightning_order other = sale.order;
    other.payment_hash[0] ^= 1;
    assert_int_equal(owm_lightning_pay(payer, &other, 1000, &outcome, &error), OWM_E_ARG);
    other = sale.order;
    other.amount_msat = 6000;
    assert_int_equal(owm_lightning_pay(payer, &other, 1000, &outcome, &error), OWM_E_ARG);
    other.invoice = "lnbcrt1junk";
    assert_int_equal(owm_lightning_pay(payer, &other, 1000, &outcome, &error), OWM_E_ARG);
    assert_int_equal(owm_lightning_track(payer, sale.order.payment_hash, &outcome, &error),
                     OWM_E_NOTFOUND);
    assert_ok(owm_lightning_pay(payer, &sale.order, PATIENCE_MS, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_int_equal(outcome.amount_msat, 5000);
    assert_memory_equal(outcome.preimage, sale.order.preimage, 32);

    sale_make(seller, &sale, 22, 0); /* the payer chooses */
    assert_int_equal(owm_lightning_pay(payer, &sale.order, 1000, &outcome, &error), OWM_E_ARG);
    sale.order.amount_msat = 7000;
    assert_ok(owm_lightning_pay(payer, &sale.order, PATIENCE_MS, &outcome, &error));
    assert_int_equal(outcome.amount_msat, 7000);
    owm_lightning_close(payer);
    owm_lightning_close(seller);
}

static void keysend_make(struct owm_lightning_order *order, const uint8_t *destination,
                         uint8_t number)
{
    *order = (struct owm_lightning_order){
        .destination = destination, .amount_msat = 1000, .fee_limit_msat = 1000};
    memset(order->preimage, number, 32);
    memset(order->record_id, number, 16);
    owm_sha256(order->preimage, 32, order->payment_hash);
}

/* A repeat is told of the first one's end, if it waits for it. */
static void test_a_repeat_waits_for_the_first(void **state)
{
    (void)state;
    owm_lightning *payer = rig_open(node, OWM_LIGHTNING_PAY);
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    struct owm_lightning_order order;
    struct owm_lightning_outcome outcome;
    struct owm_error error;
    key_of(operators[1], key);
    keysend_make(&order, key, 31);
    lnd_double_do(node, "pay default succeed after=600");
    assert_ok(owm_lightning_pay(payer, &order, 0, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    assert_ok(owm_lightning_pay(payer, &order, 50, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    assert_ok(owm_lightning_pay(payer, &order, PATIENCE_MS, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    char hash[65];
    owm_hex_encode(order.payment_hash, 32, hash);
    assert_non_null(strstr(lnd_double_do(node, "payment %s", hash), "accepted=1 refused=2"));
    order.preimage[0] ^= 1;
    assert_int_equal(owm_lightning_pay(payer, &order, 0, &outcome, &error), OWM_E_ARG);
    owm_lightning_close(payer);
}

/* A refusal stands if LND knows nothing of the hash; if it does, that is the answer. */
static void test_a_refusal_is_looked_into(void **state)
{
    (void)state;
    owm_lightning *payer = rig_open(node, OWM_LIGHTNING_PAY);
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    struct owm_lightning_order order;
    struct owm_lightning_outcome outcome;
    struct owm_error error;
    key_of(operators[2], key);
    keysend_make(&order, key, 41);
    lnd_double_do(node, "pay default succeed");
    lnd_double_do(node, "fault SendPaymentV2 2 1 self-payments not allowed");
    assert_int_equal(owm_lightning_pay(payer, &order, 1000, &outcome, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "self-payments"));
    assert_ok(owm_lightning_pay(payer, &order, PATIENCE_MS, &outcome, &error));
    lnd_double_do(node, "fault SendPaymentV2 2 1 database is locked");
    assert_ok(owm_lightning_pay(payer, &order, 1000, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    keysend_make(&order, key, 43); /* it has it, says LND, and then it has not: who knows */
    lnd_double_do(node, "fault SendPaymentV2 6 1 payment is in transition");
    assert_int_equal(owm_lightning_pay(payer, &order, 1000, &outcome, &error), OWM_E_PROTO);
    keysend_make(&order, key, 41);
    lnd_double_do(node, "fault SendPaymentV2 2 1 database is locked");
    lnd_double_do(node, "fault TrackPaymentV2 14 1 transport is closing");
    assert_int_equal(owm_lightning_pay(payer, &order, 1000, &outcome, &error), OWM_E_NET);
    lnd_double_do(node, "pay default fail reason=NO_ROUTE");
    keysend_make(&order, key, 42);
    assert_ok(owm_lightning_pay(payer, &order, PATIENCE_MS, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    assert_string_equal(outcome.reason, "NO_ROUTE");
    lnd_double_do(node, "fault SendPaymentV2 2 1 database is locked");
    assert_int_equal(owm_lightning_pay(payer, &order, 1000, &outcome, &error), OWM_E_STATE);
    owm_lightning_close(payer);
}

/* ------------------------------------------------------------------------------ invoices */

static void test_adding_is_idempotent(void **state)
{
    (void)state;
    owm_lightning *seller = rig_open(operators[3], OWM_LIGHTNING_INVOICE);
    uint8_t preimage[32] = {5}, hash[32];
    struct owm_lightning_invoice invoice;
    struct owm_error error;
    char first[OWM_LIGHTNING_INVOICE_BYTES], again[OWM_LIGHTNING_INVOICE_BYTES];
    owm_sha256(preimage, 32, hash);
    struct owm_lightning_ask ask = {
        .preimage = preimage, .amount_msat = 9000, .expiry_s = 600, .memo = "a memo"};
    assert_int_equal(owm_lightning_invoice_find(seller, hash, &invoice, &error), OWM_E_NOTFOUND);
    assert_ok(owm_lightning_invoice_add(seller, &ask, first, &error));
    assert_ok(owm_lightning_invoice_add(seller, &ask, again, &error));
    assert_string_equal(first, again);
    ask.amount_msat = 9001;
    assert_int_equal(owm_lightning_invoice_add(seller, &ask, again, &error), OWM_E_EXISTS);
    assert_ok(owm_lightning_invoice_find(seller, hash, &invoice, &error));
    assert_int_equal(invoice.state, OWM_LIGHTNING_INVOICE_OPEN);
    assert_int_equal(invoice.asked_msat, 9000);
    assert_string_equal(invoice.invoice, first);
    owm_lightning_close(seller);
}

static void expect_settled(struct owm_lightning_invoices *watch, uint64_t index)
{
    struct owm_lightning_invoice invoice;
    struct owm_error error = {{0}};
    if (owm_lightning_invoices_next(watch, PATIENCE_MS, &invoice, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_int_equal(invoice.settle_index, index);
    assert_int_equal(invoice.state, OWM_LIGHTNING_INVOICE_SETTLED);
    assert_int_equal(invoice.paid_msat, 1000);
}

static void hash_text(uint16_t number, char hex[65])
{
    uint8_t preimage[32] = {0x77, (uint8_t)number, (uint8_t)(number >> 8)}, hash[32];
    owm_sha256(preimage, 32, hash);
    owm_hex_encode(hash, 32, hex);
}

static void sell(owm_lightning *seller, uint16_t number)
{
    uint8_t preimage[32] = {0x77, (uint8_t)number, (uint8_t)(number >> 8)};
    struct owm_lightning_ask ask = {.preimage = preimage, .amount_msat = 1000, .expiry_s = 600};
    char text[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_error error;
    assert_ok(owm_lightning_invoice_add(seller, &ask, text, &error));
}

/* LND replays nothing for index 0; the watch finds the beginning all the same, however far behind
 * open invoices it lies, and whatever was settled before or after it began. */
static void test_a_watch_from_the_beginning(void **state)
{
    (void)state;
    enum { INVOICES = 1100 };
    struct lnd_double *shop = rig_node("shop");
    owm_lightning *seller = rig_open(shop, OWM_LIGHTNING_INVOICE);
    struct owm_lightning_invoices *early, *late;
    struct owm_lightning_invoice invoice;
    struct owm_error error;
    char hash[65];
    assert_ok(owm_lightning_watch_invoices(seller, 0, &early, &error));
    assert_int_equal(owm_lightning_invoices_next(early, 100, &invoice, &error), OWM_E_TIMEOUT);
    for (uint16_t i = 0; i < INVOICES; i++) sell(seller, i);
    assert_int_equal(owm_lightning_invoices_next(early, 100, &invoice, &error), OWM_E_TIMEOUT);
    hash_text(INVOICES - 1, hash);
    lnd_double_do(shop, "arrive %s", hash);
    hash_text(3, hash);
    lnd_double_do(shop, "arrive %s", hash);
    expect_settled(early, 1);
    expect_settled(early, 2);
    assert_ok(owm_lightning_watch_invoices(seller, 0, &late, &error));
    expect_settled(late, 1);
    expect_settled(late, 2);
    hash_text(700, hash);
    lnd_double_do(shop, "arrive %s", hash);
    expect_settled(early, 3);
    expect_settled(late, 3);
    owm_lightning_invoices_close(late);
    assert_ok(owm_lightning_watch_invoices(seller, 2, &late, &error));
    expect_settled(late, 3);
    assert_int_equal(owm_lightning_invoices_next(late, 100, &invoice, &error), OWM_E_TIMEOUT);
    lnd_double_do(shop, "restart");
    assert_int_equal(owm_lightning_invoices_next(late, PATIENCE_MS, &invoice, &error), OWM_E_NET);
    owm_lightning_invoices_close(late);
    owm_lightning_invoices_close(early);
    owm_lightning_close(seller);
    lnd_double_close(shop);
}

static int begin(void **state)
{
    (void)state;
    rig_begin();
    node = rig_node("node");
    for (int i = 0; i < OPERATORS; i++) {
        char name[32];
        snprintf(name, sizeof name, "operator-%d", i);
        operators[i] = rig_node(name);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATORS; i++) lnd_double_close(operators[i]);
    lnd_double_close(node);
    rig_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gross_balances_of_every_type),
        cmocka_unit_test(test_who_opened),
        cmocka_unit_test(test_zero_conf_is_not_open),
        cmocka_unit_test(test_closes_of_every_kind),
        cmocka_unit_test(test_channels_are_watched),
        cmocka_unit_test(test_an_order_must_be_of_its_invoice),
        cmocka_unit_test(test_a_repeat_waits_for_the_first),
        cmocka_unit_test(test_a_refusal_is_looked_into),
        cmocka_unit_test(test_adding_is_idempotent),
        cmocka_unit_test(test_a_watch_from_the_beginning),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
