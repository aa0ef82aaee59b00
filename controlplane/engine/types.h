/* types.h: the vocabulary of the control plane: tiers, task types, states, reasons, and their
 * names.
 *
 * A name is what the wire (proto/coordinator.proto) and the database show. Values are never stored.
 */
#ifndef OWM_ENGINE_TYPES_H
#define OWM_ENGINE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/** Node tiers of SRS 4.1.3. Greater is bigger. */
#define OWM_TIER_MAP(X) X(T1, 1, "t1") X(T2, 2, "t2") X(T3, 3, "t3")
#define OWM_TIERS       3

/** Task types of SRS 4.3.1: name, priority class (0 goes first: SRS-SCHED-03), lowest tier, task
 *  weight of the reward formula in tenths (SRS 4.4.2; types it does not list weigh 1.0). */
#define OWM_TASK_TYPE_MAP(X)                                                                       \
    X(INFERENCE, 0, "inference", 1, OWM_TIER_T1, 10)                                               \
    X(FL_ROUND, 1, "fl_round", 0, OWM_TIER_T1, 30)                                                 \
    X(GRADIENT_AGG, 2, "gradient_agg", 0, OWM_TIER_T2, 50)                                         \
    X(DATA_INGEST, 3, "data_ingest", 2, OWM_TIER_T2, 10)                                           \
    X(AUDIT_REPO, 4, "audit_repo", 2, OWM_TIER_T1, 10)                                             \
    X(EMBED_DATA, 5, "embed_data", 2, OWM_TIER_T1, 10)
#define OWM_TASK_TYPES   6
#define OWM_TASK_CLASSES 3

#define OWM_NODE_STATUS_MAP(X)                                                                     \
    X(PENDING, 0, "pending")                                                                       \
    X(ACTIVE, 1, "active")                                                                         \
    X(DEGRADED, 2, "degraded")                                                                     \
    X(SUSPENDED, 3, "suspended")

#define OWM_TASK_STATE_MAP(X)                                                                      \
    X(PENDING, 0, "pending")                                                                       \
    X(RUNNING, 1, "running")                                                                       \
    X(COMPLETED, 2, "completed")                                                                   \
    X(FAILED, 3, "failed")                                                                         \
    X(TIMEOUT, 4, "timeout")

#define OWM_ROUND_STATE_MAP(X)                                                                     \
    X(IDLE, 0, "idle")                                                                             \
    X(OPEN, 1, "open")                                                                             \
    X(AGGREGATING, 2, "aggregating")                                                               \
    X(COMPLETE, 3, "complete")                                                                     \
    X(FAILED, 4, "failed")

/** What became of a participant: invited -> received -> verified -> included | rejected; a package
 *  after the close is late; none at all is missing. */
#define OWM_PART_STATE_MAP(X)                                                                      \
    X(INVITED, 0, "invited")                                                                       \
    X(RECEIVED, 1, "received")                                                                     \
    X(VERIFIED, 2, "verified")                                                                     \
    X(INCLUDED, 3, "included")                                                                     \
    X(REJECTED, 4, "rejected")                                                                     \
    X(LATE, 5, "late")                                                                             \
    X(MISSING, 6, "missing")

/** Lines of the dispatch log (SRS-SCHED-06). */
#define OWM_LOG_WHAT_MAP(X)                                                                        \
    X(SUBMITTED, 0, "submitted")                                                                   \
    X(DISPATCHED, 1, "dispatched")                                                                 \
    X(REQUEUED, 2, "requeued")                                                                     \
    X(COMPLETED, 3, "completed")                                                                   \
    X(FAILED, 4, "failed")                                                                         \
    X(TIMEOUT, 5, "timeout")

/** Misbehaviour (SRS-SEC-11, SRS-STAKE-04). */
#define OWM_SIGNAL_TYPE_MAP(X)                                                                     \
    X(POISONED_GRADIENT, 0, "poisoned_gradient")                                                   \
    X(FAKE_TASK_PROOF, 1, "fake_task_proof")

/** Codes of answers: the wire shows the name, people read owm_code_text(). */
#define OWM_CODE_MAP(X)                                                                            \
    X(NONE, 0, "", "")                                                                             \
    X(INSUFFICIENT_STAKE, 1, "INSUFFICIENT_STAKE",                                                 \
      "no channel with the stake of this tier is known: open one to the treasury and register "    \
      "again")                                                                                     \
    X(COOLDOWN, 2, "COOLDOWN",                                                                     \
      "this key was suspended for misbehaviour and may register again when its cooldown ends")     \
    X(NODES_FULL, 3, "NODES_FULL",                                                                 \
      "the registry is full (limits.nodes_max): try again later or ask the operator to raise it")  \
    X(UNKNOWN_NODE, 4, "UNKNOWN_NODE", "this node is not registered: register first")              \
    X(QUEUE_FULL, 5, "QUEUE_FULL",                                                                 \
      "too many tasks wait or run (limits.tasks_max): try again in a moment")                      \
    X(BAD_PAYLOAD, 6, "BAD_PAYLOAD", "the payload is empty or above the limit of a task")          \
    X(BAD_TYPE, 7, "BAD_TYPE", "tasks of this type are made by the coordinator itself")            \
    X(NO_MODEL, 8, "NO_MODEL",                                                                     \
      "no checkpoint may serve yet: wait for the first one, or its proof")                         \
    X(STALE_LEASE, 9, "STALE_LEASE",                                                               \
      "the lease of this task has ended or went to another attempt: the result does not count")    \
    X(UNKNOWN_TASK, 10, "UNKNOWN_TASK", "no such task waits, runs or finished lately")             \
    X(ROUND_CLOSED, 11, "ROUND_CLOSED",                                                            \
      "the round closed before this package came: a not-included receipt gives its mass back")     \
    X(NOT_ACTIVE, 12, "NOT_ACTIVE", "the node is not active")                                      \
    X(STALE_MANIFEST, 13, "STALE_MANIFEST", "a newer capability manifest was already accepted")    \
    X(HASH_MISMATCH, 14, "HASH_MISMATCH",                                                          \
      "the output does not have the hash that the node signed: recorded as misbehaviour")          \
    X(BAD_OUTPUT, 15, "BAD_OUTPUT", "the output could not be opened or read")                      \
    X(BAD_SIGNATURE, 16, "BAD_SIGNATURE", "the signature of the result is not the node's")         \
    X(LN_KEY_BOUND, 17, "LN_KEY_BOUND",                                                            \
      "this Lightning node stands for another identity already: one node, one stake")

