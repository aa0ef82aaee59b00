/* manifest.c: check a model version's manifest. */
#include "node/manifest.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/identity.h"
#include "base/json.h"
#include "proto/canonical.h"

#define SIGNATURE_MEMBER "coordinator_signature"
#define SIGNATURE_PREFIX "ed25519:"

/** check_signature: takes the member out, so that what is left is what was signed. */
static owm_status check_signature(json_t *manifest, const uint8_t key[32], struct owm_error *error)
{
    const char *text = NULL;
    owm_status status = owm_json_string(manifest, "", SIGNATURE_MEMBER, &text, error);
    if (status != OWM_OK) return status;
    uint8_t signature[OWM_SIGNATURE_BYTES];
    size_t bytes = 0, prefix = strlen(SIGNATURE_PREFIX);
    if (strncmp(text, SIGNATURE_PREFIX, prefix) != 0
        || owm_base64_decode(text + prefix, strlen(text + prefix), signature, sizeof signature,
                             &bytes)
               != OWM_OK
        || bytes != sizeof signature)
        return owm_fail(error, OWM_E_PROTO, "the model manifest's signature is malformed");
    json_object_del(manifest, SIGNATURE_MEMBER);
    char *canonical = NULL;
    status = owm_json_canonical(manifest, &canonical, &bytes);
    if (status != OWM_OK) return status;
    status = owm_verify(key, OWM_DOMAIN_MODEL, canonical, bytes, signature);
    free(canonical);
    if (status != OWM_OK)
        owm_fail(error, status, "the model manifest is not signed by the coordinator");
    return status;
}

/** names: one of the sub-models is this checkpoint. */
static bool names(const json_t *manifest, const uint8_t sha256[32], uint64_t bytes)
{
    char hex[65];
    owm_hex_encode(sha256, 32, hex);
    const char *key;
    json_t *model;
    json_object_foreach(json_object_get(manifest, "sub_models"), key, model)
    {
        const char *hash = json_string_value(json_object_get(model, "sha256"));
        const json_t *size = json_object_get(model, "size_bytes");
        if (hash != NULL && strcasecmp(hash, hex) == 0
            && (uint64_t)json_integer_value(size) == bytes)
            return true;
    }
    return false;
}

owm_status manifest_check(const char *json, const uint8_t coordinator_key[static 32],
                          const uint8_t sha256[static 32], uint64_t bytes, struct owm_error *error)
{
    json_t *manifest = NULL;
    owm_status status = owm_json_parse(json, strlen(json), MANIFEST_BYTES_MAX, &manifest, error);
    if (status != OWM_OK) return status;
    status = check_signature(manifest, coordinator_key, error);
    if (status == OWM_OK && !names(manifest, sha256, bytes))
        status = owm_fail(error, OWM_E_PROTO, "the model manifest does not name this checkpoint");
    json_decref(manifest);
    return status;
}
