/* schema.c: see schema.h. */
#include "schema.h"

#include "base/pg/migrate.h"

/* Written by the build from the numbered files. */
extern const struct owm_migration owm_pool_migrations[];
extern const size_t owm_pool_migrations_count;

owm_status owm_pool_migrate(struct owm_pg *pg, struct owm_error *error)
{
    return owm_migrate(pg, owm_pool_migrations, owm_pool_migrations_count, NULL, error);
}
