/* fake_node.c: a test double of a node: the protocol by hand, with a fault where a test asks. */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "dataplane/fl/delta.h"
#include "ln_signer.h"
#include "network.h"
#include "proto/canonical.h"
#include "proto/statement.h"
#include "test.h"

#define NODE(name) "/owm.coordinator.v1.CoordinatorService/" name

static uint8_t last_registration[4096];
static size_t last_registration_bytes;
static char last_code[64], last_message[OWM_RPC_TEXT_BYTES_MAX];

static void open_client(struct fake_node *node)
{
    char target[64];
    snprintf(target, sizeof(target), "127.0.0.1:%d", node->coordinator->nodes_port);
    assert_ok(owm_rpc_client_open(
        &node->client,
        &(struct owm_rpc_client_config){.target = target,
                                        .server_certificate_pem = node->coordinator->certificate,
                                        .certificate_pem = node->cert.cert_pem,
                                        .key_pem = node->cert.key_pem,
                                        .reconnect_min_ms = 50,
                                        .reconnect_max_ms = 200,
                                        .wait_for_ready = true},
        NULL));
}

void fake_node_open(struct fake_node *node, struct coordinator *c, const char *alias)
{
    memset(node, 0, sizeof(*node));
    node->coordinator = c;
    snprintf(node->alias, sizeof(node->alias), "%s", alias);
    node->boot_id = owm_clock_mono_ns();
    node->slots = 2;
    assert_ok(owm_identity_generate(&node->identity));
    assert_ok(owm_identity_cert(node->identity, "node", NULL, &node->cert, NULL));
    open_client(node);
}

static void drop_client(struct fake_node *node)
{
    owm_rpc_stream_close(node->stream);
    owm_rpc_client_close(node->client);
    node->stream = NULL;
    node->client = NULL;
}

void fake_node_close(struct fake_node *node)
{
    drop_client(node);
    owm_cert_deinit(&node->cert);
    owm_identity_close(node->identity);
}

void fake_node_reconnect(struct fake_node *node)
{
    drop_client(node);
    open_client(node);
    assert_string_equal(fake_node_register(node, FAULT_NONE), "");
    fake_node_stream(node);
}

/* One unary call; the unpacked answer, or NULL with the code in *code and the text kept. */
static void *call(struct fake_node *node, const char *path, const ProtobufCMessage *request,
                  const ProtobufCMessageDescriptor *type, enum owm_rpc_code *code)
{
    size_t bytes = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = malloc(bytes + 1);
    struct owm_rpc_reply reply = {0};
    protobuf_c_message_pack(request, packed);
    owm_status status = owm_rpc_call_unary(node->client, path, packed, bytes, 20000, &reply);
    void *answer =
        status == OWM_OK ? protobuf_c_message_unpack(type, NULL, reply.length, reply.bytes) : NULL;
    if (code) *code = reply.code;
    snprintf(last_message, sizeof(last_message), "%s", reply.text);
    owm_rpc_reply_free(&reply);
    free(packed);
    return answer;
}

/* "CODE: sentence" of a failed call. */
static const char *code_of_failure(void)
{
    snprintf(last_code, sizeof(last_code), "%.*s", (int)strcspn(last_message, ":"), last_message);
    return last_code;
}

/* ---------------------------------------------------------------------------- registration */

