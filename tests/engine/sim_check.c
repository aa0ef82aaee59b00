/* sim_check.c: the checks of what the engine says and of what it makes of nodes: I7 to I9, I13 to
 * I16. Rows are checked as they are committed (store.c). */
#include "sim.h"

#include <string.h>

static uint32_t node_of(const uint8_t id[static 16])
{
    uint32_t number;
    memcpy(&number, id, 4);
    return number - 1;
}

static int64_t minimum(const struct sim *sim, enum owm_tier tier)
{
    return sim->engine_config.tier_stake_sats[tier];
}

static bool is_slashed(const struct owm_node_row *row)
{
    return row->status == OWM_NODE_SUSPENDED && row->cooldown_until_ms != 0;
}

/* --- planted faults --------------------------------------------------------------------------- */

/* A dispatch goes to another node than it should: 7, to one that takes none; 8, to a lower tier;
 * 13, to one whose stake was read too long ago. */
static void plant_dispatch(struct sim *sim, struct owm_dispatch_output *dispatch)
{
    int64_t oldest_ms = sim->now_ms - sim->engine_config.stake_fresh_ms;
    for (uint32_t at = 0; at < owm_engine_node_count(sim->engine); at++) {
        struct owm_node_view view;
        owm_engine_node(sim->engine, at, sim->now_ms, &view);
        bool idle = !view.connected || view.draining || view.row.status != OWM_NODE_ACTIVE;
        bool small = !idle && view.row.capabilities.tier == OWM_TIER_T1
                     && dispatch->type == OWM_TASK_DATA_INGEST;
        bool stale = !idle && !view.silent && view.row.capabilities.tier == OWM_TIER_T3
                     && view.row.capabilities.task_types == (1u << OWM_TASK_TYPES) - 1
                     && view.row.stake_read_ms < oldest_ms;
        if (!(sim->config.plant == 7 ? idle : sim->config.plant == 8 ? small : stale)) continue;
        memcpy(dispatch->node_id, view.row.node_id, 16);
        sim->planted = true;
        return;
    }
}

/* A node that is well is suspended for its stake (14) or for misbehaviour (16), or degraded while
 * nobody looked (15). */
static void plant_row(struct sim *sim, struct owm_node_row *row, enum owm_event_kind cause)
{
    if (sim->planted || row->status != OWM_NODE_ACTIVE) return;
    if (sim->config.plant == 14) {
        row->status = OWM_NODE_SUSPENDED;
    } else if (sim->config.plant == 15 && cause == OWM_EVENT_RESULT) {
        row->status = OWM_NODE_DEGRADED;
    } else if (sim->config.plant == 16) {
        row->status = OWM_NODE_SUSPENDED;
        row->cooldown_until_ms = sim->now_ms + 1;
    } else {
        return;
    }
    sim->planted = true;
}

/* --- dispatches ------------------------------------------------------------------------------- */

/* Is this lease sent once more? It was stored, or given earlier in this batch. */
static bool sent_before(const struct sim *sim, const struct owm_output *outputs, size_t at)
{
    const struct owm_dispatch_output *dispatch = &outputs[at].dispatch;
    const struct owm_task_row *stored = store_task(&sim->store, dispatch->task_id);
    if (stored && stored->lease_token == dispatch->lease_token) return true;
    while (at-- > 0)
        if (outputs[at].kind == OWM_OUTPUT_DISPATCH
            && outputs[at].dispatch.lease_token == dispatch->lease_token
            && memcmp(outputs[at].dispatch.task_id, dispatch->task_id, 16) == 0)
            return true;
    return false;
}

static void check_dispatch(struct sim *sim, const struct owm_dispatch_output *dispatch)
{
    const struct owm_task_row *task = owm_engine_find_task(sim->engine, dispatch->task_id);
    if (task) sim->waits[task->type][task->min_tier] = false;
    struct owm_dispatch_output copy = *dispatch;
    int plant = sim->config.plant;
    if ((plant == 7 || plant == 8 || plant == 13) && !sim->planted) plant_dispatch(sim, &copy);
    dispatch = &copy;
    int64_t at = owm_engine_find_node(sim->engine, dispatch->node_id);
    struct owm_node_view view;
    if (at >= 0) owm_engine_node(sim->engine, (uint32_t)at, sim->now_ms, &view);
    if (at < 0 || view.row.status != OWM_NODE_ACTIVE || view.draining || !view.connected
        || view.silent) {
        store_violation(&sim->store, "I7: a task went to a node that takes none");
        return;
    }
    const struct owm_capabilities *can = &view.row.capabilities;
    if (!task || can->tier < task->min_tier || !(can->task_types >> dispatch->type & 1)
        || view.running > can->slots)
        store_violation(&sim->store, "I8: a task went beyond tier, types or slots of a node");
    const struct sim_stake *told = &sim->node[node_of(dispatch->node_id)].stake;
    if (told->read_ms < sim->now_ms - sim->engine_config.stake_fresh_ms
        || told->read_sats < minimum(sim, can->tier))
        store_violation(&sim->store, "I13: a task went to a node with %lld sats, read %lld ms ago",
                        (long long)told->read_sats, (long long)(sim->now_ms - told->read_ms));
}

