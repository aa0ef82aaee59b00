/* link.c: pack, call, unpack; and the two transfers. */
#include "node/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define SERVICE "/owm.coordinator.v1.CoordinatorService/"

void link_free(void *message)
{
    if (message != NULL) protobuf_c_message_free_unpacked(message, NULL);
}

/** method: one row: the path, its name for people, and what it answers. */
struct method {
    const char *path, *name;
    const ProtobufCMessageDescriptor *answer;
};

#define METHOD(symbol, answer_descriptor)                                                          \
    {                                                                                              \
        SERVICE symbol, symbol, &owm__coordinator__v1__##answer_descriptor##__descriptor           \
    }

static const struct method hello = METHOD("Hello", hello_response);
static const struct method registration = METHOD("RegisterNode", register_node_response);
static const struct method heartbeat = METHOD("Heartbeat", heartbeat_response);
static const struct method progress = METHOD("ReportProgress", task_progress_ack);
static const struct method submit = METHOD("SubmitTaskResult", task_result_ack);
static const struct method version = METHOD("GetModelVersion", model_version);
static const struct method receipt = METHOD("GetReceipt", receipt_response);
static const struct method bond = METHOD("NodeBond", bond_response);
static const struct method earnings = METHOD("GetEarnings", earnings_response);

static owm_status call_packed(struct owm_rpc_client *rpc, const struct method *method,
                              const uint8_t *bytes, size_t count, void *response,
                              struct owm_error *error)
{
    struct owm_rpc_reply reply;
    owm_status status =
        owm_rpc_call_unary(rpc, method->path, bytes, count, LINK_CALL_TIMEOUT_MS, &reply);
    ProtobufCMessage *message = NULL;
    if (status == OWM_OK) {
        message = protobuf_c_message_unpack(method->answer, NULL, reply.length, reply.bytes);
        if (message == NULL)
            status = owm_fail(error, OWM_E_PROTO, "%s: the answer does not parse", method->name);
    } else {
        owm_fail(error, status, "%s: %s (%s)", method->name,
                 reply.text[0] ? reply.text : owm_status_text(status),
                 owm_rpc_code_name(reply.code));
    }
    owm_rpc_reply_free(&reply);
    memcpy(response, &message, sizeof message);
    return status;
}

/** pack: malloc'ed; NULL without memory. */
static uint8_t *pack(const ProtobufCMessage *message, size_t *bytes)
{
    *bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *data = malloc(*bytes ? *bytes : 1);
    if (data != NULL) protobuf_c_message_pack(message, data);
    return data;
}

static owm_status call(struct owm_rpc_client *rpc, const struct method *method,
                       const ProtobufCMessage *request, void *response, struct owm_error *error)
{
    size_t bytes = 0;
    uint8_t *data = pack(request, &bytes);
    if (data == NULL) {
        memset(response, 0, sizeof(void *));
        return owm_fail(error, OWM_E_NOMEM, "%s: out of memory", method->name);
    }
    owm_status status = call_packed(rpc, method, data, bytes, response, error);
    free(data);
    return status;
}

#define CALL(function, method, request_type, response_type)                                        \
    owm_status function(struct owm_rpc_client *rpc, const PB(request_type) * request,              \
                        PB(response_type) * *response, struct owm_error * error)                   \
    {                                                                                              \
        return call(rpc, &method, &request->base, response, error);                                \
    }

CALL(link_hello, hello, HelloRequest, HelloResponse)
CALL(link_register, registration, RegisterNodeRequest, RegisterNodeResponse)
CALL(link_heartbeat, heartbeat, HeartbeatRequest, HeartbeatResponse)
CALL(link_progress, progress, TaskProgress, TaskProgressAck)
CALL(link_receipt, receipt, ReceiptRequest, ReceiptResponse)
CALL(link_version, version, GetModelVersionRequest, ModelVersion)
CALL(link_bond, bond, BondRequest, BondResponse)
CALL(link_earnings, earnings, EarningsRequest, EarningsResponse)

owm_status link_submit(struct owm_rpc_client *rpc, const uint8_t *result, size_t bytes,
                       PB(TaskResultAck) * *response, struct owm_error *error)
{
    return call_packed(rpc, &submit, result, bytes, response, error);
}

/* ------------------------------------------------------------------------------ streams */

