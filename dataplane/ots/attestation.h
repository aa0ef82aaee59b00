/* attestation.h: who says that a message existed: a block, a calendar that promises one, or
 * somebody we do not know. */
#ifndef OWM_OTS_ATTESTATION_H
#define OWM_OTS_ATTESTATION_H

#include "op.h"

#define OWM_OTS_TAG_BYTES         8
#define OWM_OTS_PAYLOAD_BYTES_MAX 8192
#define OWM_OTS_URI_BYTES_MAX     1000
#define OWM_OTS_VARUINT_BYTES_MAX 10 /* 64 bits, 7 a byte. */

enum owm_ots_kind {
    OWM_OTS_UNKNOWN, /* Kept as it is, and never a proof. */
    OWM_OTS_BITCOIN,
    OWM_OTS_LITECOIN,
    OWM_OTS_ETHEREUM,
    OWM_OTS_PENDING,
};

/** owm_ots_attestation: at one message of a tree. Borrowed from the tree. */
struct owm_ots_attestation {
    enum owm_ots_kind kind;
    uint8_t tag[OWM_OTS_TAG_BYTES];
    uint64_t height;             /* Of a block. */
    struct owm_ots_bytes detail; /* Pending: the URI; unknown: the payload; else empty. */
    uint32_t node;               /* Whose message is attested. */
    uint32_t next;               /* Of the same message, in order; OWM_OTS_NONE: the last. */
};

/** owm_ots_kind_name: "Bitcoin", "pending", …; static. */
const char *owm_ots_kind_name(enum owm_ots_kind kind);

/** owm_ots_attestation_read: a tag and its payload. detail points into the payload.
 *  Returns: OWM_OK; OWM_E_PROTO with a sentence: a payload over the limit; of a kind that is known:
 *  one that ends early, has bytes behind its end, a number of more than 64 bits, a URI that is too
 *  long or holds a letter outside A-Z a-z 0-9 - . _ / :
 */
OWM_MUST_USE owm_status owm_ots_attestation_read(const uint8_t tag[static OWM_OTS_TAG_BYTES],
                                                 struct owm_ots_bytes payload,
                                                 struct owm_ots_attestation *attestation,
                                                 struct owm_error *error);

/** owm_ots_attestation_payload: the canonical bytes; payload [OWM_OTS_PAYLOAD_BYTES_MAX] written.
 *  Returns: how many. */
uint32_t owm_ots_attestation_payload(const struct owm_ots_attestation *attestation,
                                     uint8_t *payload);

/** owm_ots_pending: a calendar's promise. uri is borrowed.
 *  Returns: OWM_OK; OWM_E_PROTO as above. */
OWM_MUST_USE owm_status owm_ots_pending(const char *uri, struct owm_ots_attestation *attestation,
                                        struct owm_error *error);

/** owm_ots_bitcoin: a block of Bitcoin. */
struct owm_ots_attestation owm_ots_bitcoin(uint64_t height);

/** owm_ots_attestation_compare: <0, 0, >0 in the order in which they are written: by tag; heights
 *  as numbers, the rest as bytes. 0 means the same attestation. */
int owm_ots_attestation_compare(const struct owm_ots_attestation *a,
                                const struct owm_ots_attestation *b);

/** owm_ots_bytes_compare: as memcmp, a prefix first. */
int owm_ots_bytes_compare(struct owm_ots_bytes a, struct owm_ots_bytes b);

/** owm_ots_varuint_write: LEB128. data [OWM_OTS_VARUINT_BYTES_MAX] written. Returns: how many. */
uint32_t owm_ots_varuint_write(uint64_t value, uint8_t *data);

/** owm_ots_varuint_read: LEB128, also when it is longer than it must be.
 *  at  where it begins; behind it afterwards.
 *  Returns: OWM_OK; OWM_E_PROTO the bytes end first; OWM_E_LIMIT more than 64 bits, or 10 bytes. */
OWM_MUST_USE owm_status owm_ots_varuint_read(struct owm_ots_bytes data, uint32_t *at,
                                             uint64_t *value);

#endif
