/* task_log.c: the SQLite tables behind task_log.h. */
#include "node/task_log.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define BUSY_TIMEOUT_MS 5000

struct owm_task_log {
    sqlite3 *db;
    pthread_mutex_t lock;
};

/* application_id is "OWMn", so that another program's file is not taken for ours. A new
 * file is made as version 1 and taken up the same steps as an old one. */
#define APPLICATION_ID 0x4f574d6e
static const char version_1[] =
    "CREATE TABLE attempts ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, lease_token INTEGER NOT NULL,"
    " type TEXT NOT NULL, round INTEGER NOT NULL, state TEXT NOT NULL,"
    " received_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL DEFAULT 0,"
    " execution_ms INTEGER NOT NULL DEFAULT 0, acknowledged_ms INTEGER NOT NULL DEFAULT 0,"
    " input_hash BLOB NOT NULL, input_bytes INTEGER NOT NULL,"
    " output_hash BLOB, output_bytes INTEGER NOT NULL DEFAULT 0, result BLOB,"
    " reward_msat INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',"
    " UNIQUE (task_id, lease_token));"
    "CREATE INDEX attempts_unsent ON attempts (seq) WHERE state = 'finished';"
    "CREATE TABLE payments ("
    " task_id TEXT NOT NULL, purpose TEXT NOT NULL, round INTEGER NOT NULL,"
    " amount_msat INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, PRIMARY KEY (task_id, purpose));"
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "PRAGMA application_id = 1331121518; PRAGMA user_version = 1;";
_Static_assert(APPLICATION_ID == 1331121518, "the pragma above");

/* What proves a payment, and when it last moved. */
static const char version_2[] =
    "ALTER TABLE payments ADD COLUMN payment_hash BLOB;"
    "ALTER TABLE payments ADD COLUMN preimage BLOB;"
    "ALTER TABLE payments ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE payments ADD COLUMN updated_ms INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version = 2;";

static const char *const steps[] = {version_1, version_2}; /* [i] leads to version i + 1 */
_Static_assert(sizeof steps / sizeof steps[0] == OWM_TASK_LOG_VERSION, "one step per version");

/* ------------------------------------------------------------------------- statements */

/** prepare: lock, and compile; NULL (and unlocked) on failure. */
static sqlite3_stmt *prepare(owm_task_log *log, const char *sql)
{
    pthread_mutex_lock(&log->lock);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(log->db, sql, -1, &statement, NULL) == SQLITE_OK) return statement;
    owm_log(OWM_LOG_ERROR, "task_log error=\"%s\"", sqlite3_errmsg(log->db));
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

static void finish(owm_task_log *log, sqlite3_stmt *statement)
{
    sqlite3_finalize(statement);
    pthread_mutex_unlock(&log->lock);
}

/** run: execute a statement that returns no row. */
static owm_status run(owm_task_log *log, sqlite3_stmt *statement)
{
    owm_status status = OWM_OK;
    int code = sqlite3_step(statement);
    if (code == SQLITE_CONSTRAINT)
        status = OWM_E_EXISTS;
    else if (code != SQLITE_DONE) {
        owm_log(OWM_LOG_ERROR, "task_log error=\"%s\"", sqlite3_errmsg(log->db));
        status = OWM_E_IO;
    } else if (sqlite3_changes(log->db) == 0)
        status = OWM_E_NOTFOUND;
    finish(log, statement);
    return status;
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    sqlite3_bind_text(s, at, text, -1, SQLITE_TRANSIENT);
}

static void column_text(sqlite3_stmt *s, int at, char *out, size_t bytes)
{
    const unsigned char *text = sqlite3_column_text(s, at);
    snprintf(out, bytes, "%s", text ? (const char *)text : "");
}

static void column_hash(sqlite3_stmt *s, int at, uint8_t hash[32])
{
    if (sqlite3_column_bytes(s, at) == 32) memcpy(hash, sqlite3_column_blob(s, at), 32);
}

static int64_t query_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

/* ------------------------------------------------------------------------- open, close */