static owm_status open_download(struct owm_rpc_client *rpc, const char *path,
                                const ProtobufCMessage *request, struct owm_rpc_stream **stream,
                                struct owm_error *error)
{
    size_t bytes = 0;
    uint8_t *data = pack(request, &bytes);
    owm_status status =
        data ? owm_rpc_stream_download(rpc, path, data, bytes, 0, stream) : OWM_E_NOMEM;
    free(data);
    if (status != OWM_OK) owm_fail(error, status, "%s: %s", path, owm_status_text(status));
    return status;
}

owm_status link_stream(struct owm_rpc_client *rpc, const PB(HeartbeatRequest) * request,
                       struct owm_rpc_stream **stream, struct owm_error *error)
{
    return open_download(rpc, SERVICE "StreamTasks", &request->base, stream, error);
}

/** next: one message of a server stream, parsed; NULL in *message unless OWM_OK. */
static owm_status next(struct owm_rpc_stream *stream, unsigned timeout_ms,
                       const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message,
                       struct owm_rpc_reply *reply)
{
    *message = NULL;
    owm_status status = owm_rpc_stream_read(stream, timeout_ms, reply);
    if (status != OWM_OK) return status;
    *message = protobuf_c_message_unpack(descriptor, NULL, reply->length, reply->bytes);
    return *message ? OWM_OK : OWM_E_PROTO;
}

owm_status link_next(struct owm_rpc_stream *stream, unsigned timeout_ms, PB(Task) * *task,
                     struct owm_error *error)
{
    struct owm_rpc_reply reply = {0};
    ProtobufCMessage *message = NULL;
    owm_status status =
        next(stream, timeout_ms, &owm__coordinator__v1__task__descriptor, &message, &reply);
    *task = (PB(Task) *)message;
    if (status == OWM_E_NOTFOUND)
        owm_fail(error, status, "the task stream ended: %s (%s)",
                 reply.text[0] ? reply.text : "no reason given", owm_rpc_code_name(reply.code));
    if (status == OWM_E_PROTO) owm_fail(error, status, "a task message does not parse");
    owm_rpc_reply_free(&reply);
    return status;
}

/* ---------------------------------------------------------------------------- transfers */

static bool given_up(const struct link_transfer *t, owm_status *status, struct owm_error *error)
{
    if (t->cancel != NULL && atomic_load(t->cancel))
        *status = owm_fail(error, OWM_E_CANCELLED, "the coordinator took the task back");
    else if (t->deadline_ms && owm_clock_mono_ms() > t->deadline_ms)
        *status = owm_fail(error, OWM_E_TIMEOUT, "the task's deadline passed during the transfer");
    else
        return false;
    return true;
}

/** receive: append chunks until the stream ends. OWM_OK: it ended well. */
static owm_status receive(struct owm_rpc_stream *stream, struct owm_blob_upload *upload,
                          uint64_t offset, const struct link_transfer *t, uint64_t *received,
                          struct owm_error *error)
{
    uint64_t heard_ms = owm_clock_mono_ms();
    owm_status status = OWM_OK;
    while (!given_up(t, &status, error)) {
        struct owm_rpc_reply reply = {0};
        ProtobufCMessage *message = NULL;
        status = next(stream, 500, &owm__coordinator__v1__blob_chunk__descriptor, &message, &reply);
        const PB(BlobChunk) *chunk = (const PB(BlobChunk) *)message;
        if (status == OWM_OK) {
            heard_ms = owm_clock_mono_ms();
            if (chunk->offset != offset)
                status = owm_fail(error, OWM_E_PROTO, "the model download skips from byte %llu",
                                  (unsigned long long)offset);
            else
                status = owm_blob_append(upload, chunk->data.data, chunk->data.len, error);
            offset += chunk->data.len;
            *received += chunk->data.len;
        } else if (status == OWM_E_NOTFOUND && reply.code == OWM_RPC_OK) {
            owm_rpc_reply_free(&reply);
            if (offset >= t->bytes) return OWM_OK;
            return owm_fail(error, OWM_E_NET, "the model download ended early, at byte %llu",
                            (unsigned long long)offset);
        } else if (status == OWM_E_NOTFOUND) {
            status = owm_fail(error, reply.code == OWM_RPC_NOT_FOUND ? OWM_E_NOTFOUND : OWM_E_NET,
                              "model download: %s (%s)", reply.text, owm_rpc_code_name(reply.code));
        } else if (status == OWM_E_TIMEOUT) {
            status = OWM_OK;
            if (owm_clock_mono_ms() - heard_ms > LINK_STALL_TIMEOUT_MS)
                status = owm_fail(error, OWM_E_NET, "the model download stalled");
        }
        link_free(message);
        owm_rpc_reply_free(&reply);
        if (status != OWM_OK) return status;
    }
    return status;
}

