/* test_node_versions.c: the marks of what was used, over restarts; manifests, good and bad:
 * SRS-NODE-10, design promise 3. */
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/identity.h"
#include "base/json.h"
#include "fixture.h"
#include "node/manifest.h"
#include "node/versions.h"
#include "proto/model_manifest.h"
#include "test.h"

#define NOW INT64_C(1700000000000)

static const uint8_t key_a[32] = {0xaa, 1}, key_b[32] = {0xbb, 2};

struct world {
    char folder[128];
    node_versions *v;
};

static void open_marks(struct world *w, const uint8_t key[32])
{
    struct owm_error error = {""};
    node_versions_close(w->v);
    w->v = NULL;
    owm_status status = node_versions_open(w->folder, key, &w->v, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    fixture_folder(w->folder);
    open_marks(w, key_a);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    node_versions_close(w->v);
    fixture_remove(w->folder);
    free(w);
    return 0;
}

/** use: the version of a round, whose hash begins with `which`. */
static enum refusal_code use(struct world *w, enum model_use use, uint32_t round, uint8_t which,
                             int64_t now_ms)
{
    struct refusal judged, refusal;
    struct owm_error error = {""};
    const struct versions_use asked = {
        .use = use, .mark = {.round = round, .sha256 = {which}}, .now_ms = now_ms};
    node_versions_judge(w->v, use, &asked.mark, now_ms, &judged);
    assert_ok(node_versions_use(w->v, &asked, &refusal, &error));
    assert_int_equal(judged.code, refusal.code);
    if (refusal.code != REFUSAL_NONE) assert_non_null(strstr(refusal.why.text, w->folder));
    return refusal.code;
}

/* An older version is refused, but for the one used just before, for ten minutes; also after a
 * restart. Training and serving have marks of their own. */
static void test_downgrade(void **state)
{
    struct world *w = *state;
    assert_int_equal(use(w, MODEL_TRAINING, 5, 5, NOW), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_TRAINING, 6, 6, NOW + 1), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_TRAINING, 7, 7, NOW + 2), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_TRAINING, 6, 6, NOW + 3), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_TRAINING, 5, 5, NOW + 4), REFUSAL_DOWNGRADE);
    open_marks(w, key_a);
    assert_int_equal(use(w, MODEL_TRAINING, 6, 6, NOW + 2 + VERSIONS_GRACE_MS - 1), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_TRAINING, 6, 6, NOW + 2 + VERSIONS_GRACE_MS), REFUSAL_DOWNGRADE);
    assert_int_equal(use(w, MODEL_TRAINING, 6, 6, NOW - 100000), REFUSAL_DOWNGRADE);
    assert_int_equal(use(w, MODEL_TRAINING, 7, 7, NOW + 2 + VERSIONS_GRACE_MS), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_SERVING, 4, 4, NOW + 5), REFUSAL_NONE);
    struct version_mark mark;
    int64_t since_ms;
    assert_true(node_versions_newest(w->v, MODEL_TRAINING, &mark, &since_ms));
    assert_int_equal(mark.round, 7);
    assert_int_equal(since_ms, NOW + 2);
}

/* One round has one version, whatever it was used for. */
static void test_fork(void **state)
{
    struct world *w = *state;
    assert_int_equal(use(w, MODEL_TRAINING, 5, 5, NOW), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_TRAINING, 5, 9, NOW), REFUSAL_FORK);
    assert_int_equal(use(w, MODEL_SERVING, 5, 9, NOW), REFUSAL_FORK);
    assert_int_equal(use(w, MODEL_SERVING, 5, 5, NOW), REFUSAL_NONE);
    assert_int_equal(use(w, MODEL_TRAINING, 6, 6, NOW), REFUSAL_NONE);
    open_marks(w, key_a);
    assert_int_equal(use(w, MODEL_TRAINING, 5, 9, NOW + 1), REFUSAL_FORK);
}

/* Another coordinator has its own marks; those of the first are there when it comes back. */
static void test_coordinators(void **state)
{
    struct world *w = *state;
    assert_int_equal(use(w, MODEL_SERVING, 50, 5, NOW), REFUSAL_NONE);
    open_marks(w, key_b);
    assert_int_equal(use(w, MODEL_SERVING, 1, 1, NOW), REFUSAL_NONE);
    open_marks(w, key_a);
    assert_int_equal(use(w, MODEL_SERVING, 1, 1, NOW), REFUSAL_DOWNGRADE);
}

/* A damaged file does not count as none: that would let anybody who can damage it go back. */
static void test_damaged(void **state)
{
    struct world *w = *state;
    static const char *const texts[] = {
        "",
        "{}",
        "{\"coordinator\": \"00\"}",
        "{\"coordinator\": "
        "\"aa01000000000000000000000000000000000000000000000000000000000000\", \"training\": 3}",
        "{\"coordinator\": "
        "\"aa01000000000000000000000000000000000000000000000000000000000000\", "
        "\"serving\": {\"round\": 1, \"sha256\": \"zz\", \"since_ms\": 1}}",
    };
    assert_int_equal(use(w, MODEL_SERVING, 5, 5, NOW), REFUSAL_NONE);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        node_versions *v = NULL;
        struct owm_error error = {""};
        fixture_write(w->folder, "model-versions-aa01000000000000.json", texts[i]);
        assert_int_equal(node_versions_open(w->folder, key_a, &v, &error), OWM_E_PROTO);
        assert_non_null(strstr(error.text, "model-versions-aa01000000000000.json is damaged"));
        assert_null(v);
    }
}

