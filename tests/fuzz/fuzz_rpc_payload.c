/* fuzz_rpc_payload.c: what a node, or a service of ours, may send over gRPC (SRS-SEC-01,
 * SRS-SEC-02).
 *
 * Input: method, flags, then the message; for client streams messages with a length of two bytes
 * before each. Each goes through the handler that the coordinator serves, and what it posts goes
 * through a real engine with one node, one round and one task. Flag 1 puts the identity, the task
 * and valid signatures of that node into the message first, so that the code behind the signature
 * is reached, too. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "controlplane/rpc/services_internal.h"
#include "proto/canonical.h"
#include "rpc_payload.h"

#define BYTES_MAX (1 << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** world: one coordinator's memory, made new for each input. */
struct world {
    struct owm_services services;
    owm_engine *engine;
    int64_t now_ms;
    struct owm_peer *peer;
    char node_id[37];
    char task_id[2][37]; /* of the round, of an inference */
    uint64_t lease_token[2];
};

static owm_identity *coordinator, *node;
static struct owm_metrics *metrics;
static uint8_t internal_key[1][32];
static const struct owm_cert no_cert;

static void check(owm_status status)
{
    if (status != OWM_OK) abort();
}

static void prepare_process(void)
{
    if (coordinator) return;
    owm_log_level_set(OWM_LOG_ERROR);
    check(owm_identity_generate(&coordinator));
    check(owm_identity_generate(&node));
    check(owm_metrics_open(0, &metrics));
    memcpy(internal_key[0], owm_identity_public_key(node), 32);
}

/* --- the engine's thread -------------------------------------------------------------------- */

static void note_dispatch(struct world *world, const struct owm_dispatch_output *dispatch)
{
    int at = dispatch->type == OWM_TASK_FL_ROUND ? 0 : 1;
    owm_uuid_format(dispatch->task_id, world->task_id[at]);
    world->lease_token[at] = dispatch->lease_token;
}

static void step(struct world *world, const struct owm_event *event)
{
    owm_engine_step(world->engine, event, world->now_ms);
    size_t count = 0;
    const struct owm_output *outputs = owm_engine_outputs(world->engine, &count);
    for (size_t i = 0; i < count; i++) {
        if (outputs[i].kind == OWM_OUTPUT_DISPATCH) note_dispatch(world, &outputs[i].dispatch);
        owm_services_perform(&world->services, &outputs[i]);
    }
    owm_engine_clear(world->engine);
}

static void drain(struct world *world)
{
    while (owm_inbox_length(world->services.config.inbox) > 0) {
        struct owm_post *post = owm_inbox_take(world->services.config.inbox, 1, 0);
        if ((!post->prepare || post->prepare(post, world->engine)) && post->has_event) {
            step(world, &post->event);
            if (post->event.cookie) post->ask = NULL;
        }
        owm_post_free(post);
    }
}

static void fill_engine(struct world *world)
{
    struct owm_event event = {.kind = OWM_EVENT_REGISTER};
    struct owm_capabilities *capabilities = &event.reg.capabilities;
    memset(event.reg.node_id, 5, 16);
    memcpy(event.reg.public_key, owm_identity_public_key(node), 32);
    capabilities->tier = OWM_TIER_T1;
    capabilities->task_types = 1u << OWM_TASK_FL_ROUND | 1u << OWM_TASK_INFERENCE;
    capabilities->slots = 4;
    step(world, &event);
    check(owm_peers_update(world->services.config.peers, event.reg.public_key, event.reg.node_id,
                           OWM_NODE_ACTIVE));
    world->peer = owm_peers_find(world->services.config.peers, event.reg.public_key);
    memcpy(world->node_id, world->peer->node_id_text, sizeof(world->node_id));
    event = (struct owm_event){.kind = OWM_EVENT_MODEL};
    memset(event.model.model_hash, 3, 32);
    step(world, &event);
    event = (struct owm_event){.kind = OWM_EVENT_STREAM_OPENED};
    memcpy(event.heartbeat.node_id, world->peer->node_id, 16);
    event.heartbeat.stream = 1;
    event.heartbeat.free_slots = 4;
    step(world, &event);
    event = (struct owm_event){.kind = OWM_EVENT_SUBMIT};
    memset(event.submit.task_id, 9, 16);
    event.submit.type = OWM_TASK_INFERENCE;
    event.submit.min_tier = OWM_TIER_T1;
    event.submit.payload = (const uint8_t *)"x";
    event.submit.payload_bytes = 1;
    step(world, &event);
    step(world, &(struct owm_event){.kind = OWM_EVENT_TICK});
    if (!world->lease_token[0] || !world->lease_token[1]) abort();
}

