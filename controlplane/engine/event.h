/* event.h: what happens to the engine, and what it wants done.
 *
 * Events: requests from nodes and services after their signatures, keys and hashes were checked by
 * the caller; results of work that runs elsewhere; time. Pointers in an event must stay valid until
 * owm_engine_clear. Outputs: performed after the batch's effects are durable, in order, then
 * forgotten by owm_engine_clear. They may be performed twice or not at all when the coordinator
 * dies in between: whatever matters is emitted again by the restored engine.
 */
#ifndef OWM_ENGINE_EVENT_H
#define OWM_ENGINE_EVENT_H

#include "controlplane/engine/effect.h"

#define OWM_RENEWALS_MAX    OWM_NODE_SLOTS_MAX
#define OWM_LOST_LEASES_MAX 16 /* in one answer; the rest is told with the next heartbeat */

enum owm_event_kind {
    OWM_EVENT_TICK,          /* time passes; at least every second, better every 100 ms */
    OWM_EVENT_REGISTER,      /* answered */
    OWM_EVENT_MANIFEST,      /* answered: OWM_OUTPUT_DONE */
    OWM_EVENT_HEARTBEAT,     /* answered */
    OWM_EVENT_STREAM_OPENED, /* answered: OWM_OUTPUT_DONE, NONE or UNKNOWN_NODE: close it */
    OWM_EVENT_STREAM_CLOSED,
    OWM_EVENT_SUBMIT,         /* answered */
    OWM_EVENT_CANCEL,         /* answered: OWM_OUTPUT_DONE */
    OWM_EVENT_PROGRESS,       /* answered: OWM_OUTPUT_DONE, NONE: keep going, else stop */
    OWM_EVENT_RESULT,         /* answered */
    OWM_EVENT_RESULT_REFUSED, /* answered as RESULT */
    OWM_EVENT_JUDGED,         /* a package was verified */
    OWM_EVENT_AGGREGATED,     /* a round was aggregated */
    OWM_EVENT_MODEL,          /* the first checkpoint; ignored once there is one */
    OWM_EVENT_PROVEN,         /* what a checkpoint may be used for now (design promise 3) */
    OWM_EVENT_STAKE,          /* what the treasury sees of a node's channels now */
    OWM_EVENT_SLASH,          /* a decided case (controlplane/slashing): suspend the node */
    OWM_EVENT_REINSTATE,      /* an overturned case: as if it had never been */
};

struct owm_register_event {
    uint8_t node_id[16]; /* a fresh random id: taken if the key is new, else the old one stays */
    uint8_t public_key[32];
    struct owm_capabilities capabilities;
    char ln_node_uri[OWM_URI_BYTES];
    char onion_address[OWM_ONION_BYTES];
    char alias[OWM_ALIAS_BYTES];
    char payout_to[OWM_URI_BYTES];
    uint8_t ln_key[33]; /* proven by signature, or bound before; zero: none (stake policy "none").
                           Bound to another identity: LN_KEY_BOUND */
    int64_t stake_sats; /* the node's side of its channels as the treasury sees it; 0: no channel */
    int64_t stake_read_ms; /* when that was read; 0: now */
    bool stake_pending;    /* enough is locked once it is confirmed: register as "pending" */
};

/** A stake that was read. The engine recomputes the bonus (SRS-STAKE-10), degrades (SRS-STAKE-02),
 *  suspends after the grace of SRS-STAKE-03, restores, deregisters (SRS-STAKE-08). Readings of one
 *  node come in the order in which they were taken. */
struct owm_stake_event {
    uint8_t node_id[16];
    uint8_t ln_key[33]; /* whose channels were read: a reading of a key that the node had before is
                           none; zero: the node's */
    int64_t read_ms;    /* when the treasury was asked */
    int64_t stake_sats;
    bool closed; /* the node has no channel left and its last one was closed by it or together:
                    it has left, without penalty */
};

/** What a checkpoint's proof is good enough for; false takes back what was said, when the proof was
 *  lost. Said again after a start, because it is no row of the engine's. Looked at only where the
 *  config wants proofs. */
struct owm_proven_event {
    uint8_t model_hash[32];
    uint64_t model_bytes;
    uint32_t round; /* that made it */
    bool training, serving;
};

struct owm_slash_event {
    uint8_t node_id[16];
    uint8_t case_id[16];
    char reason[OWM_REASON_BYTES];
};

struct owm_manifest_event {
    uint8_t node_id[16];
    uint64_t sequence; /* not greater than the last one: STALE_MANIFEST */
    struct owm_capabilities capabilities;
};

