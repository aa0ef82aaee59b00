/* effect.h: rows the engine wants written, before anything is said to anyone.
 *
 * 1. An effect holds absolute values of one whole row: writing it twice is the same as once, and
 *    the last one of a key wins. Keys are named at each struct.
 * 2. All effects of a batch go into one transaction, in order; outputs are performed after COMMIT.
 * 3. What the rows say is all a restarted engine needs (owm_engine_restore_*): the same structs.
 * Times are Unix milliseconds, 0 is "not yet". Amounts are millisats. Texts are terminated UTF-8.
 */
#ifndef OWM_ENGINE_EFFECT_H
#define OWM_ENGINE_EFFECT_H

#include <stddef.h>

#include "controlplane/engine/reliability.h"
#include "controlplane/engine/types.h"

#define OWM_URI_BYTES         200 /* ln_node_uri, with terminator; so below */
#define OWM_ONION_BYTES       80
#define OWM_ALIAS_BYTES       64
#define OWM_DEVICE_BYTES      96
#define OWM_BACKEND_BYTES     16
#define OWM_REASON_BYTES      96
#define OWM_IDEMPOTENCY_BYTES 65 /* idempotency key */
#define OWM_VERSION_BYTES     48
#define OWM_PURPOSE_BYTES     24
#define OWM_NODE_SLOTS_MAX    64

/** What a node can do: SRS 4.1.3 and SRS-NODE-04. */
struct owm_capabilities {
    enum owm_tier tier;
    bool tier_overridden;
    float vram_gb, ram_gb, bandwidth_mbps;
    uint32_t task_types; /* bit 1 << owm_task_type */
    uint32_t slots;      /* max_concurrent_tasks, 1..OWM_NODE_SLOTS_MAX; others are clamped */
    char device[OWM_DEVICE_BYTES];
    char backend[OWM_BACKEND_BYTES];
};

/** Key node_id (public_key is unique too). Written on registration, manifest change, change of
 *  status, signal and reward; never by a heartbeat. */
struct owm_node_row {
    uint8_t node_id[16];
    uint8_t public_key[32];
    char ln_node_uri[OWM_URI_BYTES];
    char onion_address[OWM_ONION_BYTES];
    char alias[OWM_ALIAS_BYTES];
    struct owm_capabilities capabilities;
    uint64_t manifest_sequence;
    int64_t manifest_ms;
    enum owm_node_status status;
    char status_reason[OWM_REASON_BYTES];
    int64_t stake_sats; /* what it locked; 0 with stake policy "none" */
    uint8_t ln_key[33]; /* bound to this identity, one to one; zero: none */
    char payout_to[OWM_URI_BYTES];
    int64_t stake_read_ms;      /* when the treasury was last asked; 0: never */
    int64_t degraded_since_ms;  /* SRS-STAKE-03 counts from here; 0: not degraded */
    uint32_t signals;           /* independent misbehaviour signals since the last cooldown */
    enum owm_tier signals_tier; /* the highest in which it worked for one of these; 0: none */
    int64_t cooldown_until_ms;  /* 0: it is not suspended, or for its stake only */
    uint64_t tasks_completed;
    int64_t earned_msat;
    int64_t registered_ms;
    int64_t last_heartbeat_ms;
    uint32_t reliability_ppm; /* score of SRS-SCHED-04, 0..1,000,000; 0: it misbehaved */
    struct owm_reliability reliability;
};

/** Key node_id: what heartbeats change, and readings of the stake that show nothing new, once per
 *  persist_ms for the nodes that had one. Meant for one statement over arrays. */
struct owm_heartbeat_row {
    uint8_t node_id[16];
    int64_t last_heartbeat_ms;
    int64_t stake_read_ms;
    uint32_t reliability_ppm;
    struct owm_reliability reliability;
};

/** Key task_id. `payload` and `output` are set in the effect that brings them and NULL later (keep
 *  what is stored); borrowed until owm_engine_clear. */
struct owm_task_row {
    uint8_t task_id[16];
    enum owm_task_type type;
    enum owm_task_state state;
    enum owm_tier min_tier;
    uint32_t round;            /* of an fl_round task; else 0 */
    uint8_t assigned_node[16]; /* zero: none; with fl_round the only node it may go to */
    uint64_t lease_token;      /* newest given out; 0: none yet */
    enum owm_tier lease_tier;  /* of the node when that was given out; 0: none yet */
    uint32_t attempt;          /* dispatches so far */
    uint32_t timeout_ms;
    int64_t submitted_ms, started_ms, completed_ms;
    int64_t reward_msat;
    uint8_t input_hash[32];
    uint8_t output_hash[32];
    char idempotency_key[OWM_IDEMPOTENCY_BYTES];
    char reason[OWM_REASON_BYTES];
    const uint8_t *payload;
    size_t payload_bytes;
    const uint8_t *output;
    size_t output_bytes;
};

