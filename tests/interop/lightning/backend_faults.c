/* backend_faults.c: wrong credentials, rotated certificates, a locked wallet, and lnd killed in the
 * middle of a payment. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "test.h"

#define REPEAT_MS 12000

/* lncli with the macaroon of a role: whether LND lets it. */
static bool allowed(const struct daemon *of, const char *role, const char *const *words)
{
    char macaroon[DAEMON_PATH_MAX + 64];
    const char *all[12] = {macaroon};
    struct owm_error error = {""};
    snprintf(macaroon, sizeof macaroon, "--macaroonpath=%s/owm-%s.macaroon", of->folder, role);
    for (size_t i = 0; words[i]; i++) all[i + 1] = words[i];
    owm_status status = daemon_ask(of, all, NULL, &error);
    return status == OWM_OK || !strstr(error.text, "permission denied");
}

/* What each role's macaroon lets through and what it does not, asked of LND itself. SRS-SEC-13 */
void test_roles_and_nothing_else(void **state)
{
    struct pair *pair = *state;
    static const struct {
        const char *words[6];
        const char *who; /* The roles, by first letters, that may. */
    } asks[] = {
        {{"getinfo"}, "sipl"},
        {{"listchannels"}, "spl"},
        {{"addinvoice", "1"}, "i"},
        {{"listinvoices"}, "i"},
        {{"walletbalance"}, "p"},
        {{"newaddress", "p2wkh"}, ""},
        {{"listpayments"}, ""},
        {{"signmessage", "x"}, ""},
        {{"exportchanbackup", "--all"}, ""},
        {{"bakemacaroon", "uri:/lnrpc.Lightning/GetInfo"}, ""},
        {{"sendcoins", "--addr", "sb1q", "--amt", "1000"}, ""},
        {{"stop"}, ""},
    };
    static const struct {
        const char *name;
        char letter;
    } roles[] = {{"stake", 's'}, {"invoice", 'i'}, {"pay", 'p'}, {"slash", 'l'}};
    for (size_t a = 0; a < sizeof asks / sizeof *asks; a++)
        for (size_t r = 0; r < sizeof roles / sizeof *roles; r++) {
            bool may = strchr(asks[a].who, roles[r].letter) != NULL;
            if (allowed(pair->treasury, roles[r].name, asks[a].words) != may)
                fail_msg("the role %s %s %s", roles[r].name, may ? "may not" : "may",
                         asks[a].words[0]);
        }
}

static owm_status open_with(struct pair *pair, enum owm_lightning_role role, const char *file)
{
    char path[DAEMON_PATH_MAX + 64];
    owm_lightning *lightning;
    struct owm_error error = {""};
    struct owm_lightning_config config = pair_config(pair->treasury, role);
    snprintf(path, sizeof path, "%s/%s", pair->treasury->folder, file);
    config.credential = path;
    owm_status status = owm_lightning_open(&config, &lightning, &error);
    if (status == OWM_E_CONFIG) assert_non_null(strstr(error.text, "bakemacaroon"));
    owm_lightning_close(lightning);
    return status;
}

static void refused_credentials(struct pair *pair)
{
    static const char admin[] = "data/chain/bitcoin/simnet/admin.macaroon";
    for (int role = OWM_LIGHTNING_STAKE; role <= OWM_LIGHTNING_OPERATOR; role++)
        assert_int_equal(open_with(pair, (enum owm_lightning_role)role, admin), OWM_E_CONFIG);
    assert_int_equal(open_with(pair, OWM_LIGHTNING_STAKE, "owm-pay.macaroon"), OWM_E_CONFIG);
    assert_int_equal(open_with(pair, OWM_LIGHTNING_PAY, "owm-stake.macaroon"), OWM_E_CONFIG);
    assert_int_equal(open_with(pair, OWM_LIGHTNING_STAKE, "tls.key"), OWM_E_CONFIG);
    assert_int_equal(open_with(pair, OWM_LIGHTNING_STAKE, "nothing"), OWM_E_IO);
}

