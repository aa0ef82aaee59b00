/* link.h: the coordinator's calls (proto/coordinator.proto) with typed messages.
 *
 * Thread: any. Every function returns what owm_rpc_call_unary returns, or OWM_E_PROTO for an answer
 * that does not parse; `error` then names the call and the cause. Answers are freed with
 * link_free.
 */
#ifndef OWM_NODE_LINK_H
#define OWM_NODE_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/rpc/rpc.h"
#include "base/status.h"
#include "coordinator.pb-c.h"
#include "dataplane/store/blob_store.h"

#define PB(name) Owm__Coordinator__V1__##name

#define LINK_CALL_TIMEOUT_MS   10000
#define LINK_STALL_TIMEOUT_MS  60000 /* a transfer without progress for this long has failed */
#define LINK_CHUNK_BYTES       (1024 * 1024)
#define LINK_MESSAGE_BYTES_MAX (8 * 1024 * 1024)

/** link_free: any answer or task. NULL is allowed. */
void link_free(void *message);

owm_status link_hello(struct owm_rpc_client *rpc, const PB(HelloRequest) * request,
                      PB(HelloResponse) * *response, struct owm_error *error) OWM_MUST_USE;
owm_status link_register(struct owm_rpc_client *rpc, const PB(RegisterNodeRequest) * request,
                         PB(RegisterNodeResponse) * *response,
                         struct owm_error *error) OWM_MUST_USE;
owm_status link_heartbeat(struct owm_rpc_client *rpc, const PB(HeartbeatRequest) * request,
                          PB(HeartbeatResponse) * *response, struct owm_error *error) OWM_MUST_USE;
owm_status link_progress(struct owm_rpc_client *rpc, const PB(TaskProgress) * request,
                         PB(TaskProgressAck) * *response, struct owm_error *error) OWM_MUST_USE;
owm_status link_receipt(struct owm_rpc_client *rpc, const PB(ReceiptRequest) * request,
                        PB(ReceiptResponse) * *response, struct owm_error *error) OWM_MUST_USE;
owm_status link_version(struct owm_rpc_client *rpc, const PB(GetModelVersionRequest) * request,
                        PB(ModelVersion) * *response, struct owm_error *error) OWM_MUST_USE;
owm_status link_bond(struct owm_rpc_client *rpc, const PB(BondRequest) * request,
                     PB(BondResponse) * *response, struct owm_error *error) OWM_MUST_USE;
owm_status link_earnings(struct owm_rpc_client *rpc, const PB(EarningsRequest) * request,
                         PB(EarningsResponse) * *response, struct owm_error *error) OWM_MUST_USE;

/** link_submit: a packed TaskResult as it lies in the task log. */
owm_status link_submit(struct owm_rpc_client *rpc, const uint8_t *result, size_t bytes,
                       PB(TaskResultAck) * *response, struct owm_error *error) OWM_MUST_USE;

/** link_stream: open StreamTasks; messages are read with link_next. */
owm_status link_stream(struct owm_rpc_client *rpc, const PB(HeartbeatRequest) * request,
                       struct owm_rpc_stream **stream, struct owm_error *error) OWM_MUST_USE;

/** link_next: Returns: OWM_OK; OWM_E_TIMEOUT none yet; OWM_E_NOTFOUND the stream ended, `error`
 * says how; OWM_E_PROTO a message that does not parse (the stream goes on). */
owm_status link_next(struct owm_rpc_stream *stream, unsigned timeout_ms, PB(Task) * *task,
                     struct owm_error *error) OWM_MUST_USE;

/** link_transfer: one upload or download. */
struct link_transfer {
    const uint8_t *sha256; /* [32] */
    uint64_t bytes;        /* download: its size; more is refused, less is an error */
    const char *task_id;   /* upload: whose it is */
    uint64_t lease_token;
    const atomic_bool *cancel; /* may be NULL */
    uint64_t deadline_ms;      /* monotonic; 0: none */
};

/** link_download: fetch a blob into the store, going on where an earlier try stopped; the hash is
 *  checked before it counts. Returns: OWM_OK (also if it was there); OWM_E_CRYPTO other bytes than
 *  promised; OWM_E_LIMIT; OWM_E_CANCELLED; OWM_E_TIMEOUT; as above. *received: bytes on the wire.
 */
owm_status link_download(struct owm_rpc_client *rpc, struct owm_blob_store *store,
                         const struct link_transfer *transfer, uint64_t *received,
                         struct owm_error *error) OWM_MUST_USE;

/** link_upload: Returns: OWM_OK; OWM_E_STATE refused, with the coordinator's reason; as above. */
owm_status link_upload(struct owm_rpc_client *rpc, const struct link_transfer *transfer,
                       const uint8_t *data, size_t bytes, struct owm_error *error) OWM_MUST_USE;

#endif
