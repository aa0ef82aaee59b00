/* task.c: the life of a task: waiting, leased to a node, finished. The diagram is in state.h. */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/engine/reward.h"

#define TIMEOUT_MIN_MS 1000

uint32_t task_find(const owm_engine *e, const uint8_t task_id[static 16])
{
    return index_find(&e->task_by_id, task_id);
}

const struct owm_task_row *finished_find(const owm_engine *e, const uint8_t task_id[static 16])
{
    uint32_t at = index_find(&e->finished_by_id, task_id);
    return at == INDEX_NONE ? NULL : &e->finished[at];
}

void finished_add(owm_engine *e, const struct owm_task_row *row)
{
    if (e->finished_count == e->config.finished_max)
        index_remove(&e->finished_by_id, e->finished[e->finished_next].task_id);
    else
        e->finished_count++;
    struct owm_task_row *to = &e->finished[e->finished_next];
    *to = *row;
    to->payload = to->output = NULL;
    to->payload_bytes = to->output_bytes = 0;
    index_put(&e->finished_by_id, row->task_id, e->finished_next);
    e->finished_next = (e->finished_next + 1) % e->config.finished_max;
}

/* Take a slot; the payload, if any, is copied. */
uint32_t task_add(owm_engine *e, const struct owm_task_row *row)
{
    uint32_t slot = e->task_free;
    if (slot == NONE) return NONE;
    struct task *task = &e->task[slot];
    e->task_free = task->next;
    memset(task, 0, sizeof(*task));
    task->row = *row;
    if (row->payload_bytes > 0) {
        uint8_t *copy = malloc(row->payload_bytes);
        OWM_ASSERT(copy);
        memcpy(copy, row->payload, row->payload_bytes);
        task->row.payload = copy;
        e->payload_bytes += row->payload_bytes;
    }
    task->used = true;
    task->node = task->avoid = task->running_at = task->next = task->prev = NONE;
    task->order = ++e->order;
    index_put(&e->task_by_id, row->task_id, slot);
    return slot;
}

void task_free(owm_engine *e, uint32_t slot)
{
    struct task *task = &e->task[slot];
    index_remove(&e->task_by_id, task->row.task_id);
    e->payload_bytes -= task->row.payload_bytes;
    bury(e, task->row.payload);
    task->row.payload = NULL;
    task->used = false;
    task->next = e->task_free;
    e->task_free = slot;
}

void task_run(owm_engine *e, uint32_t slot, uint32_t node)
{
    struct task *task = &e->task[slot];
    task->node = node;
    task->running_at = e->running_count;
    e->running[e->running_count++] = slot;
    e->node[node].running++;
}

/* The lease ends, for whatever reason. */
static void task_stop(owm_engine *e, uint32_t slot)
{
    struct task *task = &e->task[slot];
    uint32_t last = e->running[--e->running_count];
    e->running[task->running_at] = last;
    e->task[last].running_at = task->running_at;
    task->running_at = NONE;
    struct node *node = &e->node[task->node];
    node->running--;
    if (node->free_slots < node->row.capabilities.slots) node->free_slots++;
    node_refresh(e, task->node);
}

static void tell_watchers(owm_engine *e, const struct owm_task_row *row)
{
    struct owm_task_changed_output *out = &output(e, OWM_OUTPUT_TASK_CHANGED, 0)->task;
    memcpy(out->task_id, row->task_id, 16);
    memcpy(out->node_id, row->assigned_node, 16);
    out->type = row->type;
    out->state = row->state;
    out->attempt = row->attempt;
    out->reward_msat = row->reward_msat;
    TEXT(out->reason, row->reason);
    out->output = row->output;
    out->output_bytes = row->output_bytes;
}

