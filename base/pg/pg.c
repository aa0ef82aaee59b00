/* pg.c: libpq behind pg.h: connect, classify errors, execute, pipeline. */
#include "pg.h"

#include <errno.h>
#include <libpq-fe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uuid.h"

#define PREPARED_LISTS_MAX 4
#define COPY_SLICE_BYTES   (1 << 18)

struct owm_pg {
    PGconn *conn;
    char *url; /* may hold a password: wiped on close, never printed */
    const struct owm_pg_statement *lists[PREPARED_LISTS_MAX];
    size_t list_counts[PREPARED_LISTS_MAX];
    size_t list_count;
    bool pipeline;
    size_t queued;
};

struct owm_pg_rows {
    PGresult *result;
};

/* ---------------------------------------------------------------------------- parameters */

void owm_pg_begin_args(struct owm_pg_args *args)
{
    args->count = 0;
}

static char *next_arg(struct owm_pg_args *args, const char *value, size_t length, int format)
{
    OWM_ASSERT(args->count < OWM_PG_ARGS_MAX);
    int at = args->count++;
    args->value[at] = value;
    args->length[at] = (int)length;
    args->format[at] = format;
    return args->scratch[at];
}

static void scratch_arg(struct owm_pg_args *args)
{
    args->value[args->count - 1] = args->scratch[args->count - 1];
}

void owm_pg_i64(struct owm_pg_args *args, int64_t value)
{
    char *scratch = next_arg(args, NULL, 0, 0);
    snprintf(scratch, sizeof(args->scratch[0]), "%lld", (long long)value);
    scratch_arg(args);
}

void owm_pg_f64(struct owm_pg_args *args, double value)
{
    char *scratch = next_arg(args, NULL, 0, 0);
    if (!isfinite(value)) return;
    snprintf(scratch, sizeof(args->scratch[0]), "%.17g", value);
    scratch_arg(args);
}

void owm_pg_bool(struct owm_pg_args *args, bool value)
{
    next_arg(args, value ? "t" : "f", 1, 0);
}

void owm_pg_text(struct owm_pg_args *args, const char *value)
{
    next_arg(args, value, 0, 0);
}

void owm_pg_bytes(struct owm_pg_args *args, const void *value, size_t bytes)
{
    next_arg(args, value, bytes, 1);
}

void owm_pg_uuid(struct owm_pg_args *args, const uint8_t value[16])
{
    static const uint8_t none[16];
    char *scratch = next_arg(args, NULL, 0, 0);
    if (!value || memcmp(value, none, 16) == 0) return;
    owm_uuid_format(value, scratch);
    scratch_arg(args);
}

void owm_pg_hex(struct owm_pg_args *args, char *storage, const uint8_t *value, size_t bytes)
{
    static const uint8_t none[64];
    if (!value || (bytes <= sizeof(none) && memcmp(value, none, bytes) == 0)) {
        next_arg(args, NULL, 0, 0);
        return;
    }
    owm_hex_encode(value, bytes, storage);
    next_arg(args, storage, 0, 0);
}

/* ---------------------------------------------------------------------------- errors */

static bool class_is(const char *state, const char *class)
{
    return strncmp(state, class, strlen(class)) == 0;
}

static owm_status classify(const struct owm_pg *pg, const char *state)
{
    if (PQstatus(pg->conn) != CONNECTION_OK || !state) return OWM_E_NET;
    if (class_is(state, "08") || class_is(state, "57P0")) return OWM_E_NET;
    if (class_is(state, "40")) return OWM_E_STATE;
    if (class_is(state, "53")) return OWM_E_LIMIT;
    if (class_is(state, "57014")) return OWM_E_TIMEOUT;
    if (class_is(state, "23505")) return OWM_E_EXISTS;
    return OWM_E_DB;
}

bool owm_pg_transient(owm_status status)
{
    return status == OWM_E_NET || status == OWM_E_STATE || status == OWM_E_LIMIT
           || status == OWM_E_TIMEOUT;
}

