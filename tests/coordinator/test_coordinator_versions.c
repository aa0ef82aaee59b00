/* test_coordinator_versions.c: what nodes, operators and outsiders are told of a checkpoint and its
 * proof (SRS-OTS-06, SRS-OTS-07), and what becomes of a node that refuses it (promise 6). */
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/pg/pg.h"
#include "dataplane/ots/proof.h"
#include "network.h"
#include "test.h"

#define FIRST "owm-v0.1.0"

static struct pg_fixture database;
static struct coordinator network;
static struct fake_node node;

/* Nearly as large as a proof may be: a promise, and attestations of kinds that nobody knows. */
static void make_proof(const uint8_t hash[32], uint8_t **data, size_t *bytes)
{
    static uint8_t payload[OWM_OTS_PAYLOAD_BYTES_MAX];
    struct owm_ots_proof proof;
    struct owm_ots_attestation promise;
    assert_ok(owm_ots_proof_init(&proof, OWM_OTS_SHA256, (struct owm_ots_bytes){hash, 32}, NULL));
    assert_ok(owm_ots_pending("https://calendar.example", &promise, NULL));
    assert_ok(owm_ots_add_attestation(&proof.tree, OWM_OTS_ROOT, &promise, NULL, NULL));
    for (uint8_t i = 0; i < 127; i++) {
        const struct owm_ots_attestation unknown = {
            .kind = OWM_OTS_UNKNOWN, .tag = {1, i}, .detail = {payload, sizeof(payload)}};
        assert_ok(owm_ots_add_attestation(&proof.tree, OWM_OTS_ROOT, &unknown, NULL, NULL));
    }
    assert_ok(owm_ots_proof_write(&proof, data, bytes, NULL));
    assert_true(*bytes > OWM_OTS_FILE_BYTES_MAX - 10000);
    owm_ots_proof_deinit(&proof);
}

static void run(const char *sql)
{
    struct owm_pg *pg = NULL;
    assert_ok(owm_pg_open(network.url, &pg, NULL));
    assert_ok(owm_pg_exec(pg, sql, NULL));
    owm_pg_close(pg);
    owm_clock_sleep_ms(1100); /* an answer over HTTP is served again for a second */
}

static json_t *get(const char *path)
{
    json_t *value = NULL;
    char *text = coordinator_page(&network, path);
    assert_ok(owm_json_parse(text, strlen(text), 1 << 20, &value, NULL));
    free(text);
    return value;
}

static void assert_told(const char *ots_status, uint32_t btc_block)
{
    PB(ModelVersion) *version = fake_node_model(&node, "");
    PBI(ListVersionsResponse) *list = ask_versions(&network);
    json_t *page = get("/v1/model/versions/current");
    assert_string_equal(version->ots_status, ots_status);
    assert_int_equal(version->btc_block, btc_block);
    assert_int_equal(list->n_versions, 1);
    assert_string_equal(list->versions[0]->version_id, version->version_id);
    assert_memory_equal(list->versions[0]->model_hash.data, version->model_hash.data, 32);
    assert_string_equal(list->versions[0]->ots_status, ots_status);
    assert_int_equal(list->versions[0]->btc_block, btc_block);
    assert_true(list->versions[0]->current);
    assert_string_equal(json_string_value(json_object_get(page, "ots_status")), ots_status);
    json_decref(page);
    owm__internal__v1__list_versions_response__free_unpacked(list, NULL);
    owm__coordinator__v1__model_version__free_unpacked(version, NULL);
}

/* SRS-OTS-06: none, pending, confirmed, for all who ask; the proof comes to nodes in one answer
 * however large it is, and is no other than the file beside the checkpoint. */
static void test_states(void **state)
{
    (void)state;
    char hex[65], path[256];
    uint8_t *data = NULL;
    size_t bytes = 0;
    PB(ModelVersion) *version = fake_node_model(&node, FIRST);
    assert_non_null(version);
    assert_int_equal(version->ots_proof.len, 0);
    assert_told("none", 0);
    owm_hex_encode(version->model_hash.data, 32, hex);
    make_proof(version->model_hash.data, &data, &bytes);
    owm__coordinator__v1__model_version__free_unpacked(version, NULL);
    snprintf(path, sizeof(path), "%s/data/blobs/%.2s/%s.ots", network.folder, hex, hex);
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0600, NULL));
    run("UPDATE model_versions SET ots_calendars = 3, ots_stamped_at = now()");
    assert_told("pending", 0);
    version = fake_node_model(&node, hex);
    assert_int_equal(version->ots_calendars, 3);
    assert_int_equal(version->ots_proof.len, bytes);
    assert_memory_equal(version->ots_proof.data, data, bytes);
    owm__coordinator__v1__model_version__free_unpacked(version, NULL);
    run("UPDATE model_versions SET btc_block = 890421, ots_confirmed_at = now(), btc_time = now()");
    assert_told("confirmed", 890421);
    assert_null(fake_node_model(&node, "owm-v9"));
    char *front = coordinator_page(&network, "/"), *page = coordinator_page(&network, "/models");
    assert_non_null(strstr(front, "href=/models"));
    assert_non_null(strstr(page, "confirmed</b> in Bitcoin block 890421"));
    free(front);
    free(page);
    free(data);
}

