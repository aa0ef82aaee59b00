/* made_proof.h: proofs of checkpoints for the node's tests: promises of calendars, and blocks. */
#ifndef NODE_MADE_PROOF_H
#define NODE_MADE_PROOF_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/ots/proof.h"

#define CALENDAR_A "https://alice.btc.calendar.opentimestamps.org"
#define CALENDAR_B "https://btc.calendar.catallaxy.com"
#define CALENDAR_X "https://calendar.example.org" /* on nobody's list */

/** made_proof: a .ots file; data malloc'ed, freed by made_proof_free. */
struct made_proof {
    uint8_t *data;
    size_t bytes;
    uint8_t root[32]; /* what block `height` must have as its merkle root */
};

/** made_wanted: what to put into it. height 0: no block. */
struct made_wanted {
    const uint8_t *sha256; /* [32] */
    const char *calendar[8];
    uint64_t height;
};

void made_proof_make(const struct made_wanted *wanted, struct made_proof *made);
void made_proof_free(struct made_proof *made);

/** made_root: where the proof of this hash leads to, whatever is in it. */
void made_root(const uint8_t sha256[static 32], uint8_t root[static 32]);

#endif
