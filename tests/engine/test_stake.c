/* test_stake.c: what a reading of the stake does, what an assignment needs, cases (SRS-LN-11,
 * SRS-STAKE-02, SRS-STAKE-03, SRS-STAKE-04, SRS-STAKE-08, SRS-STAKE-10, SRS-SEC-14). */
#include "world.h"

#define HOUR_MS INT64_C(3600000)

static void start(struct world *world)
{
    world_init(world);
    world->config.stake = OWM_ENGINE_STAKE_LIGHTNING;
    world_start(world);
}

static const struct owm_registered_output *registered(const struct world *world)
{
    return &world_out(world, OWM_OUTPUT_REGISTERED, 0)->registered;
}

static void read_at(struct world *world, uint32_t number, int64_t sats, int64_t read_ms)
{
    struct owm_event event = {.kind = OWM_EVENT_STAKE};
    world_id(number, event.stake.node_id);
    event.stake.stake_sats = sats;
    event.stake.read_ms = read_ms;
    event.stake.closed = sats == 0;
    world_step(world, &event);
}

static void read_stake(struct world *world, uint32_t number, int64_t sats)
{
    read_at(world, number, sats, world->now_ms);
}

static enum owm_node_status status(const struct world *world, uint32_t number)
{
    return world_view(world, number).row.status;
}

static uint32_t wanted(const struct world *world)
{
    uint32_t count = 0;
    while (world_out(world, OWM_OUTPUT_STAKE_WANTED, count)) count++;
    return count;
}

/* SRS 4.12.2: enough, but not confirmed yet: pending; active when a reading shows it. */
static void test_pending_until_confirmed(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    struct owm_event event = world_registration(1, OWM_TIER_T1, 0);
    event.reg.stake_pending = true;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    assert_int_equal(registered(&world)->status, OWM_NODE_PENDING);
    assert_string_equal(world_view(&world, 1).row.status_reason,
                        "its stake waits for confirmations");
    world_stream(&world, 1, 1);
    world_model(&world);
    world_submit(&world, 50, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 50));
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_PENDING);
    world.now_ms += 600000;
    read_stake(&world, 1, 100000);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    assert_non_null(world_dispatched(&world, 50));
    world_deinit(&world);
}

/* TST-14, SRS-STAKE-02, 03: below the minimum: degraded and told until when; 24 hours later, by a
 * reading, suspended without cooldown; a good reading lifts that. */
static void test_degraded_then_suspended_TST_14(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T3);
    int64_t began_ms = world.now_ms += 1000;
    read_stake(&world, 1, 1999999);
    assert_int_equal(status(&world, 1), OWM_NODE_DEGRADED);
    world_heartbeat(&world, 1, 1, false, NULL, 0);
    const struct owm_heartbeat_output *answer =
        &world_out(&world, OWM_OUTPUT_HEARTBEAT, 0)->heartbeat;
    assert_int_equal(answer->stake_sats, 1999999);
    assert_int_equal(answer->required_stake_sats, 2000000);
    assert_true(answer->degraded_until_ms == began_ms + 24 * HOUR_MS);
    world_tick(&world, 25 * HOUR_MS); /* nobody looked: nothing happens */
    assert_int_equal(status(&world, 1), OWM_NODE_DEGRADED);
    read_at(&world, 1, 1999999, began_ms + 24 * HOUR_MS - 1);
    assert_int_equal(status(&world, 1), OWM_NODE_DEGRADED);
    read_at(&world, 1, 1999999, began_ms + 24 * HOUR_MS);
    assert_int_equal(status(&world, 1), OWM_NODE_SUSPENDED);
    assert_true(world_view(&world, 1).row.cooldown_until_ms == 0);
    read_stake(&world, 1, 2000000);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    world_deinit(&world);
}

/* A registration with enough lifts a suspension for the stake, too; one with too little is a
 * reading like any other. */
