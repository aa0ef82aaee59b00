/* grpc_server.c: listening, the lanes, the pool of call objects, shutting down. */
#include "grpc_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"

#define POSTED_PER_METHOD 16   /* requests waiting in gRPC, per lane and method */
#define POSTED_UNKNOWN    2    /* the same for calls of unknown methods */
#define POOL_CALLS_MAX    4096 /* idle call objects kept */

#define HANDSHAKE_TIMEOUT_MS 10000
#define METADATA_BYTES_MAX   8192
#define PING_STRIKES_MAX     2

/* ------------------------------------------------------------------------- call objects */

static void server_unref(struct owm_rpc_server *server)
{
    if (atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) > 1) return;
    struct owm_rpc_call *next;
    for (struct owm_rpc_call *call = server->free_calls; call; call = next) {
        next = call->next;
        grpc_metadata_array_destroy(&call->metadata);
        pthread_mutex_destroy(&call->lock);
        free(call);
    }
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->idle);
    free(server);
    rpc_core_unref();
}

static struct owm_rpc_call *call_make(void)
{
    struct owm_rpc_call *call = aligned_alloc(CALL_ALIGN, sizeof *call);
    if (!call) return NULL;
    memset(call, 0, sizeof *call);
    pthread_mutex_init(&call->lock, NULL);
    grpc_metadata_array_init(&call->metadata);
    return call;
}

static struct owm_rpc_call *call_take(struct owm_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct owm_rpc_call *call = server->free_calls;
    if (call) {
        server->free_calls = call->next;
        server->free_count--;
    }
    pthread_mutex_unlock(&server->lock);
    if (!call) call = call_make();
    if (!call) return NULL;
    grpc_call_details_init(&call->details);
    call->text = grpc_empty_slice();
    call->server = server;
    atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
    return call;
}

/* Back to all zero, but for what is costly to make again. */
static void call_reset(struct owm_rpc_call *call)
{
    if (call->request) grpc_byte_buffer_destroy(call->request);
    if (call->in_flight) grpc_byte_buffer_destroy(call->in_flight);
    grpc_slice_unref(call->text);
    grpc_call_details_destroy(&call->details);
    pthread_mutex_t lock = call->lock;
    grpc_metadata_array metadata = call->metadata;
    memset(call, 0, sizeof *call);
    call->lock = lock;
    call->metadata = metadata;
    call->metadata.count = 0;
}

void server_recycle(struct owm_rpc_call *call)
{
    struct owm_rpc_server *server = call->server;
    call_reset(call);
    pthread_mutex_lock(&server->lock);
    bool keep = server->free_count < POOL_CALLS_MAX;
    if (keep) {
        call->next = server->free_calls;
        server->free_calls = call;
        server->free_count++;
    }
    pthread_mutex_unlock(&server->lock);
    if (!keep) {
        grpc_metadata_array_destroy(&call->metadata);
        pthread_mutex_destroy(&call->lock);
        free(call);
    }
    server_unref(server);
}

void server_call_done(struct owm_rpc_server *server)
{
    if (atomic_fetch_sub_explicit(&server->outstanding, 1, memory_order_acq_rel) > 1) return;
    pthread_mutex_lock(&server->lock);
    pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->lock);
}

/* -------------------------------------------------------------------------------- lanes */

/* From the first of these calls on the object belongs to the lane: it is not read here again. */
static grpc_call_error request(struct lane *lane, const struct owm_rpc_method *method,
                               struct owm_rpc_call *call)
{
    struct owm_rpc_server *server = lane->server;
    void *tag = call_tagged(call, TAG_NEW);
    if (!method)
        return grpc_server_request_call(server->core, &call->core, &call->details, &call->metadata,
                                        lane->cq, lane->cq, tag);
    grpc_byte_buffer **first = method->kind == OWM_RPC_CLIENT_STREAM ? NULL : &call->request;
    return grpc_server_request_registered_call(
        server->core, server->registered[method - server->methods], &call->core, &call->deadline,
        &call->metadata, first, lane->cq, lane->cq, tag);
}

