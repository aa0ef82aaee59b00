/* engine.h: the coordinator's mind: registry, scheduler, rounds and rewards, without any IO.
 *
 *   events --> owm_engine_step --> effects (rows: one transaction) and outputs (after COMMIT)
 *
 * Deterministic: the same config, restored rows, events and times give the same bytes (I10). It
 * reads no clock, no random source, no file. Everything it holds is bounded by the config.
 * Thread: one at a time.
 *
 * The caller's loop: step a batch of events; write owm_engine_effects in one transaction; after
 * COMMIT perform owm_engine_outputs in order; owm_engine_clear. If the transaction fails, keep
 * trying with the same effects; no step in between. To start: owm_engine_create, restore the rows
 * (nodes first, then models, rounds, participants, tasks), owm_engine_start, then steps.
 */
#ifndef OWM_ENGINE_ENGINE_H
#define OWM_ENGINE_ENGINE_H

#include "controlplane/engine/event.h"

enum owm_engine_stake { OWM_ENGINE_STAKE_LIGHTNING, OWM_ENGINE_STAKE_NONE };

struct owm_rounds_config {
    bool enabled;
    uint32_t stop_after; /* complete rounds of this network; 0: never */
    uint32_t participants_max, min_participants, quorum_percent;
    enum owm_tier min_tier;
    int64_t deadline_ms;         /* hard */
    int64_t deadline_min_ms;     /* the soft deadline is never earlier */
    uint32_t deadline_mad_milli; /* k of median + k x MAD, in thousandths */
    int64_t pause_ms;            /* between rounds, and before another try */
    int64_t verify_wait_ms;      /* after the hard deadline: for packages that are being verified */
    uint32_t aggregate_attempts_max;
};

struct owm_engine_config {
    uint8_t seed[32]; /* secret and random for nonces; fixed in tests */
    enum owm_engine_stake stake;
    int64_t tier_stake_sats[OWM_TIERS + 1]; /* by enum owm_tier; [0] unused */
    int64_t base_rate_msat;
    int64_t heartbeat_period_ms;
    int64_t persist_ms;  /* heartbeats are written this often */
    int64_t grace_ms;    /* after a start; at least three heartbeat periods are taken */
    int64_t lease_ms;    /* a lease that is not renewed ends */
    int64_t ageing_ms;   /* a waiting task rises one class per this time: nothing starves */
    int64_t cooldown_ms; /* SRS-STAKE-07: 30 days */
    int64_t task_timeout_ms, task_timeout_max_ms;
    uint32_t attempts_max;
    uint32_t signals_to_suspend; /* SRS-STAKE-04: 3, T1 only */
    int64_t stake_fresh_ms;      /* a reading is good for assignments this long (10 s) */
    int64_t stake_retry_ms;      /* STAKE_WANTED is said again after this (5 s), and not before;
                                    at most stake_fresh_ms */
    int64_t degraded_ms;         /* SRS-STAKE-03: 24 h */
    uint32_t nodes_max;
    uint32_t tasks_max;    /* that wait or run */
    uint32_t finished_max; /* remembered for repetitions */
    size_t payload_bytes_max, payload_total_bytes_max;
    bool proofs_wanted; /* rounds and inference wait for OWM_EVENT_PROVEN (SRS-OTS-05) */
    struct owm_rounds_config rounds;
};

/** owm_engine_defaults: the values of the spec and of design.md; zero seed. */
void owm_engine_defaults(struct owm_engine_config *config);

typedef struct owm_engine owm_engine;

/** owm_engine_create: all tables, once.
 *  Returns: OWM_OK; OWM_E_CONFIG with the value that makes no sense; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_engine_create(const struct owm_engine_config *config,
                                          owm_engine **engine, struct owm_error *error);
void owm_engine_destroy(owm_engine *engine); /* NULL is allowed */

/** Restore: rows of the database, before owm_engine_start. They emit nothing.
 *   nodes         all;
 *   signal        those since the node's last suspension, at least the newest 8 per node;
 *   model         the current one;
 *   round         the newest one in whatever state;
 *   participants  of that round;
 *   task          all pending and running ones; the completed fl_round tasks of that round if it is
 *                 open or aggregating; then the newest finished_max finished ones, oldest first.
 *                 `payload` is copied;
 *   arrival       offsets (arrived_ms - started_ms) of the newest 256 packages, oldest first.
 *  Returns: OWM_OK; OWM_E_LIMIT a table is full (raise the limit); OWM_E_EXISTS the key twice;
 *  OWM_E_NOTFOUND a node, round or participant it names is missing; OWM_E_ARG a value out of range.
 */
OWM_MUST_USE owm_status owm_engine_restore_node(owm_engine *engine, const struct owm_node_row *row);
OWM_MUST_USE owm_status owm_engine_restore_signal(owm_engine *engine,
                                                  const struct owm_signal_row *row);
OWM_MUST_USE owm_status owm_engine_restore_model(owm_engine *engine,
                                                 const struct owm_model_row *row);
OWM_MUST_USE owm_status owm_engine_restore_round(owm_engine *engine,
                                                 const struct owm_round_row *row);
