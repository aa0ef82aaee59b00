/* grpc_client.c: completion queues, clients, unary calls. */
#include "grpc_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_UNARIES_MAX 4096
#define SERVER_NAME      "owm-coordinator"

/* unary: one call under way. Either `done` is called, or `waiter` is woken. */
struct unary {
    struct rpc_completion completion; /* first */
    struct unary *next;
    struct owm_rpc_cq *cq;
    grpc_call *call;
    grpc_byte_buffer *request;
    grpc_byte_buffer *response;
    struct owm_rpc_metadata headers;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice details;
    owm_rpc_done done;
    void *user;
    struct waiter *waiter;
};

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool ready;
    struct owm_rpc_reply *reply;
};

/* ------------------------------------------------------------------------------- queues */

static void *cq_run(void *arg)
{
    struct owm_rpc_cq *cq = arg;
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(cq->core, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) return NULL;
        if (event.type != GRPC_OP_COMPLETE) continue;
        struct rpc_completion *completion = event.tag;
        (void)atomic_load_explicit(&completion->armed, memory_order_acquire);
        completion->run(completion, event.success != 0);
    }
}

owm_status owm_rpc_cq_open(struct owm_rpc_cq **out, unsigned threads)
{
    *out = NULL;
    if (threads == 0 || threads > OWM_RPC_THREADS_MAX) return OWM_E_ARG;
    struct owm_rpc_cq *cq = calloc(1, sizeof *cq);
    if (!cq) return OWM_E_NOMEM;
    rpc_core_ref();
    pthread_mutex_init(&cq->lock, NULL);
    cq->core = grpc_completion_queue_create_for_next(NULL);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&cq->threads[i], NULL, cq_run, cq) != 0) {
            owm_rpc_cq_close(cq);
            return OWM_E_NOMEM;
        }
        cq->thread_count++;
    }
    *out = cq;
    return OWM_OK;
}

void owm_rpc_cq_close(struct owm_rpc_cq *cq)
{
    if (!cq) return;
    grpc_completion_queue_shutdown(cq->core);
    for (unsigned i = 0; i < cq->thread_count; i++) pthread_join(cq->threads[i], NULL);
    if (cq->thread_count == 0) cq_run(cq);
    grpc_completion_queue_destroy(cq->core);
    struct unary *next;
    for (struct unary *unary = cq->free_unaries; unary; unary = next) {
        next = unary->next;
        grpc_metadata_array_destroy(&unary->initial);
        grpc_metadata_array_destroy(&unary->trailing);
        free(unary);
    }
    pthread_mutex_destroy(&cq->lock);
    free(cq);
    rpc_core_unref();
}

/* ------------------------------------------------------------------------------ clients */

