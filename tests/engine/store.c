/* store.c: the fake database of the engine's tests, with the checks of rows. */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX (1u << 20)

static const uint8_t secret[16] = "store";
static const uint8_t zero[32];

void store_violation(struct store *store, const char *format, ...)
{
    if (store->violation[0]) return;
    va_list args;
    va_start(args, format);
    vsnprintf(store->violation, sizeof(store->violation), format, args);
    va_end(args);
}

void store_init(struct store *store)
{
    memset(store, 0, sizeof(*store));
    store->digest = 0xcbf29ce484222325u;
    struct index *all[] = {&store->node_by_id, &store->task_by_id,   &store->payable_by_id,
                           &store->part_by_id, &store->signal_by_id, &store->decided};
    for (size_t i = 0; i < 6; i++)
        if (index_init(all[i], i == 0 || i == 5 ? 1u << 14 : 1u << 18, i == 3 ? 32 : 16, secret)
            != OWM_OK)
            abort();
}

void store_deinit(struct store *store)
{
    for (size_t i = 0; i < store->task_count; i++) free((void *)store->task[i].payload);
    free(store->node);
    free(store->task);
    free(store->payable);
    free(store->signal);
    free(store->part);
    free(store->round);
    free(store->paid_msat);
    index_deinit(&store->node_by_id);
    index_deinit(&store->task_by_id);
    index_deinit(&store->payable_by_id);
    index_deinit(&store->part_by_id);
    index_deinit(&store->signal_by_id);
    index_deinit(&store->decided);
}

