/* provenance_part.h: the proofs of checkpoints as a part of the coordinator: its thread tells the
 * engine what a version may be used for; its pages hang in the coordinator's server. */
#ifndef OWM_COORDINATOR_PROVENANCE_PART_H
#define OWM_COORDINATOR_PROVENANCE_PART_H

#include "base/status.h"
#include "config.h"

struct owm_driver;
struct owm_provenance_part;

/** owm_coordinator_ots_policy: what provenance a checkpoint needs here, in words. Static. */
const char *owm_coordinator_ots_policy(const struct owm_coordinator_config *config);

/** owm_provenance_part_open: what is proven already is in the inbox when this returns. Without
 *  calendars (development networks) the pages alone.
 *  Returns: as owm_provenance_open, owm_versions_open. */
OWM_MUST_USE owm_status owm_provenance_part_open(struct owm_driver *driver,
                                                 struct owm_error *error);

/** owm_provenance_part_wake: a checkpoint is in the database. NULL is allowed. */
void owm_provenance_part_wake(struct owm_provenance_part *part);

/** owm_provenance_part_stop: its thread; after the engine's, before inbox and page close.
 *  _close: the pages, after the server. NULL is allowed. */
void owm_provenance_part_stop(struct owm_provenance_part *part);
void owm_provenance_part_close(struct owm_provenance_part *part);

#endif
