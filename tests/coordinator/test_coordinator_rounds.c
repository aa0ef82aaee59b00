/* test_coordinator_rounds.c: federated rounds over a real coordinator: packages that are wrong,
 * kill -9 in each state of a round, a database that dies (SRS-COORD-03, SRS-COORD-06, TST-02). */
#include "base/clock.h"
#include "controlplane/db/pg.h"
#include "dataplane/model/config.h"
#include "network.h"
#include "test.h"

#define NODES 4

static struct pg_fixture database;
static struct coordinator network;
static struct fake_node node[NODES];

static int64_t count(const char *sql)
{
    struct owm_pg *pg = NULL;
    struct owm_pg_rows *rows = NULL;
    assert_ok(owm_pg_open(network.url, &pg, NULL));
    assert_ok(owm_pg_query(pg, sql, NULL, &rows, NULL));
    int64_t value = owm_pg_rows_count(rows) ? owm_pg_get_i64(rows, 0, 0) : 0;
    owm_pg_rows_free(rows);
    owm_pg_close(pg);
    return value;
}

static int64_t rounds_complete(void)
{
    return count("SELECT count(*) FROM fl_rounds WHERE status = 'complete'");
}

/* A node that says nothing for three periods is not invited. */
static void beat(void)
{
    for (int i = 0; i < NODES; i++) fake_node_heartbeat(&node[i], NULL);
}

static void fail_no_task(int i)
{
    PBI(NetworkStatusResponse) *status = ask_network(&network);
    for (size_t n = 0; n < status->n_nodes; n++)
        print_message("%s: %s, %s, running %u: %s\n", status->nodes[n]->alias,
                      status->nodes[n]->status, status->nodes[n]->connected ? "connected" : "away",
                      status->nodes[n]->running_tasks, status->nodes[n]->note);
    owm__internal__v1__network_status_response__free_unpacked(status, NULL);
    fail_msg("no task for node %d; see %s", i, network.log);
}

/* Wait for the task of node i and do it; "" when accepted. */
static const char *work(int i, struct wrong wrong)
{
    uint8_t *plain = NULL;
    size_t bytes = 0;
    beat();
    PB(Task) *task = fake_node_task(&node[i], 15000, &plain, &bytes);
    if (!task) fail_no_task(i);
    assert_string_equal(task->task_type, "fl_round");
    const char *code = fake_node_train(&node[i], task, plain, bytes, wrong);
    free(plain);
    owm__coordinator__v1__task__free_unpacked(task, NULL);
    return code;
}

static void wait_for_rounds(int64_t complete)
{
    for (int i = 0; i < 400 && rounds_complete() < complete; i++) owm_clock_sleep_ms(50);
    assert_true(rounds_complete() >= complete);
}

static void assert_sound(void)
{
    PBI(AuditResponse) *audit = ask_audit(&network);
    if (!audit->ok) fail_msg("audit: %s", audit->findings[0]);
    assert_int_equal(audit->double_completions, 0);
    owm__internal__v1__audit_response__free_unpacked(audit, NULL);
    /* Each included package is paid once, and nothing else is. */
    assert_int_equal(count("SELECT count(*) FROM payments"),
                     count("SELECT count(*) FROM fl_participants WHERE state = 'included'"));
    assert_int_equal(count("SELECT count(*) FROM model_versions WHERE is_current"), 1);
    assert_int_equal(count("SELECT count(*) FROM model_versions"), rounds_complete() + 1);
}

static void reconnect_all(void)
{
    for (int i = 0; i < NODES; i++) fake_node_reconnect(&node[i]);
}

static void test_round(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
    wait_for_rounds(1);
    assert_sound();
    PBI(ListRoundsResponse) *rounds = ask_rounds(&network);
    assert_true(rounds->n_rounds >= 1);
    assert_string_equal(rounds->rounds[0]->state, "complete");
    assert_string_equal(rounds->rounds[0]->version_id, "owm-v0.1.1");
    assert_int_equal(rounds->rounds[0]->n_participants, NODES);
    for (int i = 0; i < NODES; i++) {
        assert_string_equal(rounds->rounds[0]->participants[i]->verdict, "included");
        assert_true(rounds->rounds[0]->participants[i]->reward_msat > 0);
    }
    owm__internal__v1__list_rounds_response__free_unpacked(rounds, NULL);
}

/* Each kind of wrong package is refused for its own reason, logged, and not paid; the round goes
 * on with the others. */
