/* round.c: federated-learning rounds (SRS 4.2.3, SRS-COORD-03).
 *
 *   idle --enough nodes--> open --all judged, or quorum at the deadline--> aggregating --> complete
 *                            `--quorum cannot be met-----> failed <----------'   (nothing included,
 *                                                                               or it kept failing)
 *
 * 1. Every arrow is one step, so one transaction: round, participants, tasks, model and payables
 *    change together or not at all.
 * 2. Whatever a state waits for is asked again after a restart: VERIFY for each received package,
 *    AGGREGATE for the list. Both give the same answer each time, so nothing is counted twice.
 * 3. Changes of participants only set round_wanted; round_tick looks at the whole once per step.
 * 4. A package that came is never dropped in silence: its participant row says what it became.
 */
#include "state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/sha256.h"
#include "base/uuid.h"

static const uint8_t task_space[16] = "owm fl task id";

static uint32_t find_part(const owm_engine *e, const uint8_t node_id[static 16])
{
    for (uint32_t i = 0; i < e->round.count; i++)
        if (memcmp(e->round.part[i].node_id, node_id, 16) == 0) return i;
    return NONE;
}

const struct owm_participant_row *round_participant(const owm_engine *e,
                                                    const uint8_t node_id[static 16])
{
    uint32_t at = find_part(e, node_id);
    return at == NONE ? NULL : &e->round.part[at];
}

/* SHA-256(seed, label, round, node): what only this coordinator can know before it says it. */
static void derive(const owm_engine *e, const char *label, uint32_t round, const uint8_t *node_id,
                   uint8_t out[static 32])
{
    struct owm_sha256_ctx ctx;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, e->config.seed, 32);
    owm_sha256_update(&ctx, label, strlen(label));
    owm_sha256_update(&ctx, &round, sizeof(round));
    if (node_id) owm_sha256_update(&ctx, node_id, 16);
    owm_sha256_final(&ctx, out);
}

static bool eligible(const owm_engine *e, const struct node *node)
{
    return node_takes_tasks(node) && stake_enough(e, node)
           && node->row.capabilities.tier >= e->config.rounds.min_tier
           && (node->row.capabilities.task_types >> OWM_TASK_FL_ROUND & 1);
}

/* --- opening --------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct owm_participant_row *)a)->public_key,
                  ((const struct owm_participant_row *)b)->public_key, 32);
}

/* Reservoir sampling (Vitter, algorithm R): each eligible node with the same probability. */
static uint32_t choose_nodes(owm_engine *e, uint32_t round)
{
    uint8_t hash[32];
    derive(e, "select", round, NULL, hash);
    uint64_t seed;
    memcpy(&seed, hash, sizeof(seed));
    struct owm_rng rng;
    owm_rng_seed(&rng, seed);
    uint32_t seen = 0;
    for (uint32_t at = 0; at < e->node_count; at++) {
        const struct node *node = &e->node[at];
        if (!eligible(e, node)) continue;
        uint64_t to =
            seen < e->config.rounds.participants_max ? seen : owm_rng_below(&rng, seen + 1);
        seen++;
        if (to >= e->config.rounds.participants_max) continue;
        struct owm_participant_row *part = &e->round.part[to];
        memset(part, 0, sizeof(*part));
        part->round = round;
        memcpy(part->node_id, node->row.node_id, 16);
        memcpy(part->public_key, node->row.public_key, 32);
        part->tier = node->row.capabilities.tier;
    }
    uint32_t count =
        seen < e->config.rounds.participants_max ? seen : e->config.rounds.participants_max;
    qsort(e->round.part, count, sizeof(e->round.part[0]), by_key);
    return count;
}