static const char *send_registration(struct fake_node *node)
{
    struct owm_rpc_reply reply = {0};
    if (owm_rpc_call_unary(node->client, NODE("RegisterNode"), last_registration,
                           last_registration_bytes, 20000, &reply)
        != OWM_OK)
        fail_msg("RegisterNode: %s", reply.text);
    PB(RegisterNodeResponse) *answer =
        owm__coordinator__v1__register_node_response__unpack(NULL, reply.length, reply.bytes);
    assert_non_null(answer);
    snprintf(last_code, sizeof(last_code), "%s", answer->error);
    snprintf(last_message, sizeof(last_message), "%s", answer->message);
    if (!answer->error[0]) snprintf(node->node_id, sizeof(node->node_id), "%s", answer->node_id);
    if (answer->error[0]) assert_true(strlen(answer->message) > 10); /* what to do */
    struct fake_answer *kept = &node->answer;
    snprintf(kept->status, sizeof(kept->status), "%s", answer->status);
    snprintf(kept->message, sizeof(kept->message), "%s", answer->message);
    snprintf(kept->stake_note, sizeof(kept->stake_note), "%s", answer->stake_note);
    snprintf(kept->treasury_uri, sizeof(kept->treasury_uri), "%s", answer->treasury_uri);
    kept->stake_sats = answer->stake_sats;
    kept->required_stake_sats = answer->required_stake_sats;
    kept->stake_bonus = answer->stake_bonus;
    owm__coordinator__v1__register_node_response__free_unpacked(answer, NULL);
    owm_rpc_reply_free(&reply);
    return last_code;
}

/* The Lightning node's word for this one. signature [OWM_LIGHTNING_SIGNATURE_TEXT]. */
static void prove(struct fake_node *node, PB(RegisterNodeRequest) * request, char *signature)
{
    request->ln_node_uri = (char *)node->lightning->uri;
    request->stake_statement = (char *)(node->statement ? node->statement : node->answer.statement);
    ln_signer_sign(node->lightning, request->stake_statement, signature);
    request->stake_signature = node->proof ? (char *)node->proof : signature;
}

static void keep_hello(struct fake_node *node, const PB(HelloResponse) * welcome)
{
    snprintf(node->answer.statement, sizeof(node->answer.statement), "%s",
             welcome->stake_statement);
    node->answer.stake_bound = welcome->stake_bound;
    if (!node->lightning) return;
    assert_int_equal(welcome->n_tiers, 3);
    assert_string_equal(welcome->tiers[0]->tier, "t1");
    assert_int_equal(welcome->tiers[0]->minimum_sats, 100000);
    assert_ok(owm_statement_names(welcome->stake_statement, welcome->network,
                                  node->coordinator->key, owm_identity_public_key(node->identity),
                                  NULL));
}

const char *fake_node_register(struct fake_node *node, enum fault fault)
{
    PB(HelloRequest) hello = OWM__COORDINATOR__V1__HELLO_REQUEST__INIT;
    hello.protocol_min = hello.protocol_max = 1;
    PB(HelloResponse) *welcome = call(node, NODE("Hello"), &hello.base,
                                      &owm__coordinator__v1__hello_response__descriptor, NULL);
    if (!welcome) fail_msg("Hello: %s", last_message);
    assert_int_equal(welcome->protocol, 1);
    keep_hello(node, welcome);

    char proof[OWM_LIGHTNING_SIGNATURE_TEXT], key[65],
        *types[] = {(char *)"inference", (char *)"fl_round", (char *)"of_the_future"};
    owm_identity *signer = node->identity, *other = NULL;
    if (fault == FAULT_KEY) assert_ok(owm_identity_generate(&other));
    if (other) signer = other;
    PB(NodeCapabilities) capabilities = OWM__COORDINATOR__V1__NODE_CAPABILITIES__INIT;
    capabilities.tier = (char *)(node->tier ? node->tier : "t1");
    capabilities.tier_overridden = true;
    capabilities.supported_task_types = types;
    capabilities.n_supported_task_types = 3;
    capabilities.max_concurrent_tasks = node->slots;
    capabilities.device = (char *)"test double";
    capabilities.backend = (char *)"cpu";
    PB(RegisterNodeRequest) request = OWM__COORDINATOR__V1__REGISTER_NODE_REQUEST__INIT;
    owm_hex_encode(owm_identity_public_key(signer), 32, key);
    request.public_key = key;
    request.ln_node_uri = (char *)"02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                  "aaa@127.0.0.1:9735";
    request.capabilities = &capabilities;
    request.challenge = welcome->challenge;
    request.timestamp_ms = owm_clock_wall_ms() - (fault == FAULT_TIME ? 3600000 : 0);
    request.protocol = fault == FAULT_PROTOCOL ? 7 : 1;
    request.alias = node->alias;
    if (node->payout_to) request.payout_to = (char *)node->payout_to;
    if (node->lightning) prove(node, &request, proof);
    if (fault == FAULT_CHALLENGE) welcome->challenge.data[20] ^= 1;
    uint8_t text[OWM_CANONICAL_BYTES_MAX], signature[64];
    size_t bytes = 0;
    assert_ok(owm_canonical_register(text, &bytes, &request, node->coordinator->key));
    owm_identity_sign(signer, OWM_DOMAIN_REGISTER, text, bytes, signature);
    if (fault == FAULT_SIGNATURE) signature[7] ^= 1;
    request.signature = (ProtobufCBinaryData){64, signature};
    last_registration_bytes = protobuf_c_message_get_packed_size(&request.base);
    protobuf_c_message_pack(&request.base, last_registration);
    /* A field of a newer version (number 100, a varint): tolerated and not part of the signature.
     */
    static const uint8_t unknown_field[] = {0xa0, 0x06, 0x2a};
    memcpy(last_registration + last_registration_bytes, unknown_field, sizeof(unknown_field));
    last_registration_bytes += sizeof(unknown_field);
    owm__coordinator__v1__hello_response__free_unpacked(welcome, NULL);
    owm_identity_close(other);
    return send_registration(node);
}

