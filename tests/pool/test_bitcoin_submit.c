/* test_bitcoin_submit.c: blocks to several nodes with retries, and what became of them. */
#include "base/log.h"
#include "pool/bitcoin.h"
#include "pool/bitcoin_double.h"
#include "pool/bitcoin_events.h"
#include "test.h"

#define NODES 2

struct world {
    struct bitcoin_double *nodes[NODES];
    char urls[NODES][64];
    struct owm_bitcoin_node configs[NODES];
    struct bitcoin_events events;
    struct owm_metrics *metrics;
    struct owm_bitcoin *bitcoin;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct owm_error error = {""};
    for (int i = 0; i < NODES; i++) {
        world->nodes[i] = bitcoin_double_open();
        bitcoin_double_url(world->nodes[i], world->urls[i]);
        world->configs[i] = (struct owm_bitcoin_node){.url = world->urls[i]};
    }
    bitcoin_events_init(&world->events);
    assert_ok(owm_metrics_open(0, &world->metrics));
    const struct owm_bitcoin_options options = {.nodes = world->configs,
                                                .node_count = NODES,
                                                .network = OWM_REGTEST,
                                                .timeout_ms = 1000,
                                                .events = bitcoin_events_of(&world->events),
                                                .metrics = world->metrics};
    if (owm_bitcoin_open(&options, &world->bitcoin, &error) != OWM_OK) fail_msg("%s", error.text);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    uint64_t begin_ms = owm_clock_mono_ms();
    owm_bitcoin_close(world->bitcoin);
    assert_true(owm_clock_mono_ms() - begin_ms < 3000);
    for (int i = 0; i < NODES; i++) bitcoin_double_close(world->nodes[i]);
    bitcoin_events_deinit(&world->events);
    owm_metrics_close(world->metrics);
    free(world);
    return 0;
}

/* --- submitting ------------------------------------------------------------------------------ */

static void script(struct bitcoin_double *node, const char *const *verdicts)
{
    struct double_state *state = bitcoin_double_lock(node);
    for (state->verdict_count = 0; verdicts[state->verdict_count]; state->verdict_count++)
        state->verdicts[state->verdict_count] = verdicts[state->verdict_count];
    bitcoin_double_unlock(node);
}

static void submit(struct world *world, uint8_t number)
{
    uint8_t hash[32] = {number};
    char *hex = strdup("00ff");
    assert_ok(owm_bitcoin_submit(world->bitcoin, hash, hex));
}

/* The word of a node on the newest block. */
static const struct told_submit *told(struct world *world, int node, uint8_t number)
{
    const struct told_submit *found = NULL;
    pthread_mutex_lock(&world->events.lock);
    for (unsigned i = 0; i < world->events.submits; i++) {
        const struct told_submit *at = &world->events.submit[i];
        if (at->hash[0] == number && strcmp(at->node, world->urls[node]) == 0) found = at;
    }
    pthread_mutex_unlock(&world->events.lock);
    return found;
}

static void verdicts(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *script[4]; /* Of the first node; the second accepts at once. */
        bool accepted;
        const char *reason;
    } cases[] = {
        {{NULL}, true, "accepted"},
        {{"duplicate"}, true, "duplicate"},
        {{"rejected: already have block 00ab"}, true, "rejected: already have block 00ab"},
        {{"inconclusive"}, false, "inconclusive"},
        {{"duplicate-inconclusive"}, false, "duplicate-inconclusive"},
        {{"high-hash"}, false, "high-hash"},
        {{"duplicate-invalid"}, false, "duplicate-invalid"},
        {{"bad-\\u0001word"}, false, "bad-?word"},
        {{"!error"}, false, "Block decode failed"},
        {{"!busy", "!busy", "high-hash"}, false, "high-hash"},
        {{"!full", "!full"}, true, "accepted"}, /* Of the node's disk, not of the block. */
        {{"!silent"}, true, "accepted"},
        {{"!busy", "!silent", "duplicate"}, true, "duplicate"},
    };
    for (uint8_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script(world->nodes[0], cases[i].script);
        submit(world, i);
        bitcoin_events_have(&world->events, &world->events.submits, 2 * (i + 1u), 6000);
        assert_true(told(world, 1, i)->accepted);
        assert_true(told(world, 0, i)->accepted == cases[i].accepted);
        assert_string_equal(told(world, 0, i)->reason, cases[i].reason);
    }
    const owm_counter *other = owm_metrics_counter(world->metrics, "owm_bitcoin_submits_total", "",
                                                   (const char *const[]){"result", "other", NULL});
    const owm_counter *high =
        owm_metrics_counter(world->metrics, "owm_bitcoin_submits_total", "",
                            (const char *const[]){"result", "high-hash", NULL});
    assert_int_equal(owm_counter_value(other), 3);
    assert_int_equal(owm_counter_value(high), 2);
}

/* A node that is away gets the block when it is back; the others do not wait for it. */
static void one_node_away(void **state)
{
    struct world *world = *state;
    bitcoin_double_die(world->nodes[0]);
    submit(world, 1);
    WAIT_FOR(told(world, 1, 1), 1000);
    owm_clock_sleep_ms(300);
    assert_null(told(world, 0, 1));
    bitcoin_double_live(world->nodes[0]);
    WAIT_FOR(told(world, 0, 1), 4000);
    assert_true(told(world, 0, 1)->accepted);
}