static void invite(owm_engine *e, struct owm_participant_row *part)
{
    uint8_t hash[32];
    derive(e, "nonce", part->round, part->node_id, hash);
    memcpy(part->nonce, hash, 16);
    uint8_t name[20];
    memcpy(name, part->node_id, 16);
    memcpy(name + 16, &part->round, 4);
    owm_uuid_derive(task_space, name, sizeof(name), part->task_id);
    emit_participant(e, part);

    struct owm_task_row row;
    memset(&row, 0, sizeof(row));
    memcpy(row.task_id, part->task_id, 16);
    row.type = OWM_TASK_FL_ROUND;
    row.min_tier = e->config.rounds.min_tier;
    row.round = part->round;
    memcpy(row.assigned_node, part->node_id, 16);
    row.timeout_ms = (uint32_t)e->config.rounds.deadline_ms;
    row.submitted_ms = e->now_ms;
    memcpy(row.input_hash, e->round.row.base_hash, 32);
    uint32_t slot = task_add(e, &row);
    OWM_ASSERT(slot != NONE); /* places are reserved: submit_check */
    e->task[slot].node = node_find(e, part->node_id);
    emit_task(e, &row, false);
    list_push_back(e, queue_of(e, &e->task[slot]), slot);
    node_refresh(e, e->task[slot].node);
}

static void open_round(owm_engine *e)
{
    if (!e->config.rounds.enabled || !e->has_model || owm_engine_rounds_finished(e)
        || e->now_ms < e->next_round_ms || owm_engine_awaits_proof(e))
        return;
    uint32_t ready = 0;
    for (uint32_t at = 0; at < e->node_count && ready < e->config.rounds.min_participants; at++)
        ready += eligible(e, &e->node[at]);
    if (ready < e->config.rounds.min_participants) return;
    struct owm_round_row *row = &e->round.row;
    uint32_t number = row->round + 1;
    memset(row, 0, sizeof(*row));
    row->round = number;
    row->state = OWM_ROUND_OPEN;
    TEXT(row->base_version, e->model.version);
    memcpy(row->base_hash, e->model.model_hash, 32);
    row->base_bytes = e->model.model_bytes;
    row->started_ms = e->now_ms;
    row->deadline_ms = e->now_ms + e->config.rounds.deadline_ms;
    row->heldout_before = row->heldout_after = NAN;
    e->round.hard_ms = row->deadline_ms;
    e->round.soft_ms = deadline_soft_ms(e, e->now_ms, row->deadline_ms);
    e->round.count = choose_nodes(e, number);
    row->invited = e->round.count;
    emit_round(e);
    for (uint32_t i = 0; i < e->round.count; i++) invite(e, &e->round.part[i]);
    e->counters.rounds_opened++;
}

/* --- closing --------------------------------------------------------------------------------- */

/* Delta tasks that were completed are kept while their round needs them; now they may go. */
static void retire_tasks(owm_engine *e)
{
    for (uint32_t i = 0; i < e->round.count; i++) {
        uint32_t slot = task_find(e, e->round.part[i].task_id);
        if (slot == NONE) continue;
        OWM_ASSERT(e->task[slot].row.state == OWM_TASK_STATE_COMPLETED);
        finished_add(e, &e->task[slot].row);
        task_free(e, slot);
    }
}

static void set_part(owm_engine *e, struct owm_participant_row *part, enum owm_part_state state,
                     const char *reason)
{
    part->state = state;
    TEXT(part->reason, reason);
    emit_participant(e, part);
}

/* Who has not delivered is not waited for any longer. */
static void end_invitations(owm_engine *e, const char *reason)
{
    for (uint32_t i = 0; i < e->round.count; i++) {
        struct owm_participant_row *part = &e->round.part[i];
        if (part->state == OWM_PART_RECEIVED)
            set_part(e, part, OWM_PART_LATE, "not checked in time");
        if (part->state != OWM_PART_INVITED) continue;
        uint32_t slot = task_find(e, part->task_id);
        if (slot != NONE) {
            uint32_t node = e->task[slot].node;
            bool had_it = e->task[slot].row.state == OWM_TASK_STATE_RUNNING;
            if (had_it) {
                owm_reliability_task(&e->node[node].row.reliability, false, e->now_ms);
                e->node[node].unsaved = true;
            }
            task_finish(e, slot, OWM_TASK_STATE_TIMEOUT, reason); /* makes it missing */
        }
    }
}