OWM_MUST_USE owm_status owm_engine_restore_participant(owm_engine *engine,
                                                       const struct owm_participant_row *row);
OWM_MUST_USE owm_status owm_engine_restore_task(owm_engine *engine, const struct owm_task_row *row);
void owm_engine_restore_arrival(owm_engine *engine, int64_t offset_ms);

/** owm_engine_restore_counts: what is not in the rows above. log_sequence: the greatest one in the
 *  log, 0: none; rounds_complete, rounds_failed: all of this network. */
void owm_engine_restore_counts(owm_engine *engine, uint64_t log_sequence, uint32_t rounds_complete,
                               uint32_t rounds_failed);

/** owm_engine_start: the grace window begins (nobody is called silent, no lease ends and no round
 *  closes for lack of packages before it is over), and the outputs are emitted that the restored
 *  round needs (VERIFY, AGGREGATE). Perform them like those of a step. A network without a model
 *  waits for OWM_EVENT_MODEL. */
void owm_engine_start(owm_engine *engine, int64_t now_ms);

/** owm_engine_step: one event at one time. now_ms may repeat; an earlier one is taken as the last.
 *  Memory for effects and outputs grows as a batch needs; if there is none left the process ends,
 *  which loses nothing that was acknowledged. */
void owm_engine_step(owm_engine *engine, const struct owm_event *event, int64_t now_ms);

/** Effects and outputs since the last clear, borrowed until then. */
const struct owm_effect *owm_engine_effects(const owm_engine *engine, size_t *count);
const struct owm_output *owm_engine_outputs(const owm_engine *engine, size_t *count);
void owm_engine_clear(owm_engine *engine);

/* --- questions for pages, metrics and tests; they change nothing ------------------------------ */

struct owm_node_view {
    struct owm_node_row row; /* reliability_ppm as of now_ms */
    bool connected;          /* stream open */
    bool silent;             /* no heartbeat for three periods */
    bool draining;
    uint32_t running;
    uint32_t slots_free; /* tasks it could be given now, were it otherwise fit */
    uint32_t uptime_ppm, stake_bonus_ppm;
    uint64_t boot_id;
    enum owm_why why;
};

/** Nodes by index 0..count-1 in order of registration here; indices stay valid for the engine's
 *  life. owm_engine_find_node: index, or -1. */
uint32_t owm_engine_node_count(const owm_engine *engine);
void owm_engine_node(const owm_engine *engine, uint32_t index, int64_t now_ms,
                     struct owm_node_view *view);
int64_t owm_engine_find_node(const owm_engine *engine, const uint8_t node_id[static 16]);
int64_t owm_engine_find_key(const owm_engine *engine, const uint8_t public_key[static 32]);

/** Tasks by slot 0..slots-1: NULL where the slot is empty. Waiting and running ones, and completed
 *  deltas of the running round. owm_engine_find_task: also lately finished ones; NULL: unknown. */
uint32_t owm_engine_task_slots(const owm_engine *engine);
const struct owm_task_row *owm_engine_task(const owm_engine *engine, uint32_t slot);
const struct owm_task_row *owm_engine_find_task(const owm_engine *engine,
                                                const uint8_t task_id[static 16]);

/** The newest round (state idle: none yet) and its participants. */
const struct owm_round_row *owm_engine_round(const owm_engine *engine);
int64_t owm_engine_round_soft_deadline_ms(const owm_engine *engine);
const struct owm_participant_row *owm_engine_participants(const owm_engine *engine,
                                                          uint32_t *count);
/** The current checkpoint; NULL: none yet. */
const struct owm_model_row *owm_engine_model(const owm_engine *engine);
/** The newest checkpoint that may serve: that of OWM_EVENT_PROVEN where proofs are wanted, else the
 *  current one; NULL: none yet. */
const struct owm_proven_event *owm_engine_serving(const owm_engine *engine);
bool owm_engine_awaits_proof(const owm_engine *engine);    /* no round opens before it */
bool owm_engine_rounds_finished(const owm_engine *engine); /* stop_after was reached */
bool owm_engine_in_grace(const owm_engine *engine, int64_t now_ms);

/** Since the start, but for the first four, which are levels. */
struct owm_engine_counters {
    uint64_t tasks_pending, tasks_running, nodes_connected, payload_bytes;
    uint64_t steps, heartbeats, registrations, registrations_refused;
    uint64_t tasks_submitted, tasks_dispatched, tasks_completed, tasks_failed, tasks_timed_out;
    uint64_t tasks_requeued, leases_expired, submits_refused;
    uint64_t results_accepted, results_repeated, results_refused[32]; /* by enum owm_code */
    uint64_t packages_judged_bad, signals, nodes_suspended;           /* for misbehaviour */
    uint64_t stake_wanted, stake_readings;
    uint64_t rounds_opened, rounds_complete, rounds_failed; /* the last two: of this network */
    uint64_t paid_msat;                                     /* payables made */
};
const struct owm_engine_counters *owm_engine_counters(const owm_engine *engine);

#endif
