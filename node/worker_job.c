/* worker_job.c: generate text, or train on a shard and pack the update. */
#include "node/worker_job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "dataplane/fl/feedback.h"
#include "dataplane/model/generate.h"
#include "dataplane/model/train.h"
#include "kernels/backend.h"

#define SAY_INTERVAL_MS   500 /* a sign of life at least this often while computing */
#define CHUNK_INTERVAL_MS 100 /* text is sent in pieces this far apart */

/* ------------------------------------------------------------------------- the weights */

/** check_hash: the file behind fd is the checkpoint that was asked for (promise 3). */
static owm_status check_hash(int fd, const uint8_t sha256[32], uint64_t bytes,
                             struct owm_error *error)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != bytes)
        return owm_fail(error, OWM_E_PROTO, "the checkpoint file has another size than announced");
    void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return owm_fail(error, OWM_E_NOMEM,
                        "no memory to map the checkpoint of %llu bytes; raise limits.memory_max_mb",
                        (unsigned long long)bytes);
    uint8_t hash[32];
    owm_sha256(map, bytes, hash);
    munmap(map, bytes);
    if (!owm_bytes_equal(hash, sha256, 32))
        return owm_fail(error, OWM_E_CRYPTO,
                        "the checkpoint file does not have the announced SHA-256");
    return OWM_OK;
}

/** want: what a request needs of the loaded model. */
struct want {
    const uint8_t *sha256;
    uint64_t bytes;
    bool train;
    uint32_t batch, seq; /* 0: the model's default */
};

static owm_status load(struct worker *worker, int fd, const struct want *want,
                       struct owm_error *error)
{
    if (worker->model != NULL && memcmp(worker->sha256, want->sha256, 32) == 0
        && (!want->train
            || (worker->train && worker->batch >= want->batch && worker->seq >= want->seq)))
        return OWM_OK;
    owm_model_close(worker->model);
    worker->model = NULL;
    owm_status status = check_hash(fd, want->sha256, want->bytes, error);
    if (status != OWM_OK) return status;
    const struct owm_model_options options = {.device = worker->device,
                                              .batch_max = want->batch,
                                              .seq_max = want->seq,
                                              .train = want->train};
    status = owm_model_open_fd(&worker->model, fd, &options, error);
    if (status != OWM_OK) return status;
    memcpy(worker->sha256, want->sha256, 32);
    worker->train = want->train;
    worker->batch = want->batch;
    worker->seq = want->seq;
    return OWM_OK;
}

/* ------------------------------------------------------------------------- inference */

/** piece: text that waits to be sent. */
struct piece {
    uint8_t bytes[256];
    uint32_t count;
    uint64_t sent_ms;
};

static void flush(struct worker *worker, struct piece *piece)
{
    if (piece->count > 0) {
        struct owm_worker_message m = {.kind = OWM_WORKER_CHUNK};
        m.chunk.bytes = piece->bytes;
        m.chunk.count = piece->count;
        worker_say(worker, &m);
    }
    piece->count = 0;
    piece->sent_ms = owm_clock_mono_ms();
}

static owm_status generate(struct worker *worker, const struct owm_worker_infer *request,
                           owm_session *session, uint32_t *tokens, struct owm_error *error)
{
    struct piece piece = {.sent_ms = owm_clock_mono_ms()};
    for (*tokens = 0; *tokens < request->max_tokens && !worker->cancel; ++*tokens) {
        owm_status status = owm_session_next(session, &piece.bytes[piece.count]);
        if (status != OWM_OK)
            return owm_fail(error, status, "generation failed at token %u: %s", *tokens,
                            owm_status_text(status));
        piece.count++;
        if (piece.count < sizeof piece.bytes
            && owm_clock_mono_ms() - piece.sent_ms < CHUNK_INTERVAL_MS)
            continue;
        flush(worker, &piece);
        worker_listen(worker);
    }
    flush(worker, &piece);
    return OWM_OK;
}

