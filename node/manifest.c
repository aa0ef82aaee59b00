/* manifest.c: check a model version's manifest. */
#include "node/manifest.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "proto/model_manifest.h"

/** check_signature: takes it out of the manifest. */
static owm_status check_signature(json_t *manifest, const uint8_t key[32], struct refusal *refusal)
{
    struct owm_error why = {""};
    owm_status status = owm_model_manifest_check(manifest, key, &why);
    if (status != OWM_E_CRYPTO) return status;
    refusal_set(refusal, REFUSAL_NOT_SIGNED, "%s", why.text);
    return OWM_OK;
}

/** names: one of the sub-models is this checkpoint. */
static bool names(const json_t *manifest, const struct manifest_named *named)
{
    char hex[65];
    owm_hex_encode(named->sha256, 32, hex);
    const char *key;
    json_t *model;
    json_object_foreach(json_object_get(manifest, "sub_models"), key, model)
    {
        const char *hash = json_string_value(json_object_get(model, "sha256"));
        const json_t *size = json_object_get(model, "size_bytes");
        if (hash != NULL && strcasecmp(hash, hex) == 0
            && (uint64_t)json_integer_value(size) == named->bytes)
            return true;
    }
    return false;
}

static void read_facts(const json_t *manifest, struct manifest_facts *facts,
                       struct refusal *refusal)
{
    const char *version = "";
    int64_t round = 0;
    struct owm_error why = {""};
    const struct owm_json_range rounds = {0, UINT32_MAX};
    if (owm_json_string(manifest, "", "version", &version, &why) != OWM_OK
        || owm_json_int(manifest, "", "round", rounds, &round, &why) != OWM_OK) {
        refusal_set(refusal, REFUSAL_BAD_MANIFEST, "the model manifest: %.300s", why.text);
        return;
    }
    snprintf(facts->version, sizeof facts->version, "%s", version);
    facts->round = (uint32_t)round;
}

owm_status manifest_read(const char *json, const uint8_t coordinator_key[static 32],
                         const struct manifest_named *named, struct manifest_facts *facts,
                         struct refusal *refusal)
{
    json_t *manifest = NULL;
    struct owm_error why = {""};
    *facts = (struct manifest_facts){.version = ""};
    *refusal = (struct refusal){.code = REFUSAL_NONE};
    owm_status status = owm_json_parse(json, strlen(json), MANIFEST_BYTES_MAX, &manifest, &why);
    if (status == OWM_E_NOMEM) return status;
    if (status != OWM_OK) {
        refusal_set(refusal, REFUSAL_BAD_MANIFEST, "the model manifest is malformed: %.300s",
                    why.text);
        return OWM_OK;
    }
    status = check_signature(manifest, coordinator_key, refusal);
    if (status == OWM_OK && refusal->code == REFUSAL_NONE && !names(manifest, named))
        refusal_set(refusal, REFUSAL_NOT_NAMED,
                    "the model manifest does not name this checkpoint with this size");
    if (status == OWM_OK && refusal->code == REFUSAL_NONE) read_facts(manifest, facts, refusal);
    json_decref(manifest);
    return status;
}
