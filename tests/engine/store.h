/* store.h: TEST DOUBLE of the database: keeps what effects say, and checks it as it comes.
 *
 * A transaction is applied whole or not at all. Each rule that a row breaks is a violation, whose
 * text begins with the invariant it breaks (I1..I18, state.h of the engine). The first one is kept.
 */
#ifndef OWM_TEST_STORE_H
#define OWM_TEST_STORE_H

#include "controlplane/engine/engine.h"
#include "controlplane/engine/index.h"

struct store {
    struct owm_node_row *node;
    struct owm_task_row *task; /* payload: our own copy */
    struct owm_payable_row *payable;
    struct owm_signal_row *signal;
    struct owm_participant_row *part;
    struct owm_round_row *round; /* [0] is round 1 */
    struct owm_model_row model;
    size_t node_count, task_count, payable_count, signal_count, part_count, round_count;
    size_t node_room, task_room, payable_room, signal_room, part_room, round_room;
    struct index node_by_id, task_by_id, payable_by_id, part_by_id, signal_by_id;
    struct index decided; /* nodes with a decided slashing case */
    bool has_model;
    uint64_t log_sequence;
    int64_t *paid_msat; /* per node, from payables */
    uint64_t completions, transactions, digest;
    char violation[200];
};

void store_init(struct store *store);
void store_deinit(struct store *store);

/** store_decided: maintainers decided a case against this node. */
void store_decided(struct store *store, const uint8_t node_id[static 16]);

/** store_commit: one transaction. */
void store_commit(struct store *store, const struct owm_effect *effects, size_t count);

/** store_restore: fill a fresh engine with what is stored; fails the violation if it is refused. */
void store_restore(struct store *store, owm_engine *engine);

/** store_compare: does the engine hold what is stored (I12)? Heartbeat fields may be newer. */
void store_compare(struct store *store, const owm_engine *engine);

struct owm_task_row *store_task(const struct store *store, const uint8_t id[static 16]);
struct owm_node_row *store_node(const struct store *store, const uint8_t id[static 16]);
struct owm_participant_row *store_part(const struct store *store, uint32_t round,
                                       const uint8_t node_id[static 16]);
const struct owm_payable_row *store_payable(const struct store *store,
                                            const uint8_t source_id[static 16]);
void store_violation(struct store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
