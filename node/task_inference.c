/* task_inference.c: one inference task: the text is streamed while it is made, and whole at the
 * end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "node/node.h"

/** writing: the text so far. */
struct writing {
    struct node_slot *slot;
    uint8_t *text;
    size_t count, capacity;
    uint32_t sequence;
};

/** report: send one piece; the final output has it anyway, so a lost piece is no failure. */
static void report(struct writing *w, const uint8_t *bytes, size_t count)
{
    struct node *node = w->slot->node;
    uint8_t *box = malloc(count + OWM_BOX_EXTRA_BYTES);
    if (box == NULL) return;
    PB(TaskProgress) progress = OWM__COORDINATOR__V1__TASK_PROGRESS__INIT;
    progress.task_id = w->slot->task.id;
    progress.lease_token = w->slot->task.lease_token;
    progress.sequence = w->sequence++;
    progress.chunk = (ProtobufCBinaryData){count + OWM_BOX_EXTRA_BYTES, box};
    PB(TaskProgressAck) *ack = NULL;
    struct owm_error error;
    if (owm_identity_box(node->identity, node->coordinator_key, bytes, count, box) == OWM_OK
        && link_progress(node->rpc, &progress, &ack, &error) == OWM_OK && !ack->keep_going)
        atomic_store(&w->slot->cancel, true);
    link_free(ack);
    free(box);
}

static void on_chunk(void *ctx, const uint8_t *bytes, size_t count)
{
    struct writing *w = ctx;
    if (count > w->capacity - w->count) count = w->capacity - w->count;
    memcpy(w->text + w->count, bytes, count);
    w->count += count;
    if (count > 0) report(w, bytes, count);
    node_slot_doing(w->slot, "answering a question, %zu bytes so far", w->count);
}

static owm_status pack(const struct writing *w, const struct owm_worker_done *done,
                       const PB(InferencePayload) * payload, uint8_t **output, size_t *bytes)
{
    PB(InferenceOutput) message = OWM__COORDINATOR__V1__INFERENCE_OUTPUT__INIT;
    char finish[sizeof done->finish];
    memcpy(finish, done->finish, sizeof finish);
    message.text = (ProtobufCBinaryData){w->count, w->text};
    message.tokens = done->tokens;
    message.model_hash = payload->model_hash;
    message.finish_reason = finish;
    *bytes = owm__coordinator__v1__inference_output__get_packed_size(&message);
    *output = malloc(*bytes ? *bytes : 1);
    if (*output == NULL) return OWM_E_NOMEM;
    owm__coordinator__v1__inference_output__pack(&message, *output);
    return OWM_OK;
}

owm_status node_run_inference(struct node_slot *slot, uint8_t **output, size_t *bytes,
                              struct owm_error *error)
{
    const PB(InferencePayload) *payload = slot->task.inference;
    int checkpoint = -1;
    const struct checkpoint wanted = {MODEL_SERVING, payload->model_hash.data,
                                      payload->model_bytes};
    owm_status status = node_checkpoint(slot, &wanted, &checkpoint, error);
    if (status != OWM_OK) return status;
    struct writing w = {.slot = slot, .capacity = payload->max_tokens};
    w.text = malloc(w.capacity);
    struct owm_worker_message request = {.kind = OWM_WORKER_INFER};
    struct owm_worker_infer *infer = &request.infer;
    memcpy(infer->model_sha256, payload->model_hash.data, 32);
    infer->model_bytes = payload->model_bytes;
    infer->max_tokens = payload->max_tokens;
    infer->top_k = payload->top_k;
    infer->temperature = payload->temperature;
    infer->seed = payload->seed;
    infer->prompt = (const uint8_t *)payload->prompt;
    infer->prompt_bytes = (uint32_t)strlen(payload->prompt);
    const struct owm_worker_call call = {.request = &request,
                                         .fds = &checkpoint,
                                         .deadline_ms = slot->task.deadline_ms,
                                         .cancel = &slot->cancel,
                                         .on_chunk = on_chunk,
                                         .ctx = &w};
    struct owm_worker_done done;
    status = w.text ? owm_worker_run(slot->worker, &call, &done, error) : OWM_E_NOMEM;
    if (status == OWM_OK) status = pack(&w, &done, payload, output, bytes);
    free(w.text);
    close(checkpoint);
    return status;
}
