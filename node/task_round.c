/* task_round.c: one round of federated learning: settle what became of earlier updates, train,
 * pack, sign, upload. Only the signed sparse package is uploaded (promise 4).
 *
 * The residual and the packages that wait for their receipt lie in one file per model size; the new
 * residual is stored together with the package before anything is uploaded, so that a crash loses
 * no mass and counts none twice (dataplane/fl/feedback.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sha256.h"
#include "dataplane/fl/delta.h"
#include "dataplane/fl/feedback.h"
#include "dataplane/fl/receipt.h"
#include "dataplane/model/checkpoint.h"
#include "node/node.h"

/** round_run: what one round owns. */
struct round_run {
    struct node_slot *slot;
    const PB(FlRoundPayload) * payload;
    uint32_t n; /* parameters */
    struct owm_feedback *feedback;
    int fds[OWM_WORKER_FDS_MAX];
    uint8_t *package;
    size_t package_bytes;
    float *residual;
    uint8_t package_sha256[32];
};

/* ----------------------------------------------------------------------------- receipts */

/** judge: a verdict proven by the coordinator's signature. OWM_E_NOTFOUND: none yet. */
static owm_status judge(struct node *node, const struct owm_feedback_inflight *item,
                        const PB(ReceiptResponse) * answer, bool *included)
{
    struct owm_receipt receipt;
    struct owm_error error;
    if (answer->receipt.len == 0) return OWM_E_NOTFOUND;
    if (owm_receipt_read(answer->receipt.data, answer->receipt.len, node->coordinator_key, &receipt,
                         &error)
            != OWM_OK
        || receipt.round != item->round || memcmp(receipt.package_sha256, item->sha256, 32) != 0
        || memcmp(receipt.node_key, owm_identity_public_key(node->identity), 32) != 0) {
        node_trouble(node, "the receipt for round %llu is not valid; the update stays pending",
                     (unsigned long long)item->round);
        return OWM_E_CRYPTO;
    }
    *included = receipt.verdict == OWM_RECEIPT_INCLUDED;
    return OWM_OK;
}

/** settle_one: ask for one package. OWM_OK: resolved. OWM_E_NOTFOUND: still open. */
static owm_status settle_one(struct round_run *run, const struct owm_feedback_inflight *item,
                             struct owm_error *error)
{
    struct node *node = run->slot->node;
    uint8_t hash[32];
    memcpy(hash, item->sha256, sizeof hash);
    uint64_t round = item->round;
    PB(ReceiptRequest) request = OWM__COORDINATOR__V1__RECEIPT_REQUEST__INIT;
    request.round = (uint32_t)round;
    request.package_hash = (ProtobufCBinaryData){sizeof hash, hash};
    PB(ReceiptResponse) *answer = NULL;
    owm_status status = link_receipt(node->rpc, &request, &answer, error);
    if (status != OWM_OK) return status;
    bool included = false;
    status = judge(node, item, answer, &included);
    /* Unknown to the coordinator although a task came after it: it was never delivered. */
    if (status == OWM_E_NOTFOUND && strcmp(answer->verdict, "unknown") == 0) status = OWM_OK;
    if (status == OWM_OK) {
        owm_log(OWM_LOG_INFO, "update_settled round=%llu verdict=%s reason=\"%s\"",
                (unsigned long long)round, included ? "included" : "not_included", answer->reason);
        status = owm_feedback_resolve(run->feedback, hash, included, error);
    } else {
        status = OWM_E_NOTFOUND;
    }
    link_free(answer);
    return status;
}

