/* internal_service.c: SubmitTask, NetworkStatus, ListRounds, AuditLedger for the keys that are
 * allowed (SRS-SCHED-05). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "services_internal.h"

#define PROMPT_MAX     32768
#define MAX_TOKENS_MAX 4096

void on_internal_start(void *app, struct owm_rpc_call *call)
{
    struct owm_services *services = app;
    uint8_t key[32];
    owm_rpc_peer_key(call, key);
    for (size_t i = 0; i < services->config.internal_key_count; i++)
        if (memcmp(services->config.internal_keys[i], key, 32) == 0) return;
    wire_fail(services, call, "Internal", OWM_RPC_PERMISSION_DENIED, "KEY_NOT_ALLOWED",
              "the key of this connection is not in internal.allowed_keys");
}

/* ---------------------------------------------------------------------------- SubmitTask */

static void refuse_submit(struct owm_services *services, struct owm_rpc_call *call,
                          const char *code, const char *sentence)
{
    PBI(SubmitTaskResponse) response = OWM__INTERNAL__V1__SUBMIT_TASK_RESPONSE__INIT;
    wire_refuse(services, "SubmitTask", code, call);
    response.error = (char *)code;
    response.message = (char *)sentence;
    wire_reply(call, &response.base);
}

static void answer_submit(struct owm_ask *ask, const struct owm_output *output)
{
    if (!output) {
        wire_busy(ask->ctx, ask->call, "SubmitTask");
    } else if (output->submitted.code != OWM_CODE_NONE) {
        refuse_submit(ask->ctx, ask->call, owm_code_name(output->submitted.code),
                      owm_code_text(output->submitted.code));
    } else {
        PBI(SubmitTaskResponse) response = OWM__INTERNAL__V1__SUBMIT_TASK_RESPONSE__INIT;
        char task_id[37];
        owm_uuid_format(output->submitted.task_id, task_id);
        response.task_id = task_id;
        wire_reply(ask->call, &response.base);
    }
    owm_ask_free(ask);
}

/* Engine's thread: an inference without a model gets the newest one that may serve. */
static bool complete_payload(struct owm_post *post, owm_engine *engine)
{
    struct owm_submit_event *event = &post->event.submit;
    if (event->type != OWM_TASK_INFERENCE) return true;
    PB(InferencePayload) *payload =
        owm__coordinator__v1__inference_payload__unpack(NULL, event->payload_bytes, event->payload);
    const struct owm_proven_event *model = owm_engine_serving(engine);
    if (!payload) return true;
    if (model && payload->model_hash.len == 0) {
        payload->model_hash = (ProtobufCBinaryData){32, (uint8_t *)model->model_hash};
        payload->model_bytes = model->model_bytes;
        size_t bytes = owm__coordinator__v1__inference_payload__get_packed_size(payload);
        uint8_t *packed = malloc(bytes);
        if (packed) {
            owm__coordinator__v1__inference_payload__pack(payload, packed);
            free(post->memory);
            post->memory = packed;
            event->payload = packed;
            event->payload_bytes = bytes;
        }
        payload->model_hash = (ProtobufCBinaryData){0, NULL};
    }
    owm_sha256(event->payload, event->payload_bytes, event->input_hash);
    owm__coordinator__v1__inference_payload__free_unpacked(payload, NULL);
    return true;
}

static const char *check_submit(const struct owm_services *services,
                                const PBI(SubmitTaskRequest) * request,
                                struct owm_submit_event *event, const char **sentence)
{
    *sentence = "min_tier must be t1, t2, t3 or empty";
    event->min_tier = OWM_TIER_T1;
    if (request->min_tier[0] && owm_tier_parse(request->min_tier, &event->min_tier) != OWM_OK)
        return "BAD_TIER";
    *sentence = "there is no task type of this name";
    if (owm_task_type_parse(request->task_type, &event->type) != OWM_OK) return "BAD_TYPE";
    *sentence = "idempotency_key is longer than 64 bytes";
    if (strlen(request->idempotency_key) >= OWM_IDEMPOTENCY_BYTES) return "BAD_KEY";
    *sentence = "the payload is empty or too large";
    if (request->payload.len == 0 || request->payload.len > services->config.payload_bytes_max)
        return "BAD_PAYLOAD";
    if (event->type != OWM_TASK_INFERENCE) return NULL;
    PB(InferencePayload) *payload = owm__coordinator__v1__inference_payload__unpack(
        NULL, request->payload.len, request->payload.data);
    *sentence = "the payload is no InferencePayload, or prompt, max_tokens or model_hash is out of "
                "range";
    bool good = payload && strlen(payload->prompt) <= PROMPT_MAX
                && payload->max_tokens <= MAX_TOKENS_MAX
                && (payload->model_hash.len == 0 || payload->model_hash.len == 32);
    if (payload) owm__coordinator__v1__inference_payload__free_unpacked(payload, NULL);
    return good ? NULL : "BAD_PAYLOAD";
}

