/* test_lnd_double.c: what lnd_double.h promises, asked through base/lightning, so that both are
 * held against each other: who may do what, what survives a crash, what is paid once.
 * SRS-LN-01 (LND over gRPC), SRS-SEC-13 (a credential of its own for each role). */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/lightning/lightning.h"
#include "base/sha256.h"
#include "lnd_double.h"
#include "test.h"

#define HOUR_S 3600

static char folder[] = "/tmp/lnd_double_XXXXXX";

static struct lnd_double *double_open(const char *name)
{
    char path[LND_DOUBLE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct lnd_double_config config = {path, "127.0.0.1:0", "regtest"};
    struct lnd_double *node;
    struct owm_error error = {{0}};
    if (lnd_double_open(&config, &node, &error) != OWM_OK) fail_msg("%s", error.text);
    return node;
}

/* A handle on the folder and address of a double. */
static owm_status handle_open(const char *path, const char *address, enum owm_lightning_role role,
                              const char *macaroon, owm_lightning **lightning)
{
    char certificate[600], credential[600];
    snprintf(certificate, sizeof certificate, "%s/tls.cert", path);
    snprintf(credential, sizeof credential, "%s/%s.macaroon", path, macaroon);
    struct owm_lightning_config config = {.backend = OWM_LIGHTNING_LND,
                                          .role = role,
                                          .address = address,
                                          .certificate = certificate,
                                          .credential = credential,
                                          .network = "regtest"};
    struct owm_error error = {{0}};
    owm_status status = owm_lightning_open(&config, lightning, &error);
    if (status != OWM_OK) print_message("%s\n", error.text);
    return status;
}

static owm_status try_open(struct lnd_double *node, enum owm_lightning_role role,
                           const char *macaroon, owm_lightning **lightning)
{
    char path[LND_DOUBLE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, lnd_double_name(node));
    return handle_open(path, lnd_double_address(node), role, macaroon, lightning);
}

static owm_lightning *open_as(struct lnd_double *node, enum owm_lightning_role role,
                              const char *macaroon)
{
    owm_lightning *lightning;
    assert_ok(try_open(node, role, macaroon, &lightning));
    return lightning;
}

static void expect_open(struct lnd_double *node, enum owm_lightning_role role, const char *macaroon,
                        owm_status expected)
{
    owm_lightning *lightning = NULL;
    assert_int_equal(try_open(node, role, macaroon, &lightning), expected);
    owm_lightning_close(lightning);
}

static void key_of(const char *hex, uint8_t key[33])
{
    assert_ok(owm_hex_decode(hex, key, 33));
}

/* ----------------------------------------------------------------------------- who may what */

static void test_macaroons_of_roles(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("macaroons");
    static const struct {
        enum owm_lightning_role role;
        const char *name;
    } roles[] = {
        {OWM_LIGHTNING_STAKE, "stake"},       {OWM_LIGHTNING_INVOICE, "invoice"},
        {OWM_LIGHTNING_PAY, "pay"},           {OWM_LIGHTNING_SLASH, "slash"},
        {OWM_LIGHTNING_OPERATOR, "operator"},
    };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        expect_open(node, roles[i].role, roles[i].name, OWM_OK);
        expect_open(node, roles[i].role, "admin", OWM_E_CONFIG);
    }
    expect_open(node, OWM_LIGHTNING_STAKE, "pay", OWM_E_CONFIG);
    lnd_double_do(node, "macaroon revoke stake");
    expect_open(node, OWM_LIGHTNING_STAKE, "stake", OWM_E_PERM);
    expect_open(node, OWM_LIGHTNING_PAY, "pay", OWM_OK);
    lnd_double_close(node);
    node = double_open("macaroons");
    expect_open(node, OWM_LIGHTNING_STAKE, "stake", OWM_E_PERM);
    lnd_double_close(node);
}

