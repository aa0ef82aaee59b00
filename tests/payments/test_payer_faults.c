/* test_payer_faults.c: payments that fail, hang, lose their replies; a database that dies. */
#include "fake_world.h"

#include "base/clock.h"

#define SETTLED "SELECT count(*) FROM payments WHERE state = 'settled'"

/* The node says FAILED, refuses, or gives no answer: everything is paid in the end, once. */
static void test_unreliable_node(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[4][16];
    world_open(&world, "unreliable");
    for (unsigned i = 0; i < 3; i++) world_key_node(&world, i, node[i]);
    world_node(&world, "", "eve@example.com", node[3]);
    atomic_store(&fake->fail_percent, 40);
    atomic_store(&fake->refuse_percent, 20);
    atomic_store(&fake->slow_ms, 20);
    world_start(&world);
    for (int i = 0; i < 60; i++) world_owe(&world, node[i % 4], 100000 + i);
    world_until(world.pg, SETTLED, 60);
    assert_true(world_number(world.pg, "SELECT max(attempts) FROM payments") > 1);
    assert_true(world_number(world.pg, "SELECT count(*) FROM payment_attempts WHERE"
                                       " reason = 'fake: NO_ROUTE' AND state = 'failed'")
                > 0);
    world_sound(&world);
    world_close(&world);
}

static void test_lost_replies(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[4][16];
    world_open(&world, "lost");
    for (unsigned i = 0; i < 3; i++) world_key_node(&world, i, node[i]);
    world_node(&world, "", "eve@example.com", node[3]);
    atomic_store(&fake->lose_percent, 30);
    atomic_store(&fake->slow_ms, 20);
    world_start(&world);
    for (int i = 0; i < 40; i++) world_owe(&world, node[i % 4], 100000 + i);
    world_until(world.pg, "SELECT count(*) / 38 FROM payments WHERE state = 'settled'", 1);
    atomic_store(&fake->lose_percent, 0);
    world_until(world.pg, SETTLED, 40);
    world_sound(&world);
    world_close(&world);
}

/* Payments to one payee that hang take its places and nobody else's. */
static void test_hanging_payee(void **state)
{
    (void)state;
    struct world world;
    uint8_t bad[16], good[16];
    world_open(&world, "hanging");
    world_key_node(&world, 1, bad);
    world_key_node(&world, 2, good);
    atomic_store(&fake->hang_percent, 100);
    world_start(&world);
    for (int i = 0; i < 100; i++) world_owe(&world, bad, 1000);
    world_until(world.pg, "SELECT count(*) FROM payments WHERE state = 'in_flight'",
                OWM_PAY_PER_PAYEE);
    atomic_store(&fake->hang_percent, 0);
    world_owe(&world, good, 5000);
    world_until(world.pg,
                "SELECT count(*) FROM payments WHERE state = 'settled'"
                " AND amount_msat = 5000",
                1);
    world_until(world.pg, SETTLED, 101);
    world_sound(&world);
    world_close(&world);
}

/* The database is killed and comes back, again and again, under way. */
static void test_database_dies(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[3][16];
    world_open(&world, "dies");
    for (unsigned i = 0; i < 3; i++) world_key_node(&world, i, node[i]);
    atomic_store(&fake->slow_ms, 150);
    for (int i = 0; i < 120; i++) world_owe(&world, node[i % 3], 1000 + i);
    world_start(&world);
    for (int i = 0; i < 3; i++) {
        owm_clock_sleep_ms(150);
        pg_fixture_crash(&server);
        owm_clock_sleep_ms(100);
        assert_true(pg_fixture_resume(&server));
    }
    owm_pg_close(world.pg);
    owm_pg_close(world.pool);
    assert_ok(owm_pg_open(world.url, &world.pg, NULL));
    assert_ok(owm_pg_open(world.pool_url, &world.pool, NULL));
    world_until(world.pg, SETTLED, 120);
    world_sound(&world);
    world_close(&world);
}

/* What waits for a worker while the ledger is lost is not sent any more: by then another
 * coordinator may have given that attempt up, and paid another invoice. */
static void test_lost_while_waiting(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    world_open(&world, "waiting");
    world_key_node(&world, 1, node);
    world.options.concurrency = 1;
    atomic_store(&fake->hang_percent, 100); /* each call takes half a second */
    world_start(&world);
    for (int i = 0; i < 10; i++) world_owe(&world, node, 1000 + i);
    world_until(world.pg, "SELECT count(*) FROM payments WHERE state = 'in_flight'", 10);
    assert_ok(owm_pg_exec(world.pg,
                          "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d"
                          " ON d.oid = l.database WHERE l.locktype = 'advisory'"
                          " AND d.datname = current_database() AND l.pid <> pg_backend_pid();"
                          "SELECT pg_advisory_lock(8026107459890769764)",
                          NULL));
    owm_clock_sleep_ms(200);
    size_t sent = fake->payment_count;
    owm_clock_sleep_ms(2000);
    assert_true(fake->payment_count <= sent + 1 && sent < 9);
    atomic_store(&fake->hang_percent, 0);
    assert_ok(owm_pg_exec(world.pg, "SELECT pg_advisory_unlock(8026107459890769764)", NULL));
    world_until(world.pg, SETTLED, 10);
    world_sound(&world);
    world_close(&world);
}

/* A node that was restored from a backup has forgotten what it paid: as long as payments are
 * paused, nothing is sent again. */
static void test_restored_while_paused(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    world_open(&world, "restored");
    world_key_node(&world, 1, node);
    atomic_store(&fake->slow_ms, 600000);
    world_start(&world);
    world_owe(&world, node, 1000);
    world_until(world.pg, "SELECT count(*) FROM payments WHERE state = 'in_flight'", 1);
    for (int i = 0; i < 1000 && fake->payment_count == 0; i++) owm_clock_sleep_ms(10);
    world_stop(&world);
    assert_int_equal(fake->payment_count, 1);
    fake->payment_count = 0;
    atomic_store(&fake->slow_ms, 0);
    world.options.paused = true;
    world_start(&world);
    owm_clock_sleep_ms(3000);
    assert_int_equal(fake->payment_count, 0);
    assert_int_equal(
        world_number(world.pg, "SELECT count(*) FROM payments WHERE state = 'in_flight'"), 1);
    world_stop(&world);
    world.options.paused = false;
    world_start(&world);
    world_until(world.pg, SETTLED, 1);
    world_sound(&world);
    world_close(&world);
}

WORLD_MAIN(cmocka_unit_test(test_lost_while_waiting), cmocka_unit_test(test_restored_while_paused),
           cmocka_unit_test(test_unreliable_node), cmocka_unit_test(test_lost_replies),
           cmocka_unit_test(test_hanging_payee), cmocka_unit_test(test_database_dies))
