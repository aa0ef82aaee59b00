/* sim_node.c: what a simulated node does: registers, reports, works, retries, crashes. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define RETRY_MS 3000

void sim_node_init(struct sim *sim, uint32_t at)
{
    struct sim_node *node = &sim->node[at];
    uint32_t number = at + 1;
    memcpy(node->id, &number, 4);
    node->id[15] = 0x80;
    uint64_t mixed = number * 0x9e3779b97f4a7c15u;
    memcpy(node->key, &mixed, 8);
    memcpy(node->key + 8, &number, 4);
    node->tier = at % 10 == 0 ? OWM_TIER_T3 : at % 3 == 0 ? OWM_TIER_T2 : OWM_TIER_T1;
    node->types = at % 7 == 0 ? 1u << OWM_TASK_INFERENCE : (1u << OWM_TASK_TYPES) - 1;
    node->slots = 1 + at % SIM_SLOTS_MAX;
    uint64_t dice = owm_rng_below(&sim->rng, 100);
    node->character = dice < 70   ? SIM_HONEST
                      : dice < 76 ? SIM_POISONER
                      : dice < 82 ? SIM_FAKER
                      : dice < 88 ? SIM_SLOW
                      : dice < 94 ? SIM_FLAKY
                                  : SIM_MALFORMED;
    node->up_ms = sim->now_ms + sim_between(sim, 0, 20000);
    sim_stake_init(sim, at);
}

static struct sim_message *to_coordinator(struct sim *sim, uint32_t at, enum owm_event_kind kind)
{
    struct sim_message *message = sim_message(sim);
    message->event.kind = kind;
    message->event.cookie = (uint64_t)at << 32;
    message->node = at;
    return message;
}

static void fill_heartbeat(struct sim_node *node, struct sim_message *message)
{
    struct owm_heartbeat_event *event = &message->event.heartbeat;
    memcpy(event->node_id, node->id, 16);
    event->boot_id = node->boot_id;
    event->draining = node->draining;
    event->free_slots = node->slots;
    for (uint32_t i = 0; i < node->slots; i++) {
        const struct sim_work *work = &node->work[i];
        if (!work->used) continue;
        event->free_slots--;
        struct owm_lease *lease = &message->lease[event->lease_count++];
        memcpy(lease->task_id, work->task.task_id, 16);
        lease->lease_token = work->task.lease_token;
    }
    event->leases = message->lease;
}

static void send_registration(struct sim *sim, uint32_t at)
{
    struct sim_node *node = &sim->node[at];
    node->register_ms = sim->now_ms + RETRY_MS;
    if (sim_treasury_away(sim)) return; /* the service cannot look, and says: try again */
    struct sim_message *message = to_coordinator(sim, at, OWM_EVENT_REGISTER);
    struct owm_register_event *event = &message->event.reg;
    memcpy(event->node_id, node->id, 16);
    memcpy(event->public_key, node->key, 32);
    event->capabilities.tier = node->tier;
    event->capabilities.task_types = node->types;
    event->capabilities.slots = node->slots;
    bool thief = at % 50 == 13 && node->stake.key_variant == 0; /* tries its neighbour's key */
    sim_ln_key(thief ? &sim->node[at - 1] : node, event->ln_key);
    event->stake_read_ms = sim->now_ms;
    event->stake_pending = sim->now_ms < node->stake.confirms_ms;
    event->stake_sats = event->stake_pending ? 0 : node->stake.sats;
    sim_send(sim, message);
}