static void test_registration_is_a_reading(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    struct owm_event event = world_registration(1, OWM_TIER_T1, 100000);
    world_step(&world, &event);
    world.now_ms += 1000;
    event.reg.stake_sats = 99999;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_INSUFFICIENT_STAKE);
    assert_int_equal(registered(&world)->status, OWM_NODE_DEGRADED);
    world.now_ms += 24 * HOUR_MS;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->status, OWM_NODE_SUSPENDED);
    assert_int_equal(world_view(&world, 1).row.reliability_ppm, 1000000); /* no penalty */
    event.reg.stake_sats = 100000;
    event.reg.stake_read_ms = world.now_ms - 1; /* older than what is known */
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_INSUFFICIENT_STAKE);
    event.reg.stake_read_ms = world.now_ms += 1;
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    world_deinit(&world);
}

/* SRS-STAKE-10: the bonus follows the readings; an older reading changes nothing. */
static void test_bonus_follows(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    struct owm_event event = world_registration(1, OWM_TIER_T1, 100000);
    world_step(&world, &event);
    assert_int_equal(world_view(&world, 1).stake_bonus_ppm, 1000000);
    world.now_ms += 1000;
    read_stake(&world, 1, 200000);
    assert_int_equal(world_view(&world, 1).stake_bonus_ppm, 1500000);
    read_at(&world, 1, 0, world.now_ms - 1);
    assert_int_equal(world_view(&world, 1).row.stake_sats, 200000);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    world_deinit(&world);
}

/* Promise 6: in the grace window nobody is degraded, sent away or suspended, and nobody without
 * enough gets a task. */
static void test_grace(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T3);
    world_model(&world);
    world_crash(&world);
    world_stream(&world, 1, 1);
    read_stake(&world, 1, 0);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    world_submit(&world, 50, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 50));
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_DEGRADED);
    world.now_ms += world.config.grace_ms;
    read_stake(&world, 1, 5000);
    assert_int_equal(status(&world, 1), OWM_NODE_DEGRADED);
    world.now_ms += 23 * HOUR_MS;
    world_crash(&world);
    world.now_ms += world.config.grace_ms - 1;
    read_at(&world, 1, 5000, world.now_ms);
    assert_int_equal(status(&world, 1), OWM_NODE_DEGRADED);
    world_deinit(&world);
}

/* SRS-STAKE-08: who closes its channel is out without penalty, and comes back by opening one. */
static void test_left(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    world.now_ms += 1000;
    read_stake(&world, 1, 0);
    assert_int_equal(status(&world, 1), OWM_NODE_PENDING);
    assert_string_equal(world_view(&world, 1).row.status_reason, "it left: its channel was closed");
    assert_true(world_view(&world, 1).row.cooldown_until_ms == 0);
    struct owm_event event = world_registration(1, OWM_TIER_T1, 100000);
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    world_deinit(&world);
}

/* The stake is read before an assignment: asked for once per stake_retry_ms, answered: the task
 * goes, or the node is degraded and it does not. */
static void test_read_before_assignment(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    world_model(&world);
    world.now_ms += world.config.stake_fresh_ms + 1;
    world_submit(&world, 50, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 50));
    assert_int_equal(wanted(&world), 1);
    const struct owm_stake_wanted_output *out =
        &world_out(&world, OWM_OUTPUT_STAKE_WANTED, 0)->stake_wanted;
    uint8_t id[16];
    world_id(1, id);
    assert_memory_equal(out->node_id, id, 16);
    assert_memory_equal(out->ln_key, world_view(&world, 1).row.ln_key, 33);
    world_heartbeat(&world, 1, 1, false, NULL, 0);
    assert_int_equal(world_out(&world, OWM_OUTPUT_HEARTBEAT, 0)->heartbeat.why,
                     OWM_WHY_STAKE_UNREAD);
    world_tick(&world, world.config.stake_retry_ms - 1);
    assert_int_equal(wanted(&world), 0);
    world_tick(&world, 1);
    assert_int_equal(wanted(&world), 1);
    read_stake(&world, 1, 2000000);
    assert_non_null(world_dispatched(&world, 50));
    world.now_ms += world.config.stake_fresh_ms; /* not too old yet */
    world_submit(&world, 51, OWM_TASK_INFERENCE);
    assert_non_null(world_dispatched(&world, 51));
    world_result(&world, 50, 1, 1);
    world.now_ms += 1;
    world_heartbeat(&world, 1, 1, false, NULL, 0);
    world_submit(&world, 52, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 52));
    read_stake(&world, 1, 99999);
    assert_null(world_dispatched(&world, 52));
    assert_int_equal(status(&world, 1), OWM_NODE_DEGRADED);
    world_deinit(&world);
}

