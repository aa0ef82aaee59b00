/* scheduler.c: which node gets which task (SRS-SCHED-01).
 *
 *   score = reliability x tier multiplier x stake bonus x free share of its slots
 *
 * The best free node that may run the first task gets it. A node that failed a task gets it again
 * only if no other can take it.
 *
 * Where stake counts, free means that the node's stake was read a moment ago. Better nodes whose
 * reading is older are asked for, as many as the lane has tasks for, and a task's first attempt
 * waits for them for a quarter of a second, so no lane is held up for longer. Without that a node
 * would be preferred for moving its balance all the time, which makes readings of it come by
 * themselves.
 */
#include "state.h"

#include "controlplane/engine/reward.h"

bool node_takes_tasks(const struct node *node)
{
    return node->row.status == OWM_NODE_ACTIVE && node->stream != 0 && node->heard && !node->silent
           && !node->draining;
}

uint32_t node_slots_free(const struct node *node)
{
    uint32_t slots = node->row.capabilities.slots;
    uint32_t ours = slots > node->running ? slots - node->running : 0;
    return ours < node->free_slots ? ours : node->free_slots;
}

enum place node_belongs(const owm_engine *e, const struct node *node)
{
    if (!node_takes_tasks(node) || node_slots_free(node) == 0) return PLACE_NONE;
    if (stake_fresh(e, node)) return stake_enough(e, node) ? PLACE_FREE : PLACE_NONE;
    bool asked = node->asked_ms != 0 && e->now_ms - node->asked_ms < e->config.stake_retry_ms;
    return asked ? PLACE_ASKED : PLACE_STALE;
}

void node_refresh(owm_engine *e, uint32_t at)
{
    struct node *node = &e->node[at];
    enum place place = node_belongs(e, node);
    if (place == PLACE_NONE) {
        node_place(e, at, place);
        return;
    }
    uint64_t merit = (uint64_t)(node->row.reliability_ppm + 1)
                     * (uint64_t)owm_tier_multiplier_tenths(node->row.capabilities.tier)
                     * (node_stake_bonus_ppm(e, node) / 1000);
    node->score = merit * node_slots_free(node) / node->row.capabilities.slots;
    node_place(e, at, place);
    e->schedule_wanted = true;
    if (node->pinned.head != NONE && !node->pinned_ready) {
        node->pinned_ready = true;
        e->pinned_ready[e->pinned_ready_count++] = at;
    }
}

static bool supports(const struct node *node, enum owm_task_type type, enum owm_tier min_tier)
{
    return node->row.capabilities.tier >= min_tier
           && (node->row.capabilities.task_types >> type & 1);
}

static bool may_run(const struct node *node, const struct task *task)
{
    return supports(node, task->row.type, task->row.min_tier);
}

/* The best node of a place for a task, NONE if none may run it. The first nearly always may. */
static uint32_t choose(const owm_engine *e, enum place place, const struct task *task)
{
    const struct heap *heap = &e->place[place];
    uint32_t best = NONE;
    for (uint32_t i = 0; i < heap->count; i++) {
        uint32_t at = heap->node[i];
        if (!may_run(&e->node[at], task) || at == task->avoid) continue;
        if (place == PLACE_FREE && !stake_fresh(e, &e->node[at])) continue;
        if (i == 0) return at;
        if (best == NONE || node_before(e, at, best)) best = at;
    }
    if (best == NONE && task->avoid != NONE && e->node[task->avoid].place == place
        && may_run(&e->node[task->avoid], task)
        && (place != PLACE_FREE || stake_fresh(e, &e->node[task->avoid])))
        best = task->avoid;
    return best;
}

/* Would the task rather have that node than the one it can have now (or NONE)? */
static bool better(const owm_engine *e, const struct task *task, uint32_t at, uint32_t now)
{
    if (now == NONE) return true;
    if ((now == task->avoid) != (at == task->avoid)) return now == task->avoid;
    return e->node[at].score > e->node[now].score;
}

/* Is a better node's reading on its way? Looked for in what was asked a moment ago. */
static bool hopes(const owm_engine *e, const struct task *task, uint32_t now)
{
    const struct heap *asked = &e->place[PLACE_ASKED];
    for (uint32_t i = 0; i < asked->count; i++) {
        const struct node *node = &e->node[asked->node[i]];
        if (e->now_ms - node->asked_ms < STAKE_PATIENCE_MS && may_run(node, task)
            && better(e, task, asked->node[i], now))
            return true;
    }
    return false;
}

/* Ask for the readings of nodes that the lane would rather have, until there is one for each of its
 * tasks. */
