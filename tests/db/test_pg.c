/* test_pg.c: the PostgreSQL layer and the migrations, against a real server. */
#include "test.h"

#include "base/clock.h"
#include "base/pg/migrate.h"
#include "base/pg/pg.h"
#include "controlplane/db/schema.h"
#include "pg_fixture.h"

static struct pg_fixture server;

static struct owm_pg *connect_to(const char *url)
{
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    owm_status status = owm_pg_open(url, &pg, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
    return pg;
}

static int64_t count_rows(struct owm_pg *pg, const char *sql)
{
    struct owm_pg_rows *rows = NULL;
    assert_ok(owm_pg_query(pg, sql, NULL, &rows, NULL));
    int64_t count = owm_pg_get_i64(rows, 0, 0);
    owm_pg_rows_free(rows);
    return count;
}

/* SRS-SEC-06: hostile text is a value, never SQL. */
static void test_parameters(void **state)
{
    (void)state;
    struct owm_pg *pg = connect_to(server.url);
    assert_ok(
        owm_pg_exec(pg, "CREATE TEMP TABLE t (a text, b bigint, c bytea, d uuid, e float8)", NULL));
    const char *hostile = "'); DROP TABLE t; --";
    const uint8_t bytes[] = {0, 1, 255, '\'', '\\'}, id[16] = {1, 2, 3};
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_text(&args, hostile);
    owm_pg_i64(&args, INT64_MIN);
    owm_pg_bytes(&args, bytes, sizeof(bytes));
    owm_pg_uuid(&args, id);
    owm_pg_f64(&args, 0.1);
    assert_ok(owm_pg_query(pg, "INSERT INTO t VALUES ($1, $2, $3, $4, $5)", &args, NULL, NULL));
    struct owm_pg_rows *rows = NULL;
    assert_ok(owm_pg_query(pg, "SELECT a, b, c, d, e FROM t", NULL, &rows, NULL));
    assert_string_equal(owm_pg_get_text(rows, 0, 0), hostile);
    assert_true(owm_pg_get_i64(rows, 0, 1) == INT64_MIN);
    uint8_t *back = NULL, uuid[16];
    size_t length = 0;
    assert_ok(owm_pg_get_bytes(rows, 0, 2, &back, &length));
    assert_int_equal(length, sizeof(bytes));
    assert_memory_equal(back, bytes, sizeof(bytes));
    free(back);
    owm_pg_get_uuid(rows, 0, 3, uuid);
    assert_memory_equal(uuid, id, 16);
    assert_true(owm_pg_get_f64(rows, 0, 4) == 0.1);
    owm_pg_rows_free(rows);
    owm_pg_close(pg);
}

/* SRS-SEC-07: a password never reaches an error text. */
static void test_no_password_in_errors(void **state)
{
    (void)state;
    static const char *const urls[] = {"postgresql://owm:hunter2@127.0.0.1:1/x",
                                       "postgresql://owm:hunter2@[::1/x?bad",
                                       "host=/nonexistent password=hunter2 dbname=x",
                                       "host=/x password='hunter2 dbname=x",
                                       "password=hunter2 nonsense",
                                       "postgresql://owm:hunter2@127.0.0.1:1/x?hunter2=1"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct owm_pg *pg = NULL;
        struct owm_error error = {""};
        owm_status status = owm_pg_open(urls[i], &pg, &error);
        assert_true(status == OWM_E_CONFIG || status == OWM_E_NET);
        assert_true(strlen(error.text) > 20);
        assert_null(strstr(error.text, "hunter2"));
    }
}

static void test_missing_database_is_named(void **state)
{
    (void)state;
    char url[256];
    snprintf(url, sizeof(url), "host=%s dbname=nowhere user=owm", server.folder);
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    assert_int_equal(owm_pg_open(url, &pg, &error), OWM_E_PERM);
    assert_non_null(strstr(error.text, "nowhere"));
}

static const struct owm_pg_statement insert_row[] = {
    {"test_insert", "INSERT INTO kept (id) VALUES ($1::bigint)"}};

static owm_status queue_rows(struct owm_pg *pg, int64_t from, int64_t count,
                             struct owm_error *error)
{
    owm_status status = owm_pg_pipeline_begin(pg, error);
    for (int64_t id = from; status == OWM_OK && id < from + count; id++) {
        struct owm_pg_args args;
        owm_pg_begin_args(&args);
        owm_pg_i64(&args, id);
        status = owm_pg_queue(pg, &insert_row[0], &args, error);
    }
    return status;
}

static void test_pipeline_is_all_or_nothing(void **state)
{
    (void)state;
    char url[256];
    struct owm_error error = {""};
    assert_true(pg_fixture_database(&server, "pipeline", url));
    struct owm_pg *pg = connect_to(url);
    assert_ok(owm_pg_exec(pg, "CREATE TABLE kept (id bigint PRIMARY KEY)", &error));
    assert_ok(owm_pg_prepare(pg, insert_row, 1, &error));
    assert_ok(queue_rows(pg, 0, 20000, &error));
    assert_ok(owm_pg_pipeline_commit(pg, &error));
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM kept"), 20000);
    /* The third row exists already: none of the five stays, and the next transaction works. */
    assert_ok(queue_rows(pg, 19998, 5, &error));
    assert_int_equal(owm_pg_pipeline_commit(pg, &error), OWM_E_EXISTS);
    assert_non_null(strstr(error.text, "23505"));
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM kept"), 20000);
    assert_ok(queue_rows(pg, 20000, 5, &error));
    assert_ok(owm_pg_pipeline_commit(pg, &error));
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM kept"), 20005);
    owm_pg_close(pg);
}

/* SRS-COORD-06: the server dies in the middle of a transaction: nothing of it is there, the error
 * says "again", and after reopen the same transaction goes through. */
static void test_server_crash_in_transaction(void **state)
{
    (void)state;
    char url[256];
    struct owm_error error = {""};
    assert_true(pg_fixture_database(&server, "crash", url));
    struct owm_pg *pg = connect_to(url);
    assert_ok(owm_pg_exec(pg, "CREATE TABLE kept (id bigint PRIMARY KEY)", &error));
    assert_ok(owm_pg_prepare(pg, insert_row, 1, &error));
    assert_ok(queue_rows(pg, 0, 3000, &error));
    pg_fixture_crash(&server);
    owm_status status = owm_pg_pipeline_commit(pg, &error);
    assert_true(status != OWM_OK && owm_pg_transient(status));
    assert_false(owm_pg_alive(pg));
    assert_int_equal(owm_pg_reopen(pg, &error), OWM_E_NET);
    assert_true(pg_fixture_resume(&server));
    assert_ok(owm_pg_reopen(pg, &error));
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM kept"), 0);
    assert_ok(queue_rows(pg, 0, 3000, &error));
    assert_ok(owm_pg_pipeline_commit(pg, &error));
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM kept"), 3000);
    owm_pg_close(pg);
}

/* Rows by COPY, as text and as binary, inside a transaction that may still be given up. */
static void test_copy(void **state)
{
    (void)state;
    struct owm_error error = {""};
    struct owm_pg *pg = connect_to(server.url);
    assert_ok(owm_pg_exec(pg, "CREATE TEMP TABLE c (a int, b bytea)", &error));
    static const char text[] = "1\t\\\\x00ff\n2\t\\N\n";
    static const uint8_t binary[] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', 255, '\r', '\n', 0,  0, 0,
                                     0,   0,   0,   0,   0,   0,   0,    2,   0,    0,    0,  4, 0,
                                     0,   0,   3,   0,   0,   0,   2,    0,   255,  255,  255};
    assert_ok(owm_pg_copy(pg, "COPY c FROM STDIN", text, sizeof(text) - 1, &error));
    assert_ok(owm_pg_exec(pg, "BEGIN", &error));
    assert_ok(owm_pg_copy(pg, "COPY c FROM STDIN (FORMAT binary)", binary, sizeof(binary), &error));
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM c"), 3);
    assert_ok(owm_pg_exec(pg, "ROLLBACK", &error));
    assert_int_equal(count_rows(pg, "SELECT sum(a) FROM c WHERE b IS NULL OR b = '\\x00ff'"), 3);
    assert_int_equal(owm_pg_copy(pg, "COPY c FROM STDIN", "x\ty\n", 4, &error), OWM_E_DB);
    assert_non_null(strstr(error.text, "22P02"));
    assert_int_equal(owm_pg_copy(pg, "COPY missing FROM STDIN", "", 0, &error), OWM_E_DB);
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM c"), 2);
    owm_pg_close(pg);
}

