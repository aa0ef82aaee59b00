/* evidence_internal.h: what the files that judge evidence share. */
#ifndef OWM_ADMIN_EVIDENCE_INTERNAL_H
#define OWM_ADMIN_EVIDENCE_INTERNAL_H

#include <jansson.h>

#include "controlplane/admin/evidence.h"
#include "dataplane/fl/aggregate.h"

/** certificate: a round's certificate, read back. packages, gram: owned; sparse is empty. */
struct certificate {
    uint64_t round;
    uint8_t base_sha256[32], new_sha256[32];
    uint32_t parameters, count;
    struct owm_aggregate_policy policy;
    struct owm_fl_package *packages;
    double *gram; /* [count][count] full */
};

/** certificate_read: Returns: OWM_OK; OWM_E_PROTO with the field; OWM_E_NOMEM. */
OWM_MUST_USE owm_status certificate_read(const char *text, size_t bytes,
                                         struct certificate *certificate, struct owm_error *error);
void certificate_free(struct certificate *certificate);

/** evidence_hex: a member of exactly this many bytes in hex. */
OWM_MUST_USE owm_status evidence_hex(const json_t *object, const char *key, void *out, size_t bytes,
                                     struct owm_error *error);

/** judge_poison: a bundle of kind "poisoned_gradient". */
owm_status judge_poison(const struct owm_evidence_source *source, const json_t *bundle,
                        enum owm_finding *finding, struct owm_error *error);

/** replay_round: the whole round once more, held-out text included; whether it gives the same
 *  certificate, byte for byte. */
owm_status replay_round(const struct owm_evidence_source *source,
                        const struct certificate *certificate, const uint8_t certificate_hash[32],
                        bool *same, struct owm_error *error);

#endif
