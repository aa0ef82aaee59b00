/* test_stake_manager.c: the threads of the stake manager against the double of an LND node: what
 * registrations are answered, what the engine is told and when, and what a treasury that is away,
 * slow, locked or another one means: nothing about any node (promise 6). */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "controlplane/stake/stake.h"
#include "ln_signer.h"
#include "lnd_double.h"
#include "test.h"

enum { NODES_MAX = 10000, CONFIRMATIONS = 3, WAIT_MS = 10000 };

static char folder[] = "/tmp/owm-stake-XXXXXX";

struct told {
    unsigned count;
    struct owm_stake_event last;
};

/* A treasury, its double, the manager over it, and what the manager said. */
struct rig {
    struct lnd_double *treasury;
    char address[64], certificate[LND_DOUBLE_PATH_BYTES], credential[LND_DOUBLE_PATH_BYTES];
    owm_metrics *metrics;
    struct owm_stake_config config;
    struct owm_stake *stake;
    pthread_mutex_t lock;
    struct told told[NODES_MAX];
    unsigned all;
};

static void deliver(void *ctx, const struct owm_stake_event *event)
{
    struct rig *rig = ctx;
    uint32_t number;
    memcpy(&number, event->node_id, sizeof(number));
    pthread_mutex_lock(&rig->lock);
    rig->told[number].count++;
    rig->told[number].last = *event;
    rig->all++;
    pthread_mutex_unlock(&rig->lock);
}

static struct told told_of(struct rig *rig, uint32_t number)
{
    pthread_mutex_lock(&rig->lock);
    struct told told = rig->told[number];
    pthread_mutex_unlock(&rig->lock);
    return told;
}

static struct rig *rig_new(const char *name)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    char path[LND_DOUBLE_PATH_BYTES];
    struct owm_error error = {""};
    assert_non_null(rig);
    pthread_mutex_init(&rig->lock, NULL);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (lnd_double_open(&(struct lnd_double_config){path, "127.0.0.1:0", "regtest"}, &rig->treasury,
                        &error)
        != OWM_OK)
        fail_msg("%s", error.text);
    snprintf(rig->address, sizeof(rig->address), "%s", lnd_double_address(rig->treasury));
    lnd_double_file(rig->treasury, "tls.cert", rig->certificate);
    lnd_double_file(rig->treasury, "stake.macaroon", rig->credential);
    assert_ok(owm_metrics_open(0, &rig->metrics));
    rig->config = (struct owm_stake_config){
        .lightning = {.backend = OWM_LIGHTNING_LND,
                      .address = rig->address,
                      .certificate = rig->certificate,
                      .credential = rig->credential,
                      .network = "regtest"},
        .treasury_uri = "",
        .database_url = "host=/nonexistent", /* rows wait; nothing else does */
        .nodes_max = NODES_MAX,
        .confirmations = CONFIRMATIONS,
        .recheck_ms = 3600000,
        .sweep_ms = 600000,
        .tier_sats = {0, 100000, 500000, 2000000},
        .metrics = rig->metrics,
        .deliver = deliver,
        .ctx = rig,
    };
    return rig;
}

static void rig_open(struct rig *rig)
{
    struct owm_error error = {""};
    if (owm_stake_open(&rig->config, &rig->stake, &error) != OWM_OK) fail_msg("%s", error.text);
}

static void rig_start(struct rig *rig)
{
    rig_open(rig);
    assert_ok(owm_stake_start(rig->stake));
}

static void rig_free(struct rig *rig)
{
    owm_stake_close(rig->stake);
    lnd_double_close(rig->treasury);
    owm_metrics_close(rig->metrics);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
}

/* A node of tier 1 that is active with this stake. */
static void register_node(struct rig *rig, uint32_t number, const uint8_t *ln_key, int64_t sats)
{
    struct owm_node_row row = {.status = OWM_NODE_ACTIVE, .stake_sats = sats};
    row.capabilities.tier = OWM_TIER_T1;
    memcpy(row.node_id, &number, sizeof(number));
    memcpy(row.public_key + 4, &number, sizeof(number));
    memcpy(row.ln_key, ln_key, sizeof(row.ln_key));
    owm_stake_node(rig->stake, &row);
}

