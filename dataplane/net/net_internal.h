/* net_internal.h: what the files of this folder share: the loop, its connections, a transport.
 *
 *   net.c     open and close: limits, listeners, threads
 *   loop.c    the turn, and the life of a connection
 *   send.c    pages of output
 *   arena.c   slots of memory that is touched when used
 *   uring.c, epoll.c   transports: they move bytes and know nothing of handlers
 *
 * States of a connection, each left only downwards:
 *
 *   OPEN       the handler has it
 *   CLOSING    the handler or the loop closed it; closed() is due at the end of this turn
 *   FLUSHING   closed() was called; output is still being sent
 *   ENDING     all is sent and our side ended; input is read and dropped until the peer ends too,
 *              because a close with unread input makes the kernel throw away what it has to send
 *   DETACHED   the transport gives back what the kernel holds; then the slot is free
 */
#ifndef OWM_NET_NET_INTERNAL_H
#define OWM_NET_NET_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "net.h"

#define NET_SEND_BATCH      1024 /* Connections with new output before it is offered. */
#define NET_ACCEPT_RETRY_MS 100  /* Pause when no descriptor is left for a new connection. */
#define NET_BACKLOG         4096
#define NET_PAGE_BYTES      4096
#define NET_LARGE_BYTES     (OWM_NET_RESERVE_BYTES_MAX + NET_PAGE_BYTES)

/** net_arena: equal slots of memory that is reserved at start and touched on first use. The slot
 *  that was freed last is used next, so what was touched is what was needed at one time. */
struct net_arena {
    uint8_t *memory;
    void *free; /* List through the first bytes of each free slot. */
    size_t slot_bytes, slots;
    bool guarded;          /* AddressSanitizer: a free slot is not to be touched. */
    atomic_size_t touched; /* Slots that were used so far; read by stats. */
};

/** slot_bytes: a multiple of 8. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status net_arena_open(struct net_arena *arena, size_t slot_bytes, size_t slots);
void net_arena_close(struct net_arena *arena);
void *net_arena_take(struct net_arena *arena); /* NULL: all are in use. Content: undefined. */
void net_arena_give(struct net_arena *arena, void *slot);

/** net_page: output of one connection, in a list. */
struct net_page {
    struct net_page *next;
    uint32_t start, end, capacity; /* data[start, end) is not yet taken by the kernel. */
    uint8_t data[];
};

enum net_state { NET_FREE, NET_OPEN, NET_CLOSING, NET_FLUSHING, NET_ENDING, NET_DETACHED };

struct owm_net_conn {
    void *free; /* Link of the arena while free. */
    struct owm_net_loop *loop;
    void *ctx;
    struct net_page *first, *last, *reserved;
    uint8_t *kept; /* Input that the handler left, or NULL. */
    struct owm_net_conn *closing_next;
    struct owm_net_conn *flush_prev, *flush_next;
    int64_t flush_until_ms;
    uint32_t waiting, reserved_bytes, kept_bytes;
    uint32_t
        generation; /* Grows with each use of the slot; events of an earlier one are dropped. */
    uint32_t dirty; /* Its place in the loop's dirty list plus one; 0: none. */
    int fd;
    enum net_state state : 8;
    bool flush;     /* CLOSING: send the rest first. */
    bool by_peer;   /* CLOSING: the handler does not know yet and may still send. */
    bool ended;     /* The peer ended its side. */
    bool receiving; /* io_uring: the kernel has a receive of this connection. */
    bool sending;   /* io_uring: it has a send. epoll: it says when it takes more. */
    char reason[OWM_NET_REASON_BYTES];
};

struct net_counters {
    atomic_uint_least64_t accepted, refused, closed, received_bytes, sent_bytes, turns, syscalls,
        connections, connections_peak;
};

struct net_transport;

struct owm_net_loop {
    struct owm_net *net;
    const struct net_transport *transport;
    void *transport_state;
    size_t transport_bytes; /* For stats. */
    const struct owm_net_handler *handler;
    void *ctx;
    unsigned index;
    int core; /* To be pinned to, or -1. */

    int listener; /* -1: no new connections. */
    int spare;    /* A descriptor to give up when none is left, so that a peer can be told. */
    int64_t accept_retry_ms;  /* 0: accepting as usual. */
    int64_t accept_warned_ms; /* When that was last logged. */

