/* test_paying_figures.c: what ./owm status says of stakes, bonuses and sats, from the databases. */
#include "base/pg/migrate.h"
#include "controlplane/db/schema.h"
#include "paying_figures.h"
#include "pg_fixture.h"
#include "test.h"

static struct pg_fixture server;

static const char rows[] =
    "INSERT INTO nodes (node_id, public_key, ln_node_uri, alias, tier, status, stake_sats) VALUES"
    " ('00000000-0000-0000-0000-000000000001', repeat('01', 32), '', 'node-1', 't1', 'active',"
    "  100000),"
    " ('00000000-0000-0000-0000-000000000002', repeat('02', 32), '', 'node-2', 't1', 'active',"
    "  200000),"
    " ('00000000-0000-0000-0000-000000000003', repeat('03', 32), '', 'node-3', 't2', 'active',"
    "  900000),"
    " ('00000000-0000-0000-0000-000000000004', repeat('04', 32), '', 'node-4', 't1', 'pending', 0);"
    "INSERT INTO payments (payment_id, source_id, purpose, node_id, amount_msat, payment_hash,"
    " state, settled_msat, preimage, created_at, updated_at) VALUES"
    " (gen_random_uuid(), gen_random_uuid(), 'training', '00000000-0000-0000-0000-000000000002',"
    "  45000, sha256('\\x01'), 'settled', 45000, '\\x01', now(), now()),"
    " (gen_random_uuid(), gen_random_uuid(), 'training', '00000000-0000-0000-0000-000000000002',"
    "  500, sha256('\\x02'), 'owed', 0, NULL, now(), now()),"
    " (gen_random_uuid(), gen_random_uuid(), 'training', '00000000-0000-0000-0000-000000000003',"
    "  90500, sha256('\\x03'), 'settled', 90500, '\\x03', now(), now() + interval '1 second')";

static void fill(const char *name, char url[256])
{
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    assert_true(pg_fixture_database(&server, name, url));
    assert_ok(owm_pg_open(url, &pg, NULL));
    assert_ok(owm_migrate(pg, owm_migrations, owm_migrations_count, NULL, &error));
    if (owm_pg_exec(pg, rows, &error) != OWM_OK) fail_msg("%s", error.text);
    owm_pg_close(pg);
}

/* A stake of n minima makes (n + 1) / 2 of a reward, twice of it at most. */
static void stakes_bonuses_and_sats_are_read(void **state)
{
    (void)state;
    char url[256];
    struct owm_pg *pg = NULL;
    struct paying_figures figures = {.pool.settled = 7};
    fill("figures", url);
    for (int i = 0; i < 2; i++) {
        assert_ok(paying_figures_take(&figures, &pg, url, NULL));
        assert_non_null(pg);
        assert_true(figures.known);
        assert_int_equal(figures.node_count, 4);
        assert_int_equal(figures.settled, 2);
        assert_int_equal(figures.settled_msat, 135500);
        assert_int_equal(figures.owed_msat, 500);
        assert_int_equal(figures.pool.settled, 7);
    }
    owm_pg_close(pg);
    static const double bonus[] = {1, 1.5, 2, 1};
    static const int64_t settled_msat[] = {0, 45000, 90500, 0};
    for (int i = 0; i < 4; i++) {
        assert_true(figures.nodes[i].bonus == bonus[i]);
        assert_int_equal(figures.nodes[i].settled_msat, settled_msat[i]);
    }
    assert_string_equal(figures.nodes[3].alias, "node-4");
    assert_int_equal(figures.nodes[2].stake_sats, 900000);
    assert_int_equal(figures.nodes[1].owed_msat, 500);
    assert_string_equal(figures.alias, "node-3");
    assert_string_equal(figures.preimage, "03");
    assert_int_equal(figures.newest_msat, 90500);
}

static void a_database_that_is_away_leaves_the_figures(void **state)
{
    (void)state;
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    struct paying_figures figures = {.known = true, .settled = 3};
    const char *url = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2";
    assert_int_not_equal(paying_figures_take(&figures, &pg, url, &error), OWM_OK);
    assert_null(pg);
    assert_true(figures.known && figures.settled == 3 && error.text[0]);
    assert_int_not_equal(paying_pool_take(&figures.pool, &pg, url, &error), OWM_OK);
    assert_null(pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stakes_bonuses_and_sats_are_read),
        cmocka_unit_test(a_database_that_is_away_leaves_the_figures),
    };
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pg_fixture_stop(&server);
    return failed;
}
