/* bonds_internal.h: what the files of this folder share. */
#ifndef OWM_BONDS_INTERNAL_H
#define OWM_BONDS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "bonds.h"

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
    owm_counter *slashed_msat, *returned_msat;
};

/** bonds_preimage: of a hold bond: it follows from the payment secret and the bond's id. */
void bonds_preimage(const struct owm_bonds *bonds, const uint8_t bond_id[16], uint8_t preimage[32],
                    uint8_t hash[32]);

/** bonds_reach: a connection that is alive. */
owm_status bonds_reach(const struct owm_bonds *bonds, struct owm_pg **pg, struct owm_error *error);

/** bonds_work: what the rows ask for; until stopped. */
void *bonds_work(void *ctx);

#endif
