/* node.h: the running daemon: what its threads share.
 *
 *   session    connect, register, read the task stream, again after a pause
 *   heartbeat  renew leases, send the manifest when due
 *   courier    deliver results until they are answered, fetch earnings
 *   stake      look at the stake channel through the operator's Lightning node (stake_watch.h)
 *   slot 0..n  one task at a time each, with a worker process of its own
 *   http       the local page
 *
 * Everything under "guarded" is read and written with `lock` held; `changed` is signalled when a
 * thread may have something to do. The rest does not change after node_open.
 */
#ifndef OWM_NODE_NODE_H
#define OWM_NODE_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/identity.h"
#include "base/lightning/lightning.h"
#include "base/metrics.h"
#include "dataplane/store/blob_store.h"
#include "node/config.h"
#include "node/detect.h"
#include "node/link.h"
#include "node/models.h"
#include "node/shard.h"
#include "node/task.h"
#include "node/task_log.h"
#include "node/worker_child.h"

#define NODE_SOFTWARE     "owm-node 0.1.0"
#define NODE_PROTOCOL_MIN 1
#define NODE_PROTOCOL_MAX 1
#define NODE_ID_MAX       64
#define NODE_WORD_MAX     32

/** node_timing: pauses, in ms; node_timing_default unless a test is in a hurry. */
struct node_timing {
    unsigned reconnect_min, reconnect_max; /* full jitter between 0 and min * 2^n, at most max */
    unsigned stake_retry;                  /* after INSUFFICIENT_STAKE */
    unsigned resend;                       /* between two tries to deliver a result */
    unsigned earnings;                     /* between two looks at what was earned */
    unsigned heartbeat_max;                /* whatever the coordinator asks for */
    unsigned stake_look;                   /* between two looks at the stake channel */
    unsigned proof_again; /* between two looks for a better proof of a version in use */
};
extern const struct node_timing node_timing_default;

enum node_link { NODE_CONNECTING, NODE_REGISTERED, NODE_REFUSED };

#define NODE_STAKE_NOTE_MAX 240

/** node_stake: what is known of this node's stake. Sats; times are Unix ms, 0: never. */
struct node_stake {
    /* The coordinator's word, by registrations and heartbeats. */
    char treasury_uri[OWM_LIGHTNING_TEXT_BYTES];
    int64_t sats, required_sats; /* required 0: none is asked for, or not known yet */
    unsigned bonus_permille;     /* 1000 to 2000; 0: not known */
    int64_t degraded_until_ms;   /* 0: not degraded */
    char note[NODE_STAKE_NOTE_MAX];

    /* What the operator's Lightning node shows of channels that it opened to the treasury. */
    int64_t looked_ms;                  /* last time it answered */
    char look_error[OWM_TASK_TEXT_MAX]; /* why it did not, last time; "" */
    int64_t open_sats, opening_sats;    /* its side of them */
    unsigned open, opening, closing;    /* channels */
    unsigned offline;                   /* of the open ones: the treasury is not connected */
};

/** node_model_used: the newest version that was used for one thing. Times are Unix ms. */
struct node_model_used {
    bool known;   /* one was */
    bool checked; /* by this process; else version and proof are empty */
    char version[MANIFEST_VERSION_MAX];
    uint32_t round;
    uint8_t sha256[32];
    int64_t since_ms;
    struct proof_facts proof;
};

/** node_model_refused: the last one that was; code REFUSAL_NONE: none. */
struct node_model_refused {
    enum refusal_code code;
    enum model_use use;
    int64_t at_ms;
    uint8_t sha256[32];
    char why[OWM_ERROR_BYTES_MAX];
};

struct node_models_view {
    struct node_model_used used[MODEL_USES];
    struct node_model_refused refused;
};

/** node_view: what is known of the network; copied for the page. Times are Unix ms, 0: never. */
struct node_view {
    enum node_link link;
    char node_id[NODE_ID_MAX];
    char status[NODE_WORD_MAX];  /* active, pending, degraded, suspended */
    char network[NODE_WORD_MAX]; /* "devnet" … */
    char stake_policy[NODE_WORD_MAX];
    char notice[OWM_ERROR_BYTES_MAX];     /* the coordinator to the operator */
    char last_error[OWM_ERROR_BYTES_MAX]; /* "" while registered and well */
    int64_t link_since_ms, heartbeat_ms, next_try_ms;
    int64_t clock_offset_ms;
    struct node_stake stake;
    unsigned heartbeat_period_ms, manifest_period_ms;
    uint64_t manifest_sequence;
    int64_t manifest_ms;
    uint8_t model_hash[32];
    uint32_t round;
    bool model_known;
    struct node_models_view models;
    char trouble[OWM_ERROR_BYTES_MAX]; /* last thing that went wrong in a task */
    int64_t trouble_ms;
};

/** node_slot: guarded but for worker, cancel and thread. */
struct node_slot {
    struct node *node;
    unsigned index;
    pthread_t thread;
    bool started;
    owm_worker *worker; /* the slot thread's */
    atomic_bool cancel;
    bool busy;
    struct node_task task;
    int64_t started_ms;
    char doing[96];
};

struct node_metrics {
    owm_counter *tasks_done[2], *tasks_failed[2], *tasks_refused; /* by enum task_type */
    owm_counter *heartbeats, *heartbeats_failed, *sessions, *results_sent, *results_refused;
    owm_counter *bytes_up, *bytes_down, *models_refused[REFUSAL_CODES];
    owm_gauge *registered, *slots_busy, *owed_msat, *settled_msat, *unsent, *worker_starts;
    owm_gauge *stake, *stake_required;
};

