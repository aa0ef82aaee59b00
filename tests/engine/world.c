/* world.c: one engine on one store. */
#include "world.h"

void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
    owm_engine_defaults(&world->config);
    world->config.stake = OWM_ENGINE_STAKE_NONE;
    world->config.nodes_max = 128;
    world->config.tasks_max = 256;
    world->config.finished_max = 128;
    world->config.rounds.enabled = false;
    world->now_ms = 1700000000000;
    store_init(&world->store);
}

void world_start(struct world *world)
{
    struct owm_error error;
    owm_status status = owm_engine_create(&world->config, &world->engine, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
    store_restore(&world->store, world->engine);
    owm_engine_start(world->engine, world->now_ms);
    store_compare(&world->store, world->engine);
    if (world->store.violation[0]) fail_msg("%s", world->store.violation);
}

void world_deinit(struct world *world)
{
    owm_engine_destroy(world->engine);
    store_deinit(&world->store);
    free(world->out);
}

static void commit(struct world *world)
{
    size_t count;
    const struct owm_effect *effects = owm_engine_effects(world->engine, &count);
    store_commit(&world->store, effects, count);
    const struct owm_output *outputs = owm_engine_outputs(world->engine, &count);
    free(world->out);
    world->out = calloc(count + 1, sizeof(world->out[0]));
    assert_non_null(world->out);
    if (count > 0) memcpy(world->out, outputs, count * sizeof(world->out[0]));
    world->out_count = count;
    owm_engine_clear(world->engine);
    store_compare(&world->store, world->engine);
    if (world->store.violation[0]) fail_msg("%s", world->store.violation);
}

void world_step(struct world *world, const struct owm_event *event)
{
    struct owm_event numbered = *event;
    numbered.cookie = ++world->cookie;
    owm_engine_step(world->engine, &numbered, world->now_ms);
    commit(world);
}

void world_tick(struct world *world, int64_t by_ms)
{
    world->now_ms += by_ms;
    world_step(world, &(struct owm_event){.kind = OWM_EVENT_TICK});
}

void world_crash(struct world *world)
{
    owm_engine_destroy(world->engine);
    world_start(world);
    commit(world);
}

void world_id(uint32_t number, uint8_t id[static 16])
{
    memset(id, 0, 16);
    memcpy(id, &number, sizeof(number));
    id[15] = 1;
}

void world_key(uint32_t number, uint8_t key[static 32])
{
    memset(key, 0, 32);
    memcpy(key, &number, sizeof(number));
    key[31] = 2;
}

struct owm_event world_registration(uint32_t number, enum owm_tier tier, int64_t stake_sats)
{
    struct owm_event event = {.kind = OWM_EVENT_REGISTER};
    world_id(number, event.reg.node_id);
    world_key(number, event.reg.public_key);
    event.reg.capabilities.tier = tier;
    event.reg.capabilities.task_types = (1u << OWM_TASK_TYPES) - 1;
    event.reg.capabilities.slots = 2;
    event.reg.ln_key[0] = 2;
    world_key(number, event.reg.ln_key + 1);
    event.reg.stake_sats = stake_sats;
    return event;
}

void world_stream(struct world *world, uint32_t number, uint64_t boot_id)
{
    struct owm_event event = {.kind = OWM_EVENT_STREAM_OPENED};
    world_id(number, event.heartbeat.node_id);
    event.heartbeat.stream = 1000 + world->cookie;
    event.heartbeat.boot_id = boot_id;
    event.heartbeat.free_slots = 2;
    world_step(world, &event);
}

void world_heartbeat(struct world *world, uint32_t number, uint64_t boot_id, bool draining,
                     const struct owm_lease *leases, uint32_t lease_count)
{
    struct owm_event event = {.kind = OWM_EVENT_HEARTBEAT};
    world_id(number, event.heartbeat.node_id);
    event.heartbeat.boot_id = boot_id;
    event.heartbeat.free_slots = 2 - (lease_count < 2 ? lease_count : 2);
    event.heartbeat.draining = draining;
    event.heartbeat.leases = leases;
    event.heartbeat.lease_count = lease_count;
    world_step(world, &event);
}

void world_node(struct world *world, uint32_t number, enum owm_tier tier)
{
    struct owm_event event = world_registration(number, tier, 2000000);
    world_step(world, &event);
    world_stream(world, number, 1);
}

void world_model(struct world *world)
{
    struct owm_event event = {.kind = OWM_EVENT_MODEL};
    snprintf(event.model.version, sizeof(event.model.version), "owm-r0");
    event.model.model_hash[0] = 7;
    event.model.model_bytes = 1000;
    world_step(world, &event);
}

enum owm_code world_submit(struct world *world, uint32_t number, enum owm_task_type type)
{
    static const uint8_t payload[4] = "abc";
    struct owm_event event = {.kind = OWM_EVENT_SUBMIT};
    world_id(number, event.submit.task_id);
    event.submit.type = type;
    event.submit.payload = payload;
    event.submit.payload_bytes = sizeof(payload);
    world_step(world, &event);
    return world_out(world, OWM_OUTPUT_SUBMITTED, 0)->submitted.code;
}

struct owm_result_output world_result(struct world *world, uint32_t task, uint32_t node,
                                      uint64_t token)
{
    struct owm_event event = {.kind = OWM_EVENT_RESULT};
    world_id(task, event.result.task_id);
    world_id(node, event.result.node_id);
    event.result.lease_token = token;
    world_key(task, event.result.output_hash);
    world_step(world, &event);
    return world_out(world, OWM_OUTPUT_RESULT, 0)->result;
}

const struct owm_output *world_out(const struct world *world, enum owm_output_kind kind, size_t n)
{
    for (size_t i = 0; i < world->out_count; i++)
        if (world->out[i].kind == kind && n-- == 0) return &world->out[i];
    return NULL;
}

const struct owm_dispatch_output *world_dispatched(const struct world *world, uint32_t task)
{
    uint8_t id[16];
    world_id(task, id);
    for (size_t n = 0;; n++) {
        const struct owm_output *out = world_out(world, OWM_OUTPUT_DISPATCH, n);
        if (!out) return NULL;
        if (memcmp(out->dispatch.task_id, id, 16) == 0) return &out->dispatch;
    }
}

struct owm_node_view world_view(const struct world *world, uint32_t number)
{
    uint8_t id[16];
    world_id(number, id);
    int64_t at = owm_engine_find_node(world->engine, id);
    assert_true(at >= 0);
    struct owm_node_view view;
    owm_engine_node(world->engine, (uint32_t)at, world->now_ms, &view);
    return view;
}

const struct owm_task_row *world_task(const struct world *world, uint32_t number)
{
    uint8_t id[16];
    world_id(number, id);
    return owm_engine_find_task(world->engine, id);
}