owm_status worker_infer(struct worker *worker, const struct owm_worker_infer *request,
                        const int *fds, struct owm_error *error)
{
    const struct want want = {.sha256 = request->model_sha256, .bytes = request->model_bytes};
    owm_status status = load(worker, fds[OWM_WORKER_FD_CHECKPOINT], &want, error);
    if (status != OWM_OK) return status;
    const struct owm_sampling sampling = {request->temperature, request->top_k, request->seed};
    owm_session *session = NULL;
    status = owm_session_open(&session, worker->model, &sampling, error);
    if (status != OWM_OK) return status;
    uint32_t tokens = 0;
    status = owm_session_feed(session, request->prompt, request->prompt_bytes);
    if (status != OWM_OK)
        owm_fail(error, status, "the prompt could not be read");
    else
        status = generate(worker, request, session, &tokens, error);
    owm_session_close(session);
    if (status != OWM_OK) return status;
    struct owm_worker_message done = {.kind = OWM_WORKER_DONE};
    done.done.tokens = tokens;
    snprintf(done.done.finish, sizeof done.done.finish, "%s",
             worker->cancel ? "cancelled" : "length");
    worker_say(worker, &done);
    return OWM_OK;
}

/* -------------------------------------------------------------------------- training */

/** run: one training request under way. */
struct run {
    struct worker *worker;
    uint32_t steps;
};

static void on_step(void *ctx, uint32_t step, double loss_nats, double grad_norm)
{
    (void)grad_norm;
    const struct run *run = ctx;
    worker_listen(run->worker);
    if (owm_clock_mono_ms() - run->worker->said_ms < SAY_INTERVAL_MS) return;
    struct owm_worker_message m = {.kind = OWM_WORKER_PROGRESS};
    m.progress = (struct owm_worker_progress){step, run->steps, (float)loss_nats};
    worker_say(run->worker, &m);
}

static owm_status read_all(int fd, void *out, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = pread(fd, (char *)out + at, bytes - at, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return OWM_E_IO;
        at += (size_t)got;
    }
    return OWM_OK;
}

static owm_status write_all(int fd, const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t put = pwrite(fd, (const char *)data + at, bytes - at, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return OWM_E_IO;
        at += (size_t)put;
    }
    return OWM_OK;
}

/** vectors: flat f32 vectors of one training run, [n] each. */
struct vectors {
    size_t n;
    float *base, *delta, *residual;
};

static void vectors_free(struct vectors *v)
{
    free(v->base);
    free(v->delta);
    free(v->residual);
}

static owm_status vectors_open(struct vectors *v, owm_model *model, struct owm_error *error)
{
    v->n = owm_model_param_count(model);
    if (v->n > OWM_DELTA_PARAMETERS_MAX)
        return owm_fail(error, OWM_E_LIMIT, "the model has more parameters than a delta can carry");
    v->base = malloc(v->n * sizeof(float));
    v->delta = malloc(v->n * sizeof(float));
    v->residual = malloc(v->n * sizeof(float));
    if (v->base == NULL || v->delta == NULL || v->residual == NULL)
        return owm_fail(error, OWM_E_NOMEM,
                        "no memory for %zu parameters; raise limits.memory_max_mb", v->n);
    owm_status status = owm_model_get_params(model, v->base);
    if (status != OWM_OK) owm_fail(error, status, "weights could not be read from the device");
    return status;
}

static owm_status train(struct worker *worker, const struct owm_worker_train *request, int shard_fd,
                        struct owm_train_result *result, struct owm_error *error)
{
    struct owm_text text;
    owm_status status = owm_text_from_fd(&text, shard_fd, error);
    if (status != OWM_OK) return status;
    struct owm_train_options options = owm_train_options_default();
    options.steps = request->steps;
    options.batch = request->batch;
    options.seq = request->seq;
    options.warmup_steps = request->warmup_steps;
    options.lr = request->lr;
    options.weight_decay = request->weight_decay;
    options.seed = request->seed;
    struct run run = {worker, request->steps};
    status = owm_train_run(worker->model, &text, &options, on_step, &run, &worker->cancel, result,
                           error);
    owm_text_close(&text);
    if (status == OWM_E_CANCELLED) owm_fail(error, status, "the coordinator took the task back");
    return status;
}

/** package_by_host: the vectors are the host's, so the cpu packs them, whatever trains. */
static owm_status package_by_host(const struct worker *worker,
                                  const struct owm_feedback_config *config,
                                  const struct owm_delta_header *header, struct vectors *v,
                                  uint8_t **package, size_t *bytes)
{
    struct owm_device *host = worker->device;
    bool opened = strcmp(host->backend->name, "cpu") != 0;
    const struct owm_device_config by_pool = {.pool = worker->pool};
    owm_status status = opened ? owm_backend_cpu.open(&host, &by_pool, NULL) : OWM_OK;
    if (status == OWM_OK)
        status = owm_feedback_package(host, config, header, v->residual, v->delta, package, bytes);
    if (opened && host != worker->device) owm_backend_cpu.close(host);
    return status;
}

