/* manifest.h: the coordinator's signed word on a model version (SRS 4.5.2; how it is signed:
 * proto/model_manifest.h). */
#ifndef OWM_PROVENANCE_MANIFEST_H
#define OWM_PROVENANCE_MANIFEST_H

#include "base/identity.h"

/** owm_manifest_facts: borrowed. */
struct owm_manifest_facts {
    const char *version;   /* "owm-v0.1.142" */
    const char *sub_model; /* "owm-lm" */
    uint32_t round;
    int64_t created_ms;
    uint8_t sha256[32];
    uint64_t bytes;
    const char *ots_proof; /* path of the proof below the coordinator's data folder */
    const char *notes;
};

/** owm_manifest_make: canonical JSON with "btc_block": null, signed; malloc'ed. NULL: no memory. */
char *owm_manifest_make(const owm_identity *identity, const struct owm_manifest_facts *facts);

/** owm_manifest_confirm: the same manifest with the block of one sub-model, signed again.
 *
 *  text   one of ours: its signature is checked first.
 *  fresh  malloc'ed; caller frees.
 *  Returns: OWM_OK; OWM_E_CRYPTO not signed by us; OWM_E_NOTFOUND it does not name the hash;
 *  OWM_E_PROTO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_manifest_confirm(const owm_identity *identity, const char *text,
                                             const uint8_t sha256[static 32], uint64_t btc_block,
                                             char **fresh, struct owm_error *error);

#endif
