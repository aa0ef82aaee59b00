/* network.h: the programs of a development network: their folders, configurations and lives.
 *
 *   folder/logs/…            one log per program
 *   folder/shards/…          the text (corpus.h)
 *   folder/coordinator/…     its data and coordinator.toml
 *   folder/node-N/…          its data and owm.toml
 *   folder/operator.key      the identity that may ask the internal service, and a maintainer's;
 *   folder/maintainer.key    the second maintainer's: it takes two to slash a T2 or T3 node
 *   folder/devnet.json       addresses, for `ask`, `status` and `admin`
 *   mining.h, paying.h       its mining and its Lightning part
 *   anchoring.h              its calendar
 *
 * A program that ends by itself is started again, as a service manager would, and counted.
 */
#ifndef OWM_DEVNET_NETWORK_H
#define OWM_DEVNET_NETWORK_H

#include "anchoring.h"
#include "client.h"
#include "figures.h"
#include "mining.h"
#include "options.h"
#include "paying.h"
#include "postgres.h"
#include "process.h"

struct network_ports {
    unsigned nodes, internal, page;
    unsigned node_page[DEVNET_NODES_MAX];
};

struct network {
    char folder[DEVNET_PATH_MAX];   /* Absolute. */
    char programs[DEVNET_PATH_MAX]; /* Where owm-coordinator and its kin lie: beside us. */
    struct options options;
    int lock_fd;
    struct network_ports ports;
    struct postgres postgres;
    const char *database_url; /* DATABASE_URL, or postgres.url. */
    struct process coordinator;
    struct process nodes[DEVNET_NODES_MAX];
    struct mining mining;
    struct paying paying;
    struct anchoring anchoring;
    unsigned restarts;
    uint32_t rounds_before; /* Complete before this run. */
};

/** network_up: everything, in order, each step told on stdout.
 *  Returns: OWM_E_STATE another one runs in this folder; others with a sentence. On failure call
 *  network_down all the same. */
owm_status network_up(struct network *network, const struct options *options,
                      struct owm_error *error) OWM_MUST_USE;

/** network_tend: start again what ended by itself. trouble [256] gets a sentence, or "". */
void network_tend(struct network *network, char trouble[static 256]);

/** network_down: miner and nodes first (they finish what they do), then pool and coordinator, then
 *  PostgreSQL. */
void network_down(struct network *network);

#endif
