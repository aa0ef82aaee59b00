/* test_cln.c: the Core Lightning backend against the double: opening, runes, a bad wire, channels,
 * funds. SRS-LN-01 (one interface, two nodes), SRS-SEC-13 (a credential for each role). */
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cln_rig.h"
#include "test.h"

#define PEER_A "02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PEER_B "02bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TXID_1 "0100000000000000000000000000000000000000000000000000000000000011"
#define TXID_2 "0200000000000000000000000000000000000000000000000000000000000022"
#define CLOSER "0300000000000000000000000000000000000000000000000000000000000033"

static struct cln_double *node;

/* ------------------------------------------------------------------------------ opening */

static owm_status try_open(enum owm_lightning_role role, const char *rune, struct owm_error *error)
{
    owm_lightning *lightning;
    owm_status status = cln_rig_try(node, role, rune, 0, &lightning, error);
    if (status == OWM_OK) owm_lightning_close(lightning);
    return status;
}

static void test_info(void **state)
{
    (void)state;
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    struct owm_lightning_info info;
    struct owm_error error;
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    assert_int_equal(owm_lightning_backend_of(stake), OWM_LIGHTNING_CLN);
    assert_ok(owm_lightning_get_info(stake, &info, &error));
    assert_ok(owm_hex_decode(cln_double_key(node), key, sizeof key));
    assert_memory_equal(info.key, key, sizeof key);
    assert_string_equal(info.network, "regtest");
    assert_int_equal(info.block_height, 200);
    assert_true(info.synced_to_chain);
    assert_non_null(strstr(info.uri, "@127.0.0.1:9735"));
    cln_double_put(node, "getinfo", "{\"warning_lightningd_sync\": \"Still loading\"}");
    assert_ok(owm_lightning_get_info(stake, &info, &error));
    assert_false(info.synced_to_chain);
    struct owm_lightning_channel *channels;
    size_t count;
    assert_int_equal(owm_lightning_channels(stake, NULL, false, &channels, &count, &error),
                     OWM_E_AGAIN);
    cln_double_put(node, "getinfo", "{\"warning_lightningd_sync\": null}");
    owm_lightning_close(stake);
}

static void test_the_wrong_node(void **state)
{
    (void)state;
    struct owm_error error;
    cln_double_put(node, "getinfo", "{\"network\": \"bitcoin\"}");
    assert_int_equal(try_open(OWM_LIGHTNING_STAKE, NULL, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "mainnet"));
    cln_double_put(node, "getinfo", "{\"network\": \"regtest\", \"version\": \"v23.08.1\"}");
    assert_int_equal(try_open(OWM_LIGHTNING_STAKE, NULL, &error), OWM_E_UNSUPPORTED);
    cln_double_put(node, "getinfo", "{\"version\": \"24.11-103-gdeadbee\"}");
    assert_ok(try_open(OWM_LIGHTNING_STAKE, NULL, &error));
    cln_double_put(node, "getinfo", "{\"version\": \"v25.02\"}");
    struct owm_lightning_config config = {
        .backend = OWM_LIGHTNING_CLN, .address = "/nowhere/lightning-rpc", .network = "regtest"};
    owm_lightning *lightning;
    assert_int_equal(owm_lightning_open(&config, &lightning, &error), OWM_E_NET);
    char path[300];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = 0;
    config.address = path;
    assert_int_equal(owm_lightning_open(&config, &lightning, &error), OWM_E_CONFIG);
    if (geteuid() != 0) {
        assert_int_equal(chmod(cln_double_path(node), 0), 0);
        assert_int_equal(try_open(OWM_LIGHTNING_STAKE, NULL, &error), OWM_E_PERM);
        assert_int_equal(chmod(cln_double_path(node), 0600), 0);
    }
}

/* The restrictions in a recipe, between its quotes. */
static char *restrictions_of(enum owm_lightning_role role)
{
    const char *recipe = owm_lightning_role_recipe(OWM_LIGHTNING_CLN, role);
    const char *first = strchr(recipe, '\''), *last = strrchr(recipe, '\'');
    assert_true(first && last > first);
    return strndup(first + 1, (size_t)(last - first - 1));
}

