/* test_versions.c: what an outsider sees of model versions over HTTP, and that it is enough to
 * check them (SRS-OTS-06, SRS-OTS-07). */
#include "controlplane/provenance/versions.h"

#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/pg/pg.h"
#include "controlplane/db/schema.h"
#include "controlplane/provenance/manifest.h"
#include "controlplane/provenance/provenance.h"
#include "dataplane/ots/proof.h"
#include "pg_fixture.h"
#include "test.h"

#define ROUNDS   7
#define CREATED  INT64_C(1772721000000)
#define BTC_TIME INT64_C(1772800000000)
#define CONFIRMED                                                                                  \
    2 /* Rounds up to this one are in a block; the next is promised; the rest is not. */

static struct pg_fixture server;

struct world {
    char url[256], folder[64];
    struct owm_pg *pg;
    struct owm_blob_store *store;
    struct owm_versions *versions;
    owm_http_server *http;
    struct owm_http_route routes[OWM_VERSIONS_ROUTES];
    owm_identity *identity;
    char *manifest[ROUNDS + 1];
    uint8_t hash[ROUNDS + 1][32];
};

static struct world world;

/* ---------------------------------------------------------------------------- the database */

static void run(const char *sql, const struct owm_pg_args *args)
{
    struct owm_error error = {""};
    if (owm_pg_query(world.pg, sql, args, NULL, &error) != OWM_OK)
        fail_msg("%s: %s", sql, error.text);
}

static void add_version(uint32_t round)
{
    char version[32];
    snprintf(version, sizeof(version), "owm-v0.1.%u", round);
    memset(world.hash[round], 0xa0 + (int)round, 32);
    struct owm_manifest_facts facts = {.version = version,
                                       .sub_model = "owm-lm",
                                       .round = round,
                                       .created_ms = CREATED,
                                       .bytes = 14823049,
                                       .ots_proof = "blobs/a3/a3.ots",
                                       .notes = ""};
    memcpy(facts.sha256, world.hash[round], 32);
    world.manifest[round] = owm_manifest_make(world.identity, &facts);
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_text(&args, version);
    owm_pg_i64(&args, round);
    owm_pg_bytes(&args, world.hash[round], 32);
    owm_pg_text(&args, world.manifest[round]);
    owm_pg_bool(&args, round == ROUNDS);
    owm_pg_i64(&args, round <= CONFIRMED + 1 ? 3 : 0);
    owm_pg_bool(&args, round <= CONFIRMED);
    owm_pg_i64(&args, CREATED);
    owm_pg_i64(&args, BTC_TIME);
    run("INSERT INTO model_versions (version_id, round_number, model_hash, model_bytes, manifest,"
        " is_current, ots_calendars, ots_note, created_at, ots_stamped_at, ots_confirmed_at,"
        " btc_block, btc_time) VALUES ($1, nullif($2::int, 0), $3, 14823049, $4, $5, $6,"
        " CASE WHEN $6::int = 0 THEN 'calendar <a&b> is away' ELSE '' END,"
        " to_timestamp($8::bigint / 1000), CASE WHEN $6::int > 0 THEN now() END,"
        " CASE WHEN $7 THEN now() END, CASE WHEN $7 THEN 890421 END,"
        " CASE WHEN $7 THEN to_timestamp($9::bigint / 1000) END)",
        &args);
}

/* One that is real: the file's hash, and a promise. */
static void write_proof(uint32_t round)
{
    char path[256], *slash;
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_ots_proof proof;
    const struct owm_ots_bytes digest = {world.hash[round], 32};
    assert_ok(owm_ots_proof_init(&proof, OWM_OTS_SHA256, digest, NULL));
    struct owm_ots_attestation promise;
    assert_ok(owm_ots_pending("https://calendar.example", &promise, NULL));
    assert_ok(owm_ots_add_attestation(&proof.tree, OWM_OTS_ROOT, &promise, NULL, NULL));
    assert_ok(owm_ots_proof_write(&proof, &data, &bytes, NULL));
    assert_ok(owm_provenance_path(world.store, world.hash[round], path, sizeof(path)));
    slash = strrchr(path, '/');
    *slash = 0;
    assert_ok(owm_fs_mkdirs(path, 0700, NULL));
    *slash = '/';
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0600, NULL));
    free(data);
    owm_ots_proof_deinit(&proof);
}

