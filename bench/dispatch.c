/* dispatch.c: one thread per answering node, the submitter on the caller's. */
#include "dispatch.h"

#include <coordinator.pb-c.h>
#include <internal.pb-c.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "proto/canonical.h"

#define ARRIVAL_TIMEOUT_MS 30000
#define CALL_TIMEOUT_MS    10000

/* The prompt carries the submission's number and time, so that a worker thread can tell. */
struct worker {
    const struct dispatch_config *config;
    struct sim_node *node;
    struct owm_rpc_stream *stream;
    pthread_t thread;
    struct arrivals *arrivals;
};

struct arrivals {
    double *latency_ms;
    atomic_size_t count;
    size_t max;
};

/* A valid, signed, boxed answer, so that the node is free for the next task. */
static owm_status answer(struct sim_node *node, const Owm__Coordinator__V1__Task *task)
{
    uint8_t plain[256], boxed[256 + OWM_BOX_EXTRA_BYTES], hash[32], signature[64], packed[1024];
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes;
    Owm__Coordinator__V1__InferenceOutput output = OWM__COORDINATOR__V1__INFERENCE_OUTPUT__INIT;
    output.text = (ProtobufCBinaryData){.len = 2, .data = (uint8_t *)"ok"};
    output.tokens = 2;
    output.finish_reason = "length";
    size_t plain_bytes = owm__coordinator__v1__inference_output__pack(&output, plain);
    owm_sha256(plain, plain_bytes, hash);
    owm_status status =
        owm_identity_box(node->identity, node->fleet->coordinator_key, plain, plain_bytes, boxed);
    if (status) return status;

    Owm__Coordinator__V1__TaskResult result = OWM__COORDINATOR__V1__TASK_RESULT__INIT;
    result.task_id = task->task_id;
    result.node_id = node->node_id;
    result.output_hash = (ProtobufCBinaryData){.len = 32, .data = hash};
    result.output = (ProtobufCBinaryData){.len = plain_bytes + OWM_BOX_EXTRA_BYTES, .data = boxed};
    result.execution_ms = 1;
    result.lease_token = task->lease_token;
    status = owm_canonical_result(text, &bytes, &result, node->fleet->coordinator_key);
    if (status) return status;
    owm_identity_sign(node->identity, OWM_DOMAIN_RESULT, text, bytes, signature);
    result.signature = (ProtobufCBinaryData){.len = sizeof signature, .data = signature};
    bytes = owm__coordinator__v1__task_result__pack(&result, packed);
    struct owm_rpc_reply reply = {0};
    status = owm_rpc_call_unary(node->rpc, SIM_COORDINATOR "SubmitTaskResult", packed, bytes,
                                CALL_TIMEOUT_MS, &reply);
    owm_rpc_reply_free(&reply);
    return status;
}

static double submitted_ms(struct sim_node *node, const Owm__Coordinator__V1__Task *task)
{
    uint8_t plain[1024];
    double then = 0;
    if (task->payload.len < OWM_BOX_EXTRA_BYTES || task->payload.len > sizeof plain) return 0;
    size_t bytes = task->payload.len - OWM_BOX_EXTRA_BYTES;
    if (owm_identity_unbox(node->identity, node->fleet->coordinator_key, task->payload.data,
                           task->payload.len, plain))
        return 0;
    Owm__Coordinator__V1__InferencePayload *payload =
        owm__coordinator__v1__inference_payload__unpack(NULL, bytes, plain);
    if (!payload) return 0;
    then = strtod(payload->prompt, NULL);
    owm__coordinator__v1__inference_payload__free_unpacked(payload, NULL);
    return then;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct owm_rpc_reply reply = {0};
    for (;;) {
        owm_status status = owm_rpc_stream_read(worker->stream, 1000, &reply);
        double now_ms = (double)owm_clock_mono_ns() / 1e6;
        if (status == OWM_E_TIMEOUT) continue;
        if (status) break;
        Owm__Coordinator__V1__Task *task =
            owm__coordinator__v1__task__unpack(NULL, reply.length, reply.bytes);
        owm_rpc_reply_free(&reply);
        if (!task) break;
        double then_ms = submitted_ms(worker->node, task);
        size_t slot = atomic_fetch_add(&worker->arrivals->count, 1);
        if (slot < worker->arrivals->max) worker->arrivals->latency_ms[slot] = now_ms - then_ms;
        status = answer(worker->node, task);
        owm__coordinator__v1__task__free_unpacked(task, NULL);
        if (status) break;
    }
    owm_rpc_reply_free(&reply);
    return NULL;
}