/* Another node's certificate is refused; the node's own new one is taken from the same file. */
void test_certificate(void **state)
{
    struct pair *pair = *state;
    char other[DAEMON_PATH_MAX + 16], path[DAEMON_PATH_MAX + 16];
    struct owm_lightning_config config = pair_config(pair->treasury, OWM_LIGHTNING_STAKE);
    owm_lightning *lightning;
    struct owm_lightning_info info;
    refused_credentials(pair);
    snprintf(other, sizeof other, "%s/tls.cert", pair->owner->folder);
    config.certificate = other;
    assert_int_equal(owm_lightning_open(&config, &lightning, NULL), OWM_E_PERM);

    lightning = pair_open(pair->treasury, OWM_LIGHTNING_STAKE);
    daemon_stop(pair->treasury);
    assert_int_equal(owm_lightning_get_info(lightning, &info, NULL), OWM_E_NET);
    snprintf(path, sizeof path, "%s/tls.cert", pair->treasury->folder);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/tls.key", pair->treasury->folder);
    assert_int_equal(unlink(path), 0);
    assert_ok(daemon_start(pair->treasury, NULL));
    assert_ok(rig_mine(&pair->rig, 1, NULL));
    assert_ok(owm_lightning_get_info(lightning, &info, NULL));
    assert_memory_equal(info.key, pair->treasury_key, sizeof info.key);
    owm_lightning_close(lightning);
}

/* A wallet that waits for its password is "try again later", for a new handle and an old one. */
void test_locked(void **state)
{
    struct pair *pair = *state;
    const struct owm_lightning_config config = pair_config(pair->owner, OWM_LIGHTNING_OPERATOR);
    struct owm_error error = {""};
    struct owm_lightning_info info;
    owm_lightning *old = pair_open(pair->owner, OWM_LIGHTNING_OPERATOR), *fresh = NULL;
    daemon_stop(pair->owner);
    pair->owner->locked = true;
    assert_ok(daemon_start(pair->owner, NULL));
    owm_status status = OWM_E_NET;
    for (int i = 0; i < 100 && status == OWM_E_NET; i++) {
        owm_clock_sleep_ms(100);
        status = owm_lightning_open(&config, &fresh, &error);
    }
    assert_int_equal(status, OWM_E_AGAIN);
    assert_non_null(strstr(error.text, "lock"));
    assert_null(fresh);
    assert_int_equal(owm_lightning_get_info(old, &info, NULL), OWM_E_AGAIN);
    daemon_stop(pair->owner);
    pair->owner->locked = false;
    pair_restart(pair, pair->owner);
    assert_ok(owm_lightning_get_info(old, &info, NULL));
    owm_lightning_close(old);
}

/* The same order, again and again as the outbox does it, until it has an end or time is up. */
static enum owm_lightning_payment_state repeat(owm_lightning *treasury,
                                               const struct owm_lightning_order *order)
{
    struct owm_lightning_outcome outcome = {.state = OWM_LIGHTNING_IN_FLIGHT};
    uint64_t give_up_ms = owm_clock_mono_ms() + REPEAT_MS;
    while (owm_clock_mono_ms() < give_up_ms) {
        owm_status status = owm_lightning_pay(treasury, order, 2000, &outcome, NULL);
        if (status == OWM_OK && outcome.state == OWM_LIGHTNING_SUCCEEDED) break;
        owm_clock_sleep_ms(500); /* FAILED: it has no route until the channel is up again. */
    }
    return outcome.state;
}

/* lnd is killed at any moment after it was asked to pay. The order, repeated, is paid once.
 *
 * But for one moment: LND (0.21) that dies after it has noted an HTLC for its channel and before
 * the channel has it keeps the payment IN_FLIGHT for good, restarts notwithstanding ("payment stuck
 * in IN_FLIGHT", lightningnetwork/lnd issue 4788). Nothing is on its way then, on no channel; the
 * outbox must not send those sats again by itself, and the runbook says how a person does.
 * SRS-LN-05, TST-20 */
