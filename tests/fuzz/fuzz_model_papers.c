/* fuzz_model_papers.c: what a coordinator shows for a model: a manifest, and a proof. A first byte
 * says which. A manifest that parses is signed here, so that what comes behind the signature is
 * reached too. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/identity.h"
#include "base/json.h"
#include "node/manifest.h"
#include "proto/model_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t sha256[32] = {1};

static char *with_signature(const owm_identity *identity, const char *text, size_t bytes)
{
    json_t *manifest = NULL;
    char *canonical = NULL, member[8 + OWM_BASE64_CHARS(OWM_SIGNATURE_BYTES) + 1] = "ed25519:";
    uint8_t signature[OWM_SIGNATURE_BYTES];
    size_t length = 0;
    if (owm_json_parse(text, bytes, MANIFEST_BYTES_MAX, &manifest, NULL) != OWM_OK) return NULL;
    json_object_del(manifest, "coordinator_signature");
    if (json_is_object(manifest) && owm_json_canonical(manifest, &canonical, &length) == OWM_OK) {
        owm_identity_sign(identity, OWM_DOMAIN_MODEL, canonical, length, signature);
        owm_base64_encode(signature, sizeof signature, member + 8);
        json_object_set_new(manifest, "coordinator_signature", json_string(member));
        free(canonical);
        canonical = json_dumps(manifest, 0);
    }
    json_decref(manifest);
    return canonical;
}

static void read_manifest(const char *text, size_t bytes)
{
    static owm_identity *identity;
    struct manifest_facts facts;
    struct refusal refusal;
    const struct manifest_named named = {sha256, 100};
    if (identity == NULL && owm_identity_generate(&identity) != OWM_OK) abort();
    const uint8_t *key = owm_identity_public_key(identity);
    char *plain = strndup(text, bytes), *made = with_signature(identity, text, bytes);
    if (plain && manifest_read(plain, key, &named, &facts, &refusal) == OWM_OK
        && refusal.code == REFUSAL_NONE)
        abort(); /* Nobody can have signed it. */
    if (made && manifest_read(made, key, &named, &facts, &refusal) == OWM_OK
        && refusal.code == REFUSAL_NOT_SIGNED)
        abort();
    free(plain);
    free(made);
}

static owm_status tip(void *ctx, uint64_t *height, struct owm_error *error)
{
    (void)ctx;
    (void)error;
    *height = 1000;
    return OWM_OK;
}

static owm_status header(void *ctx, uint64_t height, uint8_t data[static OWM_OTS_HEADER_BYTES],
                         struct owm_error *error)
{
    (void)ctx;
    (void)error;
    memset(data, (int)height, OWM_OTS_HEADER_BYTES);
    return OWM_OK;
}

static void judge(const uint8_t *data, size_t size)
{
    static const struct owm_ots_calendars calendars = {.own_count = 0};
    const struct owm_ots_headers headers = {.tip = tip, .header = header};
    static const enum proof_demand demands[] = {PROOF_OPTIONAL, PROOF_PROMISED, PROOF_CONFIRMED};
    for (size_t i = 0; i < sizeof demands / sizeof demands[0]; i++) {
        const struct proof_policy policy = {
            .demand = {demands[i], demands[i]}, .calendars = &calendars, .calendars_needed = 1};
        const struct proof_question question = {
            .sha256 = sha256, .proof = data, .proof_bytes = size, .headers = i ? &headers : NULL};
        struct proof_facts facts;
        struct refusal refusal;
        struct owm_error error;
        owm_status status = proof_judge(&policy, &question, &facts, &refusal, &error);
        bool accepted = status == OWM_OK && refusal.code == REFUSAL_NONE;
        if (accepted && demands[i] == PROOF_CONFIRMED && facts.state != PROOF_IN_BLOCK) abort();
        if (accepted && demands[i] != PROOF_OPTIONAL && facts.state == PROOF_ABSENT) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    if (data[0] == 'm')
        read_manifest((const char *)data + 1, size - 1);
    else
        judge(data + 1, size - 1);
    return 0;
}
