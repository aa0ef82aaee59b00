/* registry.c: who takes part: registration, manifests, heartbeats, streams (SRS-COORD-01).
 *
 *   (unknown) --register, stake ok----------> active
 *   (unknown) --register, unconfirmed stake-> pending      readings of the stake move nodes between
 *   whoever misbehaves: signal.c -----------> suspended    pending, active, degraded and suspended
 *      (with a cooldown)  |                                without cooldown: stake.c
 *                         `--cooldown over, register--> active
 *
 * Being there is another matter than the status: a node that is silent or has no stream keeps its
 * status and gets no tasks. Heartbeats touch memory only; node_tick writes them out in batches.
 */
#include "state.h"

#include <string.h>

bool in_grace(const owm_engine *e, int64_t now_ms)
{
    return now_ms < e->grace_ends_ms;
}

uint32_t node_find(const owm_engine *e, const uint8_t node_id[static 16])
{
    return index_find(&e->node_by_id, node_id);
}

uint32_t node_reliability_ppm(const struct node *node, int64_t now_ms)
{
    if (node_is_slashed(node)) return 0; /* SRS-SEC-11 */
    return owm_reliability_ppm(&node->row.reliability, now_ms);
}

/* Its sign is left out: who knows the secret of one of the two keys knows that of the other. */
static uint32_t find_ln_key(const owm_engine *e, const uint8_t ln_key[static 33])
{
    return is_zero(ln_key, 33) ? NONE : index_find(&e->node_by_ln, ln_key + 1);
}

/* I17: it is free, or this node's. A node without a new key keeps the one it has. */
static void bind_ln_key(owm_engine *e, uint32_t at, const uint8_t ln_key[static 33])
{
    struct owm_node_row *row = &e->node[at].row;
    if (is_zero(ln_key, 33)) return;
    if (!is_zero(row->ln_key, 33)) index_remove(&e->node_by_ln, row->ln_key + 1);
    memcpy(row->ln_key, ln_key, 33);
    index_put(&e->node_by_ln, ln_key + 1, at);
}

uint32_t node_add(owm_engine *e, const struct owm_node_row *row)
{
    if (e->node_count == e->config.nodes_max) return NONE;
    uint32_t at = e->node_count++;
    struct node *node = &e->node[at];
    node->row = *row;
    node->pinned.head = node->pinned.tail = NONE;
    node->watched_ms = node->heard_ms = e->now_ms;
    node->silent = true;
    index_put(&e->node_by_id, row->node_id, at);
    index_put(&e->node_by_key, row->public_key, at);
    if (!is_zero(row->ln_key, 33)) index_put(&e->node_by_ln, row->ln_key + 1, at);
    return at;
}

static void set_capabilities(struct node *node, const struct owm_capabilities *from)
{
    struct owm_capabilities *to = &node->row.capabilities;
    *to = *from;
    if (to->slots < 1) to->slots = 1;
    if (to->slots > OWM_NODE_SLOTS_MAX) to->slots = OWM_NODE_SLOTS_MAX;
}

static void set_status(struct node *node, enum owm_node_status status, const char *reason)
{
    node->row.status = status;
    TEXT(node->row.status_reason, reason);
}

/* What counts as its stake: the reading of this registration, or a newer one of the same key that
 * came meanwhile. */
static struct owm_stake_event registered_stake(const owm_engine *e, uint32_t at,
                                               const struct owm_register_event *event)
{
    struct owm_stake_event stake = {.stake_sats = event->stake_sats,
                                    .read_ms = event->stake_read_ms};
    if (stake.read_ms == 0 || stake.read_ms > e->now_ms) stake.read_ms = e->now_ms;
    if (at == NONE || find_ln_key(e, event->ln_key) != at) return stake;
    const struct owm_node_row *row = &e->node[at].row;
    if (row->stake_read_ms <= stake.read_ms || !stake_was_read(e, &e->node[at])) return stake;
    stake.stake_sats = row->stake_sats;
    stake.read_ms = row->stake_read_ms;
    return stake;
}

