/* grpc_client.h: the client's own shapes. Private to grpc_client.c and grpc_stream.c. */
#ifndef OWM_BASE_RPC_GRPC_CLIENT_H
#define OWM_BASE_RPC_GRPC_CLIENT_H

#include "grpc_core.h"

struct unary;

struct owm_rpc_cq {
    grpc_completion_queue *core;
    pthread_t threads[OWM_RPC_THREADS_MAX];
    unsigned thread_count;
    pthread_mutex_t lock;
    struct unary *free_unaries;
    unsigned free_count;
};

struct owm_rpc_client {
    grpc_channel *channel;
    struct owm_rpc_cq *cq;
    bool owns_cq;
    uint32_t start_flags; /* of each call's first metadata */
    owm_rpc_metadata_fill metadata;
    void *metadata_user;
};

/* The request headers of one call; gRPC's to read until they are sent. */
struct owm_rpc_metadata {
    grpc_metadata pair[OWM_RPC_METADATA_MAX];
    size_t count;
};

/** rpc_client_call: a gRPC call on the client's queue; deadline_ms 0 is none. */
grpc_call *rpc_client_call(struct owm_rpc_client *client, const char *path, unsigned deadline_ms);

/** rpc_metadata_op: the op that begins a call, with what the client's callback adds to `metadata`,
 *  which rpc_metadata_clear empties after the batch. */
grpc_op rpc_metadata_op(const struct owm_rpc_client *client, const char *path,
                        struct owm_rpc_metadata *metadata);
void rpc_metadata_clear(struct owm_rpc_metadata *metadata);

/** rpc_reply_set: code and text from gRPC's; the message is not touched. */
void rpc_reply_set(struct owm_rpc_reply *reply, grpc_status_code code, const grpc_slice *details);

/** rpc_reply_take: move a received buffer (NULL: none) into a reply that owns its bytes. A message
 *  that cannot be read turns the code into INTERNAL or RESOURCE_EXHAUSTED. */
void rpc_reply_take(struct owm_rpc_reply *reply, grpc_byte_buffer *buffer);

/** rpc_batch: start one batch whose tag is `completion`. */
void rpc_batch(grpc_call *call, const grpc_op *ops, size_t count,
               struct rpc_completion *completion);

#endif
