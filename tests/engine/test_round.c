/* test_round.c: federated-learning rounds (SRS 4.2.3, SRS-COORD-03, SRS-MODEL-06, TST-02, TST-03).
 */
#include "world.h"

#define NODES 10

static void begin(struct world *world)
{
    world_init(world);
    world->config.rounds.enabled = true;
    world->config.rounds.participants_max = NODES;
    world->config.rounds.min_participants = 3;
    world->config.rounds.stop_after = 2;
    world_start(world);
    world_model(world);
    for (uint32_t i = 1; i <= NODES; i++) {
        struct owm_event event = world_registration(i, OWM_TIER_T1, 0);
        world_step(world, &event);
    }
    /* Rounds open on ticks, so the first one finds all of them. */
    for (uint32_t i = 1; i <= NODES; i++) world_stream(world, i, 1);
    world_tick(world, 10);
    assert_int_equal(owm_engine_round(world->engine)->state, OWM_ROUND_OPEN);
}

static const struct owm_participant_row *part_of(const struct world *world, uint32_t node)
{
    uint8_t id[16];
    world_id(node, id);
    uint32_t count;
    const struct owm_participant_row *part = owm_engine_participants(world->engine, &count);
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(part[i].node_id, id, 16) == 0) return &part[i];
    return NULL;
}

static struct owm_result_output deliver(struct world *world, uint32_t node)
{
    struct owm_event event = {.kind = OWM_EVENT_RESULT};
    memcpy(event.result.task_id, part_of(world, node)->task_id, 16);
    world_id(node, event.result.node_id);
    event.result.lease_token = 1;
    event.result.package_hash[0] = (uint8_t)node;
    event.result.package_bytes = 100;
    world_step(world, &event);
    return world_out(world, OWM_OUTPUT_RESULT, 0)->result;
}

static void judge(struct world *world, uint32_t node, bool ok)
{
    struct owm_event event = {.kind = OWM_EVENT_JUDGED};
    event.judged.round = owm_engine_round(world->engine)->round;
    world_id(node, event.judged.node_id);
    event.judged.package_hash[0] = (uint8_t)node;
    event.judged.ok = ok;
    if (!ok) snprintf(event.judged.reason, sizeof(event.judged.reason), "wrong base model");
    world_step(world, &event);
}

/* Everyone included but those in `poisoners` (bits by number). */
static void aggregate(struct world *world, uint32_t poisoners)
{
    struct owm_verdict verdict[NODES];
    memset(verdict, 0, sizeof(verdict));
    uint32_t round = owm_engine_round(world->engine)->round;
    for (uint32_t i = 0; i < NODES; i++) {
        world_id(i + 1, verdict[i].node_id);
        verdict[i].included = !(poisoners >> (i + 1) & 1);
        verdict[i].weight = 0.1;
        if (verdict[i].included) continue;
        verdict[i].evidence_hash[0] = (uint8_t)(i + 1);
        verdict[i].evidence_hash[1] = (uint8_t)round;
    }
    struct owm_event event = {.kind = OWM_EVENT_AGGREGATED};
    event.aggregated.round = round;
    event.aggregated.ok = true;
    snprintf(event.aggregated.model.version, sizeof(event.aggregated.model.version), "owm-r%u",
             round);
    event.aggregated.model.model_hash[0] = (uint8_t)(100 + round);
    event.aggregated.verdict_count = NODES;
    event.aggregated.verdicts = verdict;
    world_step(world, &event);
}

/* SRS 4.2.3, SRS-COORD-03, SRS-MODEL-06: a whole round; every included node earns, once. */
static void test_round_completes_SRS_COORD_03(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    assert_int_equal(owm_engine_round(world.engine)->invited, NODES);
    for (uint32_t i = 1; i <= NODES; i++) {
        struct owm_result_output result = deliver(&world, i);
        assert_true(result.accepted);
        assert_int_equal(result.reward_msat, 0); /* I11: not before the verdict */
        assert_non_null(world_out(&world, OWM_OUTPUT_VERIFY, 0));
        judge(&world, i, true);
        if (i < NODES) judge(&world, i, false); /* the first verdict stands */
    }
    const struct owm_output *out = world_out(&world, OWM_OUTPUT_AGGREGATE, 0);
    assert_non_null(out);
    assert_int_equal(out->aggregate.count, NODES);
    for (uint32_t i = 1; i < NODES; i++)
        assert_true(memcmp(out->aggregate.participants[i - 1].public_key,
                           out->aggregate.participants[i].public_key, 32)
                    < 0);
    assert_int_equal(world.store.payable_count, 0);
    aggregate(&world, 0);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_COMPLETE);
    assert_int_equal(world.store.payable_count, NODES);
    assert_int_equal(world.store.payable[0].amount_msat, 10000 * 3 * 3 / 2); /* full uptime */
    assert_int_equal(owm_engine_model(world.engine)->model_hash[0], 101);
    aggregate(&world, 0); /* a repetition changes nothing */
    assert_int_equal(world.store.payable_count, NODES);
    assert_true(deliver(&world, 1).accepted); /* a repeated result, too */
    world_tick(&world, world.config.rounds.pause_ms);
    assert_int_equal(owm_engine_round(world.engine)->round, 2);
    assert_int_equal(owm_engine_round(world.engine)->base_hash[0], 101);
    world_deinit(&world);
}

