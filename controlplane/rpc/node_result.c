/* node_result.c: SubmitTaskResult and ReportProgress: who, signature, box and hash are checked on
 * the RPC thread; whether the lease still counts is the engine's to say. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "proto/canonical.h"
#include "services_internal.h"

#define ERROR_TEXT_MAX 80
#define UNPROVEN       "UNPROVEN: " /* CODE: sentence */

/* ---------------------------------------------------------------------------- answers */

static void answer_refused(struct owm_services *services, struct owm_rpc_call *call,
                           const char *code, const char *sentence)
{
    PB(TaskResultAck) ack = OWM__COORDINATOR__V1__TASK_RESULT_ACK__INIT;
    wire_refuse(services, "SubmitTaskResult", code, call);
    ack.reason = (char *)code;
    ack.message = (char *)sentence;
    wire_reply(call, &ack.base);
}

static void answer_result(struct owm_ask *ask, const struct owm_output *output)
{
    struct owm_services *services = ask->ctx;
    if (!output) {
        wire_busy(services, ask->call, "SubmitTaskResult");
    } else if (!output->result.accepted) {
        enum owm_code code = output->result.code;
        answer_refused(services, ask->call, owm_code_name(code), owm_code_text(code));
    } else {
        PB(TaskResultAck) ack = OWM__COORDINATOR__V1__TASK_RESULT_ACK__INIT;
        ack.accepted = true;
        ack.reward_msat = output->result.reward_msat;
        wire_reply(ask->call, &ack.base);
        owm_counter_add(services->results, 1);
    }
    owm_ask_free(ask);
}

/* ---------------------------------------------------------------------------- evidence */

/* TST-08: the node signed one hash and sent another output. The bundle holds its signature over the
 * canonical text, and the hash of what came: anyone can check the contradiction. */
static owm_status put_evidence(struct owm_services *services, const struct owm_peer *peer,
                               const PB(TaskResult) * result, const uint8_t actual[32],
                               uint8_t evidence[32])
{
    char key[65], declared[65] = "", found[65], signature[129] = "", *text = NULL;
    size_t bytes = 0;
    owm_hex_encode(peer->public_key, 32, key);
    if (result->output_hash.len == 32) owm_hex_encode(result->output_hash.data, 32, declared);
    owm_hex_encode(actual, 32, found);
    owm_hex_encode(result->signature.data, OWM_SIGNATURE_BYTES, signature);
    json_t *bundle = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s}", "kind", "fake_task_proof", "node_key", key,
        "task_id", result->task_id, "node_id", result->node_id, "lease_token",
        (json_int_t)result->lease_token, "execution_ms", (json_int_t)result->execution_ms,
        "signed_output_sha256", declared, "actual_output_sha256", found, "signature", signature);
    owm_status status = bundle ? owm_json_canonical(bundle, &text, &bytes) : OWM_E_NOMEM;
    json_decref(bundle);
    if (status == OWM_OK)
        status = owm_blob_put(services->config.store, text, bytes, evidence, NULL);
    free(text);
    if (status == OWM_OK) owm_services_publish(services, evidence);
    return status;
}

/* ---------------------------------------------------------------------------- SubmitTaskResult */

static void make_refused(struct owm_post *post, enum owm_code code)
{
    struct owm_result_event was = post->event.result;
    memset(&post->event.refused, 0, sizeof(post->event.refused));
    post->event.kind = OWM_EVENT_RESULT_REFUSED;
    memcpy(post->event.refused.task_id, was.task_id, 16);
    memcpy(post->event.refused.node_id, was.node_id, 16);
    post->event.refused.lease_token = was.lease_token;
    post->event.refused.code = code;
    post->prepare = NULL;
}

/* Reasons of a node that may not use a checkpoint (SRS-OTS-05); what it names beside them is no
 * label of ours. */
static const char *refusal_code(const char *text)
{
    static const char *const codes[] = {
        "NO_MANIFEST",        "BAD_MANIFEST",  "NOT_SIGNED", "NOT_NAMED",        "NO_PROOF",
        "BAD_PROOF",          "WRONG_HASH",    "DOWNGRADE",  "TOO_FEW_PROMISES", "WRONG_BLOCK",
        "UNLISTED_CALENDARS", "NOT_CONFIRMED", "NO_HEADERS", "TAMPERED_FILE",    "FORK"};
    size_t length = strcspn(text, ":");
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strlen(codes[i]) == length && strncmp(codes[i], text, length) == 0) return codes[i];
    return "OTHER";
}

static void name_model(const owm_engine *engine, const struct owm_task_row *task,
                       char name[OWM_VERSION_BYTES])
{
    const struct owm_model_row *model = owm_engine_model(engine);
    const struct owm_proven_event *serving = owm_engine_serving(engine);
    if (task->type == OWM_TASK_FL_ROUND)
        snprintf(name, OWM_VERSION_BYTES, "%s", owm_engine_round(engine)->base_version);
    else if (model && serving && model->round == serving->round)
        snprintf(name, OWM_VERSION_BYTES, "%s", model->version);
    else
        snprintf(name, OWM_VERSION_BYTES, "of-round-%u", serving ? serving->round : 0);
}