static void test_wrong_packages(void **state)
{
    (void)state;
    static const struct {
        struct wrong wrong;
        const char *reason;
    } cases[] = {{{.truncated = true}, "TRUNCATED"},
                 {{.base = true}, "WRONG_BASE"},
                 {{.round = true}, "WRONG_ROUND"},
                 {{.nonce = true}, "REPLAYED"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[80], sql[160];
        int64_t before = rounds_complete();
        assert_string_equal(work(0, cases[i].wrong), "");
        for (int n = 1; n < NODES; n++) assert_string_equal(work(n, (struct wrong){0}), "");
        wait_for_rounds(before + 1);
        snprintf(line, sizeof(line), "reason=%s", cases[i].reason);
        assert_true(coordinator_logged(&network, line));
        snprintf(sql, sizeof(sql),
                 "SELECT count(*) FROM fl_participants WHERE state = 'rejected' AND reason = '%s'"
                 " AND reward_msat = 0",
                 cases[i].reason);
        assert_int_equal(count(sql), 1);
        assert_sound();
    }
}

/* Promise 1, promise 7: kill -9 with a round open, half delivered, fully delivered (verifying or
 * aggregating), and just complete. It goes on each time; nothing is counted or paid twice. */
static void test_killed_in_each_state(void **state)
{
    (void)state;
    for (int moment = 0; moment < 6; moment++) {
        int64_t before = rounds_complete();
        int delivered = moment == 0 ? 0 : moment == 1 ? 2 : NODES;
        for (int i = 0; i < delivered; i++) assert_string_equal(work(i, (struct wrong){0}), "");
        if (moment >= 3) owm_clock_sleep_ms((uint32_t)(moment - 2) * 15);
        coordinator_kill(&network);
        coordinator_start(&network);
        reconnect_all();
        for (int i = delivered; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
        wait_for_rounds(before + 1);
        assert_sound();
    }
    assert_int_equal(count("SELECT count(*) FROM fl_rounds WHERE status = 'failed'"), 0);
}

/* PostgreSQL dies in the middle of a round and comes back. */
static void test_database_dies(void **state)
{
    (void)state;
    int64_t before = rounds_complete();
    assert_string_equal(work(0, (struct wrong){0}), "");
    pg_fixture_crash(&database);
    owm_clock_sleep_ms(200);
    assert_true(pg_fixture_resume(&database));
    for (int i = 1; i < NODES; i++) assert_string_equal(work(i, (struct wrong){0}), "");
    wait_for_rounds(before + 1);
    assert_sound();
}

/* A node that vanishes does not stop the others (TST-03): quorum closes the round. The first of the
 * rounds here may still have its package from before. */
static void test_node_vanishes(void **state)
{
    (void)state;
    for (int r = 0; r < 2; r++) {
        int64_t before = rounds_complete();
        for (int i = 0; i < NODES - 1; i++) assert_string_equal(work(i, (struct wrong){0}), "");
        wait_for_rounds(before + 1);
    }
    assert_true(count("SELECT count(*) FROM fl_participants WHERE state = 'missing'") >= 1);
    assert_sound();
    assert_int_equal(coordinator_stop(&network), 0);
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) fake_node_close(&node[i]);
    coordinator_close(&network);
    pg_fixture_stop(&database);
    return 0;
}

static void set_parameters(void)
{
    struct owm_model_config config = owm_model_config_default();
    char text[24];
    config.dim = 32;
    config.layers = 1;
    config.heads = 2;
    config.kv_heads = 1;
    config.ffn_dim = 64;
    config.context = 64;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)owm_model_config_params(&config));
    setenv("OWM_TEST_PARAMETERS", text, 1);
}

int main(void)
{
    if (!pg_fixture_start(&database)) return TEST_SKIP;
    if (!pg_fixture_database(&database, "rounds", network.url)) return 1;
    static const char *const options[] = {
        "--policy.network=devnet", "--policy.stake=none",        "--rounds.min_participants=3",
        "--rounds.pause_ms=0",     "--rounds.deadline_s=12",     "--rounds.deadline_min_s=8",
        "--rounds.rule=fedavg",    "--heartbeat.period_ms=1000", "--heartbeat.grace_ms=0",
        "--model.dim=32",          "--model.layers=1",           "--model.heads=2",
        "--model.kv_heads=1",      "--model.ffn_dim=64",         "--model.context=64"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        coordinator_option(&network, options[i]);
    set_parameters();
    coordinator_start(&network);
    for (int i = 0; i < NODES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "node-%d", i);
        fake_node_open(&node[i], &network, name);
        fake_node_register(&node[i], FAULT_NONE);
    }
    for (int i = 0; i < NODES; i++) fake_node_stream(&node[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_wrong_packages),
        cmocka_unit_test(test_killed_in_each_state),
        cmocka_unit_test(test_database_dies),
        cmocka_unit_test(test_node_vanishes),
    };
    return cmocka_run_group_tests_name("rounds", tests, NULL, close_all);
}