/* TST-03: 30% of the nodes drop out; the round completes with the others. */
static void test_dropouts_TST_03(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    for (uint32_t i = 1; i <= 7; i++) {
        deliver(&world, i);
        judge(&world, i, true);
    }
    world.now_ms += world.config.rounds.deadline_ms - 1 - 10;
    world_tick(&world, 0);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_OPEN);
    world_tick(&world, 11);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_AGGREGATING);
    assert_int_equal(part_of(&world, 8)->state, OWM_PART_MISSING);
    assert_int_equal(deliver(&world, 8).code, OWM_CODE_ROUND_CLOSED); /* late: recorded */
    assert_int_equal(part_of(&world, 8)->state, OWM_PART_LATE);
    aggregate(&world, 0);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_COMPLETE);
    assert_int_equal(owm_engine_round(world.engine)->included, 7);
    assert_int_equal(world.store.payable_count, 7);
    world_deinit(&world);
}

/* Below the quorum the round fails as soon as it cannot be met; who delivered is not paid but gets
 * its verdict, and the next round is tried after the pause. */
static void test_below_quorum(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    for (uint32_t i = 1; i <= 5; i++) {
        deliver(&world, i);
        judge(&world, i, true);
    }
    for (uint32_t i = 6; i <= 10; i++) {
        deliver(&world, i);
        judge(&world, i, false);
    }
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_FAILED);
    assert_int_equal(part_of(&world, 1)->state, OWM_PART_REJECTED);
    assert_string_equal(part_of(&world, 6)->reason, "wrong base model");
    assert_int_equal(world.store.payable_count, 0);
    world_tick(&world, world.config.rounds.pause_ms - 1);
    assert_int_equal(owm_engine_round(world.engine)->round, 1);
    world_tick(&world, 1);
    assert_int_equal(owm_engine_round(world.engine)->round, 2);
    world_deinit(&world);
}

/* TST-02: poisoned updates are rejected, earn nothing and leave a signal with evidence; SRS-SEC-11:
 * the third suspends. stop_after ends the run. */
static void test_poison_TST_02(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    for (uint32_t round = 1; round <= 2; round++) {
        for (uint32_t i = 1; i <= NODES; i++) {
            deliver(&world, i);
            judge(&world, i, true);
        }
        aggregate(&world, 1u << 4);
        assert_int_equal(part_of(&world, 4)->state, OWM_PART_REJECTED);
        assert_true(part_of(&world, 4)->flagged);
        assert_int_equal(world_view(&world, 4).row.signals, round);
        assert_int_equal(world_view(&world, 4).row.earned_msat, 0);
        world_tick(&world, world.config.rounds.pause_ms);
    }
    assert_true(owm_engine_rounds_finished(world.engine)); /* stop_after 2 */
    assert_int_equal(owm_engine_round(world.engine)->round, 2);
    assert_true(world_view(&world, 4).row.reliability_ppm < 500000);
    world_deinit(&world);
}

/* SRS-COORD-03 and promise 1: the coordinator dies in each state of a round; the restored one asks
 * again for what the state needs, and nothing is counted twice. */
