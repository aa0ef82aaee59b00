/* loop.c: the thread of a loop, its turn, and the life of a connection from accept to free. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net_internal.h"

#define SHUTDOWN_MS      5000 /* For the kernel to give back what it holds; it needs far less. */
#define SHUTDOWN_POLL_MS 50

/* ---- closing ---- */

static void flush_list_add(struct owm_net_conn *conn)
{
    struct owm_net_loop *loop = conn->loop;
    conn->flush_until_ms = (int64_t)owm_clock_mono_ms() + OWM_NET_FLUSH_MS;
    conn->flush_next = NULL;
    conn->flush_prev = loop->flush_last;
    if (loop->flush_last)
        loop->flush_last->flush_next = conn;
    else
        loop->flush_first = conn;
    loop->flush_last = conn;
}

static void flush_list_remove(struct owm_net_conn *conn)
{
    struct owm_net_loop *loop = conn->loop;
    if (conn->flush_prev)
        conn->flush_prev->flush_next = conn->flush_next;
    else
        loop->flush_first = conn->flush_next;
    if (conn->flush_next)
        conn->flush_next->flush_prev = conn->flush_prev;
    else
        loop->flush_last = conn->flush_prev;
}

static void detach(struct owm_net_conn *conn)
{
    if (conn->state == NET_FLUSHING || conn->state == NET_ENDING) flush_list_remove(conn);
    conn->state = NET_DETACHED;
    conn->loop->transport->detach(conn);
}

void net_free(struct owm_net_conn *conn)
{
    struct owm_net_loop *loop = conn->loop;
    if (conn->kept) net_arena_give(&loop->kept, conn->kept);
    net_drop_output(conn);
    conn->state = NET_FREE;
    conn->generation++;
    loop->connections--;
    atomic_store_explicit(&loop->stats.connections, loop->connections, memory_order_relaxed);
    net_arena_give(&loop->conns, conn);
}

void owm_net_close_conn(struct owm_net_conn *conn, const char *reason, bool flush)
{
    struct owm_net_loop *loop = conn->loop;
    if (!net_may_send(conn)) return;
    conn->flush = flush;
    conn->by_peer = false;
    (void)snprintf(conn->reason, sizeof conn->reason, "%s", reason);
    if (conn->state == NET_CLOSING) return;
    conn->state = NET_CLOSING;
    conn->closing_next = NULL;
    if (loop->closing_last)
        loop->closing_last->closing_next = conn;
    else
        loop->closing_first = conn;
    loop->closing_last = conn;
}

void net_flushed(struct owm_net_conn *conn)
{
    if (conn->state != NET_FLUSHING) return;
    if (conn->ended) {
        detach(conn);
        return;
    }
    conn->state = NET_ENDING;
    (void)shutdown(conn->fd, SHUT_WR);
    net_count(&conn->loop->stats.syscalls, 1);
}

static void finish_closing(struct owm_net_conn *conn)
{
    struct owm_net_loop *loop = conn->loop;
    if (conn->ctx) { /* Else the handler did not want it. */
        loop->handler->closed(loop->ctx, conn->ctx, conn->reason);
        net_count(&loop->stats.closed, 1);
    }
    if (!conn->flush) {
        detach(conn);
        return;
    }
    conn->state = NET_FLUSHING;
    flush_list_add(conn);
    if (conn->waiting == 0) net_flushed(conn);
}

/* Whoever is closed by a closed() is closed here too: each connection once, so this ends. */
static void finish_closings(struct owm_net_loop *loop)
{
    while (loop->closing_first) {
        struct owm_net_conn *conn = loop->closing_first;
        loop->closing_first = conn->closing_next;
        if (!loop->closing_first) loop->closing_last = NULL;
        finish_closing(conn);
    }
}

static void expire_flushes(struct owm_net_loop *loop, int64_t now_ms)
{
    while (loop->flush_first && loop->flush_first->flush_until_ms <= now_ms)
        detach(loop->flush_first);
}

static const char *end_reason(int error)
{
    switch (error) {
    case 0:
        return "closed by peer";
    case ECONNRESET:
    case EPIPE:
        return "reset by peer";
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "peer does not answer";
    default:
        return "network error";
    }
}

void net_ended(struct owm_net_conn *conn, int error)
{
    conn->ended = true;
    switch (conn->state) {
    case NET_OPEN:
        owm_net_close_conn(conn, end_reason(error), error == 0);
        conn->by_peer = error == 0;
        break;
    case NET_CLOSING:
        conn->flush = conn->flush && error == 0;
        conn->by_peer = conn->by_peer && error == 0;
        break;
    case NET_FLUSHING:
        if (error != 0) detach(conn);
        break;
    case NET_ENDING:
        detach(conn);
        break;
    case NET_DETACHED:
    case NET_FREE:
        break;
    }
}