/* On the engine's thread, before the engine judges it: whoever does not hold the lease has nothing
 * to refuse. */
static void note_refusal(struct owm_services *services, const owm_engine *engine,
                         const struct owm_result_event *event, const struct owm_task_row *task)
{
    char node[OWM_UUID_TEXT_BYTES], version[OWM_VERSION_BYTES];
    if (task->state != OWM_TASK_STATE_RUNNING || task->lease_token != event->lease_token
        || memcmp(task->assigned_node, event->node_id, 16) != 0)
        return;
    const char *code = refusal_code(event->error + strlen(UNPROVEN));
    owm_uuid_format(event->node_id, node);
    name_model(engine, task, version);
    owm_counter_add(owm_metrics_counter(services->config.metrics, "owm_model_refusals_total",
                                        "Checkpoints that a node refused as unproven, by reason.",
                                        (const char *const[]){"code", code, NULL}),
                    1);
    owm_log(OWM_LOG_WARN, "model_refused node=%s version=%s code=%s reason=\"%s\"", node, version,
            code, event->error);
}

/* On the engine's thread: only there it is known that this task is an fl_round, whose output is a
 * message that names the package. */
static bool open_round_output(struct owm_post *post, owm_engine *engine)
{
    struct owm_result_event *event = &post->event.result;
    const struct owm_task_row *task = owm_engine_find_task(engine, event->task_id);
    if (task && event->unproven) note_refusal(post->ask->ctx, engine, event, task);
    if (!task || task->type != OWM_TASK_FL_ROUND || (event->error && event->error[0])) return true;
    PB(FlRoundOutput) *output =
        owm__coordinator__v1__fl_round_output__unpack(NULL, event->output_bytes, event->output);
    if (output && output->package_hash.len == 32) {
        memcpy(event->package_hash, output->package_hash.data, 32);
        event->package_bytes = output->package_bytes;
        event->train_loss_first = output->train_loss_first;
        event->train_loss_last = output->train_loss_last;
        event->tokens = output->tokens;
        event->output = NULL;
        event->output_bytes = 0;
    } else {
        make_refused(post, OWM_CODE_BAD_OUTPUT);
    }
    if (output) owm__coordinator__v1__fl_round_output__free_unpacked(output, NULL);
    return true;
}

static struct owm_post *result_post(const struct owm_peer *peer, const uint8_t task_id[16],
                                    const PB(TaskResult) * result)
{
    struct owm_post *post = owm_post_new(OWM_EVENT_RESULT);
    if (!post) return NULL;
    memcpy(post->event.result.task_id, task_id, 16);
    memcpy(post->event.result.node_id, peer->node_id, 16);
    post->event.result.lease_token = result->lease_token;
    if (result->output_hash.len == 32)
        memcpy(post->event.result.output_hash, result->output_hash.data, 32);
    post->prepare = open_round_output;
    return post;
}

static bool signature_fits(const struct owm_services *services, const struct owm_peer *peer,
                           const PB(TaskResult) * result)
{
    uint8_t text[OWM_CANONICAL_BYTES_MAX];
    size_t bytes = 0;
    return result->signature.len == OWM_SIGNATURE_BYTES && result->output_hash.len == 32
           && owm_canonical_result(text, &bytes, result,
                                   owm_identity_public_key(services->config.identity))
                  == OWM_OK
           && owm_verify(peer->public_key, OWM_DOMAIN_RESULT, text, bytes, result->signature.data)
                  == OWM_OK;
}

/* Fill the event with the plain output, or turn it into a refusal. OWM_E_NOMEM. */
static owm_status open_output(struct owm_services *services, const struct owm_peer *peer,
                              const PB(TaskResult) * result, struct owm_post *post)
{
    struct owm_result_event *event = &post->event.result;
    if (result->error && result->error[0]) {
        char *text = strndup(result->error, ERROR_TEXT_MAX);
        post->memory = text;
        event->error = text;
        event->unproven = text && strncmp(text, UNPROVEN, strlen(UNPROVEN)) == 0;
        return text ? OWM_OK : OWM_E_NOMEM;
    }
    if (result->output.len < OWM_BOX_EXTRA_BYTES) {
        make_refused(post, OWM_CODE_BAD_OUTPUT);
        return OWM_OK;
    }
    size_t bytes = result->output.len - OWM_BOX_EXTRA_BYTES;
    uint8_t *plain = malloc(bytes + 1), actual[32];
    if (!plain) return OWM_E_NOMEM;
    post->memory = plain;
    if (owm_identity_unbox(services->config.identity, peer->public_key, result->output.data,
                           result->output.len, plain)
        != OWM_OK) {
        make_refused(post, OWM_CODE_BAD_OUTPUT);
        return OWM_OK;
    }
    owm_sha256(plain, bytes, actual);
    if (owm_bytes_equal(actual, event->output_hash, 32)) {
        event->output = plain;
        event->output_bytes = bytes;
        return OWM_OK;
    }
    make_refused(post, OWM_CODE_HASH_MISMATCH);
    return put_evidence(services, peer, result, actual, post->event.refused.evidence_hash);
}