void task_send(owm_engine *e, uint32_t slot)
{
    const struct task *task = &e->task[slot];
    const struct node *node = &e->node[task->node];
    struct owm_dispatch_output *out = &output(e, OWM_OUTPUT_DISPATCH, 0)->dispatch;
    memcpy(out->node_id, node->row.node_id, 16);
    memcpy(out->public_key, node->row.public_key, 32);
    out->stream = node->stream;
    memcpy(out->task_id, task->row.task_id, 16);
    out->type = task->row.type;
    out->lease_token = task->row.lease_token;
    out->attempt = task->row.attempt;
    out->timeout_ms = task->row.timeout_ms;
    out->deadline_ms = task->deadline_ms;
    out->reward_msat = task_reward_msat(e, node, task->row.type);
    out->payload = task->row.payload;
    out->payload_bytes = task->row.payload_bytes;
    out->round = task->row.round;
    memcpy(out->base_hash, e->model.model_hash, 32);
    out->base_bytes = e->model.model_bytes;
    if (task->row.type != OWM_TASK_FL_ROUND) return;
    memcpy(out->base_hash, e->round.row.base_hash, 32);
    out->base_bytes = e->round.row.base_bytes;
    const struct owm_participant_row *part = round_participant(e, node->row.node_id);
    OWM_ASSERT(part);
    memcpy(out->nonce, part->nonce, 16);
}

void task_dispatch(owm_engine *e, uint32_t slot, uint32_t at)
{
    struct task *task = &e->task[slot];
    struct node *node = &e->node[at];
    OWM_ASSERT(task->row.state == OWM_TASK_STATE_PENDING && node_takes_tasks(node));
    OWM_ASSERT(stake_fresh(e, node) && stake_enough(e, node)); /* I13 */
    list_remove(e, queue_of(e, task), slot);
    task->row.state = OWM_TASK_STATE_RUNNING;
    memcpy(task->row.assigned_node, node->row.node_id, 16);
    task->row.lease_token++;
    task->row.lease_tier = node->row.capabilities.tier;
    task->row.attempt++;
    task->row.started_ms = e->now_ms;
    task->row.reason[0] = '\0';
    task->acknowledged = false;
    task->boot_id = node->boot_id;
    task->lease_ends_ms = e->now_ms + e->config.lease_ms;
    task->deadline_ms = e->now_ms + task->row.timeout_ms;
    if (task->row.type == OWM_TASK_FL_ROUND) task->deadline_ms = e->round.hard_ms;
    node->free_slots--;
    task_run(e, slot, at);
    emit_task(e, &task->row, false);
    emit_log(e, &task->row, OWM_LOG_WHAT_DISPATCHED);
    tell_watchers(e, &task->row);
    task_send(e, slot);
    e->counters.tasks_dispatched++;
    node_refresh(e, at);
}

static void blame(owm_engine *e, uint32_t at, bool good)
{
    struct node *node = &e->node[at];
    owm_reliability_task(&node->row.reliability, good, e->now_ms);
    node->row.reliability_ppm = node_reliability_ppm(node, e->now_ms);
    node->unsaved = true;
    node_refresh(e, at);
}

void task_finish(owm_engine *e, uint32_t slot, enum owm_task_state state, const char *reason)
{
    struct task *task = &e->task[slot];
    bool was_running = task->row.state == OWM_TASK_STATE_RUNNING;
    uint32_t node = task->node;
    if (was_running)
        task_stop(e, slot);
    else
        list_remove(e, queue_of(e, task), slot);
    task->row.state = state;
    task->row.completed_ms = e->now_ms;
    TEXT(task->row.reason, reason);
    bool delta = task->row.type == OWM_TASK_FL_ROUND;
    if (state == OWM_TASK_STATE_COMPLETED) {
        e->counters.tasks_completed++;
        if (!delta) blame(e, node, true); /* a delta is judged first */
        emit_log(e, &task->row, OWM_LOG_WHAT_COMPLETED);
    } else if (state == OWM_TASK_STATE_TIMEOUT) {
        e->counters.tasks_timed_out++;
        emit_log(e, &task->row, OWM_LOG_WHAT_TIMEOUT);
    } else {
        e->counters.tasks_failed++;
        emit_log(e, &task->row, OWM_LOG_WHAT_FAILED);
    }
    emit_task(e, &task->row, false);
    tell_watchers(e, &task->row);
    if (delta && state == OWM_TASK_STATE_COMPLETED) return; /* kept until its round ends */
    struct owm_task_row row = task->row;
    finished_add(e, &row);
    task_free(e, slot);
    if (delta) round_task_lost(e, row.assigned_node, reason);
}