/* Waits until the engine was told this stake, or that the node left. */
static void await(struct rig *rig, uint32_t number, int64_t sats, bool left)
{
    for (int waited = 0; waited < WAIT_MS; waited += 10) {
        struct told told = told_of(rig, number);
        if (told.count && told.last.stake_sats == sats && told.last.closed == left) return;
        owm_clock_sleep_ms(10);
    }
    struct told told = told_of(rig, number);
    fail_msg("node %u: %lld sats, left %d, after %u readings", number,
             (long long)told.last.stake_sats, told.last.closed, told.count);
}

static void open_channel(struct rig *rig, const struct ln_signer *node, const char *more,
                         char point[80])
{
    char hex[67];
    owm_hex_encode(node->key, 33, hex);
    const char *answer = lnd_double_do(rig->treasury, "channel peer=%s %s", hex, more);
    snprintf(point, 80, "%s", answer);
}

/* --- asks ------------------------------------------------------------------------------------- */

struct answer {
    atomic_bool there;
    owm_status status;
    struct owm_stake_reading reading;
    char why[OWM_ERROR_BYTES_MAX];
};

static void on_answer(void *ctx, owm_status status, const struct owm_stake_reading *reading,
                      const char *why)
{
    struct answer *answer = ctx;
    answer->status = status;
    if (status == OWM_OK) answer->reading = *reading;
    snprintf(answer->why, sizeof(answer->why), "%s", why);
    atomic_store(&answer->there, true);
}

static unsigned await_answer(struct answer *answer)
{
    uint64_t began_ms = owm_clock_mono_ms();
    while (!atomic_load(&answer->there)) {
        if (owm_clock_mono_ms() - began_ms > 20000) fail_msg("no answer");
        owm_clock_sleep_ms(2);
    }
    return (unsigned)(owm_clock_mono_ms() - began_ms);
}

/* SRS-PERF-13: every answer comes within 5 s. */
static struct answer ask(struct rig *rig, const struct ln_signer *node)
{
    struct answer answer = {.why = ""};
    assert_ok(owm_stake_ask(rig->stake, node->key, on_answer, &answer));
    assert_in_range(await_answer(&answer), 0, 4999);
    return answer;
}

/* SRS-LN-11, SRS-STAKE-01, TST-11 to TST-13: what a registration is told of its channels. */
static void test_asks(void **state)
{
    (void)state;
    struct rig *rig = rig_new("asks");
    struct ln_signer node, other;
    char point[80], uri[OWM_LIGHTNING_TEXT_BYTES], text[OWM_ERROR_BYTES_MAX];
    ln_signer_make(&node, 1);
    ln_signer_make(&other, 2);
    rig_start(rig);
    struct answer answer = ask(rig, &node);
    assert_int_equal(answer.status, OWM_OK);
    assert_int_equal(answer.reading.stake_sats, 0);
    assert_non_null(strstr(answer.reading.note, "no channel"));
    open_channel(rig, &node, "capacity=900000 by=us push=800000", point);
    answer = ask(rig, &node);
    assert_int_equal(answer.reading.stake_sats, 0);
    assert_non_null(strstr(answer.reading.note, "the treasury opened it"));
    open_channel(rig, &node, "capacity=100000 pending", point);
    answer = ask(rig, &node);
    assert_int_equal(answer.reading.stake_sats, 0);
    assert_int_equal(answer.reading.pending_sats, 100000);
    assert_int_equal(answer.reading.blocks_to_go, 3);
    lnd_double_do(rig->treasury, "mine 2");
    assert_int_equal(ask(rig, &node).reading.blocks_to_go, 1);
    lnd_double_do(rig->treasury, "mine 1");
    answer = ask(rig, &node);
    assert_int_equal(answer.reading.stake_sats, 100000); /* exactly the minimum is enough */
    assert_int_equal(answer.reading.pending_sats, 0);
    lnd_double_do(rig->treasury, "hold %s 30000000", point);
    assert_int_equal(ask(rig, &node).reading.stake_sats, 70000);
    assert_int_equal(ask(rig, &other).reading.stake_sats, 0);
    lnd_double_do(rig->treasury, "flags %s ChanStatusBorked", point);
    assert_int_equal(ask(rig, &node).reading.stake_sats, 0);
    owm_stake_treasury_uri(rig->stake, uri);
    assert_memory_equal(uri, lnd_double_key(rig->treasury), 66);
    assert_true(owm_stake_state_text(rig->stake, text, sizeof(text)));
    assert_non_null(strstr(text, "synced"));
    rig_free(rig);
}