/* ---- accepting ---- */

static bool read_peer(int fd, struct owm_net_peer *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    socklen_t bytes = sizeof address;
    if (getpeername(fd, &address.any, &bytes) != 0) return false;
    if (address.any.sa_family == AF_INET) {
        memcpy(peer->address, mapped, sizeof mapped);
        memcpy(peer->address + sizeof mapped, &address.v4.sin_addr, 4);
        peer->port = ntohs(address.v4.sin_port);
    } else {
        memcpy(peer->address, &address.v6.sin6_addr, sizeof peer->address);
        peer->port = ntohs(address.v6.sin6_port);
    }
    return true;
}

static struct owm_net_conn *new_conn(struct owm_net_loop *loop, int fd)
{
    struct owm_net_conn *conn = net_arena_take(&loop->conns);
    if (!conn) return NULL;
    *conn = (struct owm_net_conn){
        .loop = loop, .fd = fd, .generation = conn->generation, .state = NET_OPEN};
    loop->connections++;
    atomic_store_explicit(&loop->stats.connections, loop->connections, memory_order_relaxed);
    if (loop->connections
        > atomic_load_explicit(&loop->stats.connections_peak, memory_order_relaxed))
        atomic_store_explicit(&loop->stats.connections_peak, loop->connections,
                              memory_order_relaxed);
    return conn;
}

void net_accepted(struct owm_net_loop *loop, int fd)
{
    struct owm_net_peer peer;
    net_count(&loop->stats.syscalls, 1);
    struct owm_net_conn *conn =
        loop->listener >= 0 && read_peer(fd, &peer) ? new_conn(loop, fd) : NULL;
    if (!conn) {
        (void)close(fd);
        net_count(&loop->stats.refused, 1);
        return;
    }
    conn->ctx = loop->handler->accept(loop->ctx, conn, &peer);
    net_count(conn->ctx ? &loop->stats.accepted : &loop->stats.refused, 1);
    if (!conn->ctx)
        owm_net_close_conn(conn, "refused", false);
    else if (!loop->transport->attach(conn))
        owm_net_close_conn(conn, "no memory", false);
}

/* ---- receiving ---- */

/* Whether the handler wants more: it did not close, and used something of a full buffer. */
static bool show(struct owm_net_conn *conn, uint8_t *data, size_t bytes, size_t *used)
{
    struct owm_net_loop *loop = conn->loop;
    *used = loop->handler->receive(loop->ctx, conn->ctx, data, bytes);
    OWM_ASSERT(*used <= bytes);
    if (*used == 0 && bytes == loop->net->receive_bytes)
        owm_net_close_conn(conn, "input too long", false);
    return conn->state == NET_OPEN;
}

static void keep(struct owm_net_conn *conn, const uint8_t *data, size_t bytes)
{
    conn->kept = net_arena_take(&conn->loop->kept);
    if (!conn->kept) {
        owm_net_close_conn(conn, "input memory used up", false);
        return;
    }
    memcpy(conn->kept, data, bytes);
    conn->kept_bytes = (uint32_t)bytes;
}

/* Adds what fits to what was kept and shows both. Returns how much of data was added. */
static size_t show_kept(struct owm_net_conn *conn, const uint8_t *data, size_t bytes)
{
    struct owm_net_loop *loop = conn->loop;
    size_t room = loop->net->receive_bytes - conn->kept_bytes;
    size_t added = bytes < room ? bytes : room;
    size_t used;
    memcpy(conn->kept + conn->kept_bytes, data, added);
    conn->kept_bytes += (uint32_t)added;
    if (!show(conn, conn->kept, conn->kept_bytes, &used)) return bytes;
    conn->kept_bytes -= (uint32_t)used;
    if (conn->kept_bytes > 0) {
        memmove(conn->kept, conn->kept + used, conn->kept_bytes);
    } else {
        net_arena_give(&loop->kept, conn->kept);
        conn->kept = NULL;
    }
    return added;
}