static void world_open(struct world *world)
{
    struct owm_engine_config config;
    struct owm_services_config *c = &world->services.config;
    memset(world, 0, sizeof(*world));
    world->now_ms = owm_clock_wall_ms();
    owm_engine_defaults(&config);
    config.stake = OWM_ENGINE_STAKE_NONE;
    config.nodes_max = 4;
    config.tasks_max = 16;
    config.finished_max = 16;
    config.rounds.enabled = true;
    config.rounds.participants_max = 4;
    config.rounds.min_participants = 1;
    check(owm_engine_create(&config, &world->engine, NULL));
    owm_engine_start(world->engine, world->now_ms);
    *c =
        (struct owm_services_config){.listen = "a",
                                     .internal_listen = "b",
                                     .tor_listen = "",
                                     .cert = &no_cert,
                                     .identity = coordinator,
                                     .network = "fuzz",
                                     .stake_name = "none",
                                     .treasury_uri = "",
                                     .clock_skew_ms = 300000,
                                     .tier_override_allowed = true,
                                     .registrations_per_hour = 10,
                                     .registrations_of_key_per_hour = 60,
                                     .payload_bytes_max = 60 * 1024,
                                     .orders = {.value_type = "int8", .package_bytes_max = 1 << 20},
                                     .internal_keys = (const uint8_t(*)[32])internal_key,
                                     .internal_key_count = 1,
                                     .metrics = metrics};
    check(owm_inbox_open(64, &c->inbox));
    check(owm_peers_open(4, &c->peers));
    check(owm_challenges_open(16, &world->services.challenges));
    pthread_mutex_init(&world->services.public_lock, NULL);
    world->services.heartbeats_fast = owm_metrics_counter(metrics, "a_total", "a", NULL);
    world->services.heartbeats_slow = world->services.heartbeats_fast;
    world->services.registrations = world->services.heartbeats_fast;
    world->services.results = world->services.heartbeats_fast;
    fuzz_method_count = 0;
    check(owm_services_listen(&world->services, NULL));
    fill_engine(world);
}

static void world_close(struct world *world)
{
    watch_close_all(&world->services);
    owm_inbox_close(world->services.config.inbox);
    owm_peers_close(world->services.config.peers);
    owm_challenges_close(world->services.challenges);
    owm_engine_destroy(world->engine);
    pthread_mutex_destroy(&world->services.public_lock);
}

/* --- valid identity, task and signature ------------------------------------------------------- */

/* A field of an unpacked message: freed with it. */
static void set_text(char **field, const char *text)
{
    if (*field && *field != protobuf_c_empty_string) free(*field);
    *field = strdup(text);
}

static void set_bytes(ProtobufCBinaryData *field, const void *bytes, size_t count)
{
    uint8_t *copy = malloc(count + 1);
    if (!copy) abort();
    memcpy(copy, bytes, count);
    free(field->data);
    *field = (ProtobufCBinaryData){count, copy};
}

static void sign(ProtobufCBinaryData *signature, const char *domain, const uint8_t *text,
                 size_t bytes)
{
    uint8_t raw[64];
    owm_identity_sign(node, domain, text, bytes, raw);
    set_bytes(signature, raw, sizeof(raw));
}