/* A mark that cannot be written is no mark: the version is not used. */
static void test_unwritable(void **state)
{
    struct world *w = *state;
    struct refusal refusal;
    struct owm_error error = {""};
    const struct versions_use asked = {.use = MODEL_SERVING, .mark = {.round = 3}, .now_ms = NOW};
    fixture_remove(w->folder);
    assert_int_not_equal(node_versions_use(w->v, &asked, &refusal, &error), OWM_OK);
    struct version_mark mark;
    int64_t since_ms;
    assert_false(node_versions_newest(w->v, MODEL_SERVING, &mark, &since_ms));
}

/* ------------------------------------------------------------------------------ manifests */

static char *signed_by(const owm_identity *identity, json_t *manifest)
{
    uint8_t signature[64];
    char text[OWM_BASE64_CHARS(64) + 1], member[128], *canonical = NULL;
    size_t bytes = 0;
    assert_ok(owm_json_canonical(manifest, &canonical, &bytes));
    owm_identity_sign(identity, OWM_DOMAIN_MODEL, canonical, bytes, signature);
    free(canonical);
    owm_base64_encode(signature, 64, text);
    snprintf(member, sizeof member, "ed25519:%s", text);
    json_object_set_new(manifest, "coordinator_signature", json_string(member));
    char *out = json_dumps(manifest, 0);
    json_decref(manifest);
    return out;
}

static enum refusal_code read_it(const owm_identity *identity, const char *text,
                                 const struct manifest_named *named)
{
    struct manifest_facts facts;
    struct refusal refusal;
    assert_ok(manifest_read(text, owm_identity_public_key(identity), named, &facts, &refusal));
    if (refusal.code == REFUSAL_NONE) {
        assert_string_equal(facts.version, "owm-v0.1.7");
        assert_int_equal(facts.round, 7);
    }
    return refusal.code;
}

/* Promise 3: signed by the coordinator, whole, and of this checkpoint with this size. */
static void test_manifest(void **state)
{
    (void)state;
    owm_identity *coordinator = NULL, *stranger = NULL;
    static const uint8_t hash[32] = {1}, other[32] = {2};
    char hex[65];
    const struct manifest_named named = {hash, 100}, longer = {hash, 101}, another = {other, 100};
    assert_ok(owm_identity_generate(&coordinator));
    assert_ok(owm_identity_generate(&stranger));
    owm_hex_encode(hash, 32, hex);
    const char *form = "{s:s,s:I,s:{s:{s:s,s:i}}}";
    json_t *manifest = json_pack(form, "version", "owm-v0.1.7", "round", (json_int_t)7,
                                 "sub_models", "owm-lm", "sha256", hex, "size_bytes", 100);
    char *text = signed_by(coordinator, json_deep_copy(manifest));
    assert_int_equal(read_it(coordinator, text, &named), REFUSAL_NONE);
    assert_int_equal(read_it(coordinator, text, &longer), REFUSAL_NOT_NAMED);
    assert_int_equal(read_it(coordinator, text, &another), REFUSAL_NOT_NAMED);
    assert_int_equal(read_it(stranger, text, &named), REFUSAL_NOT_SIGNED);
    *strstr(text, ": 7") = ';'; /* No JSON any more, */
    assert_int_equal(read_it(coordinator, text, &named), REFUSAL_BAD_MANIFEST);
    free(text);
    text = signed_by(coordinator, json_deep_copy(manifest));
    *strchr(strstr(text, "v0.1"), '1') = '2'; /* and another version. */
    assert_int_equal(read_it(coordinator, text, &named), REFUSAL_NOT_SIGNED);
    free(text);
    json_object_del(manifest, "round");
    text = signed_by(coordinator, manifest);
    assert_int_equal(read_it(coordinator, text, &named), REFUSAL_BAD_MANIFEST);
    free(text);
    assert_int_equal(read_it(coordinator, "{", &named), REFUSAL_BAD_MANIFEST);
    assert_int_equal(read_it(coordinator, "[]", &named), REFUSAL_NOT_SIGNED);
    assert_int_equal(read_it(coordinator, "{\"coordinator_signature\":\"ed25519:AAAA\"}", &named),
                     REFUSAL_NOT_SIGNED);
    owm_identity_close(coordinator);
    owm_identity_close(stranger);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_downgrade), IN_WORLD(test_fork),       IN_WORLD(test_coordinators),
        IN_WORLD(test_damaged),   IN_WORLD(test_unwritable), cmocka_unit_test(test_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