/** Key sequence; append-only. sequence grows by one over the life of the network. */
struct owm_task_log_row {
    uint64_t sequence;
    uint8_t task_id[16];
    uint8_t node_id[16]; /* zero: none */
    uint64_t lease_token;
    uint32_t attempt;
    enum owm_log_what what;
    int64_t at_ms;
    char reason[OWM_REASON_BYTES];
};

/** Key round. A failed round keeps its number; the next try has the next one. */
struct owm_round_row {
    uint32_t round;
    enum owm_round_state state; /* never idle */
    char base_version[OWM_VERSION_BYTES];
    uint8_t base_hash[32];
    uint64_t base_bytes;
    int64_t started_ms;
    int64_t deadline_ms; /* hard */
    int64_t completed_ms;
    uint32_t invited, received, included;
    uint32_t aggregate_attempts;
    char version[OWM_VERSION_BYTES]; /* the checkpoint it made */
    uint8_t model_hash[32];
    float heldout_before, heldout_after; /* bits per byte; NaN: not measured */
    uint8_t certificate_hash[32];
    char reason[OWM_REASON_BYTES]; /* of a failed round */
};

/** Key (round, node_id). */
struct owm_participant_row {
    uint32_t round;
    uint8_t node_id[16];
    uint8_t public_key[32];
    uint8_t task_id[16];
    uint8_t nonce[16];
    enum owm_tier tier; /* when it was invited */
    enum owm_part_state state;
    char reason[OWM_REASON_BYTES];
    uint8_t package_hash[32];
    uint64_t package_bytes;
    float train_loss_first, train_loss_last;
    uint64_t tokens;
    int64_t arrived_ms;
    double weight;
    bool flagged; /* a misbehaviour signal went with the verdict */
    int64_t reward_msat;
};

/** Key version. When is_current is true every other row becomes false. */
struct owm_model_row {
    char version[OWM_VERSION_BYTES];
    uint32_t round; /* 0: the first checkpoint, made by the coordinator */
    int64_t created_ms;
    uint8_t model_hash[32];
    uint64_t model_bytes;
    float heldout_bits_per_byte;
    bool is_current;
    const char *manifest; /* signed JSON; borrowed until owm_engine_clear; NULL: keep */
    size_t manifest_bytes;
};

/** Key (source_id, purpose): insert, and never change. Its state begins as "owed" (promise 1). */
struct owm_payable_row {
    uint8_t source_id[16];           /* the task */
    char purpose[OWM_PURPOSE_BYTES]; /* "inference", "fl_round" … */
    uint8_t node_id[16];
    int64_t amount_msat; /* > 0 */
    uint32_t round;
    int64_t created_ms;
};

/** Key signal_id, which follows from (node, type, evidence): the same evidence is one signal. */
struct owm_signal_row {
    uint8_t signal_id[16];
    uint8_t node_id[16];
    enum owm_signal_type type;
    enum owm_tier tier;        /* of the node when it was given the work; 0: not known */
    uint8_t evidence_hash[32]; /* blob that anyone can replay; never zero (I5) */
    uint32_t round;
    uint8_t task_id[16];
    int64_t detected_ms;
};

enum owm_effect_kind {
    OWM_EFFECT_NODE,
    OWM_EFFECT_HEARTBEAT,
    OWM_EFFECT_TASK,
    OWM_EFFECT_TASK_LOG,
    OWM_EFFECT_ROUND,
    OWM_EFFECT_PARTICIPANT,
    OWM_EFFECT_MODEL,
    OWM_EFFECT_PAYABLE,
    OWM_EFFECT_SIGNAL,
};

struct owm_effect {
    enum owm_effect_kind kind;
    union {
        struct owm_node_row node;
        struct owm_heartbeat_row heartbeat;
        struct owm_task_row task;
        struct owm_task_log_row log;
        struct owm_round_row round;
        struct owm_participant_row participant;
        struct owm_model_row model;
        struct owm_payable_row payable;
        struct owm_signal_row signal;
    };
};

#endif
