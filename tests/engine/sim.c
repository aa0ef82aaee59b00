/* sim.c: clock, network, client and the two acts: the bad time, and the healing. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define OUTBOX_MAX  (1u << 20)
#define CHECK_MS    5000
#define ROUNDS_WANT 2

bool sim_chance(struct sim *sim, uint32_t per_mille)
{
    return !sim->healed && owm_rng_below(&sim->rng, 1000) < per_mille;
}

int64_t sim_between(struct sim *sim, int64_t low, int64_t high)
{
    return low + (int64_t)owm_rng_below(&sim->rng, (uint64_t)(high - low + 1));
}

void sim_task_id(uint32_t number, uint8_t id[static 16])
{
    memset(id, 0, 16);
    memcpy(id, &number, 4);
    id[15] = 0x40;
}

struct sim_message *sim_message(struct sim *sim)
{
    struct sim_message *message = calloc(1, sizeof(*message));
    if (!message) abort();
    message->order = ++sim->order;
    return message;
}

void sim_drop(struct sim_message *message)
{
    free(message->verdicts);
    free(message);
}

static bool earlier(const struct sim_message *a, const struct sim_message *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_later(struct sim *sim, struct sim_message *message, int64_t delay_ms)
{
    message->at_ms = sim->now_ms + delay_ms;
    if (sim->heap_count == sim->heap_room) {
        sim->heap_room = sim->heap_room ? 2 * sim->heap_room : 1024;
        if (sim->heap_room > OUTBOX_MAX) abort();
        sim->heap = realloc(sim->heap, sim->heap_room * sizeof(sim->heap[0]));
        if (!sim->heap) abort();
    }
    size_t at = sim->heap_count++;
    while (at > 0 && earlier(message, sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = message;
    sim->messages++;
}

static struct sim_message *take_due(struct sim *sim)
{
    if (sim->heap_count == 0 || sim->heap[0]->at_ms > sim->now_ms) return NULL;
    struct sim_message *first = sim->heap[0];
    struct sim_message *last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count) break;
        if (child + 1 < sim->heap_count && earlier(sim->heap[child + 1], sim->heap[child])) child++;
        if (!earlier(sim->heap[child], last)) break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    if (sim->heap_count > 0) sim->heap[at] = last;
    return first;
}

/* Copies share nothing: pointers into the message itself are set anew when it is delivered. */
void sim_send(struct sim *sim, struct sim_message *message)
{
    if (sim_chance(sim, 50)) {
        sim_drop(message);
        return;
    }
    if (sim_chance(sim, 50)) {
        struct sim_message *twin = sim_message(sim);
        uint64_t order = twin->order;
        *twin = *message;
        twin->order = order;
        sim_later(sim, twin, sim_between(sim, 1, 10000));
    }
    int64_t longest_ms = sim_chance(sim, 30) ? 20000 : 300;
    sim_later(sim, message, sim_between(sim, 1, longest_ms));
}

static void deliver(struct sim *sim)
{
    struct sim_message *message;
    while ((message = take_due(sim)) != NULL) {
        if (message->to_node) {
            sim_node_receive(sim, message->node, &message->output);
            sim_drop(message);
            continue;
        }
        if (!sim->engine) { /* nobody listens */
            sim_drop(message);
            continue;
        }
        enum owm_event_kind kind = message->event.kind;
        if (kind == OWM_EVENT_HEARTBEAT || kind == OWM_EVENT_STREAM_OPENED)
            message->event.heartbeat.leases = message->lease;
        if (sim->inbox_count == sim->inbox_room) {
            sim->inbox_room = sim->inbox_room ? 2 * sim->inbox_room : 256;
            sim->inbox = realloc(sim->inbox, sim->inbox_room * sizeof(sim->inbox[0]));
            if (!sim->inbox) abort();
        }
        sim->inbox[sim->inbox_count++] = message;
    }
}