/* One byte of the chain of HMACs turned: LND's own verification refuses it. */
static void test_a_forged_macaroon(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("forged");
    char from[LND_DOUBLE_PATH_BYTES], to[LND_DOUBLE_PATH_BYTES];
    uint8_t bytes[4096];
    lnd_double_file(node, "stake.macaroon", from);
    lnd_double_file(node, "forged.macaroon", to);
    FILE *file = fopen(from, "r");
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    bytes[length - 1] ^= 1;
    file = fopen(to, "w");
    fwrite(bytes, 1, length, file);
    fclose(file);
    expect_open(node, OWM_LIGHTNING_STAKE, "forged", OWM_E_PERM);
    lnd_double_close(node);
}

static void test_states_before_ready(void **state)
{
    (void)state;
    static const char *const states[] = {"none", "locked", "starting", "rpc", "waiting"};
    struct lnd_double *node = double_open("states");
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        lnd_double_do(node, "state %s", states[i]);
        expect_open(node, OWM_LIGHTNING_STAKE, "stake", OWM_E_AGAIN);
    }
    lnd_double_do(node, "state active");
    owm_lightning *lightning = open_as(node, OWM_LIGHTNING_STAKE, "stake");
    struct owm_lightning_channel *channels;
    size_t count;
    struct owm_error error;
    lnd_double_do(node, "synced no");
    assert_int_equal(owm_lightning_channels(lightning, NULL, false, &channels, &count, &error),
                     OWM_E_AGAIN);
    lnd_double_do(node, "synced yes");
    lnd_double_do(node, "state locked");
    assert_int_equal(owm_lightning_channels(lightning, NULL, false, &channels, &count, &error),
                     OWM_E_AGAIN);
    owm_lightning_close(lightning);
    lnd_double_do(node, "state active");
    lnd_double_do(node, "network mainnet");
    expect_open(node, OWM_LIGHTNING_STAKE, "stake", OWM_E_CONFIG);
    lnd_double_close(node);
}

static void test_certificates(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("certificates");
    struct owm_lightning_info info;
    struct owm_error error = {{0}};
    owm_lightning *lightning = open_as(node, OWM_LIGHTNING_STAKE, "stake");
    assert_ok(owm_lightning_get_info(lightning, &info, &error));
    lnd_double_do(node, "certificate new");
    owm_status status = OWM_E_NET;
    for (int i = 0; i < 50 && status != OWM_OK; i++) {
        status = owm_lightning_get_info(lightning, &info, &error);
        if (status != OWM_OK) usleep(100000);
    }
    if (status != OWM_OK) fail_msg("%s", error.text);
    owm_lightning_close(lightning);
    lnd_double_do(node, "certificate expired");
    expect_open(node, OWM_LIGHTNING_STAKE, "stake", OWM_E_CRYPTO);
    lnd_double_close(node);
}

static void test_signatures(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("signer");
    owm_lightning *lightning = open_as(node, OWM_LIGHTNING_OPERATOR, "operator");
    char signature[OWM_LIGHTNING_SIGNATURE_TEXT];
    uint8_t key[33], expected[33];
    struct owm_error error;
    assert_ok(owm_lightning_sign(lightning, "owm stake v1 …", signature, &error));
    assert_ok(owm_lightning_recover("owm stake v1 …", signature, key));
    key_of(lnd_double_key(node), expected);
    assert_memory_equal(key, expected, 33);
    owm_lightning_close(lightning);
    lnd_double_close(node);
}

/* -------------------------------------------------------------------------------- channels */

static struct owm_lightning_channel channel_of(owm_lightning *lightning, const char *text)
{
    struct owm_lightning_point point;
    struct owm_lightning_channel *channels, found;
    size_t count, i = 0;
    struct owm_error error = {{0}};
    assert_ok(owm_lightning_point_parse(text, &point));
    if (owm_lightning_channels(lightning, NULL, true, &channels, &count, &error) != OWM_OK)
        fail_msg("%s", error.text);
    while (i < count && memcmp(&channels[i].point, &point, sizeof point) != 0) i++;
    if (i == count) fail_msg("no channel %s among %zu", text, count);
    found = channels[i];
    free(channels);
    return found;
}