static void test_crash_in_each_state(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    uint8_t nonce[16];
    memcpy(nonce, part_of(&world, 3)->nonce, 16);
    world_crash(&world);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_OPEN);
    assert_memory_equal(part_of(&world, 3)->nonce, nonce, 16);
    for (uint32_t i = 1; i <= NODES; i++) world_stream(&world, i, 1);
    for (uint32_t i = 1; i <= NODES; i++) deliver(&world, i);
    judge(&world, 1, true);
    world_crash(&world);
    size_t verify = 0;
    while (world_out(&world, OWM_OUTPUT_VERIFY, verify)) verify++;
    assert_int_equal(verify, NODES - 1);
    for (uint32_t i = 2; i <= NODES; i++) judge(&world, i, true);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_AGGREGATING);
    world_crash(&world);
    assert_int_equal(world_out(&world, OWM_OUTPUT_AGGREGATE, 0)->aggregate.count, NODES);
    aggregate(&world, 0);
    assert_int_equal(world.store.payable_count, NODES);
    world_crash(&world);
    aggregate(&world, 0); /* of the old process: ignored */
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_COMPLETE);
    assert_int_equal(world.store.payable_count, NODES);
    world_deinit(&world);
}

/* Aggregation that keeps failing is retried, then the round fails and says why. */
static void test_aggregation_fails(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    for (uint32_t i = 1; i <= NODES; i++) {
        deliver(&world, i);
        judge(&world, i, true);
    }
    struct owm_event event = {.kind = OWM_EVENT_AGGREGATED};
    event.aggregated.round = 1;
    snprintf(event.aggregated.reason, sizeof(event.aggregated.reason), "disk full");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_AGGREGATING);
        assert_non_null(world_out(&world, OWM_OUTPUT_AGGREGATE, 0));
        world_step(&world, &event);
        if (i < 2) world_tick(&world, world.config.rounds.pause_ms + 1);
    }
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_FAILED);
    assert_string_equal(owm_engine_round(world.engine)->reason, "disk full");
    world_deinit(&world);
}

/* TST-02, SRS-MODEL-07: screening left nothing. The round fails at the first answer, with every
 * verdict and signal in that one step; the model stays, nobody is paid, and a crash right after
 * finds the same. */
static void test_nothing_included_TST_02(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    uint8_t model = owm_engine_model(world.engine)->model_hash[0];
    for (uint32_t i = 1; i <= NODES; i++) {
        deliver(&world, i);
        judge(&world, i, true);
    }
    for (int again = 0; again < 2; again++) {
        aggregate(&world, ~0u);
        const struct owm_round_row *round = owm_engine_round(world.engine);
        assert_int_equal(round->state, OWM_ROUND_FAILED);
        assert_int_equal(round->aggregate_attempts, 0);
        assert_string_equal(round->reason, "no package was good enough to be included");
        assert_int_equal(owm_engine_model(world.engine)->model_hash[0], model);
        assert_int_equal(world.store.payable_count, 0);
        for (uint32_t i = 1; i <= NODES; i++) {
            assert_int_equal(part_of(&world, i)->state, OWM_PART_REJECTED);
            assert_true(part_of(&world, i)->flagged);
            assert_int_equal(world_view(&world, i).row.signals, 1);
        }
        world_crash(&world);
    }
    world_deinit(&world);
}

/* The soft deadline: median + k x MAD of recent deliveries, within its bounds. */
static void test_soft_deadline(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.rounds.enabled = true;
    world.config.rounds.deadline_min_ms = 5000;
    for (uint32_t i = 1; i <= 3; i++) { /* nodes known before the start: in grace */
        struct owm_node_row row;
        memset(&row, 0, sizeof(row));
        world_id(i, row.node_id);
        world_key(i, row.public_key);
        row.status = OWM_NODE_ACTIVE;
        row.capabilities.tier = OWM_TIER_T1;
        row.capabilities.task_types = 0x3f;
        row.capabilities.slots = 1;
        struct owm_effect effect = {.kind = OWM_EFFECT_NODE, .node = row};
        store_commit(&world.store, &effect, 1);
    }
    struct owm_error error;
    assert_ok(owm_engine_create(&world.config, &world.engine, &error));
    store_restore(&world.store, world.engine);
    for (int i = 0; i < 9; i++) owm_engine_restore_arrival(world.engine, 10000 + i * 1000);
    owm_engine_restore_arrival(world.engine, 5000000); /* one very slow node moves nothing */
    owm_engine_start(world.engine, world.now_ms);
    world_model(&world);
    for (uint32_t i = 1; i <= 3; i++) world_stream(&world, i, 1);
    world_tick(&world, 0);
    const struct owm_round_row *round = owm_engine_round(world.engine);
    assert_int_equal(round->state, OWM_ROUND_OPEN);
    /* sorted 10..18 s and one outlier: upper median 15 s; deviations 0 1 1 2 2 3 3 4 5 …: 3 s */
    assert_int_equal(owm_engine_round_soft_deadline_ms(world.engine) - round->started_ms,
                     15000 + 6 * 3000);
    world_deinit(&world);
}

