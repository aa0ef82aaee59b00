/* result.c: what a node delivers. A result counts once, from the holder of the newest lease, while
 * it runs; its repetition is acknowledged again with the same words and changes nothing. */
#include "state.h"

#include <string.h>

static const struct owm_task_row *known_row(const owm_engine *e, const uint8_t task_id[static 16])
{
    uint32_t slot = task_find(e, task_id);
    return slot != NONE ? &e->task[slot].row : finished_find(e, task_id);
}

static bool is_repetition(const struct owm_task_row *row, const struct owm_result_event *event)
{
    return row->state == OWM_TASK_STATE_COMPLETED && row->lease_token == event->lease_token
           && memcmp(row->assigned_node, event->node_id, 16) == 0
           && memcmp(row->output_hash, event->output_hash, 32) == 0;
}

static void refuse(owm_engine *e, struct owm_result_output *out, enum owm_code code)
{
    out->accepted = false;
    out->code = code;
    e->counters.results_refused[code]++;
}

/* No lease: a repetition, a late delta, or nothing we know. */
static void without_lease(owm_engine *e, const struct owm_result_event *event, uint64_t cookie)
{
    const struct owm_task_row *row = known_row(e, event->task_id);
    bool repeated = row && is_repetition(row, event);
    int64_t reward_msat = repeated ? row->reward_msat : 0;
    bool delta = row && row->type == OWM_TASK_FL_ROUND;
    bool late = delta && !repeated && round_late(e, event);
    struct owm_result_output *out = &output(e, OWM_OUTPUT_RESULT, cookie)->result;
    if (repeated) {
        out->accepted = true;
        out->reward_msat = reward_msat;
        e->counters.results_repeated++;
    } else if (!row) {
        refuse(e, out, OWM_CODE_UNKNOWN_TASK);
    } else {
        refuse(e, out, late ? OWM_CODE_ROUND_CLOSED : OWM_CODE_STALE_LEASE);
    }
}

void result_take(owm_engine *e, const struct owm_result_event *event, uint64_t cookie)
{
    uint32_t slot = lease_holder(e, event->task_id, event->node_id, event->lease_token);
    if (slot == NONE) {
        without_lease(e, event, cookie);
        return;
    }
    struct task *task = &e->task[slot];
    uint32_t node = task->node;
    e->counters.results_accepted++;
    if (event->error && event->error[0]) {
        output(e, OWM_OUTPUT_RESULT, cookie)->result.accepted = true;
        if (event->unproven) task->avoid = node; /* another may have what this one lacks */
        task_requeue(e, slot, event->error, event->unproven ? BLAME_NOBODY : BLAME_HOLDER,
                     OWM_TASK_STATE_FAILED);
        return;
    }
    memcpy(task->row.output_hash, event->output_hash, 32);
    int64_t reward_msat = 0;
    if (task->row.type == OWM_TASK_FL_ROUND) {
        task_finish(e, slot, OWM_TASK_STATE_COMPLETED, "");
        round_delivered(e, slot, event);
    } else {
        reward_msat = task_reward_msat(e, &e->node[node], task->row.type);
        task->row.reward_msat = reward_msat;
        task->row.output = event->output;
        task->row.output_bytes = event->output_bytes;
        struct owm_task_row row = task->row;
        task_finish(e, slot, OWM_TASK_STATE_COMPLETED, "");
        pay(e, node, &row, reward_msat);
    }
    struct owm_result_output *out = &output(e, OWM_OUTPUT_RESULT, cookie)->result;
    out->accepted = true;
    out->reward_msat = reward_msat;
}

void result_refuse(owm_engine *e, const struct owm_result_refused_event *event, uint64_t cookie)
{
    uint32_t slot = lease_holder(e, event->task_id, event->node_id, event->lease_token);
    enum owm_code code = event->code;
    if (code == OWM_CODE_HASH_MISMATCH && slot == NONE) code = OWM_CODE_STALE_LEASE;
    refuse(e, &output(e, OWM_OUTPUT_RESULT, cookie)->result, code);
    if (code != OWM_CODE_HASH_MISMATCH || is_zero(event->evidence_hash, 32)) return;
    uint32_t node = e->task[slot].node;
    const struct misdeed fake = {.type = OWM_SIGNAL_FAKE_TASK_PROOF,
                                 .tier = e->task[slot].row.lease_tier,
                                 .round = e->task[slot].row.round,
                                 .task_id = event->task_id,
                                 .evidence = event->evidence_hash};
    task_requeue(e, slot, "the output did not match its signed hash", BLAME_HOLDER,
                 OWM_TASK_STATE_FAILED);
    signal_raise(e, node, &fake);
}