static void fail_round(owm_engine *e, const char *reason)
{
    end_invitations(e, reason);
    for (uint32_t i = 0; i < e->round.count; i++)
        if (e->round.part[i].state == OWM_PART_VERIFIED)
            set_part(e, &e->round.part[i], OWM_PART_REJECTED, reason);
    e->round.row.state = OWM_ROUND_FAILED;
    e->round.row.completed_ms = e->now_ms;
    TEXT(e->round.row.reason, reason);
    retire_tasks(e);
    e->counters.rounds_failed++;
    e->next_round_ms = e->now_ms + e->config.rounds.pause_ms;
    emit_round(e);
}

static void ask_for_aggregation(owm_engine *e)
{
    e->round.retry_ms = 0;
    struct owm_aggregate_output *out = &output(e, OWM_OUTPUT_AGGREGATE, 0)->aggregate;
    out->round = e->round.row;
    for (uint32_t i = 0; i < e->round.count; i++)
        if (e->round.part[i].state == OWM_PART_VERIFIED)
            e->round.aggregate[out->count++] = e->round.part[i];
    out->participants = e->round.aggregate;
}

static void close_round(owm_engine *e)
{
    end_invitations(e, "the round closed");
    e->round.row.state = OWM_ROUND_AGGREGATING;
    emit_round(e);
    ask_for_aggregation(e);
}

static uint32_t quorum(const owm_engine *e)
{
    uint64_t share = (uint64_t)e->round.row.invited * e->config.rounds.quorum_percent;
    uint32_t need = (uint32_t)((share + 99) / 100);
    uint32_t least = e->config.rounds.min_participants;
    return need > least ? need : least;
}

static void check_open_round(owm_engine *e)
{
    uint32_t count[OWM_PART_MISSING + 1] = {0};
    for (uint32_t i = 0; i < e->round.count; i++) count[e->round.part[i].state]++;
    uint32_t verified = count[OWM_PART_VERIFIED];
    uint32_t checking = count[OWM_PART_RECEIVED];
    uint32_t invited = count[OWM_PART_INVITED];
    uint32_t need = quorum(e);
    if (invited + checking == 0 && verified >= need) {
        close_round(e);
    } else if (invited + checking + verified < need) {
        fail_round(e, "too few packages: the quorum cannot be reached any more");
    } else if (e->now_ms >= e->round.hard_ms) {
        bool wait = checking > 0 && e->now_ms < e->round.hard_ms + e->config.rounds.verify_wait_ms;
        if (wait) return;
        if (verified >= need)
            close_round(e);
        else
            fail_round(e, "too few packages at the deadline");
    } else if (e->now_ms >= e->round.soft_ms && checking == 0 && verified >= need) {
        close_round(e);
    }
}

void round_tick(owm_engine *e)
{
    e->round_wanted = false;
    switch (e->round.row.state) {
    case OWM_ROUND_OPEN:
        check_open_round(e);
        break;
    case OWM_ROUND_AGGREGATING:
        if (e->round.retry_ms != 0 && e->now_ms >= e->round.retry_ms) ask_for_aggregation(e);
        break;
    case OWM_ROUND_IDLE:
    case OWM_ROUND_COMPLETE:
    case OWM_ROUND_FAILED:
        open_round(e);
        break;
    }
}

/* --- packages -------------------------------------------------------------------------------- */

static void ask_for_verdict(owm_engine *e, const struct owm_participant_row *part)
{
    struct owm_verify_output *out = &output(e, OWM_OUTPUT_VERIFY, 0)->verify;
    out->round = part->round;
    memcpy(out->node_id, part->node_id, 16);
    memcpy(out->public_key, part->public_key, 32);
    memcpy(out->nonce, part->nonce, 16);
    memcpy(out->base_hash, e->round.row.base_hash, 32);
    memcpy(out->package_hash, part->package_hash, 32);
    out->package_bytes = part->package_bytes;
}

static void note_package(owm_engine *e, struct owm_participant_row *part,
                         const struct owm_result_event *event)
{
    memcpy(part->package_hash, event->package_hash, 32);
    part->package_bytes = event->package_bytes;
    part->train_loss_first = event->train_loss_first;
    part->train_loss_last = event->train_loss_last;
    part->tokens = event->tokens;
    part->arrived_ms = e->now_ms;
}

