/* grpc_stream.c: the client's blocking streams, down (server stream) and up (client stream).
 *
 * The cq thread moves completions into flags under the lock; the stream's thread waits for them.
 * pending counts the batches under way: the stream is freed when none is left.
 */
#include "grpc_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"

struct owm_rpc_stream {
    struct rpc_completion sent, read, status; /* one batch of each kind at a time */
    struct owm_rpc_client *client;
    grpc_call *call;
    struct owm_rpc_metadata headers;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice details;
    grpc_byte_buffer *incoming; /* gRPC's to write while `reading` */
    grpc_byte_buffer *outgoing;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    /* Under lock. */
    unsigned pending;
    bool sending;
    bool reading;
    bool send_failed;
    bool closed_by_us; /* the sending side */
    bool ended;        /* code and details are there */
};

#define STREAM_OF(completion, member)                                                              \
    ((struct owm_rpc_stream *)((char *)(completion)-offsetof(struct owm_rpc_stream, member)))

static void signal_unlock(struct owm_rpc_stream *stream)
{
    stream->pending--;
    pthread_cond_broadcast(&stream->cond);
    pthread_mutex_unlock(&stream->lock);
}

static void on_sent(struct rpc_completion *completion, bool ok)
{
    struct owm_rpc_stream *stream = STREAM_OF(completion, sent);
    pthread_mutex_lock(&stream->lock);
    stream->sending = false;
    stream->send_failed |= !ok;
    grpc_byte_buffer_destroy(stream->outgoing);
    stream->outgoing = NULL;
    signal_unlock(stream);
}

static void on_read(struct rpc_completion *completion, bool ok)
{
    (void)ok; /* without success there is no message */
    struct owm_rpc_stream *stream = STREAM_OF(completion, read);
    pthread_mutex_lock(&stream->lock);
    stream->reading = false;
    signal_unlock(stream);
}

static void on_status(struct rpc_completion *completion, bool ok)
{
    (void)ok; /* always succeeds */
    struct owm_rpc_stream *stream = STREAM_OF(completion, status);
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    signal_unlock(stream);
}

/* Under lock. */
static void start(struct owm_rpc_stream *stream, const grpc_op *ops, size_t count,
                  struct rpc_completion *completion)
{
    stream->pending++;
    rpc_batch(stream->call, ops, count, completion);
}

static struct owm_rpc_stream *stream_make(struct owm_rpc_client *client, const char *path,
                                          unsigned deadline_ms)
{
    struct owm_rpc_stream *stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    stream->client = client;
    stream->sent.run = on_sent;
    stream->read.run = on_read;
    stream->status.run = on_status;
    stream->details = grpc_empty_slice();
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    pthread_mutex_init(&stream->lock, NULL);
    owm_cond_init(&stream->cond);
    stream->call = rpc_client_call(client, path, deadline_ms);
    return stream;
}

static void start_receiving(struct owm_rpc_stream *stream)
{
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                      .data.recv_status_on_client = {.trailing_metadata = &stream->trailing,
                                                     .status = &stream->code,
                                                     .status_details = &stream->details}};
    start(stream, &status, 1, &stream->status);
    grpc_op ops[2] = {
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &stream->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->incoming},
    };
    stream->reading = true;
    start(stream, ops, 2, &stream->read);
}

owm_status owm_rpc_stream_download(struct owm_rpc_client *client, const char *path,
                                   const uint8_t *bytes, size_t length, unsigned deadline_ms,
                                   struct owm_rpc_stream **out)
{
    struct owm_rpc_stream *stream = *out = stream_make(client, path, deadline_ms);
    if (!stream) return OWM_E_NOMEM;
    pthread_mutex_lock(&stream->lock);
    stream->outgoing = rpc_buffer_copy(bytes, length);
    stream->sending = stream->closed_by_us = true;
    grpc_op ops[3] = {
        rpc_metadata_op(client, path, &stream->headers),
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = stream->outgoing},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
    };
    start(stream, ops, 3, &stream->sent);
    start_receiving(stream);
    pthread_mutex_unlock(&stream->lock);
    return OWM_OK;
}

owm_status owm_rpc_stream_upload(struct owm_rpc_client *client, const char *path,
                                 unsigned deadline_ms, struct owm_rpc_stream **out)
{
    struct owm_rpc_stream *stream = *out = stream_make(client, path, deadline_ms);
    if (!stream) return OWM_E_NOMEM;
    pthread_mutex_lock(&stream->lock);
    stream->sending = true;
    grpc_op op = rpc_metadata_op(client, path, &stream->headers);
    start(stream, &op, 1, &stream->sent);
    start_receiving(stream);
    pthread_mutex_unlock(&stream->lock);
    return OWM_OK;
}

static void read_ahead(struct owm_rpc_stream *stream)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->incoming};
    stream->reading = true;
    start(stream, &op, 1, &stream->read);
}

