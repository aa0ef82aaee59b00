/* manifest.c: the members of SRS 4.5.2. */
#include "manifest.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "proto/model_manifest.h"

#define MANIFEST_BYTES_MAX 65536

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
    char *text = manifest ? owm_model_manifest_sign(identity, manifest) : NULL;
    json_decref(manifest);
    return text;
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
    status = owm_model_manifest_check(manifest, owm_identity_public_key(identity), error);
    if (status == OWM_OK) status = set_block(manifest, sha256, btc_block, error);
    if (status == OWM_OK && !(*fresh = owm_model_manifest_sign(identity, manifest)))
        status = owm_fail(error, OWM_E_NOMEM, "no memory for a manifest");
    json_decref(manifest);
    return status;
}