/* A round's task waits for its node alone: in vain, if that has left or was suspended. */
static bool may_go_again(const owm_engine *e, const struct task *task)
{
    if (task->row.attempt >= e->config.attempts_max) return false;
    if (task->row.type != OWM_TASK_FL_ROUND) return true;
    enum owm_node_status status = e->node[task->node].row.status;
    return status == OWM_NODE_ACTIVE || status == OWM_NODE_DEGRADED;
}

void task_requeue(owm_engine *e, uint32_t slot, const char *reason, enum task_blame who,
                  enum owm_task_state if_used_up)
{
    struct task *task = &e->task[slot];
    uint32_t node = task->node;
    if (who == BLAME_HOLDER) {
        blame(e, node, false);
        task->avoid = node;
    }
    if (!may_go_again(e, task)) {
        task_finish(e, slot, if_used_up, reason);
        return;
    }
    task_stop(e, slot);
    task->row.state = OWM_TASK_STATE_PENDING;
    TEXT(task->row.reason, reason);
    e->counters.tasks_requeued++;
    emit_log(e, &task->row, OWM_LOG_WHAT_REQUEUED);
    if (task->row.type != OWM_TASK_FL_ROUND) {
        memset(task->row.assigned_node, 0, 16);
        task->node = NONE;
    }
    emit_task(e, &task->row, false);
    tell_watchers(e, &task->row);
    list_push_front(e, queue_of(e, task), slot);
    e->schedule_wanted = true;
    if (task->row.type == OWM_TASK_FL_ROUND) node_refresh(e, node);
}

static enum owm_code submit_check(const owm_engine *e, const struct owm_submit_event *event)
{
    if (event->type == OWM_TASK_FL_ROUND) return OWM_CODE_BAD_TYPE;
    if (event->payload_bytes == 0 || event->payload_bytes > e->config.payload_bytes_max)
        return OWM_CODE_BAD_PAYLOAD;
    if (event->type == OWM_TASK_INFERENCE && !e->has_serving) return OWM_CODE_NO_MODEL;
    uint32_t reserved = e->config.rounds.enabled ? e->config.rounds.participants_max : 0;
    if (e->task_by_id.count + reserved >= e->config.tasks_max
        || e->payload_bytes + event->payload_bytes > e->config.payload_total_bytes_max)
        return OWM_CODE_QUEUE_FULL;
    return OWM_CODE_NONE;
}

static uint32_t submit_timeout_ms(const owm_engine *e, uint32_t wanted_ms)
{
    int64_t timeout_ms = wanted_ms ? wanted_ms : e->config.task_timeout_ms;
    if (timeout_ms < TIMEOUT_MIN_MS) timeout_ms = TIMEOUT_MIN_MS;
    if (timeout_ms > e->config.task_timeout_max_ms) timeout_ms = e->config.task_timeout_max_ms;
    return (uint32_t)timeout_ms;
}

void task_submit(owm_engine *e, const struct owm_submit_event *event, uint64_t cookie)
{
    struct owm_submitted_output *out = &output(e, OWM_OUTPUT_SUBMITTED, cookie)->submitted;
    memcpy(out->task_id, event->task_id, 16);
    uint32_t known = task_find(e, event->task_id);
    const struct owm_task_row *row =
        known != NONE ? &e->task[known].row : finished_find(e, event->task_id);
    if (row) {
        out->state = row->state;
        return;
    }
    out->code = submit_check(e, event);
    if (out->code != OWM_CODE_NONE) {
        e->counters.submits_refused++;
        return;
    }
    struct owm_task_row fresh;
    memset(&fresh, 0, sizeof(fresh));
    memcpy(fresh.task_id, event->task_id, 16);
    fresh.type = event->type;
    fresh.min_tier = owm_task_type_min_tier(event->type);
    if (event->min_tier > fresh.min_tier) fresh.min_tier = event->min_tier;
    fresh.timeout_ms = submit_timeout_ms(e, event->timeout_ms);
    fresh.submitted_ms = e->now_ms;
    memcpy(fresh.input_hash, event->input_hash, 32);
    TEXT(fresh.idempotency_key, event->idempotency_key);
    fresh.payload = event->payload;
    fresh.payload_bytes = event->payload_bytes;
    uint32_t slot = task_add(e, &fresh);
    OWM_ASSERT(slot != NONE);
    struct task *task = &e->task[slot];
    list_push_back(e, queue_of(e, task), slot);
    e->schedule_wanted = true;
    e->counters.tasks_submitted++;
    emit_task(e, &task->row, true);
    emit_log(e, &task->row, OWM_LOG_WHAT_SUBMITTED);
}

