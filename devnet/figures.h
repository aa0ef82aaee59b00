/* figures.h: what the pool's database says of a development network's mining.
 *
 * Thread: one.
 */
#ifndef OWM_DEVNET_FIGURES_H
#define OWM_DEVNET_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pg/pg.h"

struct figures {
    bool known; /* The database has answered. */
    uint64_t shares, blocks, confirmed, orphaned;
    uint32_t height;                  /* Of the newest block found; 0: none. */
    int64_t miner_sats;               /* Credited to miners, */
    int64_t treasury_sats;            /* and to the treasury. */
    int64_t owed_sats;                /* Of both, rows of the outbox. */
    char pool_url[192], page_url[64]; /* Filled by whoever knows them. */
};

/** figures_take: *pg is opened if it is NULL and closed when it is lost; on failure the old numbers
 *  stay. Returns: as owm_pg_query. */
owm_status figures_take(struct figures *figures, struct owm_pg **pg, const char *database_url,
                        struct owm_error *error) OWM_MUST_USE;

#endif