static void take_result(struct owm_services *services, struct owm_rpc_call *call,
                        const PB(TaskResult) * result)
{
    struct owm_peer *peer = wire_peer(services, call, "SubmitTaskResult", result->node_id);
    uint8_t task_id[16];
    if (!peer) return;
    if (owm_uuid_parse(result->task_id, task_id) != OWM_OK) {
        answer_refused(services, call, "UNKNOWN_TASK", "task_id is not a UUID");
        return;
    }
    struct owm_post *post = result_post(peer, task_id, result);
    if (post) post->ask = owm_ask_new(answer_result, services, call);
    owm_status status = post && post->ask ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK && !signature_fits(services, peer, result))
        make_refused(post, OWM_CODE_BAD_SIGNATURE);
    else if (status == OWM_OK)
        status = open_output(services, peer, result, post);
    if (status == OWM_OK) {
        wire_post(services, call, "SubmitTaskResult", post);
        return;
    }
    owm_post_free(post);
    wire_busy(services, call, "SubmitTaskResult");
}

void on_result(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PB(TaskResult) *result =
        wire_unpack(app, call, "SubmitTaskResult", &owm__coordinator__v1__task_result__descriptor,
                    bytes, length);
    if (!result) return;
    take_result(app, call, result);
    owm__coordinator__v1__task_result__free_unpacked(result, NULL);
}

/* ---------------------------------------------------------------------------- ReportProgress */

struct progress {
    uint32_t attempt;
    size_t bytes;
    uint8_t chunk[];
};

/* The attempt belongs to the lease, which the engine knows. */
static bool note_attempt(struct owm_post *post, owm_engine *engine)
{
    const struct owm_task_row *task = owm_engine_find_task(engine, post->event.progress.task_id);
    struct progress *progress = post->ask->data;
    progress->attempt = task ? task->attempt : 0;
    return true;
}

static void answer_progress(struct owm_ask *ask, const struct owm_output *output)
{
    PB(TaskProgressAck) ack = OWM__COORDINATOR__V1__TASK_PROGRESS_ACK__INIT;
    const struct progress *progress = ask->data;
    ack.keep_going = output && output->done.code == OWM_CODE_NONE;
    if (ack.keep_going)
        watch_progress(ask->ctx, ask->id, progress->attempt, progress->chunk, progress->bytes);
    wire_reply(ask->call, &ack.base);
    owm_ask_free(ask);
}

static void take_progress(struct owm_services *services, struct owm_rpc_call *call,
                          const PB(TaskProgress) * request)
{
    struct owm_peer *peer = wire_peer(services, call, "ReportProgress", NULL);
    size_t boxed = request->chunk.len;
    if (!peer) return;
    size_t bytes = boxed > OWM_BOX_EXTRA_BYTES ? boxed - OWM_BOX_EXTRA_BYTES : 0;
    struct owm_post *post = owm_post_new(OWM_EVENT_PROGRESS);
    if (post) post->ask = owm_ask_new(answer_progress, services, call);
    struct progress *progress = malloc(sizeof(*progress) + bytes);
    if (!post || !post->ask || !progress) {
        free(progress);
        owm_post_free(post);
        wire_busy(services, call, "ReportProgress");
        return;
    }
    progress->bytes = bytes;
    post->ask->data = progress;
    if (owm_uuid_parse(request->task_id, post->event.progress.task_id) != OWM_OK
        || (bytes
            && owm_identity_unbox(services->config.identity, peer->public_key, request->chunk.data,
                                  boxed, progress->chunk)
                   != OWM_OK)) {
        owm_post_free(post);
        wire_fail(services, call, "ReportProgress", OWM_RPC_INVALID_ARGUMENT, "BAD_OUTPUT",
                  "the chunk is not boxed by this node for this coordinator");
        return;
    }
    memcpy(post->ask->id, post->event.progress.task_id, 16);
    memcpy(post->event.progress.node_id, peer->node_id, 16);
    post->event.progress.lease_token = request->lease_token;
    post->prepare = note_attempt;
    wire_post(services, call, "ReportProgress", post);
}

void on_progress(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PB(TaskProgress) *request =
        wire_unpack(app, call, "ReportProgress", &owm__coordinator__v1__task_progress__descriptor,
                    bytes, length);
    if (!request) return;
    take_progress(app, call, request);
    owm__coordinator__v1__task_progress__free_unpacked(request, NULL);
}
