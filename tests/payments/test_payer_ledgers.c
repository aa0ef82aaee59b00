/* test_payer_ledgers.c: two ledgers, one leader each; miners, nodes, invoices that are judged. */
#include "fake_world.h"

#include "base/clock.h"

#define SETTLED "SELECT count(*) FROM payments WHERE state = 'settled'"

/* SRS-LN-14, SRS-PERF-12: a pool's payouts leave, to the node's registered Lightning URI or to what
 * the name says; the treasury's part is a book entry; a name that says nothing stays owed. */
static void test_miners(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    char key[67], node_key[65], text[256];
    world_open(&world, "miners");
    world_key_node(&world, 5, node);
    snprintf(node_key, sizeof(node_key), "%064x", 1);
    fake_key_text(6, key);
    world.options.pool_database_url = world.pool_url;
    world_miner(&world, 1, node_key, 1000000);
    world_miner(&world, 1, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                2000000);
    world_miner(&world, 0, key, 3000000);
    world_miner(&world, 0, "carol@example.com", 4000000);
    world_miner(&world, 0, "lno1qqqq", 5000000);
    world_miner(&world, 0, "some rig", 6000000);
    world_miner(&world, 2, "treasury", 7000000);
    world_start(&world);
    world_until(world.pool, SETTLED, 5);
    world_text(world.pool,
               "SELECT string_agg(a.kind || ' ' || (p.amount_msat / 1000000), ', ' ORDER BY"
               " p.amount_msat) FROM payments p JOIN payment_attempts a USING (payment_id)"
               " WHERE p.state = 'settled'",
               text);
    assert_string_equal(text, "keysend 1, keysend 3, invoice 4, invoice 5, book 7");
    world_until(world.pool,
                "SELECT count(*) FROM payments WHERE state = 'owed' AND reason <> ''"
                " AND next_attempt_at > now()",
                2);
    assert_int_equal(world_number(world.pool, "SELECT count(*) FROM payments p WHERE"
                                              " state = 'settled' AND sha256(preimage) <>"
                                              " coalesce(settled_hash, payment_hash)"),
                     0);
    world_sound(&world);
    world_close(&world);
}

/* A node may be paid at a Lightning address; an invoice that is not what was asked for is no
 * attempt, and its reason is on record. */
static void refused(int trick, const char *why)
{
    struct world world;
    uint8_t node[16];
    char sql[300], name[32];
    int64_t msat;
    snprintf(name, sizeof(name), "trick%d", trick);
    world_open(&world, name);
    world_node(&world, "", "alice@example.com", node);
    atomic_store(&fake->address_trick, trick);
    world_start(&world);
    world_owe(&world, node, 21000);
    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM payments WHERE state = 'owed' AND failures > 0"
             " AND reason LIKE '%%%s%%'",
             why);
    world_until(world.pg, sql, 1);
    assert_int_equal(world_number(world.pg, "SELECT count(*) FROM payment_attempts"), 0);
    assert_int_equal(fake_paid(&msat), 0);
    atomic_store(&fake->address_trick, 0);
    world_until(world.pg, SETTLED, 1);
    world_sound(&world);
    world_close(&world);
}

static void test_invoices_are_judged(void **state)
{
    (void)state;
    refused(1, "42000 msat");
    refused(2, "our own node");
    refused(4, "expires too soon");
}

/* The same invoice for two payments pays one of them. */
static void test_invoice_used_twice(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    world_open(&world, "twice");
    world_node(&world, "", "bob@example.com", node);
    atomic_store(&fake->address_trick, 3);
    world_start(&world);
    world_owe(&world, node, 21000);
    world_owe(&world, node, 21000);
    world_until(world.pg, SETTLED, 1);
    world_until(world.pg,
                "SELECT count(*) FROM payments WHERE state = 'owed' AND reason LIKE"
                " '%used for a payment before%'",
                1);
    atomic_store(&fake->address_trick, 0);
    world_until(world.pg, SETTLED, 2);
    world_sound(&world);
    world_close(&world);
}

