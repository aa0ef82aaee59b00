/* paying_figures.h: who has staked what and received what, as the databases of coordinator and pool
 * have it; for the view while the network runs, and for `status` beside it. */
#ifndef OWM_DEVNET_PAYING_FIGURES_H
#define OWM_DEVNET_PAYING_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pg/pg.h"

#define PAYING_NODES_MAX 16
#define PAYING_T1_SATS   100000 /* The minimum of a tier's stake. */
#define PAYING_T2_SATS   200000
#define PAYING_T3_SATS   400000

/** One node, as the coordinator's database has it. */
struct paying_node {
    char alias[64];
    int64_t stake_sats;
    double bonus; /* What its stake makes of a reward: 1 at its tier's minimum, 2 at most. */
    int64_t settled_msat, owed_msat;
};

/** What the pool owes to miners, and to the treasury, which pays itself in the books. */
struct paying_pool {
    unsigned settled; /* Payments to miners. */
    int64_t settled_msat, booked_msat, owed_msat;
};

struct paying_figures {
    bool known;
    int64_t settled_msat, fees_msat, owed_msat; /* Owed: what is not settled yet, in flight too. */
    unsigned settled;                           /* Payments. */
    char preimage[65], alias[64];               /* Of the newest one that settled. */
    int64_t newest_msat;
    unsigned node_count;
    struct paying_node nodes[PAYING_NODES_MAX];
    struct paying_pool pool; /* Of nothing, where it is not paid here. */
};

/** paying_minimum_sats: of "t1", "t2" or "t3". */
int64_t paying_minimum_sats(const char *tier);

/** paying_figures_take: what the coordinator's database says; figures->pool stays, and on failure
 *  all of it.
 *
 *  database  NULL: opened at url, and kept for the next time. After a failure it is NULL again.
 *  Returns: as owm_pg_open, owm_pg_query. */
owm_status paying_figures_take(struct paying_figures *figures, struct owm_pg **database,
                               const char *url, struct owm_error *error) OWM_MUST_USE;

/** paying_pool_take: the same of the pool's database. */
owm_status paying_pool_take(struct paying_pool *pool, struct owm_pg **database, const char *url,
                            struct owm_error *error) OWM_MUST_USE;

#endif