static owm_status check_version(sqlite3 *db, const char *path, struct owm_error *error)
{
    int64_t version = query_int(db, "PRAGMA user_version");
    int64_t tables = query_int(db, "SELECT count(*) FROM sqlite_master");
    if (tables == 0 && version == 0) return OWM_E_NOTFOUND;
    if (query_int(db, "PRAGMA application_id") != APPLICATION_ID)
        return owm_fail(error, OWM_E_PROTO,
                        "%s is not a task log of owm-node (or is damaged); move it away and start "
                        "again: earnings are kept by the coordinator too",
                        path);
    if (version > OWM_TASK_LOG_VERSION)
        return owm_fail(error, OWM_E_STATE,
                        "%s was written by a newer owm-node (version %lld, this one knows %d); "
                        "update owm-node",
                        path, (long long)version, OWM_TASK_LOG_VERSION);
    return OWM_OK;
}

static owm_status exec(sqlite3 *db, const char *sql, const char *path, struct owm_error *error)
{
    char *text = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &text) == SQLITE_OK) return OWM_OK;
    owm_status status = owm_fail(error, OWM_E_IO, "task log %s: %s", path, text ? text : "error");
    sqlite3_free(text);
    return status;
}

/** climb: the steps from the file's version to ours, in one transaction. */
static owm_status climb(sqlite3 *db, const char *path, struct owm_error *error)
{
    owm_status status = exec(db, "BEGIN IMMEDIATE", path, error);
    int64_t version = query_int(db, "PRAGMA user_version");
    for (; status == OWM_OK && version < OWM_TASK_LOG_VERSION; version++)
        status = exec(db, steps[version], path, error);
    if (status == OWM_OK) return exec(db, "COMMIT", path, error);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static owm_status set_up(sqlite3 *db, const char *path, struct owm_error *error)
{
    owm_status status = check_version(db, path, error);
    if (status != OWM_OK && status != OWM_E_NOTFOUND) return status;
    status = exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", path, error);
    return status == OWM_OK ? climb(db, path, error) : status;
}

static owm_status check_readable(sqlite3 *db, const char *path, struct owm_error *error)
{
    owm_status status = check_version(db, path, error);
    if (status == OWM_E_NOTFOUND)
        return owm_fail(error, status, "%s is empty: owm-node has not run yet", path);
    if (status == OWM_OK && query_int(db, "PRAGMA user_version") < OWM_TASK_LOG_VERSION)
        return owm_fail(error, OWM_E_STATE,
                        "%s was written by an older owm-node; `owm-node start` brings it up to "
                        "date",
                        path);
    return status;
}

static owm_status open_log(const char *path, int flags, owm_task_log **out, struct owm_error *error)
{
    owm_task_log *log = calloc(1, sizeof *log);
    if (log == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    pthread_mutex_init(&log->lock, NULL);
    owm_status status = OWM_OK;
    if (sqlite3_open_v2(path, &log->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        status = owm_fail(error, OWM_E_IO, "task log %s cannot be opened: %s", path,
                          sqlite3_errmsg(log->db));
    if (status == OWM_OK) sqlite3_busy_timeout(log->db, BUSY_TIMEOUT_MS);
    if (status == OWM_OK && flags & SQLITE_OPEN_READWRITE)
        status = set_up(log->db, path, error);
    else if (status == OWM_OK)
        status = check_readable(log->db, path, error);
    if (status == OWM_OK)
        *out = log;
    else
        owm_task_log_close(log);
    return status;
}

owm_status owm_task_log_join(const char *path, owm_task_log **out, struct owm_error *error)
{
    return open_log(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, out, error);
}

owm_status owm_task_log_open(const char *path, owm_task_log **out, struct owm_error *error)
{
    owm_task_log *log = NULL;
    owm_status status = owm_task_log_join(path, &log, error);
    if (status == OWM_OK)
        status = exec(log->db,
                      "UPDATE attempts SET state = 'abandoned', reason = 'owm-node stopped while "
                      "it ran' WHERE state = 'running'",
                      path, error);
    if (status == OWM_OK)
        *out = log;
    else
        owm_task_log_close(log);
    return status;
}

owm_status owm_task_log_peek(const char *path, owm_task_log **out, struct owm_error *error)
{
    return open_log(path, SQLITE_OPEN_READONLY, out, error);
}

void owm_task_log_close(owm_task_log *log)
{
    if (log == NULL) return;
    sqlite3_close(log->db);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

/* ---------------------------------------------------------------------------- attempts */

owm_status owm_task_log_begin(owm_task_log *log, const struct owm_task_row *row)
{
    sqlite3_stmt *s =
        prepare(log, "INSERT INTO attempts (task_id, lease_token, type, round, state, received_ms,"
                     " input_hash, input_bytes) VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?7)");
    if (s == NULL) return OWM_E_IO;
    bind_text(s, 1, row->task_id);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)row->lease_token);
    bind_text(s, 3, row->type);
    sqlite3_bind_int64(s, 4, row->round);
    sqlite3_bind_int64(s, 5, row->received_ms);
    sqlite3_bind_blob(s, 6, row->input_hash, 32, SQLITE_TRANSIENT);
    sqlite3_bind_int64(s, 7, row->input_bytes);
    return run(log, s);
}

owm_status owm_task_log_finish(owm_task_log *log, const struct owm_task_row *row,
                               const uint8_t *result, size_t result_bytes)
{
    sqlite3_stmt *s =
        prepare(log, "UPDATE attempts SET state = 'finished', finished_ms = ?3, execution_ms = ?4,"
                     " output_hash = ?5, output_bytes = ?6, result = ?7, reason = ?8"
                     " WHERE task_id = ?1 AND lease_token = ?2 AND state = 'running'");
    if (s == NULL) return OWM_E_IO;
    bind_text(s, 1, row->task_id);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)row->lease_token);
    sqlite3_bind_int64(s, 3, row->finished_ms);
    sqlite3_bind_int64(s, 4, row->execution_ms);
    sqlite3_bind_blob(s, 5, row->output_hash, 32, SQLITE_TRANSIENT);
    sqlite3_bind_int64(s, 6, row->output_bytes);
    sqlite3_bind_blob64(s, 7, result, result_bytes, SQLITE_TRANSIENT);
    bind_text(s, 8, row->reason);
    return run(log, s);
}

static void prune(owm_task_log *log)
{
    sqlite3_stmt *s = prepare(log, "DELETE FROM attempts WHERE state <> 'finished' AND state <> "
                                   "'running' AND seq <= (SELECT max(seq) FROM attempts) - ?1");
    if (s == NULL) return;
    sqlite3_bind_int64(s, 1, OWM_TASK_LOG_ROWS_KEPT);
    owm_status status = run(log, s); /* Nothing to delete is the usual case. */
    (void)status;
}

owm_status owm_task_log_acknowledge(owm_task_log *log, const char *task_id, uint64_t lease_token,
                                    bool accepted, const char *reason, int64_t reward_msat)
{
    sqlite3_stmt *s =
        prepare(log, "UPDATE attempts SET state = ?3, acknowledged_ms = ?4, reward_msat = ?5,"
                     " reason = CASE WHEN ?6 = '' THEN reason ELSE ?6 END, result = NULL"
                     " WHERE task_id = ?1 AND lease_token = ?2 AND state = 'finished'");
    if (s == NULL) return OWM_E_IO;
    bind_text(s, 1, task_id);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)lease_token);
    bind_text(s, 3, accepted ? "accepted" : "refused");
    sqlite3_bind_int64(s, 4, owm_clock_wall_ms());
    sqlite3_bind_int64(s, 5, reward_msat);
    bind_text(s, 6, reason);
    owm_status status = run(log, s);
    if (status == OWM_OK) prune(log);
    return status;
}

