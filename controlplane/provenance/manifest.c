/* manifest.c: the members of SRS 4.5.2, their canonical text and the signature over it. */
#include "manifest.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/canonical.h"

#define MANIFEST_BYTES_MAX 65536
#define SIGNATURE          "coordinator_signature"
#define SIGNATURE_PREFIX   "ed25519:"
#define PREFIX_BYTES       (sizeof(SIGNATURE_PREFIX) - 1)

/* The manifest without its signature becomes the signed text; malloc'ed, NULL: out of memory. */
static char *sign(const owm_identity *identity, json_t *manifest)
{
    char *text = NULL;
    char signature[PREFIX_BYTES + OWM_BASE64_CHARS(OWM_SIGNATURE_BYTES) + 1] = SIGNATURE_PREFIX;
    uint8_t raw[OWM_SIGNATURE_BYTES];
    size_t bytes = 0;
    if (owm_json_canonical(manifest, &text, &bytes) != OWM_OK) return NULL;
    owm_identity_sign(identity, OWM_DOMAIN_MODEL, text, bytes, raw);
    owm_base64_encode(raw, sizeof(raw), signature + PREFIX_BYTES);
    free(text);
    if (json_object_set_new(manifest, SIGNATURE, json_string(signature)) != 0
        || owm_json_canonical(manifest, &text, &bytes) != OWM_OK)
        return NULL;
    return text;
}

char *owm_manifest_make(const owm_identity *identity, const struct owm_manifest_facts *facts)
{
    char hex[65], when[32];
    time_t seconds = (time_t)(facts->created_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
    owm_hex_encode(facts->sha256, 32, hex);
    json_t *manifest =
        json_pack("{s:s, s:I, s:s, s:{s:{s:s, s:s, s:n, s:I}}, s:s}", "version", facts->version,
                  "round", (json_int_t)facts->round, "timestamp_utc", when, "sub_models",
                  facts->sub_model, "sha256", hex, "ots_proof", facts->ots_proof, "btc_block",
                  "size_bytes", (json_int_t)facts->bytes, "release_notes", facts->notes);
    char *text = manifest ? sign(identity, manifest) : NULL;
    json_decref(manifest);
    return text;
}

/* Takes the signature out, so that what is left is what was signed. */
static owm_status check_signature(const owm_identity *identity, json_t *manifest,
                                  struct owm_error *error)
{
    uint8_t raw[OWM_SIGNATURE_BYTES];
    const char *text = NULL;
    size_t bytes = 0;
    owm_status status = owm_json_string(manifest, "", SIGNATURE, &text, error);
    if (status != OWM_OK) return status;
    if (strncmp(text, SIGNATURE_PREFIX, PREFIX_BYTES) != 0
        || owm_base64_decode(text + PREFIX_BYTES, strlen(text + PREFIX_BYTES), raw, sizeof(raw),
                             &bytes)
               != OWM_OK
        || bytes != sizeof(raw))
        return owm_fail(error, OWM_E_PROTO, "the manifest's signature is malformed");
    json_object_del(manifest, SIGNATURE);
    char *canonical = NULL;
    status = owm_json_canonical(manifest, &canonical, &bytes);
    if (status != OWM_OK) return owm_fail(error, status, "no memory for a manifest");
    status = owm_verify(owm_identity_public_key(identity), OWM_DOMAIN_MODEL, canonical, bytes, raw);
    free(canonical);
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, OWM_E_CRYPTO, "the manifest is not signed by this coordinator's key");
}

static owm_status set_block(json_t *manifest, const uint8_t sha256[32], uint64_t btc_block,
                            struct owm_error *error)
{
    char hex[65];
    const char *name;
    json_t *model;
    owm_hex_encode(sha256, 32, hex);
    json_object_foreach(json_object_get(manifest, "sub_models"), name, model)
    {
        const char *hash = json_string_value(json_object_get(model, "sha256"));
        if (!hash || strcmp(hash, hex) != 0) continue;
        if (json_object_set_new(model, "btc_block", json_integer((json_int_t)btc_block)) == 0)
            return OWM_OK;
        return owm_fail(error, OWM_E_NOMEM, "no memory for a manifest");
    }
    return owm_fail(error, OWM_E_NOTFOUND, "the manifest does not name the checkpoint %s", hex);
}

owm_status owm_manifest_confirm(const owm_identity *identity, const char *text,
                                const uint8_t sha256[static 32], uint64_t btc_block, char **fresh,
                                struct owm_error *error)
{
    json_t *manifest = NULL;
    owm_status status = owm_json_parse(text, strlen(text), MANIFEST_BYTES_MAX, &manifest, error);
    if (status == OWM_E_LIMIT) status = OWM_E_PROTO;
    if (status != OWM_OK) return status;
    status = check_signature(identity, manifest, error);
    if (status == OWM_OK) status = set_block(manifest, sha256, btc_block, error);
    if (status == OWM_OK && !(*fresh = sign(identity, manifest)))
        status = owm_fail(error, OWM_E_NOMEM, "no memory for a manifest");
    json_decref(manifest);
    return status;
}
