/* test_rows.c: a node's rows through a real PostgreSQL and back into an engine, and the migration
 * of a database from before the stake (SRS-LN-11, SRS-STAKE-03, SRS-STAKE-08). */
#include "test.h"

#include "base/pg/migrate.h"
#include "base/pg/pg.h"
#include "controlplane/db/load.h"
#include "controlplane/db/persist.h"
#include "controlplane/db/schema.h"
#include "pg_fixture.h"

#define READ_MS INT64_C(1700000000123)

static struct pg_fixture server;

static struct owm_pg *fresh_database(const char *name, size_t migrations)
{
    char url[256];
    struct owm_error error = {""};
    struct owm_pg *pg = NULL;
    assert_true(pg_fixture_database(&server, name, url));
    if (owm_pg_open(url, &pg, &error) != OWM_OK
        || owm_migrate(pg, owm_migrations, migrations, NULL, &error) != OWM_OK)
        fail_msg("%s", error.text);
    return pg;
}

static struct owm_effect node_effect(uint8_t number, uint8_t ln_key)
{
    struct owm_effect effect;
    memset(&effect, 0, sizeof(effect));
    effect.kind = OWM_EFFECT_NODE;
    effect.node.node_id[0] = effect.node.public_key[0] = number;
    effect.node.capabilities.tier = OWM_TIER_T2;
    effect.node.capabilities.slots = 1;
    effect.node.status = OWM_NODE_ACTIVE;
    effect.node.stake_sats = 500000;
    effect.node.stake_read_ms = READ_MS;
    if (ln_key) effect.node.ln_key[0] = 3;
    effect.node.ln_key[32] = ln_key;
    return effect;
}

static owm_status persist(struct owm_pg *pg, const struct owm_effect *effects, size_t count)
{
    struct owm_error error = {""};
    return owm_persist(pg, effects, count, NULL, &error); /* no payables, so no secret */
}

static owm_engine *load(struct owm_pg *pg)
{
    struct owm_engine_config config;
    struct owm_error error = {""};
    owm_engine *engine = NULL;
    owm_engine_defaults(&config);
    config.nodes_max = 16;
    if (owm_engine_create(&config, &engine, &error) != OWM_OK
        || owm_load(pg, engine, 16, &error) != OWM_OK)
        fail_msg("%s", error.text);
    return engine;
}

static struct owm_node_row loaded(const owm_engine *engine, uint8_t number)
{
    uint8_t id[16] = {number};
    struct owm_node_view view;
    int64_t at = owm_engine_find_node(engine, id);
    assert_true(at >= 0);
    owm_engine_node(engine, (uint32_t)at, READ_MS, &view);
    return view.row;
}

static void test_node_and_back(void **state)
{
    (void)state;
    struct owm_pg *pg = fresh_database("node", owm_migrations_count);
    assert_ok(owm_persist_prepare(pg, NULL));
    struct owm_effect effects[] = {node_effect(1, 7), node_effect(2, 0), {0}};
    effects[0].node.status = OWM_NODE_DEGRADED;
    effects[0].node.degraded_since_ms = READ_MS - 5;
    snprintf(effects[0].node.payout_to, OWM_URI_BYTES, "alice@example.com");
    effects[2].kind = OWM_EFFECT_HEARTBEAT; /* of a node that never sent one: its stake was read */
    effects[2].heartbeat.node_id[0] = 2;
    effects[2].heartbeat.stake_read_ms = READ_MS + 1000;
    assert_ok(persist(pg, effects, 3));
    assert_ok(persist(pg, effects, 3)); /* the same batch twice is the same as once */
    owm_engine *engine = load(pg);
    struct owm_node_row row = loaded(engine, 1);
    assert_int_equal(row.status, OWM_NODE_DEGRADED);
    assert_true(row.degraded_since_ms == READ_MS - 5 && row.stake_read_ms == READ_MS);
    assert_int_equal(row.stake_sats, 500000);
    assert_memory_equal(row.ln_key, effects[0].node.ln_key, 33);
    assert_string_equal(row.payout_to, "alice@example.com");
    row = loaded(engine, 2);
    assert_int_equal(row.ln_key[0], 0);
    assert_true(row.stake_read_ms == READ_MS + 1000 && row.last_heartbeat_ms == 0);
    owm_engine_destroy(engine);
    owm_pg_close(pg);
}

