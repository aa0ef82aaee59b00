/* state.h: what the engine holds, and what its files offer each other. Not for other folders.
 *
 * Invariants (numbers of the simulator, tests/engine/sim_check.c):
 *  I1  a task is completed at most once: `finish` takes it out of the running list for good.
 *  I4  only the newest token, in state running, from the holder, changes a task (lease_holder).
 *  I5  no signal without evidence (signal_raise).
 *  I6  a task's token strictly grows (task_dispatch is the only place that changes it).
 *  I7  a node that is draining, silent, unconnected or not active is in no place of nodes that may
 *      get tasks, and only nodes of PLACE_FREE, or their pinned tasks, are dispatched to
 *      (node_refresh).
 *  I8  a dispatch never exceeds tier, types or slots of a node.
 *  I11 a payable is made only for a completed task that needs no verdict, or an included delta.
 *  I13 with stake policy "lightning" a dispatch needs a reading of the node's stake that is not
 *      older than stake_fresh_ms and shows its tier's minimum (task_dispatch).
 *  I14 a node is suspended for its stake only by a reading that still shows too little degraded_ms
 *      after the one that degraded it, and not in the grace window (stake.c). No cooldown.
 *  I15 only a reading degrades, and not in the grace window: a treasury that does not answer leaves
 *      everybody as they are.
 *  I16 who is suspended with a cooldown misbehaved: enough signals (T1), or a decided case; only a
 *      registration after the cooldown, or REINSTATE, lifts it (signal.c).
 *  I17 an LN key is bound to one node at most (bind_ln_key).
 *  I18 where proofs are wanted, a round opens only on a checkpoint that may be trained (model.c).
 *
 * A task:  pending --dispatch--> running --result--> completed
 *             ^--lease ended, failed, node restarted--|   `--attempts used up, round closed,
 *                                                          cancelled--> failed | timeout
 */
#ifndef OWM_ENGINE_STATE_H
#define OWM_ENGINE_STATE_H

#include "controlplane/engine/engine.h"
#include "controlplane/engine/index.h"

#define NONE            UINT32_MAX
#define SILENT_PERIODS  3
#define SIGNALS_KEPT    8
#define ARRIVALS_KEPT   256
#define ARRIVALS_NEEDED 8 /* below, the hard deadline stands alone */
#define LANES           (OWM_TASK_TYPES * OWM_TIERS)

#define STAKE_ASKED_MAX   256 /* readings that are waited for at a time */
#define STAKE_PATIENCE_MS 250 /* a task waits this long for the reading of a better node */

/* Doubly linked list of task slots through task.next and task.prev. A task is in one at most. */
struct list {
    uint32_t head, tail, count;
};

/* Nodes that could get a task now, and what they need for it. */
enum place {
    PLACE_NONE,
    PLACE_FREE,  /* nothing: by score */
    PLACE_STALE, /* a new reading of their stake: those not asked in vain first, then by score */
    PLACE_ASKED, /* the reading that was asked for */
    PLACES,
};

struct heap {
    uint32_t *node; /* [nodes_max], the best one first */
    uint32_t count;
};

struct node {
    struct owm_node_row row;
    uint64_t stream;  /* 0: not connected */
    uint64_t boot_id; /* 0: not heard since our start */
    bool draining;
    bool heard; /* since our start */
    bool silent;
    bool unsaved; /* a heartbeat waits for persist */
    bool pinned_ready;
    int64_t heard_ms, watched_ms;
    uint32_t free_slots; /* what it reported, less what it got since */
    uint32_t running;
    struct list pinned; /* waiting fl_round tasks */
    uint8_t signal_id[SIGNALS_KEPT][16];
    uint32_t signal_next;
    enum place place;
    uint32_t place_at; /* in its heap */
    uint64_t score;
    int64_t asked_ms;                    /* a reading was asked for and has not come; 0: none */
    char slash_reason[OWM_REASON_BYTES]; /* a case that waits for the end of the grace window */
};

struct task {
    struct owm_task_row row;
    bool used;
    bool acknowledged; /* the node has named the lease in a heartbeat */
    uint32_t node;     /* holder, or the node it is pinned to; NONE */
    uint32_t avoid;    /* the node that failed it last; NONE */
    uint32_t running_at;
    uint32_t next, prev;
    uint64_t boot_id;  /* of the holder when it was given */
    uint64_t order;    /* of submission */
    int64_t queued_ms; /* when it began to wait, at the back; 0: before our start, or a retry */
    int64_t lease_ends_ms, deadline_ms;
};

