/* receipt.h: what became of a package, signed by the coordinator, so that a node knows whether its
 * mass was counted and can prove it later (facts 4.6: without it error feedback loses mass). */
#ifndef OWM_FL_RECEIPT_H
#define OWM_FL_RECEIPT_H

#include "dataplane/fl/delta.h"

#define OWM_RECEIPT_BYTES   188
#define OWM_RECEIPT_CONTEXT "owm/receipt/1"

enum owm_receipt_verdict {
    OWM_RECEIPT_INCLUDED = 1,
    OWM_RECEIPT_NOT_INCLUDED = 2, /* screened out: `reason` says why */
    OWM_RECEIPT_LATE = 3,         /* came after the round had closed */
};

struct owm_receipt {
    uint64_t round;
    uint8_t node_key[32];
    uint8_t package_sha256[32];
    enum owm_receipt_verdict verdict;
    uint16_t reason; /* enum owm_screen_reason; 0 when included */
    float weight;    /* the alpha it was summed with; 0 unless included */
    uint8_t coordinator_key[32];
};

/** owm_receipt_make: encode and sign as the coordinator (context "owm/receipt/1"); coordinator_key
 *  in `receipt` is ignored.
 *  Returns: OWM_OK; OWM_E_ARG if verdict, reason or weight make no sense together. */
OWM_MUST_USE owm_status owm_receipt_make(const struct owm_receipt *receipt,
                                         const owm_identity *coordinator,
                                         uint8_t out[OWM_RECEIPT_BYTES]);

/** owm_receipt_read: decode and verify. Safe for hostile bytes.
 *  Returns: OWM_OK; OWM_E_PROTO if malformed; OWM_E_CRYPTO if not signed by coordinator_key. */
OWM_MUST_USE owm_status owm_receipt_read(const uint8_t *bytes, size_t count,
                                         const uint8_t coordinator_key[32], struct owm_receipt *out,
                                         struct owm_error *error);

#endif
