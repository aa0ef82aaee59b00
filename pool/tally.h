/* tally.h: how many things of each key are open, in a fixed table: connections of an address,
 * channels of a miner.
 *
 * Open addressing, at most half full; a key of which nothing is open any more leaves, so a table
 * for as many keys as there can be things is never full. Places follow from a random factor, so
 * nobody can aim at a place. Thread: one loop.
 */
#ifndef OWM_POOL_TALLY_H
#define OWM_POOL_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_TALLY_KEYS_MAX 16777216

struct owm_tally_place {
    uint64_t key;
    uint32_t count; /* 0: free. */
};

struct owm_tally {
    struct owm_tally_place *place; /* [mask + 1] */
    uint32_t mask, keys, keys_max;
    unsigned shift;
    uint64_t factor; /* Random and odd. */
};

/** owm_tally_open: Returns: OWM_OK; OWM_E_ARG keys_max 0 or above OWM_TALLY_KEYS_MAX; OWM_E_NOMEM;
 *  OWM_E_CRYPTO no random bytes. */
OWM_MUST_USE owm_status owm_tally_open(uint32_t keys_max, struct owm_tally *tally);
void owm_tally_close(struct owm_tally *tally); /* All zero is allowed. */

uint32_t owm_tally_count(const struct owm_tally *tally, uint64_t key);

/** owm_tally_add: one more. false: a new key, and keys_max are there already. */
OWM_MUST_USE bool owm_tally_add(struct owm_tally *tally, uint64_t key);

/** owm_tally_drop: one less. A key of which nothing is open is the caller's bug and asserts. */
void owm_tally_drop(struct owm_tally *tally, uint64_t key);

#endif