void server_post(struct lane *lane, const struct owm_rpc_method *method)
{
    struct owm_rpc_server *server = lane->server;
    struct owm_rpc_call *call = call_take(server);
    if (!call) return; /* out of memory: this slot is lost, the others of the method serve on */
    call->lane = lane;
    call->method = method;
    atomic_fetch_add_explicit(&server->outstanding, 1, memory_order_relaxed);
    /* With the load in lane_event: the hand-over that gRPC's queue does anyway, spelled out where
     * a race detector sees it. */
    atomic_store_explicit(&call->refs, 1, memory_order_release);
    grpc_call_error error = request(lane, method, call);
    OWM_ASSERT(error == GRPC_CALL_OK);
}

static void lane_event(struct lane *lane, void *tag, bool ok)
{
    struct owm_rpc_server *server = lane->server;
    struct owm_rpc_call *call = (void *)((uintptr_t)tag & ~(uintptr_t)CALL_TAG_MASK);
    enum call_tag kind = (enum call_tag)((uintptr_t)tag & CALL_TAG_MASK);
    if (kind == TAG_SHUTDOWN) {
        pthread_mutex_lock(&server->lock);
        server->shut_down = true;
        pthread_cond_broadcast(&server->idle);
        pthread_mutex_unlock(&server->lock);
        return;
    }
    if (kind == TAG_NEW) (void)atomic_load_explicit(&call->refs, memory_order_acquire);
    if (kind == TAG_NEW && !ok) { /* the server shuts down: a posted request, not a call */
        owm_rpc_call_unref(call);
        server_call_done(server);
        return;
    }
    if (kind == TAG_NEW) server_post(lane, call->method);
    call_event(call, kind, ok);
}

static void *lane_run(void *arg)
{
    struct lane *lane = arg;
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(lane->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) return NULL;
        if (event.type == GRPC_OP_COMPLETE) lane_event(lane, event.tag, event.success != 0);
    }
}

/* -------------------------------------------------------------------------------- opening */

static owm_status check(const struct owm_rpc_server_config *config, struct owm_error *error)
{
    if (config->address_count == 0 || config->address_count > OWM_RPC_ADDRESSES_MAX)
        return owm_fail(error, OWM_E_ARG, "rpc server: 1 to %d listen addresses, not %zu",
                        OWM_RPC_ADDRESSES_MAX, config->address_count);
    if (config->method_count == 0 || config->method_count > OWM_RPC_METHODS_MAX)
        return owm_fail(error, OWM_E_ARG, "rpc server: 1 to %d methods, not %zu",
                        OWM_RPC_METHODS_MAX, config->method_count);
    if (config->threads > OWM_RPC_THREADS_MAX)
        return owm_fail(error, OWM_E_ARG, "rpc server: at most %d threads, not %u",
                        OWM_RPC_THREADS_MAX, config->threads);
    if (config->send_queue_max > OWM_RPC_QUEUE_MAX)
        return owm_fail(error, OWM_E_ARG, "rpc server: at most %d queued messages, not %u",
                        OWM_RPC_QUEUE_MAX, config->send_queue_max);
    for (size_t i = 0; i < config->method_count; i++)
        if (config->methods[i].send_queue_max > OWM_RPC_QUEUE_MAX)
            return owm_fail(error, OWM_E_ARG, "rpc server: at most %d queued messages, not %u",
                            OWM_RPC_QUEUE_MAX, config->methods[i].send_queue_max);
    if (!config->certificate_pem || !config->key_pem)
        return owm_fail(error, OWM_E_CRYPTO, "rpc server: no certificate and key");
    return rpc_pem_check(config->certificate_pem, config->key_pem, error);
}

static struct owm_rpc_server *server_make(const struct owm_rpc_server_config *config)
{
    struct owm_rpc_server *server = calloc(1, sizeof *server);
    if (!server) return NULL;
    rpc_core_ref();
    atomic_init(&server->refs, 1);
    pthread_mutex_init(&server->lock, NULL);
    owm_cond_init(&server->idle);
    server->methods = config->methods;
    server->method_count = config->method_count;
    server->app = config->app;
    server->calls_max = rpc_or(config->calls_max, 65536);
    server->send_queue_max = rpc_or(config->send_queue_max, 8);
    server->client_certificate = config->client_certificate;
    return server;
}

