/* test_coordinator_registration.c: who gets in and who does not (SRS-SEC-01, SRS-SEC-03,
 * SRS-SEC-04, SRS-COORD-01, SRS-COORD-02). Stakes: test_coordinator_stake.c. */
#include "base/clock.h"
#include "network.h"
#include "test.h"

static struct pg_fixture database;
static struct coordinator open_network, staked_network;

/* SRS-SEC-03: challenge, signature, time and key, each refused with its own reason. */
static void test_refusals(void **state)
{
    (void)state;
    struct fake_node node;
    fake_node_open(&node, &open_network, "refused");
    assert_string_equal(fake_node_register(&node, FAULT_SIGNATURE), "BAD_SIGNATURE");
    assert_string_equal(fake_node_register(&node, FAULT_KEY), "WRONG_KEY");
    assert_string_equal(fake_node_register(&node, FAULT_TIME), "STALE_TIMESTAMP");
    assert_string_equal(fake_node_register(&node, FAULT_PROTOCOL), "PROTOCOL_VERSION");
    assert_string_equal(fake_node_register(&node, FAULT_CHALLENGE), "UNKNOWN_CHALLENGE");
    /* Nothing was registered by all that. */
    assert_int_equal(fake_node_heartbeat(&node, "00000000-0000-4000-8000-000000000000"),
                     OWM_RPC_NOT_FOUND);
    fake_node_close(&node);
    static const char *const codes[] = {"BAD_SIGNATURE", "WRONG_KEY", "STALE_TIMESTAMP",
                                        "PROTOCOL_VERSION", "UNKNOWN_CHALLENGE"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char line[80];
        snprintf(line, sizeof(line), "refused method=RegisterNode reason=%s", codes[i]);
        assert_true(coordinator_logged(&open_network, line));
    }
}

/* A good registration, with a field nobody knows yet; the same bytes again are a replay; the same
 * key again keeps its node_id. */
static void test_registration_and_replay(void **state)
{
    (void)state;
    struct fake_node node, other;
    char first[40];
    fake_node_open(&node, &open_network, "alice");
    assert_string_equal(fake_node_register(&node, FAULT_NONE), "");
    assert_string_equal(fake_node_replay(&node), "REPLAYED");
    snprintf(first, sizeof(first), "%s", node.node_id);
    assert_string_equal(fake_node_register(&node, FAULT_NONE), "");
    assert_string_equal(node.node_id, first);
    for (int i = 0; i < 3; i++) assert_int_equal(fake_node_heartbeat(&node, NULL), OWM_RPC_OK);
    /* SRS-SEC-01: another connection's key does not speak for this node. */
    fake_node_open(&other, &open_network, "mallory");
    assert_string_equal(fake_node_register(&other, FAULT_NONE), "");
    assert_int_equal(fake_node_heartbeat(&other, node.node_id), OWM_RPC_PERMISSION_DENIED);
    assert_true(coordinator_logged(&open_network, "refused method=Heartbeat reason=WRONG_KEY"));
    PBI(NetworkStatusResponse) *status = ask_network(&open_network);
    assert_int_equal(status->n_nodes, 2);
    assert_string_equal(status->stake_policy, "none");
    assert_non_null(strstr(status->ots_policy, "without an OpenTimestamps proof"));
    owm__internal__v1__network_status_response__free_unpacked(status, NULL);
    fake_node_close(&other);
    fake_node_close(&node);
}

/* Each registration costs calls of the treasury's node: a known key may come back 60 times an hour,
 * is then told to wait, and that is counted. */
static void come_back_without_end(struct fake_node *node)
{
    for (int i = 0; i < 60; i++) assert_string_equal(fake_node_register(node, FAULT_NONE), "");
    assert_string_equal(fake_node_register(node, FAULT_NONE), "TOO_MANY_REGISTRATIONS");
    assert_true(coordinator_logged(&open_network,
                                   "refused method=RegisterNode reason=TOO_MANY_REGISTRATIONS"));
}

/* SRS-SEC-04: ten new nodes an hour from one address; those that are known may come back, and no
 * other waits for one that does so too often. */
static void test_eleventh_node(void **state)
{
    (void)state;
    struct fake_node node[11]; /* two were registered by the test before */
    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        fake_node_open(&node[i], &open_network, name);
        const char *code = fake_node_register(&node[i], FAULT_NONE);
        assert_string_equal(code, i < 8 ? "" : "TOO_MANY_NODES");
    }
    come_back_without_end(&node[0]);
    assert_string_equal(fake_node_register(&node[1], FAULT_NONE), "");
    for (int i = 0; i < 9; i++) fake_node_close(&node[i]);
}

/* Stakes without a treasury's node to read them from: it does not start, and says what to set. */
static void test_stake_without_node(void **state)
{
    (void)state;
    coordinator_launch(&staked_network);
    assert_int_equal(coordinator_wait(&staked_network), 2);
    assert_true(coordinator_logged(&staked_network, "lightning.backend"));
}

