/* grpc_call.c: the life of one call on the server.
 *
 *     posted -> begun -> answered -> status_sent -> closed -> ended
 *                  \________________________________/   (peer gone: cancelled)
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc_server.h"

static void start_batch(struct owm_rpc_call *call, const grpc_op *ops, size_t count,
                        enum call_tag tag)
{
    grpc_call_error error =
        grpc_call_start_batch(call->core, ops, count, call_tagged(call, tag), NULL);
    OWM_ASSERT(error == GRPC_CALL_OK);
    call->pending++;
}

static grpc_op close_op(struct owm_rpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->core_cancelled;
    call->watched = true;
    return op;
}

static grpc_op message_op(struct owm_rpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    call->in_flight = call->queue[call->queue_first];
    call->queue_first = (call->queue_first + 1) % OWM_RPC_QUEUE_MAX;
    call->queue_count--;
    op.data.send_message.send_message = call->in_flight;
    return op;
}

static grpc_op status_op(struct owm_rpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    op.data.send_status_from_server.status = (grpc_status_code)call->code;
    op.data.send_status_from_server.status_details = &call->text;
    call->status_sent = true;
    return op;
}

/* Start what can be sent now: headers with the first batch, one message, and the status behind the
 * last one. Streams show their headers at once, so that the client knows it was accepted. */
static void push(struct owm_rpc_call *call)
{
    if (call->sending || call->held || call->closed || call->status_sent) return;
    bool last = call->answered && call->queue_count <= 1;
    bool headers = !call->headers_sent && call->method && call->method->kind != OWM_RPC_UNARY;
    if (!last && call->queue_count == 0 && !headers) return;

    grpc_op ops[4];
    size_t count = 0;
    if (!call->headers_sent) {
        ops[count++] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
        call->headers_sent = true;
    }
    if (call->queue_count > 0) ops[count++] = message_op(call);
    if (last) {
        ops[count++] = status_op(call);
        if (!call->watched) {
            ops[count++] = close_op(call);
            call->close_rides = true;
        }
    }
    call->sending = true;
    start_batch(call, ops, count, TAG_SEND);
}

static void read_next(struct owm_rpc_call *call)
{
    if (call->reading || call->delivering || call->paused || call->half_closed || call->closed
        || call->answered || call->held)
        return;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->request;
    call->reading = true;
    start_batch(call, &op, 1, TAG_READ);
}

static void drop_queue(struct owm_rpc_call *call)
{
    for (; call->queue_count > 0; call->queue_count--) {
        grpc_byte_buffer_destroy(call->queue[call->queue_first]);
        call->queue_first = (call->queue_first + 1) % OWM_RPC_QUEUE_MAX;
    }
}

/* The end of the first callbacks: what they sent goes out, in one batch with the watch for the
 * close if it is the whole answer. */
static void release(struct owm_rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->held = false;
    if (!(call->answered && call->queue_count <= 1)) {
        grpc_op op = close_op(call);
        start_batch(call, &op, 1, TAG_CLOSE);
    }
    push(call);
    if (call->method && call->method->kind == OWM_RPC_CLIENT_STREAM) read_next(call);
    pthread_mutex_unlock(&call->lock);
}

static bool is_open(struct owm_rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    bool open = !call->answered && !call->closed;
    pthread_mutex_unlock(&call->lock);
    return open;
}

