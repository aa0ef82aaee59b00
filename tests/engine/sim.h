/* sim.h: a thousand nodes, a network that loses, delays, doubles and reorders, a coordinator that
 * dies at any moment and a database that goes away, all from one seed and on a clock of its own.
 *
 * Nodes spend from their stake channels, close and open them; the treasury's Lightning node answers
 * late, never, or is away for a while; maintainers decide cases and overturn some. A day of grace
 * for the stake is 40 s here. Calendars promise a block for a checkpoint seconds after it was made.
 *
 * The engine is the real one; store.h stands for the database. Checks: rows as they are committed
 * (store.c), every dispatch (I7, I8, I13), what happens to nodes (I14 to I16), idle nodes beside
 * waiting tasks (I9), what was acknowledged (I12), and after `heal` that everything gets finished
 * (I9).
 */
#ifndef OWM_TEST_SIM_H
#define OWM_TEST_SIM_H

#include "base/rng.h"
#include "store.h"

#define SIM_TICK_MS   100
#define SIM_SLOTS_MAX 4
#define SIM_DONE_KEPT 16

/** A fault put between engine and store, or engine and network, that a checker must find: its
 *  number is that of the invariant. 0: none. */
enum sim_plant { PLANT_NONE = 0, PLANT_FIRST = 1, PLANT_LAST = 18 };

struct sim_config {
    uint64_t seed;
    uint32_t nodes;
    int64_t faulty_ms, heal_ms; /* length of the bad time, and the most the healing may take */
    int plant;
};

enum sim_character { SIM_HONEST, SIM_POISONER, SIM_FAKER, SIM_SLOW, SIM_FLAKY, SIM_MALFORMED };

struct sim_work {
    struct owm_dispatch_output task;
    bool used, done;
    int64_t done_ms, send_ms;
    uint32_t serial;
};

/* A node's channels, and the newest reading that the engine was told of. */
struct sim_stake {
    int64_t sats;
    int64_t confirms_ms; /* what it opened counts from then on */
    bool closed;
    uint32_t key_variant; /* of its LN key */
    int64_t read_ms, read_sats;
    int64_t low_since_ms; /* first of the readings in a row that showed too little; 0: none */
};

/* The slashing case of a node; this outlives the coordinator. */
struct sim_court {
    enum {
        SIM_CASE_NONE,
        SIM_CASE_DECIDED,
        SIM_CASE_EXECUTED,
        SIM_CASE_OVERTURNED,
        SIM_CASE_CLOSED
    } state;
    int64_t next_ms;
};

struct sim_node {
    uint8_t id[16], key[32];
    enum sim_character character;
    enum owm_tier tier;
    uint32_t types, slots;
    bool up, registered, draining, refused;
    uint64_t boot_id, stream;
    int64_t up_ms, register_ms, stream_ms, heartbeat_ms;
    struct sim_work work[SIM_SLOTS_MAX];
    struct owm_lease done[SIM_DONE_KEPT];
    uint32_t done_next;
    struct sim_stake stake;
    struct sim_court court;
    struct owm_node_row seen; /* as the engine wrote it last */
};

/* A message on its way: an event for the coordinator or an output for a node. */
struct sim_message {
    int64_t at_ms;
    uint64_t order;
    bool to_node;
    uint32_t node;
    uint64_t generation; /* of the coordinator, for work that dies with it; 0: any */
    struct owm_event event;
    struct owm_output output;
    struct owm_lease lease[SIM_SLOTS_MAX];
    struct owm_verdict *verdicts; /* owned */
};

struct sim {
    struct sim_config config;
    struct owm_engine_config engine_config;
    struct owm_rng rng;
    int64_t now_ms, healed_ms;
    bool healed;
    struct sim_node *node;
    struct store store;

    owm_engine *engine; /* NULL: the coordinator is down */
    uint64_t generation;
    int64_t restart_ms, store_back_ms, treasury_back_ms;
    bool waits[OWM_TASK_TYPES][OWM_TIERS + 1]; /* beside a free node, when last looked at */
    bool unsaved;                              /* stepped, not committed */
    struct sim_message **inbox;
    size_t inbox_count, inbox_room, batch_count;

    struct sim_message **heap;
    size_t heap_count, heap_room;
    uint64_t order, streams, boots;
    uint32_t serials;
    uint32_t submitted; /* tasks of the client, numbered from 1 */
    uint32_t first_healed_task;
    struct owm_proven_event proven; /* the newest checkpoint that calendars promised a block for */

    bool planted;
    uint64_t steps, crashes, restarts, messages, step_ns, outages;
    uint64_t degraded, left, unstaked, slashed, reinstated; /* how often that happened to a node */
};

/** sim_run: the whole story. The first violation is in sim->store.violation; empty: none. */
void sim_run(struct sim *sim, const struct sim_config *config);
void sim_free(struct sim *sim);

/* sim_node.c */
void sim_node_init(struct sim *sim, uint32_t at);
void sim_node_step(struct sim *sim, uint32_t at);
void sim_node_receive(struct sim *sim, uint32_t at, const struct owm_output *output);
void sim_node_crash(struct sim *sim, uint32_t at);

/* sim_coordinator.c */
void sim_coordinator_step(struct sim *sim);
void sim_coordinator_crash(struct sim *sim);

/* sim_stake.c */
void sim_ln_key(const struct sim_node *node, uint8_t key[static 33]);
void sim_stake_init(struct sim *sim, uint32_t at);
void sim_stake_step(struct sim *sim);
void sim_stake_heal(struct sim *sim);
void sim_stake_wanted(struct sim *sim, uint32_t at);
bool sim_treasury_away(const struct sim *sim);

/* sim_check.c */
void sim_check_event(struct sim *sim, const struct owm_event *event,
                     const struct owm_output *outputs, size_t from, size_t to);
void sim_check_outputs(struct sim *sim, const struct owm_output *outputs, size_t from, size_t to);
void sim_check_effects(struct sim *sim, const struct owm_event *event,
                       const struct owm_effect *effects, size_t from, size_t to);
void sim_check_restart(struct sim *sim);
void sim_check_idle(struct sim *sim);

/* sim.c */
bool sim_chance(struct sim *sim, uint32_t per_mille); /* never once healed */
int64_t sim_between(struct sim *sim, int64_t low, int64_t high);
struct sim_message *sim_message(struct sim *sim);
void sim_send(struct sim *sim, struct sim_message *message); /* over the bad network; takes it */
void sim_later(struct sim *sim, struct sim_message *message, int64_t delay_ms); /* surely; takes */
void sim_drop(struct sim_message *message);
void sim_task_id(uint32_t number, uint8_t id[static 16]);

#endif