/* SRS-PERF-13: slow, locked, behind the chain, down, and back. Never a reading that is not one. */
static void test_unreadable(void **state)
{
    (void)state;
    struct rig *rig = rig_new("unreadable");
    struct ln_signer node;
    char point[80], text[OWM_ERROR_BYTES_MAX];
    ln_signer_make(&node, 1);
    open_channel(rig, &node, "capacity=100000", point);
    lnd_double_do(rig->treasury, "mine 3");
    rig_start(rig);
    assert_int_equal(ask(rig, &node).reading.stake_sats, 100000);

    static const char *const trouble[][2] = {{"delay ListChannels 1900", "delay ListChannels 0"},
                                             {"delay ListChannels 30000", "delay ListChannels 0"},
                                             {"synced no", "synced yes"},
                                             {"state locked", "state active"},
                                             {"down", "up"}};
    for (size_t i = 0; i < sizeof(trouble) / sizeof(trouble[0]); i++) {
        struct answer waits[5] = {{.why = ""}};
        lnd_double_do(rig->treasury, "%s", trouble[i][0]);
        if (i == 0) lnd_double_do(rig->treasury, "delay PendingChannels 1900");
        if (i == 0) lnd_double_do(rig->treasury, "delay GetInfo 1900"); /* 5.7 s in all */
        for (int a = 0; a < 5; a++)
            assert_ok(owm_stake_ask(rig->stake, node.key, on_answer, &waits[a]));
        for (int a = 0; a < 5; a++) {
            assert_in_range(await_answer(&waits[a]), 0, 4999);
            assert_int_equal(waits[a].status, OWM_E_TIMEOUT);
            assert_true(strlen(waits[a].why) > 5);
        }
        lnd_double_do(rig->treasury, "%s", trouble[i][1]);
        lnd_double_do(rig->treasury, "delay PendingChannels 0");
        lnd_double_do(rig->treasury, "delay GetInfo 0");
        int tries = 0;
        while (ask(rig, &node).status != OWM_OK && tries++ < 200) owm_clock_sleep_ms(50);
        assert_int_equal(ask(rig, &node).reading.stake_sats, 100000);
    }
    assert_true(owm_stake_state_text(rig->stake, text, sizeof(text)) || text[0]);
    rig_free(rig);
}

/* Who waits when the coordinator stops is told so, and nobody waits for ever. */
static void test_stop(void **state)
{
    (void)state;
    struct rig *rig = rig_new("stop");
    struct ln_signer node;
    struct answer answer[3] = {{.why = ""}};
    ln_signer_make(&node, 1);
    rig_start(rig);
    lnd_double_do(rig->treasury, "delay ListChannels 1500");
    for (int i = 0; i < 3; i++)
        assert_ok(owm_stake_ask(rig->stake, node.key, on_answer, &answer[i]));
    owm_stake_stop(rig->stake);
    for (int i = 0; i < 3; i++) assert_true(atomic_load(&answer[i].there));
    assert_int_equal(answer[2].status, OWM_E_CANCELLED);
    assert_int_equal(owm_stake_ask(rig->stake, node.key, on_answer, &answer[0]), OWM_E_STATE);
    rig_free(rig);
}

/* --- what the engine is told ------------------------------------------------------------------ */

/* SRS-STAKE-02, SRS-STAKE-10: a change is told at once, by the node's own word; what happened while
 * the treasury was away is told when it is back, and until then nothing is. */
static void test_changes(void **state)
{
    (void)state;
    struct rig *rig = rig_new("changes");
    struct ln_signer node;
    char point[80];
    ln_signer_make(&node, 1);
    open_channel(rig, &node, "capacity=1000000", point);
    lnd_double_do(rig->treasury, "mine 3");
    rig_start(rig);
    register_node(rig, 1, node.key, 1000000);
    owm_clock_sleep_ms(500); /* watched by then */
    uint64_t began_ms = owm_clock_mono_ms();
    lnd_double_do(rig->treasury, "move %s 400000000", point);
    await(rig, 1, 600000, false);
    assert_in_range(owm_clock_mono_ms() - began_ms, 0, 3000);
    lnd_double_do(rig->treasury, "move %s -400000000", point);
    await(rig, 1, 1000000, false);
    lnd_double_do(rig->treasury, "down");
    owm_clock_sleep_ms(200);
    unsigned before = told_of(rig, 1).count;
    uint8_t node_id[16] = {1};
    for (int i = 0; i < 10; i++) {
        owm_stake_want(rig->stake, node_id); /* a task waits all the while */
        owm_clock_sleep_ms(100);
    }
    assert_int_equal(told_of(rig, 1).count, before);
    lnd_double_do(rig->treasury, "move %s 999000000", point);
    lnd_double_do(rig->treasury, "up");
    await(rig, 1, 1000, false);
    rig_free(rig);
}