void round_delivered(owm_engine *e, uint32_t slot, const struct owm_result_event *event)
{
    OWM_ASSERT(e->round.row.state == OWM_ROUND_OPEN
               && e->task[slot].row.round == e->round.row.round);
    uint32_t at = find_part(e, event->node_id);
    OWM_ASSERT(at != NONE);
    struct owm_participant_row *part = &e->round.part[at];
    note_package(e, part, event);
    set_part(e, part, OWM_PART_RECEIVED, "");
    e->round.row.received++;
    deadline_note(e, e->now_ms - e->round.row.started_ms);
    emit_round(e);
    ask_for_verdict(e, part);
}

bool round_late(owm_engine *e, const struct owm_result_event *event)
{
    uint32_t at = find_part(e, event->node_id);
    if (at == NONE || memcmp(e->round.part[at].task_id, event->task_id, 16) != 0) return false;
    struct owm_participant_row *part = &e->round.part[at];
    if (e->round.row.state == OWM_ROUND_OPEN || part->state != OWM_PART_MISSING) return false;
    if (event->error && event->error[0]) return false;
    note_package(e, part, event);
    set_part(e, part, OWM_PART_LATE, "it came after the round had closed");
    return true;
}

void round_task_lost(owm_engine *e, const uint8_t node_id[static 16], const char *reason)
{
    uint32_t at = find_part(e, node_id);
    if (at == NONE || e->round.part[at].state != OWM_PART_INVITED) return;
    set_part(e, &e->round.part[at], OWM_PART_MISSING, reason);
    e->round_wanted = true;
}

/* The verdict on a delta is a task's success or failure for the node (SRS-SCHED-04). */
static void judge_node(owm_engine *e, const struct owm_participant_row *part, bool good,
                       const uint8_t evidence[static 32])
{
    uint32_t at = node_find(e, part->node_id);
    owm_reliability_task(&e->node[at].row.reliability, good, e->now_ms);
    e->node[at].unsaved = true;
    const struct misdeed poison = {.type = OWM_SIGNAL_POISONED_GRADIENT,
                                   .tier = part->tier,
                                   .round = part->round,
                                   .task_id = part->task_id,
                                   .evidence = evidence};
    signal_raise(e, at, &poison);
}

void round_judged(owm_engine *e, const struct owm_judged_event *event)
{
    uint32_t at = find_part(e, event->node_id);
    if (e->round.row.state != OWM_ROUND_OPEN || e->round.row.round != event->round || at == NONE)
        return;
    struct owm_participant_row *part = &e->round.part[at];
    if (part->state != OWM_PART_RECEIVED
        || memcmp(part->package_hash, event->package_hash, 32) != 0)
        return;
    e->round_wanted = true;
    if (event->ok) {
        set_part(e, part, OWM_PART_VERIFIED, "");
        return;
    }
    part->flagged = !is_zero(event->evidence_hash, 32);
    set_part(e, part, OWM_PART_REJECTED, event->reason);
    e->counters.packages_judged_bad++;
    judge_node(e, part, false, event->evidence_hash);
}

/* --- completing ------------------------------------------------------------------------------ */

static const struct owm_verdict *verdict_of(const struct owm_aggregated_event *event,
                                            const uint8_t node_id[static 16])
{
    for (uint32_t i = 0; i < event->verdict_count; i++)
        if (memcmp(event->verdicts[i].node_id, node_id, 16) == 0) return &event->verdicts[i];
    return NULL;
}

static void include(owm_engine *e, struct owm_participant_row *part,
                    const struct owm_verdict *verdict)
{
    static const uint8_t no_evidence[32];
    uint32_t node = node_find(e, part->node_id);
    uint32_t slot = task_find(e, part->task_id);
    OWM_ASSERT(node != NONE && slot != NONE);
    part->weight = verdict->weight;
    part->reward_msat = task_reward_msat(e, &e->node[node], OWM_TASK_FL_ROUND);
    set_part(e, part, OWM_PART_INCLUDED, "");
    e->task[slot].row.reward_msat = part->reward_msat;
    emit_task(e, &e->task[slot].row, false);
    judge_node(e, part, true, no_evidence);
    pay(e, node, &e->task[slot].row, part->reward_msat);
}