const char *fake_node_replay(struct fake_node *node)
{
    return send_registration(node);
}

static PB(HeartbeatResponse)
    * beat(struct fake_node *node, const char *node_id, enum owm_rpc_code *code)
{
    PB(HeartbeatRequest) request = OWM__COORDINATOR__V1__HEARTBEAT_REQUEST__INIT;
    request.node_id = (char *)(node_id ? node_id : node->node_id);
    request.boot_id = node->boot_id;
    request.free_slots = node->slots;
    return call(node, NODE("Heartbeat"), &request.base,
                &owm__coordinator__v1__heartbeat_response__descriptor, code);
}

PB(HeartbeatResponse) * fake_node_beat(struct fake_node *node)
{
    PB(HeartbeatResponse) *answer = beat(node, NULL, NULL);
    if (!answer) fail_msg("Heartbeat: %s", last_message);
    return answer;
}

enum owm_rpc_code fake_node_heartbeat(struct fake_node *node, const char *node_id)
{
    enum owm_rpc_code code = OWM_RPC_OK;
    PB(HeartbeatResponse) *answer = beat(node, node_id, &code);
    if (answer) {
        assert_string_equal(answer->status, "active");
        owm__coordinator__v1__heartbeat_response__free_unpacked(answer, NULL);
    }
    return code;
}

/* ---------------------------------------------------------------------------- tasks */

void fake_node_stream(struct fake_node *node)
{
    PB(HeartbeatRequest) request = OWM__COORDINATOR__V1__HEARTBEAT_REQUEST__INIT;
    uint8_t packed[256];
    request.node_id = node->node_id;
    request.boot_id = node->boot_id;
    request.free_slots = node->slots;
    size_t bytes = owm__coordinator__v1__heartbeat_request__pack(&request, packed);
    owm_rpc_stream_close(node->stream);
    assert_ok(owm_rpc_stream_download(node->client, NODE("StreamTasks"), packed, bytes, 0,
                                      &node->stream));
}

