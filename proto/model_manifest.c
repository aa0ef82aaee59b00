/* model_manifest.c: see model_manifest.h. */
#include "proto/model_manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define MEMBER       "coordinator_signature"
#define PREFIX       "ed25519:"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)

char *owm_model_manifest_sign(const owm_identity *identity, json_t *manifest)
{
    char *text = NULL;
    char signature[PREFIX_BYTES + OWM_BASE64_CHARS(OWM_SIGNATURE_BYTES) + 1] = PREFIX;
    uint8_t raw[OWM_SIGNATURE_BYTES];
    size_t bytes = 0;
    if (owm_json_canonical(manifest, &text, &bytes) != OWM_OK) return NULL;
    owm_identity_sign(identity, OWM_DOMAIN_MODEL, text, bytes, raw);
    owm_base64_encode(raw, sizeof(raw), signature + PREFIX_BYTES);
    free(text);
    if (json_object_set_new(manifest, MEMBER, json_string(signature)) != 0
        || owm_json_canonical(manifest, &text, &bytes) != OWM_OK)
        return NULL;
    return text;
}

static bool read_signature(const json_t *manifest, uint8_t raw[static OWM_SIGNATURE_BYTES])
{
    const char *text = json_string_value(json_object_get(manifest, MEMBER));
    size_t bytes = 0;
    return text && strncmp(text, PREFIX, PREFIX_BYTES) == 0
           && owm_base64_decode(text + PREFIX_BYTES, strlen(text + PREFIX_BYTES), raw,
                                OWM_SIGNATURE_BYTES, &bytes)
                  == OWM_OK
           && bytes == OWM_SIGNATURE_BYTES;
}

owm_status owm_model_manifest_check(json_t *manifest, const uint8_t key[static 32],
                                    struct owm_error *error)
{
    uint8_t raw[OWM_SIGNATURE_BYTES];
    char *text = NULL;
    size_t bytes = 0;
    if (!read_signature(manifest, raw))
        return owm_fail(error, OWM_E_CRYPTO,
                        "the model manifest's " MEMBER " is missing or malformed");
    json_object_del(manifest, MEMBER);
    owm_status status = owm_json_canonical(manifest, &text, &bytes);
    if (status != OWM_OK) return owm_fail(error, status, "no memory for a manifest");
    status = owm_verify(key, OWM_DOMAIN_MODEL, text, bytes, raw);
    free(text);
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, OWM_E_CRYPTO, "the model manifest is not signed by the coordinator");
}