static void name_task(const struct owm_rpc_call *call, const PBI(SubmitTaskRequest) * request,
                      uint8_t task_id[16])
{
    static const uint8_t space[16] = "owm task v1\0\0\0\0";
    uint8_t data[32 + OWM_IDEMPOTENCY_BYTES];
    size_t length = strlen(request->idempotency_key);
    if (length == 0) {
        owm_uuid_random(task_id);
        return;
    }
    owm_rpc_peer_key(call, data);
    memcpy(data + 32, request->idempotency_key, length);
    owm_uuid_derive(space, data, 32 + length, task_id);
}

static void post_submit(struct owm_services *services, struct owm_rpc_call *call,
                        const PBI(SubmitTaskRequest) * request, const struct owm_submit_event *base)
{
    struct owm_post *post = owm_post_new(OWM_EVENT_SUBMIT);
    uint8_t *payload = malloc(request->payload.len);
    if (post) post->ask = owm_ask_new(answer_submit, services, call);
    if (!post || !post->ask || !payload) {
        free(payload);
        owm_post_free(post);
        wire_busy(services, call, "SubmitTask");
        return;
    }
    memcpy(payload, request->payload.data, request->payload.len);
    struct owm_submit_event *event = &post->event.submit;
    *event = *base;
    post->memory = payload;
    event->payload = payload;
    event->payload_bytes = request->payload.len;
    event->timeout_ms =
        request->timeout_seconds > 86400 ? 86400000 : request->timeout_seconds * 1000;
    owm_sha256(payload, request->payload.len, event->input_hash);
    name_task(call, request, event->task_id);
    /* The table's key is unique for the network, so it is the task that the key gives. */
    if (request->idempotency_key[0]) {
        char text[37];
        owm_uuid_format(event->task_id, text);
        snprintf(event->idempotency_key, sizeof(event->idempotency_key), "%s", text);
    }
    post->prepare = complete_payload;
    wire_post(services, call, "SubmitTask", post);
}

/* A key that was used long ago: the engine may have forgotten its task, the database has not. */
struct submission {
    struct owm_submit_event event;
    size_t bytes;
    uint8_t packed[];
};

static void read_submitted(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    const struct submission *submission = ask->data;
    PBI(SubmitTaskRequest) *request =
        owm__internal__v1__submit_task_request__unpack(NULL, submission->bytes, submission->packed);
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    uint8_t task_id[16];
    if (!request) return;
    name_task(ask->call, request, task_id);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, task_id);
    if (owm_pg_query(pg, "SELECT task_id FROM tasks WHERE task_id = $1", &args, &rows, NULL)
        != OWM_OK) {
        wire_away(services, ask->call, "SubmitTask");
    } else if (owm_pg_rows_count(rows)) {
        PBI(SubmitTaskResponse) response = OWM__INTERNAL__V1__SUBMIT_TASK_RESPONSE__INIT;
        response.task_id = (char *)owm_pg_get_text(rows, 0, 0);
        wire_reply(ask->call, &response.base);
    } else {
        post_submit(services, ask->call, request, &submission->event);
    }
    owm_pg_rows_free(rows);
    owm__internal__v1__submit_task_request__free_unpacked(request, NULL);
}

void on_submit(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct owm_services *services = app;
    struct owm_submit_event event = {0};
    const char *sentence = "the message does not parse";
    PBI(SubmitTaskRequest) *request =
        owm__internal__v1__submit_task_request__unpack(NULL, length, bytes);
    const char *code = request ? check_submit(services, request, &event, &sentence) : "MALFORMED";
    if (code) {
        refuse_submit(services, call, code, sentence);
    } else if (!request->idempotency_key[0]) {
        post_submit(services, call, request, &event);
    } else {
        struct submission *submission = malloc(sizeof(*submission) + length);
        if (submission) {
            submission->event = event;
            submission->bytes = length;
            memcpy(submission->packed, bytes, length);
            wire_read(services, call, "SubmitTask", read_submitted, submission,
                      sizeof(*submission) + length);
            free(submission);
        } else {
            wire_busy(services, call, "SubmitTask");
        }
    }
    if (request) owm__internal__v1__submit_task_request__free_unpacked(request, NULL);
}