/* What the key is refused for, if anything. */
static enum owm_code register_check(const owm_engine *e, uint32_t at,
                                    const struct owm_register_event *event, bool enough)
{
    if (at != NONE && e->node[at].row.status == OWM_NODE_SUSPENDED
        && e->now_ms < e->node[at].row.cooldown_until_ms)
        return OWM_CODE_COOLDOWN; /* SRS-STAKE-07 */
    uint32_t holder = find_ln_key(e, event->ln_key);
    if (holder != NONE && holder != at) return OWM_CODE_LN_KEY_BOUND;
    bool keyless = is_zero(event->ln_key, 33) && e->config.stake == OWM_ENGINE_STAKE_LIGHTNING;
    if (keyless || (!enough && !event->stake_pending))
        return OWM_CODE_INSUFFICIENT_STAKE; /* SRS-LN-11 */
    if (at == NONE && e->node_count == e->config.nodes_max) return OWM_CODE_NODES_FULL;
    return OWM_CODE_NONE;
}

static void register_refused(owm_engine *e, uint32_t at, const struct owm_register_event *event,
                             struct owm_registered_output *out)
{
    e->counters.registrations_refused++;
    out->status = OWM_NODE_PENDING;
    if (at == NONE) return;
    struct node *node = &e->node[at];
    memcpy(out->node_id, node->row.node_id, 16);
    out->cooldown_until_ms = node->row.cooldown_until_ms;
    out->status = node->row.status;
    if (out->code != OWM_CODE_INSUFFICIENT_STAKE || find_ln_key(e, event->ln_key) != at) return;
    const struct owm_stake_event stake = registered_stake(e, at, event);
    stake_note(e, at, &stake); /* it is a reading like any other */
    out->status = node->row.status;
}

static uint32_t register_new(owm_engine *e, const struct owm_register_event *event)
{
    struct owm_node_row row;
    memset(&row, 0, sizeof(row));
    memcpy(row.node_id, event->node_id, 16);
    memcpy(row.public_key, event->public_key, 32);
    row.registered_ms = e->now_ms;
    row.status = OWM_NODE_PENDING;
    row.capabilities.tier = event->capabilities.tier;
    return node_add(e, &row);
}

/* Its registration is good: what it says replaces what was known. */
static void register_accepted(owm_engine *e, uint32_t at, const struct owm_register_event *event,
                              bool enough)
{
    struct node *node = &e->node[at];
    const struct owm_stake_event stake = registered_stake(e, at, event);
    if (node_is_slashed(node)) { /* the cooldown is over */
        node->row.signals = 0;
        node->row.signals_tier = 0;
    }
    node->row.cooldown_until_ms = node->row.degraded_since_ms = 0;
    if (enough)
        set_status(node, OWM_NODE_ACTIVE, "");
    else
        set_status(node, OWM_NODE_PENDING, "its stake waits for confirmations");
    bind_ln_key(e, at, event->ln_key);
    node->row.stake_sats = stake.stake_sats;
    node->row.stake_read_ms = stake.read_ms;
    if (stake.read_ms >= node->asked_ms) node->asked_ms = 0;
    set_capabilities(node, &event->capabilities);
    TEXT(node->row.ln_node_uri, event->ln_node_uri);
    TEXT(node->row.onion_address, event->onion_address);
    TEXT(node->row.alias, event->alias);
    TEXT(node->row.payout_to, event->payout_to);
    node->row.reliability_ppm = node_reliability_ppm(node, e->now_ms);
    e->counters.registrations++;
    emit_node(e, node);
    node_refresh(e, at);
}

void node_register(owm_engine *e, const struct owm_register_event *event, uint64_t cookie)
{
    uint32_t at = index_find(&e->node_by_key, event->public_key);
    struct owm_registered_output out = {0};
    out.required_stake_sats = stake_required_sats(e, event->capabilities.tier);
    bool enough = registered_stake(e, at, event).stake_sats >= out.required_stake_sats;
    out.code = register_check(e, at, event, enough);
    if (out.code == OWM_CODE_NONE) {
        out.is_new = at == NONE;
        if (at == NONE) at = register_new(e, event);
        register_accepted(e, at, event, enough);
        memcpy(out.node_id, e->node[at].row.node_id, 16);
        out.status = e->node[at].row.status;
    } else {
        register_refused(e, at, event, &out);
    }
    output(e, OWM_OUTPUT_REGISTERED, cookie)->registered = out;
}

