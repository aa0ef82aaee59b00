/* stake.c: what nodes have locked, as it was last read, and what follows from it (SRS-STAKE-02, 03,
 * 08, 10).
 *
 *   pending --enough--> active --too little--> degraded --still too little after degraded_ms--.
 *      ^                   ^ `-------------------' enough                                     v
 *      |                   `-----------------------------enough------------------------- suspended
 *      `---closed: from any of them                                                (no cooldown)
 *
 * 1. Only a reading moves a node along these arrows. A treasury that does not answer moves nobody.
 * 2. Down, and out, only by a reading that was taken after the grace window.
 * 3. Who is suspended for misbehaviour (it has a cooldown) is not moved by any reading.
 * 4. A reading is good for assignments for stake_fresh_ms: a channel's balance is not locked. When
 *    work waits for a node whose reading is older, STAKE_WANTED asks for another.
 */
#include "state.h"

#include <string.h>

#include "controlplane/engine/reward.h"

int64_t stake_required_sats(const owm_engine *e, enum owm_tier tier)
{
    return e->config.stake == OWM_ENGINE_STAKE_NONE ? 0 : e->config.tier_stake_sats[tier];
}

uint32_t node_stake_bonus_ppm(const owm_engine *e, const struct node *node)
{
    return owm_stake_bonus_ppm(node->row.stake_sats,
                               stake_required_sats(e, node->row.capabilities.tier));
}

bool stake_enough(const owm_engine *e, const struct node *node)
{
    return node->row.stake_sats >= stake_required_sats(e, node->row.capabilities.tier);
}

/* A time in the future is of a clock that has been set back since: who knows how old it is. */
bool stake_was_read(const owm_engine *e, const struct node *node)
{
    return node->row.stake_read_ms <= e->now_ms;
}

bool stake_fresh(const owm_engine *e, const struct node *node)
{
    return e->config.stake == OWM_ENGINE_STAKE_NONE
           || (node->row.stake_read_ms >= e->now_ms - e->config.stake_fresh_ms
               && stake_was_read(e, node));
}

int64_t stake_degraded_until_ms(const owm_engine *e, const struct node *node)
{
    if (node->row.status != OWM_NODE_DEGRADED) return 0;
    int64_t until_ms = node->row.degraded_since_ms + e->config.degraded_ms;
    return until_ms > e->grace_ends_ms ? until_ms : e->grace_ends_ms;
}

static void move(struct node *node, enum owm_node_status status, const char *reason)
{
    node->row.status = status;
    TEXT(node->row.status_reason, reason);
    node->row.degraded_since_ms =
        status == OWM_NODE_DEGRADED ? node->row.stake_read_ms : INT64_C(0);
}

static void move_out(owm_engine *e, uint32_t at, enum owm_node_status status, const char *reason)
{
    move(&e->node[at], status, reason);
    pinned_drop(e, at, reason);
}

/* What the newest reading means for the status. */
static void judge(owm_engine *e, uint32_t at, bool closed)
{
    struct node *node = &e->node[at];
    enum owm_node_status status = node->row.status;
    if (node_is_slashed(node)) return;
    if (stake_enough(e, node)) {
        if (status != OWM_NODE_ACTIVE) move(node, OWM_NODE_ACTIVE, "");
    } else if (in_grace(e, node->row.stake_read_ms)) {
        return;
    } else if (closed) {
        move_out(e, at, OWM_NODE_PENDING, "it left: its channel was closed");
    } else if (status == OWM_NODE_ACTIVE) {
        move(node, OWM_NODE_DEGRADED, "its stake is below the minimum of its tier");
    } else if (status == OWM_NODE_DEGRADED
               && node->row.stake_read_ms >= stake_degraded_until_ms(e, node)) {
        move_out(e, at, OWM_NODE_SUSPENDED,
                 "its stake stayed too low for too long: with enough it is active again");
    }
}

void stake_note(owm_engine *e, uint32_t at, const struct owm_stake_event *event)
{
    struct node *node = &e->node[at];
    int64_t read_ms = event->read_ms < e->now_ms ? event->read_ms : e->now_ms;
    if (read_ms < node->row.stake_read_ms && stake_was_read(e, node)) return;
    e->counters.stake_readings++;
    struct owm_node_row before = node->row;
    node->row.stake_read_ms = read_ms;
    node->row.stake_sats = event->stake_sats;
    if (read_ms >= node->asked_ms) node->asked_ms = 0;
    judge(e, at, event->closed);
    bool same = before.stake_sats == node->row.stake_sats && before.status == node->row.status
                && strcmp(before.status_reason, node->row.status_reason) == 0;
    if (same)
        node->unsaved = true; /* only the time of reading changed: that goes with the heartbeats */
    else
        emit_node(e, node);
    node_refresh(e, at);
}

void stake_read(owm_engine *e, const struct owm_stake_event *event)
{
    uint32_t at = node_find(e, event->node_id);
    if (at == NONE || e->config.stake != OWM_ENGINE_STAKE_LIGHTNING) return;
    bool of_it =
        is_zero(event->ln_key, 33) || memcmp(event->ln_key, e->node[at].row.ln_key, 33) == 0;
    if (of_it) stake_note(e, at, event);
}

bool stake_ask(owm_engine *e, uint32_t at)
{
    struct node *node = &e->node[at];
    if (e->place[PLACE_ASKED].count >= STAKE_ASKED_MAX
        || (node->asked_ms != 0 && e->now_ms - node->asked_ms < e->config.stake_retry_ms))
        return false;
    node->asked_ms = e->now_ms;
    struct owm_stake_wanted_output *out = &output(e, OWM_OUTPUT_STAKE_WANTED, 0)->stake_wanted;
    memcpy(out->node_id, node->row.node_id, 16);
    memcpy(out->ln_key, node->row.ln_key, sizeof(out->ln_key));
    e->counters.stake_wanted++;
    node_place(e, at, PLACE_ASKED);
    return true;
}