static void test_a_channel_of_a_node(void **state)
{
    (void)state;
    struct lnd_double *treasury = double_open("treasury"), *operator= double_open("operator");
    owm_lightning *stake = open_as(treasury, OWM_LIGHTNING_STAKE, "stake");
    char point[80];
    snprintf(point, sizeof point, "%s",
             lnd_double_do(treasury, "channel peer=%s capacity=1000000 pending",
                           lnd_double_key(operator)));
    assert_int_equal(channel_of(stake, point).state, OWM_LIGHTNING_OPENING);
    lnd_double_do(treasury, "mine 3");
    struct owm_lightning_channel channel = channel_of(stake, point);
    assert_int_equal(channel.state, OWM_LIGHTNING_NORMAL);
    assert_true(channel.opened_by_peer);
    assert_int_equal(channel.remote_msat, 1000000000);
    assert_int_equal(channel.confirmations, 3);
    lnd_double_do(treasury, "move %s 200000000", point);
    channel = channel_of(stake, point);
    assert_int_equal(channel.remote_msat, 800000000);
    assert_int_equal(channel.local_msat, 200000000);
    lnd_double_do(treasury, "hold %s 50000000", point);
    channel = channel_of(stake, point);
    assert_int_equal(channel.remote_msat, 750000000);
    assert_int_equal(channel.unsettled_msat, 50000000);
    lnd_double_do(treasury, "hold %s 0", point);
    lnd_double_do(treasury, "flags %s ChanStatusBorked", point);
    assert_int_equal(channel_of(stake, point).state, OWM_LIGHTNING_BROKEN);
    lnd_double_do(treasury, "flags %s ChanStatusDefault", point);
    lnd_double_do(operator, "close %s us", point);
    assert_int_equal(channel_of(stake, point).state, OWM_LIGHTNING_CLOSING);
    lnd_double_do(treasury, "mine 1");
    channel = channel_of(stake, point);
    assert_int_equal(channel.state, OWM_LIGHTNING_CLOSED);
    assert_int_equal(channel.close_kind, OWM_LIGHTNING_CLOSE_COOPERATIVE);
    assert_true(channel.closed_by_peer);
    owm_lightning_close(stake);
    lnd_double_close(operator);
    lnd_double_close(treasury);
}

static void test_a_force_close_is_refused_twice(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("slasher");
    owm_lightning *slash = open_as(node, OWM_LIGHTNING_SLASH, "slash");
    struct owm_lightning_point point;
    uint8_t txid[32], again[32];
    struct owm_error error = {{0}};
    char text[80];
    lnd_double_do(node, "channels 1");
    struct lnd_double *peer = double_open("slashed");
    snprintf(text, sizeof text, "%s",
             lnd_double_do(node, "channel peer=%s capacity=500000", lnd_double_key(peer)));
    assert_ok(owm_lightning_point_parse(text, &point));
    lnd_double_do(node, "cut CloseChannel 1");
    assert_ok(owm_lightning_force_close(slash, &point, txid, &error));
    assert_int_equal(owm_lightning_force_close(slash, &point, again, &error), OWM_E_EXISTS);
    struct owm_lightning_channel channel = channel_of(slash, text);
    assert_int_equal(channel.state, OWM_LIGHTNING_CLOSING);
    assert_memory_equal(channel.closing_txid, txid, 32);
    lnd_double_do(node, "restart");
    assert_string_equal(lnd_double_do(node, "channel-state %s", text), "closing");
    lnd_double_do(node, "mine 1");
    assert_string_equal(lnd_double_do(node, "channel-state %s", text), "forced");
    assert_string_equal(lnd_double_do(peer, "channel-state %s", text), "forced");
    lnd_double_do(node, "mine 150");
    assert_int_equal(channel_of(slash, text).state, OWM_LIGHTNING_CLOSED);
    assert_int_equal(channel_of(slash, text).close_kind, OWM_LIGHTNING_CLOSE_FORCED_BY_US);
    memset(&point, 7, sizeof point);
    assert_int_equal(owm_lightning_force_close(slash, &point, txid, &error), OWM_E_NOTFOUND);
    owm_lightning_close(slash);
    lnd_double_close(peer);
    lnd_double_close(node);
}

