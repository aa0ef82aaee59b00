/* migrate.h: the schema, as numbered SQL files that are part of the binary.
 *
 * Applied at start, all missing ones in one transaction under an advisory lock, so that of two
 * programs that start at once one waits. The table schema_migrations keeps each file's SHA-256.
 */
#ifndef OWM_BASE_MIGRATE_H
#define OWM_BASE_MIGRATE_H

#include "pg.h"

struct owm_migration {
    int version;
    const char *name; /* "0001_first" */
    const char *sql;  /* terminated */
};

/** owm_migrate: bring the schema to the newest version of `list`.
 *
 *  applied  how many files were run now; NULL allowed.
 *  Returns: OWM_OK; OWM_E_STATE if an applied file differs from the one in this binary, the
 *  database has a newer version than this binary knows, or is another program's (the sentence says
 *  which, and what to do; nothing is changed); else as owm_pg_exec, with nothing changed.
 */
OWM_MUST_USE owm_status owm_migrate(struct owm_pg *pg, const struct owm_migration *list,
                                    size_t count, size_t *applied, struct owm_error *error);

#endif
