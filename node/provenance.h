/* provenance.h: a model version proven before a byte of its weights is downloaded or used
 * (SRS-NODE-10, SRS-OTS-05, design promise 3):
 *
 *   manifest -> signature -> names the hash and size -> proof -> policy -> marks
 *
 * Manifest and proof come from the coordinator, or from the files <blob>.json and <blob>.ots beside
 * the cached checkpoint, which are believed no more than the coordinator is: a proof that our
 * headers confirm is not asked for again, everything else is, at most every
 * node_timing.proof_again.
 */
#ifndef OWM_NODE_PROVENANCE_H
#define OWM_NODE_PROVENANCE_H

#include "node/node.h"

/** node_provenance_open: calendars, headers, marks, from node->config; after the data folder is
 *  ours. Returns: OWM_OK; OWM_E_CONFIG; as node_versions_open. */
OWM_MUST_USE owm_status node_provenance_open(struct node *node, struct node_provenance **provenance,
                                             struct owm_error *error);
void node_provenance_close(struct node_provenance *provenance); /**< NULL is allowed. */

/** node_proofs_allowed: whether model.proofs fits the network that the coordinator names in Hello.
 *  One that named another than a development network before does not become one: then "auto" would
 *  ask for nothing any more.
 *  Returns: OWM_OK; OWM_E_CONFIG with the fix; OWM_E_PROTO no name of a network; OWM_E_IO the
 *  task log cannot be read or written. */
OWM_MUST_USE owm_status node_proofs_allowed(struct node *node, const char *network,
                                            struct owm_error *error);

/** node_prove: whether this checkpoint may be used; refusal written on OWM_OK.
 *  Thread: any. Blocks: for the coordinator and for the source of headers.
 *  Returns: OWM_OK; OWM_E_AGAIN the headers cannot be asked now; OWM_E_CONFIG they never can, until
 *  the operator acts; what link_version met, for a version that was not accepted before. */
struct prove {
    enum model_use use;
    struct manifest_named named;
};
OWM_MUST_USE owm_status node_prove(struct node *node, const struct prove *prove,
                                   struct refusal *refusal, struct owm_error *error);

/** node_proven_used: its bytes are at hand and right, and it is about to be used: the mark is moved
 *  and on disk, and pages show it. Returns: as node_versions_use. */
OWM_MUST_USE owm_status node_proven_used(struct node *node, const struct prove *prove,
                                         struct refusal *refusal, struct owm_error *error);

/** node_refused: count it, show it, log it. `error` gets "UNPROVEN: CODE: sentence".
 *  Returns: OWM_E_PERM. */
owm_status node_refused(struct node *node, const struct prove *prove, const struct refusal *refusal,
                        struct owm_error *error);

/** node_proofs_swept: after checkpoints were deleted: remove the files that stood beside them. */
void node_proofs_swept(struct node *node);

#endif