/** settle: all packages in flight; what is still open stays. */
static owm_status settle(struct round_run *run, struct owm_error *error)
{
    node_slot_doing(run->slot, "round %u: settling earlier updates", run->payload->round);
    uint32_t open = 0;
    while (open < owm_feedback_pending(run->feedback)) {
        struct owm_feedback_inflight item;
        owm_status status = owm_feedback_inflight(run->feedback, open, &item);
        if (status == OWM_OK) status = settle_one(run, &item, error);
        if (status == OWM_E_NOTFOUND)
            open++;
        else if (status != OWM_OK)
            return status;
    }
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- the worker */

static owm_status open_feedback(struct round_run *run, struct owm_error *error)
{
    owm_safetensors *file = NULL;
    struct owm_model_config config;
    owm_status status = owm_safetensors_open_fd(&file, run->fds[OWM_WORKER_FD_CHECKPOINT], error);
    if (status != OWM_OK) return status;
    status = owm_checkpoint_config(file, &config, error);
    owm_safetensors_close(file);
    if (status != OWM_OK) return status;
    uint64_t n = owm_model_config_params(&config);
    if (n > OWM_DELTA_PARAMETERS_MAX)
        return owm_fail(error, OWM_E_LIMIT, "the model has %llu parameters, a delta carries %u",
                        (unsigned long long)n, OWM_DELTA_PARAMETERS_MAX);
    run->n = (uint32_t)n;
    char *path = NULL;
    if (asprintf(&path, "%s/feedback-%u.bin", run->slot->node->config.data_dir, run->n) < 0)
        return OWM_E_NOMEM;
    status = owm_feedback_open(path, run->n, &run->feedback, error);
    free(path);
    return status;
}

/** sent_count: how many values a package of this round holds. */
static uint32_t sent_count(const struct round_run *run)
{
    struct owm_feedback_config config = owm_feedback_defaults();
    config.density_ppm = run->payload->topk_permille * 1000;
    return owm_feedback_k(&config, run->n);
}

static enum owm_delta_values value_type(const PB(FlRoundPayload) * payload)
{
    return strcmp(payload->value_type, "bf16") == 0 ? OWM_DELTA_BF16 : OWM_DELTA_INT8;
}

static owm_status open_fds(struct round_run *run, struct owm_error *error)
{
    size_t residual_bytes = run->n * sizeof(float);
    size_t package_bytes = owm_delta_bytes_max(run->n, sent_count(run), value_type(run->payload));
    run->fds[OWM_WORKER_FD_SHARD] = run->slot->node->shard.fd;
    run->fds[OWM_WORKER_FD_RESIDUAL_IN] =
        owm_worker_memory("owm-residual", owm_feedback_residual(run->feedback), residual_bytes);
    run->fds[OWM_WORKER_FD_PACKAGE] = owm_worker_memory("owm-package", NULL, package_bytes);
    run->fds[OWM_WORKER_FD_RESIDUAL_OUT] =
        owm_worker_memory("owm-residual-new", NULL, residual_bytes);
    for (int i = 0; i < OWM_WORKER_FDS_MAX; i++)
        if (run->fds[i] < 0)
            return owm_fail(error, OWM_E_IO, "no memory file for the worker: %s", strerror(errno));
    return OWM_OK;
}

static void on_progress(void *ctx, const struct owm_worker_progress *progress)
{
    const struct round_run *run = ctx;
    node_slot_doing(run->slot, "round %u: training, step %u of %u, loss %.3f nats per byte",
                    run->payload->round, progress->step, progress->steps, (double)progress->loss);
}

static void fill_request(const struct round_run *run, struct owm_worker_train *t)
{
    const PB(FlRoundPayload) *p = run->payload;
    memcpy(t->model_sha256, p->model_hash.data, 32);
    memcpy(t->nonce, p->nonce.data, 16);
    memcpy(t->node_key, owm_identity_public_key(run->slot->node->identity), 32);
    t->model_bytes = p->model_bytes;
    t->round = p->round;
    t->steps = p->steps;
    t->batch = p->batch;
    t->seq = p->seq;
    t->warmup_steps = p->warmup_steps;
    t->lr = p->lr;
    t->weight_decay = p->weight_decay;
    t->topk_permille = p->topk_permille;
    t->values = (uint8_t)value_type(p);
    t->seed = p->seed;
    t->package_bytes_max = p->package_bytes_max;
}

static owm_status train(struct round_run *run, struct owm_worker_done *done,
                        struct owm_error *error)
{
    struct owm_worker_message request = {.kind = OWM_WORKER_TRAIN};
    fill_request(run, &request.train);
    const struct owm_worker_call call = {.request = &request,
                                         .fds = run->fds,
                                         .deadline_ms = run->slot->task.deadline_ms,
                                         .cancel = &run->slot->cancel,
                                         .on_progress = on_progress,
                                         .ctx = run};
    node_slot_doing(run->slot, "round %u: loading the model", run->payload->round);
    return owm_worker_run(run->slot->worker, &call, done, error);
}

/** read_file: the first `bytes` bytes of a memory file, malloc'ed; NULL if it is shorter. */
static void *read_file(int fd, size_t bytes)
{
    struct stat st;
    if (bytes == 0 || fstat(fd, &st) != 0 || (uint64_t)st.st_size < bytes) return NULL;
    char *data = malloc(bytes);
    for (size_t at = 0; data != NULL && at < bytes;) {
        ssize_t got = pread(fd, data + at, bytes - at, (off_t)at);
        if (got <= 0) {
            free(data);
            return NULL;
        }
        at += (size_t)got;
    }
    return data;
}

/* ------------------------------------------------------------------------------- package */

/** check: the worker saw the raw text, so its package is decoded before it leaves: it is a sparse
 *  delta of the size that was asked for, and nothing else fits in. */
static owm_status check(const struct round_run *run, struct owm_error *error)
{
    struct owm_delta_expect expect = {
        .round = run->payload->round, .parameter_count = run->n, .k_max = sent_count(run)};
    memcpy(expect.base_sha256, run->payload->model_hash.data, 32);
    memcpy(expect.node_key, owm_identity_public_key(run->slot->node->identity), 32);
    struct owm_delta delta;
    enum owm_delta_reason reason;
    owm_status status =
        owm_delta_decode(run->package, run->package_bytes, &expect, &delta, &reason, error);
    if (status != OWM_OK) return status;
    bool same_nonce = memcmp(delta.header.nonce, run->payload->nonce.data, 16) == 0;
    owm_delta_free(&delta);
    if (!same_nonce) return owm_fail(error, OWM_E_PROTO, "the worker's package has another nonce");
    return OWM_OK;
}

static owm_status take_package(struct round_run *run, const struct owm_worker_done *done,
                               struct owm_error *error)
{
    run->package_bytes = done->package_bytes;
    run->package = read_file(run->fds[OWM_WORKER_FD_PACKAGE], run->package_bytes);
    run->residual = read_file(run->fds[OWM_WORKER_FD_RESIDUAL_OUT], run->n * sizeof(float));
    if (run->package == NULL || run->residual == NULL)
        return owm_fail(error, OWM_E_PROTO, "the worker's output is larger than it can be");
    owm_status status = owm_delta_sign(run->package, run->package_bytes, run->slot->node->identity);
    if (status != OWM_OK) return owm_fail(error, status, "the worker's output is no delta package");
    status = check(run, error);
    if (status != OWM_OK) return status;
    owm_sha256(run->package, run->package_bytes, run->package_sha256);
    return owm_feedback_sent(run->feedback, run->residual, run->package, run->package_bytes, error);
}

static owm_status upload(struct round_run *run, struct owm_error *error)
{
    struct node_slot *slot = run->slot;
    const struct link_transfer transfer = {.sha256 = run->package_sha256,
                                           .task_id = slot->task.id,
                                           .lease_token = slot->task.lease_token,
                                           .cancel = &slot->cancel,
                                           .deadline_ms = slot->task.deadline_ms};
    owm_status status = OWM_E_NET;
    /* A coordinator that restarts comes back within seconds: try until the deadline. */
    for (unsigned try = 0; try < 5 && status == OWM_E_NET; try++) {
        node_slot_doing(slot, "round %u: uploading %.1f kB", run->payload->round,
                        (double)run->package_bytes / 1e3);
        if (try > 0) node_slot_pause(slot);
        status = link_upload(slot->node->rpc, &transfer, run->package, run->package_bytes, error);
    }
    if (status == OWM_OK) owm_counter_add(slot->node->count.bytes_up, run->package_bytes);
    return status;
}

static owm_status pack_output(const struct round_run *run, const struct owm_worker_done *done,
                              uint8_t **output, size_t *bytes)
{
    PB(FlRoundOutput) message = OWM__COORDINATOR__V1__FL_ROUND_OUTPUT__INIT;
    uint8_t hash[32];
    memcpy(hash, run->package_sha256, sizeof hash);
    message.package_hash = (ProtobufCBinaryData){sizeof hash, hash};
    message.package_bytes = run->package_bytes;
    message.train_loss_first = done->loss_first;
    message.train_loss_last = done->loss_last;
    message.tokens = done->tokens;
    *bytes = owm__coordinator__v1__fl_round_output__get_packed_size(&message);
    *output = malloc(*bytes ? *bytes : 1);
    if (*output == NULL) return OWM_E_NOMEM;
    owm__coordinator__v1__fl_round_output__pack(&message, *output);
    return OWM_OK;
}

/** steps: the round from the checkpoint in the cache to the uploaded package. */
static owm_status steps(struct round_run *run, struct owm_worker_done *done,
                        struct owm_error *error)
{
    owm_status status = open_feedback(run, error);
    if (status == OWM_OK) status = settle(run, error);
    if (status == OWM_OK) status = open_fds(run, error);
    if (status == OWM_OK) status = train(run, done, error);
    if (status == OWM_OK) status = take_package(run, done, error);
    if (status == OWM_OK) status = upload(run, error);
    return status;
}

owm_status node_run_round(struct node_slot *slot, uint8_t **output, size_t *bytes,
                          struct owm_error *error)
{
    struct round_run run = {
        .slot = slot, .payload = slot->task.fl_round, .fds = {-1, -1, -1, -1, -1}};
    struct owm_worker_done done = {0};
    pthread_mutex_lock(&slot->node->training);
    const struct checkpoint wanted = {MODEL_TRAINING, run.payload->model_hash.data,
                                      run.payload->model_bytes};
    owm_status status = node_checkpoint(slot, &wanted, &run.fds[OWM_WORKER_FD_CHECKPOINT], error);
    if (status == OWM_OK) status = steps(&run, &done, error);
    if (status == OWM_OK) status = pack_output(&run, &done, output, bytes);
    for (int i = 0; i < OWM_WORKER_FDS_MAX; i++)
        if (i != OWM_WORKER_FD_SHARD && run.fds[i] >= 0) close(run.fds[i]);
    owm_feedback_close(run.feedback);
    free(run.package);
    free(run.residual);
    pthread_mutex_unlock(&slot->node->training);
    return status;
}
