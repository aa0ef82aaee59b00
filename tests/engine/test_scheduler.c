/* test_scheduler.c: queue, assignment, leases, results (SRS-SCHED-01..03, SRS-SCHED-06). */
#include "world.h"

static void begin(struct world *world, uint32_t nodes)
{
    world_init(world);
    world->config.ageing_ms = 10000;
    world_start(world);
    world_model(world);
    for (uint32_t i = 1; i <= nodes; i++) world_node(world, i, OWM_TIER_T1);
}

/* Which node got the task; 0: none. */
static uint32_t holder(const struct world *world, uint32_t task)
{
    const struct owm_task_row *row = world_task(world, task);
    uint32_t number;
    memcpy(&number, row->assigned_node, sizeof(number));
    return row->state == OWM_TASK_STATE_RUNNING ? number : 0;
}

/* SRS-SCHED-01: tier, load and reliability decide. */
static void test_assignment_SRS_SCHED_01(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 2);
    world_node(&world, 3, OWM_TIER_T2);
    world_submit(&world, 100, OWM_TASK_DATA_INGEST); /* T2 and up only */
    assert_int_equal(holder(&world, 100), 3);
    world_submit(&world, 101, OWM_TASK_DATA_INGEST);
    assert_int_equal(holder(&world, 101), 3);
    world_submit(&world, 102, OWM_TASK_DATA_INGEST); /* its slots are used up: I8 */
    assert_int_equal(holder(&world, 102), 0);
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_TIER);
    world_submit(&world, 103, OWM_TASK_INFERENCE); /* is not blocked by it */
    assert_int_equal(holder(&world, 103), 1);
    world_submit(&world, 104, OWM_TASK_INFERENCE); /* load: the idle one */
    assert_int_equal(holder(&world, 104), 2);
    struct owm_event failed = {.kind = OWM_EVENT_RESULT};
    world_id(103, failed.result.task_id);
    world_id(1, failed.result.node_id);
    failed.result.lease_token = 1;
    failed.result.error = "out of memory";
    world_step(&world, &failed); /* reliability: node 1 failed, and the task avoids it */
    assert_int_equal(holder(&world, 103), 2);
    assert_true(world_view(&world, 1).row.reliability_ppm < 1000000);
    world_deinit(&world);
}

/* Promise 6, SRS-OTS-05: who refuses weights that are not proven is not blamed; another node gets
 * the task, and in the end it fails with what the last one said. */
static void test_unproven(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 2);
    world_submit(&world, 100, OWM_TASK_INFERENCE);
    struct owm_event refused = {.kind = OWM_EVENT_RESULT};
    world_id(100, refused.result.task_id);
    refused.result.error = "UNPROVEN: WRONG_BLOCK: the header of block 7 has another merkle root";
    refused.result.unproven = true;
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(holder(&world, 100), attempt % 2 ? 1 : 2);
        world_id(holder(&world, 100), refused.result.node_id);
        refused.result.lease_token = attempt;
        world_step(&world, &refused);
    }
    assert_int_equal(world_task(&world, 100)->state, OWM_TASK_STATE_FAILED);
    assert_string_equal(world_task(&world, 100)->reason, refused.result.error);
    for (uint32_t node = 1; node <= 2; node++) {
        assert_int_equal(world_view(&world, node).row.reliability_ppm, OWM_PPM);
        assert_int_equal(world_view(&world, node).row.signals, 0);
    }
    world_deinit(&world);
}

/* SRS-SCHED-03: inference before data ingest, FIFO within; ageing lets the others come through. */
static void test_priority_SRS_SCHED_03(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 0);
    world_submit(&world, 100, OWM_TASK_AUDIT_REPO);
    world_submit(&world, 101, OWM_TASK_INFERENCE);
    world_submit(&world, 102, OWM_TASK_INFERENCE);
    world_submit(&world, 103, OWM_TASK_INFERENCE);
    world_node(&world, 1, OWM_TIER_T1);
    assert_int_equal(holder(&world, 101), 1);
    assert_int_equal(holder(&world, 102), 1);
    world_result(&world, 101, 1, 1);
    assert_int_equal(holder(&world, 103), 1);
    world_tick(&world, world.config.ageing_ms); /* 100 counts as inference now, and is older */
    world_submit(&world, 104, OWM_TASK_INFERENCE);
    world_stream(&world, 1, 1);
    world_result(&world, 103, 1, 1);
    assert_int_equal(holder(&world, 100), 1);
    assert_int_equal(holder(&world, 104), 0);
    world_deinit(&world);
}