/* What a recipe makes opens its own role and no other (SRS-SEC-13). */
static void test_each_recipe_fits_its_role_alone(void **state)
{
    (void)state;
    struct owm_error error = {{0}};
    for (int made = 0; made <= OWM_LIGHTNING_OPERATOR; made++) {
        char *restrictions = restrictions_of((enum owm_lightning_role)made);
        cln_double_rune(node, "cnVuZQ==", restrictions);
        free(restrictions);
        for (int role = 0; role <= OWM_LIGHTNING_OPERATOR; role++) {
            owm_status status = try_open((enum owm_lightning_role)role, " cnVuZQ==\n", &error);
            if (role == made && status != OWM_OK) fail_msg("%d: %s", role, error.text);
            if (role != made) assert_int_equal(status, OWM_E_CONFIG);
        }
    }
}

static void test_runes_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum owm_lightning_role role;
        const char *restrictions;
    } wrong[] = {
        {OWM_LIGHTNING_STAKE, "[]"},
        {OWM_LIGHTNING_STAKE, "[[\"method^list\", \"method^get\"]]"},
        {OWM_LIGHTNING_STAKE, "[[\"method=getinfo\", \"method=listpeerchannels\"]]"},
        {OWM_LIGHTNING_STAKE, "[[\"method=getinfo\", \"method=listpeerchannels\","
                              " \"method=listclosedchannels\", \"method=xpay\"]]"},
        {OWM_LIGHTNING_STAKE, "[[\"method/withdraw\"]]"},
        {OWM_LIGHTNING_SLASH, "[[\"method=getinfo\", \"method=listpeerchannels\","
                              " \"method=listclosedchannels\", \"method=disconnect\","
                              " \"method=close\"]]"},
    };
    struct owm_error error;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cln_double_rune(node, "cnVuZQ==", wrong[i].restrictions);
        assert_int_equal(try_open(wrong[i].role, "cnVuZQ==", &error), OWM_E_CONFIG);
        assert_non_null(strstr(error.text, "lightning-cli -k createrune"));
    }
    assert_int_equal(try_open(OWM_LIGHTNING_STAKE, "two words", &error), OWM_E_CONFIG);
    assert_int_equal(try_open(OWM_LIGHTNING_STAKE, "", &error), OWM_E_CONFIG);
    assert_int_equal(try_open(OWM_LIGHTNING_STAKE, "unknown=", &error), OWM_E_CONFIG);
}

/* A rune that is taken away takes effect with the next call. */
static void test_a_blacklisted_rune(void **state)
{
    (void)state;
    char *restrictions = restrictions_of(OWM_LIGHTNING_STAKE);
    cln_double_rune(node, "cnVuZQ==", restrictions);
    free(restrictions);
    owm_lightning *stake;
    struct owm_lightning_info info;
    struct owm_error error;
    assert_ok(cln_rig_try(node, OWM_LIGHTNING_STAKE, "cnVuZQ==", 0, &stake, &error));
    assert_ok(owm_lightning_get_info(stake, &info, &error));
    cln_double_rune(node, "cnVuZQ==", NULL);
    unsigned calls = cln_double_calls(node, "getinfo");
    assert_int_equal(owm_lightning_get_info(stake, &info, &error), OWM_E_PERM);
    assert_int_equal(cln_double_calls(node, "getinfo"), calls);
    owm_lightning_close(stake);
}

static void test_roles_and_what_is_missing(void **state)
{
    (void)state;
    struct owm_error error;
    uint8_t bytes[33] = {2};
    struct owm_lightning_outcome outcome;
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    assert_int_equal(owm_lightning_track(stake, bytes, &outcome, &error), OWM_E_PERM);
    owm_lightning_close(stake);
    owm_lightning *seller = cln_rig_open(node, OWM_LIGHTNING_INVOICE);
    struct owm_lightning_ask hold = {.payment_hash = bytes, .amount_msat = 1};
    char invoice[OWM_LIGHTNING_INVOICE_BYTES];
    assert_int_equal(owm_lightning_invoice_add(seller, &hold, invoice, &error), OWM_E_UNSUPPORTED);
    assert_int_equal(owm_lightning_invoice_settle(seller, bytes, &error), OWM_E_UNSUPPORTED);
    assert_int_equal(owm_lightning_invoice_cancel(seller, bytes, &error), OWM_E_UNSUPPORTED);
    owm_lightning_close(seller);
    owm_lightning *operator= cln_rig_open(node, OWM_LIGHTNING_OPERATOR);
    char signature[OWM_LIGHTNING_SIGNATURE_TEXT];
    assert_ok(owm_lightning_sign(operator, "hello", signature, &error));
    assert_string_equal(signature, "signed hello");
    owm_lightning_close(operator);
}