/* ---------------------------------------------------------------------------- NetworkStatus */

struct status_page {
    PBI(NodeStatus) node;
    PBI(NodeStatus) * pointer;
    struct owm_node_view view;
    char node_id[37];
};

static void fill_node(const owm_engine *engine, uint32_t index, int64_t now_ms,
                      struct status_page *page)
{
    const PBI(NodeStatus) empty = OWM__INTERNAL__V1__NODE_STATUS__INIT;
    owm_engine_node(engine, index, now_ms, &page->view);
    const struct owm_node_row *row = &page->view.row;
    page->node = empty;
    owm_uuid_format(row->node_id, page->node_id);
    page->node.node_id = page->node_id;
    page->node.alias = page->view.row.alias;
    page->node.tier = (char *)owm_tier_name(row->capabilities.tier);
    page->node.status = (char *)owm_node_status_name(row->status);
    page->node.connected = page->view.connected;
    page->node.running_tasks = page->view.running;
    page->node.reliability = row->reliability_ppm / 1e6;
    page->node.earned_msat = row->earned_msat;
    page->node.last_heartbeat_ms = row->last_heartbeat_ms;
    page->node.signals = row->signals;
    page->node.note = (char *)(row->status_reason[0] ? page->view.row.status_reason
                                                     : owm_why_text(page->view.why));
    page->node.device = page->view.row.capabilities.device;
    page->pointer = &page->node;
}

static void fill_network(struct owm_services *services, const owm_engine *engine,
                         PBI(NetworkStatusResponse) * response)
{
    const struct owm_round_row *round = owm_engine_round(engine);
    const struct owm_model_row *model = owm_engine_model(engine);
    const struct owm_engine_counters *counters = owm_engine_counters(engine);
    response->network = (char *)services->config.network;
    response->stake_policy = (char *)services->config.stake_name;
    response->round = round ? round->round : 0;
    response->round_state = (char *)owm_round_state_name(round ? round->state : OWM_ROUND_IDLE);
    response->round_expected = round ? round->invited : 0;
    response->round_received = round ? round->received : 0;
    if (model) {
        response->version_id = (char *)model->version;
        response->model_hash = (ProtobufCBinaryData){32, (uint8_t *)model->model_hash};
        response->heldout_bits_per_byte = model->heldout_bits_per_byte;
        response->model_parameters = model->model_bytes / 4; /* f32, header apart */
    }
    response->pending_tasks = (uint32_t)counters->tasks_pending;
    response->running_tasks = (uint32_t)counters->tasks_running;
    response->uptime_ms = owm_clock_wall_ms() - services->started_ms;
    response->rounds_finished = owm_engine_rounds_finished(engine);
    response->ots_policy = (char *)services->config.ots_policy;
}

static bool answer_network(struct owm_post *post, owm_engine *engine)
{
    struct owm_services *services = post->ctx;
    uint32_t count = owm_engine_node_count(engine);
    PBI(NetworkStatusResponse) response = OWM__INTERNAL__V1__NETWORK_STATUS_RESPONSE__INIT;
    struct status_page *pages = calloc(count + 1, sizeof(*pages));
    PBI(NodeStatus) **pointers = calloc(count + 1, sizeof(*pointers));
    if (pages && pointers) {
        fill_network(services, engine, &response);
        int64_t now_ms = owm_clock_wall_ms();
        for (uint32_t i = 0; i < count; i++) {
            fill_node(engine, i, now_ms, &pages[i]);
            pointers[i] = &pages[i].node;
        }
        response.nodes = pointers;
        response.n_nodes = count;
        wire_reply(post->ask->call, &response.base);
    } else {
        wire_busy(services, post->ask->call, "NetworkStatus");
    }
    free(pages);
    free(pointers);
    return false;
}

static void never_answered(struct owm_ask *ask, const struct owm_output *output)
{
    (void)output;
    owm_rpc_fail(ask->call, OWM_RPC_UNAVAILABLE, "the coordinator is stopping");
    owm_ask_free(ask);
}

void on_network(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)bytes; /* an empty message: whatever came is a field of a newer version */
    (void)length;
    struct owm_services *services = app;
    struct owm_post *post = calloc(1, sizeof(*post));
    if (post) post->ask = owm_ask_new(never_answered, services, call);
    if (!post || !post->ask) {
        owm_post_free(post);
        wire_busy(services, call, "NetworkStatus");
        return;
    }
    post->ctx = services;
    post->prepare = answer_network;
    wire_post(services, call, "NetworkStatus", post);
}
