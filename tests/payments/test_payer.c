/* test_payer.c: the dispatcher on a node that works: at once, logged, within its limits. */
#include "fake_world.h"

#include "base/clock.h"
#include "base/uuid.h"

#define SETTLED "SELECT count(*) FROM payments WHERE state = 'settled'"

/* SRS-LN-04, SRS-PERF-03: what is owed leaves at once; SRS-LN-05: each attempt is on record with
 * task, node, amount and time; SRS-LN-06: by keysend over the network, within the fee limit. */
static void test_at_once(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[3][16];
    int64_t msat;
    world_open(&world, "at_once");
    for (unsigned i = 0; i < 3; i++) world_key_node(&world, i, node[i]);
    world_start(&world);
    world_owe(&world, node[0], 12345);
    world_until(world.pg, SETTLED, 1);
    for (int i = 0; i < 60; i++) world_owe(&world, node[i % 3], 1000 + i);
    world_until(world.pg, SETTLED, 61);
    assert_int_equal(fake_paid(&msat), 61);
    assert_int_equal(
        world_number(world.pg, "SELECT max(extract(epoch FROM a.started_at - p.created_at)) * 1000"
                               " FROM payments p JOIN payment_attempts a USING (payment_id)")
            < 2000,
        1);
    assert_int_equal(
        world_number(world.pg,
                     "SELECT count(*) FROM payment_attempts a JOIN payments p USING (payment_id)"
                     " WHERE a.source_id = p.source_id AND a.payee = p.node_id::text"
                     " AND a.amount_msat = p.amount_msat AND a.kind = 'keysend'"
                     " AND a.payment_hash = p.payment_hash AND a.state = 'succeeded'"
                     " AND a.ended_at >= a.started_at AND a.fee_msat <= a.fee_limit_msat"
                     " AND sha256(p.preimage) = p.settled_hash"),
        61);
    world_sound(&world);
    world_close(&world);
}

static void test_fee_limit(void **state)
{
    (void)state;
    struct owm_pay_options options = {.fee_min_msat = 5000, .fee_ppm = 10000};
    assert_int_equal(owm_pay_fee_limit_msat(&options, 1), 1); /* never above the amount */
    assert_int_equal(owm_pay_fee_limit_msat(&options, 100000), 5000);
    assert_int_equal(owm_pay_fee_limit_msat(&options, 1000000), 10000);
    assert_int_equal(owm_pay_fee_limit_msat(&options, INT64_C(2100000000000000000)),
                     INT64_C(21000000000000000));
}

/* A node that is away or locked: rows stay owed, a person is told why, and it goes on by itself. */
static char told[OWM_ERROR_BYTES_MAX];
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static void take_note(void *ctx, const char *text)
{
    (void)ctx;
    pthread_mutex_lock(&told_lock);
    snprintf(told, sizeof(told), "%s", text);
    pthread_mutex_unlock(&told_lock);
}

static void wait_told(const char *wanted)
{
    bool found = false;
    for (int i = 0; i < 1000 && !found; i++) {
        owm_clock_sleep_ms(5);
        pthread_mutex_lock(&told_lock);
        found = strcmp(told, wanted) == 0;
        pthread_mutex_unlock(&told_lock);
    }
    assert_true(found);
}

static void test_node_away(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    world_open(&world, "away");
    world_key_node(&world, 1, node);
    world.options.note = take_note;
    snprintf(told, sizeof(told), "nothing");
    atomic_store(&fake->locked, true);
    world_start(&world);
    world_owe(&world, node, 1000);
    wait_told("fake: wallet locked");
    assert_int_equal(world_number(world.pg, "SELECT count(*) FROM payments WHERE state = 'owed'"
                                            " AND attempts = 0"),
                     1);
    atomic_store(&fake->locked, false);
    world_until(world.pg, SETTLED, 1);
    wait_told("");
    atomic_store(&fake->down, true);
    world_owe(&world, node, 1000);
    wait_told("fake: no answer");
    atomic_store(&fake->down, false);
    world_until(world.pg, SETTLED, 2);
    world_sound(&world);
    world_close(&world);
}

