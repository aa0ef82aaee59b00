/* test_registry.c: who may take part (SRS-COORD-01, SRS-LN-11, SRS-STAKE-07, SRS-SEC-11). */
#include "world.h"

#include "controlplane/engine/reward.h"

static const struct owm_registered_output *registered(const struct world *world)
{
    return &world_out(world, OWM_OUTPUT_REGISTERED, 0)->registered;
}

/* TST-11, SRS-LN-11: no stake channel: INSUFFICIENT_STAKE, with the sats it takes. */
static void test_no_stake_TST_11(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.stake = OWM_ENGINE_STAKE_LIGHTNING;
    world_start(&world);
    struct owm_event event = world_registration(1, OWM_TIER_T2, 0);
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_INSUFFICIENT_STAKE);
    assert_int_equal(registered(&world)->required_stake_sats, 500000);
    assert_int_equal(registered(&world)->status, OWM_NODE_PENDING);
    assert_int_equal(owm_engine_node_count(world.engine), 0);
    event.reg.stake_sats = 499999;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_INSUFFICIENT_STAKE);
    world_deinit(&world);
}

/* TST-12, TST-13, SRS-STAKE-10: active at the minimum with 1.0; three times gives 2.0. */
static void test_stake_TST_12_TST_13(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.stake = OWM_ENGINE_STAKE_LIGHTNING;
    world_start(&world);
    struct owm_event event = world_registration(1, OWM_TIER_T1, 100000);
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    assert_int_equal(registered(&world)->status, OWM_NODE_ACTIVE);
    assert_int_equal(world_view(&world, 1).stake_bonus_ppm, 1000000);
    event.reg.stake_sats = 300000;
    event.reg.node_id[0] = 99; /* the same key keeps its first id */
    world_step(&world, &event);
    assert_int_equal(owm_engine_node_count(world.engine), 1);
    assert_false(registered(&world)->is_new);
    assert_int_equal(world_view(&world, 1).stake_bonus_ppm, 2000000);
    event.reg.stake_sats = 99999;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->status, OWM_NODE_DEGRADED);
    world_stream(&world, 1, 1);
    world_model(&world);
    world_submit(&world, 50, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 50));
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_DEGRADED);
    world_deinit(&world);
}

/* The development policy "none": active with bonus 1.0, whatever the stake. */
static void test_policy_none(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_start(&world);
    struct owm_event event = world_registration(1, OWM_TIER_T3, 0);
    world_step(&world, &event);
    assert_int_equal(registered(&world)->status, OWM_NODE_ACTIVE);
    assert_int_equal(registered(&world)->required_stake_sats, 0);
    assert_int_equal(world_view(&world, 1).stake_bonus_ppm, 1000000);
    world_deinit(&world);
}

/* The result of node 1, which holds `task`, is refused as a fake with evidence `byte`. */
static void refuse_fake(struct world *world, uint32_t task, uint8_t byte)
{
    struct owm_event event = {.kind = OWM_EVENT_RESULT_REFUSED};
    world_id(task, event.refused.task_id);
    world_id(1, event.refused.node_id);
    event.refused.lease_token = world_task(world, task)->lease_token;
    event.refused.code = OWM_CODE_HASH_MISMATCH;
    event.refused.evidence_hash[0] = byte;
    world_step(world, &event);
    assert_false(world_out(world, OWM_OUTPUT_RESULT, 0)->result.accepted);
}

/* Make node 1 hold it first. */
static void fake_result(struct world *world, uint32_t task, uint8_t byte)
{
    world_submit(world, task, OWM_TASK_AUDIT_REPO);
    refuse_fake(world, task, byte);
}

/* TST-08: a fake completion proof is refused; SRS-STAKE-04: three independent signals, the same
 * evidence counting once; SRS-SEC-11: suspended with reputation 0; TST-16, SRS-STAKE-07: no
 * registration before the cooldown ends. */