/* First line of a server message: the rest may quote row values. */
static owm_status fail_result(const struct owm_pg *pg, const char *what, const PGresult *result,
                              struct owm_error *error)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!text) text = PQerrorMessage(pg->conn);
    size_t length = strcspn(text, "\n");
    return owm_fail(error, classify(pg, state), "database: %s: %.*s (SQLSTATE %s)", what,
                    (int)(length > 300 ? 300 : length), text, state ? state : "none");
}

static bool succeeded(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

/* ---------------------------------------------------------------------------- connection */

/* libpq's own message for a malformed url quotes it, password and all; ours does not. */
static owm_status check_url(const char *url, struct owm_error *error)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);
    if (message) PQfreemem(message);
    if (!options)
        return owm_fail(error, OWM_E_CONFIG,
                        "database.url (or DATABASE_URL) is not a PostgreSQL address; write it as "
                        "postgresql://user@host:port/name or \"host=/run/folder dbname=name\"");
    PQconninfoFree(options);
    return OWM_OK;
}

static owm_status connect_failed(PGconn *conn, struct owm_error *error)
{
    const char *text = PQerrorMessage(conn);
    bool refused = strstr(text, "password") || strstr(text, "authentication")
                   || strstr(text, "does not exist") || strstr(text, "not permitted");
    /* "… socket "…/.s.PGSQL.5432" failed: No such file" is a server that is not up. */
    if (strstr(text, "No such file") || strstr(text, "refused") || strstr(text, "starting up"))
        refused = false;
    const char *host = PQhost(conn), *port = PQport(conn), *name = PQdb(conn), *user = PQuser(conn);
    const char *colon = strrchr(text, ':');
    const char *cause = colon ? colon + 1 : text;
    while (*cause == ' ' || *cause == '\n') cause++;
    return owm_fail(error, refused ? OWM_E_PERM : OWM_E_NET,
                    "database: no connection to '%s' as '%s' at %s port %s: %.*s; start PostgreSQL "
                    "there or correct database.url",
                    name ? name : "", user ? user : "", host ? host : "", port ? port : "",
                    (int)strcspn(cause, "\n"), cause);
}

static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static owm_status connect_now(struct owm_pg *pg, struct owm_error *error)
{
    char timeout[16];
    snprintf(timeout, sizeof(timeout), "%d", OWM_PG_CONNECT_S);
    const char *const keys[] = {"connect_timeout", "client_encoding", "application_name",
                                "keepalives_idle", "dbname",          NULL};
    const char *const values[] = {timeout, "UTF8",  program_invocation_short_name,
                                  "10",    pg->url, NULL};
    pg->conn = PQconnectdbParams(keys, values, 1);
    pg->pipeline = false;
    if (!pg->conn) return OWM_E_NOMEM;
    if (PQstatus(pg->conn) != CONNECTION_OK) return connect_failed(pg->conn, error);
    PQsetNoticeReceiver(pg->conn, drop_notice, NULL);
    char settings[160];
    snprintf(settings, sizeof(settings),
             "SET statement_timeout = '%ds'; SET timezone = 'UTC'; "
             "SET standard_conforming_strings = on",
             OWM_PG_STATEMENT_S);
    return owm_pg_exec(pg, settings, error);
}

owm_status owm_pg_open(const char *url, struct owm_pg **out, struct owm_error *error)
{
    owm_status status = check_url(url, error);
    if (status != OWM_OK) return status;
    struct owm_pg *pg = calloc(1, sizeof(*pg));
    if (!pg) return OWM_E_NOMEM;
    pg->url = strdup(url);
    status = pg->url ? connect_now(pg, error) : OWM_E_NOMEM;
    if (status != OWM_OK) {
        owm_pg_close(pg);
        return status;
    }
    *out = pg;
    return OWM_OK;
}