/* More than the 4 MiB that gRPC takes by default. */
static void test_10000_channels(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("many");
    owm_lightning *stake = open_as(node, OWM_LIGHTNING_STAKE, "stake");
    struct owm_lightning_channel *channels;
    size_t count;
    struct owm_error error = {{0}};
    lnd_double_do(node, "channels 10000 capacity=1000000");
    owm_status status = owm_lightning_channels(stake, NULL, false, &channels, &count, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
    assert_int_equal(count, 10000);
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += channels[i].remote_msat;
    assert_true(sum == 10000ll * 1000000000);
    uint8_t peer[33];
    memcpy(peer, channels[17].peer, 33);
    free(channels);
    assert_ok(owm_lightning_channels(stake, peer, false, &channels, &count, &error));
    assert_int_equal(count, 1);
    free(channels);
    owm_lightning_close(stake);
    lnd_double_close(node);
}

static void test_opening_a_channel(void **state)
{
    (void)state;
    struct lnd_double *treasury = double_open("funder"), *node = double_open("funded");
    owm_lightning *pay = open_as(treasury, OWM_LIGHTNING_PAY, "pay");
    struct owm_lightning_point point;
    struct owm_lightning_funds funds;
    struct owm_error error = {{0}};
    uint8_t key[33];
    char text[OWM_LIGHTNING_POINT_TEXT];
    key_of(lnd_double_key(node), key);
    assert_int_equal(
        owm_lightning_open_channel(pay, key, "127.0.0.1:9735", 100000, 0, &point, &error),
        OWM_E_LIMIT);
    lnd_double_do(treasury, "wallet 1000000");
    assert_ok(owm_lightning_open_channel(pay, key, "127.0.0.1:9735", 100000, 0, &point, &error));
    assert_ok(owm_lightning_get_funds(pay, &funds, &error));
    assert_int_equal(funds.wallet_confirmed_msat, 899800000);
    owm_lightning_point_format(&point, text);
    assert_string_equal(lnd_double_do(node, "channel-state %s", text), "pending");
    lnd_double_do(node, "mine 1");
    assert_string_equal(lnd_double_do(treasury, "channel-state %s", text), "open");
    owm_lightning_close(pay);
    lnd_double_close(node);
    lnd_double_close(treasury);
}

/* -------------------------------------------------------------------------------- payments */

struct keysend {
    struct owm_lightning_order order;
    uint8_t destination[33];
    char hash[65];
};

static void keysend_make(struct keysend *keysend, uint8_t number)
{
    memset(keysend, 0, sizeof *keysend);
    memset(keysend->destination, 3, 33);
    memset(keysend->order.preimage, number, 32);
    memset(keysend->order.record_id, number, 16);
    owm_sha256(keysend->order.preimage, 32, keysend->order.payment_hash);
    owm_hex_encode(keysend->order.payment_hash, 32, keysend->hash);
    keysend->order.destination = keysend->destination;
    keysend->order.amount_msat = 1000 * number;
    keysend->order.fee_limit_msat = 5000;
}

static owm_status pay(owm_lightning *lightning, const struct keysend *keysend, unsigned wait_ms,
                      struct owm_lightning_outcome *outcome)
{
    struct owm_error error = {{0}};
    return owm_lightning_pay(lightning, &keysend->order, wait_ms, outcome, &error);
}

static owm_status track(owm_lightning *lightning, const struct keysend *keysend,
                        struct owm_lightning_outcome *outcome)
{
    struct owm_error error = {{0}};
    return owm_lightning_track(lightning, keysend->order.payment_hash, outcome, &error);
}

static void expect_line(struct lnd_double *node, const struct keysend *keysend, const char *part)
{
    const char *line = lnd_double_do(node, "payment %s", keysend->hash);
    if (!strstr(line, part)) fail_msg("no '%s' in '%s'", part, line);
}

static void test_a_hash_is_paid_once(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("payer");
    owm_lightning *lightning = open_as(node, OWM_LIGHTNING_PAY, "pay");
    struct owm_lightning_outcome outcome;
    struct keysend keysend;
    keysend_make(&keysend, 1);
    lnd_double_do(node, "pay default succeed fee=17");
    assert_int_equal(track(lightning, &keysend, &outcome), OWM_E_NOTFOUND);
    for (int i = 0; i < 3; i++) {
        assert_ok(pay(lightning, &keysend, 5000, &outcome));
        assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
        assert_memory_equal(outcome.preimage, keysend.order.preimage, 32);
        assert_int_equal(outcome.fee_msat, 17);
    }
    expect_line(node, &keysend, "accepted=1 refused=2 settled=1");

    keysend_make(&keysend, 2);
    lnd_double_do(node, "pay default fail reason=NO_ROUTE");
    assert_ok(pay(lightning, &keysend, 5000, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    lnd_double_do(node, "pay default succeed fee=6000");
    assert_ok(pay(lightning, &keysend, 5000, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED); /* over the fee limit */
    lnd_double_do(node, "pay default succeed");
    assert_ok(pay(lightning, &keysend, 5000, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    expect_line(node, &keysend, "accepted=3 refused=0 settled=1");
    assert_string_equal(lnd_double_do(node, "paid-twice"), "");
    owm_lightning_close(lightning);
    lnd_double_close(node);
}

static void test_broken_streams(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("broken");
    owm_lightning *lightning = open_as(node, OWM_LIGHTNING_PAY, "pay");
    struct owm_lightning_outcome outcome;
    struct keysend keysend;
    keysend_make(&keysend, 3);
    lnd_double_do(node, "pay default succeed refuse=1"); /* LND never heard of it */
    assert_int_equal(pay(lightning, &keysend, 2000, &outcome), OWM_E_NET);
    assert_int_equal(track(lightning, &keysend, &outcome), OWM_E_NOTFOUND);
    lnd_double_do(node, "pay default succeed after=300 cut=1"); /* it took it, and broke off */
    owm_status status = pay(lightning, &keysend, 2000, &outcome);
    assert_true(status == OWM_E_NET || outcome.state == OWM_LIGHTNING_IN_FLIGHT);
    for (int i = 0; i < 50; i++) {
        assert_ok(track(lightning, &keysend, &outcome));
        if (outcome.state != OWM_LIGHTNING_IN_FLIGHT) break;
        usleep(50000);
    }
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    expect_line(node, &keysend, "accepted=1 refused=0 settled=1");

    keysend_make(&keysend, 4);
    lnd_double_do(node, "pay default stall"); /* before its first HTLC */
    assert_ok(pay(lightning, &keysend, 200, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    expect_line(node, &keysend, "initiated");
    lnd_double_do(node, "fault TrackPaymentV2 14 1 transport is closing");
    assert_int_equal(track(lightning, &keysend, &outcome), OWM_E_NET);
    lnd_double_do(node, "restart");
    lnd_double_do(node, "end %s fail reason=TIMEOUT", keysend.hash);
    for (int i = 0; i < 50 && track(lightning, &keysend, &outcome) != OWM_OK; i++) usleep(100000);
    assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    owm_lightning_close(lightning);
    lnd_double_close(node);
}

/* ------------------------------------------------------------------------ the program, killed */

struct program {
    pid_t pid;
    FILE *to, *from;
    char address[64];
};

static void program_start(struct program *program, const char *argument)
{
    int in[2], out[2];
    char line[256];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    program->pid = fork();
    if (program->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int i = 0; i < 2; i++) close(in[i]), close(out[i]);
        execl(LND_DOUBLE, LND_DOUBLE, argument, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    program->to = fdopen(in[1], "w");
    program->from = fdopen(out[0], "r");
    assert_non_null(fgets(line, sizeof line, program->from));
    if (sscanf(line, "ready %*s %63s", program->address) != 1) fail_msg("it said %s", line);
}

static void program_ask(struct program *program, const char *line, char answer[512])
{
    unsigned lines = 0;
    fprintf(program->to, "%s\n", line);
    fflush(program->to);
    assert_non_null(fgets(answer, 512, program->from));
    if (sscanf(answer, "ok %u", &lines) != 1) fail_msg("'%s': %s", line, answer);
    for (unsigned i = 0; i < lines; i++) assert_non_null(fgets(answer, 512, program->from));
}

static void program_end(struct program *program, int signal)
{
    int status;
    fclose(program->to);
    if (signal) kill(program->pid, signal);
    fclose(program->from);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    if (!signal) assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_a_killed_program_forgets_nothing(void **state)
{
    (void)state;
    struct program program;
    struct keysend keysend;
    struct owm_lightning_outcome outcome;
    owm_lightning *lightning;
    char path[600], line[700], answer[512];
    keysend_make(&keysend, 5);
    snprintf(path, sizeof path, "%s/killed", folder);
    program_start(&program, path);
    program_ask(&program, "killed pay default hang", answer);
    assert_ok(handle_open(path, program.address, OWM_LIGHTNING_PAY, "pay", &lightning));
    assert_ok(pay(lightning, &keysend, 200, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    program_end(&program, SIGKILL);
    assert_int_equal(track(lightning, &keysend, &outcome), OWM_E_NET);
    owm_lightning_close(lightning);

    snprintf(line, sizeof line, "%s=%s", path, program.address);
    program_start(&program, line);
    assert_ok(handle_open(path, program.address, OWM_LIGHTNING_PAY, "pay", &lightning));
    assert_ok(pay(lightning, &keysend, 200, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
    snprintf(line, sizeof line, "killed end %s succeed", keysend.hash);
    program_ask(&program, line, answer);
    assert_ok(track(lightning, &keysend, &outcome));
    assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
    program_ask(&program, "killed payments", answer);
    assert_non_null(strstr(answer, "accepted=1 refused=1 settled=1"));
    owm_lightning_close(lightning);
    program_end(&program, 0);
}

/* -------------------------------------------------------------------------------- invoices */

static void ask_make(struct owm_lightning_ask *ask, const uint8_t preimage[32], bool hold,
                     uint8_t hash[32])
{
    owm_sha256(preimage, 32, hash);
    *ask = (struct owm_lightning_ask){.preimage = hold ? NULL : preimage,
                                      .payment_hash = hash,
                                      .amount_msat = 21000,
                                      .expiry_s = HOUR_S,
                                      .cltv_blocks = hold ? 1000 : 0,
                                      .memo = "what it is for"};
}

static void expect_invoice(owm_lightning *lightning, const uint8_t hash[32],
                           enum owm_lightning_invoice_state expected)
{
    struct owm_lightning_invoice invoice;
    struct owm_error error = {{0}};
    if (owm_lightning_invoice_find(lightning, hash, &invoice, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_int_equal(invoice.state, expected);
}

static void test_settled_invoices_are_replayed(void **state)
{
    (void)state;
    struct lnd_double *node = double_open("seller");
    owm_lightning *lightning = open_as(node, OWM_LIGHTNING_INVOICE, "invoice");
    struct owm_lightning_invoices *watch;
    struct owm_lightning_invoice paid;
    struct owm_lightning_ask ask;
    struct owm_error error = {{0}};
    uint8_t preimage[32], hash[5][32];
    char invoice[OWM_LIGHTNING_INVOICE_BYTES], again[OWM_LIGHTNING_INVOICE_BYTES], hex[65];
    for (uint8_t i = 0; i < 5; i++) {
        memset(preimage, i + 1, 32);
        ask_make(&ask, preimage, false, hash[i]);
        assert_ok(owm_lightning_invoice_add(lightning, &ask, invoice, &error));
        assert_ok(owm_lightning_invoice_add(lightning, &ask, again, &error));
        assert_string_equal(invoice, again);
        expect_invoice(lightning, hash[i], OWM_LIGHTNING_INVOICE_OPEN);
        owm_hex_encode(hash[i], 32, hex);
        if (i < 3) lnd_double_do(node, "arrive %s msat=22000", hex);
    }
    lnd_double_do(node, "restart");
    owm_status status = OWM_E_NET;
    for (int i = 0; i < 50 && status != OWM_OK; i++) {
        status = owm_lightning_watch_invoices(lightning, 1, &watch, &error);
        if (status != OWM_OK) usleep(100000);
    }
    assert_ok(status);
    for (uint64_t i = 2; i <= 3; i++) {
        assert_ok(owm_lightning_invoices_next(watch, 5000, &paid, &error));
        assert_int_equal(paid.settle_index, i);
        assert_int_equal(paid.paid_msat, 22000);
    }
    assert_int_equal(owm_lightning_invoices_next(watch, 100, &paid, &error), OWM_E_TIMEOUT);
    owm_hex_encode(hash[4], 32, hex);
    lnd_double_do(node, "arrive %s", hex);
    assert_ok(owm_lightning_invoices_next(watch, 5000, &paid, &error));
    assert_int_equal(paid.settle_index, 4);
    assert_memory_equal(paid.payment_hash, hash[4], 32);
    owm_lightning_invoices_close(watch);
    assert_ok(owm_lightning_watch_invoices(lightning, 0, &watch, &error)); /* from the beginning */
    for (uint64_t i = 1; i <= 4; i++) {
        assert_ok(owm_lightning_invoices_next(watch, 5000, &paid, &error));
        assert_int_equal(paid.settle_index, i);
    }
    owm_lightning_invoices_close(watch);
    owm_lightning_close(lightning);
    lnd_double_close(node);
}

/* A bond: the operator's node pays the treasury's hold invoice, which is held, then given back,
 * then paid again and kept. */
static void test_hold_invoices_between_doubles(void **state)
{
    (void)state;
    struct lnd_double *treasury = double_open("holder"), *node = double_open("bonded");
    owm_lightning *seller = open_as(treasury, OWM_LIGHTNING_INVOICE, "invoice");
    owm_lightning *payer = open_as(node, OWM_LIGHTNING_OPERATOR, "operator");
    struct owm_lightning_outcome outcome;
    struct owm_lightning_request request;
    struct owm_lightning_ask ask;
    struct owm_error error = {{0}};
    uint8_t preimage[32], hash[32];
    char invoice[OWM_LIGHTNING_INVOICE_BYTES];
    for (int kept = 0; kept < 2; kept++) {
        memset(preimage, 0x40 + kept, 32);
        ask_make(&ask, preimage, true, hash);
        assert_ok(owm_lightning_invoice_add(seller, &ask, invoice, &error));
        assert_ok(owm_lightning_decode(payer, invoice, &request, &error));
        assert_int_equal(request.amount_msat, 21000);
        assert_memory_equal(request.payment_hash, hash, 32);
        struct owm_lightning_order order = {.invoice = invoice, .fee_limit_msat = 1000};
        memcpy(order.payment_hash, hash, 32);
        assert_ok(owm_lightning_pay(payer, &order, 300, &outcome, &error));
        assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
        expect_invoice(seller, hash, OWM_LIGHTNING_INVOICE_HELD);
        for (int again = 0; again < 2; again++)
            assert_ok(kept ? owm_lightning_invoice_settle(seller, preimage, &error)
                           : owm_lightning_invoice_cancel(seller, hash, &error));
        assert_ok(owm_lightning_track(payer, hash, &outcome, &error));
        assert_int_equal(outcome.state, kept ? OWM_LIGHTNING_SUCCEEDED : OWM_LIGHTNING_FAILED);
    }
    assert_int_equal(owm_lightning_invoice_cancel(seller, hash, &error), OWM_E_STATE);
    lnd_double_do(treasury, "invoicesrpc no");
    memset(preimage, 0x50, 32);
    ask_make(&ask, preimage, true, hash);
    assert_int_equal(owm_lightning_invoice_add(seller, &ask, invoice, &error), OWM_E_UNSUPPORTED);
    owm_lightning_close(payer);
    owm_lightning_close(seller);
    lnd_double_close(node);
    lnd_double_close(treasury);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_macaroons_of_roles),
        cmocka_unit_test(test_a_forged_macaroon),
        cmocka_unit_test(test_states_before_ready),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_a_channel_of_a_node),
        cmocka_unit_test(test_a_force_close_is_refused_twice),
        cmocka_unit_test(test_10000_channels),
        cmocka_unit_test(test_opening_a_channel),
        cmocka_unit_test(test_a_hash_is_paid_once),
        cmocka_unit_test(test_broken_streams),
        cmocka_unit_test(test_a_killed_program_forgets_nothing),
        cmocka_unit_test(test_settled_invoices_are_replayed),
        cmocka_unit_test(test_hold_invoices_between_doubles),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
