/* task_log.h: what this node did, was told and earned, in SQLite (SRS-NODE-06).
 *
 * Also the outbox of results: a result stays until the coordinator took or refused it, over
 * reconnects and restarts, and is sent again until then. One row per attempt (task, lease token):
 *
 *     running ─> finished ─(acknowledged)─> accepted | refused
 *        └─(the daemon died)─> abandoned
 *
 * Thread: any; calls take turns. WAL mode, synchronous: what a call wrote survives power loss.
 */
#ifndef OWM_NODE_TASK_LOG_H
#define OWM_NODE_TASK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_TASK_LOG_VERSION   2
#define OWM_TASK_ID_MAX        64
#define OWM_TASK_TYPE_MAX      24
#define OWM_TASK_TEXT_MAX      256
#define OWM_TASK_LOG_ROWS_KEPT 100000 /* acknowledged ones beyond this are pruned, oldest first */

typedef struct owm_task_log owm_task_log;

/** owm_task_row: one attempt, as shown on the page. Times are Unix ms, 0: not yet. */
struct owm_task_row {
    char task_id[OWM_TASK_ID_MAX];
    uint64_t lease_token;
    char type[OWM_TASK_TYPE_MAX];
    char state[12];
    uint32_t round;
    int64_t received_ms, finished_ms, execution_ms, acknowledged_ms;
    uint8_t input_hash[32], output_hash[32];
    int64_t input_bytes, output_bytes;
    int64_t reward_msat; /* as accepted; 0 while a delta is still judged */
    char reason[OWM_TASK_TEXT_MAX];
    char payment_state[12]; /* "", owed, in_flight, settled, failed, cancelled */
    int64_t payment_msat;
};

/** owm_task_earning: a payment as the coordinator tells it. */
struct owm_task_earning {
    const char *task_id, *purpose, *state, *reason;
    int64_t amount_msat, created_ms;
    uint32_t round;
    int64_t updated_ms; /* when its state last changed; 0: not told */
    uint32_t attempts;
    const uint8_t *payment_hash, *preimage; /* [32]; NULL: none yet */
};

/** owm_task_payment: one, as it lies in the log. The preimage is the proof that it was paid: its
 *  SHA-256 is the payment hash. */
struct owm_task_payment {
    char task_id[OWM_TASK_ID_MAX], purpose[OWM_TASK_TYPE_MAX], state[12];
    char reason[OWM_TASK_TEXT_MAX];
    int64_t amount_msat, created_ms, updated_ms;
    uint32_t round, attempts;
    bool has_hash, has_preimage;
    uint8_t payment_hash[32], preimage[32];
};

struct owm_task_totals {
    int64_t tasks, accepted, refused, unsent;
    int64_t owed_msat, in_flight_msat, settled_msat, failed_msat, cancelled_msat;
    int64_t owed_since_ms;    /* the oldest unpaid one; 0: none */
    int64_t last_accepted_ms; /* 0: never */
};

/** owm_task_log_open: open or create, and bring an older version up to date; attempts that a crash
 *  left running become abandoned: for the daemon alone.
 *  Returns: OWM_OK; OWM_E_STATE the file is of a newer version; OWM_E_PROTO it is no task log;
 *  OWM_E_IO; OWM_E_NOMEM; each with the fix. */
OWM_MUST_USE owm_status owm_task_log_open(const char *path, owm_task_log **out,
                                          struct owm_error *error);
/** owm_task_log_join: the same beside a running daemon: no attempt is touched. */
OWM_MUST_USE owm_status owm_task_log_join(const char *path, owm_task_log **out,
                                          struct owm_error *error);
/** owm_task_log_peek: the same read-only, for `status` and `earnings` beside a running daemon. */
OWM_MUST_USE owm_status owm_task_log_peek(const char *path, owm_task_log **out,
                                          struct owm_error *error);
void owm_task_log_close(owm_task_log *log);

/** owm_task_log_begin: a task was taken. row: task_id, lease_token, type, round, received_ms,
 *  input_hash, input_bytes. Returns: OWM_OK; OWM_E_EXISTS this attempt is known; OWM_E_IO. */
OWM_MUST_USE owm_status owm_task_log_begin(owm_task_log *log, const struct owm_task_row *row);

/** owm_task_log_finish: its result (packed TaskResult) waits to be sent. row: task_id, lease_token,
 *  finished_ms, execution_ms, output_hash, output_bytes, reason ("" or why it failed).
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_IO. */
OWM_MUST_USE owm_status owm_task_log_finish(owm_task_log *log, const struct owm_task_row *row,
                                            const uint8_t *result, size_t result_bytes);

/** owm_task_log_acknowledge: the coordinator's definite answer; the result is dropped.
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_IO. */
OWM_MUST_USE owm_status owm_task_log_acknowledge(owm_task_log *log, const char *task_id,
                                                 uint64_t lease_token, bool accepted,
                                                 const char *reason, int64_t reward_msat);

/** owm_task_log_unsent: the oldest result that waits and is not in `after` order: finished after
 *  sequence *cursor (0 at first); *cursor moves on.
 *  result  malloc'ed, the caller frees.
 *  Returns: OWM_OK; OWM_E_NOTFOUND none; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_task_log_unsent(owm_task_log *log, int64_t *cursor,
                                            struct owm_task_row *row, uint8_t **result,
                                            size_t *result_bytes);

/** owm_task_log_earning: insert or update one payment. Returns: OWM_OK; OWM_E_IO. */
OWM_MUST_USE owm_status owm_task_log_earning(owm_task_log *log,
                                             const struct owm_task_earning *earning);

/** owm_task_log_payments: newest first, from the skip-th on; *count how many, at most rows_max. */
OWM_MUST_USE owm_status owm_task_log_payments(owm_task_log *log, struct owm_task_payment *rows,
                                              size_t skip, size_t rows_max, size_t *count);

OWM_MUST_USE owm_status owm_task_log_totals(owm_task_log *log, struct owm_task_totals *totals);

/** owm_task_log_recent: newest first; *count how many, at most rows_max. */
OWM_MUST_USE owm_status owm_task_log_recent(owm_task_log *log, struct owm_task_row *rows,
                                            size_t rows_max, size_t *count);

/** owm_task_log_set / _get: small texts that outlive a restart ("node_id").
 *  Returns (get): OWM_OK; OWM_E_NOTFOUND; OWM_E_LIMIT it does not fit; OWM_E_IO. */
OWM_MUST_USE owm_status owm_task_log_set(owm_task_log *log, const char *key, const char *value);
OWM_MUST_USE owm_status owm_task_log_get(owm_task_log *log, const char *key, char *value,
                                         size_t capacity);

#endif