static void ask_better(owm_engine *e, uint32_t lane, uint32_t now)
{
    const struct task *task = &e->task[e->lane[lane].head];
    const struct heap *asked = &e->place[PLACE_ASKED];
    if (e->place[PLACE_STALE].count == 0) return;
    uint32_t slots = 0;
    for (uint32_t i = 0; i < asked->count; i++) {
        const struct node *node = &e->node[asked->node[i]];
        if (may_run(node, task)) slots += node_slots_free(node);
    }
    while (slots < e->lane[lane].count) {
        uint32_t at = choose(e, PLACE_STALE, task);
        if (at == NONE || !better(e, task, at, now) || !stake_ask(e, at)) break;
        slots += node_slots_free(&e->node[at]);
    }
}

/* A pinned task has one node: it goes there, or asks for its reading. */
static void schedule_pinned(owm_engine *e)
{
    while (e->pinned_ready_count > 0) {
        uint32_t at = e->pinned_ready[--e->pinned_ready_count];
        struct node *node = &e->node[at];
        node->pinned_ready = false;
        while (node->pinned.head != NONE) {
            if (!may_run(node, &e->task[node->pinned.head])) break; /* it changed since */
            if (node->place == PLACE_FREE && !stake_fresh(e, node)) node_place(e, at, PLACE_STALE);
            if (node->place == PLACE_STALE) stake_ask(e, at);
            if (node->place != PLACE_FREE) break;
            task_dispatch(e, node->pinned.head, at);
        }
    }
}

/* Readings that came together get old together: not each task has to look at all of them again. */
static void drop_stale(owm_engine *e)
{
    const struct heap *heap = &e->place[PLACE_FREE];
    while (heap->count > 0 && !stake_fresh(e, &e->node[heap->node[0]]))
        node_place(e, heap->node[0], PLACE_STALE);
}

/* The first task of a lane. False: the lane has to wait. */
static bool serve(owm_engine *e, uint32_t lane)
{
    drop_stale(e);
    uint32_t slot = e->lane[lane].head;
    const struct task *task = &e->task[slot];
    uint32_t node = choose(e, PLACE_FREE, task);
    ask_better(e, lane, node);
    bool patient = e->now_ms - task->queued_ms < STAKE_PATIENCE_MS;
    if (node != NONE && patient && hopes(e, task, node)) {
        e->patient = true;
        return false;
    }
    if (node != NONE) task_dispatch(e, slot, node);
    return node != NONE;
}

void schedule(owm_engine *e)
{
    schedule_pinned(e);
    if (!e->schedule_wanted) return;
    e->patient = false;
    uint32_t blocked = 0;
    while (e->place[PLACE_FREE].count + e->place[PLACE_STALE].count > 0) {
        uint32_t lane = queue_best_lane(e, blocked);
        if (lane == NONE) break;
        if (!serve(e, lane)) blocked |= 1u << lane;
    }
    e->schedule_wanted = false; /* dispatching only takes slots away */
    schedule_pinned(e);
}

enum owm_why node_why(const owm_engine *e, const struct node *node)
{
    switch (node->row.status) {
    case OWM_NODE_PENDING:
        return OWM_WHY_PENDING;
    case OWM_NODE_DEGRADED:
        return OWM_WHY_DEGRADED;
    case OWM_NODE_SUSPENDED:
        return OWM_WHY_SUSPENDED;
    case OWM_NODE_ACTIVE:
        break;
    }
    if (node->running > 0) return OWM_WHY_BUSY;
    if (node->draining) return OWM_WHY_DRAINING;
    if (node->silent) return OWM_WHY_SILENT;
    if (node->stream == 0) return OWM_WHY_NOT_CONNECTED;
    if (node_slots_free(node) == 0) return OWM_WHY_NO_SLOT;
    if (!stake_enough(e, node)) return OWM_WHY_DEGRADED; /* it will be, after the grace window */
    bool unread = !stake_fresh(e, node);
    enum owm_why why =
        unread && node->pinned.head != NONE ? OWM_WHY_STAKE_UNREAD : OWM_WHY_NOTHING_QUEUED;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        if (e->lane[lane].head == NONE) continue;
        enum owm_why here = unread ? OWM_WHY_STAKE_UNREAD : OWM_WHY_OUTSCORED;
        if (!(node->row.capabilities.task_types >> lane / OWM_TIERS & 1))
            here = OWM_WHY_TYPE;
        else if (node->row.capabilities.tier < (enum owm_tier)(lane % OWM_TIERS + 1))
            here = OWM_WHY_TIER;
        if (here > why) why = here; /* the reason nearest to getting one */
    }
    return why;
}