static void test_migrations(void **state)
{
    (void)state;
    static const struct owm_migration first[] = {{1, "0001_a", "CREATE TABLE a (x int);"}};
    static const struct owm_migration both[] = {{1, "0001_a", "CREATE TABLE a (x int);"},
                                                {2, "0002_b", "CREATE TABLE b (x int);"}};
    static const struct owm_migration changed[] = {{1, "0001_a", "CREATE TABLE a (x bigint);"},
                                                   {2, "0002_b", "CREATE TABLE b (x int);"}};
    static const struct owm_migration other[] = {{1, "0001_other", "CREATE TABLE o (x int);"},
                                                 {2, "0002_b", "CREATE TABLE b (x int);"}};
    static const struct owm_migration broken[] = {
        {1, "0001_a", "CREATE TABLE a (x int);"},
        {2, "0002_b", "CREATE TABLE b (x int);"},
        {3, "0003_c", "CREATE TABLE c (x int); SELECT nonsense;"}};
    char url[256];
    struct owm_error error = {""};
    size_t applied = 9;
    assert_true(pg_fixture_database(&server, "migrate", url));
    struct owm_pg *pg = connect_to(url);
    assert_ok(owm_migrate(pg, first, 1, &applied, &error));
    assert_int_equal(applied, 1);
    assert_ok(owm_migrate(pg, both, 2, &applied, &error));
    assert_int_equal(applied, 1);
    assert_ok(owm_migrate(pg, both, 2, &applied, &error));
    assert_int_equal(applied, 0);
    assert_int_equal(owm_migrate(pg, changed, 2, NULL, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "0001_a was changed"));
    assert_int_equal(owm_migrate(pg, other, 2, NULL, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "database of its own"));
    assert_int_equal(owm_migrate(pg, first, 1, NULL, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "newer program"));
    assert_int_equal(owm_migrate(pg, broken, 3, NULL, &error), OWM_E_DB);
    assert_non_null(strstr(error.text, "0003_c"));
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM schema_migrations"), 2);
    assert_int_equal(count_rows(pg, "SELECT count(*) FROM pg_tables WHERE tablename = 'c'"), 0);
    owm_pg_close(pg);
}

static void test_embedded_schema(void **state)
{
    (void)state;
    char url[256];
    struct owm_error error = {""};
    assert_true(pg_fixture_database(&server, "embedded", url));
    struct owm_pg *pg = connect_to(url);
    if (owm_migrate(pg, owm_migrations, owm_migrations_count, NULL, &error) != OWM_OK)
        fail_msg("%s", error.text);
    static const char *const tables[] = {
        "nodes",           "node_stakes",         "tasks",          "task_log",
        "fl_rounds",       "fl_participants",     "model_versions", "payments",
        "slashing_events", "misbehavior_signals", "bounties"};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        char sql[160];
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_tables WHERE tablename = '%s'",
                 tables[i]);
        assert_int_equal(count_rows(pg, sql), 1);
    }
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
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_no_password_in_errors),
        cmocka_unit_test(test_missing_database_is_named),
        cmocka_unit_test(test_pipeline_is_all_or_nothing),
        cmocka_unit_test(test_server_crash_in_transaction),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_migrations),
        cmocka_unit_test(test_embedded_schema),
    };
    return cmocka_run_group_tests_name("pg", tests, NULL, stop_server);
}
