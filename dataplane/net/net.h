/* net.h: many TCP connections on a few threads, one per core, each owning its connections for life.
 *
 * A loop accepts, receives into provided buffers, hands bytes to a handler and sends what the
 * handler wrote, all of it batched: one system call per turn where the kernel allows. The handler
 * runs on the loop's thread and shares nothing, so nothing here takes a lock, and after start no
 * connection allocates. Two transports have this interface: io_uring (multishot accept and receive,
 * provided buffers) and epoll, for kernels where io_uring is off.
 *
 *   turn:  accept(), receive() per connection -> wake() -> turn_end() -> closed() -> sends
 *
 * An idle connection holds its slot and nothing else: input that the handler left (a part of a
 * frame) is kept in a slot of `shared_receive_bytes`, output in pages of `shared_send_bytes`, both
 * only while there is some. When a loop has very much to send (a new job for all), it is offered to
 * the kernel on the way, so that memory stays bounded; nothing of that calls the handler.
 *
 * Thread: each loop's handler is called on its own thread; owm_net_wake may be called on any. All
 * functions on a connection are called from its loop's handler only: from any of its functions but
 * start and stop, for any connection of that loop. A handler does not block: all connections of its
 * loop wait for it, and io_uring interrupts calls that do (EINTR).
 */
#ifndef OWM_NET_NET_H
#define OWM_NET_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"

#define OWM_NET_LOOPS_MAX         64
#define OWM_NET_CONNECTIONS_MAX   1000000 /* Of one loop. */
#define OWM_NET_REASON_BYTES      64      /* A longer reason is cut. */
#define OWM_NET_RESERVE_BYTES_MAX 65536   /* Of one owm_net_reserve. */
#define OWM_NET_PIECE_BYTES       4072    /* Larger reservations are from scarcer pages. */
#define OWM_NET_FLUSH_MS          2000    /* What a flushing close gives the peer to read. */

struct owm_net;      /* All loops of a listener. */
struct owm_net_loop; /* One thread. */
struct owm_net_conn; /* One connection; from accept() until closed() returns. */

