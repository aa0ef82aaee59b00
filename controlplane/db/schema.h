/* schema.h: the coordinator's migrations, in order of their numbers; written by the build. */
#ifndef OWM_DB_SCHEMA_H
#define OWM_DB_SCHEMA_H

#include "base/pg/migrate.h"

extern const struct owm_migration owm_migrations[];
extern const size_t owm_migrations_count;

#endif
