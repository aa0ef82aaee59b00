/* evidence.h: does a piece of evidence hold? Replayed from what it names, not taken at its word.
 *
 *   poisoned_gradient  the packages of the round are fetched, their signatures checked, their Gram
 *                      matrix computed and the round's screening done again. What the certificate
 *                      says of held-out losses is measured again where the text is given.
 *   fake_task_proof    the node's signature over a hash that is not the output's.
 *   slash_case         a decision: the coordinator's signature, each maintainer's, each signal's
 *                      evidence.
 *
 * Everything is foreign input. Nothing is written but a report for people.
 */
#ifndef OWM_ADMIN_EVIDENCE_H
#define OWM_ADMIN_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

#define OWM_EVIDENCE_BYTES_MAX    (1 << 20) /* a bundle */
#define OWM_CERTIFICATE_BYTES_MAX (64 << 20)

enum owm_finding {
    OWM_EVIDENCE_HOLDS = 0,
    OWM_EVIDENCE_FAILS = 1,     /* replayed, and it comes out otherwise */
    OWM_EVIDENCE_UNDECIDED = 2, /* something that it takes is not there */
};

/** owm_evidence_source: where blobs come from, and what is known. */
struct owm_evidence_source {
    void *ctx;
    /* data malloc'ed. OWM_E_NOTFOUND; OWM_E_LIMIT; others: could not be asked. The caller compares
       the hash. */
    owm_status (*fetch)(void *ctx, const uint8_t hash[32], size_t bytes_max, uint8_t **data,
                        size_t *bytes, struct owm_error *error);
    uint8_t coordinator_key[32];
    const char *heldout_file; /* NULL: held-out losses are not measured */
    uint64_t heldout_bytes;   /* of it, as the coordinator uses it */
    FILE *out;                /* the report */
};

/** owm_evidence_verify: judge a bundle.
 *  Returns: OWM_OK finding is set and its reason printed; OWM_E_PROTO it is no evidence; else it
 *  could not be looked at. */
OWM_MUST_USE owm_status owm_evidence_verify(const struct owm_evidence_source *source,
                                            const uint8_t *data, size_t bytes,
                                            enum owm_finding *finding, struct owm_error *error);

/** owm_evidence_fetch: a blob whose hash is checked. data malloc'ed.
 *  Returns: as fetch; OWM_E_CRYPTO what came has another hash. */
OWM_MUST_USE owm_status owm_evidence_fetch(const struct owm_evidence_source *source,
                                           const uint8_t hash[32], size_t bytes_max, uint8_t **data,
                                           size_t *bytes, struct owm_error *error);

#endif