/* A client submits a task, now and then one that it has submitted before. */
static void submit(struct sim *sim)
{
    static const uint8_t payload[16] = "what is a sat?";
    static const enum owm_task_type types[] = {OWM_TASK_INFERENCE,    OWM_TASK_INFERENCE,
                                               OWM_TASK_AUDIT_REPO,   OWM_TASK_DATA_INGEST,
                                               OWM_TASK_GRADIENT_AGG, OWM_TASK_EMBED_DATA};
    bool again = sim->submitted > 0 && owm_rng_below(&sim->rng, 10) == 0;
    uint32_t number = again ? sim->submitted : ++sim->submitted;
    struct sim_message *message = sim_message(sim);
    message->event.kind = OWM_EVENT_SUBMIT;
    struct owm_submit_event *event = &message->event.submit;
    sim_task_id(number, event->task_id);
    event->type = types[number % 6];
    event->timeout_ms = (uint32_t)sim_between(sim, 10000, 40000);
    event->payload = payload;
    event->payload_bytes = sizeof(payload);
    sim_send(sim, message);
}

static void client(struct sim *sim)
{
    if (sim->healed && sim->now_ms > sim->healed_ms + 10000) return;
    for (uint64_t count = owm_rng_below(&sim->rng, 8); count > 0; count--) submit(sim);
}

static void faults(struct sim *sim)
{
    if (sim->engine && sim_chance(sim, 3)) sim_coordinator_crash(sim);
    if (sim_chance(sim, 3)) {
        sim->store_back_ms = sim->now_ms + sim_between(sim, 500, 8000);
        sim->outages++;
    }
    for (uint32_t i = 0; i < sim->config.nodes; i++)
        if (sim->node[i].up && sim_chance(sim, 1)) sim_node_crash(sim, i);
}

static void tick(struct sim *sim)
{
    sim->now_ms += SIM_TICK_MS;
    if (!sim->healed) faults(sim);
    for (uint32_t i = 0; i < sim->config.nodes; i++) sim_node_step(sim, i);
    sim_stake_step(sim);
    client(sim);
    deliver(sim);
    sim_coordinator_step(sim);
    if (sim->now_ms % 1000 == 0) sim_check_idle(sim);
    if (sim->now_ms % CHECK_MS == 0 && sim->engine && !sim->unsaved)
        store_compare(&sim->store, sim->engine);
}

static uint32_t rounds_complete(const struct sim *sim)
{
    uint32_t count = 0;
    for (size_t i = 0; i < sim->store.round_count; i++)
        count += sim->store.round[i].state == OWM_ROUND_COMPLETE;
    return count;
}

/* All work is at an end, and what was submitted after the healing was done. */
static bool all_finished(const struct sim *sim)
{
    for (size_t i = 0; i < sim->store.task_count; i++) {
        const struct owm_task_row *task = &sim->store.task[i];
        if (task->type == OWM_TASK_FL_ROUND) continue;
        if (task->state == OWM_TASK_STATE_PENDING || task->state == OWM_TASK_STATE_RUNNING)
            return false;
    }
    return true;
}

static void check_healed_tasks(struct sim *sim)
{
    for (uint32_t number = sim->first_healed_task; number <= sim->submitted; number++) {
        uint8_t id[16];
        sim_task_id(number, id);
        const struct owm_task_row *task = store_task(&sim->store, id);
        if (!task || task->state != OWM_TASK_STATE_COMPLETED)
            store_violation(&sim->store, "I9: task %u of after the healing is %s", number,
                            task ? owm_task_state_name(task->state) : "unknown");
    }
}

static void settle(struct sim *sim, int64_t for_ms)
{
    int64_t end_ms = sim->now_ms + for_ms;
    while (sim->now_ms < end_ms && !sim->store.violation[0]) {
        sim->healed_ms = sim->now_ms + SIM_TICK_MS;
        tick(sim);
    }
}