#define ROW_COLUMNS                                                                                \
    " a.task_id, a.lease_token, a.type, a.state, a.round, a.received_ms, a.finished_ms,"           \
    " a.execution_ms, a.acknowledged_ms, a.input_hash, a.output_hash, a.input_bytes,"              \
    " a.output_bytes, a.reward_msat, a.reason, "

static void read_row(sqlite3_stmt *s, struct owm_task_row *row)
{
    memset(row, 0, sizeof *row);
    column_text(s, 0, row->task_id, sizeof row->task_id);
    row->lease_token = (uint64_t)sqlite3_column_int64(s, 1);
    column_text(s, 2, row->type, sizeof row->type);
    column_text(s, 3, row->state, sizeof row->state);
    row->round = (uint32_t)sqlite3_column_int64(s, 4);
    row->received_ms = sqlite3_column_int64(s, 5);
    row->finished_ms = sqlite3_column_int64(s, 6);
    row->execution_ms = sqlite3_column_int64(s, 7);
    row->acknowledged_ms = sqlite3_column_int64(s, 8);
    column_hash(s, 9, row->input_hash);
    column_hash(s, 10, row->output_hash);
    row->input_bytes = sqlite3_column_int64(s, 11);
    row->output_bytes = sqlite3_column_int64(s, 12);
    row->reward_msat = sqlite3_column_int64(s, 13);
    column_text(s, 14, row->reason, sizeof row->reason);
}

