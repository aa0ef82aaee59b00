/* pg.h: PostgreSQL as our programs use it: one connection, prepared statements, pipelines.
 *
 * Only this folder includes libpq. Every value travels as a parameter (SRS-SEC-06); SQL text is
 * always a literal of the program. No password reaches an error text (SRS-SEC-07).
 * Thread: one connection, one thread at a time.
 */
#ifndef OWM_BASE_PG_H
#define OWM_BASE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_PG_ARGS_MAX   40
#define OWM_PG_QUEUED_MAX 65536 /* statements in one pipeline */
#define OWM_PG_CONNECT_S  5
#define OWM_PG_STATEMENT_S                                                                         \
    30 /* statement_timeout: a lock that never comes is an error, not a hang */

/* A time column as milliseconds since 1970; 0 where it is NULL. */
#define OWM_PG_MS(column) "coalesce((extract(epoch FROM " column ") * 1000)::bigint, 0)"

struct owm_pg;
struct owm_pg_rows; /* a result */

/** owm_pg_statement: one prepared statement; both texts are literals. */
struct owm_pg_statement {
    const char *name;
    const char *sql;
};

/** owm_pg_args: parameters of one execution, in order $1, $2 … Text and bytes are borrowed until
 *  the execution is queued; numbers are copied. */
struct owm_pg_args {
    int count;
    const char *value[OWM_PG_ARGS_MAX];
    int length[OWM_PG_ARGS_MAX];
    int format[OWM_PG_ARGS_MAX];
    char scratch[OWM_PG_ARGS_MAX][40];
};

void owm_pg_begin_args(struct owm_pg_args *args);
void owm_pg_i64(struct owm_pg_args *args, int64_t value);
void owm_pg_f64(struct owm_pg_args *args, double value); /* not finite: NULL */
void owm_pg_bool(struct owm_pg_args *args, bool value);
void owm_pg_text(struct owm_pg_args *args, const char *value);                /* NULL: SQL NULL */
void owm_pg_bytes(struct owm_pg_args *args, const void *value, size_t bytes); /* NULL: SQL NULL */
void owm_pg_uuid(struct owm_pg_args *args, const uint8_t value[16]); /* NULL or all zero: NULL */
void owm_pg_hex(struct owm_pg_args *args, char *storage, const uint8_t *value, size_t bytes);

/** owm_pg_open: connect.
 *
 *  url     "postgresql://…" or "host=… dbname=…"; libpq's defaults fill what is missing.
 *  Returns: OWM_OK; OWM_E_CONFIG malformed url; OWM_E_NET no server there, or it is starting or
 *  stopping (try again); OWM_E_PERM password, role or database refused; OWM_E_NOMEM. The sentence
 *  names host, port, database and user.
 */
OWM_MUST_USE owm_status owm_pg_open(const char *url, struct owm_pg **pg, struct owm_error *error);
void owm_pg_close(struct owm_pg *pg); /* NULL is allowed */

/** owm_pg_reopen: connect again to the same place; prepares again what owm_pg_prepare prepared.
 *  A transaction and advisory locks of the old session are gone. Returns: as owm_pg_open. */
OWM_MUST_USE owm_status owm_pg_reopen(struct owm_pg *pg, struct owm_error *error);

/** owm_pg_alive: false once the connection is known to be lost. */
bool owm_pg_alive(const struct owm_pg *pg);

/** owm_pg_transient: whether a status of this file means "the same again, after owm_pg_reopen if
 *  the connection is gone, may work": lost connection, server restart, deadlock, out of space. */
bool owm_pg_transient(owm_status status);

/** owm_pg_prepare: statements [count], kept for reopen; the array must outlive the connection.
 *  Returns: OWM_OK; OWM_E_DB with statement and cause; OWM_E_NET. */
OWM_MUST_USE owm_status owm_pg_prepare(struct owm_pg *pg, const struct owm_pg_statement *statements,
                                       size_t count, struct owm_error *error);

