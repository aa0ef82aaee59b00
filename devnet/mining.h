/* mining.h: the mining part of a development network: a source of blocks, the pool, one miner.
 *
 *   folder/blocks/…      the source's chain (or bitcoind/, btcd/)
 *   folder/pool/…        the pool's keys, journal and pool.toml
 *   database owm_pool    in the private cluster; OWM_POOL_DATABASE_URL where DATABASE_URL is given
 *
 * The miner is one slow thread with node-1's identity, so that learning keeps the machine.
 */
#ifndef OWM_DEVNET_MINING_H
#define OWM_DEVNET_MINING_H

#include "base/pg/pg.h"
#include "source.h"

#define MINING_THREADS   "1"
#define MINING_INTENSITY "20" /* Per cent of the time. */
#define MINING_URL_MAX   1024

struct network;

struct mining {
    bool on; /* False: left out; everything below is empty. */
    struct source source;
    struct process pool, miner;
    unsigned pool_port, page_port;
    char database_url[MINING_URL_MAX];
    struct owm_pg *database; /* For figures.h; NULL until it is asked. */
    char pool_url[192];      /* stratum2+tcp://…/KEY */
};

/** mining_database: the pool's database, made if it is missing; mining->on says whether there is
 *  one. After the network's. Returns: as postgres_database. */
owm_status mining_database(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** mining_choose: the source of blocks, its ports, and the pool's key of payments, which the
 *  coordinator wants to have before it pays for the pool. `payable` as in source_choose.
 *  Returns: as source_choose. */
owm_status mining_choose(struct network *network, bool payable,
                         struct owm_error *error) OWM_MUST_USE;

/** mining_up: source, pool, miner, each told on stdout; the pool answers when this returns.
 *  Returns: with a sentence. Call mining_down all the same. */
owm_status mining_up(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** The starts of each, for whoever starts them again. */
owm_status mining_start_source(struct network *network, unsigned index, struct owm_error *error);
owm_status mining_start_pool(struct network *network, unsigned index, struct owm_error *error);
owm_status mining_start_miner(struct network *network, unsigned index, struct owm_error *error);

/** mining_down: miner, pool, source; and the connection to the database. */
void mining_down(struct mining *mining);

/** mining_recompute: owm-pool recompute with the database at `url` ("" and NULL dates: all time).
 *  log_path  NULL: prints here.
 *  Returns: OWM_OK equal to the last unit; OWM_E_IO different, or it could not be done. */
struct mining_recompute {
    const char *programs, *url, *from, *to, *journal, *log_path;
};
owm_status mining_recompute(const struct mining_recompute *options,
                            struct owm_error *error) OWM_MUST_USE;

#endif