/* ... unless by then the chain is more than six blocks further. */
static void too_late(void **state)
{
    struct world *world = *state;
    bitcoin_double_die(world->nodes[1]);
    submit(world, 1);
    WAIT_FOR(told(world, 0, 1), 1000);
    SET(world->nodes[0], height, 108);
    WAIT_FOR(told(world, 1, 1), 4000);
    assert_false(told(world, 1, 1)->accepted);
    assert_string_equal(told(world, 1, 1)->reason, "not-delivered");
    bitcoin_double_live(world->nodes[1]);
}

static void too_many(void **state)
{
    struct world *world = *state;
    uint8_t hash[32] = {9};
    owm_status status = OWM_OK;
    for (int i = 0; i < NODES; i++) SET(world->nodes[i], mood, DOUBLE_BUSY);
    int queued = -1;
    while (status == OWM_OK && queued <= OWM_BITCOIN_SUBMITS_MAX) {
        status = owm_bitcoin_submit(world->bitcoin, hash, strdup("00"));
        queued++;
    }
    assert_int_equal(status, OWM_E_LIMIT);
    assert_int_equal(queued, OWM_BITCOIN_SUBMITS_MAX);
    for (int i = 0; i < NODES; i++) SET(world->nodes[i], mood, DOUBLE_WELL);
}

/* An accepted block is news of a tip even if the longpoll says nothing. */
static void successor_is_fetched_at_once(void **state)
{
    struct world *world = *state;
    WAIT_FOR(SEEN(world->nodes[0], longpolling) == 1, 1000);
    SET(world->nodes[0], longpoll_mood, DOUBLE_SILENT);
    SET(world->nodes[0], height, 102);
    submit(world, 1);
    bitcoin_events_have(&world->events, &world->events.tips, 2, 1500);
}

/* What was on its way when the pool was closed still reaches whoever is there. */
static void closing_loses_no_block(void **state)
{
    struct world *world = *state;
    static const char *const busy[] = {"!busy", NULL};
    script(world->nodes[0], busy);
    bitcoin_double_die(world->nodes[1]);
    submit(world, 1);
    uint64_t begin_ms = owm_clock_mono_ms();
    owm_bitcoin_close(world->bitcoin);
    world->bitcoin = NULL;
    assert_true(owm_clock_mono_ms() - begin_ms < 900); /* The other is not waited for. */
    assert_non_null(told(world, 0, 1));
    assert_true(told(world, 0, 1)->accepted);
    bitcoin_double_live(world->nodes[1]);
}

/* --- following ------------------------------------------------------------------------------- */

static void block_is(struct world *world, unsigned count, enum owm_block_fate fate,
                     uint32_t confirmations)
{
    bitcoin_events_have(&world->events, &world->events.blocks, count, 2000);
    assert_int_equal(TOLD(&world->events, blocks), count);
    const struct told_block last = TOLD(&world->events, block[count - 1]);
    assert_int_equal(last.fate, fate);
    assert_int_equal(last.confirmations, confirmations);
    assert_int_equal(last.hash[0], 5);
}

static void next(struct world *world, int64_t confirmations)
{
    struct double_state *node = bitcoin_double_lock(world->nodes[0]);
    node->confirmations = confirmations;
    node->height++;
    bitcoin_double_unlock(world->nodes[0]);
}

/* Unknown, found, confirmed, orphaned by a reorganisation, back again, settled. */
static void reorganisations(void **state)
{
    struct world *world = *state;
    uint8_t hash[32] = {5};
    assert_ok(owm_bitcoin_follow(world->bitcoin, hash, 100));
    block_is(world, 1, OWM_BLOCK_UNKNOWN, 0);
    next(world, 1);
    block_is(world, 2, OWM_BLOCK_ACTIVE, 1);
    next(world, 2);
    block_is(world, 3, OWM_BLOCK_ACTIVE, 2);
    SET(world->nodes[0], confirmations, -1);
    SET(world->nodes[0], branch, 1);
    block_is(world, 4, OWM_BLOCK_ORPHANED, 0);
    SET(world->nodes[0], confirmations, 3);
    SET(world->nodes[0], branch, 0);
    block_is(world, 5, OWM_BLOCK_ACTIVE, 3);
    SET(world->nodes[0], btcd_orphan, true);
    next(world, 3);
    block_is(world, 6, OWM_BLOCK_ORPHANED, 0);
    SET(world->nodes[0], btcd_orphan, false);
    next(world, 100);
    block_is(world, 7, OWM_BLOCK_ACTIVE, 100);
    next(world, 101);
    bitcoin_events_have(&world->events, &world->events.tips, 7, 2000);
    owm_clock_sleep_ms(50);
    assert_int_equal(TOLD(&world->events, blocks), 7); /* It is not followed any more. */
}

static void orphans_are_given_up(void **state)
{
    struct world *world = *state;
    uint8_t hash[32] = {5};
    SET(world->nodes[0], confirmations, -1);
    for (int i = 0; i < OWM_BITCOIN_FOLLOWED_MAX; i++)
        assert_ok(owm_bitcoin_follow(world->bitcoin, hash, 10));
    assert_int_equal(owm_bitcoin_follow(world->bitcoin, hash, 10), OWM_E_LIMIT);
    bitcoin_events_have(&world->events, &world->events.blocks, EVENTS_MAX, 3000);
    SET(world->nodes[0], height, 111);
    WAIT_FOR(owm_bitcoin_follow(world->bitcoin, hash, 10) == OWM_OK, 5000);
}

int main(void)
{
    owm_log_level_set(OWM_LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(verdicts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_node_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(successor_is_fetched_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_loses_no_block, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reorganisations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(orphans_are_given_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
