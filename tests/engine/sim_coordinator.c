/* sim_coordinator.c: the driver's loop with faults at every joint: batch, step, commit, outputs;
 * and the worker threads that verify and aggregate. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_MAX 64

static void drop_batch(struct sim *sim, size_t count)
{
    sim->batch_count = 0;
    if (count == 0) return;
    for (size_t i = 0; i < count; i++) sim_drop(sim->inbox[i]);
    memmove(sim->inbox, sim->inbox + count, (sim->inbox_count - count) * sizeof(sim->inbox[0]));
    sim->inbox_count -= count;
}

void sim_coordinator_crash(struct sim *sim)
{
    owm_engine_destroy(sim->engine);
    sim->engine = NULL;
    sim->unsaved = false;
    drop_batch(sim, sim->inbox_count);
    sim->restart_ms = sim->now_ms + sim_between(sim, 500, 5000);
    sim->crashes++;
    for (uint32_t i = 0; i < sim->config.nodes; i++) {
        sim->node[i].stream = 0;
        sim->node[i].stream_ms = sim->now_ms + sim_between(sim, 0, 3000);
    }
}

/* --- planted faults: the n-th fault breaks invariant n --------------------------------------- */

static void plant_task(struct sim *sim, struct owm_effect *effect, struct owm_effect *more,
                       size_t *more_count)
{
    struct owm_task_row *row = &effect->task;
    bool completed = row->state == OWM_TASK_STATE_COMPLETED;
    bool delta = row->type == OWM_TASK_FL_ROUND;
    if (sim->config.plant == 1 && completed) {
        more[*more_count] = *effect;
        more[(*more_count)++].task.state = OWM_TASK_STATE_FAILED;
    } else if (sim->config.plant == 4 && completed) {
        row->assigned_node[0] ^= 1;
    } else if (sim->config.plant == 6 && row->attempt > 1 && row->state == OWM_TASK_STATE_RUNNING) {
        row->lease_token = 1;
    } else if (sim->config.plant == 11 && completed && delta && row->reward_msat == 0) {
        struct owm_payable_row *pay = &more[*more_count].payable;
        memset(&more[*more_count], 0, sizeof(*more));
        more[(*more_count)++].kind = OWM_EFFECT_PAYABLE;
        memcpy(pay->source_id, row->task_id, 16);
        memcpy(pay->node_id, row->assigned_node, 16);
        pay->amount_msat = 1;
    } else {
        return;
    }
    sim->planted = true;
}

static void plant_effect(struct sim *sim, struct owm_effect *effect, struct owm_effect *more,
                         size_t *more_count)
{
    int plant = sim->config.plant;
    if (effect->kind == OWM_EFFECT_TASK) {
        plant_task(sim, effect, more, more_count);
    } else if (effect->kind == OWM_EFFECT_PAYABLE && plant == 2) {
        more[*more_count] = *effect;
        more[(*more_count)++].payable.amount_msat++;
        sim->planted = true;
    } else if (effect->kind == OWM_EFFECT_PAYABLE && plant == 3) {
        effect->payable.amount_msat++;
        sim->planted = true;
    } else if (effect->kind == OWM_EFFECT_SIGNAL && plant == 5) {
        memset(effect->signal.evidence_hash, 0, 32);
        sim->planted = true;
    } else if (effect->kind == OWM_EFFECT_NODE && plant == 10) {
        effect->node.alias[0] ^= 1; /* another byte than in the run without it */
        sim->planted = true;
    } else if (effect->kind == OWM_EFFECT_NODE && plant == 12) {
        effect->kind = OWM_EFFECT_HEARTBEAT; /* the registration is lost */
        memcpy(effect->heartbeat.node_id, sim->node[0].id, 16);
        sim->planted = true;
    } else if (effect->kind == OWM_EFFECT_NODE && plant == 17 && sim->store.node_count > 0
               && memcmp(effect->node.node_id, sim->store.node[0].node_id, 16) != 0) {
        memcpy(effect->node.ln_key, sim->store.node[0].ln_key, 33);
        sim->planted = true;
    }
}

/* --- workers --------------------------------------------------------------------------------- */

