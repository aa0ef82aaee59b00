/* test_coordinator_rounds.c: federated rounds over a real coordinator: packages that are wrong,
 * kill -9 in each state of a round, a database that dies (SRS-COORD-03, SRS-COORD-06, TST-02). */
#include "base/clock.h"
#include "round_steps.h"
#include "test.h"

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
        assert_int_equal(coordinator_count(&network, sql), 1);
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
    assert_int_equal(
        coordinator_count(&network, "SELECT count(*) FROM fl_rounds WHERE status = 'failed'"), 0);
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

/* The page and the gauges are fresh at the first look, also right after a restart: rounds and
 * earnings are those of the database. Every metric says what it is. */
static void test_status_page(void **state)
{
    (void)state;
    char line[64];
    assert_int_equal(coordinator_stop(&network), 0);
    coordinator_start(&network);
    int64_t earned_msat = coordinator_count(&network, "SELECT sum(amount_msat) FROM payments");
    char *html = coordinator_page(&network, "/"), *metrics = coordinator_page(&network, "/metrics");
    assert_non_null(strstr(html, "4 registered"));
    assert_non_null(strstr(html, "<td data-label=\"Round\">1<"));
    assert_non_null(strstr(html, "<td data-label=\"State\">complete<"));
    assert_non_null(strstr(html, "Checkpoint<td>owm-v0.1."));
    snprintf(line, sizeof(line), "Earned by all nodes: %lld.%03lld sats",
             (long long)(earned_msat / 1000), (long long)(earned_msat % 1000));
    assert_non_null(strstr(html, line));
    snprintf(line, sizeof(line), "\nowm_earned_msat %lld\n", (long long)earned_msat);
    assert_non_null(strstr(metrics, line));
    assert_non_null(strstr(metrics, "# HELP owm_earned_msat "));
    assert_non_null(strstr(metrics, "# TYPE owm_engine_leases_expired_total counter"));
    free(html);
    free(metrics);
    reconnect_all();
    owm_clock_sleep_ms(1100);
    html = coordinator_page(&network, "/");
    metrics = coordinator_page(&network, "/metrics");
    assert_non_null(strstr(html, "4 connected"));
    assert_non_null(strstr(metrics, "\nowm_nodes_connected 4\n"));
    free(html);
    free(metrics);
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
    assert_true(
        coordinator_count(&network, "SELECT count(*) FROM fl_participants WHERE state = 'missing'")
        >= 1);
    assert_sound();
    assert_int_equal(coordinator_stop(&network), 0);
}

int main(void)
{
    static const char *const options[] = {"--rounds.deadline_s=12", "--rounds.deadline_min_s=8",
                                          NULL};
    if (!open_all("rounds", options)) return TEST_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_wrong_packages),
        cmocka_unit_test(test_killed_in_each_state),
        cmocka_unit_test(test_database_dies),
        cmocka_unit_test(test_status_page),
        cmocka_unit_test(test_node_vanishes),
    };
    return cmocka_run_group_tests_name("rounds", tests, NULL, close_all);
}
