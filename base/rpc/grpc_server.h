/* grpc_server.h: the server's own shapes. Private to grpc_server.c and grpc_call.c.
 *
 * Invariants:
 *  1. One lane is one thread with one completion queue. A call is bound to the lane that accepted
 *     it: every completion of the call, so every callback, runs on that thread.
 *  2. Every batch is started under call->lock and adds one to call->pending; the lane takes it off.
 *  3. At most one send batch is in flight (call->sending) and at most one read (call->reading).
 *  4. A call ends when its close was received and pending is 0; no batch starts after the close.
 *  5. The object outlives the call for as long as the application holds references.
 */
#ifndef OWM_BASE_RPC_GRPC_SERVER_H
#define OWM_BASE_RPC_GRPC_SERVER_H

#include "grpc_core.h"
#include "rpc_peer.h"

enum call_tag { TAG_NEW, TAG_READ, TAG_SEND, TAG_CLOSE, TAG_SHUTDOWN };
#define CALL_TAG_MASK 7
#define CALL_ALIGN    64

struct lane {
    struct owm_rpc_server *server;
    grpc_completion_queue *cq;
    pthread_t thread;
    bool started;
    struct rpc_peer_cache *peers;
};

struct owm_rpc_call {
    pthread_mutex_t lock;
    atomic_uint refs;
    struct owm_rpc_server *server;
    struct lane *lane;
    const struct owm_rpc_method *method; /* NULL: waits for, or is, a call of an unknown method */
    void *user;
    struct owm_rpc_call *next; /* free list */

    grpc_call *core;
    grpc_metadata_array metadata;
    grpc_call_details details; /* of an unknown method */
    gpr_timespec deadline;
    grpc_byte_buffer *request; /* first message, or the one being read */

    /* Under lock. */
    bool begun;        /* the application has seen it: on_end is due */
    bool held;         /* in its first callbacks: what they send leaves in one batch after them */
    bool answered;     /* reply, finish or fail was accepted */
    bool status_sent;  /* the status is with the transport */
    bool headers_sent; /* so are the headers */
    bool sending;
    bool reading;
    bool delivering;  /* on_message runs: the next read waits for it */
    bool watched;     /* the batch that reports the close is started */
    bool close_rides; /* it is the send batch */
    bool closed;
    bool aborted; /* ended through gRPC's cancel with a status of ours */
    bool paused;
    bool half_closed;
    bool full; /* on_writable is due */
    bool ended;
    int core_cancelled; /* written by gRPC before the close is reported */
    unsigned pending;
    enum owm_rpc_code code;
    grpc_slice text;
    grpc_byte_buffer *in_flight;
    unsigned queue_first;
    unsigned queue_count;
    grpc_byte_buffer *queue[OWM_RPC_QUEUE_MAX];

    uint8_t key[OWM_RPC_KEY_BYTES];
    char ip[OWM_RPC_IP_BYTES_MAX];
} __attribute__((aligned(CALL_ALIGN)));

struct owm_rpc_server {
    grpc_server *core;
    struct lane lanes[OWM_RPC_THREADS_MAX];
    unsigned lane_count;
    const struct owm_rpc_method *methods;
    size_t method_count;
    void *registered[OWM_RPC_METHODS_MAX];
    void *app;
    int ports[OWM_RPC_ADDRESSES_MAX];
    size_t port_count;
    unsigned calls_max;
    unsigned send_queue_max;
    enum owm_rpc_client_certificate client_certificate;
    bool running; /* every lane has its thread */

    atomic_uint refs;        /* the owner and every call object in use */
    atomic_uint outstanding; /* posted requests and calls that have not ended */
    atomic_ullong started;
    atomic_ullong live;
    atomic_ullong ended[OWM_RPC_CODES];

    pthread_mutex_t lock;
    pthread_cond_t idle;
    bool shut_down; /* gRPC has reported the end of its shutdown */
    struct owm_rpc_call *free_calls;
    unsigned free_count;
};

/** server_post: wait for one more call of a method (NULL: any unknown one) on a lane. */
void server_post(struct lane *lane, const struct owm_rpc_method *method);

/** server_call_done: a call or a posted request is over: what owm_rpc_server_close waits for. */
void server_call_done(struct owm_rpc_server *server);

/** server_recycle: the last reference to a call object is gone. */
void server_recycle(struct owm_rpc_call *call);

/** call_event: one completion of a call; on its lane. */
void call_event(struct owm_rpc_call *call, enum call_tag tag, bool ok);

static inline void *call_tagged(struct owm_rpc_call *call, enum call_tag tag)
{
    return (void *)((uintptr_t)call | (uintptr_t)tag);
}

#endif
