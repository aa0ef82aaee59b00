/* test_cln_pay.c: payments and invoices through Core Lightning, each at most once.
 * SRS-LN-05 (no double payment), SRS-LN-01. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "cln_rig.h"
#include "test.h"

#define PATIENCE_MS 10000
#define OLD_S       1000 /* older than any xpay that may still be trying */

static struct cln_double *node;
static owm_lightning *payer, *seller;

struct sale {
    char invoice[CLN_DOUBLE_INVOICE_BYTES];
    struct owm_lightning_order order;
};

static void sale_make(struct sale *sale, uint8_t number, int64_t msat)
{
    memset(sale, 0, sizeof *sale);
    memset(sale->order.preimage, number, 32);
    owm_sha256(sale->order.preimage, 32, sale->order.payment_hash);
    cln_double_sell(node, sale->order.preimage, msat, false, sale->invoice);
    sale->order.invoice = sale->invoice;
    sale->order.amount_msat = msat;
    sale->order.fee_limit_msat = 500;
    sale->order.deadline_s = 45;
}

static owm_status pay(const struct sale *sale, unsigned wait_ms,
                      struct owm_lightning_outcome *outcome)
{
    struct owm_error error = {{0}};
    owm_status status = owm_lightning_pay(payer, &sale->order, wait_ms, outcome, &error);
    if (status != OWM_OK) assert_true(error.text[0]);
    return status;
}

static owm_status track(const struct sale *sale, struct owm_lightning_outcome *outcome)
{
    struct owm_error error;
    return owm_lightning_track(payer, sale->order.payment_hash, outcome, &error);
}

