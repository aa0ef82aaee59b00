/* test_coordinator_tasks.c: the life of a task: submitted, dispatched, answered, paid once
 * (SRS-SCHED-05, SRS-SCHED-06, TST-01 but for the payment itself, TST-08, SRS-SEC-02). */
#include "base/clock.h"
#include "base/pg/pg.h"
#include "network.h"
#include "test.h"

static struct pg_fixture database;
static struct coordinator network;
static struct fake_node node;

static PB(Task) * next_task(void)
{
    uint8_t *plain = NULL;
    size_t bytes = 0;
    PB(Task) *task = fake_node_task(&node, 10000, &plain, &bytes);
    assert_non_null(task);
    assert_string_equal(task->task_type, "inference");
    PB(InferencePayload) *payload =
        owm__coordinator__v1__inference_payload__unpack(NULL, bytes, plain);
    assert_non_null(payload);
    assert_int_equal(payload->model_hash.len, 32); /* filled in: the newest checkpoint */
    owm__coordinator__v1__inference_payload__free_unpacked(payload, NULL);
    free(plain);
    return task;
}

static void free_task(PB(Task) * task)
{
    owm__coordinator__v1__task__free_unpacked(task, NULL);
}

static void assert_ledger_adds_up(void)
{
    PBI(AuditResponse) *audit = ask_audit(&network);
    if (!audit->ok) fail_msg("audit: %s", audit->findings[0]);
    assert_true(audit->earned_msat == audit->payable_msat);
    assert_int_equal(audit->double_completions, 0);
    owm__internal__v1__audit_response__free_unpacked(audit, NULL);
}

/* TST-01: the result counts once, the payable is there once with its payment hash, however often
 * the same result is sent; a watcher sees the end. */
static void test_task_is_paid_once(void **state)
{
    (void)state;
    char task_id[40], again[40];
    struct owm_rpc_stream *watch = NULL;
    struct owm_rpc_reply reply = {0};
    uint8_t packed[64];
    ask_inference(&network, "one", task_id);
    ask_inference(&network, "one", again);
    assert_string_equal(task_id, again);
    PBI(WatchTaskRequest) request = OWM__INTERNAL__V1__WATCH_TASK_REQUEST__INIT;
    request.task_id = task_id;
    size_t bytes = owm__internal__v1__watch_task_request__pack(&request, packed);
    assert_ok(owm_rpc_stream_download(network.operator_client,
                                      "/owm.internal.v1.InternalService/WatchTask", packed, bytes,
                                      20000, &watch));
    PB(Task) *task = next_task();
    assert_string_equal(task->task_id, task_id);
    const struct wrong none = {0};
    assert_string_equal(fake_node_answer(&node, task, "A hundred-millionth of a bitcoin.", none),
                        "");
    assert_string_equal(fake_node_answer(&node, task, "A hundred-millionth of a bitcoin.", none),
                        "");
    char last[16] = "";
    while (owm_rpc_stream_read(watch, 10000, &reply) == OWM_OK) {
        PBI(TaskEvent) *event =
            owm__internal__v1__task_event__unpack(NULL, reply.length, reply.bytes);
        snprintf(last, sizeof(last), "%s", event->state);
        if (strcmp(last, "completed") == 0) assert_true(event->reward_msat > 0);
        owm__internal__v1__task_event__free_unpacked(event, NULL);
        owm_rpc_reply_free(&reply);
    }
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(watch);
    assert_string_equal(last, "completed");
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM payments"), 1);
    assert_int_equal(coordinator_count(&network,
                                       "SELECT count(*) FROM payments WHERE state = 'owed'"
                                       " AND length(payment_hash) = 32"),
                     1);
    assert_ledger_adds_up();
    free_task(task);
}

/* Every refusal has its own code, is logged, and takes nothing from the good result after it. */
static void test_refused_results(void **state)
{
    (void)state;
    char task_id[40];
    ask_inference(&network, "two", task_id);
    PB(Task) *task = next_task();
    assert_string_equal(fake_node_answer(&node, task, "x", (struct wrong){.lease = true}),
                        "STALE_LEASE");
    assert_string_equal(fake_node_answer(&node, task, "x", (struct wrong){.signature = true}),
                        "BAD_SIGNATURE");
    assert_string_equal(fake_node_answer(&node, task, "good", (struct wrong){0}), "");
    static const char *const codes[] = {"STALE_LEASE", "BAD_SIGNATURE"};
    for (size_t i = 0; i < 2; i++) {
        char line[80];
        snprintf(line, sizeof(line), "refused method=SubmitTaskResult reason=%s", codes[i]);
        assert_true(coordinator_logged(&network, line));
    }
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM payments"), 2);
    free_task(task);
}

/* TST-08: a hash that is not the output's is refused, recorded with evidence, and earns nothing. */
static void test_fake_hash(void **state)
{
    (void)state;
    char task_id[40];
    ask_inference(&network, "three", task_id);
    PB(Task) *task = next_task();
    assert_string_equal(fake_node_answer(&node, task, "x", (struct wrong){.hash = true}),
                        "HASH_MISMATCH");
    free_task(task);
    assert_int_equal(
        coordinator_count(&network,
                          "SELECT count(*) FROM misbehavior_signals"
                          " WHERE signal_type = 'fake_task_proof' AND length(evidence_hash) = 64"),
        1);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM payments"), 2);
    /* The task goes on with a new lease. */
    task = next_task();
    assert_string_equal(task->task_id, task_id);
    assert_int_equal(task->attempt, 2);
    assert_string_equal(fake_node_answer(&node, task, "honest", (struct wrong){0}), "");
    free_task(task);
    assert_ledger_adds_up();
}

