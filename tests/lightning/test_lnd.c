/* test_lnd.c: the LND backend's connection: judging a node, its certificate, roles, refusals.
 * SRS-LN-01 (LND over gRPC), SRS-SEC-13 (a credential of its own for force-closing). */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "lnd_rig.h"
#include "test.h"

#define PATIENCE_MS 10000

static struct lnd_double *node;

/* Wait until a call succeeds, as after a restart. */
static void wait_ok(owm_lightning *lightning)
{
    struct owm_lightning_info info;
    struct owm_error error = {{0}};
    uint64_t end_ms = owm_clock_mono_ms() + PATIENCE_MS;
    while (owm_lightning_get_info(lightning, &info, &error) != OWM_OK) {
        if (owm_clock_mono_ms() > end_ms) fail_msg("%s", error.text);
        owm_clock_sleep_ms(50);
    }
}

static void expect_open(const struct owm_lightning_config *config, owm_status expected,
                        const char *words)
{
    owm_lightning *lightning = NULL;
    struct owm_error error = {{0}};
    owm_status status = owm_lightning_open(config, &lightning, &error);
    owm_lightning_close(lightning);
    if (status != expected || !strstr(error.text, words))
        fail_msg("%s, not %s with '%s': %s", owm_status_text(status), owm_status_text(expected),
                 words, error.text);
}

static void expect_info(owm_lightning *lightning, owm_status expected, const char *words)
{
    struct owm_lightning_info info;
    struct owm_error error = {{0}};
    owm_status status = owm_lightning_get_info(lightning, &info, &error);
    if (status != expected || !strstr(error.text, words))
        fail_msg("%s, not %s with '%s': %s", owm_status_text(status), owm_status_text(expected),
                 words, error.text);
}

/* ------------------------------------------------------------------------------- judging */

static void test_the_node_is_judged(void **state)
{
    (void)state;
    struct owm_lightning_config config = rig_config(node, OWM_LIGHTNING_STAKE);
    struct owm_lightning_info info;
    struct owm_error error;
    owm_lightning *lightning = rig_open(node, OWM_LIGHTNING_STAKE);
    assert_ok(owm_lightning_get_info(lightning, &info, &error));
    assert_string_equal(info.network, "regtest");
    assert_true(info.synced_to_chain);
    assert_int_equal(owm_lightning_backend_of(lightning), OWM_LIGHTNING_LND);
    owm_lightning_close(lightning);

    char version[64];
    snprintf(version, sizeof version, "%s", info.version);
    lnd_double_do(node, "version 0.17.5-beta commit=v0.17.5-beta");
    expect_open(&config, OWM_E_UNSUPPORTED, "0.18 or newer");
    lnd_double_do(node, "version unknown");
    expect_open(&config, OWM_E_UNSUPPORTED, "unknown");
    lnd_double_do(node, "version 0.18.0-beta");
    expect_open(&config, OWM_OK, "");
    lnd_double_do(node, "version 1.0.0");
    expect_open(&config, OWM_OK, "");
    lnd_double_do(node, "version %s", version);

    config.network = "mainnet";
    expect_open(&config, OWM_E_CONFIG, "is on the network 'regtest', not on mainnet");
    config.network = "regtest";
    config.address = "127.0.0.1:1";
    expect_open(&config, OWM_E_NET, "127.0.0.1:1");
    config.address = "";
    expect_open(&config, OWM_E_CONFIG, "address");
}

static void test_files_that_are_wrong(void **state)
{
    (void)state;
    struct owm_lightning_config good = rig_config(node, OWM_LIGHTNING_STAKE), config = good;
    config.certificate = "/nonexistent/tls.cert";
    expect_open(&config, OWM_E_IO, "/nonexistent/tls.cert");
    config.certificate = good.credential;
    expect_open(&config, OWM_E_CRYPTO, "no certificate");
    config.certificate = NULL;
    expect_open(&config, OWM_E_CONFIG, "tls.cert");
    config = good;
    config.credential = "/nonexistent/stake.macaroon";
    expect_open(&config, OWM_E_IO, "/nonexistent/stake.macaroon");
    config.credential = good.certificate;
    expect_open(&config, OWM_E_CONFIG, "no macaroon");
    config.credential = NULL;
    expect_open(&config, OWM_E_CONFIG, "no macaroon");
}

/* -------------------------------------------------------------------------- certificates */

static void test_another_certificate_is_refused(void **state)
{
    (void)state;
    struct lnd_double *other = rig_node("other");
    struct owm_lightning_config config = rig_config(node, OWM_LIGHTNING_STAKE);
    config.address = lnd_double_address(other);
    expect_open(&config, OWM_E_PERM, "copy the node's tls.cert");
    lnd_double_close(other);
}

/* The node has a new certificate: calls fail until its file is copied here, then they succeed with
 * the same handle. A file that is no certificate changes nothing. */
