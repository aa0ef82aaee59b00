/* sim_stake.c: what simulated nodes have in their channels, the treasury that is asked about it,
 * and the cases that maintainers decide. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define SWEEP_MS 10000 /* SRS-STAKE-02, in the time of the simulation */
#define SAY_MS   2000  /* a decision is said again until it is stored */
#define APPEAL   20000

static int64_t minimum(const struct sim *sim, uint32_t at)
{
    return sim->engine_config.tier_stake_sats[sim->node[at].tier];
}

void sim_ln_key(const struct sim_node *node, uint8_t key[static 33])
{
    memset(key, 0, 33);
    key[0] = 2;
    memcpy(key + 1, node->key, 16);
    memcpy(key + 17, &node->stake.key_variant, 4);
}

void sim_stake_init(struct sim *sim, uint32_t at)
{
    sim->node[at].stake.sats = minimum(sim, at) * sim_between(sim, 10, 30) / 10;
}

static struct sim_message *worker_message(struct sim *sim, uint32_t at, enum owm_event_kind kind)
{
    struct sim_message *message = sim_message(sim);
    message->generation = sim->generation;
    message->node = at;
    message->event.kind = kind;
    return message;
}

static void read_stake(struct sim *sim, uint32_t at, int64_t delay_ms)
{
    struct sim_message *message = worker_message(sim, at, OWM_EVENT_STAKE);
    struct owm_stake_event *event = &message->event.stake;
    const struct sim_stake *stake = &sim->node[at].stake;
    memcpy(event->node_id, sim->node[at].id, 16);
    event->read_ms = sim->now_ms;
    event->stake_sats = sim->now_ms < stake->confirms_ms ? 0 : stake->sats;
    event->closed = stake->closed;
    sim_later(sim, message, delay_ms);
}

bool sim_treasury_away(const struct sim *sim)
{
    return sim->now_ms < sim->treasury_back_ms;
}

/* The engine asked: soon, late, or never. */
void sim_stake_wanted(struct sim *sim, uint32_t at)
{
    if (sim_treasury_away(sim) || sim_chance(sim, 50)) return;
    read_stake(sim, at, sim_chance(sim, 30) ? sim_between(sim, 200, 15000) : 5);
}

/* It pays, is paid, closes, opens again. */
static void live(struct sim *sim, uint32_t at)
{
    struct sim_stake *stake = &sim->node[at].stake;
    bool low = stake->sats < minimum(sim, at);
    if (!sim_chance(sim, low ? 4 : 1)) return;
    bool leaves = !low && owm_rng_below(&sim->rng, 5) == 0;
    stake->sats = leaves ? 0 : minimum(sim, at) * sim_between(sim, 7, 30) / 10;
    if (stake->closed) stake->confirms_ms = sim->now_ms + sim_between(sim, 0, 10000);
    stake->closed = leaves;
    if (sim->engine && !sim_treasury_away(sim) && owm_rng_below(&sim->rng, 2) == 0)
        read_stake(sim, at, 20); /* the treasury's node told of it */
}

static void say(struct sim *sim, uint32_t at, enum owm_event_kind kind)
{
    struct sim_message *message = worker_message(sim, at, kind);
    memcpy(message->event.slash.node_id, sim->node[at].id, 16);
    snprintf(message->event.slash.reason, OWM_REASON_BYTES, "two maintainers acknowledged it");
    sim_later(sim, message, sim_between(sim, 10, 500));
    sim->node[at].court.next_ms = sim->now_ms + SAY_MS;
}

/* A case is decided on at least one signal, executed, and every other one overturned. */
static void judge(struct sim *sim, uint32_t at)
{
    struct sim_node *node = &sim->node[at];
    struct sim_court *court = &node->court;
    const struct owm_node_row *row = store_node(&sim->store, node->id);
    if (!row || sim->now_ms < court->next_ms) return;
    bool slashed = row->status == OWM_NODE_SUSPENDED && row->cooldown_until_ms != 0;
    switch (court->state) {
    case SIM_CASE_NONE:
        court->next_ms = sim->now_ms + SAY_MS;
        if (slashed) court->state = SIM_CASE_EXECUTED;
        if (slashed || row->signals == 0 || sim->healed) return;
        court->state = SIM_CASE_DECIDED;
        store_decided(&sim->store, node->id);
        return;
    case SIM_CASE_DECIDED:
        say(sim, at, OWM_EVENT_SLASH);
        if (!slashed) return;
        court->state = SIM_CASE_EXECUTED;
        court->next_ms = sim->now_ms + APPEAL;
        return;
    case SIM_CASE_EXECUTED:
        court->state = at % 2 ? SIM_CASE_OVERTURNED : SIM_CASE_CLOSED;
        return;
    case SIM_CASE_OVERTURNED:
        say(sim, at, OWM_EVENT_REINSTATE);
        node->refused = false;
        if (!slashed) court->state = SIM_CASE_CLOSED;
        return;
    case SIM_CASE_CLOSED:
        return;
    }
}

void sim_stake_step(struct sim *sim)
{
    if (sim_chance(sim, 2)) sim->treasury_back_ms = sim->now_ms + sim_between(sim, 1000, 60000);
    bool sweep = sim->now_ms % SWEEP_MS == 0 && !sim_treasury_away(sim);
    for (uint32_t at = 0; at < sim->config.nodes; at++) {
        live(sim, at);
        if (!sim->engine) continue;
        judge(sim, at);
        if (sweep && store_node(&sim->store, sim->node[at].id))
            read_stake(sim, at, sim_between(sim, 10, 2000));
    }
}

/* Everybody has what its tier asks for, and the treasury answers. */
void sim_stake_heal(struct sim *sim)
{
    sim->treasury_back_ms = 0;
    for (uint32_t at = 0; at < sim->config.nodes; at++) {
        struct sim_stake *stake = &sim->node[at].stake;
        stake->closed = false;
        stake->confirms_ms = 0;
        if (stake->sats < minimum(sim, at)) stake->sats = minimum(sim, at);
    }
}