/* SRS-STAKE-08: closed together or by the node: it left. Closed by the treasury: it did not, and
 * that is also known when its first channel is one that never was. */
static void test_closed(void **state)
{
    (void)state;
    static const struct {
        const char *how;
        bool left;
    } ways[] = {{"peer", true}, {"us", true}, {"force-peer", true}, {"force-us", false}};
    struct rig *rig = rig_new("closed");
    char point[4][80], ours[80];
    struct ln_signer node[4];
    for (uint32_t i = 0; i < 4; i++) {
        ln_signer_make(&node[i], 10 + i);
        open_channel(rig, &node[i], "capacity=200000", point[i]);
    }
    open_channel(rig, &node[0], "capacity=100000 by=us", ours); /* to pay it, and no stake */
    lnd_double_do(rig->treasury, "mine 3");
    rig_start(rig);
    for (uint32_t i = 0; i < 4; i++) register_node(rig, i, node[i].key, 200000);
    owm_clock_sleep_ms(500);
    for (uint32_t i = 0; i < 4; i++)
        lnd_double_do(rig->treasury, "close %s %s", point[i], ways[i].how);
    lnd_double_do(rig->treasury, "mine 200");
    for (uint32_t i = 0; i < 4; i++) await(rig, i, 0, ways[i].left);
    struct told told = told_of(rig, 0);
    assert_memory_equal(told.last.ln_key, node[0].key, sizeof(node[0].key));
    rig_free(rig);
}

/* SRS-PERF-14: 10,000 nodes, each read and told within the sweep, with a few lists. A thousand that
 * are wanted at once cost one more. */
static void test_ten_thousand(void **state)
{
    (void)state;
    struct rig *rig = rig_new("many");
    owm_lightning *handle = NULL;
    struct owm_lightning_channel *channels = NULL;
    size_t count = 0;
    lnd_double_do(rig->treasury, "channels %d capacity=300000", NODES_MAX);
    lnd_double_do(rig->treasury, "mine 6");
    rig->config.sweep_ms = 5000;
    rig_open(rig);
    struct owm_lightning_config config = rig->config.lightning;
    config.role = OWM_LIGHTNING_STAKE;
    assert_ok(owm_lightning_open(&config, &handle, NULL));
    assert_ok(owm_lightning_channels(handle, NULL, false, &channels, &count, NULL));
    assert_int_equal(count, NODES_MAX);
    uint64_t began_ms = owm_clock_mono_ms();
    for (uint32_t i = 0; i < NODES_MAX; i++) register_node(rig, i, channels[i].peer, 300000);
    assert_ok(owm_stake_start(rig->stake));
    for (uint32_t done = 0; done < NODES_MAX;) {
        done = 0;
        for (uint32_t i = 0; i < NODES_MAX; i++) done += told_of(rig, i).count > 0;
        if (owm_clock_mono_ms() - began_ms > 60000) fail_msg("%u of %u", done, NODES_MAX);
        owm_clock_sleep_ms(20);
    }
    print_message("10,000 nodes were read and told within %llu ms\n",
                  (unsigned long long)(owm_clock_mono_ms() - began_ms));
    for (uint32_t i = 0; i < NODES_MAX; i += 97)
        assert_int_equal(told_of(rig, i).last.stake_sats, 300000);
    owm_clock_sleep_ms(1500);
    long long lists = strtoll(lnd_double_do(rig->treasury, "calls ListChannels"), NULL, 10);
    assert_in_range(lists, 2, 30);
    unsigned before = rig->all;
    for (uint32_t i = 0; i < 1000; i++) {
        uint8_t node_id[16] = {0};
        memcpy(node_id, &i, sizeof(i));
        owm_stake_want(rig->stake, node_id);
    }
    owm_clock_sleep_ms(3000);
    pthread_mutex_lock(&rig->lock);
    assert_int_equal(rig->all - before, 1000);
    pthread_mutex_unlock(&rig->lock);
    lists = strtoll(lnd_double_do(rig->treasury, "calls ListChannels"), NULL, 10) - lists;
    assert_in_range(lists, 1, 2);
    free(channels);
    owm_lightning_close(handle);
    rig_free(rig);
}

