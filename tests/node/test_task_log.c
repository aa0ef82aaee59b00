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
    struct owm_task_earning e = {.task_id = "c",
                                 .purpose = "inference",
                                 .state = "owed",
                                 .reason = "no Lightning node",
                                 .amount_msat = 2500,
                                 .created_ms = 3000};
    assert_ok(owm_task_log_earning(log, &e));
    struct owm_task_totals t;
    assert_ok(owm_task_log_totals(log, &t));
    assert_int_equal(t.owed_msat, 2500);
    assert_int_equal(t.owed_since_ms, 3000);
    const uint8_t hash[32] = {1}, preimage[32] = {2};
    e.state = "settled";
    e.payment_hash = hash;
    e.preimage = preimage;
    e.attempts = 3;
    e.updated_ms = 4000;
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
    struct owm_task_payment payment;
    assert_ok(owm_task_log_payments(log, &payment, 0, 1, &count));
    assert_int_equal(count, 1);
    assert_string_equal(payment.task_id, "c");
    assert_true(payment.has_hash && payment.has_preimage);
    assert_memory_equal(payment.payment_hash, hash, 32);
    assert_memory_equal(payment.preimage, preimage, 32);
    assert_int_equal(payment.attempts, 3);
    assert_int_equal(payment.updated_ms, 4000);
    assert_ok(owm_task_log_payments(log, &payment, 1, 1, &count));
    assert_int_equal(count, 0);
    e.task_id = "d";
    e.state = "cancelled";
    assert_ok(owm_task_log_earning(log, &e));
    assert_ok(owm_task_log_totals(log, &t));
    assert_int_equal(t.cancelled_msat, 2500);
    assert_int_equal(t.owed_since_ms, 0);
    owm_task_log_close(log);
}

/* A file as version 1 left it, with a payment in it. */
static void write_version_1(const char *path)
{
    static const char script[] =
        "CREATE TABLE attempts (seq INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL,"
        " lease_token INTEGER NOT NULL, type TEXT NOT NULL, round INTEGER NOT NULL,"
        " state TEXT NOT NULL, received_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL"
        " DEFAULT 0, execution_ms INTEGER NOT NULL DEFAULT 0, acknowledged_ms INTEGER NOT NULL"
        " DEFAULT 0, input_hash BLOB NOT NULL, input_bytes INTEGER NOT NULL, output_hash BLOB,"
        " output_bytes INTEGER NOT NULL DEFAULT 0, result BLOB, reward_msat INTEGER NOT NULL"
        " DEFAULT 0, reason TEXT NOT NULL DEFAULT '', UNIQUE (task_id, lease_token));"
        "CREATE TABLE payments (task_id TEXT NOT NULL, purpose TEXT NOT NULL, round INTEGER NOT"
        " NULL, amount_msat INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,"
        " created_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, PRIMARY KEY (task_id, purpose));"
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
        "INSERT INTO payments VALUES ('old', 'fl_round', 7, 1500, 'owed', 'waits', 100, 200);"
        "INSERT INTO attempts (task_id, lease_token, type, round, state, received_ms, input_hash,"
        " input_bytes) VALUES ('old', 1, 'fl_round', 7, 'running', 1, x'00', 0);"
        "PRAGMA application_id = 1331121518; PRAGMA user_version = 1;";
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, script, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* SRS-NODE-06: an older file is brought up to date with what is in it; reading it before that says
 * how; joining a running daemon abandons nothing. */
static void test_older(void **state)
{
    const struct place *place = *state;
    struct owm_error error = {""};
    struct owm_task_payment payment;
    struct owm_task_row got;
    owm_task_log *log = NULL;
    size_t count = 0;
    write_version_1(place->path);
    assert_int_equal(owm_task_log_peek(place->path, &log, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "owm-node start"));
    assert_ok(owm_task_log_join(place->path, &log, &error));
    assert_ok(owm_task_log_payments(log, &payment, 0, 1, &count));
    assert_int_equal(count, 1);
    assert_int_equal(payment.amount_msat, 1500);
    assert_int_equal(payment.round, 7);
    assert_false(payment.has_hash || payment.has_preimage);
    assert_ok(owm_task_log_recent(log, &got, 1, &count));
    assert_string_equal(got.state, "running");
    owm_task_log_close(log);
    log = open_log(place->path);
    assert_ok(owm_task_log_recent(log, &got, 1, &count));
    assert_string_equal(got.state, "abandoned");
    owm_task_log_close(log);
    assert_ok(owm_task_log_peek(place->path, &log, &error));
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
        cmocka_unit_test_setup_teardown(test_older, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