    struct net_arena conns, kept, pages, large_pages;
    size_t connections;
    struct owm_net_conn *dirty[NET_SEND_BATCH]; /* With new output; NULL where one was freed. */
    size_t dirty_count;
    struct owm_net_conn *closing_first, *closing_last;
    struct owm_net_conn *flush_first, *flush_last; /* By deadline: all wait equally long. */
    struct net_counters stats;

    int wake_fd;
    atomic_bool wake_signalled, wake, stop, stop_accepting;

    pthread_t thread;
    sem_t started, go;
    owm_status start_status;
    struct owm_error start_error;
};

struct owm_net {
    const struct net_transport *transport;
    uint32_t connections_max, receive_bytes, send_bytes_max;
    uint64_t shared_send_bytes, shared_receive_bytes;
    uint16_t port;
    unsigned loops;
    struct owm_net_loop *loop; /* [loops] */
};

/** net_transport: how a loop's sockets are driven. Called on the loop's thread, all but `check`.
 *  It calls the net_* functions of loop.c below; they may call close, send and listen again. */
struct net_transport {
    const char *name;
    /* Whether this kernel can do it. OWM_OK; OWM_E_UNSUPPORTED or OWM_E_PERM with a sentence. */
    owm_status (*check)(struct owm_error *error);
    owm_status (*open)(struct owm_net_loop *loop, struct owm_error *error);
    void (*close)(struct owm_net_loop *loop);
    /* Begin to accept, or again after a pause. */
    void (*listen)(struct owm_net_loop *loop);
    /* Begin to receive. false: not possible. */
    bool (*attach)(struct owm_net_conn *conn);
    /* Close the socket and call net_free(conn), now or when the kernel holds nothing of it. */
    void (*detach)(struct owm_net_conn *conn);
    /* Offer the output of all dirty connections to the kernel now. Never calls the handler. */
    void (*send)(struct owm_net_loop *loop);
    /* Offer output, wait at most timeout_ms (-1: for ever) and pass on what happened. */
    void (*poll)(struct owm_net_loop *loop, int timeout_ms);
};

extern const struct net_transport net_uring, net_epoll;

/* listener.c */
OWM_MUST_USE owm_status net_listen(const struct owm_net_options *options, uint16_t port, int *fd,
                                   struct owm_error *error);
/** net_listen_check: fails where another program has the port: SO_REUSEPORT would share it. */
OWM_MUST_USE owm_status net_listen_check(const struct owm_net_options *options,
                                         struct owm_error *error);
uint16_t net_listen_port(int fd);
/** net_set_tcp: no delay; a peer that vanished is found within about a minute. */
void net_set_tcp(int fd);
/** net_accept_failed: what to do when accept said `error`: with no descriptor left one waiting
 *  connection is refused through the spare one, and `listen` is called again after a pause. */
void net_accept_failed(struct owm_net_loop *loop, int error);

/* loop.c: the thread, and what a transport tells. */
void *net_loop_main(void *loop);
void net_accepted(struct owm_net_loop *loop, int fd); /* Takes fd. */
void net_received(struct owm_net_conn *conn, uint8_t *data, size_t bytes);
void net_ended(struct owm_net_conn *conn, int error); /* 0: the peer ended its side. */
void net_flushed(struct owm_net_conn *conn);          /* Nothing is waiting any more. */
void net_free(struct owm_net_conn *conn);

/* send.c */
void net_sent(struct owm_net_conn *conn, size_t bytes); /* The kernel took them. */
void net_dirty(struct owm_net_conn *conn);              /* There is output to offer. */
void net_drop_output(struct owm_net_conn *conn);

static inline uint32_t net_index(const struct owm_net_conn *conn)
{
    const struct net_arena *arena = &conn->loop->conns;
    return (uint32_t)((size_t)((const uint8_t *)conn - arena->memory) / arena->slot_bytes);
}

static inline struct owm_net_conn *net_at(const struct owm_net_loop *loop, uint32_t index)
{
    return (struct owm_net_conn *)(void *)(loop->conns.memory + index * loop->conns.slot_bytes);
}

static inline bool net_may_send(const struct owm_net_conn *conn)
{
    return conn->state == NET_OPEN || (conn->state == NET_CLOSING && conn->by_peer);
}

static inline bool net_in_use(const struct owm_net_conn *conn)
{
    return conn->state != NET_FREE;
}

/** net_count: counters have one writer, so this needs no locked instruction. */
static inline void net_count(atomic_uint_least64_t *counter, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}

#endif
