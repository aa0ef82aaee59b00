/* inbox.h: what waits for the engine's thread: events, and short jobs that need to look at the
 * engine. Bounded; many threads put, one takes.
 *
 * A question (struct owm_ask) travels as the event's cookie and comes back with its answer after
 * the answer is durable.
 */
#ifndef OWM_RPC_INBOX_H
#define OWM_RPC_INBOX_H

#include <stdbool.h>

#include "controlplane/engine/engine.h"

struct owm_inbox;
struct owm_rpc_call;

/** owm_ask: who waits for an answer. answer runs on the engine's thread, once, and frees the ask.
 *  output NULL: the coordinator is stopping. */
struct owm_ask {
    void (*answer)(struct owm_ask *ask, const struct owm_output *output);
    void *ctx;
    struct owm_rpc_call *call; /* a reference, or NULL */
    uint8_t id[16];            /* the asker's own use */
    void *data;                /* malloc'ed, freed with the ask */
    size_t data_bytes;
};

/** owm_post: one entry. */
struct owm_post {
    struct owm_post *next;
    /* If set: runs on the engine's thread before the event is stepped; false: do not step it. */
    bool (*prepare)(struct owm_post *post, owm_engine *engine);
    void *ctx;
    bool has_event;
    struct owm_event event;
    struct owm_ask *ask; /* cookie of the event */
    void *memory;        /* what the event points to; freed once the batch is durable */
};

/** owm_post_new: zeroed; NULL: out of memory. owm_post_free: also memory, and the ask if nobody
 *  took it (NULLed). */
struct owm_post *owm_post_new(enum owm_event_kind kind);
void owm_post_free(struct owm_post *post);

/** owm_ask_new: takes a reference on call. owm_ask_free: drops it. */
struct owm_ask *owm_ask_new(void (*answer)(struct owm_ask *, const struct owm_output *), void *ctx,
                            struct owm_rpc_call *call);
void owm_ask_free(struct owm_ask *ask);

OWM_MUST_USE owm_status owm_inbox_open(size_t posts_max, struct owm_inbox **inbox);
void owm_inbox_close(struct owm_inbox *inbox); /* frees what is in it, answering asks with NULL */

/** owm_inbox_put: Takes post, also on failure. Returns: OWM_OK; OWM_E_LIMIT full: the peer may try
 *  again; OWM_E_STATE stopping.
 *  owm_inbox_put_own: results of our own work are never refused. */
OWM_MUST_USE owm_status owm_inbox_put(struct owm_inbox *inbox, struct owm_post *post);
void owm_inbox_put_own(struct owm_inbox *inbox, struct owm_post *post);

/** owm_inbox_take: up to `count` posts as a list, waiting at most timeout_ms for the first. */
struct owm_post *owm_inbox_take(struct owm_inbox *inbox, size_t count, unsigned timeout_ms);
size_t owm_inbox_length(struct owm_inbox *inbox);
void owm_inbox_stop(struct owm_inbox *inbox);

#endif