static void verify(struct sim *sim, const struct owm_verify_output *want)
{
    struct sim_message *message = sim_message(sim);
    message->generation = sim->generation;
    message->event.kind = OWM_EVENT_JUDGED;
    struct owm_judged_event *event = &message->event.judged;
    event->round = want->round;
    memcpy(event->node_id, want->node_id, 16);
    memcpy(event->package_hash, want->package_hash, 32);
    event->ok = want->package_hash[31] != SIM_MALFORMED;
    if (!event->ok) snprintf(event->reason, sizeof(event->reason), "malformed package");
    sim_later(sim, message, sim_between(sim, 10, 1000));
}

static void aggregate(struct sim *sim, const struct owm_aggregate_output *want)
{
    struct sim_message *message = sim_message(sim);
    message->generation = sim->generation;
    message->event.kind = OWM_EVENT_AGGREGATED;
    struct owm_aggregated_event *event = &message->event.aggregated;
    event->round = want->round.round;
    event->ok = !sim_chance(sim, 100);
    snprintf(event->reason, sizeof(event->reason), "disk full");
    snprintf(event->model.version, sizeof(event->model.version), "owm-r%u", want->round.round);
    message->verdicts = calloc(want->count + 1, sizeof(message->verdicts[0]));
    if (!message->verdicts) abort();
    for (uint32_t i = 0; i < want->count; i++) {
        const struct owm_participant_row *part = &want->participants[i];
        struct owm_verdict *verdict = &message->verdicts[i];
        memcpy(verdict->node_id, part->node_id, 16);
        verdict->included = part->package_hash[31] != SIM_POISONER;
        verdict->weight = verdict->included ? 1.0 / want->count : 0;
        for (int k = 0; k < 32; k++) event->model.model_hash[k] ^= part->package_hash[k];
        if (verdict->included) continue;
        snprintf(verdict->reason, sizeof(verdict->reason), "norm far above the others");
        memcpy(verdict->evidence_hash, part->package_hash, 32);
    }
    event->model.model_hash[0] |= 1;
    event->verdicts = message->verdicts;
    event->verdict_count = want->count;
    sim_later(sim, message, sim_between(sim, 100, 2000));
}

/* Calendars promise: for each new checkpoint, and after a start for the current one again. */
static void prove(struct sim *sim, const uint8_t hash[static 32], uint32_t round)
{
    struct sim_message *message = sim_message(sim);
    message->generation = sim->generation;
    message->event.kind = OWM_EVENT_PROVEN;
    message->event.proven.training = true;
    message->event.proven.serving = true;
    message->event.proven.round = round;
    memcpy(message->event.proven.model_hash, hash, 32);
    sim_later(sim, message, sim_between(sim, 10, 3000));
}

/* --- the loop -------------------------------------------------------------------------------- */

static void perform(struct sim *sim, const struct owm_output *output)
{
    uint32_t node = (uint32_t)(output->cookie >> 32);
    switch (output->kind) {
    case OWM_OUTPUT_VERIFY:
        verify(sim, &output->verify);
        return;
    case OWM_OUTPUT_AGGREGATE:
        aggregate(sim, &output->aggregate);
        return;
    case OWM_OUTPUT_SUBMITTED:
        if (output->submitted.code == OWM_CODE_NONE
            && !store_task(&sim->store, output->submitted.task_id))
            store_violation(&sim->store, "I12: an acknowledged task is not stored");
        return;
    case OWM_OUTPUT_DISPATCH:
        memcpy(&node, output->dispatch.node_id, 4);
        node--;
        if (sim->config.plant == 9 && sim->healed) {
            sim->planted = true;
            return;
        }
        break;
    case OWM_OUTPUT_REGISTERED:
    case OWM_OUTPUT_HEARTBEAT:
    case OWM_OUTPUT_RESULT:
        break;
    case OWM_OUTPUT_ROUND_CHANGED:
        if (output->round.state == OWM_ROUND_COMPLETE)
            prove(sim, output->round.model_hash, output->round.round);
        return;
    case OWM_OUTPUT_DONE:
    case OWM_OUTPUT_TASK_CHANGED:
        return;
    case OWM_OUTPUT_STAKE_WANTED:
        memcpy(&node, output->stake_wanted.node_id, 4);
        sim_stake_wanted(sim, node - 1);
        return;
    }
    struct sim_message *message = sim_message(sim);
    message->to_node = true;
    message->node = node;
    message->output = *output;
    sim_send(sim, message);
}