void task_cancel(owm_engine *e, const struct owm_cancel_event *event, uint64_t cookie)
{
    uint32_t slot = task_find(e, event->task_id);
    if (slot == NONE) {
        answer_done(e, cookie, OWM_CODE_UNKNOWN_TASK);
        return;
    }
    if (e->task[slot].row.type == OWM_TASK_FL_ROUND) {
        answer_done(e, cookie, OWM_CODE_BAD_TYPE);
        return;
    }
    task_finish(e, slot, OWM_TASK_STATE_FAILED, "cancelled by who asked");
    answer_done(e, cookie, OWM_CODE_NONE);
}

uint32_t lease_holder(const owm_engine *e, const uint8_t task_id[static 16],
                      const uint8_t node_id[static 16], uint64_t token)
{
    uint32_t slot = task_find(e, task_id);
    if (slot == NONE) return NONE;
    const struct owm_task_row *row = &e->task[slot].row;
    bool holds = row->state == OWM_TASK_STATE_RUNNING && row->lease_token == token
                 && memcmp(row->assigned_node, node_id, 16) == 0;
    return holds ? slot : NONE;
}

void lease_progress(owm_engine *e, const struct owm_progress_event *event, uint64_t cookie)
{
    uint32_t slot = lease_holder(e, event->task_id, event->node_id, event->lease_token);
    if (slot != NONE) {
        e->task[slot].lease_ends_ms = e->now_ms + e->config.lease_ms;
        e->task[slot].acknowledged = true;
    }
    answer_done(e, cookie, slot == NONE ? OWM_CODE_STALE_LEASE : OWM_CODE_NONE);
}

/* From the end, because ending a lease moves the last entry into its place. */
void lease_tick(owm_engine *e)
{
    if (in_grace(e, e->now_ms)) return;
    for (uint32_t i = e->running_count; i-- > 0;) {
        if (i >= e->running_count) continue; /* a round closed and took more than one */
        uint32_t slot = e->running[i];
        const struct task *task = &e->task[slot];
        if (task->deadline_ms <= e->now_ms && task->row.type != OWM_TASK_FL_ROUND) {
            task_requeue(e, slot, "not finished in time", BLAME_HOLDER, OWM_TASK_STATE_TIMEOUT);
        } else if (task->lease_ends_ms <= e->now_ms) {
            e->counters.leases_expired++;
            task_requeue(e, slot, "the node went silent", BLAME_HOLDER, OWM_TASK_STATE_TIMEOUT);
        }
    }
}

int64_t task_reward_msat(const owm_engine *e, const struct node *node, enum owm_task_type type)
{
    struct owm_reward_factors factors = {
        .base_msat = e->config.base_rate_msat,
        .tier = node->row.capabilities.tier,
        .type = type,
        .quality_ppm = OWM_PPM,
        .uptime_ppm = owm_reliability_uptime_ppm(&node->row.reliability, e->now_ms),
        .stake_bonus_ppm = node_stake_bonus_ppm(e, node),
    };
    return owm_reward_msat(&factors);
}

/* The node earned: its row and the payable, in the same transaction (promise 1). */
void pay(owm_engine *e, uint32_t at, const struct owm_task_row *task, int64_t amount_msat)
{
    struct node *node = &e->node[at];
    node->row.tasks_completed++;
    node->row.earned_msat += amount_msat;
    emit_node(e, node);
    if (amount_msat == 0) return;
    struct owm_payable_row row;
    memset(&row, 0, sizeof(row));
    memcpy(row.source_id, task->task_id, 16);
    TEXT(row.purpose, owm_task_type_name(task->type));
    memcpy(row.node_id, node->row.node_id, 16);
    row.amount_msat = amount_msat;
    row.round = task->round;
    row.created_ms = e->now_ms;
    emit_payable(e, &row);
    e->counters.paid_msat += (uint64_t)amount_msat;
}
