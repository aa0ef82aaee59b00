/* publish.c: one PUB socket; who does not keep up misses messages, and sees it by the counter. */
#include "publish.h"

#include <stdlib.h>
#include <zmq.h>

#include "base/bytes.h"

#define CLOSE_WAIT_MS 0

struct publisher {
    void *context, *socket;
    uint32_t sequence;
};

owm_status publish_open(const char *endpoint, struct publisher **out, struct owm_error *error)
{
    const int wait_ms = CLOSE_WAIT_MS;
    struct publisher *publisher = calloc(1, sizeof *publisher);
    *out = NULL;
    if (!publisher) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    publisher->context = zmq_ctx_new();
    if (publisher->context) publisher->socket = zmq_socket(publisher->context, ZMQ_PUB);
    if (publisher->socket
        && !zmq_setsockopt(publisher->socket, ZMQ_LINGER, &wait_ms, sizeof wait_ms)
        && !zmq_bind(publisher->socket, endpoint)) {
        *out = publisher;
        return OWM_OK;
    }
    owm_fail(error, OWM_E_NET, "cannot publish on %s: %s", endpoint, zmq_strerror(zmq_errno()));
    publish_close(publisher);
    return OWM_E_NET;
}

void publish_tip(struct publisher *publisher, const uint8_t hash[32])
{
    static const char topic[] = "hashblock";
    uint8_t reversed[32], sequence[4];
    struct owm_writer w;
    for (int i = 0; i < 32; i++) reversed[i] = hash[31 - i];
    owm_writer_init(&w, sequence, sizeof sequence);
    owm_write_u32_le(&w, publisher->sequence++);
    zmq_send(publisher->socket, topic, sizeof topic - 1, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(publisher->socket, reversed, sizeof reversed, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(publisher->socket, sequence, sizeof sequence, ZMQ_DONTWAIT);
}

void publish_close(struct publisher *publisher)
{
    if (!publisher) return;
    if (publisher->socket) zmq_close(publisher->socket);
    if (publisher->context) zmq_ctx_term(publisher->context);
    free(publisher);
}
