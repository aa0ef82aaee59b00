/* test_task_log.c: SRS-NODE-06, the SQLite log over restarts, and as outbox of results. */
#include <sqlite3.h>

#include "fixture.h"
#include "node/task_log.h"
#include "test.h"

struct place {
    char folder[128], path[160];
};

static int set_up(void **state)
{
    static struct place place;
    fixture_folder(place.folder);
    snprintf(place.path, sizeof place.path, "%s/t.sqlite", place.folder);
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    const struct place *place = *state;
    fixture_remove(place->folder);
    return 0;
}

static owm_task_log *open_log(const char *path)
{
    owm_task_log *log = NULL;
    struct owm_error error = {""};
    assert_ok(owm_task_log_open(path, &log, &error));
    return log;
}

static struct owm_task_row row(const char *id, uint64_t token)
{
    struct owm_task_row r = {.lease_token = token,
                             .type = "inference",
                             .received_ms = 1000,
                             .input_hash = {1, 2, 3},
                             .input_bytes = 77};
    snprintf(r.task_id, sizeof r.task_id, "%s", id);
    return r;
}

/* SRS-NODE-06: a result waits over a restart until it is answered, and only then is dropped. */
static void test_outbox(void **state)
{
    const struct place *place = *state;
    owm_task_log *log = open_log(place->path);
    struct owm_task_row r = row("a", 5), got;
    assert_ok(owm_task_log_begin(log, &r));
    assert_int_equal(owm_task_log_begin(log, &r), OWM_E_EXISTS);
    r.finished_ms = 2000;
    r.execution_ms = 900;
    r.output_hash[0] = 9;
    r.output_bytes = 4;
    assert_ok(owm_task_log_finish(log, &r, (const uint8_t *)"data", 4));
    assert_int_equal(owm_task_log_finish(log, &r, (const uint8_t *)"data", 4), OWM_E_NOTFOUND);
    owm_task_log_close(log);
    log = open_log(place->path);
    int64_t cursor = 0;
    uint8_t *data = NULL;
    size_t bytes = 0;
    assert_ok(owm_task_log_unsent(log, &cursor, &got, &data, &bytes));
    assert_int_equal(bytes, 4);
    assert_memory_equal(data, "data", 4);
    assert_string_equal(got.task_id, "a");
    assert_int_equal(got.lease_token, 5);
    assert_int_equal(got.execution_ms, 900);
    assert_int_equal(got.output_hash[0], 9);
    free(data);
    assert_int_equal(owm_task_log_unsent(log, &cursor, &got, &data, &bytes), OWM_E_NOTFOUND);
    assert_ok(owm_task_log_acknowledge(log, "a", 5, true, "", 12345));
    assert_int_equal(owm_task_log_acknowledge(log, "a", 5, true, "", 1), OWM_E_NOTFOUND);
    cursor = 0;
    assert_int_equal(owm_task_log_unsent(log, &cursor, &got, &data, &bytes), OWM_E_NOTFOUND);
    size_t count = 0;
    assert_ok(owm_task_log_recent(log, &got, 1, &count));
    assert_int_equal(count, 1);
    assert_string_equal(got.state, "accepted");
    assert_int_equal(got.reward_msat, 12345);
    assert_memory_equal(got.input_hash, r.input_hash, 32);
    owm_task_log_close(log);
}

/* SRS-NODE-06: what ran when the daemon died is abandoned, not lost and not running for ever. */
static void test_abandoned(void **state)
{
    const struct place *place = *state;
    owm_task_log *log = open_log(place->path);
    struct owm_task_row r = row("b", 1);
    assert_ok(owm_task_log_begin(log, &r));
    owm_task_log_close(log);
    log = open_log(place->path);
    struct owm_task_row got;
    size_t count = 0;
    assert_ok(owm_task_log_recent(log, &got, 1, &count));
    assert_string_equal(got.state, "abandoned");
    /* The same task with a new lease is another attempt. */
    r.lease_token = 2;
    assert_ok(owm_task_log_begin(log, &r));
    owm_task_log_close(log);
}

/* SRS-NODE-06: payment states follow the coordinator's ledger. */
static void test_payments(void **state)
{
    const struct place *place = *state;
    owm_task_log *log = open_log(place->path);
    struct owm_task_row r = row("c", 1), got;
    assert_ok(owm_task_log_begin(log, &r));
    assert_ok(owm_task_log_finish(log, &r, (const uint8_t *)"", 0));
    assert_ok(owm_task_log_acknowledge(log, "c", 1, true, "", 0));
    struct owm_task_earning e = {"c", "inference", "owed", "no Lightning node", 2500, 3000, 0};
    assert_ok(owm_task_log_earning(log, &e));
    struct owm_task_totals t;
    assert_ok(owm_task_log_totals(log, &t));
    assert_int_equal(t.owed_msat, 2500);
    assert_int_equal(t.owed_since_ms, 3000);
    e.state = "settled";
    assert_ok(owm_task_log_earning(log, &e));
    assert_ok(owm_task_log_earning(log, &e));
    assert_ok(owm_task_log_totals(log, &t));
    assert_int_equal(t.owed_msat, 0);
    assert_int_equal(t.settled_msat, 2500);
    assert_int_equal(t.accepted, 1);
    size_t count = 0;
    assert_ok(owm_task_log_recent(log, &got, 1, &count));
    assert_string_equal(got.payment_state, "settled");
    assert_int_equal(got.payment_msat, 2500);
    owm_task_log_close(log);
}

static void test_settings(void **state)
{
    const struct place *place = *state;
    owm_task_log *log = open_log(place->path);
    char value[8];
    assert_int_equal(owm_task_log_get(log, "k", value, sizeof value), OWM_E_NOTFOUND);
    assert_ok(owm_task_log_set(log, "k", "v1"));
    assert_ok(owm_task_log_set(log, "k", "v2"));
    assert_ok(owm_task_log_get(log, "k", value, sizeof value));
    assert_string_equal(value, "v2");
    assert_int_equal(owm_task_log_get(log, "k", value, 2), OWM_E_LIMIT);
    owm_task_log_close(log);
}

/* SRS-NODE-06: a newer version, another program's file and no SQLite file are left alone. */
static void test_foreign(void **state)
{
    const struct place *place = *state;
    owm_task_log *log = open_log(place->path);
    struct owm_error error = {""};
    owm_task_log_close(log);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL);
    sqlite3_close(db);
    log = NULL;
    assert_int_equal(owm_task_log_open(place->path, &log, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "update owm-node"));
    assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA application_id = 1", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_int_equal(owm_task_log_open(place->path, &log, &error), OWM_E_PROTO);
    fixture_write(place->folder, "t2.sqlite", "this is no database, but long enough to look at");
    char other[160];
    snprintf(other, sizeof other, "%s/t2.sqlite", place->folder);
    assert_int_not_equal(owm_task_log_open(other, &log, &error), OWM_OK);
    assert_null(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_outbox, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_abandoned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_payments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