owm_status owm_task_log_unsent(owm_task_log *log, int64_t *cursor, struct owm_task_row *row,
                               uint8_t **result, size_t *result_bytes)
{
    sqlite3_stmt *s = prepare(log, "SELECT" ROW_COLUMNS "a.result, a.seq FROM attempts a"
                                   " WHERE a.state = 'finished' AND a.seq > ?1"
                                   " ORDER BY a.seq LIMIT 1");
    if (s == NULL) return OWM_E_IO;
    sqlite3_bind_int64(s, 1, *cursor);
    owm_status status = OWM_E_NOTFOUND;
    if (sqlite3_step(s) == SQLITE_ROW) {
        read_row(s, row);
        *result_bytes = (size_t)sqlite3_column_bytes(s, 15);
        *cursor = sqlite3_column_int64(s, 16);
        *result = malloc(*result_bytes ? *result_bytes : 1);
        status = *result ? OWM_OK : OWM_E_NOMEM;
        if (*result && *result_bytes) memcpy(*result, sqlite3_column_blob(s, 15), *result_bytes);
    }
    finish(log, s);
    return status;
}

owm_status owm_task_log_recent(owm_task_log *log, struct owm_task_row *rows, size_t rows_max,
                               size_t *count)
{
    *count = 0;
    sqlite3_stmt *s =
        prepare(log, "SELECT" ROW_COLUMNS "coalesce(p.state, ''), coalesce(p.amount_msat, 0)"
                     " FROM attempts a LEFT JOIN payments p ON p.task_id = a.task_id"
                     " AND p.purpose = a.type AND a.state = 'accepted'"
                     " ORDER BY a.seq DESC LIMIT ?1");
    if (s == NULL) return OWM_E_IO;
    sqlite3_bind_int64(s, 1, (sqlite3_int64)rows_max);
    while (*count < rows_max && sqlite3_step(s) == SQLITE_ROW) {
        struct owm_task_row *row = &rows[(*count)++];
        read_row(s, row);
        column_text(s, 15, row->payment_state, sizeof row->payment_state);
        row->payment_msat = sqlite3_column_int64(s, 16);
    }
    finish(log, s);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- payments */

static void bind_hash(sqlite3_stmt *s, int at, const uint8_t *hash)
{
    if (hash)
        sqlite3_bind_blob(s, at, hash, 32, SQLITE_TRANSIENT);
    else
        sqlite3_bind_null(s, at);
}

owm_status owm_task_log_earning(owm_task_log *log, const struct owm_task_earning *e)
{
    sqlite3_stmt *s =
        prepare(log, "INSERT INTO payments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
                     " ?12) ON CONFLICT (task_id, purpose) DO UPDATE SET amount_msat = ?4,"
                     " state = ?5, reason = ?6, seen_ms = ?8, payment_hash = ?9, preimage = ?10,"
                     " attempts = ?11, updated_ms = ?12");
    if (s == NULL) return OWM_E_IO;
    bind_text(s, 1, e->task_id);
    bind_text(s, 2, e->purpose);
    sqlite3_bind_int64(s, 3, e->round);
    sqlite3_bind_int64(s, 4, e->amount_msat);
    bind_text(s, 5, e->state);
    bind_text(s, 6, e->reason);
    sqlite3_bind_int64(s, 7, e->created_ms);
    sqlite3_bind_int64(s, 8, owm_clock_wall_ms());
    bind_hash(s, 9, e->payment_hash);
    bind_hash(s, 10, e->preimage);
    sqlite3_bind_int64(s, 11, e->attempts);
    sqlite3_bind_int64(s, 12, e->updated_ms);
    return run(log, s);
}

static void read_payment(sqlite3_stmt *s, struct owm_task_payment *p)
{
    memset(p, 0, sizeof *p);
    column_text(s, 0, p->task_id, sizeof p->task_id);
    column_text(s, 1, p->purpose, sizeof p->purpose);
    p->round = (uint32_t)sqlite3_column_int64(s, 2);
    p->amount_msat = sqlite3_column_int64(s, 3);
    column_text(s, 4, p->state, sizeof p->state);
    column_text(s, 5, p->reason, sizeof p->reason);
    p->created_ms = sqlite3_column_int64(s, 6);
    p->has_hash = sqlite3_column_bytes(s, 7) == 32;
    column_hash(s, 7, p->payment_hash);
    p->has_preimage = sqlite3_column_bytes(s, 8) == 32;
    column_hash(s, 8, p->preimage);
    p->attempts = (uint32_t)sqlite3_column_int64(s, 9);
    p->updated_ms = sqlite3_column_int64(s, 10);
}

owm_status owm_task_log_payments(owm_task_log *log, struct owm_task_payment *rows, size_t skip,
                                 size_t rows_max, size_t *count)
{
    *count = 0;
    sqlite3_stmt *s =
        prepare(log, "SELECT task_id, purpose, round, amount_msat, state, reason, created_ms,"
                     " payment_hash, preimage, attempts, updated_ms FROM payments"
                     " ORDER BY created_ms DESC, task_id, purpose LIMIT ?1 OFFSET ?2");
    if (s == NULL) return OWM_E_IO;
    sqlite3_bind_int64(s, 1, (sqlite3_int64)rows_max);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)skip);
    while (*count < rows_max && sqlite3_step(s) == SQLITE_ROW) read_payment(s, &rows[(*count)++]);
    finish(log, s);
    return OWM_OK;
}