/* SRS-SCHED-02: a task that times out is given to another node, in the end it fails. */
static void test_timeout_SRS_SCHED_02(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 2);
    world_submit(&world, 100, OWM_TASK_INFERENCE);
    assert_int_equal(holder(&world, 100), 1);
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(world_task(&world, 100)->attempt, attempt);
        assert_int_equal(holder(&world, 100), attempt % 2 ? 1 : 2);
        struct owm_lease lease = {.lease_token = world_task(&world, 100)->lease_token};
        world_id(100, lease.task_id);
        for (int i = 0; i < 3; i++) { /* renewed leases do not move the timeout */
            world_tick(&world, 10000);
            if (i == 2) break;
            world_heartbeat(&world, 1, 1, false, &lease, 1);
            world_heartbeat(&world, 2, 1, false, &lease, 1);
        }
    }
    assert_int_equal(world_task(&world, 100)->state, OWM_TASK_STATE_TIMEOUT);
    assert_int_equal(owm_engine_counters(world.engine)->tasks_timed_out, 1);
    world_deinit(&world);
}

/* I1, I4, I6: after a lease ended, the old holder's result is refused and the new one's counts,
 * once; its repetition is acknowledged with the same words. */
static void test_stale_result(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 2);
    world_submit(&world, 100, OWM_TASK_INFERENCE);
    world.now_ms += world.config.lease_ms;
    world_heartbeat(&world, 2, 1, false, NULL, 0);
    world_tick(&world, 0);
    assert_int_equal(holder(&world, 100), 2);
    assert_int_equal(world_task(&world, 100)->lease_token, 2);
    struct owm_result_output result = world_result(&world, 100, 1, 1);
    assert_int_equal(result.code, OWM_CODE_STALE_LEASE);
    result = world_result(&world, 100, 1, 2); /* the right token from the wrong node */
    assert_int_equal(result.code, OWM_CODE_STALE_LEASE);
    result = world_result(&world, 100, 2, 1); /* an old token from the right node */
    assert_int_equal(result.code, OWM_CODE_STALE_LEASE);
    result = world_result(&world, 100, 2, 2);
    assert_true(result.accepted);
    int64_t reward = result.reward_msat;
    assert_true(reward > 0);
    result = world_result(&world, 100, 2, 2);
    assert_true(result.accepted);
    assert_int_equal(result.reward_msat, reward);
    assert_int_equal(world.store.payable_count, 1);
    assert_int_equal(world.store.completions, 1);
    assert_int_equal(world_result(&world, 777, 2, 2).code, OWM_CODE_UNKNOWN_TASK);
    world_deinit(&world);
}

/* I7: a draining, unconnected or silent node gets nothing; the reason is told. */
static void test_draining(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 1);
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_NOTHING_QUEUED);
    world_heartbeat(&world, 1, 1, true, NULL, 0);
    world_submit(&world, 100, OWM_TASK_INFERENCE);
    assert_int_equal(holder(&world, 100), 0);
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_DRAINING);
    struct owm_event closed = {.kind = OWM_EVENT_STREAM_CLOSED};
    world_id(1, closed.closed.node_id);
    closed.closed.stream = 12345; /* not the newest stream */
    world_step(&world, &closed);
    assert_true(world_view(&world, 1).connected);
    world_heartbeat(&world, 1, 1, false, NULL, 0);
    assert_int_equal(holder(&world, 100), 1);
    world_deinit(&world);
}

/* A restarted node loses what it does not name; what it names goes on. */
static void test_node_restart(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 2);
    world_submit(&world, 100, OWM_TASK_INFERENCE);
    world_submit(&world, 101, OWM_TASK_INFERENCE);
    world_submit(&world, 102, OWM_TASK_INFERENCE);
    assert_int_equal(holder(&world, 100), 1);
    assert_int_equal(holder(&world, 102), 1);
    struct owm_event event = {.kind = OWM_EVENT_STREAM_OPENED};
    struct owm_lease lease = {.lease_token = 1};
    world_id(100, lease.task_id);
    world_id(1, event.heartbeat.node_id);
    event.heartbeat.stream = 5;
    event.heartbeat.boot_id = 2;
    event.heartbeat.leases = &lease;
    event.heartbeat.lease_count = 1;
    world_step(&world, &event);
    assert_int_equal(holder(&world, 100), 1);
    assert_int_equal(holder(&world, 102), 2);
    assert_int_equal(world_task(&world, 102)->attempt, 2);
    lease.lease_token = 9; /* what it does not hold is told back */
    world_heartbeat(&world, 1, 2, false, &lease, 1);
    const struct owm_output *out = world_out(&world, OWM_OUTPUT_HEARTBEAT, 0);
    assert_int_equal(out->heartbeat.lost_count, 1);
    assert_memory_equal(out->heartbeat.lost[0], lease.task_id, 16);
    world_deinit(&world);
}

