/* task.h: a task as it came, checked against its schema before anything is done (SRS-NODE-07). */
#ifndef OWM_NODE_TASK_H
#define OWM_NODE_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/identity.h"
#include "base/status.h"
#include "node/link.h"
#include "node/task_log.h"

#define TASK_PAYLOAD_BYTES_MAX (256 * 1024)
#define TASK_TIMEOUT_S_MAX     86400

enum task_type { TASK_INFERENCE, TASK_FL_ROUND };

/** node_task: owns the payload; node_task_deinit. */
struct node_task {
    char id[OWM_TASK_ID_MAX]; /* UUID */
    enum task_type type;
    uint64_t lease_token;
    uint32_t attempt;
    int64_t reward_sats;
    int64_t received_ms;  /* Unix */
    uint64_t deadline_ms; /* monotonic */
    uint8_t input_hash[32];
    size_t input_bytes;
    union {
        PB(InferencePayload) * inference;
        PB(FlRoundPayload) * fl_round;
        void *payload;
    };
};

/** task_reader: what reading a task needs. */
struct task_reader {
    const owm_identity *identity;
    const uint8_t *coordinator_key; /* [32] */
    int64_t clock_offset_ms;        /* coordinator's clock minus ours */
    bool can_train;                 /* a shard is configured */
};

const char *task_type_name(enum task_type type);

/** task_read: envelope, then unbox (SRS-SEC-02), hash, payload, every field and range.
 *
 *  task  written on OWM_OK; on OWM_E_ARG its id, lease_token and times, so that the failure can be
 *        reported; nothing to free then.
 *  Returns: OWM_OK; OWM_E_ARG refused, `error` names the field, the value and what is allowed;
 *  OWM_E_PROTO not even the id is usable; OWM_E_NOMEM (as OWM_E_ARG).
 */
OWM_MUST_USE owm_status task_read(const struct task_reader *reader, const PB(Task) * message,
                                  struct node_task *task, struct owm_error *error);

void node_task_deinit(struct node_task *task);

#endif
