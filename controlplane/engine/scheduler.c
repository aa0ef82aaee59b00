/* scheduler.c: which node gets which task (SRS-SCHED-01).
 *
 *   score = reliability x tier multiplier x stake bonus x free share of its slots
 *
 * The best free node that may run the first task gets it. A node that failed a task gets it again
 * only if no other can take it.
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

void node_refresh(owm_engine *e, uint32_t at)
{
    struct node *node = &e->node[at];
    uint32_t slots = node_slots_free(node);
    if (!node_takes_tasks(node) || slots == 0) {
        heap_drop(e, at);
        return;
    }
    uint64_t merit = (uint64_t)(node->row.reliability_ppm + 1)
                     * (uint64_t)owm_tier_multiplier_tenths(node->row.capabilities.tier)
                     * (node_stake_bonus_ppm(e, node) / 1000);
    node->score = merit * slots / node->row.capabilities.slots;
    heap_put(e, at);
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

/* The best free node for a task, NONE if none may run it. The top of the heap nearly always may. */
static uint32_t choose(const owm_engine *e, const struct task *task)
{
    uint32_t best = NONE;
    for (uint32_t i = 0; i < e->heap_count; i++) {
        uint32_t at = e->heap[i];
        if (!supports(&e->node[at], task->row.type, task->row.min_tier)) continue;
        if (at == task->avoid) continue;
        if (i == 0) return at;
        if (best == NONE || e->node[at].score > e->node[best].score
            || (e->node[at].score == e->node[best].score && at < best))
            best = at;
    }
    if (best == NONE && task->avoid != NONE && e->node[task->avoid].heap_at != NONE
        && supports(&e->node[task->avoid], task->row.type, task->row.min_tier))
        best = task->avoid;
    return best;
}

static void schedule_pinned(owm_engine *e)
{
    while (e->pinned_ready_count > 0) {
        uint32_t at = e->pinned_ready[--e->pinned_ready_count];
        struct node *node = &e->node[at];
        node->pinned_ready = false;
        while (node->heap_at != NONE && node->pinned.head != NONE) {
            const struct task *task = &e->task[node->pinned.head];
            if (!supports(node, task->row.type, task->row.min_tier)) break; /* it changed since */
            task_dispatch(e, node->pinned.head, at);
        }
    }
}

void schedule(owm_engine *e)
{
    schedule_pinned(e);
    if (!e->schedule_wanted) return;
    e->schedule_wanted = false;
    uint32_t blocked = 0;
    while (e->heap_count > 0) {
        uint32_t lane = queue_best_lane(e, blocked);
        if (lane == NONE) break;
        uint32_t slot = e->lane[lane].head;
        uint32_t node = choose(e, &e->task[slot]);
        if (node == NONE)
            blocked |= 1u << lane;
        else
            task_dispatch(e, slot, node);
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
    enum owm_why why = OWM_WHY_NOTHING_QUEUED;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        if (e->lane[lane].head == NONE) continue;
        enum owm_why here = OWM_WHY_OUTSCORED;
        if (!(node->row.capabilities.task_types >> lane / OWM_TIERS & 1))
            here = OWM_WHY_TYPE;
        else if (node->row.capabilities.tier < (enum owm_tier)(lane % OWM_TIERS + 1))
            here = OWM_WHY_TIER;
        if (here > why) why = here; /* the reason nearest to getting one */
    }
    return why;
}
