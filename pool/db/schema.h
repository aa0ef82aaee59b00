/* schema.h: the pool's tables (db/migrations) in the database of its own that it keeps them in. */
#ifndef OWM_POOL_SCHEMA_H
#define OWM_POOL_SCHEMA_H

#include "base/pg/pg.h"

/** owm_pool_migrate: bring the schema of `pg` to this program's. Returns: as owm_migrate. */
OWM_MUST_USE owm_status owm_pool_migrate(struct owm_pg *pg, struct owm_error *error);

#endif
