/* client.c: pack, call, unpack. */
#include "client.h"

#include <coordinator.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/identity.h"
#include "base/rpc/rpc.h"
#include "base/uuid.h"

#define CALL_TIMEOUT_MS 5000
#define PEM_BYTES_MAX   (64 * 1024)
#define SERVICE         "/owm.internal.v1.InternalService/"

struct client {
    struct owm_rpc_client *rpc;
};

owm_status client_open(struct client **client, const char *target, const char *certificate_path,
                       const char *key_path, struct owm_error *error)
{
    uint8_t *pem = NULL;
    size_t pem_bytes;
    owm_identity *identity = NULL;
    struct owm_cert cert = {0};
    struct client *made = calloc(1, sizeof *made);
    owm_status status = made ? OWM_OK : OWM_E_NOMEM;

    if (status == OWM_OK)
        status = owm_fs_read(certificate_path, PEM_BYTES_MAX, &pem, &pem_bytes, error);
    if (status == OWM_OK) status = owm_identity_load_or_create(key_path, &identity, NULL, error);
    if (status == OWM_OK) status = owm_identity_cert(identity, "owm-operator", NULL, &cert, error);
    if (status == OWM_OK) {
        struct owm_rpc_client_config config = {.target = target,
                                               .server_certificate_pem = (const char *)pem,
                                               .certificate_pem = cert.cert_pem,
                                               .key_pem = cert.key_pem,
                                               .reconnect_min_ms = 200,
                                               .reconnect_max_ms = 2000};
        status = owm_rpc_client_open(&made->rpc, &config, error);
    }
    owm_cert_deinit(&cert);
    owm_identity_close(identity);
    free(pem);
    if (status) {
        free(made);
        return status;
    }
    *client = made;
    return OWM_OK;
}

void client_close(struct client *client)
{
    if (!client) return;
    owm_rpc_client_close(client->rpc);
    free(client);
}

static owm_status call(struct client *client, const char *path, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *type, ProtobufCMessage **out,
                       struct owm_error *error)
{
    struct owm_rpc_reply reply = {0};
    size_t bytes = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = malloc(bytes + 1);
    if (!packed) return OWM_E_NOMEM;
    protobuf_c_message_pack(request, packed);
    owm_status status =
        owm_rpc_call_unary(client->rpc, path, packed, bytes, CALL_TIMEOUT_MS, &reply);
    free(packed);
    if (status) {
        status = owm_fail(error, status, "%s: %s: %s", path + strlen(SERVICE),
                          owm_rpc_code_name(reply.code), reply.text);
    } else {
        *out = protobuf_c_message_unpack(type, NULL, reply.length, reply.bytes);
        if (!*out) status = owm_fail(error, OWM_E_PROTO, "%s: unreadable reply", path);
    }
    owm_rpc_reply_free(&reply);
    return status;
}

owm_status client_network(struct client *client, Owm__Internal__V1__NetworkStatusResponse **reply,
                          struct owm_error *error)
{
    Owm__Internal__V1__NetworkStatusRequest request =
        OWM__INTERNAL__V1__NETWORK_STATUS_REQUEST__INIT;
    return call(client, SERVICE "NetworkStatus", &request.base,
                &owm__internal__v1__network_status_response__descriptor, (ProtobufCMessage **)reply,
                error);
}

owm_status client_rounds(struct client *client, uint32_t since,
                         Owm__Internal__V1__ListRoundsResponse **reply, struct owm_error *error)
{
    Owm__Internal__V1__ListRoundsRequest request = OWM__INTERNAL__V1__LIST_ROUNDS_REQUEST__INIT;
    request.since = since;
    request.limit = 100;
    return call(client, SERVICE "ListRounds", &request.base,
                &owm__internal__v1__list_rounds_response__descriptor, (ProtobufCMessage **)reply,
                error);
}

owm_status client_versions(struct client *client, uint32_t limit,
                           Owm__Internal__V1__ListVersionsResponse **reply, struct owm_error *error)
{
    Owm__Internal__V1__ListVersionsRequest request = OWM__INTERNAL__V1__LIST_VERSIONS_REQUEST__INIT;
    request.limit = limit;
    return call(client, SERVICE "ListVersions", &request.base,
                &owm__internal__v1__list_versions_response__descriptor, (ProtobufCMessage **)reply,
                error);
}

