/* canonical.h: the exact bytes that are signed about a case, in the style of proto/canonical.h:
 * domain first, strings with their length (u32 LE), integers as 8 or 4 bytes LE, keys raw.
 *
 *   facts     what the case is: node, keys, tier, signals. Their SHA-256 is what an acknowledgement
 *             and a dismissal are about, so a case that grew is not the one that was acknowledged.
 *   act       one maintainer's word (acknowledge, dismiss: about the facts; overturn: about the
 *             decision), signed with the maintainer's key.
 *   decision  facts, sentence, times and the acknowledgements, signed by the coordinator: all that
 *             owm-slasher needs, without trusting the database that it was read from.
 *
 * Thread: any. Exact: the same bytes everywhere.
 */
#ifndef OWM_SLASHING_CANONICAL_H
#define OWM_SLASHING_CANONICAL_H

#include "base/identity.h"
#include "controlplane/slashing/case.h"

#define OWM_DOMAIN_SLASH_CASE     "owm slash case v1"
#define OWM_DOMAIN_SLASH_ACT      "owm slash act v1"
#define OWM_DOMAIN_SLASH_DECISION "owm slash decision v1"

#define OWM_DECISION_BYTES_MAX 49152

/** owm_case_digest: SHA-256 of the facts. coordinator_key [32] binds them to one network. */
void owm_case_digest(const struct owm_case *c, const uint8_t coordinator_key[32],
                     uint8_t digest[32]);

/** owm_case_subject: the digest that this act signs: the facts', or the decision's. */
void owm_case_subject(const struct owm_case *c, const uint8_t coordinator_key[32], enum owm_act act,
                      uint8_t digest[32]);

/** owm_act_sign: fills maintainer_key and signature of an act whose other fields are set. */
void owm_act_sign(const struct owm_case *c, const uint8_t coordinator_key[32],
                  const owm_identity *maintainer, struct owm_case_act *act);

/** owm_act_sign_digest: the same for who has case id and digest from ListCases only. */
void owm_act_sign_digest(const uint8_t case_id[16], const uint8_t digest[32],
                         const uint8_t coordinator_key[32], const owm_identity *maintainer,
                         struct owm_case_act *act);

/** owm_act_verify: OWM_OK; OWM_E_CRYPTO. Says nothing about whether the key is a maintainer's. */
OWM_MUST_USE owm_status owm_act_verify(const struct owm_case *c, const uint8_t coordinator_key[32],
                                       const struct owm_case_act *act);

/** owm_decision_encode: of a case whose decided fields are set; only acknowledgements go in.
 *
 *  out    [OWM_DECISION_BYTES_MAX] written.
 *  bytes  out; length.
 *  Returns: OWM_OK; OWM_E_LIMIT. */
OWM_MUST_USE owm_status owm_decision_encode(const struct owm_case *c,
                                            const uint8_t coordinator_key[32], uint8_t *out,
                                            size_t *bytes);

/** owm_decision_decode: back into a case in state "decided", with decision_hash. Safe for hostile
 *  bytes.
 *  Returns: OWM_OK; OWM_E_PROTO malformed, or of another coordinator. */
OWM_MUST_USE owm_status owm_decision_decode(const uint8_t *data, size_t bytes,
                                            const uint8_t coordinator_key[32], struct owm_case *c,
                                            struct owm_error *error);

/** owm_decision_open: decode, and check the coordinator's signature (64 bytes).
 *  Returns: as decode; OWM_E_CRYPTO. */
OWM_MUST_USE owm_status owm_decision_open(const uint8_t *data, size_t bytes,
                                          const uint8_t signature[64],
                                          const uint8_t coordinator_key[32], struct owm_case *c,
                                          struct owm_error *error);

#endif
