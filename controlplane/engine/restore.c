/* restore.c: from the rows of the database back to a living engine. It says nothing and writes
 * nothing; what was promised before the restart is then kept by owm_engine_start and the steps. */
#include "state.h"

#include <string.h>

owm_status owm_engine_restore_node(owm_engine *e, const struct owm_node_row *row)
{
    const struct owm_capabilities *capabilities = &row->capabilities;
    if (capabilities->tier < OWM_TIER_T1 || capabilities->tier > OWM_TIER_T3
        || capabilities->slots < 1 || capabilities->slots > OWM_NODE_SLOTS_MAX
        || row->status > OWM_NODE_SUSPENDED || row->reliability_ppm > OWM_PPM
        || (row->status == OWM_NODE_DEGRADED) != (row->degraded_since_ms != 0))
        return OWM_E_ARG;
    if (index_find(&e->node_by_id, row->node_id) != INDEX_NONE
        || index_find(&e->node_by_key, row->public_key) != INDEX_NONE
        || (!is_zero(row->ln_key, 33) && index_find(&e->node_by_ln, row->ln_key + 1) != INDEX_NONE))
        return OWM_E_EXISTS;
    return node_add(e, row) == NONE ? OWM_E_LIMIT : OWM_OK;
}

owm_status owm_engine_restore_signal(owm_engine *e, const struct owm_signal_row *row)
{
    uint32_t at = node_find(e, row->node_id);
    if (at == NONE) return OWM_E_NOTFOUND;
    signal_remember(&e->node[at], row->signal_id);
    return OWM_OK;
}

owm_status owm_engine_restore_model(owm_engine *e, const struct owm_model_row *row)
{
    if (e->has_model) return OWM_E_EXISTS;
    if (!row->is_current) return OWM_E_ARG;
    model_keep(e, row);
    return OWM_OK;
}

static bool round_is_live(const owm_engine *e)
{
    return e->round.row.state == OWM_ROUND_OPEN || e->round.row.state == OWM_ROUND_AGGREGATING;
}

owm_status owm_engine_restore_round(owm_engine *e, const struct owm_round_row *row)
{
    if (e->round.row.state != OWM_ROUND_IDLE) return OWM_E_EXISTS;
    if (row->state == OWM_ROUND_IDLE || row->state > OWM_ROUND_FAILED || row->round == 0)
        return OWM_E_ARG;
    e->round.row = *row;
    return OWM_OK;
}

/* Kept sorted by key, as a round that was opened here is. */
owm_status owm_engine_restore_participant(owm_engine *e, const struct owm_participant_row *row)
{
    if (row->round != e->round.row.round || node_find(e, row->node_id) == NONE)
        return OWM_E_NOTFOUND;
    if (row->state > OWM_PART_MISSING) return OWM_E_ARG;
    if (round_participant(e, row->node_id)) return OWM_E_EXISTS;
    if (e->round.count == e->config.rounds.participants_max) return OWM_E_LIMIT;
    uint32_t at = e->round.count++;
    while (at > 0 && memcmp(e->round.part[at - 1].public_key, row->public_key, 32) > 0) {
        e->round.part[at] = e->round.part[at - 1];
        at--;
    }
    e->round.part[at] = *row;
    return OWM_OK;
}

static owm_status check_task(const owm_engine *e, const struct owm_task_row *row)
{
    if ((unsigned)row->type >= OWM_TASK_TYPES || row->state > OWM_TASK_STATE_TIMEOUT
        || row->min_tier < OWM_TIER_T1 || row->min_tier > OWM_TIER_T3)
        return OWM_E_ARG;
    if (task_find(e, row->task_id) != NONE || finished_find(e, row->task_id)) return OWM_E_EXISTS;
    bool live = row->state == OWM_TASK_STATE_PENDING || row->state == OWM_TASK_STATE_RUNNING;
    bool delta = row->type == OWM_TASK_FL_ROUND;
    bool needs_node = row->state == OWM_TASK_STATE_RUNNING || (live && delta);
    if (needs_node && node_find(e, row->assigned_node) == NONE) return OWM_E_NOTFOUND;
    if (live && delta && (!round_is_live(e) || !round_participant(e, row->assigned_node)))
        return OWM_E_NOTFOUND;
    return OWM_OK;
}

owm_status owm_engine_restore_task(owm_engine *e, const struct owm_task_row *row)
{
    owm_status status = check_task(e, row);
    if (status != OWM_OK) return status;
    bool delta = row->type == OWM_TASK_FL_ROUND;
    bool kept = delta && row->state == OWM_TASK_STATE_COMPLETED && round_is_live(e)
                && row->round == e->round.row.round;
    bool live = row->state == OWM_TASK_STATE_PENDING || row->state == OWM_TASK_STATE_RUNNING;
    if (!live && !kept) {
        finished_add(e, row);
        return OWM_OK;
    }
    uint32_t slot = task_add(e, row);
    if (slot == NONE) return OWM_E_LIMIT;
    struct task *task = &e->task[slot];
    task->row.output = NULL;
    task->row.output_bytes = 0;
    if (delta) task->node = node_find(e, row->assigned_node);
    if (row->state == OWM_TASK_STATE_PENDING)
        list_push_back(e, queue_of(e, task), slot);
    else if (row->state == OWM_TASK_STATE_RUNNING)
        task_run(e, slot, node_find(e, row->assigned_node));
    return OWM_OK;
}

void owm_engine_restore_arrival(owm_engine *e, int64_t offset_ms)
{
    deadline_note(e, offset_ms);
}

void owm_engine_restore_counts(owm_engine *e, uint64_t log_sequence, uint32_t rounds_complete,
                               uint32_t rounds_failed)
{
    e->log_sequence = log_sequence;
    e->counters.rounds_complete = rounds_complete;
    e->counters.rounds_failed = rounds_failed;
}
