/* test_bitcoin.c: start checks, templates, longpoll and failover against doubles of a node. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "pool/bitcoin.h"
#include "pool/bitcoin_double.h"
#include "pool/bitcoin_events.h"
#include "test.h"

#include <unistd.h>

#define NODES 2
#define TIPS  21

struct world {
    struct bitcoin_double *nodes[NODES];
    char urls[NODES][64];
    struct owm_bitcoin_node configs[NODES];
    struct owm_bitcoin_options options;
    struct bitcoin_events events;
    struct owm_metrics *metrics;
    struct owm_bitcoin *bitcoin;
    struct owm_error error;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    for (int i = 0; i < NODES; i++) {
        world->nodes[i] = bitcoin_double_open();
        bitcoin_double_url(world->nodes[i], world->urls[i]);
        world->configs[i] = (struct owm_bitcoin_node){.url = world->urls[i]};
    }
    bitcoin_events_init(&world->events);
    assert_ok(owm_metrics_open(0, &world->metrics));
    world->options = (struct owm_bitcoin_options){.nodes = world->configs,
                                                  .node_count = 1,
                                                  .network = OWM_REGTEST,
                                                  .timeout_ms = 2000,
                                                  .events = bitcoin_events_of(&world->events),
                                                  .metrics = world->metrics};
    *state = world;
    return 0;
}

/* Closing must be prompt, whatever a thread is waiting for. */
static int tear_down(void **state)
{
    struct world *world = *state;
    uint64_t begin_ms = owm_clock_mono_ms();
    owm_bitcoin_close(world->bitcoin);
    assert_true(owm_clock_mono_ms() - begin_ms < 2000);
    for (int i = 0; i < NODES; i++) bitcoin_double_close(world->nodes[i]);
    bitcoin_events_deinit(&world->events);
    owm_metrics_close(world->metrics);
    free(world);
    return 0;
}

static void open_world(struct world *world)
{
    owm_status status = owm_bitcoin_open(&world->options, &world->bitcoin, &world->error);
    if (status != OWM_OK) fail_msg("%s", world->error.text);
}

static void refused(struct world *world, owm_status wanted, const char *part)
{
    owm_status status = owm_bitcoin_open(&world->options, &world->bitcoin, &world->error);
    if (status != wanted || !strstr(world->error.text, part))
        fail_msg("%s: \"%s\", not \"%s\"", owm_status_text(status), world->error.text, part);
    assert_null(world->bitcoin);
    assert_null(strstr(world->error.text, "hunter2"));
    if (status != OWM_E_ARG) assert_non_null(strstr(world->error.text, "127.0.0.1"));
}

static void rules_were(struct bitcoin_double *node, const char *rules)
{
    assert_string_equal(bitcoin_double_lock(node)->rules, rules);
    bitcoin_double_unlock(node);
}

static void reopen(struct world *world)
{
    owm_bitcoin_close(world->bitcoin);
    world->bitcoin = NULL;
    open_world(world);
}

static double failures_of(struct world *world, int i)
{
    return (double)owm_counter_value(
        owm_metrics_counter(world->metrics, "owm_bitcoin_node_failures_total", "",
                            (const char *const[]){"node", world->urls[i], NULL}));
}

/* --- start ----------------------------------------------------------------------------------- */

/* SRS-POOL-05: getblocktemplate of Core and of Knots. */
static void opens_and_gives_a_template(void **state)
{
    struct world *world = *state;
    struct owm_bitcoin_health health;
    SET(world->nodes[0], subversion, "/Satoshi:27.1.0/Knots:20240801/");
    open_world(world);
    assert_int_equal(TOLD(&world->events, templates), 1);
    assert_int_equal(TOLD(&world->events, tips), 1);
    assert_int_equal(bitcoin_events_height(&world->events), 101);
    rules_were(world->nodes[0], "segwit ");
    owm_bitcoin_health_get(world->bitcoin, &health);
    assert_true(health.usable);
    assert_string_equal(health.node, world->urls[0]);
    assert_string_equal(health.version, "/Satoshi:27.1.0/Knots:20240801/");
    assert_int_equal(health.height, 101);
    assert_true(health.template_age_ms < 5000);
    assert_string_equal(health.trouble, "");
}