/* ----------------------------------------------------------------------------- the wire */

static void test_a_bad_wire(void **state)
{
    (void)state;
    owm_lightning *stake;
    struct owm_lightning_info info;
    struct owm_error error = {{0}};
    assert_ok(cln_rig_try(node, OWM_LIGHTNING_STAKE, NULL, 1000, &stake, &error));
    static const struct {
        enum cln_fault fault;
        int code;
        owm_status status;
    } faults[] = {
        {CLN_CUT_BEFORE, 0, OWM_E_TIMEOUT},      {CLN_CUT_AFTER, 0, OWM_E_TIMEOUT},
        {CLN_CUT_HALF, 0, OWM_E_TIMEOUT},        {CLN_GARBAGE, 0, OWM_E_PROTO},
        {CLN_NONSENSE, 0, OWM_E_PROTO},          {CLN_SLOW, 500, OWM_OK},
        {CLN_SLOW, 3000, OWM_E_TIMEOUT},         {CLN_REFUSE, -1, OWM_E_STATE},
        {CLN_REFUSE, -32601, OWM_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        cln_double_fault(node, "getinfo", faults[i].fault, faults[i].code, 1);
        error.text[0] = 0;
        assert_int_equal(owm_lightning_get_info(stake, &info, &error), faults[i].status);
        if (faults[i].status != OWM_OK) assert_true(error.text[0]);
        assert_ok(owm_lightning_get_info(stake, &info, &error));
    }
    owm_lightning_close(stake);
}

/* What has no end is given up at its bound. */
static void test_a_huge_reply(void **state)
{
    (void)state;
    owm_lightning *stake;
    struct owm_lightning_info info;
    struct owm_error error;
    assert_ok(cln_rig_try(node, OWM_LIGHTNING_STAKE, NULL, 60000, &stake, &error));
    cln_double_fault(node, "getinfo", CLN_HUGE, 0, 1);
    assert_int_equal(owm_lightning_get_info(stake, &info, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "MiB"));
    owm_lightning_close(stake);
}

static void *ask_often(void *arg)
{
    for (int i = 0; i < 50; i++) {
        struct owm_lightning_info info;
        struct owm_error error;
        if (owm_lightning_get_info(arg, &info, &error) != OWM_OK) return arg;
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, stake), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    owm_lightning_close(stake);
}

/* ------------------------------------------------------------------------------ channels */

/* A row of listpeerchannels; `more` begins with a comma or is empty. */
static const char *row(const char *txid, const char *peer, const char *name, const char *more)
{
    static char text[2][1200];
    static int turn;
    turn = !turn;
    snprintf(text[turn], sizeof text[turn],
             "{\"peer_id\": \"%s\", \"peer_connected\": true, \"state\": \"%s\", \"opener\":"
             " \"remote\", \"private\": false, \"features\": [], \"channel_id\": \"%s\","
             " \"funding_txid\": \"%s\", \"funding_outnum\": 1, \"short_channel_id\": \"195x2x1\","
             " \"total_msat\": 1000000000, \"to_us_msat\": 200000000, \"their_reserve_msat\":"
             " 10000000, \"funding\": {\"local_funds_msat\": 0, \"remote_funds_msat\": 1000000000,"
             " \"pushed_msat\": 5000}%s}",
             peer, name, txid, txid, more);
    return text[turn];
}

static void show(const char *first, const char *second)
{
    char text[2500];
    snprintf(text, sizeof text, "[%s%s%s]", first, second[0] ? "," : "", second);
    cln_double_put(node, "channels", text);
}

static struct owm_lightning_channel only(owm_lightning *lightning)
{
    struct owm_lightning_channel *channels, first;
    struct owm_error error = {{0}};
    size_t count;
    if (owm_lightning_channels(lightning, NULL, true, &channels, &count, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_int_equal(count, 1);
    first = channels[0];
    free(channels);
    return first;
}

static void test_a_channel(void **state)
{
    (void)state;
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    show(row(TXID_1, PEER_A, "CHANNELD_NORMAL",
             ", \"htlcs\": [{\"direction\": \"in\", \"amount_msat\": 1000, \"state\":"
             " \"RCVD_ADD_ACK_REVOCATION\"}, {\"direction\": \"out\", \"amount_msat\": \"300msat\","
             " \"state\": \"SENT_ADD_COMMIT\"}, {\"direction\": \"out\", \"amount_msat\": 50,"
             " \"state\": \"RCVD_REMOVE_HTLC\"}]"),
         "");
    struct owm_lightning_channel channel = only(stake);
    char point[OWM_LIGHTNING_POINT_TEXT];
    owm_lightning_point_format(&channel.point, point);
    assert_string_equal(point, TXID_1 ":1");
    assert_int_equal(channel.state, OWM_LIGHTNING_NORMAL);
    assert_true(channel.opened_by_peer && channel.active && !channel.is_private);
    assert_int_equal(channel.capacity_msat, 1000000000);
    assert_int_equal(channel.local_msat, 200000000 - 300);
    assert_int_equal(channel.remote_msat, 800000000 - 1000);
    assert_int_equal(channel.unsettled_msat, 1300);
    assert_int_equal(channel.remote_reserve_msat, 10000000);
    assert_int_equal(channel.pushed_msat, 5000);
    assert_int_equal(channel.confirmations, 6);
    assert_int_equal(channel.short_id, UINT64_C(195) << 40 | 2 << 16 | 1);
    /* Zero-conf: usable, and in no block. */
    cln_double_put(node, "channels",
                   "[{\"peer_id\": \"" PEER_A "\", \"state\": \"CHANNELD_NORMAL\", \"opener\":"
                   " \"local\", \"funding_txid\": \"" TXID_1 "\", \"funding_outnum\": 0,"
                   " \"total_msat\": 5000, \"to_us_msat\": 5000},"
                   " {\"peer_id\": \"" PEER_B "\", \"state\": \"DUALOPEND_OPEN_INIT\"}]");
    channel = only(stake);
    assert_int_equal(channel.state, OWM_LIGHTNING_OPENING);
    assert_int_equal(channel.confirmations, 0);
    assert_false(channel.opened_by_peer);
    owm_lightning_close(stake);
}

static void test_states(void **state)
{
    (void)state;
    static const struct {
        const char *name, *more;
        enum owm_lightning_channel_state state;
        enum owm_lightning_close_kind kind;
        bool by_peer, txid;
    } cases[] = {
        {"CHANNELD_AWAITING_LOCKIN", "", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE, 0, 0},
        {"CHANNELD_AWAITING_SPLICE", "", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE, 0, 0},
        {"CHANNELD_NORMAL", ", \"lost_state\": true", OWM_LIGHTNING_BROKEN,
         OWM_LIGHTNING_CLOSE_NONE, 0, 0},
        {"A_STATE_OF_THE_FUTURE", "", OWM_LIGHTNING_BROKEN, OWM_LIGHTNING_CLOSE_NONE, 0, 0},
        {"CHANNELD_SHUTTING_DOWN", ", \"closer\": \"remote\"", OWM_LIGHTNING_CLOSING,
         OWM_LIGHTNING_CLOSE_COOPERATIVE, 1, 0},
        {"CLOSINGD_COMPLETE", ", \"closer\": \"local\"", OWM_LIGHTNING_CLOSING,
         OWM_LIGHTNING_CLOSE_COOPERATIVE, 0, 1},
        {"AWAITING_UNILATERAL", ", \"closer\": \"local\"", OWM_LIGHTNING_CLOSING,
         OWM_LIGHTNING_CLOSE_FORCED_BY_US, 0, 1},
        {"FUNDING_SPEND_SEEN", "", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_NONE, 0, 0},
        {"ONCHAIN", ", \"status\": [\"x\", \"ONCHAIN:Tracking our own unilateral close\"]",
         OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_FORCED_BY_US, 0, 1},
        {"ONCHAIN", ", \"status\": [\"ONCHAIN:Tracking their unilateral close\"]",
         OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_FORCED_BY_PEER, 1, 0},
        {"ONCHAIN", ", \"status\": [\"ONCHAIN:Tracking mutual close transaction\"]",
         OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_COOPERATIVE, 0, 1},
    };
    static const uint8_t none[32];
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char more[300];
        snprintf(more, sizeof more, ", \"scratch_txid\": \"" CLOSER "\"%s", cases[i].more);
        show(row(TXID_1, PEER_A, cases[i].name, more), "");
        struct owm_lightning_channel channel = only(stake);
        assert_int_equal(channel.state, cases[i].state);
        assert_int_equal(channel.close_kind, cases[i].kind);
        assert_int_equal(channel.closed_by_peer, cases[i].by_peer);
        assert_int_equal(memcmp(channel.closing_txid, none, 32) != 0, cases[i].txid);
        assert_true(channel.note[0]);
    }
    owm_lightning_close(stake);
}

static void test_closed_channels(void **state)
{
    (void)state;
    static const struct {
        const char *cause;
        enum owm_lightning_close_kind kind;
    } cases[] = {
        {"remote", OWM_LIGHTNING_CLOSE_COOPERATIVE},
        {"onchain", OWM_LIGHTNING_CLOSE_FORCED_BY_PEER},
        {"local", OWM_LIGHTNING_CLOSE_FORCED_BY_US},
        {"protocol", OWM_LIGHTNING_CLOSE_FORCED_BY_US},
        {"user", OWM_LIGHTNING_CLOSE_NONE},
    };
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[900];
        snprintf(text, sizeof text,
                 "[{\"peer_id\": \"" PEER_A "\", \"opener\": \"remote\", \"private\": false,"
                 " \"short_channel_id\": \"195x2x1\", \"funding_txid\": \"" TXID_1 "\","
                 " \"funding_outnum\": 1, \"total_msat\": 1000000000, \"final_to_us_msat\": 5000,"
                 " \"last_commitment_txid\": \"" CLOSER "\", \"close_cause\": \"%s\"},"
                 " {\"funding_txid\": \"" TXID_2 "\", \"funding_outnum\": 0}]",
                 cases[i].cause);
        cln_double_put(node, "closedchannels", text);
        cln_double_put(node, "channels", "[]");
        struct owm_lightning_channel channel = only(stake);
        assert_int_equal(channel.state, OWM_LIGHTNING_CLOSED);
        assert_int_equal(channel.close_kind, cases[i].kind);
        assert_true(channel.opened_by_peer);
        /* It is in both lists for a moment: the later state counts. */
        show(row(TXID_1, PEER_A, "ONCHAIN", ""), "");
        assert_int_equal(only(stake).state, OWM_LIGHTNING_CLOSED);
    }
    cln_double_put(node, "closedchannels", "[]");
    owm_lightning_close(stake);
}

static void test_of_one_peer(void **state)
{
    (void)state;
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    struct owm_lightning_channel *channels;
    struct owm_error error;
    size_t count;
    show(row(TXID_2, PEER_A, "CHANNELD_NORMAL", ""), row(TXID_1, PEER_B, "CHANNELD_NORMAL", ""));
    assert_ok(owm_hex_decode(PEER_B, key, sizeof key));
    assert_ok(owm_lightning_channels(stake, key, false, &channels, &count, &error));
    assert_int_equal(count, 1);
    assert_memory_equal(channels[0].peer, key, sizeof key);
    free(channels);
    assert_ok(owm_lightning_channels(stake, NULL, false, &channels, &count, &error));
    assert_int_equal(count, 2);
    free(channels);
    cln_double_put(node, "channels", "[{\"peer_id\": \"02\", \"funding_txid\": \"11\"}]");
    assert_int_equal(owm_lightning_channels(stake, NULL, false, &channels, &count, &error),
                     OWM_E_PROTO);
    owm_lightning_close(stake);
}

static void test_the_watch(void **state)
{
    (void)state;
    owm_lightning *stake = cln_rig_open(node, OWM_LIGHTNING_STAKE);
    struct owm_lightning_watch *watch;
    struct owm_error error;
    uint8_t key[OWM_LIGHTNING_KEY_BYTES], peer[OWM_LIGHTNING_KEY_BYTES];
    assert_ok(owm_hex_decode(PEER_B, peer, sizeof peer));
    show(row(TXID_1, PEER_A, "CHANNELD_NORMAL", ""), row(TXID_2, PEER_B, "CHANNELD_NORMAL", ""));
    assert_ok(owm_lightning_watch_channels(stake, &watch, &error));
    show(row(TXID_1, PEER_A, "CHANNELD_NORMAL", ", \"scratch_txid\": \"" CLOSER "\""),
         row(TXID_2, PEER_B, "CHANNELD_SHUTTING_DOWN", ""));
    assert_int_equal(owm_lightning_watch_next(watch, 50, key, &error), OWM_E_TIMEOUT);
    assert_ok(owm_lightning_watch_next(watch, 10000, key, &error));
    assert_memory_equal(key, peer, sizeof key);
    assert_int_equal(owm_lightning_watch_next(watch, 100, key, &error), OWM_E_TIMEOUT);
    show(row(TXID_1, PEER_A, "CHANNELD_NORMAL", ""), ""); /* the other one is gone */
    assert_ok(owm_lightning_watch_next(watch, 10000, key, &error));
    assert_memory_equal(key, peer, sizeof key);
    cln_double_fault(node, "listpeerchannels", CLN_CUT_BEFORE, 0, 1);
    assert_int_equal(owm_lightning_watch_next(watch, 10000, key, &error), OWM_E_NET);
    owm_lightning_watch_close(watch);
    owm_lightning_close(stake);
}

/* --------------------------------------------------------------------------------- funds */

static void test_force_close(void **state)
{
    (void)state;
    owm_lightning *slasher = cln_rig_open(node, OWM_LIGHTNING_SLASH);
    struct owm_lightning_point point;
    struct owm_error error = {{0}};
    uint8_t txid[32], closer[32];
    assert_ok(owm_lightning_point_parse(CLOSER ":0", &point));
    memcpy(closer, point.txid, 32);
    assert_ok(owm_lightning_point_parse(TXID_1 ":1", &point));
    show(row(TXID_1, PEER_A, "CHANNELD_NORMAL", ""), row(TXID_2, PEER_A, "CHANNELD_NORMAL", ""));
    cln_double_put(node, "close",
                   "{\"type\": \"unilateral\", \"txs\": [\"00\"], \"txids\": [\"" CLOSER "\"]}");
    assert_ok(owm_lightning_force_close(slasher, &point, txid, &error));
    assert_memory_equal(txid, closer, 32);
    assert_string_equal(cln_double_params(node, "disconnect"),
                        "{\"force\":true,\"id\":\"" PEER_A "\"}");
    assert_string_equal(cln_double_params(node, "close"),
                        "{\"id\":\"" TXID_1 "\",\"unilateraltimeout\":1}");
    /* The peer was back in time; an old version's names. */
    cln_double_put(node, "close",
                   "{\"type\": \"mutual\", \"tx\": \"00\", \"txid\": \"" CLOSER "\"}");
    assert_ok(owm_lightning_force_close(slasher, &point, txid, &error));
    assert_memory_equal(txid, closer, 32);
    cln_double_put(node, "close", "{\"type\": \"unopened\"}");
    assert_int_equal(owm_lightning_force_close(slasher, &point, txid, &error), OWM_E_NOTFOUND);
    cln_double_fault(node, "close", CLN_CUT_AFTER, 0, 1);
    assert_int_equal(owm_lightning_force_close(slasher, &point, txid, &error), OWM_E_TIMEOUT);
    unsigned closes = cln_double_calls(node, "close");
    show(row(TXID_1, PEER_A, "AWAITING_UNILATERAL", ", \"scratch_txid\": \"" CLOSER "\""), "");
    assert_int_equal(owm_lightning_force_close(slasher, &point, txid, &error), OWM_E_EXISTS);
    assert_memory_equal(txid, closer, 32);
    point.index = 7;
    assert_int_equal(owm_lightning_force_close(slasher, &point, txid, &error), OWM_E_NOTFOUND);
    assert_int_equal(cln_double_calls(node, "close"), closes);
    owm_lightning_close(slasher);
}

/* With the rune of the recipe, for which the double judges each call's parameters. */
static void test_force_close_with_a_rune(void **state)
{
    (void)state;
    char *restrictions = restrictions_of(OWM_LIGHTNING_SLASH);
    cln_double_rune(node, "cnVuZQ==", restrictions);
    free(restrictions);
    owm_lightning *slasher;
    struct owm_lightning_point point;
    struct owm_error error = {{0}};
    uint8_t txid[32];
    assert_ok(cln_rig_try(node, OWM_LIGHTNING_SLASH, "cnVuZQ==", 0, &slasher, &error));
    assert_ok(owm_lightning_point_parse(TXID_1 ":1", &point));
    show(row(TXID_1, PEER_A, "CHANNELD_NORMAL", ""), "");
    cln_double_put(node, "close",
                   "{\"type\": \"unilateral\", \"txs\": [\"00\"], \"txids\": [\"" CLOSER "\"]}");
    assert_ok(owm_lightning_force_close(slasher, &point, txid, &error));
    owm_lightning_close(slasher);
}

static void test_open_channel_and_funds(void **state)
{
    (void)state;
    owm_lightning *payer = cln_rig_open(node, OWM_LIGHTNING_PAY);
    struct owm_lightning_point point;
    struct owm_lightning_funds funds;
    struct owm_error error = {{0}};
    uint8_t peer[OWM_LIGHTNING_KEY_BYTES];
    assert_ok(owm_hex_decode(PEER_A, peer, sizeof peer));
    assert_ok(
        owm_lightning_open_channel(payer, peer, "10.0.0.1:9735", 500000, 7000, &point, &error));
    assert_int_equal(point.index, 1);
    assert_int_equal(point.txid[0], 0xaa);
    assert_string_equal(cln_double_params(node, "connect"),
                        "{\"id\":\"" PEER_A "@10.0.0.1:9735\"}");
    assert_string_equal(cln_double_params(node, "fundchannel"),
                        "{\"amount\":500000,\"id\":\"" PEER_A "\",\"push_msat\":7000}");
    assert_int_equal(
        owm_lightning_open_channel(payer, peer, "10.0.0.1:9735", 20000000, 0, &point, &error),
        OWM_E_LIMIT);
    assert_int_equal(
        owm_lightning_open_channel(payer, peer, "10.0.0.1:9735", 20000, 5, &point, &error),
        OWM_E_ARG);
    cln_double_put(node, "outputs",
                   "[{\"amount_msat\": 1000, \"status\": \"confirmed\", \"reserved\": false},"
                   " {\"amount_msat\": 1, \"status\": \"confirmed\", \"reserved\": true},"
                   " {\"amount_msat\": \"20msat\", \"status\": \"unconfirmed\"},"
                   " {\"amount_msat\": 9, \"status\": \"spent\"}]");
    cln_double_put(node, "fundchannels",
                   "[{\"our_amount_msat\": 300, \"amount_msat\": 1000, \"state\":"
                   " \"CHANNELD_NORMAL\"}, {\"our_amount_msat\": 50, \"amount_msat\": 60,"
                   " \"state\": \"CHANNELD_AWAITING_LOCKIN\"}]");
    assert_ok(owm_lightning_get_funds(payer, &funds, &error));
    assert_int_equal(funds.wallet_confirmed_msat, 1000);
    assert_int_equal(funds.wallet_unconfirmed_msat, 20);
    assert_int_equal(funds.outbound_msat, 300);
    assert_int_equal(funds.inbound_msat, 700);
    assert_int_equal(funds.pending_msat, 50);
    owm_lightning_close(payer);
}

static int begin(void **state)
{
    (void)state;
    node = cln_rig_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    cln_rig_end(node);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_the_wrong_node),
        cmocka_unit_test(test_each_recipe_fits_its_role_alone),
        cmocka_unit_test(test_runes_that_are_refused),
        cmocka_unit_test(test_a_blacklisted_rune),
        cmocka_unit_test(test_roles_and_what_is_missing),
        cmocka_unit_test(test_a_bad_wire),
        cmocka_unit_test(test_a_huge_reply),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_a_channel),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_closed_channels),
        cmocka_unit_test(test_of_one_peer),
        cmocka_unit_test(test_the_watch),
        cmocka_unit_test(test_force_close),
        cmocka_unit_test(test_force_close_with_a_rune),
        cmocka_unit_test(test_open_channel_and_funds),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