struct round {
    struct owm_round_row row;
    int64_t soft_ms, hard_ms;              /* hard_ms: row.deadline_ms, moved by the grace window */
    int64_t retry_ms;                      /* when to ask for aggregation again; 0: asked */
    struct owm_participant_row *part;      /* [participants_max], sorted by public key */
    struct owm_participant_row *aggregate; /* the list in the AGGREGATE output */
    uint32_t count;
};

struct owm_engine {
    struct owm_engine_config config;
    int64_t now_ms, started_ms, grace_ends_ms, persist_ms, next_round_ms;
    bool started, schedule_wanted, round_wanted;
    bool patient; /* a task waits for the reading of a better node */
    uint64_t log_sequence, order;

    struct node *node;
    uint32_t node_count;
    struct index node_by_id, node_by_key;
    struct index node_by_ln; /* by the x coordinate of the bound LN key: its sign is no identity */
    struct heap place[PLACES];
    uint32_t *pinned_ready; /* nodes of some place with pinned tasks */
    uint32_t pinned_ready_count;

    struct task *task;
    uint32_t task_free; /* list through next */
    struct index task_by_id;
    uint32_t *running;
    uint32_t running_count;
    struct list lane[LANES];
    struct owm_task_row *finished; /* ring */
    struct index finished_by_id;
    uint32_t finished_count, finished_next;
    size_t payload_bytes;

    struct round round;
    struct owm_model_row model;
    bool has_model, model_trains; /* trains: its proof is good enough for a round */
    struct owm_proven_event serving;
    bool has_serving;
    int64_t arrival[ARRIVALS_KEPT];
    uint32_t arrival_count, arrival_next;

    struct owm_effect *effect;
    size_t effect_count, effect_room;
    struct owm_output *output;
    size_t output_count, output_room;
    void **grave; /* payloads that effects and outputs may still point to */
    size_t grave_count, grave_room;

    struct owm_engine_counters counters;
};

/* batch.c */
void emit_node(owm_engine *e, const struct node *node);
void emit_heartbeat(owm_engine *e, const struct node *node);
void emit_task(owm_engine *e, const struct owm_task_row *row, bool with_payload);
void emit_log(owm_engine *e, const struct owm_task_row *row, enum owm_log_what what);
void emit_round(owm_engine *e);
void emit_participant(owm_engine *e, const struct owm_participant_row *row);
void emit_model(owm_engine *e, const struct owm_model_row *row);
void emit_payable(owm_engine *e, const struct owm_payable_row *row);
void emit_signal(owm_engine *e, const struct owm_signal_row *row);
struct owm_output *output(owm_engine *e, enum owm_output_kind kind, uint64_t cookie);
void answer_done(owm_engine *e, uint64_t cookie, enum owm_code code);
void bury(owm_engine *e, const void *payload);
void batch_clear(owm_engine *e);

/* model.c */
void model_first(owm_engine *e, const struct owm_model_row *model);
void model_next(owm_engine *e, const struct owm_model_row *model, uint32_t round);
void model_keep(owm_engine *e, const struct owm_model_row *row); /* as restored: emits nothing */
void model_proven(owm_engine *e, const struct owm_proven_event *event);

/* registry.c */
uint32_t node_find(const owm_engine *e, const uint8_t node_id[static 16]);
uint32_t node_add(owm_engine *e, const struct owm_node_row *row);
void node_register(owm_engine *e, const struct owm_register_event *event, uint64_t cookie);
void node_manifest(owm_engine *e, const struct owm_manifest_event *event, uint64_t cookie);
void node_heartbeat(owm_engine *e, const struct owm_heartbeat_event *event, uint64_t cookie);
void node_stream_opened(owm_engine *e, const struct owm_heartbeat_event *event, uint64_t cookie);
void node_stream_closed(owm_engine *e, const struct owm_stream_closed_event *event);
void node_tick(owm_engine *e);
bool node_takes_tasks(const struct node *node); /* active, connected, heard, not draining */
uint32_t node_reliability_ppm(const struct node *node, int64_t now_ms);
bool in_grace(const owm_engine *e, int64_t now_ms);

/* stake.c */
int64_t stake_required_sats(const owm_engine *e, enum owm_tier tier);
uint32_t node_stake_bonus_ppm(const owm_engine *e, const struct node *node);
bool stake_enough(const owm_engine *e, const struct node *node); /* as it was last read */
bool stake_was_read(const owm_engine *e, const struct node *node);
bool stake_fresh(const owm_engine *e, const struct node *node);
int64_t stake_degraded_until_ms(const owm_engine *e, const struct node *node); /* 0: it is not */
void stake_note(owm_engine *e, uint32_t node, const struct owm_stake_event *event);
void stake_read(owm_engine *e, const struct owm_stake_event *event);
bool stake_ask(owm_engine *e, uint32_t node); /* false: not now */

