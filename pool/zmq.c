/* zmq.c: the one file that knows libzmq: a thread that polls subscriptions. */
#include "zmq.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define TOPIC       "hashblock"
#define HASH_BYTES  32
#define FRAMES_MAX  8  /* More than any message has that we read. */
#define FRAME_BYTES 64 /* Of a frame that we read; more is cut, and not what we look for. */
/* libzmq never connects again to who sends more. No node does: a raw block fits. */
#define MESSAGE_BYTES_MAX (8 * 1024 * 1024)
#define QUEUE_MAX         64
#define HEARTBEAT_MS      10000

struct owm_zmq {
    void *context;
    void *sockets[OWM_ZMQ_ENDPOINTS_MAX];
    size_t count;
    int stop_fd;
    owm_zmq_tip on_tip;
    void *ctx;
    pthread_t thread;
    bool started;
};

/* Reads one message whole; true if it is a hashblock. */
static bool take_message(void *socket, uint8_t hash[static HASH_BYTES])
{
    bool topic = false, body = false;
    for (int frame = 0; frame < FRAMES_MAX; frame++) {
        uint8_t data[FRAME_BYTES];
        int bytes = zmq_recv(socket, data, sizeof data, ZMQ_DONTWAIT);
        if (bytes < 0) return false;
        if (frame == 0)
            topic = bytes == sizeof TOPIC - 1 && memcmp(data, TOPIC, (size_t)bytes) == 0;
        if (frame == 1) body = bytes == HASH_BYTES;
        if (frame == 1 && body)
            for (int i = 0; i < HASH_BYTES; i++) hash[i] = data[HASH_BYTES - 1 - i];
        int more = 0;
        size_t length = sizeof more;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &length) != 0 || !more) return topic && body;
    }
    return false;
}

static void *run(void *argument)
{
    struct owm_zmq *zmq = argument;
    zmq_pollitem_t items[OWM_ZMQ_ENDPOINTS_MAX + 1];
    for (size_t i = 0; i < zmq->count; i++)
        items[i] = (zmq_pollitem_t){.socket = zmq->sockets[i], .events = ZMQ_POLLIN};
    items[zmq->count] = (zmq_pollitem_t){.fd = zmq->stop_fd, .events = ZMQ_POLLIN};
    for (;;) {
        if (zmq_poll(items, (int)zmq->count + 1, -1) < 0) continue; /* A signal. */
        if (items[zmq->count].revents) return NULL;
        for (size_t i = 0; i < zmq->count; i++) {
            uint8_t hash[HASH_BYTES];
            if ((items[i].revents & ZMQ_POLLIN) && take_message(zmq->sockets[i], hash))
                zmq->on_tip(zmq->ctx, hash);
        }
    }
}

static bool subscribe(struct owm_zmq *zmq, const char *endpoint)
{
    static const int none = 0, queue = QUEUE_MAX, heartbeat = HEARTBEAT_MS;
    static const int64_t bytes_max = MESSAGE_BYTES_MAX;
    void *socket = zmq_socket(zmq->context, ZMQ_SUB);
    if (!socket) return false;
    zmq->sockets[zmq->count++] = socket;
    return zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0
           && zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue) == 0
           && zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) == 0
           && zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &heartbeat, sizeof heartbeat) == 0
           && zmq_setsockopt(socket, ZMQ_SUBSCRIBE, TOPIC, sizeof TOPIC - 1) == 0
           && zmq_connect(socket, endpoint) == 0;
}

static owm_status start(struct owm_zmq *zmq, const char *const *endpoints, size_t count,
                        struct owm_error *error)
{
    zmq->context = zmq_ctx_new();
    zmq->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (!zmq->context || zmq->stop_fd < 0)
        return owm_fail(error, OWM_E_NOMEM, "no memory or descriptor for ZMQ");
    for (size_t i = 0; i < count; i++)
        if (!subscribe(zmq, endpoints[i]))
            return owm_fail(error, OWM_E_CONFIG,
                            "\"%s\" is no ZMQ endpoint (%s); write it as in zmqpubhashblock of "
                            "bitcoin.conf: tcp://127.0.0.1:28332",
                            endpoints[i], zmq_strerror(zmq_errno()));
    zmq->started = pthread_create(&zmq->thread, NULL, run, zmq) == 0;
    return zmq->started ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "no thread for ZMQ");
}

owm_status owm_zmq_open(const char *const *endpoints, size_t count, owm_zmq_tip on_tip, void *ctx,
                        struct owm_zmq **out, struct owm_error *error)
{
    OWM_ASSERT(count > 0 && count <= OWM_ZMQ_ENDPOINTS_MAX);
    struct owm_zmq *zmq = calloc(1, sizeof *zmq);
    *out = NULL;
    if (!zmq) return owm_fail(error, OWM_E_NOMEM, "no memory for ZMQ");
    zmq->stop_fd = -1;
    zmq->on_tip = on_tip;
    zmq->ctx = ctx;
    owm_status status = start(zmq, endpoints, count, error);
    if (status == OWM_OK)
        *out = zmq;
    else
        owm_zmq_close(zmq);
    return status;
}

void owm_zmq_close(struct owm_zmq *zmq)
{
    if (!zmq) return;
    if (zmq->started) {
        eventfd_write(zmq->stop_fd, 1);
        pthread_join(zmq->thread, NULL);
    }
    for (size_t i = 0; i < zmq->count; i++)
        if (zmq->sockets[i]) zmq_close(zmq->sockets[i]);
    if (zmq->context) zmq_ctx_term(zmq->context);
    if (zmq->stop_fd >= 0) close(zmq->stop_fd);
    free(zmq);
}