void node_manifest(owm_engine *e, const struct owm_manifest_event *event, uint64_t cookie)
{
    uint32_t at = node_find(e, event->node_id);
    if (at == NONE) {
        answer_done(e, cookie, OWM_CODE_UNKNOWN_NODE);
        return;
    }
    struct node *node = &e->node[at];
    if (event->sequence <= node->row.manifest_sequence) {
        answer_done(e, cookie, OWM_CODE_STALE_MANIFEST);
        return;
    }
    node->row.manifest_sequence = event->sequence;
    node->row.manifest_ms = e->now_ms;
    /* The stake was checked for the tier of the registration: a manifest cannot raise it. */
    enum owm_tier tier = node->row.capabilities.tier;
    set_capabilities(node, &event->capabilities);
    if (node->row.capabilities.tier > tier) node->row.capabilities.tier = tier;
    emit_node(e, node);
    node_refresh(e, at);
    answer_done(e, cookie, OWM_CODE_NONE);
}

/* Leases the node names are renewed; those it does not hold any more are told back. `lost` may be
 * NULL. Returns how many were written there. */
static uint32_t renew(owm_engine *e, uint32_t at, const struct owm_heartbeat_event *event,
                      uint8_t (*lost)[16])
{
    uint32_t lost_count = 0;
    uint32_t count = event->lease_count < OWM_RENEWALS_MAX ? event->lease_count : OWM_RENEWALS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct owm_lease *lease = &event->leases[i];
        uint32_t slot =
            lease_holder(e, lease->task_id, e->node[at].row.node_id, lease->lease_token);
        if (slot != NONE) {
            e->task[slot].lease_ends_ms = e->now_ms + e->config.lease_ms;
            e->task[slot].acknowledged = true;
            e->task[slot].boot_id = event->boot_id;
        } else if (lost && lost_count < OWM_LOST_LEASES_MAX) {
            memcpy(lost[lost_count++], lease->task_id, 16);
        }
    }
    return lost_count;
}

/* The node's program was started again: what it does not name is lost, so others get it at once. */
static void restarted(owm_engine *e, uint32_t at, uint64_t boot_id)
{
    for (uint32_t i = e->running_count; i-- > 0;) {
        if (i >= e->running_count) continue;
        const struct task *task = &e->task[e->running[i]];
        if (task->node == at && task->boot_id != boot_id)
            task_requeue(e, e->running[i], "the node restarted", BLAME_NOBODY,
                         OWM_TASK_STATE_FAILED);
    }
}

/* What heartbeat and stream have in common. False: from a process that is gone. */
static bool heard(owm_engine *e, uint32_t at, const struct owm_heartbeat_event *event,
                  uint8_t (*lost)[16], uint32_t *lost_count)
{
    struct node *node = &e->node[at];
    bool other_boot = node->boot_id != 0 && node->boot_id != event->boot_id;
    if (other_boot && node->stream != 0 && event->stream == 0) return false;
    bool first = node->boot_id == 0;
    node->boot_id = event->boot_id;
    *lost_count = renew(e, at, event, lost);
    if (other_boot) restarted(e, at, event->boot_id);
    if (first) { /* leases of before our restart: it may still have them, so they are sent again */
        for (uint32_t i = 0; i < e->running_count; i++)
            if (e->task[e->running[i]].node == at) e->task[e->running[i]].boot_id = event->boot_id;
    }
    node->heard = true;
    node->silent = false;
    node->draining = event->draining;
    node->free_slots = event->free_slots;
    node->heard_ms = e->now_ms;
    node->row.last_heartbeat_ms = e->now_ms;
    node->unsaved = true;
    return true;
}

