/* stream.c: server streams of the double: what flow control holds back, and breaking off. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "double.h"

#define CUT_AFTER_MS 50 /* so that the messages before the break are on the wire */

struct stream *stream_open(struct lnd_double *node, struct owm_rpc_call *call, enum method method)
{
    if (node->stream_count == LND_DOUBLE_STREAMS_MAX) {
        refuse(call, OWM_RPC_RESOURCE_EXHAUSTED, "the double has too many streams");
        return NULL;
    }
    struct stream *stream = calloc(1, sizeof *stream);
    OWM_ASSERT(stream);
    owm_rpc_call_ref(call);
    owm_rpc_call_set_user(call, stream);
    *stream = (struct stream){.next = node->streams, .node = node, .call = call, .method = method};
    stream->cut = node->cut[method];
    stream->last = &stream->first;
    node->streams = stream;
    node->stream_count++;
    return stream;
}

static void stream_pump(struct stream *stream)
{
    struct message *message;
    while ((message = stream->first)) {
        owm_status status = owm_rpc_send(stream->call, message->bytes, message->length);
        if (status == OWM_E_LIMIT) return;
        stream->first = message->next;
        if (!stream->first) stream->last = &stream->first;
        free(message);
    }
    if (stream->ended && !stream->broken) (void)owm_rpc_finish(stream->call);
}

/* What a client sees of a connection that breaks. */
static void stream_break(struct lnd_double *node, void *arg, bool dropped)
{
    (void)node, (void)dropped;
    struct owm_rpc_call *call = arg;
    (void)owm_rpc_fail(call, OWM_RPC_UNAVAILABLE, "error reading from server: EOF");
    owm_rpc_call_unref(call);
}

static bool stream_cut(struct stream *stream)
{
    if (stream->cut < 0 || stream->sent < (unsigned)stream->cut) return false;
    if (!stream->broken) {
        owm_rpc_call_ref(stream->call);
        task_add(stream->node, stream->sent ? owm_clock_wall_ms() + CUT_AFTER_MS : 0, stream_break,
                 stream->call);
    }
    stream->ended = stream->broken = true;
    return true;
}

void stream_send(struct stream *stream, const ProtobufCMessage *message)
{
    if (stream->ended || stream_cut(stream)) return;
    size_t length = protobuf_c_message_get_packed_size(message);
    struct message *queued = malloc(sizeof *queued + length);
    OWM_ASSERT(queued);
    queued->next = NULL;
    queued->length = protobuf_c_message_pack(message, queued->bytes);
    *stream->last = queued;
    stream->last = &queued->next;
    stream->sent++;
    stream_pump(stream);
    (void)stream_cut(stream);
}

void stream_finish(struct stream *stream)
{
    if (stream->ended || stream_cut(stream)) return;
    stream->ended = true;
    stream_pump(stream);
}

void stream_on_writable(void *app, struct owm_rpc_call *call)
{
    (void)app;
    double_lock();
    struct stream *stream = owm_rpc_call_user(call);
    if (stream) stream_pump(stream);
    double_unlock();
}

void stream_on_end(void *app, struct owm_rpc_call *call, bool cancelled)
{
    (void)cancelled;
    struct lnd_double *node = app;
    double_lock();
    struct stream *stream = owm_rpc_call_user(call);
    owm_rpc_call_set_user(call, NULL);
    if (stream) {
        struct stream **at = &node->streams;
        while (*at != stream) at = &(*at)->next;
        *at = stream->next;
        node->stream_count--;
    }
    double_unlock();
    if (!stream) return;
    for (struct message *message = stream->first, *next; message; message = next) {
        next = message->next;
        free(message);
    }
    free(stream);
    owm_rpc_call_unref(call);
}
