/* test_manifest.c: what is signed about a version, and how its block gets into it. */
#include "base/bytes.h"
#include "base/json.h"
#include "controlplane/provenance/manifest.h"
#include "proto/model_manifest.h"
#include "test.h"

static owm_identity *ours, *another;

static struct owm_manifest_facts facts(void)
{
    struct owm_manifest_facts made = {.version = "owm-v0.1.142",
                                      .sub_model = "owm-lm",
                                      .round = 142,
                                      .created_ms = 1772721000123,
                                      .bytes = 14823049,
                                      .ots_proof = "blobs/a3/a3.ots",
                                      .notes = "round 142, \"quoted\" and \xc3\xa9"};
    memset(made.sha256, 0xa3, sizeof(made.sha256));
    return made;
}

static json_t *parse(const char *text)
{
    json_t *value = NULL;
    assert_ok(owm_json_parse(text, strlen(text), 65536, &value, NULL));
    return value;
}

/* As a node does it: independent of the code under test. */
static bool signed_by(const char *text, const owm_identity *identity)
{
    json_t *manifest = parse(text);
    const char *signature = json_string_value(json_object_get(manifest, "coordinator_signature"));
    uint8_t raw[64];
    size_t bytes = 0;
    char *canonical = NULL;
    assert_memory_equal(signature, "ed25519:", 8);
    assert_ok(owm_base64_decode(signature + 8, strlen(signature + 8), raw, 64, &bytes));
    assert_int_equal(bytes, 64);
    json_object_del(manifest, "coordinator_signature");
    assert_ok(owm_json_canonical(manifest, &canonical, &bytes));
    bool good =
        owm_verify(owm_identity_public_key(identity), OWM_DOMAIN_MODEL, canonical, bytes, raw)
        == OWM_OK;
    free(canonical);
    json_decref(manifest);
    return good;
}

/* SRS-OTS-07: hash, path of the proof, block, round and time are in the signed manifest. */
static void test_made(void **state)
{
    (void)state;
    struct owm_manifest_facts made = facts();
    char *text = owm_manifest_make(ours, &made);
    char hex[65];
    assert_non_null(text);
    assert_true(signed_by(text, ours));
    assert_false(signed_by(text, another));
    owm_hex_encode(made.sha256, 32, hex);
    json_t *manifest = parse(text);
    const json_t *model = json_object_get(json_object_get(manifest, "sub_models"), "owm-lm");
    assert_string_equal(json_string_value(json_object_get(manifest, "version")), made.version);
    assert_int_equal(json_integer_value(json_object_get(manifest, "round")), 142);
    assert_string_equal(json_string_value(json_object_get(manifest, "timestamp_utc")),
                        "2026-03-05T14:30:00Z");
    assert_string_equal(json_string_value(json_object_get(manifest, "release_notes")), made.notes);
    assert_string_equal(json_string_value(json_object_get(model, "sha256")), hex);
    assert_string_equal(json_string_value(json_object_get(model, "ots_proof")), made.ots_proof);
    assert_int_equal(json_integer_value(json_object_get(model, "size_bytes")), 14823049);
    assert_true(json_is_null(json_object_get(model, "btc_block")));
    json_decref(manifest);
    free(text);
}

/* Everything but the block and the signature stays as it was; twice is the same as once. */
static void test_confirmed(void **state)
{
    (void)state;
    struct owm_manifest_facts made = facts();
    char *text = owm_manifest_make(ours, &made), *fresh = NULL, *again = NULL;
    assert_ok(owm_manifest_confirm(ours, text, made.sha256, 890421, &fresh, NULL));
    assert_true(signed_by(fresh, ours));
    assert_ok(owm_manifest_confirm(ours, fresh, made.sha256, 890421, &again, NULL));
    assert_string_equal(fresh, again);
    json_t *before = parse(text), *after = parse(fresh);
    json_t *model = json_object_get(json_object_get(after, "sub_models"), "owm-lm");
    assert_int_equal(json_integer_value(json_object_get(model, "btc_block")), 890421);
    json_object_set_new(model, "btc_block", json_null());
    json_object_del(before, "coordinator_signature");
    json_object_del(after, "coordinator_signature");
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    free(again);
    free(fresh);
    free(text);
}

/* What another signed, or somebody changed, is never signed by us. */
static void test_refused(void **state)
{
    (void)state;
    struct owm_manifest_facts made = facts();
    char *text = owm_manifest_make(another, &made), *fresh = NULL;
    uint8_t other[32] = {1};
    struct owm_error error = {""};
    assert_int_equal(owm_manifest_confirm(ours, text, made.sha256, 7, &fresh, &error),
                     OWM_E_CRYPTO);
    assert_non_null(strstr(error.text, "not signed by the coordinator"));
    free(text);
    text = owm_manifest_make(ours, &made);
    assert_int_equal(owm_manifest_confirm(ours, text, other, 7, &fresh, &error), OWM_E_NOTFOUND);
    *strstr(text, "14823049") = '2';
    assert_int_equal(owm_manifest_confirm(ours, text, made.sha256, 7, &fresh, &error),
                     OWM_E_CRYPTO);
    static const char *const broken[] = {
        "",
        "[]",
        "{}",
        "{\"coordinator_signature\":7}",
        "{\"coordinator_signature\":\"ed25519:\"}",
        "{\"coordinator_signature\":\"ed25519:AAAA\"}",
        "{\"coordinator_signature\":\"rsa:AAAA\"}",
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_int_equal(owm_manifest_confirm(ours, broken[i], made.sha256, 7, &fresh, &error),
                         i == 0 ? OWM_E_PROTO : OWM_E_CRYPTO);
    assert_null(fresh);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_confirmed),
        cmocka_unit_test(test_refused),
    };
    if (owm_identity_generate(&ours) != OWM_OK || owm_identity_generate(&another) != OWM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    owm_identity_close(another);
    owm_identity_close(ours);
    return failed;
}