/* The budget of 24 hours stops what would exceed it, and a pause everything new. */
static void test_budget_and_pause(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    world_open(&world, "budget");
    world_key_node(&world, 1, node);
    world.options.daily_budget_msat = 30000;
    world_start(&world);
    world_owe(&world, node, 31000); /* never affordable: it keeps nobody else waiting */
    for (int i = 0; i < 5; i++) world_owe(&world, node, 10000);
    world_until(world.pg, SETTLED, 2); /* 10,000 and half of 5,000 for fees each */
    owm_clock_sleep_ms(300);
    assert_int_equal(world_number(world.pg, SETTLED), 2);
    assert_int_equal(world_number(world.pg, "SELECT count(*) FROM payments WHERE state = 'owed'"),
                     4);
    assert_int_equal(world_number(world.pg,
                                  "SELECT count(*) FROM payments WHERE amount_msat = 31000"
                                  " AND reason LIKE 'more than%'"),
                     1);
    world_stop(&world);
    world.options.daily_budget_msat = 0;
    world.options.paused = true;
    world_start(&world);
    owm_clock_sleep_ms(300);
    assert_int_equal(world_number(world.pg, SETTLED), 2);
    world_stop(&world);
    world.options.paused = false;
    world_start(&world);
    world_until(world.pg, SETTLED, 5);
    assert_ok(owm_pg_exec(world.pg,
                          "UPDATE payments SET next_attempt_at = 'epoch'"
                          " WHERE state = 'owed'",
                          NULL));
    world_until(world.pg, SETTLED, 6);
    world_sound(&world);
    world_close(&world);
}

/* What is cancelled is not paid; what is in flight cannot be cancelled, nor be owed meanwhile. */
static void test_cancelled(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    world_open(&world, "cancelled");
    world_key_node(&world, 1, node);
    world_owe(&world, node, 1000);
    assert_ok(owm_pg_exec(world.pg, "UPDATE payments SET state = 'cancelled'", NULL));
    assert_int_equal(
        owm_pg_exec(world.pg, "UPDATE payments SET state = 'settled', preimage = ''", NULL),
        OWM_E_DB);
    atomic_store(&fake->slow_ms, 3000);
    fake->random = 77;
    world_start(&world);
    world_owe(&world, node, 2000);
    world_until(world.pg, "SELECT count(*) FROM payments WHERE state = 'in_flight'", 1);
    static const char *const forbidden[] = {
        "UPDATE payments SET state = 'cancelled' WHERE state = 'in_flight'",
        "UPDATE payments SET state = 'owed' WHERE state = 'in_flight'",
        "UPDATE payment_attempts SET amount_msat = 1",
        "UPDATE payment_attempts SET payee = 'x'",
        "DELETE FROM payment_attempts",
        "TRUNCATE payment_attempts",
        "INSERT INTO payment_attempts (payment_id, number, source_id, payee, kind, payment_hash,"
        " destination, amount_msat, fee_limit_msat) SELECT payment_id, 9, source_id, payee, kind,"
        " payment_hash, destination, amount_msat, 0 FROM payment_attempts"};
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        owm_status status = owm_pg_exec(world.pg, forbidden[i], NULL);
        if (status == OWM_OK) fail_msg("%s", forbidden[i]);
    }
    world_until(world.pg, SETTLED, 1);
    assert_ok(owm_pg_exec(world.pg, "UPDATE payments SET state = 'owed' WHERE state = 'cancelled'",
                          NULL)); /* overturned */
    world_until(world.pg, SETTLED, 2);
    world_sound(&world);
    world_close(&world);
}

/* SRS-LN-03: one channel to each active node while the wallet keeps its reserve, and never two. */
static void test_channels(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    char key[67], uri[100];
    world_open(&world, "channels");
    world_key_node(&world, 1, node);
    world_key_node(&world, 2, node);
    fake_key(2, fake->channel[0].peer); /* that one has a channel which can carry payments */
    fake->channel[0].opened_by_peer = true;
    fake->channel[0].local_msat = 1000;
    fake->channel_count = 1;
    fake_key_text(3, key);
    snprintf(uri, sizeof(uri), "%s@lost:9735", key);
    world_node(&world, uri, "", node); /* its reply will be lost */
    world_node(&world, "", "", node);  /* this one has no Lightning node */
    fake->wallet_msat = 2 * 100000000 + 60000000;
    world.options.open_channels = true;
    world_start(&world);
    world_until(world.pg, "SELECT count(*) FROM reward_channels WHERE state = 'opened'", 2);
    world_until(world.pg, "SELECT count(*) FROM reward_channels WHERE state = 'asked'", 1);
    world_stop(&world);
    assert_int_equal(fake->opens, 2);
    assert_ok(owm_pg_exec(world.pg,
                          "UPDATE reward_channels SET asked_at = now() - interval '1 hour'", NULL));
    world_key_node(&world, 4, node); /* the wallet has only its reserve left */
    world_start(&world);
    world_until(world.pg, "SELECT count(*) FROM reward_channels WHERE state = 'opened'", 3);
    owm_clock_sleep_ms(200);
    assert_int_equal(fake->opens, 2);
    assert_int_equal(world_number(world.pg, "SELECT count(*) FROM reward_channels"), 3);
    world_close(&world);
}

WORLD_MAIN(cmocka_unit_test(test_at_once), cmocka_unit_test(test_fee_limit),
           cmocka_unit_test(test_node_away), cmocka_unit_test(test_budget_and_pause),
           cmocka_unit_test(test_cancelled), cmocka_unit_test(test_channels))