/** pack: delta + residual → package and new residual, into the descriptors. */
static owm_status pack(const struct worker *worker, const struct owm_worker_train *request,
                       struct vectors *v, const int *fds, uint32_t tokens, size_t *package_bytes,
                       struct owm_error *error)
{
    struct owm_feedback_config config = owm_feedback_defaults();
    config.density_ppm = request->topk_permille * 1000;
    config.values = (enum owm_delta_values)request->values;
    struct owm_delta_header header = {.round = request->round,
                                      .parameter_count = (uint32_t)v->n,
                                      .tokens = tokens,
                                      .values = config.values};
    memcpy(header.base_sha256, request->model_sha256, 32);
    memcpy(header.node_key, request->node_key, 32);
    memcpy(header.nonce, request->nonce, 16);
    uint8_t *package = NULL;
    owm_status status = package_by_host(worker, &config, &header, v, &package, package_bytes);
    if (status != OWM_OK)
        return owm_fail(error, status, "the update could not be packed: %s",
                        owm_status_text(status));
    if (request->package_bytes_max && *package_bytes > request->package_bytes_max)
        status =
            owm_fail(error, OWM_E_LIMIT, "the package has %zu bytes, the coordinator allows %llu",
                     *package_bytes, (unsigned long long)request->package_bytes_max);
    else if (write_all(fds[OWM_WORKER_FD_PACKAGE], package, *package_bytes) != OWM_OK
             || write_all(fds[OWM_WORKER_FD_RESIDUAL_OUT], v->residual, v->n * sizeof(float))
                    != OWM_OK)
        status = owm_fail(error, OWM_E_IO, "the result could not be handed over: %s",
                          strerrordesc_np(errno));
    free(package);
    return status;
}

/** learn: train in place, take the difference, and put the checkpoint's weights back. */
static owm_status learn(struct worker *worker, const struct owm_worker_train *request,
                        const int *fds, struct vectors *v, struct owm_worker_done *done,
                        struct owm_error *error)
{
    struct owm_train_result result = {0};
    owm_status status = train(worker, request, fds[OWM_WORKER_FD_SHARD], &result, error);
    owm_status got = owm_model_get_params(worker->model, v->delta);
    owm_status put = owm_model_put_params(worker->model, v->base);
    if (put != OWM_OK) {
        owm_model_close(worker->model);
        worker->model = NULL;
    }
    if (status != OWM_OK) return status;
    if (got != OWM_OK || put != OWM_OK)
        return owm_fail(error, OWM_E_DEVICE, "weights could not be read from the device");
    for (size_t i = 0; i < v->n; i++) v->delta[i] -= v->base[i];
    if (read_all(fds[OWM_WORKER_FD_RESIDUAL_IN], v->residual, v->n * sizeof(float)) != OWM_OK)
        return owm_fail(error, OWM_E_IO, "the residual is shorter than the model");
    size_t package_bytes = 0;
    uint32_t tokens = result.tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)result.tokens;
    status = pack(worker, request, v, fds, tokens, &package_bytes, error);
    *done = (struct owm_worker_done){.tokens = tokens,
                                     .finish = "trained",
                                     .package_bytes = package_bytes,
                                     .loss_first = (float)result.loss_first_nats,
                                     .loss_last = (float)result.loss_last_nats};
    return status;
}

owm_status worker_train(struct worker *worker, const struct owm_worker_train *request,
                        const int *fds, struct owm_error *error)
{
    const struct want want = {request->model_sha256, request->model_bytes, true, request->batch,
                              request->seq};
    owm_status status = load(worker, fds[OWM_WORKER_FD_CHECKPOINT], &want, error);
    if (status != OWM_OK) return status;
    struct vectors v = {0};
    struct owm_worker_message done = {.kind = OWM_WORKER_DONE};
    status = vectors_open(&v, worker->model, error);
    if (status == OWM_OK) status = learn(worker, request, fds, &v, &done.done, error);
    vectors_free(&v);
    if (status == OWM_OK) worker_say(worker, &done);
    return status;
}