struct owm_lease {
    uint8_t task_id[16];
    uint64_t lease_token;
};

/** Heartbeat, and STREAM_OPENED with `stream` (never 0; a newer stream replaces an older one). */
struct owm_heartbeat_event {
    uint8_t node_id[16];
    uint64_t stream;
    uint64_t boot_id;
    uint32_t free_slots; /* what the node says; ours is slots minus leases, the smaller counts */
    bool draining;
    uint32_t lease_count; /* at most OWM_RENEWALS_MAX; more are cut */
    const struct owm_lease *leases;
};

struct owm_stream_closed_event {
    uint8_t node_id[16];
    uint64_t stream; /* another than the newest: ignored */
};

/** Any type but fl_round. Idempotent by task_id: derive it from caller and idempotency key
 *  (owm_uuid_derive), or draw it at random where there is none. The memory of finished tasks is
 *  finished_max long; before submitting again look into the database. */
struct owm_submit_event {
    uint8_t task_id[16];
    enum owm_task_type type;
    enum owm_tier min_tier; /* raised to the minimum of the type */
    uint32_t timeout_ms;    /* clamped to 1,000..task_timeout_max_ms; 0: the default */
    uint8_t input_hash[32];
    char idempotency_key[OWM_IDEMPOTENCY_BYTES];
    const uint8_t *payload; /* copied */
    size_t payload_bytes;
};

struct owm_cancel_event {
    uint8_t task_id[16];
};

struct owm_progress_event {
    uint8_t task_id[16];
    uint8_t node_id[16];
    uint64_t lease_token;
};

struct owm_result_event {
    uint8_t task_id[16];
    uint8_t node_id[16];
    uint64_t lease_token;
    uint8_t output_hash[32];
    const uint8_t *output; /* plain; NULL for fl_round */
    size_t output_bytes;
    const char *error; /* NULL or "": it succeeded */
    bool unproven;     /* the error: it may not use these weights, which is nobody's misbehaviour */
    /* fl_round: the package is in the blob store */
    uint8_t package_hash[32];
    uint64_t package_bytes;
    float train_loss_first, train_loss_last;
    uint64_t tokens;
};

/** The caller's checks failed. HASH_MISMATCH with evidence: a signal, and the lease ends. Others:
 *  counted; the lease goes on, for whoever sent it may not be the holder. */
struct owm_result_refused_event {
    uint8_t task_id[16];
    uint8_t node_id[16];
    uint64_t lease_token;
    enum owm_code code; /* HASH_MISMATCH, BAD_SIGNATURE, BAD_OUTPUT */
    uint8_t evidence_hash[32];
};

/** Structure, signature, base model, nonce, replay: dataplane/fl/delta.h says. */
struct owm_judged_event {
    uint32_t round;
    uint8_t node_id[16];
    uint8_t package_hash[32];
    bool ok;
    char reason[OWM_REASON_BYTES];
    uint8_t evidence_hash[32]; /* not zero: also a signal "poisoned_gradient" */
};

struct owm_verdict {
    uint8_t node_id[16];
    bool included;
    char reason[OWM_REASON_BYTES];
    double weight;
    uint8_t evidence_hash[32]; /* not zero: also a signal "poisoned_gradient" */
};

/** ok: the verdicts are final; if one is included, the checkpoint is stored and signed and its
 *  manifest complete. If none is, there is no update (model and certificate are not looked at): the
 *  round fails at once, and verdicts and signals are kept. Not ok: it could not be done, and is
 *  tried again, at most aggregate_attempts_max times, then the round fails. */
struct owm_aggregated_event {
    uint32_t round;
    bool ok;
    char reason[OWM_REASON_BYTES];
    struct owm_model_row model; /* round, created_ms and is_current are set by the engine */
    float heldout_before, heldout_after;
    uint8_t certificate_hash[32];
    uint32_t verdict_count;
    const struct owm_verdict *verdicts;
};

struct owm_event {
    enum owm_event_kind kind;
    uint64_t cookie; /* comes back in the answer; the engine does not look at it */
    union {
        struct owm_register_event reg;
        struct owm_manifest_event manifest;
        struct owm_heartbeat_event heartbeat; /* HEARTBEAT, STREAM_OPENED */
        struct owm_stream_closed_event closed;
        struct owm_submit_event submit;
        struct owm_cancel_event cancel;
        struct owm_progress_event progress;
        struct owm_result_event result;
        struct owm_result_refused_event refused;
        struct owm_judged_event judged;
        struct owm_aggregated_event aggregated;
        struct owm_model_row model;
        struct owm_proven_event proven;
        struct owm_stake_event stake;
        struct owm_slash_event slash; /* SLASH, REINSTATE */
    };
};