/* signal.c */
bool node_is_slashed(const struct node *node);
void pinned_drop(owm_engine *e, uint32_t node, const char *reason);
void slash_take(owm_engine *e, const struct owm_slash_event *event);
void slash_undo(owm_engine *e, const struct owm_slash_event *event);
void slash_tick(owm_engine *e, uint32_t node);
struct misdeed {
    enum owm_signal_type type;
    enum owm_tier tier; /* in which the work was given */
    uint32_t round;
    const uint8_t *task_id, *evidence; /* [16], [32] */
};
void signal_raise(owm_engine *e, uint32_t node, const struct misdeed *misdeed);
void signal_remember(struct node *node, const uint8_t id[static 16]);

/* queue.c: lists, lanes of waiting tasks, the heaps of nodes */
void list_push_back(owm_engine *e, struct list *list, uint32_t slot);
void list_push_front(owm_engine *e, struct list *list, uint32_t slot);
void list_remove(owm_engine *e, struct list *list, uint32_t slot);
struct list *queue_of(owm_engine *e, const struct task *task);
uint32_t queue_best_lane(const owm_engine *e, uint32_t blocked);
bool node_before(const owm_engine *e, uint32_t a, uint32_t b);   /* of one place */
void node_place(owm_engine *e, uint32_t node, enum place place); /* also when its rank changed */

/* scheduler.c */
enum place node_belongs(const owm_engine *e, const struct node *node);
void node_refresh(owm_engine *e, uint32_t node); /* its place, and with which score */
uint32_t node_slots_free(const struct node *node);
void schedule(owm_engine *e);
enum owm_why node_why(const owm_engine *e, const struct node *node);

/* task.c */
uint32_t task_find(const owm_engine *e, const uint8_t task_id[static 16]);
const struct owm_task_row *finished_find(const owm_engine *e, const uint8_t task_id[static 16]);
void finished_add(owm_engine *e, const struct owm_task_row *row);
uint32_t task_add(owm_engine *e, const struct owm_task_row *row); /* NONE: full */
void task_free(owm_engine *e, uint32_t slot);
void task_run(owm_engine *e, uint32_t slot, uint32_t node); /* bookkeeping of a lease */
void task_dispatch(owm_engine *e, uint32_t slot, uint32_t node);
void task_send(owm_engine *e, uint32_t slot); /* the DISPATCH output */
enum task_blame { BLAME_NOBODY, BLAME_HOLDER };
void task_requeue(owm_engine *e, uint32_t slot, const char *reason, enum task_blame blame,
                  enum owm_task_state if_used_up);
void task_finish(owm_engine *e, uint32_t slot, enum owm_task_state state, const char *reason);
void task_submit(owm_engine *e, const struct owm_submit_event *event, uint64_t cookie);
void task_cancel(owm_engine *e, const struct owm_cancel_event *event, uint64_t cookie);
uint32_t lease_holder(const owm_engine *e, const uint8_t task_id[static 16],
                      const uint8_t node_id[static 16], uint64_t token); /* slot, or NONE */
void lease_progress(owm_engine *e, const struct owm_progress_event *event, uint64_t cookie);
void lease_tick(owm_engine *e);
int64_t task_reward_msat(const owm_engine *e, const struct node *node, enum owm_task_type type);
void pay(owm_engine *e, uint32_t node, const struct owm_task_row *task, int64_t amount_msat);

/* result.c */
void result_take(owm_engine *e, const struct owm_result_event *event, uint64_t cookie);
void result_refuse(owm_engine *e, const struct owm_result_refused_event *event, uint64_t cookie);

/* round.c, deadline.c */
void round_tick(owm_engine *e);
void round_delivered(owm_engine *e, uint32_t slot, const struct owm_result_event *event);
bool round_late(owm_engine *e, const struct owm_result_event *event); /* recorded as late */
void round_task_lost(owm_engine *e, const uint8_t node_id[static 16], const char *reason);
void round_judged(owm_engine *e, const struct owm_judged_event *event);
void round_aggregated(owm_engine *e, const struct owm_aggregated_event *event);
void round_start(owm_engine *e); /* after a restore */
const struct owm_participant_row *round_participant(const owm_engine *e,
                                                    const uint8_t node_id[static 16]);
void deadline_note(owm_engine *e, int64_t offset_ms);
int64_t deadline_soft_ms(const owm_engine *e, int64_t started_ms, int64_t hard_ms);

/* A text of fixed size that is cut, never overrun. */
void text_set(char *to, size_t bytes, const char *from);
#define TEXT(to, from) text_set((to), sizeof(to), (from))
bool is_zero(const uint8_t *bytes, size_t count);

#endif