static grpc_channel *channel_make(const struct owm_rpc_client_config *config)
{
    struct rpc_args args = {0};
    rpc_args_common(&args, rpc_or(config->keepalive_ms, 30000),
                    rpc_or(config->keepalive_timeout_ms, 20000),
                    config->message_bytes_max ? config->message_bytes_max : (size_t)4 << 20);
    rpc_args_text(&args, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
                  config->server_name ? config->server_name : SERVER_NAME);
    /* One connection per client, since the connection carries the client's identity. */
    rpc_args_int(&args, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    rpc_args_int(&args, GRPC_ARG_ENABLE_RETRIES, 0);
    rpc_args_int(&args, GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    int backoff_ms = (int)rpc_or(config->reconnect_min_ms, 1000);
    rpc_args_int(&args, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, backoff_ms);
    rpc_args_int(&args, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                 (int)rpc_or(config->reconnect_max_ms, 30000));
    grpc_ssl_pem_key_cert_pair pair = {.private_key = config->key_pem,
                                       .cert_chain = config->certificate_pem};
    grpc_channel_credentials *credentials = grpc_ssl_credentials_create(
        config->server_certificate_pem, config->certificate_pem ? &pair : NULL, NULL, NULL);
    if (!credentials) return NULL;
    grpc_channel_args channel_args = {.num_args = args.count, .args = args.arg};
    grpc_channel *channel = grpc_channel_create(config->target, credentials, &channel_args);
    grpc_channel_credentials_release(credentials);
    return channel;
}

static owm_status check(const struct owm_rpc_client_config *config, struct owm_error *error)
{
    if (!config->target || !config->target[0])
        return owm_fail(error, OWM_E_ARG, "rpc client: no target host:port");
    if (!config->server_certificate_pem)
        return owm_fail(error, OWM_E_ARG, "rpc client: no certificate of the server %s to trust",
                        config->target);
    owm_status status = rpc_pem_check(config->server_certificate_pem, NULL, error);
    if (status != OWM_OK) return status;
    if (!config->certificate_pem != !config->key_pem)
        return owm_fail(error, OWM_E_ARG, "rpc client: certificate and key go together");
    return rpc_pem_check(config->certificate_pem, config->key_pem, error);
}

owm_status owm_rpc_client_open(struct owm_rpc_client **out,
                               const struct owm_rpc_client_config *config, struct owm_error *error)
{
    *out = NULL;
    owm_status status = check(config, error);
    if (status != OWM_OK) return status;
    struct owm_rpc_client *client = calloc(1, sizeof *client);
    if (!client) return owm_fail(error, OWM_E_NOMEM, "rpc client: out of memory");
    rpc_core_ref();
    client->cq = config->cq;
    client->metadata = config->metadata;
    client->metadata_user = config->metadata_user;
    if (config->wait_for_ready)
        client->start_flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY
                              | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    if (!client->cq) {
        client->owns_cq = true;
        status = owm_rpc_cq_open(&client->cq, 1);
        if (status != OWM_OK) owm_fail(error, status, "rpc client: no thread");
    }
    if (status == OWM_OK) client->channel = channel_make(config);
    if (status == OWM_OK && !client->channel)
        status =
            owm_fail(error, OWM_E_ARG, "rpc client: gRPC refused the target %s", config->target);
    if (status != OWM_OK) {
        owm_rpc_client_close(client);
        return status;
    }
    *out = client;
    return OWM_OK;
}

void owm_rpc_client_close(struct owm_rpc_client *client)
{
    if (!client) return;
    if (client->channel) grpc_channel_destroy(client->channel);
    if (client->owns_cq) owm_rpc_cq_close(client->cq);
    free(client);
    rpc_core_unref();
}

grpc_call *rpc_client_call(struct owm_rpc_client *client, const char *path, unsigned deadline_ms)
{
    return grpc_channel_create_call(client->channel, NULL, 0, client->cq->core,
                                    grpc_slice_from_static_string(path), NULL,
                                    rpc_deadline(deadline_ms), NULL);
}

void rpc_batch(grpc_call *call, const grpc_op *ops, size_t count, struct rpc_completion *completion)
{
    atomic_store_explicit(&completion->armed, 1, memory_order_release);
    grpc_call_error error = grpc_call_start_batch(call, ops, count, completion, NULL);
    OWM_ASSERT(error == GRPC_CALL_OK);
}

owm_status owm_rpc_metadata_add(struct owm_rpc_metadata *metadata, const char *key,
                                const char *value)
{
    if (metadata->count == OWM_RPC_METADATA_MAX) return OWM_E_LIMIT;
    grpc_metadata pair = {.key = grpc_slice_from_copied_string(key),
                          .value = grpc_slice_from_copied_string(value)};
    if (!grpc_header_key_is_legal(pair.key) || grpc_is_binary_header(pair.key)
        || !grpc_header_nonbin_value_is_legal(pair.value)) {
        grpc_slice_unref(pair.key);
        grpc_slice_unref(pair.value);
        return OWM_E_ARG;
    }
    metadata->pair[metadata->count++] = pair;
    return OWM_OK;
}

grpc_op rpc_metadata_op(const struct owm_rpc_client *client, const char *path,
                        struct owm_rpc_metadata *metadata)
{
    if (client->metadata) client->metadata(client->metadata_user, path, metadata);
    return (grpc_op){
        .op = GRPC_OP_SEND_INITIAL_METADATA,
        .flags = client->start_flags,
        .data.send_initial_metadata = {.count = metadata->count, .metadata = metadata->pair}};
}

void rpc_metadata_clear(struct owm_rpc_metadata *metadata)
{
    for (size_t i = 0; i < metadata->count; i++) {
        grpc_slice_unref(metadata->pair[i].key);
        grpc_slice_unref(metadata->pair[i].value);
    }
    metadata->count = 0;
}

/* ------------------------------------------------------------------------------ replies */

void rpc_reply_set(struct owm_rpc_reply *reply, grpc_status_code code, const grpc_slice *details)
{
    reply->code =
        (int)code >= 0 && (int)code < OWM_RPC_CODES ? (enum owm_rpc_code)code : OWM_RPC_UNKNOWN;
    size_t length = GRPC_SLICE_LENGTH(*details);
    if (length >= sizeof reply->text) length = sizeof reply->text - 1;
    memcpy(reply->text, GRPC_SLICE_START_PTR(*details), length);
    reply->text[length] = 0;
}

static void reply_message(struct owm_rpc_reply *reply, grpc_byte_buffer *buffer, bool copy)
{
    struct rpc_message message = {0};
    owm_status status = rpc_message_read(buffer, copy, &message);
    if (status != OWM_OK) {
        reply->code = status == OWM_E_NOMEM ? OWM_RPC_RESOURCE_EXHAUSTED : OWM_RPC_INTERNAL;
        snprintf(reply->text, sizeof reply->text, "%s",
                 status == OWM_E_NOMEM ? "out of memory for the answer"
                                       : "the answer is compressed, which was not offered");
    }
    reply->bytes = message.bytes;
    reply->length = message.length;
    reply->owner = message.owner;
}

void rpc_reply_take(struct owm_rpc_reply *reply, grpc_byte_buffer *buffer)
{
    if (!buffer) return;
    reply_message(reply, buffer, true);
    grpc_byte_buffer_destroy(buffer);
}

void owm_rpc_reply_free(struct owm_rpc_reply *reply)
{
    free(reply->owner);
    reply->owner = NULL;
    reply->bytes = NULL;
    reply->length = 0;
}

/* -------------------------------------------------------------------------------- unary */

static struct unary *unary_take(struct owm_rpc_cq *cq)
{
    pthread_mutex_lock(&cq->lock);
    struct unary *unary = cq->free_unaries;
    if (unary) {
        cq->free_unaries = unary->next;
        cq->free_count--;
    }
    pthread_mutex_unlock(&cq->lock);
    if (unary) return unary;
    unary = calloc(1, sizeof *unary);
    if (!unary) return NULL;
    grpc_metadata_array_init(&unary->initial);
    grpc_metadata_array_init(&unary->trailing);
    unary->cq = cq;
    return unary;
}

static void unary_give(struct unary *unary)
{
    struct owm_rpc_cq *cq = unary->cq;
    pthread_mutex_lock(&cq->lock);
    bool keep = cq->free_count < POOL_UNARIES_MAX;
    if (keep) {
        unary->next = cq->free_unaries;
        cq->free_unaries = unary;
        cq->free_count++;
    }
    pthread_mutex_unlock(&cq->lock);
    if (keep) return;
    grpc_metadata_array_destroy(&unary->initial);
    grpc_metadata_array_destroy(&unary->trailing);
    free(unary);
}

/* An OK without message is a broken server; any other code comes without one. */
static void reply_missing(struct owm_rpc_reply *reply)
{
    if (reply->code != OWM_RPC_OK || reply->bytes) return;
    reply->code = OWM_RPC_INTERNAL;
    snprintf(reply->text, sizeof reply->text, "the server said OK without an answer");
}

static void unary_wake(struct waiter *waiter, struct unary *unary)
{
    rpc_reply_set(waiter->reply, unary->code, &unary->details);
    rpc_reply_take(waiter->reply, unary->response);
    unary->response = NULL;
    reply_missing(waiter->reply);
}

static void unary_call_done(struct unary *unary)
{
    struct owm_rpc_reply reply = {0};
    rpc_reply_set(&reply, unary->code, &unary->details);
    if (unary->response) reply_message(&reply, unary->response, false);
    reply_missing(&reply);
    unary->done(unary->user, rpc_status(reply.code), &reply);
    owm_rpc_reply_free(&reply);
}

/* The waiter may free the client as soon as it wakes, so it is woken last. */
static void unary_run(struct rpc_completion *completion, bool ok)
{
    (void)ok; /* RECV_STATUS is in the batch: it always succeeds, the code tells */
    struct unary *unary = (struct unary *)completion;
    struct waiter *waiter = unary->waiter;
    grpc_call_unref(unary->call);
    if (waiter)
        unary_wake(waiter, unary);
    else
        unary_call_done(unary);
    if (unary->response) grpc_byte_buffer_destroy(unary->response);
    grpc_byte_buffer_destroy(unary->request);
    grpc_slice_unref(unary->details);
    rpc_metadata_clear(&unary->headers);
    unary->response = NULL;
    unary->initial.count = unary->trailing.count = 0;
    unary_give(unary);
    if (!waiter) return;
    pthread_mutex_lock(&waiter->lock);
    waiter->ready = true;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->lock);
}

static void unary_start(struct owm_rpc_client *client, struct unary *unary, const char *path,
                        unsigned deadline_ms)
{
    unary->completion.run = unary_run;
    unary->call = rpc_client_call(client, path, deadline_ms);
    unary->details = grpc_empty_slice();
    grpc_op ops[6] = {
        rpc_metadata_op(client, path, &unary->headers),
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = unary->request},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &unary->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &unary->response},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &unary->trailing,
                                        .status = &unary->code,
                                        .status_details = &unary->details}},
    };
    rpc_batch(unary->call, ops, 6, &unary->completion);
}

