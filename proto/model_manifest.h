/* model_manifest.h: the coordinator's signature in the manifest of a model version (SRS 4.5.2).
 *
 * The member "coordinator_signature" is "ed25519:" and the base64 of the signature: made with the
 * domain OWM_DOMAIN_MODEL over owm_json_canonical() of the manifest without that member.
 */
#ifndef OWM_PROTO_MODEL_MANIFEST_H
#define OWM_PROTO_MODEL_MANIFEST_H

#include "base/identity.h"
#include "base/json.h"

#define OWM_DOMAIN_MODEL "owm model v1"

/** owm_model_manifest_sign: put the member into a manifest that has none. Returns: the canonical
 *  text with it, malloc'ed; NULL: out of memory. */
char *owm_model_manifest_sign(const owm_identity *identity, json_t *manifest);

/** owm_model_manifest_check: take the member out, and check it over what is left. Safe for hostile
 *  values.
 *  Returns: OWM_OK; OWM_E_CRYPTO missing, malformed, or not of this key, with the sentence;
 *  OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_model_manifest_check(json_t *manifest, const uint8_t key[static 32],
                                                 struct owm_error *error);

#endif
