/* load.h: the rows of a database back into a fresh engine. */
#ifndef OWM_DB_LOAD_H
#define OWM_DB_LOAD_H

#include "base/pg/pg.h"
#include "controlplane/engine/engine.h"

/** owm_load: everything owm_engine_restore_* asks for, read in one snapshot.
 *
 *  finished_max  as in the engine's config.
 *  Returns: OWM_OK; OWM_E_LIMIT a table of the engine is full (the sentence names the limit);
 *  OWM_E_DB the rows contradict each other (the sentence names one); as owm_pg_query. The engine is
 *  useless after a failure. */
OWM_MUST_USE owm_status owm_load(struct owm_pg *pg, owm_engine *engine, uint32_t finished_max,
                                 struct owm_error *error);

/** owm_load_rounds: the newest `count` rounds, oldest first, one call of each(ctx, round) per row.
 *  Returns: OWM_OK; OWM_E_DB a row that makes no sense; as owm_pg_query. */
OWM_MUST_USE owm_status owm_load_rounds(struct owm_pg *pg, uint32_t count,
                                        void (*each)(void *ctx, const struct owm_round_row *round),
                                        void *ctx, struct owm_error *error);

#endif