PB(Task)
*fake_node_task(struct fake_node *node, unsigned timeout_ms, uint8_t **plain, size_t *bytes)
{
    struct owm_rpc_reply reply = {0};
    if (owm_rpc_stream_read(node->stream, timeout_ms, &reply) != OWM_OK) return NULL;
    PB(Task) *task = owm__coordinator__v1__task__unpack(NULL, reply.length, reply.bytes);
    owm_rpc_reply_free(&reply);
    assert_non_null(task);
    if (strcmp(task->task_id, node->done) == 0) {
        owm__coordinator__v1__task__free_unpacked(task, NULL);
        return fake_node_task(node, timeout_ms, plain, bytes);
    }
    assert_true(task->payload.len > OWM_BOX_EXTRA_BYTES);
    *bytes = task->payload.len - OWM_BOX_EXTRA_BYTES;
    *plain = malloc(*bytes);
    assert_ok(owm_identity_unbox(node->identity, node->coordinator->key, task->payload.data,
                                 task->payload.len, *plain));
    uint8_t hash[32];
    owm_sha256(*plain, *bytes, hash);
    assert_memory_equal(hash, task->input_hash.data, 32);
    return task;
}

static const char *submit(struct fake_node *node, const PB(Task) * task, const uint8_t *output,
                          size_t output_bytes, struct wrong wrong)
{
    PB(TaskResult) result = OWM__COORDINATOR__V1__TASK_RESULT__INIT;
    uint8_t hash[32], signature[64], text[OWM_CANONICAL_BYTES_MAX];
    uint8_t *boxed = malloc(output_bytes + OWM_BOX_EXTRA_BYTES);
    size_t bytes = 0;
    enum owm_rpc_code code;
    owm_sha256(output, output_bytes, hash);
    if (wrong.hash) hash[0] ^= 1;
    assert_ok(
        owm_identity_box(node->identity, node->coordinator->key, output, output_bytes, boxed));
    result.task_id = task->task_id;
    result.node_id = node->node_id;
    result.output_hash = (ProtobufCBinaryData){32, hash};
    result.output = (ProtobufCBinaryData){output_bytes + OWM_BOX_EXTRA_BYTES, boxed};
    result.lease_token = task->lease_token - (wrong.lease ? 1 : 0);
    if (wrong.error) result.error = (char *)wrong.error;
    assert_ok(owm_canonical_result(text, &bytes, &result, node->coordinator->key));
    owm_identity_sign(node->identity, OWM_DOMAIN_RESULT, text, bytes, signature);
    if (wrong.signature) signature[9] ^= 1;
    result.signature = (ProtobufCBinaryData){64, signature};
    PB(TaskResultAck) *ack = call(node, NODE("SubmitTaskResult"), &result.base,
                                  &owm__coordinator__v1__task_result_ack__descriptor, &code);
    free(boxed);
    if (!ack) return code_of_failure();
    snprintf(last_code, sizeof(last_code), "%s", ack->reason);
    assert_int_equal(ack->accepted, ack->reason[0] == 0);
    if (ack->accepted) snprintf(node->done, sizeof(node->done), "%s", task->task_id);
    owm__coordinator__v1__task_result_ack__free_unpacked(ack, NULL);
    return last_code;
}

const char *fake_node_answer(struct fake_node *node, const PB(Task) * task, const char *text,
                             struct wrong wrong)
{
    PB(InferenceOutput) output = OWM__COORDINATOR__V1__INFERENCE_OUTPUT__INIT;
    uint8_t packed[1024];
    output.text = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    size_t bytes = owm__coordinator__v1__inference_output__pack(&output, packed);
    return submit(node, task, packed, bytes, wrong);
}

/* ---------------------------------------------------------------------------- rounds */

const float *fake_node_gradient;

/* A well-formed update of 600 values of one size, or one with the fault asked for. Which values,
 * each node draws anew, so that no two updates are alike. */