/* --- outputs --------------------------------------------------------------------------------- */

enum owm_output_kind {
    OWM_OUTPUT_REGISTERED,    /* answers */
    OWM_OUTPUT_HEARTBEAT,     /* answers */
    OWM_OUTPUT_SUBMITTED,     /* answers */
    OWM_OUTPUT_RESULT,        /* answers */
    OWM_OUTPUT_DONE,          /* answers: code only */
    OWM_OUTPUT_DISPATCH,      /* write a task to a node's stream; a node that has it ignores it */
    OWM_OUTPUT_TASK_CHANGED,  /* tell who watches */
    OWM_OUTPUT_ROUND_CHANGED, /* tell who watches */
    OWM_OUTPUT_VERIFY,        /* check a package; answer with JUDGED */
    OWM_OUTPUT_AGGREGATE,     /* aggregate; answer with AGGREGATED. The list: below */
    OWM_OUTPUT_STAKE_WANTED, /* a task waits for this node and its stake was read too long ago: read
                                 it and answer with STAKE. Said again after stake_retry_ms */
};

struct owm_registered_output {
    uint8_t node_id[16]; /* zero: refused, and the key is not known */
    enum owm_node_status status;
    enum owm_code code;
    int64_t required_stake_sats;
    int64_t cooldown_until_ms;
    bool is_new;
};

struct owm_heartbeat_output {
    enum owm_code code; /* UNKNOWN_NODE: register again */
    enum owm_node_status status;
    uint32_t pending_tasks;
    uint32_t round; /* newest complete one */
    uint32_t lost_count;
    uint8_t lost[OWM_LOST_LEASES_MAX][16];
    uint8_t model_hash[32]; /* zero: none yet */
    enum owm_why why;       /* why it has nothing to do */
    int64_t cooldown_until_ms;
    int64_t stake_sats, required_stake_sats;
    int64_t degraded_until_ms; /* 0: it is not degraded */
};

struct owm_submitted_output {
    enum owm_code code;
    uint8_t task_id[16];
    enum owm_task_state state; /* a known task may already be further */
};

struct owm_result_output {
    bool accepted; /* also for the repetition of an accepted result */
    enum owm_code code;
    int64_t reward_msat; /* 0 while a delta is still to be judged */
};

struct owm_done_output {
    enum owm_code code;
};

struct owm_stake_wanted_output {
    uint8_t node_id[16];
    uint8_t ln_key[33];
};

struct owm_dispatch_output {
    uint8_t node_id[16];
    uint8_t public_key[32];
    uint64_t stream;
    uint8_t task_id[16];
    enum owm_task_type type;
    uint64_t lease_token;
    uint32_t attempt;
    uint32_t timeout_ms;
    int64_t deadline_ms;
    int64_t reward_msat; /* at quality 1 */
    const uint8_t *payload;
    size_t payload_bytes;
    uint8_t base_hash[32]; /* fl_round: what the round starts from; others: the newest checkpoint */
    uint64_t base_bytes;
    uint32_t round;    /* fl_round */
    uint8_t nonce[16]; /* fl_round */
};

struct owm_task_changed_output {
    uint8_t task_id[16];
    enum owm_task_type type;
    enum owm_task_state state;
    uint8_t node_id[16];
    uint32_t attempt;
    int64_t reward_msat;
    char reason[OWM_REASON_BYTES];
    const uint8_t *output;
    size_t output_bytes;
};

struct owm_verify_output {
    uint32_t round;
    uint8_t node_id[16];
    uint8_t public_key[32];
    uint8_t nonce[16];
    uint8_t base_hash[32];
    uint8_t package_hash[32];
    uint64_t package_bytes;
};

/** The verified packages sorted by public key: the fixed order of aggregation (promise 5). */
struct owm_aggregate_output {
    struct owm_round_row round;
    uint32_t count;
    const struct owm_participant_row *participants; /* borrowed until owm_engine_clear */
};

struct owm_output {
    enum owm_output_kind kind;
    uint64_t cookie; /* of answers */
    union {
        struct owm_registered_output registered;
        struct owm_heartbeat_output heartbeat;
        struct owm_submitted_output submitted;
        struct owm_result_output result;
        struct owm_done_output done;
        struct owm_dispatch_output dispatch;
        struct owm_task_changed_output task;
        struct owm_round_row round;
        struct owm_verify_output verify;
        struct owm_aggregate_output aggregate;
        struct owm_stake_wanted_output stake_wanted;
    };
};

#endif