void sim_check_outputs(struct sim *sim, const struct owm_output *outputs, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (outputs[i].kind == OWM_OUTPUT_DISPATCH && !sent_before(sim, outputs, i))
            check_dispatch(sim, &outputs[i].dispatch);
        if (outputs[i].kind == OWM_OUTPUT_ROUND_CHANGED && outputs[i].round.state == OWM_ROUND_OPEN
            && memcmp(outputs[i].round.base_hash, sim->proven.model_hash, 32) != 0)
            store_violation(&sim->store, "I18: a round was opened on an unproven checkpoint");
    }
}

/* Planted: the engine is told of a proof that no calendar has given. */
static void check_proven(struct sim *sim, const struct owm_proven_event *event)
{
    if (sim->config.plant == 18 && !sim->planted)
        sim->planted = true;
    else if (event->round >= sim->proven.round)
        sim->proven = *event;
}

/* --- stakes ----------------------------------------------------------------------------------- */

/* What the engine knows now by this reading. A run of readings that show too little begins with
 * one that was taken outside the grace window. */
static void told(struct sim *sim, struct sim_node *node, int64_t sats, int64_t read_ms)
{
    struct sim_stake *stake = &node->stake;
    if (read_ms < stake->read_ms) return;
    stake->read_ms = read_ms;
    stake->read_sats = sats;
    bool low = sats < minimum(sim, node->tier);
    if (!low) stake->low_since_ms = 0;
    if (low && stake->low_since_ms == 0 && !owm_engine_in_grace(sim->engine, read_ms))
        stake->low_since_ms = read_ms;
}

static void check_registration(struct sim *sim, const struct owm_register_event *event,
                               enum owm_code code)
{
    struct sim_node *node = &sim->node[node_of(event->node_id)];
    bool same_key = memcmp(node->seen.ln_key, event->ln_key, 33) == 0;
    if (code == OWM_CODE_NONE || (code == OWM_CODE_INSUFFICIENT_STAKE && same_key))
        told(sim, node, event->stake_sats, event->stake_read_ms);
    if (code == OWM_CODE_NONE) node->stake.low_since_ms = 0;
}

void sim_check_event(struct sim *sim, const struct owm_event *event,
                     const struct owm_output *outputs, size_t from, size_t to)
{
    if (event->kind == OWM_EVENT_PROVEN) {
        check_proven(sim, &event->proven);
    } else if (event->kind == OWM_EVENT_STAKE) {
        struct sim_node *node = &sim->node[node_of(event->stake.node_id)];
        if (owm_engine_find_node(sim->engine, node->id) >= 0)
            told(sim, node, event->stake.stake_sats, event->stake.read_ms);
    } else if (event->kind == OWM_EVENT_REGISTER) {
        while (from < to && outputs[from].kind != OWM_OUTPUT_REGISTERED) from++;
        check_registration(sim, &event->reg, outputs[from].registered.code);
    }
}

static void check_suspension(struct sim *sim, const struct sim_node *node,
                             const struct owm_node_row *row)
{
    bool grace = owm_engine_in_grace(sim->engine, sim->now_ms);
    const struct sim_stake *stake = &node->stake;
    if (!is_slashed(row)) {
        int64_t end_ms = stake->low_since_ms + sim->engine_config.degraded_ms;
        if (grace || node->seen.status != OWM_NODE_DEGRADED || stake->low_since_ms == 0
            || stake->read_ms < end_ms || stake->read_sats >= minimum(sim, node->tier))
            store_violation(&sim->store, "I14: suspended for its stake before its time");
        return;
    }
    struct owm_node_view view;
    owm_engine_node(sim->engine, (uint32_t)owm_engine_find_node(sim->engine, row->node_id),
                    sim->now_ms, &view);
    bool signals = node->tier == OWM_TIER_T1 && row->signals >= 3;
    if (grace || !(signals || node->court.state == SIM_CASE_DECIDED) || row->reliability_ppm != 0
        || view.running != 0)
        store_violation(&sim->store, "I16: suspended without a case, or with work or reputation");
}