owm_status owm_rpc_stream_read(struct owm_rpc_stream *stream, unsigned timeout_ms,
                               struct owm_rpc_reply *reply)
{
    *reply = (struct owm_rpc_reply){0};
    grpc_byte_buffer *message = NULL;
    owm_status status = OWM_OK;
    const uint64_t until_ms = owm_clock_mono_ms() + timeout_ms;
    pthread_mutex_lock(&stream->lock);
    while (stream->reading || (!stream->incoming && !stream->ended)) {
        if (!owm_cond_wait(&stream->cond, &stream->lock, until_ms)) {
            if (stream->reading || (!stream->incoming && !stream->ended)) status = OWM_E_TIMEOUT;
            break;
        }
    }
    if (status == OWM_OK && stream->incoming) {
        message = stream->incoming;
        stream->incoming = NULL;
        read_ahead(stream);
    } else if (status == OWM_OK) {
        rpc_reply_set(reply, stream->code, &stream->details);
        status = OWM_E_NOTFOUND;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!message) return status;
    rpc_reply_take(reply, message);
    if (reply->code == OWM_RPC_OK) return OWM_OK;
    owm_rpc_stream_cancel(stream);
    return OWM_E_NOTFOUND;
}

/* False at the timeout. */
static bool wait_sent(struct owm_rpc_stream *stream, uint64_t until_ms)
{
    while (stream->sending)
        if (!owm_cond_wait(&stream->cond, &stream->lock, until_ms)) return !stream->sending;
    return true;
}

owm_status owm_rpc_stream_write(struct owm_rpc_stream *stream, const uint8_t *bytes, size_t length,
                                unsigned timeout_ms)
{
    const uint64_t until_ms = owm_clock_mono_ms() + timeout_ms;
    owm_status status = OWM_OK;
    pthread_mutex_lock(&stream->lock);
    if (!wait_sent(stream, until_ms))
        status = OWM_E_TIMEOUT;
    else if (stream->send_failed || stream->ended || stream->closed_by_us)
        status = OWM_E_STATE;
    if (status == OWM_OK) {
        stream->outgoing = rpc_buffer_copy(bytes, length);
        stream->sending = true;
        grpc_op op = {.op = GRPC_OP_SEND_MESSAGE,
                      .data.send_message.send_message = stream->outgoing};
        start(stream, &op, 1, &stream->sent);
        if (!wait_sent(stream, until_ms))
            status = OWM_E_TIMEOUT;
        else if (stream->send_failed)
            status = OWM_E_STATE;
    }
    pthread_mutex_unlock(&stream->lock);
    return status;
}

static void send_close(struct owm_rpc_stream *stream)
{
    if (stream->closed_by_us || stream->send_failed || stream->ended) return;
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    stream->closed_by_us = stream->sending = true;
    start(stream, &op, 1, &stream->sent);
}

owm_status owm_rpc_stream_finish(struct owm_rpc_stream *stream, unsigned timeout_ms,
                                 struct owm_rpc_reply *reply)
{
    *reply = (struct owm_rpc_reply){0};
    const uint64_t until_ms = owm_clock_mono_ms() + timeout_ms;
    pthread_mutex_lock(&stream->lock);
    if (wait_sent(stream, until_ms)) send_close(stream);
    while ((!stream->ended || stream->reading)
           && owm_cond_wait(&stream->cond, &stream->lock, until_ms)) {
    }
    bool over = stream->ended && !stream->reading;
    grpc_byte_buffer *message = NULL;
    if (over) {
        rpc_reply_set(reply, stream->code, &stream->details);
        message = stream->incoming;
        stream->incoming = NULL;
    }
    pthread_mutex_unlock(&stream->lock);
    if (over) {
        rpc_reply_take(reply, message);
        return rpc_status(reply->code);
    }
    owm_rpc_stream_cancel(stream);
    reply->code = OWM_RPC_DEADLINE_EXCEEDED;
    snprintf(reply->text, sizeof reply->text, "no answer within %u ms", timeout_ms);
    return OWM_E_TIMEOUT;
}

void owm_rpc_stream_cancel(struct owm_rpc_stream *stream)
{
    grpc_call_cancel(stream->call, NULL);
}

void owm_rpc_stream_close(struct owm_rpc_stream *stream)
{
    if (!stream) return;
    owm_rpc_stream_cancel(stream);
    pthread_mutex_lock(&stream->lock);
    while (stream->pending > 0) pthread_cond_wait(&stream->cond, &stream->lock);
    pthread_mutex_unlock(&stream->lock);
    grpc_call_unref(stream->call);
    if (stream->incoming) grpc_byte_buffer_destroy(stream->incoming);
    rpc_metadata_clear(&stream->headers);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->details);
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->cond);
    free(stream);
}