static void send_result(struct sim *sim, uint32_t at, uint32_t slot)
{
    struct sim_node *node = &sim->node[at];
    struct sim_work *work = &node->work[slot];
    bool fake =
        node->character == SIM_FAKER && !sim->healed && work->task.type != OWM_TASK_FL_ROUND;
    bool error = node->character == SIM_FLAKY && !sim->healed && work->task.task_id[0] % 3 == 0;
    struct sim_message *message =
        to_coordinator(sim, at, fake ? OWM_EVENT_RESULT_REFUSED : OWM_EVENT_RESULT);
    message->event.cookie |= (uint64_t)work->serial << 8 | slot;
    if (fake) {
        struct owm_result_refused_event *event = &message->event.refused;
        memcpy(event->task_id, work->task.task_id, 16);
        memcpy(event->node_id, node->id, 16);
        event->lease_token = work->task.lease_token;
        event->code = OWM_CODE_HASH_MISMATCH;
        memcpy(event->evidence_hash, work->task.task_id, 16);
        event->evidence_hash[31] = 1;
    } else {
        struct owm_result_event *event = &message->event.result;
        memcpy(event->task_id, work->task.task_id, 16);
        memcpy(event->node_id, node->id, 16);
        event->lease_token = work->task.lease_token;
        event->error = error ? "the card fell off the bus" : NULL;
        memcpy(event->output_hash, work->task.task_id, 16);
        memcpy(event->output_hash + 16, node->id, 16);
        memcpy(event->package_hash, event->output_hash, 32);
        event->package_hash[31] = (uint8_t)node->character;
        event->package_bytes = 1000;
    }
    work->send_ms = sim->now_ms + RETRY_MS;
    sim_send(sim, message);
}

static void connect_stream(struct sim *sim, uint32_t at)
{
    struct sim_node *node = &sim->node[at];
    struct sim_message *message = to_coordinator(sim, at, OWM_EVENT_STREAM_OPENED);
    fill_heartbeat(node, message);
    node->stream = ++sim->streams;
    message->event.heartbeat.stream = node->stream;
    sim_send(sim, message);
}

static void close_stream(struct sim *sim, uint32_t at)
{
    struct sim_node *node = &sim->node[at];
    struct sim_message *message = to_coordinator(sim, at, OWM_EVENT_STREAM_CLOSED);
    memcpy(message->event.closed.node_id, node->id, 16);
    message->event.closed.stream = node->stream;
    node->stream = 0;
    node->stream_ms = sim->now_ms + sim_between(sim, 0, 3000);
    sim_send(sim, message);
}

void sim_node_crash(struct sim *sim, uint32_t at)
{
    struct sim_node *node = &sim->node[at];
    if (node->stream != 0 && sim_chance(sim, 500)) close_stream(sim, at); /* else: power loss */
    node->stream = 0;
    node->up = false;
    node->up_ms = sim->now_ms + sim_between(sim, 500, 60000);
    bool keeps_work = owm_rng_below(&sim->rng, 2) == 0; /* its task log survived */
    if (!keeps_work) memset(node->work, 0, sizeof(node->work));
}

static void boot(struct sim *sim, struct sim_node *node)
{
    node->up = true;
    node->boot_id = ++sim->boots;
    node->draining = false;
    node->registered = false;
    node->register_ms = node->stream_ms = sim->now_ms;
}

void sim_node_step(struct sim *sim, uint32_t at)
{
    struct sim_node *node = &sim->node[at];
    if (!node->up) {
        if (sim->now_ms >= node->up_ms || sim->healed) boot(sim, node);
        return;
    }
    if (sim->now_ms >= node->register_ms && !node->registered && !node->refused)
        send_registration(sim, at);
    if (!node->registered) return;
    if (node->stream == 0 && sim->now_ms >= node->stream_ms) connect_stream(sim, at);
    if (sim->now_ms >= node->heartbeat_ms) {
        struct sim_message *message = to_coordinator(sim, at, OWM_EVENT_HEARTBEAT);
        if (sim_chance(sim, 20)) node->draining = !node->draining;
        if (sim->healed) node->draining = false;
        fill_heartbeat(node, message);
        node->heartbeat_ms = sim->now_ms + sim->engine_config.heartbeat_period_ms;
        sim_send(sim, message);
    }
    for (uint32_t slot = 0; slot < node->slots; slot++) {
        struct sim_work *work = &node->work[slot];
        if (work->used && sim->now_ms >= work->done_ms && sim->now_ms >= work->send_ms)
            send_result(sim, at, slot);
    }
    if (node->stream != 0 && sim_chance(sim, 1)) close_stream(sim, at);
}