struct node_mining;     /* mining.h */
struct node_provenance; /* provenance.h */

struct node {
    struct owm_node_config config;
    struct node_mining *_Atomic mining; /* NULL: this node does not mine. Pages look at it. */
    struct node_timing timing;
    char target[OWM_NODE_TARGET_MAX];
    char *coordinator_pem;
    uint8_t coordinator_key[32];
    owm_identity *identity;
    struct owm_cert cert;
    struct owm_machine machine;
    char backend[OWM_WORKER_BACKEND_BYTES]; /* what tasks run on; set by node_slots_start */
    struct owm_tier_result tier;
    struct shard shard;
    owm_task_log *log;
    struct owm_blob_store *store;
    node_models *models;
    struct node_provenance *provenance;
    owm_metrics *metrics;
    struct node_metrics count;
    struct owm_rpc_client *rpc;
    uint64_t boot_id;
    int64_t started_ms;
    int lock_fd;
    unsigned slot_count;
    pthread_t session, heartbeat, courier, stake;
    bool threads_started;
    bool rebind;              /* the session thread's: prove the stake although it is bound */
    pthread_mutex_t training; /* one round at a time: there is one residual */

    pthread_mutex_t lock; /* guarded from here */
    pthread_cond_t changed;
    struct node_view view;
    struct node_slot slots[OWM_NODE_SLOTS_MAX];
    bool draining;
    bool beat_now;     /* a heartbeat is due at once */
    bool deliver_now;  /* a result waits */
    bool register_now; /* the coordinator does not know us any more */
    atomic_bool stop;
};

/** node_open: lock the data folder, load or make the identity, detect, open log and store; nothing
 *  is sent yet. Takes config (also on failure).
 *  Returns: OWM_OK; OWM_E_EXISTS another owm-node has this folder (its pid in the error);
 *  OWM_E_CONFIG; OWM_E_PERM; OWM_E_IO …; each with the fix. */
OWM_MUST_USE owm_status node_open(const struct owm_node_config *config,
                                  const struct node_timing *timing, struct node **out,
                                  struct owm_error *error);

/** node_start: start the threads. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status node_start(struct node *node, struct owm_error *error);

/** node_drain: take no new task from now on, and say so (SRS-NODE-09). */
void node_drain(struct node *node);

/** node_idle: draining has ended: no task runs and every result was answered. */
bool node_idle(struct node *node);

/** node_close: stop at once, join, free. Results not delivered stay in the log. NULL is allowed. */
void node_close(struct node *node);

/** node_look: a consistent copy of the guarded view. */
void node_look(struct node *node, struct node_view *view);

/** node_trouble: remember what went wrong in a task, for the page; also logs it. */
void node_trouble(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** node_wait: wait for `changed` at most this long. lock is held. */
void node_wait(struct node *node, unsigned timeout_ms);

/* session.c */
void *node_session_main(void *node);
void *node_heartbeat_main(void *node);

/* courier.c */
void *node_courier_main(void *node);

/** node_result: sign and box the outcome and put it into the log, from where the courier takes it.
 *  failure  "" or why there is no output.   Returns: OWM_OK; OWM_E_IO; OWM_E_NOMEM. */
struct node_outcome {
    const uint8_t *output;
    size_t output_bytes;
    const char *failure;
    int64_t execution_ms;
};
OWM_MUST_USE owm_status node_result(struct node *node, const struct node_task *task,
                                    const struct node_outcome *outcome);

/* slots.c */
OWM_MUST_USE owm_status node_slots_start(struct node *node, struct owm_error *error);
void node_slots_stop(struct node *node);

/** node_slots_give: Takes task on OWM_OK. Returns: OWM_OK; OWM_E_LIMIT no slot is free. */
OWM_MUST_USE owm_status node_slots_give(struct node *node, struct node_task *task);

/** node_slots_lost: this lease of a task is gone: stop working on it. lease_token 0: any lease. */
void node_slots_lost(struct node *node, const char *task_id, uint64_t lease_token);
unsigned node_slots_busy(struct node *node);
void node_slot_doing(struct node_slot *slot, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** node_slot_pause: wait a little before trying again; returns at once when called off. */
void node_slot_pause(struct node_slot *slot);

/* task_inference.c, task_round.c: run in a slot's thread. On OWM_OK output is malloc'ed. */
OWM_MUST_USE owm_status node_run_inference(struct node_slot *slot, uint8_t **output, size_t *bytes,
                                           struct owm_error *error);
OWM_MUST_USE owm_status node_run_round(struct node_slot *slot, uint8_t **output, size_t *bytes,
                                       struct owm_error *error);

/** node_checkpoint: the weights with this hash, proven for this use, from the cache or the
 *  coordinator. fd is the caller's. Returns: OWM_OK; OWM_E_PERM refused, `error` begins with
 *  "UNPROVEN: CODE: " (REFUSAL_MAP); OWM_E_AGAIN, OWM_E_CONFIG "CANNOT_CHECK: …", the block of its
 *  proof cannot be looked up; as link_download. */
struct checkpoint {
    enum model_use use;
    const uint8_t *sha256; /* [32] */
    uint64_t bytes;
};
OWM_MUST_USE owm_status node_checkpoint(struct node_slot *slot, const struct checkpoint *checkpoint,
                                        int *fd, struct owm_error *error);

#endif