static void sign_registration(struct world *world, ProtobufCMessage *message)
{
    PB(RegisterNodeRequest) *request = (void *)message;
    uint8_t text[OWM_CANONICAL_BYTES_MAX], challenge[32];
    char key[65];
    size_t bytes = 0;
    int64_t expires_ms = 0;
    owm_hex_encode(owm_identity_public_key(node), 32, key);
    owm_challenge_issue(world->services.challenges, owm_identity_public_key(node),
                        owm_clock_wall_ms(), challenge, &expires_ms);
    set_text(&request->public_key, key);
    set_bytes(&request->challenge, challenge, 32);
    request->timestamp_ms = owm_clock_wall_ms();
    request->protocol = OWM_PROTOCOL_VERSION;
    if (owm_canonical_register(text, &bytes, request, owm_identity_public_key(coordinator))
        == OWM_OK)
        sign(&request->signature, OWM_DOMAIN_REGISTER, text, bytes);
}

static void sign_heartbeat(struct world *world, ProtobufCMessage *message)
{
    PB(HeartbeatRequest) *request = (void *)message;
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    set_text(&request->node_id, world->node_id);
    for (size_t i = 0; i < request->n_leases && i < 2; i++) {
        set_text(&request->leases[i]->task_id, world->task_id[i]);
        request->leases[i]->lease_token = world->lease_token[i];
    }
    if (!request->manifest) return;
    set_text(&request->manifest->node_id, world->node_id);
    request->manifest->timestamp_ms = owm_clock_wall_ms();
    if (owm_canonical_manifest(text, &bytes, request->manifest,
                               owm_identity_public_key(coordinator))
        == OWM_OK)
        sign(&request->manifest->signature, OWM_DOMAIN_MANIFEST, text, bytes);
}

static void box(ProtobufCBinaryData *field)
{
    uint8_t *boxed = malloc(field->len + OWM_BOX_EXTRA_BYTES);
    const uint8_t *plain = field->len ? field->data : (const uint8_t *)"";
    if (!boxed
        || owm_identity_box(node, owm_identity_public_key(coordinator), plain, field->len, boxed)
               != OWM_OK)
        abort();
    set_bytes(field, boxed, field->len + OWM_BOX_EXTRA_BYTES);
    free(boxed);
}

/* Which of the two tasks the output is for, its first byte says. */
static void sign_result(struct world *world, ProtobufCMessage *message)
{
    PB(TaskResult) *result = (void *)message;
    uint8_t text[OWM_CANONICAL_BYTES_MAX], hash[32];
    size_t bytes = 0;
    int at = result->output.len && result->output.data[0] % 2;
    owm_sha256(result->output.len ? result->output.data : (const uint8_t *)"", result->output.len,
               hash);
    set_text(&result->node_id, world->node_id);
    set_text(&result->task_id, world->task_id[at]);
    result->lease_token = world->lease_token[at];
    box(&result->output);
    set_bytes(&result->output_hash, hash, 32);
    if (owm_canonical_result(text, &bytes, result, owm_identity_public_key(coordinator)) == OWM_OK)
        sign(&result->signature, OWM_DOMAIN_RESULT, text, bytes);
}

static void name_progress(struct world *world, ProtobufCMessage *message)
{
    PB(TaskProgress) *progress = (void *)message;
    set_text(&progress->task_id, world->task_id[1]);
    progress->lease_token = world->lease_token[1];
    box(&progress->chunk);
}

static void name_upload(struct world *world, ProtobufCMessage *message)
{
    PB(BlobChunk) *chunk = (void *)message;
    uint8_t hash[32] = {(uint8_t)chunk->total_bytes};
    if (chunk->offset != 0) return;
    set_text(&chunk->task_id, world->task_id[0]);
    set_bytes(&chunk->hash, hash, 32);
    chunk->lease_token = world->lease_token[0];
}

typedef void complete_fn(struct world *world, ProtobufCMessage *message);