/* SRS-COORD-06: PostgreSQL dies while a task runs; the result is accepted once it is back. */
static void test_database_restart(void **state)
{
    (void)state;
    char task_id[40];
    ask_inference(&network, "four", task_id);
    PB(Task) *task = next_task();
    pg_fixture_crash(&database);
    /* Heartbeats do not need the database. */
    assert_int_equal(fake_node_heartbeat(&node, NULL), OWM_RPC_OK);
    assert_true(pg_fixture_resume(&database));
    assert_string_equal(fake_node_answer(&node, task, "late but here", (struct wrong){0}), "");
    free_task(task);
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM payments"), 4);
    assert_ledger_adds_up();
}

/* kill -9 with a task in flight: the lease outlives the coordinator, the task is told again to the
 * node that holds it, and its result is paid once. */
static void test_coordinator_killed(void **state)
{
    (void)state;
    char task_id[40];
    ask_inference(&network, "five", task_id);
    PB(Task) *old = next_task();
    coordinator_kill(&network);
    coordinator_start(&network);
    fake_node_reconnect(&node);
    PB(Task) *task = next_task();
    assert_string_equal(task->task_id, task_id);
    assert_true(task->lease_token == old->lease_token);
    assert_string_equal(fake_node_answer(&node, old, "done before", (struct wrong){0}), "");
    assert_string_equal(fake_node_answer(&node, task, "done before", (struct wrong){0}), "");
    assert_int_equal(coordinator_count(&network, "SELECT count(*) FROM payments"), 5);
    free_task(old);
    free_task(task);
    assert_ledger_adds_up();
}

/* SRS-SCHED-01: everything that a node has slots for is told to it at once: all leases are given in
 * one step, and its stream holds them all. Two more are waiting, for the two slots of the other. */
static void test_every_slot_is_told(void **state)
{
    (void)state;
    enum { SLOTS = 64 };
    char key[16], task_id[40];
    struct fake_node big;
    fake_node_open(&big, &network, "big");
    big.slots = SLOTS;
    assert_string_equal(fake_node_register(&big, FAULT_NONE), "");
    for (int i = 0; i < SLOTS + 2; i++) {
        snprintf(key, sizeof(key), "many-%d", i);
        ask_inference(&network, key, task_id);
    }
    uint64_t begin_ms = owm_clock_mono_ms();
    fake_node_stream(&big);
    for (int i = 0; i < SLOTS; i++) {
        uint8_t *plain = NULL;
        size_t bytes = 0;
        PB(Task) *task = fake_node_task(&big, 5000, &plain, &bytes);
        if (!task) fail_msg("only %d of %d tasks came", i, SLOTS);
        assert_int_equal(task->attempt, 1);
        free(plain);
        free_task(task);
    }
    assert_true(owm_clock_mono_ms() - begin_ms < 5000); /* no lease had to run out */
    assert_false(coordinator_logged(&network, "dispatch_not_sent"));
    fake_node_close(&big);
}

/* SRS-SCHED-06: the dispatch log cannot be rewritten; promise 1: neither can a payment. */
static void test_history_is_append_only(void **state)
{
    (void)state;
    struct owm_pg *pg = NULL;
    assert_ok(owm_pg_open(network.url, &pg, NULL));
    static const char *const forbidden[] = {
        "UPDATE task_log SET reason = 'x'",
        "DELETE FROM task_log",
        "TRUNCATE task_log",
        "UPDATE payments SET amount_msat = amount_msat + 1",
        "DELETE FROM payments",
        "UPDATE payments SET settled_msat = amount_msat + 1",
        "UPDATE payments SET state = 'settled', preimage = '\\x00'"};
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
        assert_int_equal(owm_pg_exec(pg, forbidden[i], NULL), OWM_E_DB);
    owm_pg_close(pg);
}

/* SRS-SEC-07, promise 8: no key of the coordinator is in its log. */
static void test_no_secret_in_log(void **state)
{
    (void)state;
    static const char *const files[] = {"identity.key", "payment.key"};
    for (size_t i = 0; i < 2; i++) {
        char path[128], line[128] = "";
        snprintf(path, sizeof(path), "%s/data/%s", network.folder, files[i]);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_non_null(fgets(line, sizeof(line), file));
        fclose(file);
        char *secret = strrchr(line, ' ');
        assert_non_null(secret);
        secret[65] = 0;
        assert_int_equal(strlen(secret + 1), 64);
        assert_false(coordinator_logged(&network, secret + 1));
    }
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
    if (!pg_fixture_database(&database, "tasks", network.url)) return 1;
    static const char *const options[] = {
        "--policy.network=devnet",    "--policy.stake=none",    "--rounds.enabled=false",
        "--heartbeat.period_ms=5000", "--heartbeat.grace_ms=0", "--model.dim=32",
        "--model.layers=1",           "--model.heads=2",        "--model.kv_heads=1",
        "--model.ffn_dim=64",         "--model.context=64"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        coordinator_option(&network, options[i]);
    coordinator_start(&network);
    fake_node_open(&node, &network, "worker");
    fake_node_register(&node, FAULT_NONE);
    fake_node_stream(&node);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_is_paid_once),  cmocka_unit_test(test_refused_results),
        cmocka_unit_test(test_fake_hash),          cmocka_unit_test(test_database_restart),
        cmocka_unit_test(test_coordinator_killed), cmocka_unit_test(test_history_is_append_only),
        cmocka_unit_test(test_every_slot_is_told), cmocka_unit_test(test_no_secret_in_log),
    };
    return cmocka_run_group_tests_name("tasks", tests, NULL, close_all);
}