static void expect_paid_once(const struct sale *sale)
{
    struct owm_lightning_outcome outcome;
    assert_ok(track(sale, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_memory_equal(outcome.preimage, sale->order.preimage, 32);
    assert_int_equal(outcome.fee_msat, 7);
    assert_int_equal(cln_double_paid(node, sale->order.payment_hash), 1);
}

static void test_a_payment_and_its_repeats(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 1, 5000);
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    assert_int_equal(track(&sale, &outcome), OWM_E_NOTFOUND);
    assert_ok(pay(&sale, PATIENCE_MS, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_int_equal(outcome.amount_msat, 5000);
    assert_int_equal(outcome.fee_msat, 7);
    assert_non_null(strstr(cln_double_params(node, "xpay"), "\"maxfee\":500,\"retry_for\":45"));
    for (int i = 0; i < 3; i++) {
        assert_ok(pay(&sale, PATIENCE_MS, &outcome));
        assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    }
    assert_int_equal(cln_double_calls(node, "xpay"), 1);
    /* Where listpays did not know yet, xpay itself refuses. */
    cln_double_fault(node, "listpays", CLN_REFUSE, -1, 1);
    assert_int_equal(pay(&sale, PATIENCE_MS, &outcome), OWM_E_STATE);
    expect_paid_once(&sale);
}

static void test_an_order_must_be_of_its_invoice(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct owm_error error;
    struct sale sale, other;
    sale_make(&sale, 2, 5000);
    other = sale;
    other.order.payment_hash[0] ^= 1;
    assert_int_equal(pay(&other, 100, &outcome), OWM_E_ARG);
    other = sale;
    other.order.amount_msat = 6000;
    assert_int_equal(pay(&other, 100, &outcome), OWM_E_ARG);
    other.order.invoice = "lnbcrt1junk";
    assert_int_equal(pay(&other, 100, &outcome), OWM_E_ARG);
    sale_make(&sale, 3, 0); /* the payer chooses */
    assert_int_equal(pay(&sale, 100, &outcome), OWM_E_ARG);
    sale.order.amount_msat = 7000;
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    assert_ok(pay(&sale, PATIENCE_MS, &outcome));
    assert_int_equal(outcome.amount_msat, 7000);
    uint8_t key[OWM_LIGHTNING_KEY_BYTES] = {2};
    struct owm_lightning_order keysend = {.destination = key, .amount_msat = 1};
    assert_int_equal(owm_lightning_pay(payer, &keysend, 0, &outcome, &error), OWM_E_UNSUPPORTED);
    assert_non_null(strstr(error.text, "payout_to"));
}

/* The call ends before the payment: the next looks, and waits for the same one. */
static void test_a_slow_payment(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 4, 5000);
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 1500);
    unsigned calls = cln_double_calls(node, "xpay");
    assert_ok(pay(&sale, 100, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    assert_ok(pay(&sale, 0, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    assert_ok(pay(&sale, PATIENCE_MS, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_int_equal(cln_double_calls(node, "xpay"), calls + 1);
    expect_paid_once(&sale);
}

/* Two at once: lightningd refuses the second, which is told of the first. */
static void test_two_at_once(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 5, 5000);
    cln_double_pays(node, CLN_PAY_STUCK, 203, 50);
    assert_ok(pay(&sale, 100, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    cln_double_fault(node, "listpays", CLN_CUT_BEFORE, 0, 1);
    assert_int_equal(pay(&sale, 100, &outcome), OWM_E_TIMEOUT); /* it does not guess */
    cln_double_restart(node);
    assert_ok(track(&sale, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    cln_double_end(node, sale.order.payment_hash, true);
    expect_paid_once(&sale);
}

/* The connection breaks after the payment was taken: whatever way, it is found, and not
   repeated. */
static void test_cut_after_it_was_taken(void **state)
{
    (void)state;
    static const enum cln_fault faults[] = {CLN_CUT_AFTER, CLN_CUT_HALF, CLN_GARBAGE, CLN_NONSENSE,
                                            CLN_CUT_BEFORE};
    struct owm_lightning_outcome outcome;
    struct sale sale;
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    for (uint8_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sale_make(&sale, (uint8_t)(10 + i), 5000);
        cln_double_fault(node, "xpay", faults[i], 0, 1);
        owm_status status = pay(&sale, PATIENCE_MS, &outcome);
        bool taken = faults[i] == CLN_CUT_AFTER || faults[i] == CLN_CUT_HALF;
        bool garbled = faults[i] == CLN_GARBAGE || faults[i] == CLN_NONSENSE;
        assert_int_equal(status, taken ? OWM_OK : garbled ? OWM_E_PROTO : OWM_E_TIMEOUT);
        if (faults[i] == CLN_CUT_BEFORE || faults[i] == CLN_NONSENSE)
            assert_int_equal(track(&sale, &outcome), OWM_E_NOTFOUND);
        assert_ok(pay(&sale, PATIENCE_MS, &outcome));
        assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
        expect_paid_once(&sale);
    }
}

static void test_failures(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 20, 5000);
    cln_double_pays(node, CLN_PAY_NO_ROUTE, 205, 0);
    assert_int_equal(pay(&sale, PATIENCE_MS, &outcome), OWM_E_STATE);
    assert_int_equal(track(&sale, &outcome), OWM_E_NOTFOUND);
    cln_double_pays(node, CLN_PAY_FAIL, 203, 0);
    assert_ok(pay(&sale, PATIENCE_MS, &outcome)); /* our own call has ended: that is final */
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    assert_non_null(strstr(outcome.reason, "INCORRECT_PAYMENT_DETAILS"));
    cln_double_age(node, sale.order.payment_hash, OLD_S);
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    assert_ok(pay(&sale, PATIENCE_MS, &outcome)); /* a failed hash may be tried again */
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    expect_paid_once(&sale);
}

/* "failed", said while xpay looks for another route, is no failure: the money may still leave. */
static void test_a_failed_part_is_no_failure(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 21, 5000);
    cln_double_pays(node, CLN_PAY_RETRY, 0, 800);
    assert_ok(pay(&sale, 100, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    assert_ok(track(&sale, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    unsigned calls = cln_double_calls(node, "xpay");
    assert_ok(pay(&sale, PATIENCE_MS, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_int_equal(cln_double_calls(node, "xpay"), calls);
    expect_paid_once(&sale);
}

/* A failure that nobody waited for counts when no xpay can be trying any more. */
static void test_an_old_failure(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 22, 5000);
    cln_double_pays(node, CLN_PAY_STUCK, 203, 20);
    assert_ok(pay(&sale, 50, &outcome));
    cln_double_end(node, sale.order.payment_hash, false);
    assert_ok(track(&sale, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    cln_double_age(node, sale.order.payment_hash, OLD_S);
    assert_ok(track(&sale, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    /* The row of an earlier call is not taken for the end of this one. */
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    cln_double_fault(node, "xpay", CLN_CUT_BEFORE, 0, 1);
    assert_int_equal(pay(&sale, 100, &outcome), OWM_E_TIMEOUT);
}

/* xpay says that it is paid, and the list has lost it: that is never "try another invoice". */
static void test_a_lost_list(void **state)
{
    (void)state;
    static const int codes[] = {219, 200, -3, -4, -5};
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 23, 5000);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        cln_double_fault(node, "xpay", CLN_REFUSE, codes[i], 1);
        assert_int_equal(pay(&sale, 100, &outcome), OWM_E_PROTO);
    }
}

static void test_an_old_node_pays_with_pay(void **state)
{
    (void)state;
    struct owm_lightning_outcome outcome;
    struct sale sale;
    sale_make(&sale, 24, 5000);
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    cln_double_fault(node, "xpay", CLN_REFUSE, -32601, 1);
    assert_ok(pay(&sale, PATIENCE_MS, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_non_null(strstr(cln_double_params(node, "pay"), "\"bolt11\":\"lnbcrt1"));
    expect_paid_once(&sale);
}

/* A cap in the rune: lightningd judges each invoice, and one above it is not sent. */
static void test_a_rune_with_a_cap(void **state)
{
    (void)state;
    const char *recipe = owm_lightning_role_recipe(OWM_LIGHTNING_CLN, OWM_LIGHTNING_PAY);
    char restrictions[700];
    const char *first = strchr(recipe, '\'') + 1;
    snprintf(restrictions, sizeof restrictions,
             "%.*s,[\"method/xpay\",\"pinvinvstring_amount<5001\"]]",
             (int)(strrchr(recipe, '\'') - first - 1), first);
    cln_double_rune(node, "Y2Fw", restrictions);
    struct owm_lightning_outcome outcome;
    struct owm_error error = {{0}};
    owm_lightning *capped;
    struct sale sale;
    owm_status status = cln_rig_try(node, OWM_LIGHTNING_PAY, "Y2Fw", 0, &capped, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    sale_make(&sale, 25, 5001);
    assert_int_equal(owm_lightning_pay(capped, &sale.order, 1000, &outcome, &error), OWM_E_PERM);
    assert_int_equal(cln_double_paid(node, sale.order.payment_hash), 0);
    sale_make(&sale, 26, 5000);
    assert_ok(owm_lightning_pay(capped, &sale.order, PATIENCE_MS, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    owm_lightning_close(capped);
}

/* ------------------------------------------------------------------------ offers, decode */

static void test_offers(void **state)
{
    (void)state;
    char offer[80] = "lno1", invoice[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_lightning_request request;
    struct owm_lightning_outcome outcome;
    struct owm_error error;
    struct owm_lightning_order order = {.invoice = invoice, .amount_msat = 9000};
    memset(order.preimage, 40, 32);
    owm_sha256(order.preimage, 32, order.payment_hash);
    owm_hex_encode(order.preimage, 32, offer + 4);
    assert_ok(owm_lightning_fetch_invoice(payer, offer, 9000, invoice, &error));
    assert_ok(owm_lightning_decode(payer, invoice, &request, &error));
    assert_memory_equal(request.payment_hash, order.payment_hash, 32);
    assert_int_equal(request.amount_msat, 9000);
    assert_int_equal(request.expires_s - request.created_s, 7200);
    assert_string_equal(request.description, "made by a double");
    cln_double_pays(node, CLN_PAY_SUCCEED, 0, 0);
    assert_ok(owm_lightning_pay(payer, &order, PATIENCE_MS, &outcome, &error));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_int_equal(owm_lightning_fetch_invoice(payer, "junk", 1, invoice, &error), OWM_E_STATE);
    cln_double_fault(node, "fetchinvoice", CLN_NONSENSE, 0, 1);
    assert_int_equal(owm_lightning_fetch_invoice(payer, offer, 1, invoice, &error), OWM_E_PROTO);
    assert_int_equal(owm_lightning_decode(payer, offer, &request, &error), OWM_E_ARG);
    cln_double_fault(node, "decode", CLN_NONSENSE, 0, 1);
    assert_int_equal(owm_lightning_decode(payer, invoice, &request, &error), OWM_E_ARG);
}

/* ------------------------------------------------------------------------------ invoices */

static void test_invoices(void **state)
{
    (void)state;
    uint8_t preimage[32] = {50}, hash[32];
    char first[OWM_LIGHTNING_INVOICE_BYTES], again[OWM_LIGHTNING_INVOICE_BYTES], label[80] = "";
    struct owm_lightning_invoice invoice;
    struct owm_error error;
    owm_sha256(preimage, 32, hash);
    struct owm_lightning_ask ask = {.preimage = preimage,
                                    .amount_msat = 9000,
                                    .expiry_s = 600,
                                    .memo = "a memo",
                                    .route_hints = true};
    assert_int_equal(owm_lightning_invoice_find(seller, hash, &invoice, &error), OWM_E_NOTFOUND);
    assert_ok(owm_lightning_invoice_add(seller, &ask, first, &error));
    owm_hex_encode(hash, 32, label);
    assert_non_null(strstr(cln_double_params(node, "invoice"), label));
    assert_non_null(strstr(cln_double_params(node, "invoice"), "\"exposeprivatechannels\":true"));
    assert_ok(owm_lightning_invoice_add(seller, &ask, again, &error));
    assert_string_equal(first, again);
    cln_double_fault(node, "invoice", CLN_REFUSE, 901, 1);
    assert_ok(owm_lightning_invoice_add(seller, &ask, again, &error));
    assert_string_equal(first, again);
    ask.amount_msat = 9001;
    assert_int_equal(owm_lightning_invoice_add(seller, &ask, again, &error), OWM_E_EXISTS);
    assert_ok(owm_lightning_invoice_find(seller, hash, &invoice, &error));
    assert_int_equal(invoice.state, OWM_LIGHTNING_INVOICE_OPEN);
    assert_int_equal(invoice.asked_msat, 9000);
    assert_string_equal(invoice.invoice, first);
    cln_double_receive(node, hash, 9500);
    assert_ok(owm_lightning_invoice_find(seller, hash, &invoice, &error));
    assert_int_equal(invoice.state, OWM_LIGHTNING_INVOICE_SETTLED);
    assert_int_equal(invoice.paid_msat, 9500);
    preimage[0] = 51;
    ask.amount_msat = 0;
    ask.route_hints = false;
    cln_double_fault(node, "invoice", CLN_CUT_AFTER, 0, 1);
    assert_int_equal(owm_lightning_invoice_add(seller, &ask, again, &error), OWM_E_TIMEOUT);
    assert_ok(owm_lightning_invoice_add(seller, &ask, again, &error));
}

static void expect_settled(struct owm_lightning_invoices *watch, uint64_t index)
{
    struct owm_lightning_invoice invoice;
    struct owm_error error = {{0}};
    if (owm_lightning_invoices_next(watch, PATIENCE_MS, &invoice, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_int_equal(invoice.settle_index, index);
    assert_int_equal(invoice.state, OWM_LIGHTNING_INVOICE_SETTLED);
}

static void sell(uint8_t number, uint8_t hash[32])
{
    uint8_t preimage[32] = {number};
    char text[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_error error;
    struct owm_lightning_ask ask = {.preimage = preimage, .amount_msat = 1000, .expiry_s = 600};
    owm_sha256(preimage, 32, hash);
    assert_ok(owm_lightning_invoice_add(seller, &ask, text, &error));
}

static void test_the_watch_of_invoices(void **state)
{
    (void)state;
    struct owm_lightning_invoices *watch, *late;
    struct owm_lightning_invoice invoice;
    struct owm_error error;
    uint8_t one[32], two[32];
    assert_ok(owm_lightning_watch_invoices(seller, 0, &watch, &error));
    expect_settled(watch, 1); /* from the test before */
    assert_int_equal(owm_lightning_invoices_next(watch, 50, &invoice, &error), OWM_E_TIMEOUT);
    unsigned calls = cln_double_calls(node, "waitanyinvoice");
    assert_int_equal(owm_lightning_invoices_next(watch, 50, &invoice, &error), OWM_E_TIMEOUT);
    assert_int_equal(cln_double_calls(node, "waitanyinvoice"), calls); /* one call stays open */
    sell(60, one);
    sell(61, two);
    cln_double_receive(node, two, 1000);
    cln_double_receive(node, one, 1000);
    expect_settled(watch, 2);
    expect_settled(watch, 3);
    assert_ok(owm_lightning_watch_invoices(seller, 1, &late, &error));
    expect_settled(late, 2);
    owm_lightning_invoices_close(late);
    cln_double_fault(node, "waitanyinvoice", CLN_REFUSE, 904, 2); /* nothing: it asks again */
    assert_int_equal(owm_lightning_invoices_next(watch, 300, &invoice, &error), OWM_E_TIMEOUT);
    cln_double_restart(node);
    assert_int_not_equal(owm_lightning_invoices_next(watch, PATIENCE_MS, &invoice, &error),
                         OWM_E_TIMEOUT);
    owm_lightning_invoices_close(watch);
    assert_ok(owm_lightning_watch_invoices(seller, 3, &watch, &error));
    cln_double_fault(node, "waitanyinvoice", CLN_NONSENSE, 0, 1);
    assert_int_equal(owm_lightning_invoices_next(watch, 300, &invoice, &error), OWM_E_PROTO);
    owm_lightning_invoices_close(watch);
}

static int begin(void **state)
{
    (void)state;
    node = cln_rig_begin();
    payer = cln_rig_open(node, OWM_LIGHTNING_PAY);
    seller = cln_rig_open(node, OWM_LIGHTNING_INVOICE);
    return 0;
}

static int end(void **state)
{
    (void)state;
    owm_lightning_close(payer);
    owm_lightning_close(seller);
    cln_rig_end(node);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_payment_and_its_repeats),
        cmocka_unit_test(test_an_order_must_be_of_its_invoice),
        cmocka_unit_test(test_a_slow_payment),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_cut_after_it_was_taken),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_a_failed_part_is_no_failure),
        cmocka_unit_test(test_an_old_failure),
        cmocka_unit_test(test_a_lost_list),
        cmocka_unit_test(test_an_old_node_pays_with_pay),
        cmocka_unit_test(test_a_rune_with_a_cap),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_invoices),
        cmocka_unit_test(test_the_watch_of_invoices),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