static int open_world(void **state)
{
    (void)state;
    char path[128];
    struct owm_error error = {""};
    assert_true(pg_fixture_database(&server, "versions", world.url));
    assert_ok(owm_pg_open(world.url, &world.pg, NULL));
    if (owm_migrate(world.pg, owm_migrations, owm_migrations_count, NULL, &error) != OWM_OK)
        fail_msg("%s", error.text);
    snprintf(world.folder, sizeof(world.folder), "/tmp/owm-versions-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    snprintf(path, sizeof(path), "%s/key", world.folder);
    assert_ok(owm_identity_load_or_create(path, &world.identity, NULL, NULL));
    snprintf(path, sizeof(path), "%s/blobs", world.folder);
    assert_ok(owm_blob_store_open(path, &world.store, NULL));
    run("INSERT INTO fl_rounds (round_number, base_version, base_hash, base_bytes)"
        " SELECT n, 'v', decode(repeat('00', 32), 'hex'), 1 FROM generate_series(1, 7) n",
        NULL);
    for (uint32_t round = 0; round <= ROUNDS; round++) add_version(round);
    for (uint32_t round = 0; round <= CONFIRMED + 1; round++) write_proof(round);
    assert_ok(owm_versions_open(world.url, "a test network: <pending> is enough", world.store,
                                &world.versions));
    owm_versions_routes(world.versions, world.routes);
    const struct owm_http_server_options options = {.routes = world.routes,
                                                    .route_count = OWM_VERSIONS_ROUTES};
    assert_ok(owm_http_server_open(&options, &world.http, NULL));
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    char command[100];
    owm_http_server_close(world.http);
    owm_versions_close(world.versions);
    owm_blob_store_close(world.store);
    owm_identity_close(world.identity);
    owm_pg_close(world.pg);
    for (int i = 0; i <= ROUNDS; i++) free(world.manifest[i]);
    snprintf(command, sizeof(command), "rm -rf %s", world.folder);
    return system(command);
}

/* ---------------------------------------------------------------------------- HTTP */

static struct owm_http_result fetch(const char *path, unsigned status, const char *type)
{
    char url[600];
    struct owm_http_result result;
    struct owm_error error = {""};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", owm_http_server_port(world.http), path);
    if (owm_http_fetch(&(struct owm_http_call){.url = url}, &result, &error) != OWM_OK)
        fail_msg("%s", error.text);
    if (result.status != status) fail_msg("%s: %u %s", path, result.status, (char *)result.body);
    assert_string_equal(result.content_type, type);
    return result;
}

static json_t *get(const char *path, unsigned status)
{
    json_t *value = NULL;
    struct owm_http_result result =
        fetch(path, status, status == 200 ? "application/json" : "application/problem+json");
    assert_ok(owm_json_parse((char *)result.body, result.body_bytes, 1 << 20, &value, NULL));
    owm_http_result_deinit(&result);
    return value;
}

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? -1 : json_integer_value(value);
}

/* SRS-OTS-06: every version, newest first, page by page, with the state of its proof. */
static void test_list(void **state)
{
    (void)state;
    char path[100] = "/v1/model/versions?limit=3";
    int64_t next = 0, round = ROUNDS;
    while (next >= 0) {
        json_t *page = get(path, 200);
        size_t i;
        json_t *version;
        json_array_foreach(json_object_get(page, "versions"), i, version)
        {
            assert_int_equal(number(version, "round"), round);
            const char *wanted = round <= CONFIRMED       ? "confirmed"
                                 : round == CONFIRMED + 1 ? "pending"
                                                          : "none";
            assert_string_equal(text(version, "ots_status"), wanted);
            assert_int_equal(number(version, "btc_block"), round <= CONFIRMED ? 890421 : -1);
            assert_int_equal(json_is_true(json_object_get(version, "current")), round == ROUNDS);
            round--;
        }
        next = number(page, "next");
        snprintf(path, sizeof(path), "/v1/model/versions?before=%lld&limit=3", (long long)next);
        json_decref(page);
    }
    assert_int_equal(round, -1);
}

/* SRS-OTS-07: checkpoint hash, path of the proof, block, round, time. */
static void test_one(void **state)
{
    (void)state;
    char hex[65], path[200];
    json_t *version = get("/v1/model/versions/owm-v0.1.2", 200);
    owm_hex_encode(world.hash[2], 32, hex);
    assert_string_equal(text(version, "model_hash"), hex);
    assert_string_equal(text(version, "ots_proof_path"), "blobs/a3/a3.ots");
    assert_int_equal(number(version, "btc_block"), 890421);
    assert_int_equal(number(version, "btc_time_ms"), BTC_TIME);
    assert_int_equal(number(version, "round"), 2);
    assert_int_equal(number(version, "created_ms"), CREATED);
    assert_int_equal(number(version, "model_bytes"), 14823049);
    assert_int_equal(number(version, "ots_calendars"), 3);
    assert_string_equal(text(version, "proof"), "/v1/model/versions/owm-v0.1.2/ots");
    json_decref(version);
    version = get("/v1/model/versions/current", 200);
    assert_string_equal(text(version, "version_id"), "owm-v0.1.7");
    assert_string_equal(text(version, "note"), "calendar <a&b> is away");
    json_decref(version);
    owm_hex_encode(world.hash[0], 32, hex);
    for (int upper = 0; upper < 2; upper++) {
        for (char *at = hex; upper && *at; at++)
            if (*at >= 'a') *at = (char)(*at - 'a' + 'A');
        snprintf(path, sizeof(path), "/v1/model/versions/%s", hex);
        version = get(path, 200);
        assert_string_equal(text(version, "version_id"), "owm-v0.1.0");
        json_decref(version);
    }
}

