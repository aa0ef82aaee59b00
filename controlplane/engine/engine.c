/* engine.c: making an engine, one step, and the questions that change nothing. */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "controlplane/engine/reward.h"

void owm_engine_defaults(struct owm_engine_config *config)
{
    memset(config, 0, sizeof(*config));
    config->stake = OWM_ENGINE_STAKE_LIGHTNING;
    for (enum owm_tier tier = OWM_TIER_T1; tier <= OWM_TIER_T3; tier++)
        config->tier_stake_sats[tier] = owm_tier_stake_sats(tier);
    config->base_rate_msat = 10 * 1000;
    config->heartbeat_period_ms = 20 * 1000;
    config->persist_ms = 5 * 1000;
    config->grace_ms = 120 * 1000;
    config->lease_ms = 90 * 1000;
    config->ageing_ms = 30 * 1000;
    config->cooldown_ms = 30 * 24 * 3600 * INT64_C(1000);
    config->task_timeout_ms = 30 * 1000;
    config->task_timeout_max_ms = 3600 * 1000;
    config->attempts_max = 3;
    config->signals_to_suspend = 3;
    config->stake_fresh_ms = 10 * 1000;
    config->stake_retry_ms = 5 * 1000;
    config->degraded_ms = 24 * 3600 * INT64_C(1000);
    config->nodes_max = 20000;
    config->tasks_max = 65536;
    config->finished_max = 16384;
    config->payload_bytes_max = 64 * 1024;
    config->payload_total_bytes_max = 256 * 1024 * 1024;
    config->rounds = (struct owm_rounds_config){
        .enabled = true,
        .participants_max = 64,
        .min_participants = 3,
        .quorum_percent = 60,
        .min_tier = OWM_TIER_T1,
        .deadline_ms = 600 * 1000,
        .deadline_min_ms = 30 * 1000,
        .deadline_mad_milli = 6000,
        .pause_ms = 1000,
        .verify_wait_ms = 60 * 1000,
        .aggregate_attempts_max = 3,
    };
}

#define LIMIT_MAX 4000000 /* entries of a table */
#define TIME_MAX  (400 * 24 * 3600 * INT64_C(1000))

static owm_status check_range(const char *name, int64_t value, int64_t low, int64_t high,
                              struct owm_error *error)
{
    if (value >= low && value <= high) return OWM_OK;
    return owm_fail(error, OWM_E_CONFIG, "engine: %s = %lld: must be %lld to %lld", name,
                    (long long)value, (long long)low, (long long)high);
}