static void heal(struct sim *sim)
{
    sim->healed = true;
    sim->healed_ms = sim->now_ms;
    sim->store_back_ms = sim->restart_ms = 0;
    sim_stake_heal(sim);
    uint32_t rounds = rounds_complete(sim);
    /* Leases and messages of the bad time first run out, and streams that only one side has, or
     * that a late message put back, are found dead; only then is everything promised. */
    settle(sim, 30000);
    for (uint32_t i = 0; i < sim->config.nodes; i++) sim->node[i].stream = 0;
    settle(sim, 1000);
    sim->first_healed_task = sim->submitted + 1;
    int64_t end_ms = sim->now_ms + sim->config.heal_ms;
    while (sim->now_ms < end_ms && !sim->store.violation[0]) {
        tick(sim);
        if (sim->now_ms > sim->healed_ms + 15000 && rounds_complete(sim) >= rounds + ROUNDS_WANT
            && all_finished(sim))
            break;
    }
    if (rounds_complete(sim) < rounds + ROUNDS_WANT)
        store_violation(&sim->store, "I9: healed for %lld s, but no %d rounds were completed",
                        (long long)sim->config.heal_ms / 1000, ROUNDS_WANT);
    if (!all_finished(sim)) store_violation(&sim->store, "I9: healed, but tasks are unfinished");
    check_healed_tasks(sim);
}

static void configure(struct sim *sim)
{
    struct owm_engine_config *c = &sim->engine_config;
    owm_engine_defaults(c);
    memcpy(c->seed, &sim->config.seed, 8);
    c->heartbeat_period_ms = 5000;
    c->persist_ms = 2000;
    c->grace_ms = 15000;
    c->lease_ms = 20000;
    c->ageing_ms = 10000;
    c->stake_fresh_ms = 3000;
    c->stake_retry_ms = 1000;
    c->degraded_ms = 40000;
    c->nodes_max = sim->config.nodes;
    c->tasks_max = 2048;
    c->finished_max = 4096; /* a treasury that comes back ends a jam of tasks */
    c->proofs_wanted = true;
    c->rounds.participants_max = 64;
    c->rounds.min_participants = 8;
    c->rounds.quorum_percent = 50;
    c->rounds.deadline_ms = 60000;
    c->rounds.deadline_min_ms = 10000;
    c->rounds.pause_ms = 2000;
    c->rounds.verify_wait_ms = 20000;
}

/* The last word: every sat adds up over the whole network (I3), poisoners got none for poison. */
static void check_ledger(struct sim *sim)
{
    int64_t earned = 0;
    int64_t owed = 0;
    int64_t rewards = 0;
    for (size_t i = 0; i < sim->store.node_count; i++) earned += sim->store.node[i].earned_msat;
    for (size_t i = 0; i < sim->store.payable_count; i++) owed += sim->store.payable[i].amount_msat;
    for (size_t i = 0; i < sim->store.task_count; i++)
        if (sim->store.task[i].state == OWM_TASK_STATE_COMPLETED)
            rewards += sim->store.task[i].reward_msat;
    if (earned != owed || owed != rewards)
        store_violation(&sim->store, "I3: earned %lld, owed %lld, rewards %lld msat",
                        (long long)earned, (long long)owed, (long long)rewards);
}

void sim_run(struct sim *sim, const struct sim_config *config)
{
    memset(sim, 0, sizeof(*sim));
    sim->config = *config;
    owm_rng_seed(&sim->rng, config->seed);
    sim->now_ms = 1700000000000;
    store_init(&sim->store);
    configure(sim);
    sim->node = calloc(config->nodes, sizeof(sim->node[0]));
    if (!sim->node) abort();
    for (uint32_t i = 0; i < config->nodes; i++) sim_node_init(sim, i);
    int64_t end_ms = sim->now_ms + config->faulty_ms;
    while (sim->now_ms < end_ms && !sim->store.violation[0]) tick(sim);
    if (!sim->store.violation[0]) heal(sim);
    if (!sim->store.violation[0]) check_ledger(sim);
}

void sim_free(struct sim *sim)
{
    owm_engine_destroy(sim->engine);
    for (size_t i = 0; i < sim->inbox_count; i++) sim_drop(sim->inbox[i]);
    for (size_t i = 0; i < sim->heap_count; i++) sim_drop(sim->heap[i]);
    free(sim->inbox);
    free(sim->heap);
    free(sim->node);
    store_deinit(&sim->store);
}
