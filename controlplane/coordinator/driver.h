/* driver.h: the engine's thread and everything around it.
 *
 *   inbox -> prepare -> owm_engine_step ... -> one transaction -> COMMIT -> outputs
 *
 * All that waits in the inbox is stepped and committed together, so that under load one fsync
 * serves many. While the database is away the effects are kept and tried again; nothing is said
 * meanwhile that is not durable.
 */
#ifndef OWM_COORDINATOR_DRIVER_H
#define OWM_COORDINATOR_DRIVER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/metrics.h"
#include "config.h"
#include "controlplane/db/persist.h"
#include "controlplane/rpc/services.h"
#include "controlplane/slashing/slashing.h"
#include "lab.h"
#include "page.h"
#include "payments_part.h"
#include "provenance_part.h"

#define OWM_DRIVER_BATCH_POSTS 1024

/** owm_driver: the parts of the running coordinator. main.c opens and closes them; the driver's
 *  thread alone touches engine, pg and page. */
struct owm_driver {
    const struct owm_coordinator_config *config;
    owm_identity *identity;
    struct owm_payment_secret *secret;
    struct owm_blob_store *store;
    struct owm_lab *lab;
    struct owm_workers *workers, *lab_worker;
    struct owm_inbox *inbox;
    struct owm_peers *peers;
    struct owm_services *services;
    struct owm_metrics *metrics;
    struct owm_page *page;
    struct owm_stake *stake; /* NULL: stake policy "none" */
    struct owm_slashing *slashing;
    struct owm_payments_part *payments;
    struct owm_provenance_part *provenance;
    struct owm_pg *pg;
    owm_engine *engine;
    int64_t epoch;

    atomic_bool stop;   /* finish what is in the inbox, then return */
    atomic_bool failed; /* the thread gave up: the process must end */
    int64_t next_tick_ms, next_second_ms;
    uint32_t traffic_round;
    uint64_t traffic_bytes;
};

/** owm_driver_restore: load the rows, make the engine, tell peers and services what is known.
 *  Returns: as owm_load. */
OWM_MUST_USE owm_status owm_driver_restore(struct owm_driver *driver, struct owm_error *error);

/** owm_driver_main: the thread; ctx is the driver. Returns when stop is set and the inbox is empty,
 *  or, with failed, when the database holds another coordinator or refuses a batch for good. */
void *owm_driver_main(void *ctx);

/** stake_part.c: owm_driver_open_stake: as owm_stake_open, if the policy asks for stakes.
 *  owm_driver_tell_stake: a node's row, restored or durable. */
OWM_MUST_USE owm_status owm_driver_open_stake(struct owm_driver *driver, struct owm_error *error);
void owm_driver_tell_stake(struct owm_driver *driver, const struct owm_node_row *node);

/** round_jobs.c: outputs VERIFY and AGGREGATE as jobs, whose results come back as events; and the
 *  first checkpoint. Engine's thread. */
void owm_round_verify(struct owm_driver *driver, const struct owm_verify_output *output);
void owm_round_aggregate(struct owm_driver *driver, const struct owm_aggregate_output *output);
void owm_round_genesis(struct owm_driver *driver);

#endif