static uint8_t *make_package(struct fake_node *node, const PB(FlRoundPayload) * order,
                             struct wrong wrong, size_t *bytes)
{
    enum { K = 600 };
    uint32_t index[K], n = (uint32_t)((order->model_bytes - 4096) / 4);
    float value[K], size = fake_node_gradient ? 0x1p-5f : 0x1p-8f;
    struct owm_rng rng;
    if (wrong.flipped) size *= 4; /* not so much that the norm alone gives it away */
    if (wrong.huge) size *= 64;
    owm_rng_seed(&rng, node->boot_id * 1000 + ++node->packages);
    for (uint32_t i = 0; i < K; i++) {
        index[i] = i * 16 + (uint32_t)owm_rng_below(&rng, 16);
        bool up = owm_rng_u64(&rng) & 1;
        if (fake_node_gradient) up = (fake_node_gradient[index[i]] < 0) != wrong.flipped;
        value[i] = wrong.zero ? 0 : up ? size : -size;
    }
    const char *count = getenv("OWM_TEST_PARAMETERS");
    if (count) n = (uint32_t)strtoul(count, NULL, 10);
    struct owm_sparse sparse = {.count = K, .exponent = -11, .index = index, .value = value};
    struct owm_delta_header header = {
        .round = order->round + (wrong.round ? 1u : 0u), .parameter_count = n, .tokens = 1000};
    memcpy(header.base_sha256, order->model_hash.data, 32);
    memcpy(header.nonce, order->nonce.data, 16);
    memcpy(header.node_key, owm_identity_public_key(node->identity), 32);
    if (wrong.base) header.base_sha256[0] ^= 1;
    if (wrong.nonce) header.nonce[0] ^= 1;
    size_t capacity = owm_delta_bytes_max(n, K, OWM_DELTA_INT8);
    uint8_t *package = malloc(capacity);
    assert_ok(owm_delta_encode(&header, &sparse, package, capacity, bytes));
    assert_ok(owm_delta_sign(package, *bytes, node->identity));
    if (wrong.truncated) *bytes -= 40;
    return package;
}

/* Bytes from..to of the package as one call; what the coordinator has then in *have. */
static const char *upload_part(struct fake_node *node, const PB(Task) * task,
                               const uint8_t *package, size_t total, size_t from, size_t to,
                               size_t *have)
{
    struct owm_rpc_stream *stream = NULL;
    struct owm_rpc_reply reply = {0};
    assert_ok(owm_rpc_stream_upload(node->client, NODE("UploadBlob"), 20000, &stream));
    for (size_t at = 0, part = 0; at < to; at += part) {
        PB(BlobChunk) chunk = OWM__COORDINATOR__V1__BLOB_CHUNK__INIT;
        uint8_t packed[1024];
        part = to - at < 500 ? to - at : 500;
        if (at == 0) {
            chunk.hash = (ProtobufCBinaryData){32, node->package_hash};
            chunk.total_bytes = total;
            chunk.task_id = task->task_id;
            chunk.lease_token = task->lease_token;
            if (from) part = 0; /* names the upload and brings nothing */
        }
        chunk.offset = at;
        chunk.data = (ProtobufCBinaryData){part, (uint8_t *)package + at};
        size_t length = owm__coordinator__v1__blob_chunk__pack(&chunk, packed);
        if (owm_rpc_stream_write(stream, packed, length, 5000) != OWM_OK) break;
        if (at == 0 && from) part = from;
    }
    owm_status status = owm_rpc_stream_finish(stream, 20000, &reply);
    snprintf(last_message, sizeof(last_message), "%s", reply.text);
    if (status == OWM_OK) {
        PB(BlobAck) *ack = owm__coordinator__v1__blob_ack__unpack(NULL, reply.length, reply.bytes);
        snprintf(last_code, sizeof(last_code), "%s", ack->reason);
        *have = (size_t)ack->bytes;
        owm__coordinator__v1__blob_ack__free_unpacked(ack, NULL);
    } else {
        code_of_failure();
    }
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(stream);
    return last_code;
}

static const char *upload(struct fake_node *node, const PB(Task) * task, const uint8_t *package,
                          size_t bytes, struct wrong wrong)
{
    size_t have = 0;
    owm_sha256(package, bytes, node->package_hash);
    if (wrong.resumed) {
        assert_string_equal(upload_part(node, task, package, bytes, 0, bytes / 2, &have),
                            "TRUNCATED");
        assert_int_equal(have, bytes / 2);
    }
    const char *code = upload_part(node, task, package, bytes, have, bytes, &have);
    if (!code[0]) assert_int_equal(have, bytes);
    return code;
}