owm_status link_download(struct owm_rpc_client *rpc, struct owm_blob_store *store,
                         const struct link_transfer *t, uint64_t *received, struct owm_error *error)
{
    *received = 0;
    struct owm_blob_upload *upload = NULL;
    uint64_t offset = 0;
    owm_status status = owm_blob_begin(store, t->sha256, t->bytes, &upload, &offset, error);
    if (status == OWM_E_EXISTS) return OWM_OK;
    if (status != OWM_OK) return status;
    PB(BlobRequest) request = OWM__COORDINATOR__V1__BLOB_REQUEST__INIT;
    uint8_t hash[32];
    memcpy(hash, t->sha256, sizeof hash);
    request.hash = (ProtobufCBinaryData){sizeof hash, hash};
    request.offset = offset;
    struct owm_rpc_stream *stream = NULL;
    status = open_download(rpc, SERVICE "DownloadBlob", &request.base, &stream, error);
    if (status == OWM_OK) {
        status = receive(stream, upload, offset, t, received, error);
        owm_rpc_stream_close(stream);
    }
    if (status == OWM_OK) return owm_blob_finish(upload, NULL, error);
    owm_blob_suspend(upload);
    return status;
}

/** write_chunk: the first names hash, size and task. */
static owm_status write_chunk(struct owm_rpc_stream *stream, const struct link_transfer *t,
                              const uint8_t *data, size_t total, size_t offset)
{
    PB(BlobChunk) chunk = OWM__COORDINATOR__V1__BLOB_CHUNK__INIT;
    size_t count = total - offset < LINK_CHUNK_BYTES ? total - offset : LINK_CHUNK_BYTES;
    uint8_t hash[32];
    char task_id[64];
    if (offset == 0) {
        memcpy(hash, t->sha256, sizeof hash);
        snprintf(task_id, sizeof task_id, "%s", t->task_id);
        chunk.hash = (ProtobufCBinaryData){sizeof hash, hash};
        chunk.total_bytes = total;
        chunk.task_id = task_id;
        chunk.lease_token = t->lease_token;
    }
    chunk.offset = offset;
    /* Generated structs have no const; packing only reads. */
    chunk.data = (ProtobufCBinaryData){count, (uint8_t *)(uintptr_t)(data + offset)};
    size_t bytes = 0;
    uint8_t *packed = pack(&chunk.base, &bytes);
    if (packed == NULL) return OWM_E_NOMEM;
    owm_status status = owm_rpc_stream_write(stream, packed, bytes, LINK_STALL_TIMEOUT_MS);
    free(packed);
    return status;
}

/** upload_answer: what the coordinator says at the end. */
static owm_status upload_answer(struct owm_rpc_stream *stream, struct owm_error *error)
{
    struct owm_rpc_reply reply = {0};
    owm_status status = owm_rpc_stream_finish(stream, LINK_STALL_TIMEOUT_MS, &reply);
    if (status != OWM_OK) {
        owm_fail(error, status, "UploadBlob: %s (%s)", reply.text, owm_rpc_code_name(reply.code));
    } else {
        PB(BlobAck) *ack = owm__coordinator__v1__blob_ack__unpack(NULL, reply.length, reply.bytes);
        if (ack == NULL)
            status = owm_fail(error, OWM_E_PROTO, "UploadBlob: answer does not parse");
        else if (!ack->accepted)
            status = owm_fail(error, OWM_E_STATE, "the upload was refused: %s", ack->reason);
        link_free(ack);
    }
    owm_rpc_reply_free(&reply);
    return status;
}

owm_status link_upload(struct owm_rpc_client *rpc, const struct link_transfer *t,
                       const uint8_t *data, size_t bytes, struct owm_error *error)
{
    struct owm_rpc_stream *stream = NULL;
    owm_status status = owm_rpc_stream_upload(rpc, SERVICE "UploadBlob", 0, &stream);
    if (status != OWM_OK) return owm_fail(error, status, "UploadBlob could not begin");
    for (size_t at = 0; at < bytes && status == OWM_OK; at += LINK_CHUNK_BYTES) {
        if (given_up(t, &status, error)) {
            owm_rpc_stream_close(stream);
            return status;
        }
        status = write_chunk(stream, t, data, bytes, at);
    }
    /* OWM_E_STATE: the server has answered before the end; its answer says why. */
    if (status == OWM_OK || status == OWM_E_STATE)
        status = upload_answer(stream, error);
    else
        owm_fail(error, status, "UploadBlob: %s", owm_status_text(status));
    owm_rpc_stream_close(stream);
    return status;
}