static void core_make(struct owm_rpc_server *server, const struct owm_rpc_server_config *config)
{
    struct rpc_args args = {0};
    rpc_args_common(&args, rpc_or(config->keepalive_ms, 60000),
                    rpc_or(config->keepalive_timeout_ms, 20000),
                    config->message_bytes_max ? config->message_bytes_max : (size_t)4 << 20);
    rpc_args_int(&args, GRPC_ARG_MAX_CONCURRENT_STREAMS,
                 (int)rpc_or(config->streams_per_peer_max, 64));
    rpc_args_int(&args, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                 (int)rpc_or(config->ping_interval_min_ms, 10000));
    rpc_args_int(&args, GRPC_ARG_HTTP2_MAX_PING_STRIKES, PING_STRIKES_MAX);
    rpc_args_int(&args, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS);
    rpc_args_int(&args, GRPC_ARG_MAX_METADATA_SIZE, METADATA_BYTES_MAX);
    rpc_args_int(&args, GRPC_ARG_ALLOW_REUSEPORT, 0); /* a second server must fail to bind */
    grpc_resource_quota *quota = NULL;
    if (config->memory_bytes_max > 0) {
        quota = grpc_resource_quota_create("owm-rpc");
        grpc_resource_quota_resize(quota, config->memory_bytes_max);
        rpc_args_pointer(&args, GRPC_ARG_RESOURCE_QUOTA, quota, grpc_resource_quota_arg_vtable());
    }
    grpc_channel_args channel_args = {.num_args = args.count, .args = args.arg};
    server->core = grpc_server_create(&channel_args, NULL);
    if (quota) grpc_resource_quota_unref(quota);
}

static owm_status methods_register(struct owm_rpc_server *server, struct owm_error *error)
{
    for (size_t i = 0; i < server->method_count; i++) {
        const struct owm_rpc_method *method = &server->methods[i];
        server->registered[i] = grpc_server_register_method(
            server->core, method->path, NULL,
            method->kind == OWM_RPC_CLIENT_STREAM ? GRPC_SRM_PAYLOAD_NONE
                                                  : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
            0);
        if (!server->registered[i])
            return owm_fail(error, OWM_E_ARG, "rpc server: method %s is listed twice",
                            method->path);
    }
    return OWM_OK;
}

static owm_status bind_all(struct owm_rpc_server *server,
                           const struct owm_rpc_server_config *config, struct owm_error *error)
{
    grpc_ssl_pem_key_cert_pair pair = {.private_key = config->key_pem,
                                       .cert_chain = config->certificate_pem};
    bool required = config->client_certificate == OWM_RPC_CLIENT_CERTIFICATE_REQUIRED;
    grpc_server_credentials *credentials = grpc_ssl_server_credentials_create_ex(
        NULL, &pair, 1,
        required ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY
                 : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
        NULL);
    if (!credentials)
        return owm_fail(error, OWM_E_CRYPTO, "rpc server: gRPC refused the certificate and key");
    owm_status status = OWM_OK;
    for (size_t i = 0; i < config->address_count && status == OWM_OK; i++) {
        server->ports[i] =
            grpc_server_add_http2_port(server->core, config->addresses[i], credentials);
        if (server->ports[i] == 0)
            status = owm_fail(error, OWM_E_NET,
                              "rpc server: cannot listen on %s: is the port taken, the address "
                              "not of this machine, or not written host:port?",
                              config->addresses[i]);
    }
    server->port_count = config->address_count;
    grpc_server_credentials_release(credentials);
    return status;
}

static owm_status lanes_make(struct owm_rpc_server *server, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct lane *lane = &server->lanes[i];
        lane->server = server;
        lane->cq = grpc_completion_queue_create_for_next(NULL);
        lane->peers = rpc_peer_cache_open();
        server->lane_count = i + 1;
        grpc_server_register_completion_queue(server->core, lane->cq, NULL);
        if (!lane->peers) return OWM_E_NOMEM;
    }
    return OWM_OK;
}