/** owm_pg_exec: SQL text without parameters, several statements allowed; results are dropped.
 *
 *  Returns (all executions): OWM_OK; OWM_E_NET connection lost or server stopping; OWM_E_STATE
 *  serialisation failure or deadlock; OWM_E_LIMIT disk, memory or connections used up; OWM_E_EXISTS
 *  unique violation; OWM_E_DB everything else. The sentence has SQLSTATE and the server's words.
 */
OWM_MUST_USE owm_status owm_pg_exec(struct owm_pg *pg, const char *sql, struct owm_error *error);

/** owm_pg_rollback: leave a transaction that failed; nothing happens outside of one. */
void owm_pg_rollback(struct owm_pg *pg);

/** owm_pg_query: one SQL text with parameters. rows  written; owm_pg_rows_free. NULL: dropped. */
OWM_MUST_USE owm_status owm_pg_query(struct owm_pg *pg, const char *sql,
                                     const struct owm_pg_args *args, struct owm_pg_rows **rows,
                                     struct owm_error *error);

/** owm_pg_run: as owm_pg_query for a prepared statement. */
OWM_MUST_USE owm_status owm_pg_run(struct owm_pg *pg, const struct owm_pg_statement *statement,
                                   const struct owm_pg_args *args, struct owm_pg_rows **rows,
                                   struct owm_error *error);

/** owm_pg_copy: rows into a table, "COPY t (…) FROM STDIN [(FORMAT binary)]", all from memory.
 *  Returns: as owm_pg_exec; no row of a failed COPY stays. */
OWM_MUST_USE owm_status owm_pg_copy(struct owm_pg *pg, const char *sql, const void *rows,
                                    size_t bytes, struct owm_error *error);

/** Notifications of a LISTEN. _fd: the socket, readable when one has come; -1: the connection is
 *  lost. _notified: takes all that have come, on any channel; true if there was one. */
int owm_pg_fd(const struct owm_pg *pg);
bool owm_pg_notified(struct owm_pg *pg);

/** A transaction sent as one pipeline: begin, queue…, commit. Nothing is waited for before commit.
 *  After a failure of any of them the transaction is rolled back by commit (or owm_pg_rollback),
 *  which returns the first error. commit  OWM_OK means durable. */
OWM_MUST_USE owm_status owm_pg_pipeline_begin(struct owm_pg *pg, struct owm_error *error);
OWM_MUST_USE owm_status owm_pg_queue(struct owm_pg *pg, const struct owm_pg_statement *statement,
                                     const struct owm_pg_args *args, struct owm_error *error);
OWM_MUST_USE owm_status owm_pg_pipeline_commit(struct owm_pg *pg, struct owm_error *error);
void owm_pg_pipeline_rollback(struct owm_pg *pg);

/** Results, as text. NULL reads as 0, "" and no bytes. Out of range asserts. */
size_t owm_pg_rows_count(const struct owm_pg_rows *rows);
bool owm_pg_is_null(const struct owm_pg_rows *rows, size_t row, int column);
int64_t owm_pg_get_i64(const struct owm_pg_rows *rows, size_t row, int column);
double owm_pg_get_f64(const struct owm_pg_rows *rows, size_t row, int column);
bool owm_pg_get_bool(const struct owm_pg_rows *rows, size_t row, int column);
const char *owm_pg_get_text(const struct owm_pg_rows *rows, size_t row, int column);
void owm_pg_get_uuid(const struct owm_pg_rows *rows, size_t row, int column, uint8_t uuid[16]);

/** owm_pg_get_hash: a bytea of exactly `bytes` bytes, or a hex text of it; zeros otherwise. */
void owm_pg_get_hash(const struct owm_pg_rows *rows, size_t row, int column, uint8_t *out,
                     size_t bytes);

/** owm_pg_get_bytes: malloc'ed copy of a bytea in *out (NULL if empty). OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_pg_get_bytes(const struct owm_pg_rows *rows, size_t row, int column,
                                         uint8_t **out, size_t *bytes);
void owm_pg_rows_free(struct owm_pg_rows *rows);

#endif