/* In which tier a node worked when it went wrong comes back with the rows. */
static void test_tiers_of_work(void **state)
{
    (void)state;
    struct owm_pg *pg = fresh_database("tiers", owm_migrations_count);
    assert_ok(owm_persist_prepare(pg, NULL));
    struct owm_effect effects[] = {node_effect(1, 7), {0}, {0}};
    effects[0].node.capabilities.tier = OWM_TIER_T1;
    effects[0].node.signals = 1;
    effects[0].node.signals_tier = OWM_TIER_T3;
    effects[1].kind = OWM_EFFECT_SIGNAL;
    effects[1].signal.signal_id[0] = effects[1].signal.node_id[0] = 1;
    effects[1].signal.evidence_hash[0] = 1;
    effects[1].signal.tier = OWM_TIER_T3;
    effects[1].signal.detected_ms = READ_MS;
    effects[2].kind = OWM_EFFECT_TASK;
    struct owm_task_row *task = &effects[2].task;
    *task = (struct owm_task_row){.task_id = {1},
                                  .type = OWM_TASK_AUDIT_REPO,
                                  .state = OWM_TASK_STATE_RUNNING,
                                  .min_tier = OWM_TIER_T1,
                                  .assigned_node = {1},
                                  .lease_token = 1,
                                  .lease_tier = OWM_TIER_T2,
                                  .attempt = 1,
                                  .timeout_ms = 1000,
                                  .submitted_ms = READ_MS};
    assert_ok(persist(pg, effects, 3));
    struct owm_pg_rows *rows = NULL;
    assert_ok(owm_pg_query(pg,
                           "SELECT s.tier, t.lease_tier, n.signals_tier FROM nodes n,"
                           " misbehavior_signals s, tasks t",
                           NULL, &rows, NULL));
    assert_string_equal(owm_pg_get_text(rows, 0, 0), "t3");
    assert_string_equal(owm_pg_get_text(rows, 0, 1), "t2");
    assert_string_equal(owm_pg_get_text(rows, 0, 2), "t3");
    owm_pg_rows_free(rows);
    owm_engine *engine = load(pg);
    assert_int_equal(loaded(engine, 1).signals_tier, OWM_TIER_T3);
    const struct owm_task_row *restored = owm_engine_find_task(engine, task->task_id);
    assert_non_null(restored);
    assert_int_equal(restored->lease_tier, OWM_TIER_T2);
    owm_engine_destroy(engine);
    owm_pg_close(pg);
}

/* I17: one key, one node; keys that change hands within one batch are no conflict. */
static void test_ln_keys(void **state)
{
    (void)state;
    struct owm_pg *pg = fresh_database("keys", owm_migrations_count);
    assert_ok(owm_persist_prepare(pg, NULL));
    struct owm_effect effects[] = {node_effect(1, 7), node_effect(2, 8), node_effect(3, 0),
                                   node_effect(4, 0)};
    assert_ok(persist(pg, effects, 4));
    effects[0].node.ln_key[32] = 8;
    effects[1].node.ln_key[32] = 7;
    assert_ok(persist(pg, effects, 2));
    effects[1].node.ln_key[32] = 8;
    assert_int_equal(persist(pg, effects + 1, 1), OWM_E_EXISTS);
    owm_engine *engine = load(pg);
    assert_int_equal(loaded(engine, 1).ln_key[32], 8);
    assert_int_equal(loaded(engine, 2).ln_key[32], 7);
    owm_engine_destroy(engine);
    owm_pg_close(pg);
}

/* A database of before: a degraded node gets its whole day from the migration on, and a node may
 * have several channels. */
static void test_migration_0006(void **state)
{
    (void)state;
    struct owm_pg *pg = fresh_database("before", 5);
    struct owm_error error = {""};
    assert_ok(owm_pg_exec(
        pg,
        "INSERT INTO nodes (node_id, public_key, ln_node_uri, tier, status, registered_at)"
        " VALUES ('01000000-0000-0000-0000-000000000000', '01' || repeat('0', 62), '', 't1',"
        " 'degraded', now());"
        "INSERT INTO node_stakes (node_id, channel_id, channel_capacity, local_balance,"
        " tier_minimum) VALUES ('01000000-0000-0000-0000-000000000000', 'a:0', 1, 1, 1)",
        &error));
    if (owm_migrate(pg, owm_migrations, owm_migrations_count, NULL, &error) != OWM_OK)
        fail_msg("%s", error.text);
    assert_ok(owm_pg_exec(
        pg,
        "INSERT INTO node_stakes (node_id, channel_id, channel_capacity, local_balance,"
        " tier_minimum, stake_status) VALUES ('01000000-0000-0000-0000-000000000000', 'b:0', 1, 1,"
        " 1, 'not_counted')",
        &error));
    owm_engine *engine = load(pg);
    struct owm_node_row row = loaded(engine, 1);
    assert_int_equal(row.status, OWM_NODE_DEGRADED);
    assert_true(row.degraded_since_ms > READ_MS);
    owm_engine_destroy(engine);
    owm_pg_close(pg);
}

static int stop_server(void **state)
{
    (void)state;
    pg_fixture_stop(&server);
    return 0;
}

int main(void)
{
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_and_back),
        cmocka_unit_test(test_tiers_of_work),
        cmocka_unit_test(test_ln_keys),
        cmocka_unit_test(test_migration_0006),
    };
    return cmocka_run_group_tests_name("db_rows", tests, NULL, stop_server);
}