static void test_the_certificate_rotates(void **state)
{
    (void)state;
    struct lnd_double *ours = rig_node("rotating"), *copy = rig_node("copy");
    struct owm_lightning_config config = rig_config(ours, OWM_LIGHTNING_STAKE);
    char path[LND_DOUBLE_PATH_BYTES];
    owm_lightning *lightning;
    struct owm_error error;
    rig_swap(ours, copy, "tls.cert");
    lnd_double_file(copy, "tls.cert", path);
    config.certificate = path;
    assert_ok(owm_lightning_open(&config, &lightning, &error));
    assert_ok(owm_fs_write_atomic(path, "junk", 4, 0600, &error));
    owm_clock_sleep_ms(1100); /* longer than a look at the file is good for */
    expect_info(lightning, OWM_OK, "");
    lnd_double_do(ours, "certificate new");
    owm_status status = OWM_E_NET; /* while it restarts */
    for (int i = 0; i < 100 && status == OWM_E_NET; i++) {
        struct owm_lightning_info info;
        status = owm_lightning_get_info(lightning, &info, &error);
        if (status == OWM_E_NET) owm_clock_sleep_ms(50);
    }
    assert_int_equal(status, OWM_E_PERM);
    rig_swap(ours, copy, "tls.cert");
    wait_ok(lightning);
    owm_lightning_close(lightning);
    lnd_double_close(copy);
    lnd_double_close(ours);
}

struct caller {
    owm_lightning *lightning;
    atomic_bool stop;
    atomic_uint succeeded, refused;
};

static void *call_on(void *arg)
{
    struct caller *caller = arg;
    while (!atomic_load(&caller->stop)) {
        struct owm_lightning_info info;
        struct owm_error error;
        owm_status status = owm_lightning_get_info(caller->lightning, &info, &error);
        if (status == OWM_OK)
            atomic_fetch_add(&caller->succeeded, 1);
        else
            atomic_fetch_add(&caller->refused, 1);
        owm_clock_sleep_ms(status == OWM_OK ? 1 : 20);
    }
    return NULL;
}

/* Connections are replaced under calls and streams of other threads. */
static void test_it_rotates_under_load(void **state)
{
    (void)state;
    enum { THREADS = 4, ROTATIONS = 3 };
    struct lnd_double *ours = rig_node("loaded");
    struct caller caller = {.lightning = rig_open(ours, OWM_LIGHTNING_STAKE)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_on, &caller), 0);
    for (int i = 0; i < ROTATIONS; i++) {
        struct owm_lightning_watch *watch;
        struct owm_error error;
        uint8_t peer[OWM_LIGHTNING_KEY_BYTES];
        wait_ok(caller.lightning);
        assert_ok(owm_lightning_watch_channels(caller.lightning, &watch, &error));
        lnd_double_do(ours, "certificate new");
        owm_status status;
        do {
            status = owm_lightning_watch_next(watch, 5000, peer, &error);
        } while (status == OWM_OK);
        assert_true(status == OWM_E_NET || status == OWM_E_PERM);
        owm_lightning_watch_close(watch);
        wait_ok(caller.lightning);
    }
    atomic_store(&caller.stop, true);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_true(atomic_load(&caller.succeeded) > 10);
    owm_lightning_close(caller.lightning);
    lnd_double_close(ours);
}

/* ------------------------------------------------------------------------------ refusals */

static void test_a_role_does_not_even_ask_for_more(void **state)
{
    (void)state;
    owm_lightning *stake = rig_open(node, OWM_LIGHTNING_STAKE);
    struct owm_lightning_order order = {.invoice = "lnbcrt1"};
    struct owm_lightning_outcome outcome;
    struct owm_lightning_point point = {0};
    struct owm_error error;
    uint8_t txid[32];
    char signature[OWM_LIGHTNING_SIGNATURE_TEXT];
    struct owm_lightning_ask ask = {.preimage = txid};
    char invoice[OWM_LIGHTNING_INVOICE_BYTES];
    assert_int_equal(owm_lightning_pay(stake, &order, 0, &outcome, &error), OWM_E_PERM);
    assert_non_null(strstr(error.text, "the role stake may not pay"));
    assert_int_equal(owm_lightning_force_close(stake, &point, txid, &error), OWM_E_PERM);
    assert_int_equal(owm_lightning_sign(stake, "hi", signature, &error), OWM_E_PERM);
    assert_int_equal(owm_lightning_invoice_add(stake, &ask, invoice, &error), OWM_E_PERM);
    assert_string_equal(lnd_double_do(node, "calls SendPaymentV2"), "0");
    assert_string_equal(lnd_double_do(node, "calls CloseChannel"), "0");
    assert_string_equal(lnd_double_do(node, "calls SignMessage"), "0");
    assert_string_equal(lnd_double_do(node, "calls AddInvoice"), "0");
    owm_lightning_close(stake);

    owm_lightning *pay = rig_open(node, OWM_LIGHTNING_PAY);
    assert_int_equal(owm_lightning_force_close(pay, &point, txid, &error), OWM_E_PERM);
    assert_int_equal(owm_lightning_fetch_invoice(pay, "lno1", 1, invoice, &error),
                     OWM_E_UNSUPPORTED);
    owm_lightning_close(pay);
}