static void commit(struct sim *sim)
{
    size_t count;
    const struct owm_effect *effects = owm_engine_effects(sim->engine, &count);
    if (sim->config.plant && !sim->planted) {
        struct owm_effect *changed = malloc((count + 1) * 2 * sizeof(changed[0]));
        if (!changed) abort();
        size_t total = 0;
        for (size_t i = 0; i < count; i++) {
            size_t at = total++;
            changed[at] = effects[i];
            if (!sim->planted) plant_effect(sim, &changed[at], changed, &total);
        }
        store_commit(&sim->store, changed, total);
        free(changed);
    } else {
        store_commit(&sim->store, effects, count);
    }
}

static void step(struct sim *sim, const struct owm_event *event)
{
    size_t outputs_before;
    size_t effects_before;
    size_t after;
    owm_engine_outputs(sim->engine, &outputs_before);
    owm_engine_effects(sim->engine, &effects_before);
    struct timespec a;
    struct timespec b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    owm_engine_step(sim->engine, event, sim->now_ms);
    clock_gettime(CLOCK_MONOTONIC, &b);
    sim->step_ns +=
        (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)(b.tv_nsec - a.tv_nsec);
    sim->steps++;
    const struct owm_output *outputs = owm_engine_outputs(sim->engine, &after);
    sim_check_event(sim, event, outputs, outputs_before, after);
    sim_check_outputs(sim, outputs, outputs_before, after);
    const struct owm_effect *effects = owm_engine_effects(sim->engine, &after);
    sim_check_effects(sim, event, effects, effects_before, after);
}

static void restart(struct sim *sim)
{
    struct owm_error error;
    if (owm_engine_create(&sim->engine_config, &sim->engine, &error) != OWM_OK) abort();
    store_restore(&sim->store, sim->engine);
    owm_engine_start(sim->engine, sim->now_ms);
    store_compare(&sim->store, sim->engine);
    sim_check_restart(sim);
    sim->generation++;
    sim->restarts++;
    struct owm_event model = {.kind = OWM_EVENT_MODEL};
    snprintf(model.model.version, sizeof(model.model.version), "owm-r0");
    model.model.model_hash[0] = 1;
    step(sim, &model);
    if (sim->proven.serving)
        step(sim, &(struct owm_event){.kind = OWM_EVENT_PROVEN, .proven = sim->proven});
    const struct owm_model_row *current = owm_engine_model(sim->engine);
    prove(sim, current->model_hash, current->round);
    sim->unsaved = true;
}

/* Commit and say it; a crash may come before, between and after. True: still alive. */
static bool finish_batch(struct sim *sim)
{
    if (sim->now_ms < sim->store_back_ms) return false; /* PostgreSQL is away: all waits */
    if (sim_chance(sim, 1)) {
        sim_coordinator_crash(sim);
        return false;
    }
    commit(sim);
    if (sim_chance(sim, 1)) {
        sim_coordinator_crash(sim);
        return false;
    }
    size_t count;
    const struct owm_output *outputs = owm_engine_outputs(sim->engine, &count);
    for (size_t i = 0; i < count; i++) perform(sim, &outputs[i]);
    owm_engine_clear(sim->engine);
    drop_batch(sim, sim->batch_count);
    sim->unsaved = false;
    return true;
}

void sim_coordinator_step(struct sim *sim)
{
    if (!sim->engine) {
        if (sim->now_ms < sim->restart_ms || sim->now_ms < sim->store_back_ms) return;
        restart(sim);
    }
    if (sim->unsaved && !finish_batch(sim)) return;
    step(sim, &(struct owm_event){.kind = OWM_EVENT_TICK});
    do {
        size_t count = sim->inbox_count < BATCH_MAX ? sim->inbox_count : BATCH_MAX;
        for (size_t i = 0; i < count; i++) {
            const struct sim_message *message = sim->inbox[i];
            if (message->generation == 0 || message->generation == sim->generation)
                step(sim, &message->event);
        }
        sim->batch_count = count;
        sim->unsaved = true;
        if (!finish_batch(sim)) return;
    } while (sim->inbox_count > 0);
}