static void networks_are_told_apart(void **state)
{
    struct world *world = *state;
    static const struct {
        enum owm_network network;
        const char *chain;
        bool fits;
    } cases[] = {
        {OWM_MAINNET, "main", true},     {OWM_MAINNET, "mainnet", true},
        {OWM_MAINNET, "test", false},    {OWM_TESTNET4, "testnet4", true},
        {OWM_TESTNET4, "test", false},   {OWM_SIGNET, "signet", true},
        {OWM_SIGNET, "testnet4", false}, {OWM_REGTEST, "regtest", true},
        {OWM_REGTEST, "simnet", true},   {OWM_REGTEST, "main", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SET(world->nodes[0], chain, cases[i].chain);
        world->options.network = cases[i].network;
        if (!cases[i].fits) {
            refused(world, OWM_E_STATE, "is on chain");
            continue;
        }
        reopen(world);
        rules_were(world->nodes[0], cases[i].network == OWM_SIGNET ? "segwit signet " : "segwit ");
        owm_bitcoin_close(world->bitcoin);
        world->bitcoin = NULL;
    }
}

/* One thing after another goes wrong, and the earlier a check is, the later its turn here. */
static void unfit_nodes_are_refused(void **state)
{
    struct world *world = *state;
    struct bitcoin_double *node = world->nodes[0];
    world->options.network = OWM_MAINNET;
    SET(node, chain, "main");
    SET(node, connections, 0);
    refused(world, OWM_E_STATE, "no peers");
    SET(node, version, 260200);
    refused(world, OWM_E_UNSUPPORTED, "too old");
    SET(node, subversion, "/other:1.0/");
    refused(world, OWM_E_UNSUPPORTED, "needs Bitcoin Core or Knots 27");
    SET(node, no_networkinfo, true);
    refused(world, OWM_E_UNSUPPORTED, "without getnetworkinfo");
    SET(node, downloading, true);
    refused(world, OWM_E_STATE, "still downloading blocks (100 of 200)");
    world->options.network = OWM_SIGNET;
    SET(node, chain, "signet");
    refused(world, OWM_E_STATE, "still downloading blocks");
    SET(node, ahead, 0);
    refused(world, OWM_E_UNSUPPORTED, "without getnetworkinfo");
    world->options.network = OWM_REGTEST; /* There none of this counts. */
    SET(node, chain, "regtest");
    open_world(world);
}

static void misbehaving_nodes_are_refused(void **state)
{
    struct world *world = *state;
    static const struct {
        enum double_mood mood;
        owm_status status;
        const char *part;
    } cases[] = {
        {DOUBLE_SILENT, OWM_E_TIMEOUT, "no answer from the node"},
        {DOUBLE_GARBAGE, OWM_E_PROTO, "is no Bitcoin node"},
        {DOUBLE_CUT_SHORT, OWM_E_PROTO, "is no Bitcoin node"},
        {DOUBLE_HUGE, OWM_E_LIMIT, "larger than allowed"},
        {DOUBLE_ENDLESS, OWM_E_TIMEOUT, "no answer from the node"},
        {DOUBLE_BUSY, OWM_E_STATE, "too busy"},
        {DOUBLE_WARMING_UP, OWM_E_STATE, "still starting (Loading block index...)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world->options.timeout_ms = cases[i].mood == DOUBLE_HUGE ? 10000 : 300;
        SET(world->nodes[0], mood, cases[i].mood);
        refused(world, cases[i].status, cases[i].part);
    }
    bitcoin_double_die(world->nodes[0]);
    refused(world, OWM_E_NET, "is it running");
    bitcoin_double_live(world->nodes[0]);
    SET(world->nodes[0], mood, DOUBLE_WELL);
    world->options.node_count = 0;
    refused(world, OWM_E_ARG, "1 to 8");
}

/* --- credentials ----------------------------------------------------------------------------- */

static void passwords(void **state)
{
    struct world *world = *state;
    char url[96];
    SET(world->nodes[0], secret, "alice:hunter2");
    refused(world, OWM_E_PERM, "refuses user and password");
    world->configs[0].user = "alice";
    world->configs[0].password = "hunter2x";
    refused(world, OWM_E_PERM, "refuses user and password");
    world->configs[0].password = "hunter2";
    open_world(world);
    snprintf(url, sizeof url, "http://alice:hunter2@%s", world->urls[0] + strlen("http://"));
    bitcoin_double_die(world->nodes[0]);
    owm_bitcoin_close(world->bitcoin);
    world->configs[0].url = url;
    refused(world, OWM_E_NET, "is it running");
    bitcoin_double_live(world->nodes[0]);
    world->configs[0].user = world->configs[0].password = NULL;
    open_world(world);
}

/* A node that starts again writes another cookie. */
static void cookie_is_renewed(void **state)
{
    struct world *world = *state;
    char path[] = "/tmp/owm_cookie_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
    world->configs[0].cookie_path = path;
    SET(world->nodes[0], secret, "__cookie__:hunter2a");
    refused(world, OWM_E_PERM, "cookie file");
    assert_ok(owm_fs_write_atomic(path, "__cookie__:hunter2z", 19, 0600, NULL));
    refused(world, OWM_E_PERM, "refuses the cookie");
    assert_ok(owm_fs_write_atomic(path, "__cookie__:hunter2a\n", 20, 0600, NULL));
    open_world(world);
    bitcoin_double_die(world->nodes[0]);
    assert_ok(owm_fs_write_atomic(path, "__cookie__:hunter2b", 19, 0600, NULL));
    SET(world->nodes[0], secret, "__cookie__:hunter2b");
    SET(world->nodes[0], height, 102);
    bitcoin_double_live(world->nodes[0]);
    bitcoin_events_have(&world->events, &world->events.tips, 2, 3000);
    assert_int_equal(unlink(path), 0);
}

/* --- templates ------------------------------------------------------------------------------- */

/* A new tip reaches on_template in less than 50 ms, by longpoll alone (SRS-POOL-05). */
static void longpoll_brings_tips_at_once(void **state)
{
    struct world *world = *state;
    uint64_t took_ns[TIPS];
    open_world(world);
    for (unsigned i = 0; i < TIPS; i++) {
        WAIT_FOR(SEEN(world->nodes[0], longpolling) == 1, 3000);
        uint64_t begin_ns = owm_clock_mono_ns();
        bitcoin_double_new_tip(world->nodes[0]);
        bitcoin_events_have(&world->events, &world->events.tips, i + 2, 1000);
        took_ns[i] = TOLD(&world->events, template_ns) - begin_ns;
    }
    assert_int_equal(bitcoin_events_height(&world->events), 101 + TIPS);
    assert_int_equal(TOLD(&world->events, templates), 1 + TIPS);
    uint64_t median_ns = bitcoin_events_median(took_ns, TIPS);
    print_message("longpoll: new tip to on_template in %.2f ms, %.2f ms at worst\n",
                  (double)median_ns / 1e6, (double)took_ns[TIPS - 1] / 1e6);
    assert_true(median_ns < 50000000);
    assert_int_equal(owm_counter_value(owm_metrics_counter(
                         world->metrics, "owm_bitcoin_longpoll_returns_total", "", NULL)),
                     TIPS);
    assert_true(
        owm_gauge_value(owm_metrics_gauge(world->metrics, "owm_bitcoin_tip_height", "", NULL))
        == 100 + TIPS);
}

static void only_news_is_told(void **state)
{
    struct world *world = *state;
    world->options.refresh_s = 1;
    open_world(world);
    WAIT_FOR(SEEN(world->nodes[0], longpolling) == 1, 1000);
    unsigned before = SEEN(world->nodes[0], templates);
    WAIT_FOR(SEEN(world->nodes[0], templates) >= before + 2, 4000); /* Two refreshes, no news. */
    assert_int_equal(TOLD(&world->events, templates), 1);
    SET(world->nodes[0], block_version, 0x20000004);
    bitcoin_events_have(&world->events, &world->events.templates, 2, 2000);
    assert_int_equal(TOLD(&world->events, tips), 1);
    /* A branch that replaces the tip at the same height is a new tip, and so is the way back. */
    WAIT_FOR(SEEN(world->nodes[0], longpolling) == 1, 3000);
    SET(world->nodes[0], branch, 7);
    bitcoin_events_have(&world->events, &world->events.tips, 2, 2000);
    WAIT_FOR(SEEN(world->nodes[0], longpolling) == 1, 3000);
    SET(world->nodes[0], branch, 0);
    bitcoin_events_have(&world->events, &world->events.tips, 3, 2000);
}

/* What is wrong with a longpoll's reply harms nothing but the longpoll. */
static void bad_longpolls(void **state)
{
    struct world *world = *state;
    static const enum double_mood moods[] = {DOUBLE_GARBAGE, DOUBLE_BUSY, DOUBLE_ENDLESS};
    open_world(world);
    for (unsigned i = 0; i < sizeof moods / sizeof moods[0]; i++) {
        WAIT_FOR(SEEN(world->nodes[0], longpolling) == 1, 3000);
        SET(world->nodes[0], longpoll_mood, moods[i]);
        bitcoin_double_new_tip(world->nodes[0]);
        bitcoin_events_have(&world->events, &world->events.tips, i + 2, 6000);
        SET(world->nodes[0], longpoll_mood, DOUBLE_WELL);
    }
    assert_true(failures_of(world, 0) >= 3);
}

/* --- failover -------------------------------------------------------------------------------- */

static void in_use(struct world *world, int i, unsigned limit_ms)
{
    WAIT_FOR(SEEN(world->nodes[i], longpolling) == 1, limit_ms);
    struct owm_bitcoin_health health;
    owm_bitcoin_health_get(world->bitcoin, &health);
    assert_true(health.usable);
    assert_string_equal(health.node, world->urls[i]);
}

static void next_node_takes_over_and_gives_back(void **state)
{
    struct world *world = *state;
    struct owm_bitcoin_health health;
    world->options.node_count = 2;
    open_world(world);
    in_use(world, 0, 1000);
    WAIT_FOR(SEEN(world->nodes[1], templates) > 0, 1000); /* It has been found fit. */
    uint64_t begin_ms = owm_clock_mono_ms();
    bitcoin_double_die(world->nodes[0]);
    in_use(world, 1, 1000);
    print_message("failover within %u ms\n", (unsigned)(owm_clock_mono_ms() - begin_ms));
    assert_int_equal(TOLD(&world->events, templates), 1); /* Both are on one tip. */
    owm_bitcoin_health_get(world->bitcoin, &health);
    assert_non_null(strstr(health.trouble, world->urls[0]));
    assert_true(failures_of(world, 0) >= 1);
    bitcoin_double_new_tip(world->nodes[1]);
    bitcoin_events_have(&world->events, &world->events.tips, 2, 1000);
    SET(world->nodes[0], height, 102);
    bitcoin_double_live(world->nodes[0]);
    in_use(world, 0, 3000);
    WAIT_FOR(SEEN(world->nodes[1], longpolling) <= 1, 1000);
    assert_int_equal(TOLD(&world->events, tips), 2);
    bitcoin_double_new_tip(world->nodes[0]);
    bitcoin_events_have(&world->events, &world->events.tips, 3, 1000);
}

/* The pool starts with the second, and without any it keeps the last template. */
static void starts_with_whoever_is_there(void **state)
{
    struct world *world = *state;
    struct owm_bitcoin_health health;
    world->options.node_count = 2;
    world->options.refresh_s = 1;
    SET(world->nodes[0], chain, "signet");
    open_world(world);
    in_use(world, 1, 1000);
    SET(world->nodes[1], mood, DOUBLE_WARMING_UP);
    WAIT_FOR((owm_bitcoin_health_get(world->bitcoin, &health), !health.usable), 3000);
    assert_int_equal(health.height, 101);
    assert_non_null(strstr(health.trouble, "is on chain \"signet\""));
    SET(world->nodes[1], mood, DOUBLE_WELL);
    WAIT_FOR((owm_bitcoin_health_get(world->bitcoin, &health), health.usable), 3000);
    assert_string_equal(health.node, world->urls[1]);
}

int main(void)
{
    owm_log_level_set(OWM_LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opens_and_gives_a_template, set_up, tear_down),
        cmocka_unit_test_setup_teardown(networks_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unfit_nodes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(misbehaving_nodes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(passwords, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cookie_is_renewed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(longpoll_brings_tips_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_news_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_longpolls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(next_node_takes_over_and_gives_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(starts_with_whoever_is_there, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
