/* bonds_internal.h: what the files of this folder share. */
#ifndef OWM_BONDS_INTERNAL_H
#define OWM_BONDS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "bonds.h"

#define BONDS_ENDING_MAX 1000 /* Nodes that are told so at a time. */

/** bonds_rolls: hold bonds that end soon, for heartbeats, which ask no database. */
struct bonds_rolls {
    atomic_bool any;
    int64_t told; /* the thread's */
    pthread_mutex_t lock;
    uint32_t height; /* under lock, as what follows */
    size_t count;
    struct bonds_ending {
        uint8_t node_id[16];
        int64_t block, amount_sats;
    } ending[BONDS_ENDING_MAX];
};

struct owm_bonds {
    struct owm_bonds_options options;
    struct owm_wallet *wallet;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    struct owm_pg *pg; /* the thread's */
    pthread_mutex_t ask_lock;
    struct owm_pg *ask_pg; /* of who asks; under ask_lock */
    owm_gauge *live[2];    /* by kind, msat */
    owm_gauge *to_roll;
    owm_counter *slashed_msat, *returned_msat;
    uint32_t height; /* of the treasury's node when it was last asked; the thread's */
    struct bonds_rolls rolls;
};

/** bonds_preimage: of a hold bond: it follows from the payment secret and the bond's id. */
void bonds_preimage(const struct owm_bonds *bonds, const uint8_t bond_id[16], uint8_t preimage[32],
                    uint8_t hash[32]);

/** bonds_reach: a connection that is alive. */
owm_status bonds_reach(const struct owm_bonds *bonds, struct owm_pg **pg, struct owm_error *error);

/** bonds_roll_look: who has to be told to roll at this height; 0: not known yet. */
owm_status bonds_roll_look(struct owm_bonds *bonds, uint32_t height, struct owm_error *error);

/** bonds_work: what the rows ask for; until stopped. */
void *bonds_work(void *ctx);

#endif