static void fail_with(struct owm_rpc_call *call, enum owm_rpc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail_with(struct owm_rpc_call *call, enum owm_rpc_code code, const char *format, ...)
{
    char text[OWM_RPC_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)owm_rpc_fail(call, code, text);
}

/* Hand call->request to the application, within the limits. */
static void deliver(struct owm_rpc_call *call)
{
    const struct owm_rpc_method *method = call->method;
    size_t length_max = method->request_bytes_max;
    size_t length = grpc_byte_buffer_length(call->request);
    struct rpc_message message = {0};
    owm_status status = OWM_E_LIMIT;
    if (length_max > 0 && length > length_max)
        fail_with(call, OWM_RPC_RESOURCE_EXHAUSTED,
                  "the message has %zu bytes, the limit of %s is %zu bytes", length, method->path,
                  length_max);
    else
        status = rpc_message_read(call->request, false, &message);
    if (status == OWM_E_PROTO)
        fail_with(call, OWM_RPC_UNIMPLEMENTED, "compressed messages are not accepted");
    if (status == OWM_E_NOMEM)
        fail_with(call, OWM_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
    if (status == OWM_OK && method->on_message)
        method->on_message(call->server->app, call, message.bytes, message.length);
    free(message.owner);
    grpc_byte_buffer_destroy(call->request);
    call->request = NULL;
}

static void peer_ip_read(struct owm_rpc_call *call)
{
    char *uri = grpc_call_get_peer(call->core);
    rpc_peer_ip(uri ? uri : "", call->ip);
    gpr_free(uri);
}

static owm_status peer_key_read(struct owm_rpc_call *call)
{
    if (call->server->client_certificate == OWM_RPC_CLIENT_CERTIFICATE_NONE) return OWM_OK;
    grpc_auth_context *context = grpc_call_auth_context(call->core);
    grpc_auth_property_iterator found =
        grpc_auth_context_find_properties_by_name(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
    const grpc_auth_property *pem = grpc_auth_property_iterator_next(&found);
    owm_status status = OWM_E_PROTO;
    if (pem) status = rpc_peer_key(call->lane->peers, pem->value, pem->value_length, call->key);
    grpc_auth_context_release(context);
    return status;
}

/* Everything that is refused before the application hears of it. */
static bool admit(struct owm_rpc_call *call)
{
    struct owm_rpc_server *server = call->server;
    if (!call->method) {
        char path[OWM_RPC_PATH_BYTES_MAX];
        size_t length = GRPC_SLICE_LENGTH(call->details.method);
        if (length >= sizeof path) length = sizeof path - 1;
        memcpy(path, GRPC_SLICE_START_PTR(call->details.method), length);
        path[length] = 0;
        fail_with(call, OWM_RPC_UNIMPLEMENTED, "there is no method %s on this server", path);
        return false;
    }
    peer_ip_read(call);
    if (peer_key_read(call) != OWM_OK) {
        fail_with(call, OWM_RPC_UNAUTHENTICATED,
                  "the client certificate is missing or its key is not Ed25519: "
                  "connect with the certificate that owm-node makes from its identity");
        return false;
    }
    if (atomic_load_explicit(&server->live, memory_order_relaxed) > server->calls_max) {
        fail_with(call, OWM_RPC_RESOURCE_EXHAUSTED,
                  "the server is busy with %u calls, its limit: try again later",
                  server->calls_max);
        return false;
    }
    return true;
}

static void begin(struct owm_rpc_call *call)
{
    atomic_fetch_add_explicit(&call->server->started, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&call->server->live, 1, memory_order_relaxed);
    const struct owm_rpc_method *method = call->method;
    pthread_mutex_lock(&call->lock);
    call->held = true;
    pthread_mutex_unlock(&call->lock);
    call->begun = admit(call);
    if (call->begun) {
        if (method->on_start) method->on_start(call->server->app, call);
        if (method->kind != OWM_RPC_CLIENT_STREAM && is_open(call)) {
            if (call->request)
                deliver(call);
            else
                fail_with(call, OWM_RPC_INVALID_ARGUMENT, "the call carries no request message");
        }
    }
    release(call);
}

static void on_read(struct owm_rpc_call *call, bool ok)
{
    pthread_mutex_lock(&call->lock);
    call->reading = false;
    bool live = !call->answered && !call->closed;
    bool message = ok && call->request;
    bool end = !message && live && !grpc_call_failed_before_recv_message(call->core);
    call->half_closed = !message;
    call->delivering = message;
    pthread_mutex_unlock(&call->lock);

    if (message && live) deliver(call);
    if (end && call->method->on_half_close) call->method->on_half_close(call->server->app, call);

    pthread_mutex_lock(&call->lock);
    call->delivering = false;
    read_next(call);
    pthread_mutex_unlock(&call->lock);
}

static unsigned queue_max(const struct owm_rpc_call *call)
{
    return call->method->send_queue_max ? call->method->send_queue_max
                                        : call->server->send_queue_max;
}

static void on_sent(struct owm_rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->sending = false;
    if (call->in_flight) grpc_byte_buffer_destroy(call->in_flight);
    call->in_flight = NULL;
    if (call->close_rides) call->closed = true;
    push(call);
    bool wake =
        call->full && !call->answered && !call->closed && call->queue_count <= queue_max(call) / 2;
    if (wake) call->full = false;
    pthread_mutex_unlock(&call->lock);
    if (wake && call->method->on_writable) call->method->on_writable(call->server->app, call);
}

/* After the last completion. Nothing starts a batch once `closed` is set, so what was read under
 * the lock stays true. */
static void end_if_over(struct owm_rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    bool over = call->closed && call->pending == 0;
    if (over) {
        call->ended = true;
        drop_queue(call);
    }
    pthread_mutex_unlock(&call->lock);
    if (!over) return;

    struct owm_rpc_server *server = call->server;
    bool cancelled = !call->status_sent || (call->core_cancelled && !call->aborted);
    enum owm_rpc_code code = cancelled ? OWM_RPC_CANCELLED : call->code;
    if (call->begun && call->method->on_end) call->method->on_end(server->app, call, cancelled);
    grpc_call_unref(call->core);
    atomic_fetch_add_explicit(&server->ended[code], 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&server->live, 1, memory_order_relaxed);
    owm_rpc_call_unref(call);
    server_call_done(server);
}

void call_event(struct owm_rpc_call *call, enum call_tag tag, bool ok)
{
    if (tag == TAG_NEW) {
        begin(call);
        return;
    }
    if (tag == TAG_READ) on_read(call, ok);
    if (tag == TAG_SEND) on_sent(call);
    pthread_mutex_lock(&call->lock);
    if (tag == TAG_CLOSE) call->closed = true;
    call->pending--;
    pthread_mutex_unlock(&call->lock);
    end_if_over(call);
}

/* ------------------------------------------------------------------- the application's side */

void owm_rpc_call_ref(struct owm_rpc_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void owm_rpc_call_unref(struct owm_rpc_call *call)
{
    if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1) server_recycle(call);
}

void owm_rpc_call_set_user(struct owm_rpc_call *call, void *user)
{
    call->user = user;
}

void *owm_rpc_call_user(const struct owm_rpc_call *call)
{
    return call->user;
}

void owm_rpc_peer_key(const struct owm_rpc_call *call, uint8_t key[OWM_RPC_KEY_BYTES])
{
    memcpy(key, call->key, OWM_RPC_KEY_BYTES);
}

const char *owm_rpc_peer_address(const struct owm_rpc_call *call)
{
    return call->ip;
}

owm_status owm_rpc_call_metadata(const struct owm_rpc_call *call, const char *key, void *value,
                                 size_t value_size, size_t *length)
{
    const grpc_metadata *found = NULL;
    *length = 0;
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *entry = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(entry->key, key) != 0) continue;
        if (found) return OWM_E_EXISTS;
        found = entry;
    }
    if (!found) return OWM_E_NOTFOUND;
    *length = GRPC_SLICE_LENGTH(found->value);
    if (*length > value_size) return OWM_E_LIMIT;
    memcpy(value, GRPC_SLICE_START_PTR(found->value), *length);
    return OWM_OK;
}

static void enqueue(struct owm_rpc_call *call, grpc_byte_buffer *buffer)
{
    call->queue[(call->queue_first + call->queue_count) % OWM_RPC_QUEUE_MAX] = buffer;
    call->queue_count++;
}

owm_status owm_rpc_send(struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    owm_status status = OWM_OK;
    pthread_mutex_lock(&call->lock);
    if (call->method->kind != OWM_RPC_SERVER_STREAM || call->answered || call->closed) {
        status = OWM_E_STATE;
    } else if (call->queue_count >= queue_max(call)) {
        call->full = true;
        status = OWM_E_LIMIT;
    } else {
        enqueue(call, rpc_buffer_copy(bytes, length));
        push(call);
        if (call->queue_count >= queue_max(call)) call->full = true;
    }
    pthread_mutex_unlock(&call->lock);
    return status;
}

bool owm_rpc_writable(struct owm_rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    bool writable = call->method->kind == OWM_RPC_SERVER_STREAM && !call->answered && !call->closed
                    && call->queue_count < queue_max(call);
    pthread_mutex_unlock(&call->lock);
    return writable;
}

owm_status owm_rpc_reply(struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    owm_status status = OWM_E_STATE;
    pthread_mutex_lock(&call->lock);
    if (call->method->kind != OWM_RPC_SERVER_STREAM && !call->answered && !call->closed) {
        enqueue(call, rpc_buffer_copy(bytes, length));
        call->answered = true;
        push(call);
        status = OWM_OK;
    }
    pthread_mutex_unlock(&call->lock);
    return status;
}

owm_status owm_rpc_finish(struct owm_rpc_call *call)
{
    owm_status status = OWM_E_STATE;
    pthread_mutex_lock(&call->lock);
    if (call->method->kind == OWM_RPC_SERVER_STREAM && !call->answered && !call->closed) {
        call->answered = true;
        push(call);
        status = OWM_OK;
    }
    pthread_mutex_unlock(&call->lock);
    return status;
}

/* A message that flow control holds back would hold the status back for ever: then gRPC's cancel
 * carries it instead. */
owm_status owm_rpc_fail(struct owm_rpc_call *call, enum owm_rpc_code code, const char *text)
{
    if (code <= OWM_RPC_OK || code >= OWM_RPC_CODES) return OWM_E_ARG;
    owm_status status = OWM_E_STATE;
    pthread_mutex_lock(&call->lock);
    if (!call->answered && !call->closed) {
        char cut[OWM_RPC_TEXT_BYTES_MAX];
        snprintf(cut, sizeof cut, "%s", text);
        call->answered = true;
        call->code = code;
        call->text = grpc_slice_from_copied_string(cut);
        drop_queue(call);
        if (call->in_flight) {
            call->aborted = true;
            call->status_sent = true;
            grpc_call_cancel_with_status(call->core, (grpc_status_code)code, cut, NULL);
        }
        push(call);
        status = OWM_OK;
    }
    pthread_mutex_unlock(&call->lock);
    return status;
}

void owm_rpc_pause(struct owm_rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->paused = true;
    pthread_mutex_unlock(&call->lock);
}

void owm_rpc_resume(struct owm_rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    call->paused = false;
    if (call->method->kind == OWM_RPC_CLIENT_STREAM) read_next(call);
    pthread_mutex_unlock(&call->lock);
}