static void count(struct sim *sim, const struct owm_node_row *from, const struct owm_node_row *to)
{
    sim->reinstated += is_slashed(from) && !is_slashed(to);
    if (from->status == to->status) return;
    sim->degraded += to->status == OWM_NODE_DEGRADED;
    sim->left += to->status == OWM_NODE_PENDING && from->status == OWM_NODE_ACTIVE;
    sim->unstaked += to->status == OWM_NODE_SUSPENDED && !is_slashed(to);
    sim->slashed += is_slashed(to);
}

static void check_row(struct sim *sim, const struct owm_event *event, struct owm_node_row row)
{
    plant_row(sim, &row, event->kind);
    struct sim_node *node = &sim->node[node_of(row.node_id)];
    const struct owm_node_row *seen = &node->seen;
    bool about = memcmp(event->stake.node_id, row.node_id, 16) == 0; /* the first field of all */
    bool reading = about && (event->kind == OWM_EVENT_STAKE || event->kind == OWM_EVENT_REGISTER);
    if (row.status == OWM_NODE_DEGRADED && seen->status != OWM_NODE_DEGRADED
        && (!reading || node->stake.low_since_ms == 0
            || owm_engine_in_grace(sim->engine, sim->now_ms)))
        store_violation(&sim->store, "I15: degraded without a reading that shows too little");
    if (row.status == OWM_NODE_SUSPENDED
        && (seen->status != OWM_NODE_SUSPENDED || is_slashed(&row) != is_slashed(seen)))
        check_suspension(sim, node, &row);
    if (is_slashed(seen) && !is_slashed(&row) && !(about && event->kind == OWM_EVENT_REINSTATE)
        && !(about && event->kind == OWM_EVENT_REGISTER && sim->now_ms >= seen->cooldown_until_ms))
        store_violation(&sim->store, "I16: a suspension ended by itself");
    count(sim, seen, &row);
    node->seen = row;
}

void sim_check_effects(struct sim *sim, const struct owm_event *event,
                       const struct owm_effect *effects, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (effects[i].kind == OWM_EFFECT_NODE) check_row(sim, event, effects[i].node);
}

/* What was not stored is forgotten. */
void sim_check_restart(struct sim *sim)
{
    for (uint32_t at = 0; at < sim->config.nodes; at++) {
        struct sim_node *node = &sim->node[at];
        const struct owm_node_row *row = store_node(&sim->store, node->id);
        memset(&node->seen, 0, sizeof(node->seen));
        if (row) node->seen = *row;
        node->stake.read_ms = node->seen.stake_read_ms;
        node->stake.read_sats = node->seen.stake_sats;
        node->stake.low_since_ms = node->seen.degraded_since_ms;
    }
}

/* --- idleness --------------------------------------------------------------------------------- */

static bool is_free(const struct sim *sim, const struct owm_node_view *view)
{
    return view->row.status == OWM_NODE_ACTIVE && !view->draining && view->connected
           && !view->silent && view->slots_free > 0
           && view->row.stake_read_ms >= sim->now_ms - sim->engine_config.stake_fresh_ms
           && view->row.stake_sats >= minimum(sim, view->row.capabilities.tier);
}

/* I9, at any time: no task waits while a node that may run it is free; but for a moment, in which
 * the reading of a better one is awaited: seen twice with no dispatch of its kind in between. */
void sim_check_idle(struct sim *sim)
{
    if (!sim->engine || sim->unsaved) return;
    uint32_t can[OWM_TIERS + 1] = {0}; /* types that some free node of the tier supports */
    for (uint32_t at = 0; at < owm_engine_node_count(sim->engine); at++) {
        struct owm_node_view view;
        owm_engine_node(sim->engine, at, sim->now_ms, &view);
        if (!is_free(sim, &view)) continue;
        for (int tier = OWM_TIER_T1; tier <= (int)view.row.capabilities.tier; tier++)
            can[tier] |= view.row.capabilities.task_types;
    }
    bool waits[OWM_TASK_TYPES][OWM_TIERS + 1] = {{false}};
    for (uint32_t slot = 0; slot < owm_engine_task_slots(sim->engine); slot++) {
        const struct owm_task_row *task = owm_engine_task(sim->engine, slot);
        if (!task || task->state != OWM_TASK_STATE_PENDING || task->type == OWM_TASK_FL_ROUND)
            continue;
        if (can[task->min_tier] >> task->type & 1) waits[task->type][task->min_tier] = true;
    }
    for (int type = 0; type < OWM_TASK_TYPES; type++) {
        for (int tier = OWM_TIER_T1; tier <= OWM_TIERS; tier++) {
            if (waits[type][tier] && sim->waits[type][tier])
                store_violation(&sim->store, "I9: a task waits beside a free node that may run it");
            sim->waits[type][tier] = waits[type][tier];
        }
    }
}