static void test_fakes_TST_08_TST_16(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.attempts_max = 1;
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    fake_result(&world, 100, 1);
    assert_int_equal(world_task(&world, 100)->state, OWM_TASK_STATE_FAILED);
    fake_result(&world, 101, 1);
    assert_int_equal(world_view(&world, 1).row.signals, 1);
    fake_result(&world, 102, 2);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_ACTIVE);
    world_crash(&world); /* signals are remembered */
    world_tick(&world, 200000);
    world_stream(&world, 1, 1);
    fake_result(&world, 103, 2);
    assert_int_equal(world_view(&world, 1).row.signals, 2);
    fake_result(&world, 104, 3);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_SUSPENDED);
    assert_int_equal(world_view(&world, 1).row.reliability_ppm, 0);
    assert_int_equal(world.store.signal_count, 3);
    world_submit(&world, 105, OWM_TASK_AUDIT_REPO);
    assert_null(world_dispatched(&world, 105));
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_SUSPENDED);

    struct owm_event event = world_registration(1, OWM_TIER_T1, 0);
    world.now_ms += world.config.cooldown_ms - 1;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_COOLDOWN);
    assert_int_equal(registered(&world)->status, OWM_NODE_SUSPENDED);
    world.now_ms += 1;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    assert_int_equal(registered(&world)->status, OWM_NODE_ACTIVE);
    assert_int_equal(world_view(&world, 1).row.signals, 0);
    world_deinit(&world);
}

/* SRS-STAKE-04: T2 and T3 are flagged and wait for maintainers. */
static void test_t2_is_flagged_only(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.attempts_max = 1;
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T2);
    for (uint8_t i = 1; i <= 4; i++) fake_result(&world, 100 + i, i);
    assert_int_equal(world_view(&world, 1).row.signals, 4);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_ACTIVE);
    world_deinit(&world);
}

static void manifest_of_tier(struct world *world, enum owm_tier tier, uint64_t sequence)
{
    struct owm_event event = {.kind = OWM_EVENT_MANIFEST};
    world_id(1, event.manifest.node_id);
    event.manifest.sequence = sequence;
    event.manifest.capabilities = world_view(world, 1).row.capabilities;
    event.manifest.capabilities.tier = tier;
    world_step(world, &event);
    assert_int_equal(world_view(world, 1).row.capabilities.tier, tier);
}

/* SRS-STAKE-04: who comes down to T1 while it holds a task of T2, by a manifest or by another
 * registration, is still judged by maintainers, also after a restart; once they have, and the
 * cooldown is over, it is a T1 node like any other. */
static void test_tier_of_the_work(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.attempts_max = 1;
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T2);
    world_submit(&world, 100, OWM_TASK_AUDIT_REPO);
    manifest_of_tier(&world, OWM_TIER_T1, 100);
    world_crash(&world);
    refuse_fake(&world, 100, 1);
    assert_int_equal(world.store.signal[0].tier, OWM_TIER_T2);
    world_tick(&world, 200000);
    struct owm_event event = world_registration(1, OWM_TIER_T1, 0);
    world_step(&world, &event);
    world_stream(&world, 1, 1);
    for (uint8_t i = 2; i <= 4; i++) fake_result(&world, 100 + i, i);
    assert_int_equal(world.store.signal[3].tier, OWM_TIER_T1);
    assert_int_equal(world_view(&world, 1).row.signals, 4);
    assert_int_equal(world_view(&world, 1).row.signals_tier, OWM_TIER_T2);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_ACTIVE);

    struct owm_event decided = {.kind = OWM_EVENT_SLASH};
    world_id(1, decided.slash.node_id);
    store_decided(&world.store, decided.slash.node_id);
    world_step(&world, &decided);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_SUSPENDED);
    world.now_ms += world.config.cooldown_ms;
    world_step(&world, &event);
    world_stream(&world, 1, 1);
    assert_int_equal(world_view(&world, 1).row.signals_tier, 0);
    for (uint8_t i = 5; i <= 7; i++) fake_result(&world, 100 + i, i);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_SUSPENDED);
    world_deinit(&world);
}

/* I5: without evidence there is no signal. Promise 6: nobody is suspended in the grace window. */
static void test_evidence_and_grace(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.attempts_max = 1;
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    fake_result(&world, 100, 0);
    assert_int_equal(world_view(&world, 1).row.signals, 0);
    world_crash(&world);
    world_stream(&world, 1, 1);
    assert_true(owm_engine_in_grace(world.engine, world.now_ms));
    for (uint32_t i = 0; i < 3; i++) fake_result(&world, 110 + i, (uint8_t)(i + 1));
    assert_int_equal(world_view(&world, 1).row.signals, 3);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_ACTIVE);
    world_tick(&world, world.config.grace_ms);
    assert_int_equal(world_view(&world, 1).row.status, OWM_NODE_SUSPENDED);
    world_deinit(&world);
}

/* SRS-COORD-01, SRS-NODE-04: manifests replace capabilities, older ones do not; a manifest cannot
 * raise the tier that the stake was checked for. */