/* An address that nobody serves is tried again, more and more rarely, until it is given up; a
 * person sets it to owed, and it is paid once there is somebody. */
static void test_given_up(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16];
    world_open(&world, "given_up");
    world_node(&world, "", "nobody@example.com", node);
    world.options.retry =
        (struct owm_retry){.min_ms = 10, .max_ms = 40, .transit_ms = 300, .failures_max = 3};
    world_start(&world);
    for (int i = 0; i < 30; i++) world_owe(&world, node, 21000);
    world_until(world.pg, "SELECT count(*) FROM payments WHERE state = 'failed' AND failures = 3",
                30);
    assert_ok(owm_pg_exec(world.pg, "UPDATE nodes SET payout_to = 'dave@example.com'", NULL));
    assert_ok(owm_pg_exec(world.pg,
                          "UPDATE payments SET state = 'owed', failures = 0,"
                          " next_attempt_at = 'epoch'",
                          NULL));
    world_until(world.pg, SETTLED, 30);
    world_sound(&world);
    world_close(&world);
}

/* Core Lightning cannot send to a bare key with our hash: owed, with what to do. */
static void test_core_lightning(void **state)
{
    (void)state;
    struct world world;
    uint8_t node[16], other[16];
    world_open(&world, "cln");
    world.options.node.backend = OWM_LIGHTNING_CLN;
    world_key_node(&world, 1, node);
    world_node(&world, "", "lno1abc", other);
    world_start(&world);
    world_owe(&world, node, 1000);
    world_owe(&world, other, 1000);
    world_until(world.pg, SETTLED, 1);
    world_until(world.pg,
                "SELECT count(*) FROM payments WHERE state = 'owed' AND reason LIKE"
                " 'Core Lightning%' AND attempts = 0",
                1);
    world_close(&world);
}

/* One leader per database; the other stands by and takes over. */
static void test_standby(void **state)
{
    (void)state;
    struct world world, second;
    uint8_t node[16];
    char text[256];
    world_open(&world, "standby");
    world_key_node(&world, 1, node);
    second = world;
    world_start(&world);
    world_owe(&world, node, 1000);
    world_until(world.pg, SETTLED, 1);
    world_start(&second);
    owm_clock_sleep_ms(200);
    world_owe(&world, node, 1000);
    world_until(world.pg, SETTLED, 2);
    char *page = NULL;
    assert_ok(owm_metrics_text(second.metrics, &page, NULL));
    assert_non_null(strstr(page, "owm_payments_leading{ledger=\"nodes\"} 0"));
    free(page);
    world_stop(&world);
    world_owe(&world, node, 1000);
    world_until(world.pg, SETTLED, 3);
    world_text(world.pg, "SELECT string_agg(attempts::text, ' ') FROM payments", text);
    assert_string_equal(text, "1 1 1");
    world_stop(&second);
    world_sound(&world);
    world_close(&world);
}

/* A pool that was not started in this version: waited for; and one with another secret is not
 * paid. */
static void test_pool_of_before(void **state)
{
    (void)state;
    struct world world;
    char key[67];
    world_open(&world, "before");
    fake_key_text(6, key);
    world_miner(&world, 0, key, 3000000);
    world.options.pool_database_url = world.pool_url;
    world.options.pool_secret = world.secret;
    world_start(&world);
    world_until(world.pool,
                "SELECT count(*) FROM payments WHERE reason LIKE '%another payment"
                " secret%' AND attempts = 0",
                1);
    world_stop(&world);
    assert_true(pg_fixture_database(&server, "before_empty", world.pool_url));
    world_start(&world);
    owm_clock_sleep_ms(200);
    world_close(&world);
}

WORLD_MAIN(cmocka_unit_test(test_miners), cmocka_unit_test(test_invoices_are_judged),
           cmocka_unit_test(test_invoice_used_twice), cmocka_unit_test(test_given_up),
           cmocka_unit_test(test_core_lightning), cmocka_unit_test(test_standby),
           cmocka_unit_test(test_pool_of_before))