void test_killed_while_paying(void **state)
{
    struct pair *pair = *state;
    static const unsigned moments_ms[] = {0, 15, 60, 150};
    pair_wait_active(pair);
    for (unsigned i = 0; i < sizeof moments_ms / sizeof *moments_ms; i++) {
        const struct owm_lightning_order order = pair_keysend(pair->operator_key, 10001, 100 + i);
        owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_PAY);
        struct owm_lightning_outcome outcome;
        unsigned count;
        assert_ok(owm_lightning_pay(treasury, &order, 0, &outcome, NULL));
        owm_clock_sleep_ms(moments_ms[i]);
        daemon_kill(pair->treasury);
        owm_status status = owm_lightning_track(treasury, order.payment_hash, &outcome, NULL);
        assert_true(status == OWM_E_NET || status == OWM_E_TIMEOUT);
        pair_restart(pair, pair->treasury);
        pair_wait_active(pair);
        bool paid = repeat(treasury, &order) == OWM_LIGHTNING_SUCCEEDED;
        pair_settle(pair); /* On no channel is an HTLC left. */
        int64_t received_msat = pair_received(pair->owner, order.payment_hash, &count);
        assert_int_equal(count, paid ? 1 : 0);
        assert_int_equal(received_msat, paid ? 10001 : 0);
        printf("killed after %u ms: %s\n", moments_ms[i],
               paid ? "paid once" : "not paid, and in flight for good in LND's books");
        owm_lightning_close(treasury);
    }
}

/* A payment that hangs over a crash is in flight afterwards, too, and ends once. */
void test_killed_with_a_held_payment(void **state)
{
    struct pair *pair = *state;
    owm_lightning *treasury = pair_open(pair->treasury, OWM_LIGHTNING_PAY);
    owm_lightning *owner = pair_open(pair->owner, OWM_LIGHTNING_INVOICE);
    uint8_t preimage[32] = {33};
    char text[OWM_LIGHTNING_INVOICE_BYTES];
    struct owm_lightning_order order = {.invoice = text, .fee_limit_msat = 1000};
    struct owm_lightning_outcome outcome = {.state = OWM_LIGHTNING_FAILED};
    struct owm_error error = {""};
    unsigned count;
    owm_sha256(preimage, sizeof preimage, order.payment_hash);
    const struct owm_lightning_ask ask = {.payment_hash = order.payment_hash,
                                          .amount_msat = 20000000,
                                          .expiry_s = 600,
                                          .memo = "held"};
    assert_ok(owm_lightning_invoice_add(owner, &ask, text, NULL));
    if (owm_lightning_pay(treasury, &order, 1500, &outcome, &error)) fail_msg("%s", error.text);
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    daemon_kill(pair->treasury);
    pair_restart(pair, pair->treasury);
    pair_wait_active(pair);
    assert_ok(owm_lightning_track(treasury, order.payment_hash, &outcome, NULL));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    assert_ok(owm_lightning_pay(treasury, &order, 500, &outcome, NULL)); /* No second payment. */
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    assert_ok(owm_lightning_invoice_settle(owner, preimage, NULL));
    for (int i = 0; i < 100 && outcome.state == OWM_LIGHTNING_IN_FLIGHT; i++) {
        owm_clock_sleep_ms(100);
        assert_ok(owm_lightning_track(treasury, order.payment_hash, &outcome, NULL));
    }
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    assert_memory_equal(outcome.preimage, preimage, sizeof preimage);
    assert_int_equal(pair_received(pair->owner, order.payment_hash, &count), 20000000);
    assert_int_equal(count, 1);
    owm_lightning_close(treasury);
    owm_lightning_close(owner);
}