/* A task waits a moment for the reading of a better node, and no longer. */
static void test_better_node(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T3);
    world_model(&world);
    world.now_ms += world.config.stake_fresh_ms + 1;
    world_node(&world, 2, OWM_TIER_T1);
    world_submit(&world, 50, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 50));
    read_stake(&world, 1, 2000000);
    assert_int_equal(world_dispatched(&world, 50)->node_id[0], 1);
    world.now_ms += world.config.stake_fresh_ms + 1;
    read_stake(&world, 2, 2000000);
    world_submit(&world, 51, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 51));
    world_tick(&world, 249);
    assert_null(world_dispatched(&world, 51));
    world_tick(&world, 1);
    assert_int_equal(world_dispatched(&world, 51)->node_id[0], 2);
    world_deinit(&world);
}

/* Not more readings are asked for than are of use, nor more than 256 at a time; a treasury that
 * answers nothing is asked for others, too. */
static void test_questions_are_bounded(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.stake = OWM_ENGINE_STAKE_LIGHTNING;
    world.config.nodes_max = 400;
    world.config.tasks_max = 2048;
    world_start(&world);
    for (uint32_t i = 1; i <= 400; i++) world_node(&world, i, OWM_TIER_T1);
    world.now_ms += world.config.stake_fresh_ms + 1;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < 3; i++) {
        world_submit(&world, 1000 + i, OWM_TASK_AUDIT_REPO);
        asked += wanted(&world);
    }
    assert_int_equal(asked, 2); /* two slots each */
    for (uint32_t i = 3; i < 1000; i++) {
        world_submit(&world, 1000 + i, OWM_TASK_AUDIT_REPO);
        asked += wanted(&world);
    }
    assert_int_equal(asked, 256);
    for (uint32_t i = 1; i <= 400; i++) world_heartbeat(&world, i, 1, false, NULL, 0);
    world_tick(&world, world.config.stake_retry_ms);
    assert_int_equal(wanted(&world), 256);
    bool other = false;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t number;
        memcpy(&number, world_out(&world, OWM_OUTPUT_STAKE_WANTED, i)->stake_wanted.node_id, 4);
        other = other || number == 400;
    }
    assert_true(other);
    world_deinit(&world);
}

/* A round picks by what was last read; the tasks of who was picked wait for a new reading. */
static void test_round(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    world.config.stake = OWM_ENGINE_STAKE_LIGHTNING;
    world.config.rounds.enabled = true;
    world.config.rounds.min_participants = 2;
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    world_node(&world, 2, OWM_TIER_T1);
    world.now_ms += world.config.stake_fresh_ms + 1;
    world_model(&world);
    world_tick(&world, 1);
    assert_int_equal(owm_engine_round(world.engine)->invited, 2);
    assert_int_equal(owm_engine_counters(world.engine)->tasks_dispatched, 0);
    assert_int_equal(owm_engine_counters(world.engine)->stake_wanted, 2);
    assert_int_equal(world_view(&world, 1).why, OWM_WHY_STAKE_UNREAD);
    read_stake(&world, 1, 100000);
    assert_non_null(world_out(&world, OWM_OUTPUT_DISPATCH, 0));
    world_tick(&world, world.config.stake_retry_ms);
    assert_int_equal(wanted(&world), 1);
    read_stake(&world, 2, 100000);
    assert_non_null(world_out(&world, OWM_OUTPUT_DISPATCH, 0));
    world_deinit(&world);
}