/* SRS-STAKE-09. */
static void test_metrics(void **state)
{
    (void)state;
    struct rig *rig = rig_new("metrics");
    struct ln_signer node[2];
    char point[80], *text = NULL;
    for (uint32_t i = 0; i < 2; i++) {
        ln_signer_make(&node[i], i + 1);
        open_channel(rig, &node[i], "capacity=150000", point);
    }
    lnd_double_do(rig->treasury, "mine 3");
    rig_start(rig);
    for (uint32_t i = 0; i < 2; i++) register_node(rig, i, node[i].key, 0);
    for (uint32_t i = 0; i < 2; i++) await(rig, i, 150000, false);
    struct owm_node_row row = {.status = OWM_NODE_DEGRADED, .capabilities = {.tier = OWM_TIER_T2}};
    row.public_key[4] = row.node_id[0] = 1;
    row.stake_sats = 150000;
    memcpy(row.ln_key, node[1].key, sizeof(row.ln_key));
    owm_stake_node(rig->stake, &row);
    owm_clock_sleep_ms(2500);
    assert_ok(owm_metrics_text(rig->metrics, &text, NULL));
    static const char *const lines[] = {
        "owm_stake_channels 2\n",       "owm_stake_sats 300000\n",
        "owm_stake_nodes_degraded 1\n", "owm_treasury_up 1\n",
        "owm_slashing_events_7d 0\n",   "owm_stake_oldest_reading_seconds "};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!strstr(text, lines[i])) fail_msg("no %s in\n%s", lines[i], text);
    free(text);
    rig_free(rig);
}

/* --- the first contact ------------------------------------------------------------------------ */

static void expect_open(struct rig *rig, owm_status expected, const char *word)
{
    struct owm_error error = {""};
    assert_int_equal(owm_stake_open(&rig->config, &rig->stake, &error), expected);
    if (!strstr(error.text, word)) fail_msg("no '%s' in: %s", word, error.text);
    if (expected == OWM_OK) owm_stake_close(rig->stake);
    rig->stake = NULL;
}

/* SRS-SEC-13: what is configured wrongly stops the start, with a sentence; what is only away does
 * not. */
static void test_first_contact(void **state)
{
    (void)state;
    struct rig *rig = rig_new("contact");
    char admin[LND_DOUBLE_PATH_BYTES], uri[100];
    expect_open(rig, OWM_OK, "");
    lnd_double_file(rig->treasury, "admin.macaroon", admin);
    rig->config.lightning.credential = admin;
    expect_open(rig, OWM_E_CONFIG, "macaroon");
    rig->config.lightning.credential = rig->credential;
    rig->config.lightning.network = "mainnet";
    expect_open(rig, OWM_E_CONFIG, "regtest");
    rig->config.lightning.network = "regtest";
    struct ln_signer other;
    ln_signer_make(&other, 5);
    rig->config.treasury_uri = other.uri;
    expect_open(rig, OWM_E_CONFIG, "policy.treasury_uri");
    rig->config.treasury_uri = "the treasury";
    expect_open(rig, OWM_E_CONFIG, "pubkey@host:port");
    snprintf(uri, sizeof(uri), "%s@treasury.example:9735", lnd_double_key(rig->treasury));
    rig->config.treasury_uri = uri;
    expect_open(rig, OWM_OK, "");
    lnd_double_do(rig->treasury, "state locked");
    expect_open(rig, OWM_OK, "");
    lnd_double_do(rig->treasury, "state active");
    lnd_double_do(rig->treasury, "macaroon revoke stake");
    expect_open(rig, OWM_E_PERM, "");
    lnd_double_do(rig->treasury, "down");
    expect_open(rig, OWM_OK, "");
    rig_free(rig);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asks),    cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_stop),    cmocka_unit_test(test_changes),
        cmocka_unit_test(test_closed),  cmocka_unit_test(test_ten_thousand),
        cmocka_unit_test(test_metrics), cmocka_unit_test(test_first_contact),
    };
    return cmocka_run_group_tests_name("stake manager", tests, NULL, remove_folder);
}
