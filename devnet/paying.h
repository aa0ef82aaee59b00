/* paying.h: the Lightning part of a development network: real lnd nodes, stakes, sats that arrive.
 *
 *   folder/lightning/…   the chain, the treasury's node and one for each of ours (lightning/rig.h)
 *   folder/slasher/…     slasher.toml
 *
 * Here we are the operators, too: each node's Lightning node opens a stake channel to the treasury,
 * of different sizes, so that bonuses differ. Everything else is the programs' own work: they
 * register with those stakes, and the coordinator opens channels to them and pays. We mine a block
 * every few seconds, as a chain would.
 */
#ifndef OWM_DEVNET_PAYING_H
#define OWM_DEVNET_PAYING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pg/pg.h"
#include "lightning/rig.h"
#include "paying_figures.h"

#define PAYING_STEPS    3 /* Nodes have locked one minimum of their tier, two, three, one … */
#define PAYING_BLOCK_MS 4000

/* Of a channel to a node, where the pool is paid through it, too: more than all that a chain of
 * SOURCE_HALVINGS will ever give to miners. */
#define PAYING_CHANNEL_SATS 5000000

struct network;

struct paying {
    bool on; /* False: nothing is staked, and what is earned stays owed. */
    struct rig rig;
    uint64_t next_block_ms;
    struct process slasher;  /* owm-slasher: it alone may close channels. */
    struct owm_pg *database; /* NULL until it is asked. */
    struct paying_figures figures;
};

/** paying_up: the Lightning network with the nodes' stakes, told on stdout; network->options say
 *  whether. Returns: as rig_up; call paying_down all the same. */
owm_status paying_up(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** paying_slasher: start owm-slasher, once the coordinator has its database and its certificate;
 *  evictions wait for no appeal here. paying_start_slasher: again.
 *  Returns: as process_start. */
owm_status paying_slasher(struct network *network, struct owm_error *error) OWM_MUST_USE;
owm_status paying_start_slasher(struct network *network, unsigned index, struct owm_error *error);

/** paying_evicted: whether node `index` has lost its stake channel; waits for it at most 60 s. */
bool paying_evicted(struct network *network, unsigned index);

/** paying_tend: a block when it is time, and what ended is started again.
 *  Returns: whether something had ended, or no block could be made. */
bool paying_tend(struct network *network);

/** paying_pays_pool: whether the coordinator pays the pool's miners, too. After mining_choose. */
bool paying_pays_pool(const struct network *network);

/** paying_look: the figures; on failure the old ones stay. */
owm_status paying_look(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** paying_agree: whether what the coordinator calls settled, to nodes and to the pool's miners, is
 *  what the nodes' own Lightning nodes received. Waits at most 60 s until it is and nothing more is
 *  owed or on its way.
 *
 *  sentence  [256] out: what was found.
 *  Returns: whether both are equal to the millisat. */
bool paying_agree(struct network *network, char sentence[static 256]);

void paying_down(struct network *network);

#endif