const char *fake_node_upload(struct fake_node *node, const PB(Task) * task, const uint8_t *plain,
                             size_t bytes, struct wrong wrong)
{
    PB(FlRoundPayload) *order = owm__coordinator__v1__fl_round_payload__unpack(NULL, bytes, plain);
    assert_non_null(order);
    uint8_t *package = make_package(node, order, wrong, &node->package_bytes);
    const char *code = upload(node, task, package, node->package_bytes, wrong);
    node->round = order->round;
    free(package);
    owm__coordinator__v1__fl_round_payload__free_unpacked(order, NULL);
    return code;
}

const char *fake_node_report(struct fake_node *node, const PB(Task) * task, struct wrong wrong)
{
    PB(FlRoundOutput) output = OWM__COORDINATOR__V1__FL_ROUND_OUTPUT__INIT;
    uint8_t packed[256];
    output.package_hash = (ProtobufCBinaryData){32, node->package_hash};
    output.package_bytes = node->package_bytes;
    output.train_loss_first = 3;
    output.train_loss_last = 2;
    output.tokens = 1000;
    size_t length = owm__coordinator__v1__fl_round_output__pack(&output, packed);
    return submit(node, task, packed, length, wrong);
}

const char *fake_node_train(struct fake_node *node, const PB(Task) * task, const uint8_t *plain,
                            size_t bytes, struct wrong wrong)
{
    const char *code = fake_node_upload(node, task, plain, bytes, wrong);
    return code[0] ? code : fake_node_report(node, task, wrong);
}

const char *fake_node_receipt(struct fake_node *node, struct owm_receipt *receipt)
{
    PB(ReceiptRequest) request = OWM__COORDINATOR__V1__RECEIPT_REQUEST__INIT;
    request.round = node->round;
    request.package_hash = (ProtobufCBinaryData){32, node->package_hash};
    PB(ReceiptResponse) *answer = call(node, NODE("GetReceipt"), &request.base,
                                       &owm__coordinator__v1__receipt_response__descriptor, NULL);
    if (!answer) fail_msg("GetReceipt: %s", last_message);
    memset(receipt, 0, sizeof(*receipt));
    if (answer->receipt.len) {
        assert_ok(owm_receipt_read(answer->receipt.data, answer->receipt.len,
                                   node->coordinator->key, receipt, NULL));
        assert_int_equal(receipt->round, node->round);
        assert_memory_equal(receipt->package_sha256, node->package_hash, 32);
        assert_memory_equal(receipt->node_key, owm_identity_public_key(node->identity), 32);
    }
    snprintf(last_code, sizeof(last_code), "%s", answer->verdict);
    owm__coordinator__v1__receipt_response__free_unpacked(answer, NULL);
    return last_code;
}

PB(ModelVersion) * fake_node_model(struct fake_node *node, const char *id)
{
    PB(GetModelVersionRequest) request = OWM__COORDINATOR__V1__GET_MODEL_VERSION_REQUEST__INIT;
    enum owm_rpc_code code;
    request.version_id = (char *)id;
    PB(ModelVersion) *answer = call(node, NODE("GetModelVersion"), &request.base,
                                    &owm__coordinator__v1__model_version__descriptor, &code);
    if (!answer) assert_int_equal(code, OWM_RPC_NOT_FOUND);
    return answer;
}

PB(EarningsResponse) * fake_node_earnings(struct fake_node *node, uint32_t limit)
{
    PB(EarningsRequest) request = OWM__COORDINATOR__V1__EARNINGS_REQUEST__INIT;
    request.limit = limit;
    PB(EarningsResponse) *answer = call(node, NODE("GetEarnings"), &request.base,
                                        &owm__coordinator__v1__earnings_response__descriptor, NULL);
    if (!answer) fail_msg("GetEarnings: %s", last_message);
    return answer;
}