/* I12: after a coordinator crash leases live through the grace window, the task is sent again with
 * the same token, and its result counts. */
static void test_coordinator_restart(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 1);
    world_submit(&world, 100, OWM_TASK_INFERENCE);
    world_submit(&world, 101, OWM_TASK_INFERENCE);
    world_submit(&world, 102, OWM_TASK_INFERENCE);
    world_crash(&world);
    world_tick(&world, world.config.grace_ms - 1);
    assert_int_equal(world_task(&world, 100)->lease_token, 1);
    world_stream(&world, 1, 1);
    const struct owm_dispatch_output *again = world_dispatched(&world, 100);
    assert_non_null(again);
    assert_int_equal(again->lease_token, 1);
    assert_memory_equal(again->payload, "abc", 4);
    assert_true(world_result(&world, 100, 1, 1).accepted);
    world_crash(&world);
    assert_true(world_result(&world, 100, 1, 1).accepted); /* its ack was lost: the same again */
    assert_int_equal(world.store.payable_count, 1);
    world_deinit(&world);
}

/* SRS-SCHED-05: idempotency; QUEUE_FULL, BAD_PAYLOAD, NO_MODEL, BAD_TYPE have their own words. */
static void test_submit_verdicts(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.tasks_max = 4;
    world.config.rounds.participants_max = 4;
    world_start(&world);
    assert_int_equal(world_submit(&world, 100, OWM_TASK_INFERENCE), OWM_CODE_NO_MODEL);
    world_model(&world);
    assert_int_equal(world_submit(&world, 100, OWM_TASK_FL_ROUND), OWM_CODE_BAD_TYPE);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(world_submit(&world, 100 + i, OWM_TASK_INFERENCE), OWM_CODE_NONE);
    assert_int_equal(world_submit(&world, 104, OWM_TASK_INFERENCE), OWM_CODE_QUEUE_FULL);
    assert_int_equal(world_submit(&world, 100, OWM_TASK_INFERENCE), OWM_CODE_NONE); /* known */
    assert_int_equal(world.store.task_count, 4);
    struct owm_event event = {.kind = OWM_EVENT_SUBMIT};
    world_id(200, event.submit.task_id);
    world_step(&world, &event);
    assert_int_equal(world_out(&world, OWM_OUTPUT_SUBMITTED, 0)->submitted.code,
                     OWM_CODE_BAD_PAYLOAD);
    event.kind = OWM_EVENT_CANCEL;
    world_id(100, event.cancel.task_id);
    world_step(&world, &event);
    assert_int_equal(world_task(&world, 100)->state, OWM_TASK_STATE_FAILED);
    assert_int_equal(world_submit(&world, 104, OWM_TASK_INFERENCE), OWM_CODE_NONE);
    world_deinit(&world);
}

/* SRS-SCHED-06: each step of a task is a line of the log. Inference runs on the newest checkpoint.
 */
static void test_dispatch_log_SRS_SCHED_06(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 1);
    uint64_t lines = world.store.log_sequence;
    world_submit(&world, 100, OWM_TASK_INFERENCE);
    assert_int_equal(world.store.log_sequence, lines + 2); /* submitted, dispatched */
    assert_int_equal(world_dispatched(&world, 100)->base_hash[0], 7);
    struct owm_event progress = {.kind = OWM_EVENT_PROGRESS};
    world_id(100, progress.progress.task_id);
    world_id(1, progress.progress.node_id);
    progress.progress.lease_token = 1;
    world_step(&world, &progress);
    assert_int_equal(world_out(&world, OWM_OUTPUT_DONE, 0)->done.code, OWM_CODE_NONE);
    progress.progress.lease_token = 2;
    world_step(&world, &progress);
    assert_int_equal(world_out(&world, OWM_OUTPUT_DONE, 0)->done.code, OWM_CODE_STALE_LEASE);
    world_result(&world, 100, 1, 1);
    assert_int_equal(world.store.log_sequence, lines + 3);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assignment_SRS_SCHED_01),
        cmocka_unit_test(test_unproven),
        cmocka_unit_test(test_priority_SRS_SCHED_03),
        cmocka_unit_test(test_timeout_SRS_SCHED_02),
        cmocka_unit_test(test_stale_result),
        cmocka_unit_test(test_draining),
        cmocka_unit_test(test_node_restart),
        cmocka_unit_test(test_coordinator_restart),
        cmocka_unit_test(test_submit_verdicts),
        cmocka_unit_test(test_dispatch_log_SRS_SCHED_06),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
