/* random_tree.h: trees by chance, for properties and for the reference implementation. */
#ifndef OWM_TEST_RANDOM_TREE_H
#define OWM_TEST_RANDOM_TREE_H

#include "base/rng.h"
#include "dataplane/ots/proof.h"

/** random_proof: a sha256 proof of a random digest with up to some forty nodes, every op and every
 *  kind of attestation; each path ends in an attestation. Deinit it. */
void random_proof(struct owm_rng *rng, struct owm_ots_proof *proof);

/** random_attestation: detail points into a static buffer, until the next call. */
struct owm_ots_attestation random_attestation(struct owm_rng *rng);

#endif