static owm_status check_config(const struct owm_engine_config *c, struct owm_error *error)
{
    const struct owm_rounds_config *r = &c->rounds;
    const struct {
        const char *name;
        int64_t value, low, high;
    } row[] = {
        {"base_rate_msat", c->base_rate_msat, 0, OWM_REWARD_BASE_MSAT_MAX},
        {"heartbeat_period_ms", c->heartbeat_period_ms, 1, TIME_MAX},
        {"persist_ms", c->persist_ms, 1, TIME_MAX},
        {"grace_ms", c->grace_ms, 0, TIME_MAX},
        {"lease_ms", c->lease_ms, 1, TIME_MAX},
        {"ageing_ms", c->ageing_ms, 1, TIME_MAX},
        {"cooldown_ms", c->cooldown_ms, 0, TIME_MAX},
        {"task_timeout_ms", c->task_timeout_ms, 1, c->task_timeout_max_ms},
        {"task_timeout_max_ms", c->task_timeout_max_ms, 1000, UINT32_MAX},
        {"attempts_max", c->attempts_max, 1, 1000},
        {"signals_to_suspend", c->signals_to_suspend, 1, 1000},
        {"stake_retry_ms", c->stake_retry_ms, 1, TIME_MAX},
        {"stake_fresh_ms", c->stake_fresh_ms, c->stake_retry_ms, TIME_MAX},
        {"degraded_ms", c->degraded_ms, 0, TIME_MAX},
        {"nodes_max", c->nodes_max, 1, LIMIT_MAX},
        {"tasks_max", c->tasks_max, 1, LIMIT_MAX},
        {"finished_max", c->finished_max, 1, LIMIT_MAX},
        {"rounds.participants_max", r->participants_max, 1, c->tasks_max},
        {"rounds.min_participants", r->min_participants, 1, r->participants_max},
        {"rounds.quorum_percent", r->quorum_percent, 1, 100},
        {"rounds.min_tier", r->min_tier, OWM_TIER_T1, OWM_TIER_T3},
        {"rounds.deadline_ms", r->deadline_ms, 1, UINT32_MAX},
        {"rounds.deadline_min_ms", r->deadline_min_ms, 0, r->deadline_ms},
        {"rounds.deadline_mad_milli", r->deadline_mad_milli, 0, 1000000},
        {"rounds.pause_ms", r->pause_ms, 0, TIME_MAX},
        {"rounds.verify_wait_ms", r->verify_wait_ms, 0, TIME_MAX},
        {"rounds.aggregate_attempts_max", r->aggregate_attempts_max, 1, 1000},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        owm_status status = check_range(row[i].name, row[i].value, row[i].low, row[i].high, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

static owm_status allocate(owm_engine *e)
{
    const struct owm_engine_config *c = &e->config;
    uint8_t secret[32];
    owm_sha256(c->seed, 32, secret);
    e->node = calloc(c->nodes_max, sizeof(e->node[0]));
    for (int i = PLACE_FREE; i < PLACES; i++)
        e->place[i].node = calloc(c->nodes_max, sizeof(e->place[i].node[0]));
    e->pinned_ready = calloc(c->nodes_max, sizeof(e->pinned_ready[0]));
    e->task = calloc(c->tasks_max, sizeof(e->task[0]));
    e->running = calloc(c->tasks_max, sizeof(e->running[0]));
    e->finished = calloc(c->finished_max, sizeof(e->finished[0]));
    e->round.part = calloc(c->rounds.participants_max, sizeof(e->round.part[0]));
    e->round.aggregate = calloc(c->rounds.participants_max, sizeof(e->round.aggregate[0]));
    if (!e->node || !e->place[PLACE_FREE].node || !e->place[PLACE_STALE].node
        || !e->place[PLACE_ASKED].node || !e->pinned_ready || !e->task || !e->running
        || !e->finished || !e->round.part || !e->round.aggregate)
        return OWM_E_NOMEM;
    if (index_init(&e->node_by_id, c->nodes_max, 16, secret) != OWM_OK
        || index_init(&e->node_by_key, c->nodes_max, 32, secret) != OWM_OK
        || index_init(&e->node_by_ln, c->nodes_max, 32, secret) != OWM_OK
        || index_init(&e->task_by_id, c->tasks_max, 16, secret) != OWM_OK
        || index_init(&e->finished_by_id, c->finished_max, 16, secret) != OWM_OK)
        return OWM_E_NOMEM;
    return OWM_OK;
}

owm_status owm_engine_create(const struct owm_engine_config *config, owm_engine **engine,
                             struct owm_error *error)
{
    *engine = NULL;
    owm_status status = check_config(config, error);
    if (status != OWM_OK) return status;
    owm_engine *e = calloc(1, sizeof(*e));
    if (!e) return owm_fail(error, OWM_E_NOMEM, "engine: out of memory");
    e->config = *config;
    status = allocate(e);
    if (status != OWM_OK) {
        owm_engine_destroy(e);
        return owm_fail(error, status,
                        "engine: no memory for %u nodes and %u tasks; lower limits.*",
                        config->nodes_max, config->tasks_max);
    }
    for (uint32_t i = 0; i < config->tasks_max; i++)
        e->task[i].next = i + 1 < config->tasks_max ? i + 1 : NONE;
    e->task_free = 0;
    for (uint32_t lane = 0; lane < LANES; lane++) e->lane[lane].head = e->lane[lane].tail = NONE;
    *engine = e;
    return OWM_OK;
}

void owm_engine_destroy(owm_engine *e)
{
    if (!e) return;
    batch_clear(e);
    if (e->task) {
        for (uint32_t i = 0; i < e->config.tasks_max; i++)
            if (e->task[i].used) free((void *)e->task[i].row.payload);
    }
    index_deinit(&e->node_by_id);
    index_deinit(&e->node_by_key);
    index_deinit(&e->node_by_ln);
    index_deinit(&e->task_by_id);
    index_deinit(&e->finished_by_id);
    free(e->node);
    for (int i = PLACE_FREE; i < PLACES; i++) free(e->place[i].node);
    free(e->pinned_ready);
    free(e->task);
    free(e->running);
    free(e->finished);
    free(e->round.part);
    free(e->round.aggregate);
    free(e->effect);
    free(e->output);
    free(e->grave);
    free(e);
}

void owm_engine_start(owm_engine *e, int64_t now_ms)
{
    OWM_ASSERT(!e->started);
    e->started = true;
    e->now_ms = e->started_ms = now_ms;
    int64_t grace_ms = SILENT_PERIODS * e->config.heartbeat_period_ms;
    if (grace_ms < e->config.grace_ms) grace_ms = e->config.grace_ms;
    bool fresh = e->node_count == 0; /* nobody knows this network yet */
    e->grace_ends_ms = fresh ? now_ms : now_ms + grace_ms;
    e->persist_ms = now_ms + e->config.persist_ms;
    for (uint32_t i = 0; i < e->node_count; i++)
        e->node[i].watched_ms = e->node[i].heard_ms = now_ms;
    round_start(e);
    for (uint32_t i = 0; i < e->running_count; i++) {
        struct task *task = &e->task[e->running[i]];
        task->lease_ends_ms = now_ms + e->config.lease_ms;
        if (task->lease_ends_ms < e->grace_ends_ms) task->lease_ends_ms = e->grace_ends_ms;
        task->deadline_ms = task->row.started_ms + task->row.timeout_ms;
        if (task->deadline_ms < e->grace_ends_ms) task->deadline_ms = e->grace_ends_ms;
        if (task->row.type == OWM_TASK_FL_ROUND) task->deadline_ms = e->round.hard_ms;
    }
}

static void dispatch_event(owm_engine *e, const struct owm_event *event)
{
    switch (event->kind) {
    case OWM_EVENT_TICK:
        node_tick(e);
        lease_tick(e);
        e->round_wanted = true;
        break;
    case OWM_EVENT_REGISTER:
        node_register(e, &event->reg, event->cookie);
        break;
    case OWM_EVENT_MANIFEST:
        node_manifest(e, &event->manifest, event->cookie);
        break;
    case OWM_EVENT_HEARTBEAT:
        node_heartbeat(e, &event->heartbeat, event->cookie);
        break;
    case OWM_EVENT_STREAM_OPENED:
        node_stream_opened(e, &event->heartbeat, event->cookie);
        break;
    case OWM_EVENT_STREAM_CLOSED:
        node_stream_closed(e, &event->closed);
        break;
    case OWM_EVENT_SUBMIT:
        task_submit(e, &event->submit, event->cookie);
        break;
    case OWM_EVENT_CANCEL:
        task_cancel(e, &event->cancel, event->cookie);
        break;
    case OWM_EVENT_PROGRESS:
        lease_progress(e, &event->progress, event->cookie);
        break;
    case OWM_EVENT_RESULT:
        result_take(e, &event->result, event->cookie);
        break;
    case OWM_EVENT_RESULT_REFUSED:
        result_refuse(e, &event->refused, event->cookie);
        break;
    case OWM_EVENT_JUDGED:
        round_judged(e, &event->judged);
        break;
    case OWM_EVENT_AGGREGATED:
        round_aggregated(e, &event->aggregated);
        break;
    case OWM_EVENT_MODEL:
        model_first(e, &event->model);
        break;
    case OWM_EVENT_PROVEN:
        model_proven(e, &event->proven);
        break;
    case OWM_EVENT_STAKE:
        stake_read(e, &event->stake);
        break;
    case OWM_EVENT_SLASH:
        slash_take(e, &event->slash);
        break;
    case OWM_EVENT_REINSTATE:
        slash_undo(e, &event->slash);
        break;
    }
}

void owm_engine_step(owm_engine *e, const struct owm_event *event, int64_t now_ms)
{
    OWM_ASSERT(e->started);
    if (now_ms > e->now_ms) e->now_ms = now_ms;
    e->counters.steps++;
    dispatch_event(e, event);
    if (e->round_wanted) round_tick(e);
    schedule(e);
    e->counters.tasks_running = e->running_count;
    e->counters.payload_bytes = e->payload_bytes;
}

const struct owm_effect *owm_engine_effects(const owm_engine *e, size_t *count)
{
    *count = e->effect_count;
    return e->effect;
}

const struct owm_output *owm_engine_outputs(const owm_engine *e, size_t *count)
{
    *count = e->output_count;
    return e->output;
}

void owm_engine_clear(owm_engine *e)
{
    batch_clear(e);
}

uint32_t owm_engine_node_count(const owm_engine *e)
{
    return e->node_count;
}

void owm_engine_node(const owm_engine *e, uint32_t at, int64_t now_ms, struct owm_node_view *view)
{
    OWM_ASSERT(at < e->node_count);
    const struct node *node = &e->node[at];
    view->row = node->row;
    view->row.reliability_ppm = node_reliability_ppm(node, now_ms);
    view->connected = node->stream != 0;
    view->silent = node->silent;
    view->draining = node->draining;
    view->running = node->running;
    view->slots_free = node_slots_free(node);
    view->uptime_ppm = owm_reliability_uptime_ppm(&node->row.reliability, now_ms);
    view->stake_bonus_ppm = node_stake_bonus_ppm(e, node);
    view->boot_id = node->boot_id;
    view->why = node_why(e, node);
}

static int64_t found(uint32_t at)
{
    return at == NONE ? -1 : (int64_t)at;
}

int64_t owm_engine_find_node(const owm_engine *e, const uint8_t node_id[static 16])
{
    return found(index_find(&e->node_by_id, node_id));
}

int64_t owm_engine_find_key(const owm_engine *e, const uint8_t public_key[static 32])
{
    return found(index_find(&e->node_by_key, public_key));
}

uint32_t owm_engine_task_slots(const owm_engine *e)
{
    return e->config.tasks_max;
}

const struct owm_task_row *owm_engine_task(const owm_engine *e, uint32_t slot)
{
    OWM_ASSERT(slot < e->config.tasks_max);
    return e->task[slot].used ? &e->task[slot].row : NULL;
}

const struct owm_task_row *owm_engine_find_task(const owm_engine *e,
                                                const uint8_t task_id[static 16])
{
    uint32_t slot = task_find(e, task_id);
    return slot != NONE ? &e->task[slot].row : finished_find(e, task_id);
}

const struct owm_round_row *owm_engine_round(const owm_engine *e)
{
    return &e->round.row;
}

int64_t owm_engine_round_soft_deadline_ms(const owm_engine *e)
{
    return e->round.soft_ms;
}

const struct owm_participant_row *owm_engine_participants(const owm_engine *e, uint32_t *count)
{
    *count = e->round.count;
    return e->round.part;
}

bool owm_engine_rounds_finished(const owm_engine *e)
{
    uint32_t stop = e->config.rounds.stop_after;
    return stop != 0 && e->counters.rounds_complete >= stop;
}

bool owm_engine_in_grace(const owm_engine *e, int64_t now_ms)
{
    return in_grace(e, now_ms);
}

const struct owm_engine_counters *owm_engine_counters(const owm_engine *e)
{
    return &e->counters;
}