static void test_manifest(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T2);
    struct owm_event event = {.kind = OWM_EVENT_MANIFEST};
    world_id(1, event.manifest.node_id);
    event.manifest.sequence = 5;
    event.manifest.capabilities.tier = OWM_TIER_T3;
    event.manifest.capabilities.slots = 1000;
    world_step(&world, &event);
    assert_int_equal(world_out(&world, OWM_OUTPUT_DONE, 0)->done.code, OWM_CODE_NONE);
    assert_int_equal(world_view(&world, 1).row.capabilities.tier, OWM_TIER_T2);
    assert_int_equal(world_view(&world, 1).row.capabilities.slots, OWM_NODE_SLOTS_MAX);
    world_step(&world, &event);
    assert_int_equal(world_out(&world, OWM_OUTPUT_DONE, 0)->done.code, OWM_CODE_STALE_MANIFEST);
    world_id(9, event.manifest.node_id);
    world_step(&world, &event);
    assert_int_equal(world_out(&world, OWM_OUTPUT_DONE, 0)->done.code, OWM_CODE_UNKNOWN_NODE);
    world_deinit(&world);
}

/* A full registry says so; a known key still gets in. */
static void test_registry_full(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.nodes_max = 2;
    world_start(&world);
    for (uint32_t i = 1; i <= 3; i++) {
        struct owm_event event = world_registration(i, OWM_TIER_T1, 0);
        world_step(&world, &event);
        assert_int_equal(registered(&world)->code, i == 3 ? OWM_CODE_NODES_FULL : OWM_CODE_NONE);
    }
    struct owm_event again = world_registration(2, OWM_TIER_T1, 0);
    world_step(&world, &again);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    world_deinit(&world);
}

/* Heartbeats write nothing but one row per persist; uptime is what was watched. */
static void test_heartbeats_are_batched(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    world_tick(&world, world.config.persist_ms);
    int64_t saved = store_node(&world.store, world_view(&world, 1).row.node_id)->last_heartbeat_ms;
    uint64_t before = world.store.digest;
    world.now_ms += 1000;
    for (int i = 0; i < 50; i++) world_heartbeat(&world, 1, 1, false, NULL, 0);
    assert_int_equal(world.store.digest, before);
    world_tick(&world, world.config.persist_ms);
    int64_t later = store_node(&world.store, world_view(&world, 1).row.node_id)->last_heartbeat_ms;
    assert_true(later > saved);
    assert_int_equal(world_view(&world, 1).uptime_ppm, 1000000);
    for (int i = 0; i < 100; i++) world_tick(&world, world.config.persist_ms);
    assert_true(world_view(&world, 1).silent);
    assert_true(world_view(&world, 1).uptime_ppm < 200000);
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_SILENT);
    world_deinit(&world);
}

/* Bad limits are refused with the name of the value. */
static void test_config(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct owm_error error;
    world.config.rounds.participants_max = world.config.tasks_max + 1;
    assert_int_equal(owm_engine_create(&world.config, &world.engine, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "participants_max"));
    world.config.rounds.participants_max = 1;
    world.config.ageing_ms = 0;
    assert_int_equal(owm_engine_create(&world.config, &world.engine, &error), OWM_E_CONFIG);
    store_deinit(&world.store);
}

static void test_names(void **state)
{
    (void)state;
    enum owm_task_type type;
    enum owm_tier tier;
    assert_ok(owm_task_type_parse("gradient_agg", &type));
    assert_int_equal(type, OWM_TASK_GRADIENT_AGG);
    assert_string_equal(owm_task_type_name(type), "gradient_agg");
    assert_int_equal(owm_task_type_parse("Inference", &type), OWM_E_PROTO);
    assert_ok(owm_tier_parse("t3", &tier));
    assert_int_equal(tier, OWM_TIER_T3);
    assert_int_equal(owm_tier_parse("t4", &tier), OWM_E_PROTO);
    assert_string_equal(owm_code_name(OWM_CODE_QUEUE_FULL), "QUEUE_FULL");
    assert_string_equal(owm_code_name((enum owm_code)999), "?");
    assert_int_equal(owm_task_type_min_tier(OWM_TASK_DATA_INGEST), OWM_TIER_T2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_stake_TST_11),
        cmocka_unit_test(test_stake_TST_12_TST_13),
        cmocka_unit_test(test_policy_none),
        cmocka_unit_test(test_fakes_TST_08_TST_16),
        cmocka_unit_test(test_t2_is_flagged_only),
        cmocka_unit_test(test_tier_of_the_work),
        cmocka_unit_test(test_evidence_and_grace),
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_registry_full),
        cmocka_unit_test(test_heartbeats_are_batched),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
