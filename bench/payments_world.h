/* payments_world.h: owm-coordinator between a private PostgreSQL and lnd-double, the double of the
 * treasury's Lightning node, for owm-bench payments. */
#ifndef OWM_BENCH_PAYMENTS_WORLD_H
#define OWM_BENCH_PAYMENTS_WORLD_H

#include "base/lightning/lightning.h"
#include "base/outbox.h"
#include "base/pg/pg.h"
#include "bench.h"
#include "postgres.h"

#define PAY_WORLD_PAYEES       200 /* of the nodes, or all if there are fewer */
#define PAY_WORLD_CHANNEL_SATS 1000000

struct pay_world {
    const struct bench_options *options;
    char folder[64], treasury[96], certificate[128], control[96], address[64];
    struct postgres postgres;
    struct process lightning, coordinator;
    struct owm_pg *pg;
    struct owm_payment_secret *secret; /* the coordinator's */
    unsigned nodes;
    uint8_t *ids;  /* [nodes][16] */
    uint64_t owed; /* so far */
};

/** pay_world_open: database and lnd-double, with options->nodes channels, each of another node, and
 *  these nodes in the coordinator's tables; the coordinator has made them and does not run.
 *  Returns: as postgres_start and process_start; OWM_E_TIMEOUT one of the programs is not ready.
 *  Close it in any case. */
OWM_MUST_USE owm_status pay_world_open(struct pay_world *world, const struct bench_options *options,
                                       struct owm_error *error);
void pay_world_close(struct pay_world *world);

/** pay_world_start: the coordinator. Returns: as process_start. */
OWM_MUST_USE owm_status pay_world_start(struct pay_world *world, struct owm_error *error);

/** pay_world_ask: a command of lnd-double (tests/lightning/double/lnd_double.h).
 *  answer  Out: its lines, malloc'ed. Returns: OWM_OK; OWM_E_NET; OWM_E_STATE it was refused. */
OWM_MUST_USE owm_status pay_world_ask(struct pay_world *world, const char *command, char **answer,
                                      struct owm_error *error);

/** pay_world_node: the treasury's node, opened in the role of this macaroon. */
OWM_MUST_USE owm_status pay_world_node(struct pay_world *world, enum owm_lightning_role role,
                                       const char *macaroon, owm_lightning **node,
                                       struct owm_error *error);

/** pay_world_owe: rows of the outbox that are owed, in one transaction, to the payees in turn.
 *  hashes [count][32] written. Returns: as owm_pg_pipeline_commit. */
OWM_MUST_USE owm_status pay_world_owe(struct pay_world *world, unsigned count, uint8_t *hashes,
                                      struct owm_error *error);

/** pay_world_until: wait until the number that `sql` selects is `wanted`, at most timeout_s.
 *  Returns: OWM_OK; OWM_E_TIMEOUT; OWM_E_STATE the coordinator has ended. */
OWM_MUST_USE owm_status pay_world_until(struct pay_world *world, const char *sql, int64_t wanted,
                                        unsigned timeout_s, struct owm_error *error);

/** pay_world_number: the first value of a query; -1 if it fails or is NULL. */
int64_t pay_world_number(struct pay_world *world, const char *sql);

#endif