static void *append(void *rows, size_t *count, size_t *room, size_t bytes)
{
    if (*count == *room) {
        *room = *room ? *room * 2 : 256;
        rows = realloc(rows, *room * bytes);
        if (!rows) abort();
    }
    memset((char *)rows + *count * bytes, 0, bytes);
    (*count)++;
    return rows;
}
#define APPEND(store, rows, n)                                                                     \
    ((store)->rows =                                                                               \
         append((store)->rows, &(store)->n##_count, &(store)->n##_room, sizeof((store)->rows[0])), \
     &(store)->rows[(store)->n##_count - 1])

struct owm_task_row *store_task(const struct store *store, const uint8_t id[static 16])
{
    uint32_t at = index_find(&store->task_by_id, id);
    return at == INDEX_NONE ? NULL : &store->task[at];
}

struct owm_node_row *store_node(const struct store *store, const uint8_t id[static 16])
{
    uint32_t at = index_find(&store->node_by_id, id);
    return at == INDEX_NONE ? NULL : &store->node[at];
}

const struct owm_payable_row *store_payable(const struct store *store,
                                            const uint8_t source_id[static 16])
{
    uint32_t at = index_find(&store->payable_by_id, source_id);
    return at == INDEX_NONE ? NULL : &store->payable[at];
}

static void part_key(uint32_t round, const uint8_t node_id[static 16], uint8_t key[static 32])
{
    memset(key, 0, 32);
    memcpy(key, node_id, 16);
    memcpy(key + 16, &round, 4);
}

struct owm_participant_row *store_part(const struct store *store, uint32_t round,
                                       const uint8_t node_id[static 16])
{
    uint8_t key[32];
    part_key(round, node_id, key);
    uint32_t at = index_find(&store->part_by_id, key);
    return at == INDEX_NONE ? NULL : &store->part[at];
}

void store_decided(struct store *store, const uint8_t node_id[static 16])
{
    if (index_find(&store->decided, node_id) == INDEX_NONE) index_put(&store->decided, node_id, 0);
}

static void check_ln_key(struct store *store, const struct owm_node_row *row)
{
    if (memcmp(row->ln_key, zero, 32) == 0) return;
    for (size_t i = 0; i < store->node_count; i++)
        if (memcmp(store->node[i].ln_key + 1, row->ln_key + 1, 32) == 0
            && memcmp(store->node[i].node_id, row->node_id, 16) != 0)
            store_violation(store, "I17: two nodes with one LN key");
}

static void apply_node(struct store *store, const struct owm_node_row *row)
{
    struct owm_node_row *old = store_node(store, row->node_id);
    if (!old || memcmp(old->ln_key, row->ln_key, 33) != 0) check_ln_key(store, row);
    if (!old) {
        index_put(&store->node_by_id, row->node_id, (uint32_t)store->node_count);
        old = APPEND(store, node, node);
        store->paid_msat = realloc(store->paid_msat, store->node_room * sizeof(int64_t));
        if (!store->paid_msat) abort();
        store->paid_msat[store->node_count - 1] = 0;
    } else if (memcmp(old->public_key, row->public_key, 32) != 0) {
        store_violation(store, "I12: a node changed its key");
    } else if (row->earned_msat < old->earned_msat) {
        store_violation(store, "I2: earnings of a node fell");
    }
    if (row->cooldown_until_ms != 0 && old->cooldown_until_ms == 0
        && index_find(&store->decided, row->node_id) == INDEX_NONE) {
        uint32_t signals = 0;
        for (size_t i = 0; i < store->signal_count; i++)
            signals += memcmp(store->signal[i].node_id, row->node_id, 16) == 0;
        if (signals < 3) store_violation(store, "I5: suspended on %u stored signals", signals);
    }
    *old = *row;
}

static bool is_final(enum owm_task_state state)
{
    return state != OWM_TASK_STATE_PENDING && state != OWM_TASK_STATE_RUNNING;
}

static void check_task_change(struct store *store, const struct owm_task_row *old,
                              const struct owm_task_row *row)
{
    if (row->lease_token < old->lease_token || row->attempt < old->attempt)
        store_violation(store, "I6: a lease token or attempt fell");
    if (row->state == OWM_TASK_STATE_RUNNING && old->state == OWM_TASK_STATE_PENDING
        && row->lease_token <= old->lease_token)
        store_violation(store, "I6: a new lease without a new token");
    if (is_final(old->state) && row->state != old->state)
        store_violation(store, "I1: a finished task changed its state");
    bool same_lease = row->lease_token == old->lease_token
                      && memcmp(row->assigned_node, old->assigned_node, 16) == 0;
    if (row->state == OWM_TASK_STATE_COMPLETED && !same_lease)
        store_violation(store, "I4: completed by another lease than the newest");
    if (row->state == OWM_TASK_STATE_COMPLETED && old->state == OWM_TASK_STATE_PENDING)
        store_violation(store, "I4: completed without a lease");
    if (old->state == OWM_TASK_STATE_COMPLETED
        && (memcmp(row->output_hash, old->output_hash, 32) != 0
            || (old->reward_msat != 0 && row->reward_msat != old->reward_msat)))
        store_violation(store, "I1: a completed task changed its result or its pay");
}

static void apply_task(struct store *store, const struct owm_task_row *row)
{
    struct owm_task_row *old = store_task(store, row->task_id);
    const uint8_t *payload = NULL;
    size_t payload_bytes = 0;
    if (!old) {
        index_put(&store->task_by_id, row->task_id, (uint32_t)store->task_count);
        old = APPEND(store, task, task);
        if (row->payload) {
            uint8_t *copy = malloc(row->payload_bytes);
            if (!copy) abort();
            memcpy(copy, row->payload, row->payload_bytes);
            payload = copy;
            payload_bytes = row->payload_bytes;
        }
        if (row->state != OWM_TASK_STATE_PENDING)
            store_violation(store, "I4: a task was not stored before it ran");
    } else {
        payload = old->payload;
        payload_bytes = old->payload_bytes;
        check_task_change(store, old, row);
        store->completions +=
            row->state == OWM_TASK_STATE_COMPLETED && old->state != OWM_TASK_STATE_COMPLETED;
    }
    *old = *row;
    old->payload = payload;
    old->payload_bytes = payload_bytes;
    old->output = NULL;
    old->output_bytes = 0;
}

static void apply_round(struct store *store, const struct owm_round_row *row)
{
    if (row->round == store->round_count + 1) {
        (void)APPEND(store, round, round);
        if (row->state != OWM_ROUND_OPEN) store_violation(store, "I12: a round began unopened");
    } else if (row->round == 0 || row->round > store->round_count) {
        store_violation(store, "I12: round numbers have a gap");
        return;
    }
    struct owm_round_row *old = &store->round[row->round - 1];
    bool done = old->state == OWM_ROUND_COMPLETE || old->state == OWM_ROUND_FAILED;
    if (done || row->state < old->state)
        store_violation(store, "I1: round %u went from %s to %s", row->round,
                        owm_round_state_name(old->state), owm_round_state_name(row->state));
    *old = *row;
}

static void apply_participant(struct store *store, const struct owm_participant_row *row)
{
    struct owm_participant_row *old = store_part(store, row->round, row->node_id);
    if (!old) {
        uint8_t key[32];
        part_key(row->round, row->node_id, key);
        index_put(&store->part_by_id, key, (uint32_t)store->part_count);
        old = APPEND(store, part, part);
    } else if (old->state == OWM_PART_INCLUDED
               || (old->state == OWM_PART_REJECTED && row->state != OWM_PART_REJECTED)) {
        store_violation(store, "I1: a participant's verdict changed");
    } else if (memcmp(old->nonce, row->nonce, 16) != 0) {
        store_violation(store, "I12: a participant's nonce changed");
    }
    *old = *row;
}

static void apply_payable(struct store *store, const struct owm_payable_row *row)
{
    const struct owm_payable_row *old = store_payable(store, row->source_id);
    uint32_t node = index_find(&store->node_by_id, row->node_id);
    if (node == INDEX_NONE || row->amount_msat <= 0) {
        store_violation(store, "I2: a payable to nobody or of nothing");
        return;
    }
    if (old) { /* UNIQUE(source, purpose): the insert does nothing */
        if (memcmp(old, row, sizeof(*row)) != 0)
            store_violation(store, "I2: a second payable for the same work");
        return;
    }
    index_put(&store->payable_by_id, row->source_id, (uint32_t)store->payable_count);
    *APPEND(store, payable, payable) = *row;
    store->paid_msat[node] += row->amount_msat;
}

static void apply_signal(struct store *store, const struct owm_signal_row *row)
{
    if (memcmp(row->evidence_hash, zero, 32) == 0)
        store_violation(store, "I5: a signal without evidence");
    if (index_find(&store->signal_by_id, row->signal_id) != INDEX_NONE) return;
    index_put(&store->signal_by_id, row->signal_id, (uint32_t)store->signal_count);
    *APPEND(store, signal, signal) = *row;
}

static void apply_heartbeat(struct store *store, const struct owm_heartbeat_row *row)
{
    struct owm_node_row *node = store_node(store, row->node_id);
    if (!node) {
        store_violation(store, "I12: a heartbeat of an unstored node");
        return;
    }
    node->last_heartbeat_ms = row->last_heartbeat_ms;
    node->stake_read_ms = row->stake_read_ms;
    node->reliability_ppm = row->reliability_ppm;
    node->reliability = row->reliability;
}

static void apply(struct store *store, const struct owm_effect *effect)
{
    switch (effect->kind) {
    case OWM_EFFECT_NODE:
        apply_node(store, &effect->node);
        break;
    case OWM_EFFECT_HEARTBEAT:
        apply_heartbeat(store, &effect->heartbeat);
        break;
    case OWM_EFFECT_TASK:
        apply_task(store, &effect->task);
        break;
    case OWM_EFFECT_TASK_LOG:
        if (effect->log.sequence != ++store->log_sequence)
            store_violation(store, "I12: the dispatch log has a gap");
        break;
    case OWM_EFFECT_ROUND:
        apply_round(store, &effect->round);
        break;
    case OWM_EFFECT_PARTICIPANT:
        apply_participant(store, &effect->participant);
        break;
    case OWM_EFFECT_MODEL:
        store->model = effect->model;
        store->model.manifest = NULL;
        store->has_model = true;
        break;
    case OWM_EFFECT_PAYABLE:
        apply_payable(store, &effect->payable);
        break;
    case OWM_EFFECT_SIGNAL:
        apply_signal(store, &effect->signal);
        break;
    }
}

/* What must be true between transactions for the payables of this one (I2, I3, I11). */
static void check_payable(struct store *store, const struct owm_payable_row *row)
{
    const struct owm_task_row *task = store_task(store, row->source_id);
    uint32_t node = index_find(&store->node_by_id, row->node_id);
    if (!task || task->state != OWM_TASK_STATE_COMPLETED) {
        store_violation(store, "I11: a payable for work that is not completed");
        return;
    }
    if (task->type == OWM_TASK_FL_ROUND) {
        const struct owm_participant_row *part =
            store_part(store, task->round, task->assigned_node);
        bool round_done = task->round > 0 && task->round <= store->round_count
                          && store->round[task->round - 1].state == OWM_ROUND_COMPLETE;
        if (!part || part->state != OWM_PART_INCLUDED || !round_done)
            store_violation(store, "I11: a delta was paid before its verdict");
    }
    if (memcmp(task->assigned_node, row->node_id, 16) != 0)
        store_violation(store, "I2: a payable to another node than the one that worked");
    if (task->reward_msat != row->amount_msat)
        store_violation(store, "I3: a payable is not the reward of its task");
    if (node != INDEX_NONE && store->paid_msat[node] != store->node[node].earned_msat)
        store_violation(store, "I3: payables of a node are not what it earned");
}

/* Bytes of the kind that matters, so that unused parts of the union do not count. */
static uint64_t digest_effect(uint64_t digest, const struct owm_effect *effect)
{
    struct owm_effect plain = *effect;
    if (plain.kind == OWM_EFFECT_TASK) plain.task.payload = plain.task.output = NULL;
    if (plain.kind == OWM_EFFECT_MODEL) plain.model.manifest = NULL;
    const uint8_t *bytes = (const uint8_t *)&plain;
    for (size_t i = 0; i + 8 <= sizeof(plain); i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        digest = (digest ^ word) * 0x100000001b3u;
        digest ^= digest >> 29;
    }
    return digest;
}

void store_commit(struct store *store, const struct owm_effect *effects, size_t count)
{
    for (size_t i = 0; i < count; i++) apply(store, &effects[i]);
    for (size_t i = 0; i < count; i++) {
        if (effects[i].kind == OWM_EFFECT_PAYABLE) check_payable(store, &effects[i].payable);
        store->digest = digest_effect(store->digest, &effects[i]);
    }
    if (store->part_count > ROWS_MAX) abort();
    store->transactions++;
}

static void must(struct store *store, owm_status status, const char *what)
{
    if (status != OWM_OK)
        store_violation(store, "I12: %s was not restored: %s", what, owm_status_text(status));
}

static void restore_round(struct store *store, owm_engine *engine)
{
    uint32_t complete = 0;
    uint32_t failed = 0;
    for (size_t i = 0; i < store->round_count; i++) {
        complete += store->round[i].state == OWM_ROUND_COMPLETE;
        failed += store->round[i].state == OWM_ROUND_FAILED;
    }
    owm_engine_restore_counts(engine, store->log_sequence, complete, failed);
    if (store->round_count == 0) return;
    const struct owm_round_row *round = &store->round[store->round_count - 1];
    must(store, owm_engine_restore_round(engine, round), "a round");
    size_t from = store->part_count > 256 ? store->part_count - 256 : 0;
    for (size_t i = from; i < store->part_count; i++) {
        const struct owm_participant_row *part = &store->part[i];
        if (part->arrived_ms != 0 && part->state != OWM_PART_LATE)
            owm_engine_restore_arrival(engine,
                                       part->arrived_ms - store->round[part->round - 1].started_ms);
    }
    for (size_t i = 0; i < store->part_count; i++)
        if (store->part[i].round == round->round)
            must(store, owm_engine_restore_participant(engine, &store->part[i]), "a participant");
}

void store_restore(struct store *store, owm_engine *engine)
{
    for (size_t i = 0; i < store->node_count; i++)
        must(store, owm_engine_restore_node(engine, &store->node[i]), "a node");
    for (size_t i = 0; i < store->signal_count; i++)
        must(store, owm_engine_restore_signal(engine, &store->signal[i]), "a signal");
    if (store->has_model) must(store, owm_engine_restore_model(engine, &store->model), "the model");
    restore_round(store, engine);
    for (size_t i = 0; i < store->task_count; i++)
        must(store, owm_engine_restore_task(engine, &store->task[i]), "a task");
}

static bool task_differs(const struct owm_task_row *a, const struct owm_task_row *b)
{
    return a->state != b->state || a->lease_token != b->lease_token
           || a->lease_tier != b->lease_tier || a->attempt != b->attempt
           || a->reward_msat != b->reward_msat || a->type != b->type
           || memcmp(a->assigned_node, b->assigned_node, 16) != 0
           || memcmp(a->output_hash, b->output_hash, 32) != 0;
}

static bool node_differs(const struct owm_node_row *a, const struct owm_node_row *b)
{
    return a->status != b->status || a->signals != b->signals || a->signals_tier != b->signals_tier
           || a->earned_msat != b->earned_msat || a->cooldown_until_ms != b->cooldown_until_ms
           || a->tasks_completed != b->tasks_completed || a->stake_sats != b->stake_sats
           || a->degraded_since_ms != b->degraded_since_ms || memcmp(a->ln_key, b->ln_key, 33) != 0
           || memcmp(a->public_key, b->public_key, 32) != 0
           || memcmp(&a->capabilities, &b->capabilities, sizeof(a->capabilities)) != 0;
}

void store_compare(struct store *store, const owm_engine *engine)
{
    if (owm_engine_node_count(engine) != store->node_count)
        store_violation(store, "I12: nodes were lost");
    for (size_t i = 0; i < store->node_count; i++) {
        int64_t at = owm_engine_find_node(engine, store->node[i].node_id);
        struct owm_node_view view;
        if (at >= 0) owm_engine_node(engine, (uint32_t)at, 0, &view);
        if (at < 0 || node_differs(&view.row, &store->node[i]))
            store_violation(store, "I12: a node is not what was stored");
    }
    for (size_t i = 0; i < store->task_count; i++) {
        const struct owm_task_row *task = owm_engine_find_task(engine, store->task[i].task_id);
        if (!task && is_final(store->task[i].state)) continue; /* its memory is bounded */
        if (!task || task_differs(task, &store->task[i]))
            store_violation(store, "I12: a task is not what was stored");
    }
    const struct owm_round_row *round = owm_engine_round(engine);
    if (round->round != store->round_count
        || (round->round > 0
            && memcmp(round, &store->round[round->round - 1], sizeof(*round)) != 0))
        store_violation(store, "I12: the round is not what was stored");
    uint32_t count;
    const struct owm_participant_row *part = owm_engine_participants(engine, &count);
    for (uint32_t i = 0; i < count; i++) {
        const struct owm_participant_row *kept = store_part(store, part[i].round, part[i].node_id);
        if (!kept || memcmp(kept, &part[i], sizeof(*kept)) != 0)
            store_violation(store, "I12: a participant is not what was stored");
    }
    const struct owm_model_row *model = owm_engine_model(engine);
    if (store->has_model && (!model || memcmp(model->model_hash, store->model.model_hash, 32) != 0))
        store_violation(store, "I12: the checkpoint is not what was stored");
}