void node_heartbeat(owm_engine *e, const struct owm_heartbeat_event *event, uint64_t cookie)
{
    e->counters.heartbeats++;
    uint32_t at = node_find(e, event->node_id);
    struct owm_heartbeat_output answer;
    memset(&answer, 0, sizeof(answer));
    if (at == NONE) {
        answer.code = OWM_CODE_UNKNOWN_NODE;
        output(e, OWM_OUTPUT_HEARTBEAT, cookie)->heartbeat = answer;
        return;
    }
    struct node *node = &e->node[at];
    heard(e, at, event, answer.lost, &answer.lost_count);
    node_refresh(e, at);
    answer.status = node->row.status;
    answer.pending_tasks = (uint32_t)e->counters.tasks_pending;
    answer.why = node_why(e, node);
    answer.cooldown_until_ms = node->row.cooldown_until_ms;
    answer.stake_sats = node->row.stake_sats;
    answer.required_stake_sats = stake_required_sats(e, node->row.capabilities.tier);
    answer.degraded_until_ms = stake_degraded_until_ms(e, node);
    memcpy(answer.model_hash, e->model.model_hash, 32);
    answer.round = e->model.round;
    output(e, OWM_OUTPUT_HEARTBEAT, cookie)->heartbeat = answer;
}

void node_stream_opened(owm_engine *e, const struct owm_heartbeat_event *event, uint64_t cookie)
{
    uint32_t at = node_find(e, event->node_id);
    if (at == NONE || event->stream == 0) {
        answer_done(e, cookie, OWM_CODE_UNKNOWN_NODE);
        return;
    }
    struct node *node = &e->node[at];
    uint32_t lost_count;
    heard(e, at, event, NULL, &lost_count);
    if (node->stream == 0) e->counters.nodes_connected++;
    node->stream = event->stream;
    answer_done(e, cookie, OWM_CODE_NONE);
    for (uint32_t i = 0; i < e->running_count; i++) {
        const struct task *task = &e->task[e->running[i]];
        if (task->node == at && !task->acknowledged) task_send(e, e->running[i]);
    }
    node_refresh(e, at);
}

void node_stream_closed(owm_engine *e, const struct owm_stream_closed_event *event)
{
    uint32_t at = node_find(e, event->node_id);
    if (at == NONE || event->stream == 0 || e->node[at].stream != event->stream) return;
    e->node[at].stream = 0;
    e->counters.nodes_connected--;
    node_refresh(e, at);
}

/* Uptime is noted at each persist. A node not heard since our start is not judged before the grace
 * window is over (promise 6). */
static void note_uptime(owm_engine *e, struct node *node)
{
    bool up =
        node->heard && e->now_ms - node->heard_ms <= SILENT_PERIODS * e->config.heartbeat_period_ms;
    if (up || !in_grace(e, e->now_ms))
        owm_reliability_watched(&node->row.reliability, up, e->now_ms - node->watched_ms,
                                e->now_ms);
    node->watched_ms = e->now_ms;
    node->row.reliability_ppm = node_reliability_ppm(node, e->now_ms);
}

/* Readings get old and questions stay unanswered without an event. */
static void place_tick(owm_engine *e, uint32_t at)
{
    const struct node *node = &e->node[at];
    bool waits = node->place == PLACE_STALE && node->pinned.head != NONE;
    if (waits || node_belongs(e, node) != node->place) node_refresh(e, at);
}

void node_tick(owm_engine *e)
{
    if (e->patient) e->schedule_wanted = true;
    bool persist = e->now_ms >= e->persist_ms;
    if (persist) e->persist_ms = e->now_ms + e->config.persist_ms;
    bool grace = in_grace(e, e->now_ms);
    for (uint32_t at = 0; at < e->node_count; at++) {
        struct node *node = &e->node[at];
        slash_tick(e, at);
        if (!node->silent && !grace
            && e->now_ms - node->heard_ms > SILENT_PERIODS * e->config.heartbeat_period_ms) {
            node->silent = true;
            node_refresh(e, at);
        }
        place_tick(e, at);
        if (!persist) continue;
        note_uptime(e, node);
        if (!node->unsaved) continue;
        node->unsaved = false;
        emit_heartbeat(e, node);
        node_refresh(e, at);
    }
}