static void prove(struct world *world, uint8_t hash, uint32_t round, bool serving)
{
    struct owm_event event = {.kind = OWM_EVENT_PROVEN};
    event.proven.model_hash[0] = hash;
    event.proven.round = round;
    event.proven.training = true;
    event.proven.serving = serving;
    world_step(world, &event);
}

/** lose: its proof is gone. */
static void lose(struct world *world, uint8_t hash, uint32_t round)
{
    struct owm_event event = {.kind = OWM_EVENT_PROVEN, .proven = {.round = round}};
    event.proven.model_hash[0] = hash;
    world_step(world, &event);
}

/* SRS-OTS-05, design promise 3: no round opens on a checkpoint, and none serves, before its proof
 * is good enough; a restart waits to be told again. */
static void test_rounds_wait_for_proof_SRS_OTS_05(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.proofs_wanted = true;
    world.config.rounds.enabled = true;
    world.config.rounds.participants_max = NODES;
    world.config.rounds.min_participants = 3;
    world_start(&world);
    world_model(&world);
    for (uint32_t i = 1; i <= NODES; i++) world_node(&world, i, OWM_TIER_T1);
    world_tick(&world, 1000);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_IDLE);
    assert_true(owm_engine_awaits_proof(world.engine));
    assert_null(owm_engine_serving(world.engine));
    assert_int_equal(world_submit(&world, 1, OWM_TASK_INFERENCE), OWM_CODE_NO_MODEL);
    prove(&world, 99, 0, false); /* of another checkpoint */
    assert_true(owm_engine_awaits_proof(world.engine));
    prove(&world, 7, 0, false);
    world_tick(&world, 10);
    assert_int_equal(owm_engine_round(world.engine)->state, OWM_ROUND_OPEN);
    assert_int_equal(world_submit(&world, 2, OWM_TASK_INFERENCE), OWM_CODE_NO_MODEL);
    prove(&world, 7, 0, true);
    assert_int_equal(owm_engine_serving(world.engine)->model_hash[0], 7);
    assert_int_equal(world_submit(&world, 3, OWM_TASK_INFERENCE), OWM_CODE_NONE);
    for (uint32_t i = 1; i <= NODES; i++) deliver(&world, i);
    for (uint32_t i = 1; i <= NODES; i++) judge(&world, i, true);
    aggregate(&world, 0);
    world_tick(&world, world.config.rounds.pause_ms + 1000);
    assert_int_equal(owm_engine_round(world.engine)->round, 1); /* the next one waits */
    assert_int_equal(owm_engine_serving(world.engine)->model_hash[0], 7);
    prove(&world, 101, 1, true);
    world_tick(&world, 10);
    assert_int_equal(owm_engine_round(world.engine)->round, 2);
    assert_int_equal(owm_engine_serving(world.engine)->model_hash[0], 101);
    prove(&world, 7, 0, true); /* an older one's news */
    assert_int_equal(owm_engine_serving(world.engine)->model_hash[0], 101);
    lose(&world, 7, 0); /* nor does its loss matter any more */
    assert_false(owm_engine_awaits_proof(world.engine));
    assert_int_equal(owm_engine_serving(world.engine)->model_hash[0], 101);
    lose(&world, 101, 1);
    assert_true(owm_engine_awaits_proof(world.engine));
    assert_null(owm_engine_serving(world.engine));
    prove(&world, 7, 0, true);
    assert_int_equal(owm_engine_serving(world.engine)->model_hash[0], 7);
    prove(&world, 101, 1, true);
    assert_int_equal(owm_engine_serving(world.engine)->model_hash[0], 101);
    world_crash(&world);
    assert_true(owm_engine_awaits_proof(world.engine));
    assert_null(owm_engine_serving(world.engine));
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_completes_SRS_COORD_03),
        cmocka_unit_test(test_dropouts_TST_03),
        cmocka_unit_test(test_below_quorum),
        cmocka_unit_test(test_poison_TST_02),
        cmocka_unit_test(test_crash_in_each_state),
        cmocka_unit_test(test_aggregation_fails),
        cmocka_unit_test(test_nothing_included_TST_02),
        cmocka_unit_test(test_soft_deadline),
        cmocka_unit_test(test_rounds_wait_for_proof_SRS_OTS_05),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