static void reject(owm_engine *e, struct owm_participant_row *part,
                   const struct owm_verdict *verdict)
{
    static const uint8_t no_evidence[32];
    const uint8_t *evidence = verdict ? verdict->evidence_hash : no_evidence;
    part->flagged = !is_zero(evidence, 32);
    set_part(e, part, OWM_PART_REJECTED, verdict ? verdict->reason : "no verdict");
    e->counters.packages_judged_bad++;
    judge_node(e, part, false, evidence);
}

static void complete_round(owm_engine *e, const struct owm_aggregated_event *event)
{
    struct owm_round_row *row = &e->round.row;
    model_next(e, &event->model, event->round);
    for (uint32_t i = 0; i < e->round.count; i++) {
        struct owm_participant_row *part = &e->round.part[i];
        if (part->state != OWM_PART_VERIFIED) continue;
        const struct owm_verdict *verdict = verdict_of(event, part->node_id);
        if (verdict && verdict->included) {
            include(e, part, verdict);
            row->included++;
        } else {
            reject(e, part, verdict);
        }
    }
    row->state = OWM_ROUND_COMPLETE;
    row->completed_ms = e->now_ms;
    TEXT(row->version, e->model.version);
    memcpy(row->model_hash, e->model.model_hash, 32);
    row->heldout_before = event->heldout_before;
    row->heldout_after = event->heldout_after;
    memcpy(row->certificate_hash, event->certificate_hash, 32);
    retire_tasks(e);
    e->counters.rounds_complete++;
    e->next_round_ms = e->now_ms + e->config.rounds.pause_ms;
    emit_round(e);
}

static bool includes_any(const owm_engine *e, const struct owm_aggregated_event *event)
{
    for (uint32_t i = 0; i < e->round.count; i++) {
        if (e->round.part[i].state != OWM_PART_VERIFIED) continue;
        const struct owm_verdict *verdict = verdict_of(event, e->round.part[i].node_id);
        if (verdict && verdict->included) return true;
    }
    return false;
}

void round_aggregated(owm_engine *e, const struct owm_aggregated_event *event)
{
    struct owm_round_row *row = &e->round.row;
    if (row->state != OWM_ROUND_AGGREGATING || row->round != event->round || e->round.retry_ms != 0)
        return;
    if (!event->ok) {
        row->aggregate_attempts++;
        if (row->aggregate_attempts >= e->config.rounds.aggregate_attempts_max) {
            fail_round(e, event->reason);
            return;
        }
        TEXT(row->reason, event->reason);
        e->round.retry_ms = e->now_ms + 1 + e->config.rounds.pause_ms;
        emit_round(e);
        return;
    }
    row->reason[0] = '\0';
    if (includes_any(e, event)) {
        complete_round(e, event);
        return;
    }
    for (uint32_t i = 0; i < e->round.count; i++)
        if (e->round.part[i].state == OWM_PART_VERIFIED)
            reject(e, &e->round.part[i], verdict_of(event, e->round.part[i].node_id));
    row->heldout_before = event->heldout_before;
    fail_round(e, "no package was good enough to be included");
}

void round_start(owm_engine *e)
{
    struct owm_round_row *row = &e->round.row;
    if (row->state == OWM_ROUND_AGGREGATING) ask_for_aggregation(e);
    if (row->state != OWM_ROUND_OPEN) return;
    e->round.hard_ms = row->deadline_ms;
    if (e->round.hard_ms < e->grace_ends_ms) e->round.hard_ms = e->grace_ends_ms;
    e->round.soft_ms = deadline_soft_ms(e, row->started_ms, e->round.hard_ms);
    if (e->round.soft_ms < e->grace_ends_ms) e->round.soft_ms = e->grace_ends_ms;
    for (uint32_t i = 0; i < e->round.count; i++)
        if (e->round.part[i].state == OWM_PART_RECEIVED) ask_for_verdict(e, &e->round.part[i]);
    e->round_wanted = true;
}