static void test_codes_and_words(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        owm_status status;
        const char *words;
    } faults[] = {
        {"2 1 wallet locked, unlock it to enable full RPC access", OWM_E_AGAIN, "locked"},
        {"2 1 wallet not created, create one to enable full RPC access", OWM_E_AGAIN, "created"},
        {"2 1 waiting to start, RPC services not available", OWM_E_AGAIN, "waiting"},
        {"2 1 the RPC server is in the process of starting up, but not yet ready to accept calls",
         OWM_E_AGAIN, "starting"},
        {"2 1 verification failed: signature mismatch after caveat verification", OWM_E_PERM,
         "signature mismatch"},
        {"2 1 permission denied: macaroon has expired", OWM_E_PERM, "clocks"},
        {"2 1 cannot retrieve macaroon: cannot get macaroon: root key with id 7000 doesn't exist",
         OWM_E_PERM, "root key"},
        {"2 1 the moon is full", OWM_E_STATE, "the moon is full"},
        {"3 1 invalid reference", OWM_E_STATE, "invalid reference"},
        {"4 1 too late", OWM_E_TIMEOUT, "too late"},
        {"12 1 unknown method", OWM_E_UNSUPPORTED, "GetInfo"},
        {"13 1 stream terminated by RST_STREAM", OWM_E_PROTO, "RST_STREAM"},
        {"14 1 transport is closing", OWM_E_NET, "transport"},
        {"16 1 who are you", OWM_E_PERM, "who are you"},
    };
    owm_lightning *lightning = rig_open(node, OWM_LIGHTNING_STAKE);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        lnd_double_do(node, "fault GetInfo %s", faults[i].fault);
        expect_info(lightning, faults[i].status, faults[i].words);
    }
    expect_info(lightning, OWM_OK, "");
    owm_lightning_close(lightning);
}

static void test_a_build_without_hold_invoices(void **state)
{
    (void)state;
    owm_lightning *lightning = rig_open(node, OWM_LIGHTNING_INVOICE);
    uint8_t hash[32] = {9};
    struct owm_lightning_ask ask = {.payment_hash = hash, .amount_msat = 1000};
    char invoice[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_error error;
    lnd_double_do(node, "invoicesrpc no");
    assert_int_equal(owm_lightning_invoice_add(lightning, &ask, invoice, &error),
                     OWM_E_UNSUPPORTED);
    assert_non_null(strstr(error.text, "built without the tag invoicesrpc"));
    lnd_double_do(node, "invoicesrpc yes");
    assert_ok(owm_lightning_invoice_add(lightning, &ask, invoice, &error));
    owm_lightning_close(lightning);
}

static void test_a_node_that_does_not_answer(void **state)
{
    (void)state;
    struct lnd_double *ours = rig_node("silent");
    struct owm_lightning_config config = rig_config(ours, OWM_LIGHTNING_STAKE);
    config.timeout_ms = 300;
    owm_lightning *lightning;
    struct owm_error error;
    assert_ok(owm_lightning_open(&config, &lightning, &error));
    lnd_double_do(ours, "delay GetInfo 2000");
    uint64_t start_ms = owm_clock_mono_ms();
    expect_info(lightning, OWM_E_TIMEOUT, "GetInfo");
    assert_true(owm_clock_mono_ms() - start_ms < 1900);
    lnd_double_do(ours, "delay GetInfo 0");
    lnd_double_do(ours, "down");
    expect_info(lightning, OWM_E_NET, "GetInfo");
    lnd_double_do(ours, "up");
    wait_ok(lightning);
    owm_lightning_close(lightning);
    lnd_double_close(ours);
}

static int begin(void **state)
{
    (void)state;
    rig_begin();
    node = rig_node("node");
    return 0;
}

static int end(void **state)
{
    (void)state;
    lnd_double_close(node);
    rig_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_node_is_judged),
        cmocka_unit_test(test_files_that_are_wrong),
        cmocka_unit_test(test_another_certificate_is_refused),
        cmocka_unit_test(test_the_certificate_rotates),
        cmocka_unit_test(test_it_rotates_under_load),
        cmocka_unit_test(test_a_role_does_not_even_ask_for_more),
        cmocka_unit_test(test_codes_and_words),
        cmocka_unit_test(test_a_build_without_hold_invoices),
        cmocka_unit_test(test_a_node_that_does_not_answer),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