owm_status owm_task_log_totals(owm_task_log *log, struct owm_task_totals *t)
{
    memset(t, 0, sizeof *t);
    sqlite3_stmt *s = prepare(
        log,
        "SELECT count(*), total(state = 'accepted'), total(state = 'refused'),"
        " total(state = 'finished'),"
        " (SELECT total(amount_msat) FROM payments WHERE state = 'owed'),"
        " (SELECT total(amount_msat) FROM payments WHERE state = 'in_flight'),"
        " (SELECT total(amount_msat) FROM payments WHERE state = 'settled'),"
        " (SELECT total(amount_msat) FROM payments WHERE state = 'failed'),"
        " (SELECT total(amount_msat) FROM payments WHERE state = 'cancelled'),"
        " (SELECT coalesce(min(created_ms), 0) FROM payments WHERE state IN ('owed', 'in_flight')),"
        " coalesce(max(CASE WHEN state = 'accepted' THEN acknowledged_ms END), 0) FROM attempts");
    if (s == NULL) return OWM_E_IO;
    owm_status status = sqlite3_step(s) == SQLITE_ROW ? OWM_OK : OWM_E_IO;
    if (status == OWM_OK) {
        int64_t *const out[] = {&t->tasks,         &t->accepted,        &t->refused,
                                &t->unsent,        &t->owed_msat,       &t->in_flight_msat,
                                &t->settled_msat,  &t->failed_msat,     &t->cancelled_msat,
                                &t->owed_since_ms, &t->last_accepted_ms};
        for (int i = 0; i < (int)(sizeof out / sizeof out[0]); i++)
            *out[i] = sqlite3_column_int64(s, i);
    }
    finish(log, s);
    return status;
}

/* ---------------------------------------------------------------------------- settings */

owm_status owm_task_log_set(owm_task_log *log, const char *key, const char *value)
{
    sqlite3_stmt *s = prepare(log, "INSERT INTO settings VALUES (?1, ?2) ON CONFLICT (key) DO "
                                   "UPDATE SET value = ?2");
    if (s == NULL) return OWM_E_IO;
    bind_text(s, 1, key);
    bind_text(s, 2, value);
    return run(log, s);
}

owm_status owm_task_log_get(owm_task_log *log, const char *key, char *value, size_t capacity)
{
    sqlite3_stmt *s = prepare(log, "SELECT value FROM settings WHERE key = ?1");
    if (s == NULL) return OWM_E_IO;
    bind_text(s, 1, key);
    int step = sqlite3_step(s);
    owm_status status = step == SQLITE_DONE ? OWM_E_NOTFOUND : OWM_E_IO;
    if (step == SQLITE_ROW) {
        status = (size_t)sqlite3_column_bytes(s, 0) < capacity ? OWM_OK : OWM_E_LIMIT;
        if (status == OWM_OK) column_text(s, 0, value, capacity);
    }
    finish(log, s);
    return status;
}