/* Straight from the buffer of the receive while nothing is kept; only a rest is copied. */
void net_received(struct owm_net_conn *conn, uint8_t *data, size_t bytes)
{
    size_t limit = conn->loop->net->receive_bytes;
    net_count(&conn->loop->stats.received_bytes, bytes);
    while (bytes > 0 && conn->state == NET_OPEN) {
        size_t used;
        if (conn->kept) {
            used = show_kept(conn, data, bytes);
        } else {
            size_t shown = bytes < limit ? bytes : limit;
            if (!show(conn, data, shown, &used)) return;
            if (shown == bytes && used < shown) {
                keep(conn, data + used, shown - used);
                return;
            }
        }
        data += used;
        bytes -= used;
    }
}

/* ---- the turn ---- */

static void stop_listening(struct owm_net_loop *loop)
{
    if (loop->listener < 0) return;
    loop->transport->send(loop); /* No accept is left that would find another file there. */
    (void)shutdown(loop->listener, SHUT_RDWR); /* A pending accept of io_uring ends by this. */
    (void)close(loop->listener);
    loop->listener = -1;
    loop->accept_retry_ms = 0;
}

/* What is to be done whether or not anything was received. Returns when the handler wants the next
 * turn at the latest. */
static int64_t end_turn(struct owm_net_loop *loop)
{
    int64_t now_ms = (int64_t)owm_clock_mono_ms();
    if (atomic_load(&loop->stop_accepting)) stop_listening(loop);
    if (loop->accept_retry_ms && loop->accept_retry_ms <= now_ms) {
        loop->accept_retry_ms = 0;
        loop->transport->listen(loop);
    }
    if (atomic_load(&loop->wake) && atomic_exchange(&loop->wake, false))
        loop->handler->wake(loop->ctx);
    int64_t next_ms = loop->handler->turn_end(loop->ctx, now_ms);
    finish_closings(loop);
    expire_flushes(loop, now_ms);
    net_count(&loop->stats.turns, 1);
    return next_ms;
}

static int wait_ms(const struct owm_net_loop *loop, int64_t next_ms)
{
    if (loop->closing_first) return 0;
    if (loop->accept_retry_ms && loop->accept_retry_ms < next_ms) next_ms = loop->accept_retry_ms;
    if (loop->flush_first && loop->flush_first->flush_until_ms < next_ms)
        next_ms = loop->flush_first->flush_until_ms;
    if (next_ms == INT64_MAX) return -1;
    int64_t left_ms = next_ms - (int64_t)owm_clock_mono_ms();
    return left_ms <= 0 ? 0 : left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static void serve(struct owm_net_loop *loop)
{
    loop->transport->listen(loop);
    while (!atomic_load(&loop->stop)) {
        int64_t next_ms = end_turn(loop);
        loop->transport->poll(loop, wait_ms(loop, next_ms));
    }
}

static void close_all(struct owm_net_loop *loop)
{
    stop_listening(loop);
    size_t slots = atomic_load(&loop->conns.touched);
    for (size_t i = 0; i < slots; i++) {
        struct owm_net_conn *conn = net_at(loop, (uint32_t)i);
        if (net_in_use(conn)) owm_net_close_conn(conn, "shutting down", false);
    }
    finish_closings(loop);
    while (loop->flush_first) detach(loop->flush_first);
    uint64_t deadline_ms = owm_clock_mono_ms() + SHUTDOWN_MS;
    while (loop->connections > 0 && owm_clock_mono_ms() < deadline_ms)
        loop->transport->poll(loop, SHUTDOWN_POLL_MS);
    if (loop->connections > 0)
        owm_log(OWM_LOG_ERROR, "net_close loop=%u connections_left=%zu", loop->index,
                loop->connections);
}

static void pin(const struct owm_net_loop *loop)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (loop->core < 0) return;
    CPU_SET((unsigned)loop->core, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        owm_log(OWM_LOG_WARN, "net_not_pinned loop=%u core=%d", loop->index, loop->core);
}

/* The ring and the memory are made on the thread that uses them: io_uring wants one issuer, and
 * memory is near the core that touches it first. */
void *net_loop_main(void *arg)
{
    struct owm_net_loop *loop = arg;
    char name[16];
    (void)snprintf(name, sizeof name, "net-%u", loop->index);
    (void)pthread_setname_np(pthread_self(), name);
    pin(loop);
    owm_status status = loop->transport->open(loop, &loop->start_error);
    bool opened = status == OWM_OK;
    if (opened) status = loop->handler->start(loop->ctx, loop, &loop->start_error);
    bool started = status == OWM_OK;
    loop->start_status = status;
    (void)sem_post(&loop->started);
    if (started) {
        while (sem_wait(&loop->go) != 0) {
        }
        serve(loop);
        close_all(loop);
        loop->handler->stop(loop->ctx);
    }
    if (opened) loop->transport->close(loop);
    return NULL;
}