/* SRS-SCHED-05: only listed keys may ask the internal service. */
static void test_internal_keys(void **state)
{
    (void)state;
    struct fake_node node;
    struct owm_rpc_client *client = NULL;
    struct owm_rpc_reply reply = {0};
    char target[40];
    fake_node_open(&node, &open_network, "curious");
    snprintf(target, sizeof(target), "127.0.0.1:%d", open_network.internal_port);
    assert_ok(owm_rpc_client_open(
        &client,
        &(struct owm_rpc_client_config){.target = target,
                                        .server_certificate_pem = open_network.certificate,
                                        .certificate_pem = node.cert.cert_pem,
                                        .key_pem = node.cert.key_pem,
                                        .wait_for_ready = true},
        NULL));
    assert_int_equal(owm_rpc_call_unary(client, "/owm.internal.v1.InternalService/AuditLedger",
                                        (const uint8_t *)"", 0, 10000, &reply),
                     OWM_E_PERM);
    assert_non_null(strstr(reply.text, "KEY_NOT_ALLOWED"));
    owm_rpc_reply_free(&reply);
    owm_rpc_client_close(client);
    fake_node_close(&node);
}

/* Garbage is refused as such and does no harm. */
static void test_malformed(void **state)
{
    (void)state;
    static const char *const methods[] = {
        "Hello", "RegisterNode", "Heartbeat", "SubmitTaskResult", "ReportProgress", "GetReceipt"};
    static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x01, 0x02};
    struct fake_node node;
    fake_node_open(&node, &open_network, "garbage");
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char path[100];
        struct owm_rpc_reply reply = {0};
        snprintf(path, sizeof(path), "/owm.coordinator.v1.CoordinatorService/%s", methods[i]);
        assert_int_equal(
            owm_rpc_call_unary(node.client, path, garbage, sizeof(garbage), 10000, &reply),
            OWM_E_ARG);
        assert_non_null(strstr(reply.text, "MALFORMED"));
        owm_rpc_reply_free(&reply);
    }
    fake_node_close(&node);
}

/* SRS-COORD-06, promise 7: two coordinators at once on one database and one data folder. The second
 * stands by and says so, opens no port, and takes over when the first is killed: same key, same
 * certificate, same addresses, and the nodes that the first knew. */
static void test_standby(void **state)
{
    (void)state;
    struct coordinator second = open_network;
    second.operator_client = NULL;
    second.certificate = NULL;
    snprintf(second.log, sizeof(second.log), "%s/log-of-second", second.folder);
    PBI(NetworkStatusResponse) *before = ask_network(&open_network);
    coordinator_launch(&second);
    for (int i = 0; i < 200 && !coordinator_logged(&second, "standing_by"); i++)
        owm_clock_sleep_ms(50);
    owm_clock_sleep_ms(1200); /* two more looks at the lock */
    assert_true(coordinator_logged(&second, "standing_by"));
    assert_false(coordinator_logged(&second, "active epoch"));
    coordinator_kill(&open_network);
    coordinator_await(&second);
    assert_true(coordinator_logged(&second, "active epoch=2"));
    assert_int_equal(second.nodes_port, open_network.nodes_port);
    assert_string_equal(second.certificate, open_network.certificate);
    PBI(NetworkStatusResponse) *after = ask_network(&second);
    assert_true(before->n_nodes > 0);
    assert_int_equal(before->n_nodes, after->n_nodes);
    owm__internal__v1__network_status_response__free_unpacked(before, NULL);
    owm__internal__v1__network_status_response__free_unpacked(after, NULL);
    assert_int_equal(coordinator_stop(&second), 0);
    owm_rpc_client_close(second.operator_client);
    free(second.certificate);
}

static int close_all(void **state)
{
    (void)state;
    coordinator_close(&open_network);
    coordinator_close(&staked_network);
    pg_fixture_stop(&database);
    return 0;
}

int main(void)
{
    if (!pg_fixture_start(&database)) return TEST_SKIP;
    if (!pg_fixture_database(&database, "open", open_network.url)
        || !pg_fixture_database(&database, "staked", staked_network.url))
        return 1;
    static const char *const common[] = {"--policy.network=devnet", "--rounds.enabled=false",
                                         "--model.dim=32",          "--model.layers=1",
                                         "--model.heads=2",         "--model.kv_heads=1",
                                         "--model.ffn_dim=64",      "--model.context=64"};
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
        coordinator_option(&open_network, common[i]);
        coordinator_option(&staked_network, common[i]);
    }
    coordinator_option(&open_network, "--policy.stake=none");
    coordinator_start(&open_network);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_registration_and_replay),
        cmocka_unit_test(test_eleventh_node), cmocka_unit_test(test_stake_without_node),
        cmocka_unit_test(test_internal_keys), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_standby),
    };
    return cmocka_run_group_tests_name("registration", tests, NULL, close_all);
}