static const struct {
    const char *method;
    const ProtobufCMessageDescriptor *type;
    complete_fn *complete;
} completions[] = {
    {"RegisterNode", &owm__coordinator__v1__register_node_request__descriptor, sign_registration},
    {"Heartbeat", &owm__coordinator__v1__heartbeat_request__descriptor, sign_heartbeat},
    {"StreamTasks", &owm__coordinator__v1__heartbeat_request__descriptor, sign_heartbeat},
    {"SubmitTaskResult", &owm__coordinator__v1__task_result__descriptor, sign_result},
    {"ReportProgress", &owm__coordinator__v1__task_progress__descriptor, name_progress},
    {"UploadBlob", &owm__coordinator__v1__blob_chunk__descriptor, name_upload},
};

/* The message made valid, malloc'ed; NULL: it stays as it is. */
static uint8_t *complete(struct world *world, const struct owm_rpc_method *method,
                         const uint8_t *data, size_t size, size_t *bytes)
{
    const char *name = strrchr(method->path, '/') + 1;
    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]); i++) {
        if (strcmp(completions[i].method, name) != 0) continue;
        ProtobufCMessage *message =
            protobuf_c_message_unpack(completions[i].type, NULL, size, data);
        if (!message) return NULL;
        completions[i].complete(world, message);
        *bytes = protobuf_c_message_get_packed_size(message);
        uint8_t *packed = malloc(*bytes + 1);
        if (packed) protobuf_c_message_pack(message, packed);
        protobuf_c_message_free_unpacked(message, NULL);
        return packed;
    }
    return NULL;
}

/* --- one call --------------------------------------------------------------------------------- */

static void deliver(struct world *world, struct owm_rpc_call *call, bool valid, const uint8_t *data,
                    size_t size)
{
    const struct owm_rpc_method *method = call->method;
    size_t bytes = size;
    uint8_t *made = valid ? complete(world, method, data, size, &bytes) : NULL;
    /* A copy of its own, so that a sanitizer sees every over-read. */
    uint8_t *copy = made ? made : malloc(size ? size : 1);
    if (!copy) abort();
    if (!made && size) memcpy(copy, data, size);
    if (!method->request_bytes_max || bytes <= method->request_bytes_max)
        method->on_message(&world->services, call, copy, bytes);
    free(copy);
    drain(world);
    if (call->paused) abort(); /* the engine has seen it */
}

static void deliver_all(struct world *world, struct owm_rpc_call *call, bool valid,
                        const uint8_t *data, size_t size)
{
    while (size >= 2 && !call->answered) {
        size_t length = (size_t)data[0] << 8 | data[1];
        if (length > size - 2) length = size - 2;
        deliver(world, call, valid, data + 2, length);
        data += 2 + length;
        size -= 2 + length;
    }
    if (!call->answered) call->method->on_half_close(&world->services, call);
    drain(world);
    if (!call->answered) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    if (size < 2 || size > BYTES_MAX) return 0;
    prepare_process();
    world_open(&world);
    struct owm_rpc_call call = {.method = &fuzz_methods[data[0] % fuzz_method_count], .refs = 1};
    const struct owm_rpc_method *method = call.method;
    memcpy(call.key, owm_identity_public_key(node), 32);
    if (data[1] & 2) call.key[0] ^= 1; /* a peer that nobody knows */
    if (method->on_start) method->on_start(&world.services, &call);
    bool valid = data[1] & 1,
         too_large = method->request_bytes_max && size - 2 > method->request_bytes_max / 2;
    if (method->kind == OWM_RPC_CLIENT_STREAM)
        deliver_all(&world, &call, valid, data + 2, size - 2);
    else if (!call.answered)
        deliver(&world, &call, valid, data + 2, size - 2);
    /* Whoever asks is answered: now, as nothing is left to wait for. */
    if (method->kind == OWM_RPC_UNARY && !call.answered && !too_large) abort();
    if (method->on_end) method->on_end(&world.services, &call, true);
    drain(&world);
    world_close(&world);
    if (call.refs != 1) abort();
    return 0;
}
