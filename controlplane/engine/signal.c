/* signal.c: misbehaviour and its consequence (SRS-SEC-11, SRS-STAKE-04, SRS-STAKE-07).
 *
 * Three independent signals suspend a T1 node; T2 and T3 wait for maintainers, whose decision comes
 * as SLASH. The tier is the highest of now and of when such work was given: who comes down a tier
 * just before it is caught is not judged more mildly. Independent means other evidence: the same
 * bundle twice is one signal. Nobody is suspended in the grace window: what was decided meanwhile
 * is remembered (in memory, so it has to be said again after a restart) and done at its end.
 */
#include "state.h"

#include <string.h>

#include "base/uuid.h"

void signal_remember(struct node *node, const uint8_t id[static 16])
{
    memcpy(node->signal_id[node->signal_next], id, 16);
    node->signal_next = (node->signal_next + 1) % SIGNALS_KEPT;
}

static bool known(const struct node *node, const uint8_t id[static 16])
{
    for (int i = 0; i < SIGNALS_KEPT; i++)
        if (memcmp(node->signal_id[i], id, 16) == 0) return true;
    return false;
}

void signal_raise(owm_engine *e, uint32_t at, const struct misdeed *misdeed)
{
    if (is_zero(misdeed->evidence, 32)) return; /* I5 */
    struct node *node = &e->node[at];
    struct owm_signal_row row;
    memset(&row, 0, sizeof(row));
    uint8_t name[33] = {(uint8_t)misdeed->type};
    memcpy(name + 1, misdeed->evidence, 32);
    owm_uuid_derive(node->row.node_id, name, sizeof(name), row.signal_id);
    if (known(node, row.signal_id)) return;
    memcpy(row.node_id, node->row.node_id, 16);
    row.type = misdeed->type;
    row.tier = misdeed->tier;
    memcpy(row.evidence_hash, misdeed->evidence, 32);
    row.round = misdeed->round;
    memcpy(row.task_id, misdeed->task_id, 16);
    row.detected_ms = e->now_ms;
    signal_remember(node, row.signal_id);
    node->row.signals++;
    if (row.tier > node->row.signals_tier) node->row.signals_tier = row.tier;
    e->counters.signals++;
    emit_signal(e, &row);
    emit_node(e, node);
    slash_tick(e, at);
}

bool node_is_slashed(const struct node *node)
{
    return node->row.status == OWM_NODE_SUSPENDED && node->row.cooldown_until_ms != 0;
}

void pinned_drop(owm_engine *e, uint32_t at, const char *reason)
{
    while (e->node[at].pinned.head != NONE)
        task_finish(e, e->node[at].pinned.head, OWM_TASK_STATE_FAILED, reason);
}

static void suspend(owm_engine *e, uint32_t at, const char *reason)
{
    struct node *node = &e->node[at];
    node->row.status = OWM_NODE_SUSPENDED;
    TEXT(node->row.status_reason, reason);
    node->slash_reason[0] = '\0';
    node->row.degraded_since_ms = 0;
    node->row.cooldown_until_ms = e->now_ms + e->config.cooldown_ms;
    node->row.reliability_ppm = 0;
    e->counters.nodes_suspended++;
    emit_node(e, node);
    node_refresh(e, at);
    for (uint32_t i = e->running_count; i-- > 0;) {
        if (i < e->running_count && e->task[e->running[i]].node == at)
            task_requeue(e, e->running[i], "the node was suspended", BLAME_NOBODY,
                         OWM_TASK_STATE_FAILED);
    }
    pinned_drop(e, at, "the node was suspended");
}

static void signal_enforce(owm_engine *e, uint32_t at)
{
    const struct node *node = &e->node[at];
    bool small =
        node->row.capabilities.tier == OWM_TIER_T1 && node->row.signals_tier <= OWM_TIER_T1;
    if (small && node->row.signals >= e->config.signals_to_suspend)
        suspend(e, at, "suspended after repeated misbehaviour; evidence is on file");
}

/* What was decided, or follows from the signals, is done when the grace window is over. */
void slash_tick(owm_engine *e, uint32_t at)
{
    const struct node *node = &e->node[at];
    if (node_is_slashed(node) || in_grace(e, e->now_ms)) return;
    if (node->slash_reason[0])
        suspend(e, at, node->slash_reason);
    else
        signal_enforce(e, at);
}

void slash_take(owm_engine *e, const struct owm_slash_event *event)
{
    uint32_t at = node_find(e, event->node_id);
    if (at == NONE || node_is_slashed(&e->node[at])) return;
    TEXT(e->node[at].slash_reason, event->reason[0] ? event->reason : "suspended by decision");
    slash_tick(e, at);
}

void slash_undo(owm_engine *e, const struct owm_slash_event *event)
{
    uint32_t at = node_find(e, event->node_id);
    if (at == NONE) return;
    struct node *node = &e->node[at];
    node->slash_reason[0] = '\0';
    if (!node_is_slashed(node)) return;
    bool enough = stake_enough(e, node);
    node->row.status = enough ? OWM_NODE_ACTIVE : OWM_NODE_PENDING;
    TEXT(node->row.status_reason, enough ? "" : "reinstated: its stake is not locked any more");
    node->row.cooldown_until_ms = 0;
    node->row.signals = 0;
    node->row.signals_tier = 0;
    node->row.reliability_ppm = node_reliability_ppm(node, e->now_ms);
    emit_node(e, node);
    node_refresh(e, at);
}
