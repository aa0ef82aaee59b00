/* world.h: one engine on one store, for tests of single behaviours: every step commits at once. */
#ifndef OWM_TEST_WORLD_H
#define OWM_TEST_WORLD_H

#include "store.h"
#include "test.h"

#define WORLD_OUTPUTS_MAX 4096

struct world {
    struct owm_engine_config config;
    owm_engine *engine;
    struct store store;
    int64_t now_ms;
    struct owm_output *out; /* of the last step */
    size_t out_count;
    uint64_t cookie;
};

/** world_init: the spec's values, stake policy "none"; change world->config before world_start. */
void world_init(struct world *world);
void world_start(struct world *world);
void world_deinit(struct world *world);

/** world_step: step, commit, keep the outputs. Fails the test on a violation. */
void world_step(struct world *world, const struct owm_event *event);
void world_tick(struct world *world, int64_t by_ms);
/** world_crash: drop the engine and start another from the store. */
void world_crash(struct world *world);

void world_id(uint32_t number, uint8_t id[static 16]);
void world_key(uint32_t number, uint8_t key[static 32]);

/** Events of node or task `number`. */
struct owm_event world_registration(uint32_t number, enum owm_tier tier, int64_t stake_sats);
void world_stream(struct world *world, uint32_t number, uint64_t boot_id);
void world_heartbeat(struct world *world, uint32_t number, uint64_t boot_id, bool draining,
                     const struct owm_lease *leases, uint32_t lease_count);
/** world_node: register as T1 with all types and 2 slots, open its stream. */
void world_node(struct world *world, uint32_t number, enum owm_tier tier);
void world_model(struct world *world);
enum owm_code world_submit(struct world *world, uint32_t number, enum owm_task_type type);
/** world_result: output hash is made from the task's number. */
struct owm_result_output world_result(struct world *world, uint32_t task, uint32_t node,
                                      uint64_t token);

/** The n-th output of a kind in the last step; NULL: fewer. */
const struct owm_output *world_out(const struct world *world, enum owm_output_kind kind, size_t n);
const struct owm_dispatch_output *world_dispatched(const struct world *world, uint32_t task);
struct owm_node_view world_view(const struct world *world, uint32_t number);
const struct owm_task_row *world_task(const struct world *world, uint32_t number);

#endif