owm_status owm_rpc_call_unary_async(struct owm_rpc_client *client, const char *path,
                                    const uint8_t *bytes, size_t length, unsigned deadline_ms,
                                    owm_rpc_done done, void *user)
{
    struct unary *unary = unary_take(client->cq);
    if (!unary) return OWM_E_NOMEM;
    unary->request = rpc_buffer_copy(bytes, length);
    unary->done = done;
    unary->user = user;
    unary->waiter = NULL;
    unary_start(client, unary, path, deadline_ms);
    return OWM_OK;
}

owm_status owm_rpc_call_unary(struct owm_rpc_client *client, const char *path, const uint8_t *bytes,
                              size_t length, unsigned deadline_ms, struct owm_rpc_reply *reply)
{
    *reply = (struct owm_rpc_reply){.code = OWM_RPC_RESOURCE_EXHAUSTED};
    struct unary *unary = unary_take(client->cq);
    if (!unary) return OWM_E_NOMEM;
    struct waiter waiter = {.reply = reply};
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.cond, NULL);
    unary->request = rpc_buffer_copy(bytes, length);
    unary->waiter = &waiter;
    unary_start(client, unary, path, deadline_ms);
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.ready) pthread_cond_wait(&waiter.cond, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    pthread_mutex_destroy(&waiter.lock);
    pthread_cond_destroy(&waiter.cond);
    return rpc_status(reply->code);
}