/** owm_net_peer: who is on the other side; numeric. */
struct owm_net_peer {
    uint8_t address[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d. */
    uint16_t port;
};

/** owm_net_handler: what a loop calls; every pointer is set. `ctx` is the loop's own.
 *
 *  start/stop  on the loop's thread, before its first and after its last call. start may fail:
 *              open then fails with its status and sentence, and stop is not called.
 *  accept      a new connection: a context for it, or NULL to close it at once (after a limit;
 *              closed is not called then).
 *  receive     data [bytes] is everything that was received and not used yet, at most
 *              receive_bytes, writable (decryption in place), lent for the call. Returns how much
 *              of it is used up, 0 to bytes; the rest is kept, as it is then, and shown again in
 *              front of what comes next, not before: use up all whole frames. If all of
 *              receive_bytes stays unused the connection is closed with "input too long".
 *  wake        owm_net_wake was called since the last turn (calls are merged).
 *  turn_end    once a turn, after all receives: validate a batch, write answers, arm timers.
 *              Returns the time (owm_clock_mono_ms) when it wants to be called again at the
 *              latest; INT64_MAX: when something happens.
 *  closed      the connection is gone; `reason` says why. Its context is the handler's to release.
 *              Called after turn_end, so what receive noted for turn_end is still good there. */
struct owm_net_handler {
    owm_status (*start)(void *ctx, struct owm_net_loop *loop, struct owm_error *error);
    void (*stop)(void *ctx);
    void *(*accept)(void *ctx, struct owm_net_conn *conn, const struct owm_net_peer *peer);
    size_t (*receive)(void *ctx, void *conn_ctx, uint8_t *data, size_t bytes);
    int64_t (*turn_end)(void *ctx, int64_t now_ms);
    void (*wake)(void *ctx);
    void (*closed)(void *ctx, void *conn_ctx, const char *reason);
};

enum owm_net_transport { OWM_NET_AUTO, OWM_NET_URING, OWM_NET_EPOLL };

/** owm_net_options: zero in a limit means its default. Borrowed for the call, but for `ctx` and
 *  `handler`, which must outlive the net. */
struct owm_net_options {
    const char *bind;     /* Numeric address; "0.0.0.0" and "::" for all. */
    uint16_t port;        /* 0: pick a free one. */
    const char *port_key; /* Config key to name when the port is in use: "pool.listen". */
    unsigned loops;       /* 0: one per core this process may use. */
    enum owm_net_transport transport;
    uint32_t connections_max;   /* Of each loop; default 65536. */
    uint32_t receive_bytes;     /* Kept for one connection; default 4096. */
    uint32_t send_bytes_max;    /* Not yet taken by the kernel, of one connection; default 256K. */
    uint64_t shared_send_bytes; /* Send memory of a loop, for all its connections; default 64M. */
    uint64_t shared_receive_bytes; /* Kept input of a loop; default receive_bytes for each. */
    bool pin;                      /* Bind loop i to the i-th core that this process may use. */
    const struct owm_net_handler *handler;
    void *const *ctx; /* [loops]: one context per loop. */
};

/** owm_net_loops_default: how many loops `loops = 0` means. */
unsigned owm_net_loops_default(void);

/** owm_net_open: listen (SO_REUSEPORT, one socket per loop) and start the threads. Raises the soft
 *  limit of open files to what the connections need, where the hard one allows. Memory is reserved
 *  for the limits here and touched when used.
 *  Returns: OWM_OK; OWM_E_EXISTS port in use (the sentence names port and key); OWM_E_PERM a port
 *  that only root may use, or io_uring forbidden; OWM_E_CONFIG `bind` is no numeric address;
 *  OWM_E_UNSUPPORTED a named transport that this kernel lacks; OWM_E_LIMIT open files do not allow
 *  connections_max (says the ulimit line); OWM_E_NET; OWM_E_NOMEM; or what a start() said. */
OWM_MUST_USE owm_status owm_net_open(const struct owm_net_options *options, struct owm_net **net,
                                     struct owm_error *error);
uint16_t owm_net_port(const struct owm_net *net);
const char *owm_net_transport_name(const struct owm_net *net); /* "io_uring", "epoll". */

/** owm_net_stop_accepting: new connections are refused soon; the others go on. For draining.
 *  Thread: any. */
void owm_net_stop_accepting(struct owm_net *net);

/** owm_net_close: close everything ("shutting down"), join the threads, free. NULL is allowed. What
 *  the kernel took is still sent. No owm_net_wake may run during or after it. */
void owm_net_close(struct owm_net *net);

/** owm_net_wake: have the loop call wake() soon; what was written before the call is seen by it.
 *  Thread: any; async-signal-safe. */
void owm_net_wake(struct owm_net_loop *loop);

/** owm_net_reserve: room for `bytes` more to send, in order, 1 to OWM_NET_RESERVE_BYTES_MAX; NULL
 *  when it would have more than send_bytes_max waiting (a slow reader: close it), the loop's send
 *  memory is used up, or the connection is being closed. The memory is the handler's until commit,
 *  which must be the next call on this connection. Pieces up to OWM_NET_PIECE_BYTES share pages of
 *  4 KiB; larger ones come from pages of 68 KiB, which are a quarter of shared_send_bytes.
 *  owm_net_commit: send the first `bytes` of it, at most what was reserved; 0 takes it back. */
uint8_t *owm_net_reserve(struct owm_net_conn *conn, size_t bytes);
void owm_net_commit(struct owm_net_conn *conn, size_t bytes);

/** owm_net_waiting: bytes that the kernel has not taken yet. */
size_t owm_net_waiting(const struct owm_net_conn *conn);

/** owm_net_close_conn: close now (flush false), or after what is committed was sent and read by the
 *  peer, at most OWM_NET_FLUSH_MS (flush true). Either way the handler gets closed(reason) at the
 *  end of this turn, or of the next when called from closed(); `conn` is not to be used after
 *  that. No receive() after this call; further calls do nothing. reason: copied.
 *  A peer that ends its side is closed with flush, by the loop. */
void owm_net_close_conn(struct owm_net_conn *conn, const char *reason, bool flush);

/** owm_net_stats: counters of a loop since start; read on any thread, each value by itself. */
struct owm_net_stats {
    uint64_t accepted; /* Given to the handler and taken by it. */
    uint64_t refused;  /* Closed at once: connections_max, open files, or the handler's NULL. */
    uint64_t closed;   /* Of the accepted ones. */
    uint64_t received_bytes, sent_bytes, turns;
    uint64_t syscalls;                      /* Of the loop itself, not of its handler. */
    uint64_t connections, connections_peak; /* With those that are still flushing. */
    uint64_t memory_bytes;                  /* Reserved at start for this loop. */
    uint64_t memory_touched_bytes;          /* What of it was ever used. */
};
void owm_net_loop_stats(const struct owm_net *net, unsigned loop, struct owm_net_stats *stats);

/** owm_net_connect: outgoing TCP, for miners and load generators: a non-blocking socket with
 *  TCP_NODELAY and keep-alive, the caller's to close. host: name or numeric address, IPv6 without
 *  brackets. The addresses of a name are tried in turn, both families alternating, within
 *  timeout_ms; looking the name up blocks and has the resolver's own time limits.
 *  Returns: OWM_OK; OWM_E_NET refused, unreachable or unknown name; OWM_E_LIMIT open files;
 *  OWM_E_TIMEOUT. All with a sentence. */
OWM_MUST_USE owm_status owm_net_connect(const char *host, uint16_t port, unsigned timeout_ms,
                                        int *fd, struct owm_error *error);

#endif