/* What is needed to check a version, byte for byte; the proof is of the hash that the manifest
 * names. */
static void test_files(void **state)
{
    (void)state;
    struct owm_ots_proof proof;
    struct owm_http_result result =
        fetch("/v1/model/versions/owm-v0.1.1/manifest", 200, "application/json");
    assert_string_equal((char *)result.body, world.manifest[1]);
    owm_http_result_deinit(&result);
    result = fetch("/v1/model/versions/owm-v0.1.1/ots", 200, "application/octet-stream");
    assert_ok(owm_ots_proof_read(result.body, result.body_bytes, &proof, NULL));
    assert_memory_equal(proof.tree.nodes[OWM_OTS_ROOT].message.data, world.hash[1], 32);
    owm_ots_proof_deinit(&proof);
    owm_http_result_deinit(&result);
}

/* RFC 7807: each mistake has its status and a sentence. */
static void test_problems(void **state)
{
    (void)state;
    static const struct {
        const char *path, *detail;
        unsigned status;
    } wrong[] = {
        {"/v1/model/versions?limit=0", "limit is not", 400},
        {"/v1/model/versions?limit=501", "limit is not", 400},
        {"/v1/model/versions?limit=x", "limit is not", 400},
        {"/v1/model/versions?before=-1", "before is not", 400},
        {"/v1/model/versions?before", "no value", 400},
        {"/v1/model/versions?colour=1", "parameters are", 400},
        {"/models?limit=3", "parameter is", 400},
        {"/v1/model/versions/", "the path is", 404},
        {"/v1/model/versions/owm-v0.1.1/weights", "the path is", 404},
        {"/v1/model/versions/owm-v0.1.1/ots/x", "the path is", 404},
        {"/v1/model/versions/owm-v9", "no such version", 404},
        {"/v1/model/versions/owm-v9/ots", "no such version", 404},
        {"/v1/model/versions/owm-v0.1.7/ots", "no calendar", 404},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json_t *problem = get(wrong[i].path, wrong[i].status);
        assert_int_equal(number(problem, "status"), wrong[i].status);
        assert_string_equal(text(problem, "title"),
                            wrong[i].status == 400 ? "Bad Request" : "Not Found");
        if (!strstr(text(problem, "detail"), wrong[i].detail))
            fail_msg("%s: %s", wrong[i].path, text(problem, "detail"));
        json_decref(problem);
    }
}

/* A file that cannot be a proof is not served as one. */
static void test_unreadable_proof(void **state)
{
    (void)state;
    char path[256];
    assert_ok(owm_provenance_path(world.store, world.hash[0], path, sizeof(path)));
    assert_int_equal(truncate(path, OWM_OTS_FILE_BYTES_MAX + 1), 0);
    json_decref(get("/v1/model/versions/owm-v0.1.0/ots", 503));
}

/* For people: all that the list says, nothing that runs. */
static void test_page(void **state)
{
    (void)state;
    static const char *const there[] = {
        "a test network: &lt;pending&gt; is enough",
        "<b class=confirmed>confirmed</b> in Bitcoin block 890421 of 2026-03-06 12:26 UTC",
        "<b class=pending>pending</b>: promised by 3 calendars",
        "<b class=none>none</b><br>",
        "calendar &lt;a&amp;b&gt; is away",
        "href=\"/v1/model/versions/owm-v0.1.2/ots\"",
        "href=\"/v1/model/versions/owm-v0.1.7/manifest\"",
        "14.8 MB",
    };
    struct owm_http_result result = fetch("/models", 200, "text/html; charset=utf-8");
    for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
        if (!strstr((char *)result.body, there[i]))
            fail_msg("no \"%s\" in %s", there[i], (char *)result.body);
    assert_null(strstr((char *)result.body, "<script"));
    assert_null(strstr((char *)result.body, "owm-v0.1.7/ots")); /* there is none so far */
    owm_http_result_deinit(&result);
    result = fetch("/models?before=3", 200, "text/html; charset=utf-8");
    assert_null(strstr((char *)result.body, "owm-v0.1.3"));
    assert_non_null(strstr((char *)result.body, "owm-v0.1.2"));
    owm_http_result_deinit(&result);
}

/* The page says that the database is away, and goes on when it is back. */
static void test_database_away(void **state)
{
    (void)state;
    pg_fixture_crash(&server);
    json_t *problem = get("/v1/model/versions?limit=499", 503);
    assert_string_equal(text(problem, "detail"), "the database does not answer");
    json_decref(problem);
    assert_true(pg_fixture_resume(&server));
    json_decref(get("/v1/model/versions?limit=498", 200));
}

int main(void)
{
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),          cmocka_unit_test(test_one),
        cmocka_unit_test(test_files),         cmocka_unit_test(test_problems),
        cmocka_unit_test(test_page),          cmocka_unit_test(test_unreadable_proof),
        cmocka_unit_test(test_database_away),
    };
    int failed = cmocka_run_group_tests_name("versions", tests, open_world, close_world);
    pg_fixture_stop(&server);
    return failed;
}
