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

#define PAYING_MINIMUM_SATS 100000 /* Stake of a T1 node, */
#define PAYING_STEP_SATS    50000  /* and how much more each next node has locked, */
#define PAYING_STEPS        3      /* up to so many times. */
#define PAYING_BLOCK_MS     4000

struct network;

/** One node, as the coordinator's database has it. */
struct paying_node {
    char alias[64];
    int64_t stake_sats;
    int64_t settled_msat, owed_msat;
};

struct paying_figures {
    bool known;
    int64_t settled_msat, fees_msat, owed_msat; /* Owed: what is not settled yet, in flight too. */
    unsigned settled;                           /* Payments. */
    char preimage[65], alias[64];               /* Of the newest one that settled. */
    int64_t newest_msat;
    unsigned node_count;
    struct paying_node nodes[RIG_OPERATORS_MAX];
};

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

/** paying_look: the figures; on failure the old ones stay. */
owm_status paying_look(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** paying_agree: wait until nothing is owed or on its way, at most 60 s, then compare what the
 *  coordinator calls settled with what the nodes' own Lightning nodes received.
 *
 *  sentence  [256] out: what was found.
 *  Returns: whether both are equal to the millisat. */
bool paying_agree(struct network *network, char sentence[static 256]);

/** paying_bonus: what a T1 stake makes of a reward: 1 at the minimum, 2 at most. */
double paying_bonus(int64_t stake_sats);

void paying_down(struct network *network);

#endif