/* Threads first: once calls can arrive, nothing here can fail any more. */
static owm_status lanes_start(struct owm_rpc_server *server, struct owm_error *error)
{
    for (unsigned i = 0; i < server->lane_count; i++) {
        struct lane *lane = &server->lanes[i];
        if (pthread_create(&lane->thread, NULL, lane_run, lane) != 0)
            return owm_fail(error, OWM_E_NOMEM, "rpc server: no thread %u", i);
        lane->started = true;
    }
    server->running = true;
    grpc_server_start(server->core);
    for (unsigned i = 0; i < server->lane_count; i++) {
        struct lane *lane = &server->lanes[i];
        for (size_t m = 0; m < server->method_count; m++)
            for (int n = 0; n < POSTED_PER_METHOD; n++) server_post(lane, &server->methods[m]);
        for (int n = 0; n < POSTED_UNKNOWN; n++) server_post(lane, NULL);
    }
    return OWM_OK;
}

owm_status owm_rpc_server_open(struct owm_rpc_server **out,
                               const struct owm_rpc_server_config *config, struct owm_error *error)
{
    *out = NULL;
    owm_status status = check(config, error);
    if (status != OWM_OK) return status;
    struct owm_rpc_server *server = server_make(config);
    if (!server) return owm_fail(error, OWM_E_NOMEM, "rpc server: out of memory");
    core_make(server, config);
    status = lanes_make(server, rpc_or(config->threads, 2));
    if (status == OWM_OK) status = methods_register(server, error);
    if (status == OWM_OK) status = bind_all(server, config, error);
    if (status == OWM_OK) status = lanes_start(server, error);
    if (status != OWM_OK) {
        owm_rpc_server_close(server, 0);
        return status;
    }
    *out = server;
    return OWM_OK;
}

int owm_rpc_server_port(const struct owm_rpc_server *server, size_t index)
{
    return index < server->port_count ? server->ports[index] : 0;
}

void owm_rpc_server_counters(const struct owm_rpc_server *server, struct owm_rpc_counters *counters)
{
    counters->started = atomic_load_explicit(&server->started, memory_order_relaxed);
    counters->live = atomic_load_explicit(&server->live, memory_order_relaxed);
    for (int i = 0; i < OWM_RPC_CODES; i++)
        counters->ended[i] = atomic_load_explicit(&server->ended[i], memory_order_relaxed);
}

/* -------------------------------------------------------------------------------- closing */

static bool is_idle(struct owm_rpc_server *server)
{
    return server->shut_down
           && atomic_load_explicit(&server->outstanding, memory_order_acquire) == 0;
}

static void drain(struct owm_rpc_server *server, unsigned drain_ms)
{
    const uint64_t until_ms = owm_clock_mono_ms() + drain_ms;
    pthread_mutex_lock(&server->lock);
    while (!is_idle(server) && owm_cond_wait(&server->idle, &server->lock, until_ms)) {
    }
    bool idle = is_idle(server);
    pthread_mutex_unlock(&server->lock);
    if (idle) return;
    grpc_server_cancel_all_calls(server->core);
    pthread_mutex_lock(&server->lock);
    while (!is_idle(server)) pthread_cond_wait(&server->idle, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

/* A server whose open failed half-way has lanes without threads: their completions are taken here.
 */
static void lanes_stop(struct owm_rpc_server *server)
{
    for (unsigned i = 0; i < server->lane_count; i++) {
        struct lane *lane = &server->lanes[i];
        grpc_completion_queue_shutdown(lane->cq);
        if (lane->started)
            pthread_join(lane->thread, NULL);
        else
            lane_run(lane);
        grpc_completion_queue_destroy(lane->cq);
        rpc_peer_cache_close(lane->peers);
    }
}

void owm_rpc_server_close(struct owm_rpc_server *server, unsigned drain_ms)
{
    if (!server) return;
    if (server->core) {
        grpc_server_shutdown_and_notify(server->core, server->lanes[0].cq,
                                        (void *)(uintptr_t)TAG_SHUTDOWN);
        if (server->running) drain(server, drain_ms);
    }
    lanes_stop(server);
    if (server->core) grpc_server_destroy(server->core);
    server_unref(server);
}
