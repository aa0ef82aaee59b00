/* migrate.c: apply the numbered SQL files that a database lacks. */
#include "migrate.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/sha256.h"

/* Any number, the same in every program: "owm migr" as ASCII. */
#define LOCK_MIGRATE "8026107459823987570"

static const char create_table[] =
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    " version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())";

static void checksum(const struct owm_migration *migration, char hex[65])
{
    uint8_t hash[32];
    owm_sha256(migration->sql, strlen(migration->sql), hash);
    owm_hex_encode(hash, sizeof(hash), hex);
}

static const struct owm_migration *find(const struct owm_migration *list, size_t count, int version)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].version == version) return &list[i];
    return NULL;
}

static owm_status check_applied(const struct owm_pg_rows *rows, const struct owm_migration *list,
                                size_t count, struct owm_error *error)
{
    for (size_t row = 0; row < owm_pg_rows_count(rows); row++) {
        int version = (int)owm_pg_get_i64(rows, row, 0);
        const struct owm_migration *known = find(list, count, version);
        if (!known)
            return owm_fail(error, OWM_E_STATE,
                            "database: its schema is at version %d, this program knows only "
                            "%d; start the newer program, or restore the backup made before",
                            version, count ? list[count - 1].version : 0);
        const char *name = owm_pg_get_text(rows, row, 2);
        if (strcmp(known->name, name) != 0)
            return owm_fail(error, OWM_E_STATE,
                            "database: its migration %s is not of this program, which has %s; give "
                            "each program a database of its own",
                            name, known->name);
        char hex[65];
        checksum(known, hex);
        if (strcmp(hex, owm_pg_get_text(rows, row, 1)) != 0)
            return owm_fail(error, OWM_E_STATE,
                            "database: migration %s was changed after it had been applied; put the "
                            "old file back and write the change as a new migration",
                            known->name);
    }
    return OWM_OK;
}

static owm_status apply(struct owm_pg *pg, const struct owm_migration *migration,
                        struct owm_error *error)
{
    struct owm_error cause = {""};
    owm_status status = owm_pg_exec(pg, migration->sql, &cause);
    if (status != OWM_OK)
        return owm_fail(error, status, "migration %s: %s", migration->name, cause.text);
    char hex[65];
    checksum(migration, hex);
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, migration->version);
    owm_pg_text(&args, migration->name);
    owm_pg_text(&args, hex);
    status = owm_pg_query(
        pg, "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", &args,
        NULL, error);
    if (status == OWM_OK) owm_log(OWM_LOG_INFO, "migration_applied name=%s", migration->name);
    return status;
}

static owm_status inside(struct owm_pg *pg, const struct owm_migration *list, size_t count,
                         size_t *applied, struct owm_error *error)
{
    owm_status status = owm_pg_exec(pg, "SELECT pg_advisory_xact_lock(" LOCK_MIGRATE ")", error);
    if (status == OWM_OK) status = owm_pg_exec(pg, create_table, error);
    struct owm_pg_rows *rows = NULL;
    if (status == OWM_OK)
        status = owm_pg_query(
            pg, "SELECT version, checksum, name FROM schema_migrations ORDER BY version", NULL,
            &rows, error);
    if (status != OWM_OK) return status;
    status = check_applied(rows, list, count, error);
    for (size_t i = 0; status == OWM_OK && i < count; i++) {
        bool done = false;
        for (size_t row = 0; row < owm_pg_rows_count(rows); row++)
            done = done || owm_pg_get_i64(rows, row, 0) == list[i].version;
        if (done) continue;
        status = apply(pg, &list[i], error);
        if (status == OWM_OK) ++*applied;
    }
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_migrate(struct owm_pg *pg, const struct owm_migration *list, size_t count,
                       size_t *applied, struct owm_error *error)
{
    size_t done = 0;
    owm_status status = owm_pg_exec(pg, "BEGIN", error);
    if (status != OWM_OK) return status;
    status = inside(pg, list, count, &done, error);
    if (status == OWM_OK) status = owm_pg_exec(pg, "COMMIT", error);
    if (status != OWM_OK) {
        owm_pg_rollback(pg);
        return status;
    }
    if (applied) *applied = done;
    return OWM_OK;
}