/* A round does not wait for who left with its task: once the lease is over it is missing. */
static void test_left_with_its_task(void **state)
{
    (void)state;
    struct world world;
    uint32_t count;
    world_init(&world);
    world.config.stake = OWM_ENGINE_STAKE_LIGHTNING;
    world.config.rounds.enabled = true;
    world.config.rounds.min_participants = 1;
    world_start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    world_model(&world);
    world_tick(&world, 1);
    assert_int_equal(owm_engine_counters(world.engine)->tasks_dispatched, 1);
    read_stake(&world, 1, 0);
    assert_int_equal(status(&world, 1), OWM_NODE_PENDING);
    const struct owm_participant_row *part = owm_engine_participants(world.engine, &count);
    assert_int_equal(part->state, OWM_PART_INVITED); /* It may still finish what it has. */
    world_tick(&world, world.config.lease_ms);
    part = owm_engine_participants(world.engine, &count);
    assert_int_equal(part->state, OWM_PART_MISSING);
    world_deinit(&world);
}

static void case_event(struct world *world, uint32_t number, enum owm_event_kind kind)
{
    struct owm_event event = {.kind = kind};
    world_id(number, event.slash.node_id);
    snprintf(event.slash.reason, sizeof(event.slash.reason), "two maintainers acknowledged it");
    if (kind == OWM_EVENT_SLASH) store_decided(&world->store, event.slash.node_id);
    world_step(world, &event);
}

/* SRS-STAKE-04, SRS-SEC-14, TST-20: a decided case suspends whatever the tier, once; TST-16: the
 * cooldown holds; overturned, it is as if it had never been. */
static void test_slash_and_reinstate_TST_16_TST_20(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T3);
    world_submit(&world, 50, OWM_TASK_AUDIT_REPO);
    assert_non_null(world_dispatched(&world, 50));
    case_event(&world, 1, OWM_EVENT_SLASH);
    struct owm_node_view view = world_view(&world, 1);
    assert_int_equal(view.row.status, OWM_NODE_SUSPENDED);
    assert_string_equal(view.row.status_reason, "two maintainers acknowledged it");
    assert_true(view.row.cooldown_until_ms == world.now_ms + world.config.cooldown_ms);
    assert_int_equal(view.row.reliability_ppm, 0);
    assert_int_equal(view.running, 0);
    assert_int_equal(world_task(&world, 50)->state, OWM_TASK_STATE_PENDING);
    world.now_ms += 1000;
    case_event(&world, 1, OWM_EVENT_SLASH);
    assert_true(world_view(&world, 1).row.cooldown_until_ms == view.row.cooldown_until_ms);
    read_stake(&world, 1, 6000000);
    assert_int_equal(status(&world, 1), OWM_NODE_SUSPENDED);
    struct owm_event event = world_registration(1, OWM_TIER_T3, 6000000);
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_COOLDOWN);
    case_event(&world, 1, OWM_EVENT_REINSTATE);
    view = world_view(&world, 1);
    assert_int_equal(view.row.status, OWM_NODE_ACTIVE);
    assert_true(view.row.cooldown_until_ms == 0 && view.row.signals == 0);
    assert_int_equal(view.row.reliability_ppm, 1000000);
    assert_non_null(world_dispatched(&world, 50));
    world_deinit(&world);
}

/* A case waits for the end of the grace window; REINSTATE forgets one that waits, does nothing to
 * who is not suspended for misbehaviour, and gives nobody a stake that it has not. */
static void test_cases_and_grace(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T2);
    world_node(&world, 2, OWM_TIER_T2);
    world_crash(&world);
    case_event(&world, 1, OWM_EVENT_SLASH);
    case_event(&world, 2, OWM_EVENT_SLASH);
    case_event(&world, 2, OWM_EVENT_REINSTATE);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    world_tick(&world, world.config.grace_ms);
    assert_int_equal(status(&world, 1), OWM_NODE_SUSPENDED);
    assert_int_equal(status(&world, 2), OWM_NODE_ACTIVE);
    read_stake(&world, 1, 0);
    case_event(&world, 1, OWM_EVENT_REINSTATE);
    assert_int_equal(status(&world, 1), OWM_NODE_PENDING);
    read_stake(&world, 2, 499999);
    case_event(&world, 2, OWM_EVENT_REINSTATE);
    assert_int_equal(status(&world, 2), OWM_NODE_DEGRADED);
    world_deinit(&world);
}