void owm_pg_close(struct owm_pg *pg)
{
    if (!pg) return;
    if (pg->conn) PQfinish(pg->conn);
    if (pg->url) explicit_bzero(pg->url, strlen(pg->url));
    free(pg->url);
    free(pg);
}

static owm_status prepare_list(struct owm_pg *pg, const struct owm_pg_statement *list, size_t count,
                               struct owm_error *error)
{
    for (size_t i = 0; i < count; i++) {
        PGresult *result = PQprepare(pg->conn, list[i].name, list[i].sql, 0, NULL);
        owm_status status =
            succeeded(result) ? OWM_OK : fail_result(pg, list[i].name, result, error);
        PQclear(result);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

owm_status owm_pg_reopen(struct owm_pg *pg, struct owm_error *error)
{
    if (pg->conn) PQfinish(pg->conn);
    pg->conn = NULL;
    owm_status status = connect_now(pg, error);
    for (size_t i = 0; status == OWM_OK && i < pg->list_count; i++)
        status = prepare_list(pg, pg->lists[i], pg->list_counts[i], error);
    return status;
}

bool owm_pg_alive(const struct owm_pg *pg)
{
    return pg->conn && PQstatus(pg->conn) == CONNECTION_OK;
}

owm_status owm_pg_prepare(struct owm_pg *pg, const struct owm_pg_statement *statements,
                          size_t count, struct owm_error *error)
{
    OWM_ASSERT(pg->list_count < PREPARED_LISTS_MAX);
    owm_status status = prepare_list(pg, statements, count, error);
    if (status != OWM_OK) return status;
    pg->lists[pg->list_count] = statements;
    pg->list_counts[pg->list_count++] = count;
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- execution */

static owm_status take(struct owm_pg *pg, const char *what, PGresult *result,
                       struct owm_pg_rows **rows, struct owm_error *error)
{
    if (!succeeded(result)) {
        owm_status status = fail_result(pg, what, result, error);
        PQclear(result);
        return status;
    }
    if (!rows) {
        PQclear(result);
        return OWM_OK;
    }
    *rows = malloc(sizeof(**rows));
    if (!*rows) {
        PQclear(result);
        return OWM_E_NOMEM;
    }
    (*rows)->result = result;
    return OWM_OK;
}

owm_status owm_pg_exec(struct owm_pg *pg, const char *sql, struct owm_error *error)
{
    return take(pg, "command", PQexec(pg->conn, sql), NULL, error);
}

void owm_pg_rollback(struct owm_pg *pg)
{
    if (owm_pg_alive(pg) && PQtransactionStatus(pg->conn) != PQTRANS_IDLE)
        PQclear(PQexec(pg->conn, "ROLLBACK"));
}

owm_status owm_pg_query(struct owm_pg *pg, const char *sql, const struct owm_pg_args *args,
                        struct owm_pg_rows **rows, struct owm_error *error)
{
    PGresult *result = args ? PQexecParams(pg->conn, sql, args->count, NULL, args->value,
                                           args->length, args->format, 0)
                            : PQexecParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 0);
    return take(pg, "query", result, rows, error);
}

owm_status owm_pg_run(struct owm_pg *pg, const struct owm_pg_statement *statement,
                      const struct owm_pg_args *args, struct owm_pg_rows **rows,
                      struct owm_error *error)
{
    PGresult *result =
        PQexecPrepared(pg->conn, statement->name, args ? args->count : 0, args ? args->value : NULL,
                       args ? args->length : NULL, args ? args->format : NULL, 0);
    return take(pg, statement->name, result, rows, error);
}

/* ---------------------------------------------------------------------------- copy */

/* Everything up to the end of a COPY; the first failure decides. */
static owm_status finish_copy(struct owm_pg *pg, struct owm_error *error)
{
    owm_status first = OWM_OK;
    PGresult *result;
    while ((result = PQgetResult(pg->conn))) {
        if (!succeeded(result) && first == OWM_OK) first = fail_result(pg, "copy", result, error);
        bool stuck = PQresultStatus(result) == PGRES_COPY_IN;
        PQclear(result);
        if (stuck) break; /* The connection is gone: libpq would say so for ever. */
    }
    return first;
}

owm_status owm_pg_copy(struct owm_pg *pg, const char *sql, const void *rows, size_t bytes,
                       struct owm_error *error)
{
    PGresult *result = PQexec(pg->conn, sql);
    owm_status status = OWM_OK;
    if (PQresultStatus(result) != PGRES_COPY_IN) status = fail_result(pg, "copy", result, error);
    PQclear(result);
    const char *at = rows;
    while (status == OWM_OK && bytes > 0) {
        int slice = bytes > COPY_SLICE_BYTES ? COPY_SLICE_BYTES : (int)bytes;
        if (PQputCopyData(pg->conn, at, slice) != 1) status = fail_result(pg, "copy", NULL, error);
        at += slice;
        bytes -= (size_t)slice;
    }
    if (status != OWM_OK) return status;
    if (PQputCopyEnd(pg->conn, NULL) != 1) return fail_result(pg, "copy", NULL, error);
    return finish_copy(pg, error);
}

/* ---------------------------------------------------------------------------- notifications */

int owm_pg_fd(const struct owm_pg *pg)
{
    return owm_pg_alive(pg) ? PQsocket(pg->conn) : -1;
}

bool owm_pg_notified(struct owm_pg *pg)
{
    bool any = false;
    PGnotify *notify;
    if (!pg->conn || !PQconsumeInput(pg->conn)) return false;
    while ((notify = PQnotifies(pg->conn))) {
        any = true;
        PQfreemem(notify);
    }
    return any;
}

/* ---------------------------------------------------------------------------- pipeline */

static owm_status lost(const struct owm_pg *pg, const char *what, struct owm_error *error)
{
    return fail_result(pg, what, NULL, error);
}

/* Read everything up to the sync point; the first failure decides, what follows it was skipped by
 * the server. */
static owm_status drain(struct owm_pg *pg, struct owm_error *error)
{
    owm_status first = OWM_OK;
    unsigned empty = 0;
    for (;;) {
        PGresult *result = PQgetResult(pg->conn);
        if (!result) {
            if (PQstatus(pg->conn) != CONNECTION_OK || ++empty > 1) break;
            continue;
        }
        empty = 0;
        ExecStatusType kind = PQresultStatus(result);
        if (kind != PGRES_PIPELINE_SYNC && kind != PGRES_PIPELINE_ABORTED && !succeeded(result)
            && first == OWM_OK)
            first = fail_result(pg, "transaction", result, error);
        PQclear(result);
        if (kind == PGRES_PIPELINE_SYNC) return first;
    }
    return first != OWM_OK ? first : lost(pg, "transaction", error);
}

owm_status owm_pg_pipeline_begin(struct owm_pg *pg, struct owm_error *error)
{
    OWM_ASSERT(!pg->pipeline);
    if (!owm_pg_alive(pg) || !PQenterPipelineMode(pg->conn)) return lost(pg, "begin", error);
    pg->pipeline = true;
    pg->queued = 0;
    if (!PQsendQueryParams(pg->conn, "BEGIN", 0, NULL, NULL, NULL, NULL, 0))
        return lost(pg, "begin", error);
    return OWM_OK;
}

owm_status owm_pg_queue(struct owm_pg *pg, const struct owm_pg_statement *statement,
                        const struct owm_pg_args *args, struct owm_error *error)
{
    OWM_ASSERT(pg->pipeline);
    if (++pg->queued > OWM_PG_QUEUED_MAX)
        return owm_fail(error, OWM_E_LIMIT, "database: more than %d statements in a transaction",
                        OWM_PG_QUEUED_MAX);
    if (!PQsendQueryPrepared(pg->conn, statement->name, args->count, args->value, args->length,
                             args->format, 0))
        return lost(pg, statement->name, error);
    return OWM_OK;
}

owm_status owm_pg_pipeline_commit(struct owm_pg *pg, struct owm_error *error)
{
    OWM_ASSERT(pg->pipeline);
    if (!PQsendQueryParams(pg->conn, "COMMIT", 0, NULL, NULL, NULL, NULL, 0)
        || !PQpipelineSync(pg->conn)) {
        owm_status status = lost(pg, "commit", error);
        owm_pg_pipeline_rollback(pg);
        return status;
    }
    owm_status status = drain(pg, error);
    owm_pg_pipeline_rollback(pg);
    return status;
}

/* Leaves pipeline mode; rolls back if the server is still inside the transaction. */
void owm_pg_pipeline_rollback(struct owm_pg *pg)
{
    if (!pg->pipeline) return;
    pg->pipeline = false;
    if (!owm_pg_alive(pg)) return;
    if (!PQexitPipelineMode(pg->conn)) {
        if (PQpipelineSync(pg->conn)) (void)drain(pg, NULL);
        (void)PQexitPipelineMode(pg->conn);
    }
    owm_pg_rollback(pg);
}

/* ---------------------------------------------------------------------------- results */

size_t owm_pg_rows_count(const struct owm_pg_rows *rows)
{
    return (size_t)PQntuples(rows->result);
}

const char *owm_pg_get_text(const struct owm_pg_rows *rows, size_t row, int column)
{
    OWM_ASSERT(row < owm_pg_rows_count(rows) && column < PQnfields(rows->result));
    return PQgetvalue(rows->result, (int)row, column);
}

bool owm_pg_is_null(const struct owm_pg_rows *rows, size_t row, int column)
{
    return PQgetisnull(rows->result, (int)row, column) != 0;
}

int64_t owm_pg_get_i64(const struct owm_pg_rows *rows, size_t row, int column)
{
    return strtoll(owm_pg_get_text(rows, row, column), NULL, 10);
}

double owm_pg_get_f64(const struct owm_pg_rows *rows, size_t row, int column)
{
    return strtod(owm_pg_get_text(rows, row, column), NULL);
}

bool owm_pg_get_bool(const struct owm_pg_rows *rows, size_t row, int column)
{
    return owm_pg_get_text(rows, row, column)[0] == 't';
}

void owm_pg_get_uuid(const struct owm_pg_rows *rows, size_t row, int column, uint8_t uuid[16])
{
    if (owm_uuid_parse(owm_pg_get_text(rows, row, column), uuid) != OWM_OK) memset(uuid, 0, 16);
}

void owm_pg_get_hash(const struct owm_pg_rows *rows, size_t row, int column, uint8_t *out,
                     size_t bytes)
{
    const char *text = owm_pg_get_text(rows, row, column);
    if (text[0] == '\\' && text[1] == 'x') text += 2;
    if (owm_hex_decode(text, out, bytes) != OWM_OK) memset(out, 0, bytes);
}

owm_status owm_pg_get_bytes(const struct owm_pg_rows *rows, size_t row, int column, uint8_t **out,
                            size_t *bytes)
{
    const char *text = owm_pg_get_text(rows, row, column);
    *out = NULL;
    *bytes = 0;
    if (text[0] != '\\' || text[1] != 'x' || !text[2]) return OWM_OK;
    size_t length = strlen(text + 2) / 2;
    uint8_t *data = malloc(length);
    if (!data) return OWM_E_NOMEM;
    if (owm_hex_decode(text + 2, data, length) != OWM_OK) {
        free(data);
        return OWM_OK;
    }
    *out = data;
    *bytes = length;
    return OWM_OK;
}

void owm_pg_rows_free(struct owm_pg_rows *rows)
{
    if (!rows) return;
    PQclear(rows->result);
    free(rows);
}