/** Why a node has no task to do: what `why no-tasks` answers (SRS-SCHED-01). */
#define OWM_WHY_MAP(X)                                                                             \
    X(BUSY, 0, "busy", "it is working")                                                            \
    X(NOTHING_QUEUED, 1, "nothing_queued", "no task waits")                                        \
    X(NOT_CONNECTED, 2, "not_connected", "its task stream is not open")                            \
    X(SILENT, 3, "silent", "no heartbeat came for three periods")                                  \
    X(PENDING, 4, "pending", "its stake is not verified")                                          \
    X(DEGRADED, 5, "degraded", "its stake fell below the minimum of its tier")                     \
    X(SUSPENDED, 6, "suspended", "it is suspended")                                                \
    X(DRAINING, 7, "draining", "it asked for no new tasks")                                        \
    X(NO_SLOT, 8, "no_slot", "it reports no free slot")                                            \
    X(TYPE, 9, "type", "it does not support the type of the tasks that wait")                      \
    X(TIER, 10, "tier", "the tasks that wait need a higher tier")                                  \
    X(OUTSCORED, 11, "outscored", "nodes with a higher score took what there was")                 \
    X(STAKE_UNREAD, 12, "stake_unread",                                                            \
      "its stake has to be read again before it gets a task, and the treasury's Lightning node "   \
      "has not answered yet")

#define X(name, value, ...) OWM_TIER_##name = (value),
enum owm_tier { OWM_TIER_MAP(X) };
#undef X
#define X(name, value, ...) OWM_TASK_##name = (value),
enum owm_task_type { OWM_TASK_TYPE_MAP(X) };
#undef X
#define X(name, value, ...) OWM_NODE_##name = (value),
enum owm_node_status { OWM_NODE_STATUS_MAP(X) };
#undef X
#define X(name, value, ...) OWM_TASK_STATE_##name = (value),
enum owm_task_state { OWM_TASK_STATE_MAP(X) };
#undef X
#define X(name, value, ...) OWM_ROUND_##name = (value),
enum owm_round_state { OWM_ROUND_STATE_MAP(X) };
#undef X
#define X(name, value, ...) OWM_PART_##name = (value),
enum owm_part_state { OWM_PART_STATE_MAP(X) };
#undef X
#define X(name, value, ...) OWM_LOG_WHAT_##name = (value),
enum owm_log_what { OWM_LOG_WHAT_MAP(X) };
#undef X
#define X(name, value, ...) OWM_SIGNAL_##name = (value),
enum owm_signal_type { OWM_SIGNAL_TYPE_MAP(X) };
#undef X
#define X(name, value, ...) OWM_CODE_##name = (value),
enum owm_code { OWM_CODE_MAP(X) };
#undef X
#define X(name, value, ...) OWM_WHY_##name = (value),
enum owm_why { OWM_WHY_MAP(X) };
#undef X

/** Names: static strings, "?" for a value outside the list. */
const char *owm_tier_name(enum owm_tier tier);
const char *owm_task_type_name(enum owm_task_type type);
const char *owm_node_status_name(enum owm_node_status status);
const char *owm_task_state_name(enum owm_task_state state);
const char *owm_round_state_name(enum owm_round_state state);
const char *owm_part_state_name(enum owm_part_state state);
const char *owm_log_what_name(enum owm_log_what what);
const char *owm_signal_type_name(enum owm_signal_type type);
const char *owm_code_name(enum owm_code code);
const char *owm_code_text(enum owm_code code);
const char *owm_why_name(enum owm_why why);
const char *owm_why_text(enum owm_why why);

/** Parsers: exact name only. Returns: OWM_OK; OWM_E_PROTO, *out untouched. */
OWM_MUST_USE owm_status owm_tier_parse(const char *name, enum owm_tier *out);
OWM_MUST_USE owm_status owm_task_type_parse(const char *name, enum owm_task_type *out);
OWM_MUST_USE owm_status owm_node_status_parse(const char *name, enum owm_node_status *out);
OWM_MUST_USE owm_status owm_task_state_parse(const char *name, enum owm_task_state *out);
OWM_MUST_USE owm_status owm_round_state_parse(const char *name, enum owm_round_state *out);
OWM_MUST_USE owm_status owm_part_state_parse(const char *name, enum owm_part_state *out);
OWM_MUST_USE owm_status owm_signal_type_parse(const char *name, enum owm_signal_type *out);

/** owm_task_type_class: 0 goes first. owm_task_type_min_tier: SRS 4.3.1. */
int owm_task_type_class(enum owm_task_type type);
enum owm_tier owm_task_type_min_tier(enum owm_task_type type);
int owm_task_type_weight_tenths(enum owm_task_type type);

#endif