/* SRS-OTS-06: what is served over HTTP is enough for somebody who trusts nobody. The proof of
 * test_states is a promise alone. */
static void test_outsider(void **state)
{
    (void)state;
    char hex[65], command[700];
    PB(ModelVersion) *version = fake_node_model(&node, FIRST);
    owm_hex_encode(version->model_hash.data, 32, hex);
    owm__coordinator__v1__model_version__free_unpacked(version, NULL);
    snprintf(command, sizeof(command),
             "%s http://127.0.0.1:%d/v1/model/versions/" FIRST " %s/data/coordinator.crt"
             " %s/data/blobs/%.2s/%s %s",
             OUTSIDER, network.http_port, network.folder, network.folder, hex, hex, OWM_OTS);
    int status = system(command);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
}

/* Promise 6, SRS-OTS-05: whoever refuses a checkpoint says why, is not blamed for it, and is heard:
 * in the log, and in a metric whose labels no node can invent. */
static void test_refusal(void **state)
{
    (void)state;
    static const char *const errors[] = {"UNPROVEN: WRONG_BLOCK: block 7 has another merkle root",
                                         "UNPROVEN: WRONG_BLOCK: block 7 has another merkle root",
                                         "UNPROVEN: \"}evil: I make up my own"};
    char line[160];
    ask_inference(&network, "one", NULL);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *plain = NULL;
        size_t bytes = 0;
        PB(Task) *task = fake_node_task(&node, 10000, &plain, &bytes);
        assert_non_null(task);
        assert_string_equal(fake_node_answer(&node, task, "", (struct wrong){.error = errors[i]}),
                            "");
        node.done[0] = 0; /* the same task comes again: there is nobody else */
        owm__coordinator__v1__task__free_unpacked(task, NULL);
        free(plain);
    }
    snprintf(line, sizeof(line), "model_refused node=%s version=" FIRST " code=WRONG_BLOCK",
             node.node_id);
    assert_true(coordinator_logged(&network, line));
    char *metrics = coordinator_page(&network, "/metrics");
    assert_non_null(strstr(metrics, "owm_model_refusals_total{code=\"WRONG_BLOCK\"} 2"));
    assert_non_null(strstr(metrics, "owm_model_refusals_total{code=\"OTHER\"} 1"));
    free(metrics);
    PBI(NetworkStatusResponse) *status = ask_network(&network);
    assert_true(status->nodes[0]->reliability == 1.0);
    owm__internal__v1__network_status_response__free_unpacked(status, NULL);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM misbehavior_signals"), 0);
    assert_int_equal(coordinator_count(&network,
                                       "SELECT count(*) FROM tasks WHERE status = 'failed'"
                                       " AND reason LIKE 'UNPROVEN: %'"),
                     1);
}

static int close_all(void **state)
{
    (void)state;
    fake_node_close(&node);
    coordinator_close(&network);
    pg_fixture_stop(&database);
    return 0;
}

int main(void)
{
    if (!pg_fixture_start(&database)) return TEST_SKIP;
    if (!pg_fixture_database(&database, "versions", network.url)) return 1;
    static const char *const options[] = {"--policy.network=devnet", "--policy.stake=none",
                                          "--rounds.enabled=false",  "--heartbeat.grace_ms=0",
                                          "--model.dim=32",          "--model.layers=1",
                                          "--model.heads=2",         "--model.kv_heads=1",
                                          "--model.ffn_dim=64",      "--model.context=64"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        coordinator_option(&network, options[i]);
    coordinator_start(&network);
    fake_node_open(&node, &network, "worker");
    fake_node_register(&node, FAULT_NONE);
    fake_node_stream(&node);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_outsider),
        cmocka_unit_test(test_refusal),
    };
    return cmocka_run_group_tests_name("versions", tests, NULL, close_all);
}