/* One LN key, one identity: whatever its sign; given up, it is free again. */
static void test_ln_key(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    struct owm_event first = world_registration(1, OWM_TIER_T1, 100000);
    struct owm_event second = world_registration(2, OWM_TIER_T1, 100000);
    world_step(&world, &first);
    memcpy(second.reg.ln_key, first.reg.ln_key, 33);
    second.reg.ln_key[0] = 3;
    world_step(&world, &second);
    assert_int_equal(registered(&world)->code, OWM_CODE_LN_KEY_BOUND);
    world_step(&world, &first); /* its own again */
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    world_crash(&world);
    world_step(&world, &second);
    assert_int_equal(registered(&world)->code, OWM_CODE_LN_KEY_BOUND);
    world_key(77, first.reg.ln_key + 1);
    world_step(&world, &first);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    world_step(&world, &second);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    struct owm_event none = world_registration(3, OWM_TIER_T1, 100000);
    memset(none.reg.ln_key, 0, 33); /* nobody's stake */
    world_step(&world, &none);
    assert_int_equal(registered(&world)->code, OWM_CODE_INSUFFICIENT_STAKE);
    world_deinit(&world);
}

/* A reading of the Lightning key that a node had before says nothing about the node. */
static void test_reading_of_the_key_before(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    struct owm_event event = world_registration(1, OWM_TIER_T1, 100000);
    world_step(&world, &event);
    struct owm_event late = {.kind = OWM_EVENT_STAKE, .stake = {.closed = true}};
    world_id(1, late.stake.node_id);
    memcpy(late.stake.ln_key, event.reg.ln_key, 33);
    world_key(77, event.reg.ln_key + 1);
    world_step(&world, &event);
    assert_int_equal(registered(&world)->code, OWM_CODE_NONE);
    late.stake.read_ms = world.now_ms += 1;
    world_step(&world, &late);
    assert_int_equal(status(&world, 1), OWM_NODE_ACTIVE);
    assert_int_equal(world_view(&world, 1).row.stake_sats, 100000);
    memcpy(late.stake.ln_key, event.reg.ln_key, 33);
    world_step(&world, &late);
    assert_int_equal(status(&world, 1), OWM_NODE_PENDING);
    world_deinit(&world);
}

/* The clock was an hour ahead before a restart: what was read then is not fresh for an hour, and
 * does not keep out what is read now. */
static void test_clock_set_back(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    world_node(&world, 1, OWM_TIER_T1);
    world_model(&world);
    world.now_ms += HOUR_MS;
    read_stake(&world, 1, 100000);
    world_tick(&world, 60000); /* written to the store */
    world.now_ms -= HOUR_MS;
    world_crash(&world);
    world_stream(&world, 1, 2);
    world_submit(&world, 50, OWM_TASK_INFERENCE);
    assert_null(world_dispatched(&world, 50));
    assert_int_equal(wanted(&world), 1);
    read_stake(&world, 1, 0);
    assert_int_equal(world_view(&world, 1).row.stake_sats, 0);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pending_until_confirmed),
        cmocka_unit_test(test_degraded_then_suspended_TST_14),
        cmocka_unit_test(test_registration_is_a_reading),
        cmocka_unit_test(test_bonus_follows),
        cmocka_unit_test(test_grace),
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_read_before_assignment),
        cmocka_unit_test(test_better_node),
        cmocka_unit_test(test_questions_are_bounded),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_left_with_its_task),
        cmocka_unit_test(test_slash_and_reinstate_TST_16_TST_20),
        cmocka_unit_test(test_cases_and_grace),
        cmocka_unit_test(test_ln_key),
        cmocka_unit_test(test_reading_of_the_key_before),
        cmocka_unit_test(test_clock_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