owm_status client_audit(struct client *client, Owm__Internal__V1__AuditResponse **reply,
                        struct owm_error *error)
{
    Owm__Internal__V1__AuditRequest request = OWM__INTERNAL__V1__AUDIT_REQUEST__INIT;
    return call(client, SERVICE "AuditLedger", &request.base,
                &owm__internal__v1__audit_response__descriptor, (ProtobufCMessage **)reply, error);
}

static owm_status submit(struct client *client, const struct client_question *question,
                         char task_id[static OWM_UUID_TEXT_BYTES], struct owm_error *error)
{
    Owm__Coordinator__V1__InferencePayload payload = OWM__COORDINATOR__V1__INFERENCE_PAYLOAD__INIT;
    payload.prompt = (char *)question->prompt;
    payload.max_tokens = question->tokens_max;
    payload.temperature = question->temperature;
    payload.top_k = 40;
    payload.seed = question->seed;

    size_t bytes = owm__coordinator__v1__inference_payload__get_packed_size(&payload);
    uint8_t *packed = malloc(bytes + 1);
    if (!packed) return OWM_E_NOMEM;
    owm__coordinator__v1__inference_payload__pack(&payload, packed);

    uint8_t uuid[16];
    char key[OWM_UUID_TEXT_BYTES];
    owm_uuid_random(uuid);
    owm_uuid_format(uuid, key);
    Owm__Internal__V1__SubmitTaskRequest request = OWM__INTERNAL__V1__SUBMIT_TASK_REQUEST__INIT;
    request.task_type = "inference";
    request.payload = (ProtobufCBinaryData){.len = bytes, .data = packed};
    request.timeout_seconds = 120;
    request.idempotency_key = key;
    Owm__Internal__V1__SubmitTaskResponse *reply = NULL;
    owm_status status = call(client, SERVICE "SubmitTask", &request.base,
                             &owm__internal__v1__submit_task_response__descriptor,
                             (ProtobufCMessage **)&reply, error);
    free(packed);
    if (status) return status;
    if (*reply->error)
        status = owm_fail(error, OWM_E_STATE, "%s: %s", reply->error, reply->message);
    else
        snprintf(task_id, OWM_UUID_TEXT_BYTES, "%s", reply->task_id);
    owm__internal__v1__submit_task_response__free_unpacked(reply, NULL);
    return status;
}

/* One event; *ended when it is the last. */
static owm_status handle(const struct owm_rpc_reply *reply, client_event on_event, void *ctx,
                         bool *ended, struct owm_error *error)
{
    Owm__Internal__V1__TaskEvent *event =
        owm__internal__v1__task_event__unpack(NULL, reply->length, reply->bytes);
    if (!event) return owm_fail(error, OWM_E_PROTO, "WatchTask: unreadable event");
    owm_status status = OWM_OK;
    bool failed = !strcmp(event->state, "failed") || !strcmp(event->state, "timeout");
    *ended = !on_event(ctx, event) || failed || !strcmp(event->state, "completed");
    if (failed)
        status =
            owm_fail(error, OWM_E_STATE, "the task ended as %s: %s", event->state, event->reason);
    owm__internal__v1__task_event__free_unpacked(event, NULL);
    return status;
}

owm_status client_ask(struct client *client, const struct client_question *question,
                      client_event on_event, void *ctx, struct owm_error *error)
{
    char task_id[OWM_UUID_TEXT_BYTES];
    owm_status status = submit(client, question, task_id, error);
    if (status) return status;

    Owm__Internal__V1__WatchTaskRequest request = OWM__INTERNAL__V1__WATCH_TASK_REQUEST__INIT;
    request.task_id = task_id;
    uint8_t packed[64];
    size_t bytes = owm__internal__v1__watch_task_request__pack(&request, packed);
    struct owm_rpc_stream *stream = NULL;
    status = owm_rpc_stream_download(client->rpc, SERVICE "WatchTask", packed, bytes, 0, &stream);
    bool ended = false;
    while (status == OWM_OK && !ended) {
        struct owm_rpc_reply reply = {0};
        status = owm_rpc_stream_read(stream, 1000, &reply);
        if (status == OWM_OK)
            status = handle(&reply, on_event, ctx, &ended, error);
        else if (status == OWM_E_TIMEOUT)
            status = OWM_OK; /* Nothing yet; the task's own timeout ends it. */
        else
            status = owm_fail(error, OWM_E_NET, "the coordinator ended the stream: %s", reply.text);
        owm_rpc_reply_free(&reply);
    }
    owm_rpc_stream_close(stream);
    return status;
}