static owm_status submit(const struct dispatch_config *config, unsigned number,
                         struct owm_error *error)
{
    char prompt[64], key[96];
    uint8_t payload_bytes[256], packed[512];
    snprintf(prompt, sizeof prompt, "%.6f", (double)owm_clock_mono_ns() / 1e6);
    snprintf(key, sizeof key, "bench-%u-%s", number, prompt);
    Owm__Coordinator__V1__InferencePayload payload = OWM__COORDINATOR__V1__INFERENCE_PAYLOAD__INIT;
    payload.prompt = prompt;
    payload.max_tokens = 2;
    payload.temperature = 1;
    size_t payload_size = owm__coordinator__v1__inference_payload__pack(&payload, payload_bytes);
    Owm__Internal__V1__SubmitTaskRequest request = OWM__INTERNAL__V1__SUBMIT_TASK_REQUEST__INIT;
    request.task_type = "inference";
    request.payload = (ProtobufCBinaryData){.len = payload_size, .data = payload_bytes};
    request.timeout_seconds = 60;
    request.idempotency_key = key;
    size_t bytes = owm__internal__v1__submit_task_request__pack(&request, packed);
    struct owm_rpc_reply reply = {0};
    owm_status status =
        owm_rpc_call_unary(config->operator_rpc, "/owm.internal.v1.InternalService/SubmitTask",
                           packed, bytes, CALL_TIMEOUT_MS, &reply);
    if (status) {
        status = owm_fail(error, status, "SubmitTask: %s", reply.text);
    } else {
        Owm__Internal__V1__SubmitTaskResponse *response =
            owm__internal__v1__submit_task_response__unpack(NULL, reply.length, reply.bytes);
        if (!response || *response->error)
            status = owm_fail(error, OWM_E_STATE, "SubmitTask: %s",
                              response ? response->message : "unreadable");
        if (response) owm__internal__v1__submit_task_response__free_unpacked(response, NULL);
    }
    owm_rpc_reply_free(&reply);
    return status;
}

static owm_status start_workers(const struct dispatch_config *config, struct worker *workers,
                                struct arrivals *arrivals, unsigned *started)
{
    for (*started = 0; *started < config->workers; ++*started) {
        struct worker *worker = &workers[*started];
        *worker = (struct worker){
            .config = config, .node = &config->fleet->nodes[*started], .arrivals = arrivals};
        owm_status status = owm_rpc_stream_download(
            worker->node->rpc, SIM_COORDINATOR "StreamTasks", worker->node->heartbeat,
            worker->node->heartbeat_bytes, 0, &worker->stream);
        if (status) return status;
        if (pthread_create(&worker->thread, NULL, work, worker)) {
            owm_rpc_stream_close(worker->stream);
            return OWM_E_NOMEM;
        }
    }
    return OWM_OK;
}

owm_status dispatch_run(const struct dispatch_config *config, double *latency_ms, size_t *count,
                        struct owm_error *error)
{
    struct arrivals arrivals = {.latency_ms = latency_ms, .max = config->tasks};
    struct worker *workers = calloc(config->workers, sizeof *workers);
    unsigned started = 0;
    if (!workers) return OWM_E_NOMEM;
    owm_status status = start_workers(config, workers, &arrivals, &started);
    owm_clock_sleep_ms(500); /* The streams are known to the coordinator by then. */
    for (unsigned i = 0; status == OWM_OK && i < config->tasks; i++) {
        status = submit(config, i, error);
        owm_clock_sleep_ms(config->interval_ms);
    }
    uint64_t give_up_ms = owm_clock_mono_ms() + ARRIVAL_TIMEOUT_MS;
    while (status == OWM_OK && atomic_load(&arrivals.count) < config->tasks) {
        if (owm_clock_mono_ms() > give_up_ms)
            status = owm_fail(error, OWM_E_TIMEOUT, "only %zu of %u tasks reached a node",
                              atomic_load(&arrivals.count), config->tasks);
        owm_clock_sleep_ms(5);
    }
    for (unsigned i = 0; i < started; i++) {
        owm_rpc_stream_cancel(workers[i].stream);
        pthread_join(workers[i].thread, NULL);
        owm_rpc_stream_close(workers[i].stream);
    }
    *count = atomic_load(&arrivals.count);
    if (*count > config->tasks) *count = config->tasks;
    free(workers);
    return status;
}