static bool knows(const struct sim_node *node, const struct owm_dispatch_output *task)
{
    for (uint32_t i = 0; i < node->slots; i++)
        if (node->work[i].used && memcmp(node->work[i].task.task_id, task->task_id, 16) == 0
            && node->work[i].task.lease_token >= task->lease_token)
            return true;
    for (uint32_t i = 0; i < SIM_DONE_KEPT; i++)
        if (memcmp(node->done[i].task_id, task->task_id, 16) == 0
            && node->done[i].lease_token >= task->lease_token)
            return true;
    return false;
}

static void take_task(struct sim *sim, struct sim_node *node,
                      const struct owm_dispatch_output *task)
{
    if (task->stream != node->stream || knows(node, task)) return;
    for (uint32_t i = 0; i < node->slots; i++) {
        struct sim_work *work = &node->work[i];
        if (work->used && memcmp(work->task.task_id, task->task_id, 16) != 0) continue;
        memset(work, 0, sizeof(*work));
        work->task = *task;
        work->serial = ++sim->serials & 0xffffff;
        work->used = true;
        bool delta = task->type == OWM_TASK_FL_ROUND;
        int64_t takes_ms = delta ? sim_between(sim, 3000, 15000) : sim_between(sim, 200, 4000);
        if (node->character == SIM_SLOW) takes_ms *= 6;
        work->done_ms = sim->now_ms + takes_ms;
        return;
    }
}

static void forget(struct sim_node *node, struct sim_work *work)
{
    struct owm_lease *done = &node->done[node->done_next++ % SIM_DONE_KEPT];
    memcpy(done->task_id, work->task.task_id, 16);
    done->lease_token = work->task.lease_token;
    work->used = false;
}

static void hear_result(struct sim *sim, struct sim_node *node, const struct owm_output *output)
{
    struct sim_work *work = &node->work[output->cookie & 0xff];
    if (!work->used || work->serial != (output->cookie >> 8 & 0xffffff)) return;
    const struct owm_task_row *row = store_task(&sim->store, work->task.task_id);
    bool error = node->character == SIM_FLAKY && work->task.task_id[0] % 3 == 0;
    if (output->result.accepted && !error && (!row || row->state != OWM_TASK_STATE_COMPLETED))
        store_violation(&sim->store, "I12: an acknowledged result is not stored");
    if (output->result.accepted && !error && row && row->lease_token != work->task.lease_token)
        store_violation(&sim->store, "I4: the result of an old lease was accepted");
    forget(node, work);
}

static void hear_heartbeat(struct sim *sim, struct sim_node *node,
                           const struct owm_heartbeat_output *answer)
{
    if (answer->code == OWM_CODE_UNKNOWN_NODE) {
        store_violation(&sim->store, "I12: an acknowledged registration was forgotten");
        return;
    }
    for (uint32_t i = 0; i < answer->lost_count; i++)
        for (uint32_t k = 0; k < node->slots; k++)
            if (node->work[k].used && !node->work[k].done
                && memcmp(node->work[k].task.task_id, answer->lost[i], 16) == 0
                && sim->now_ms < node->work[k].done_ms)
                node->work[k].used = false; /* stop working on it */
}

void sim_node_receive(struct sim *sim, uint32_t at, const struct owm_output *output)
{
    struct sim_node *node = &sim->node[at];
    if (!node->up) return;
    switch (output->kind) {
    case OWM_OUTPUT_REGISTERED:
        node->registered = output->registered.code == OWM_CODE_NONE;
        node->refused = output->registered.code == OWM_CODE_COOLDOWN;
        if (output->registered.code == OWM_CODE_LN_KEY_BOUND) node->stake.key_variant++;
        if (node->registered && !store_node(&sim->store, node->id))
            store_violation(&sim->store, "I12: an acknowledged registration is not stored");
        break;
    case OWM_OUTPUT_HEARTBEAT:
        hear_heartbeat(sim, node, &output->heartbeat);
        break;
    case OWM_OUTPUT_RESULT:
        hear_result(sim, node, output);
        break;
    case OWM_OUTPUT_DISPATCH:
        take_task(sim, node, &output->dispatch);
        break;
    default:
        break;
    }
}
