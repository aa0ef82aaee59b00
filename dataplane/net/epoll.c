/* epoll.c: the transport for kernels where io_uring is off. Level-triggered: what one turn does not
 * take, the next one is told of again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net_internal.h"

#define EVENTS_MAX    1024 /* Of one turn. */
#define ACCEPTS_MAX   256
#define RECEIVE_BYTES (64u << 10) /* One receive; one buffer serves all connections. */
#define PAGES_MAX     16          /* Of one send. */

/* What an event is about: the listener, the wake descriptor, or a connection's use of a slot. */
#define KEY_LISTENER UINT64_MAX
#define KEY_WAKE     (UINT64_MAX - 1)

struct epoll_state {
    int fd;
    struct epoll_event events[EVENTS_MAX];
    uint8_t buffer[RECEIVE_BYTES];
};

static uint64_t key_of(const struct owm_net_conn *conn)
{
    return (uint64_t)conn->generation << 32 | net_index(conn);
}

static struct owm_net_conn *conn_of(struct owm_net_loop *loop, uint64_t key)
{
    struct owm_net_conn *conn = net_at(loop, (uint32_t)key);
    return net_in_use(conn) && conn->generation == (uint32_t)(key >> 32) ? conn : NULL;
}

static bool control(struct owm_net_loop *loop, int operation, int fd, struct epoll_event event)
{
    struct epoll_state *state = loop->transport_state;
    net_count(&loop->stats.syscalls, 1);
    return epoll_ctl(state->fd, operation, fd, &event) == 0;
}

static owm_status check(struct owm_error *error)
{
    (void)error; /* Every Linux has epoll. */
    return OWM_OK;
}

static owm_status open_epoll(struct owm_net_loop *loop, struct owm_error *error)
{
    struct epoll_state *state = calloc(1, sizeof *state);
    if (!state) return owm_fail(error, OWM_E_NOMEM, "no memory for a network thread");
    loop->transport_state = state;
    loop->transport_bytes = sizeof *state;
    state->fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = KEY_WAKE};
    if (state->fd >= 0 && control(loop, EPOLL_CTL_ADD, loop->wake_fd, wake)) return OWM_OK;
    owm_status status =
        owm_fail(error, OWM_E_LIMIT, "no epoll for a network thread: %s", strerror(errno));
    if (state->fd >= 0) (void)close(state->fd);
    free(state);
    return status;
}

static void close_epoll(struct owm_net_loop *loop)
{
    struct epoll_state *state = loop->transport_state;
    (void)close(state->fd);
    free(state);
}

static bool watch(struct owm_net_conn *conn, int operation)
{
    uint32_t events =
        (conn->ended ? 0u : (uint32_t)EPOLLIN) | (conn->sending ? (uint32_t)EPOLLOUT : 0u);
    struct epoll_event event = {.events = events, .data.u64 = key_of(conn)};
    return control(conn->loop, operation, conn->fd, event);
}

static void listen_again(struct owm_net_loop *loop)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = KEY_LISTENER};
    if (loop->listener >= 0) (void)control(loop, EPOLL_CTL_ADD, loop->listener, event);
}

static bool attach(struct owm_net_conn *conn)
{
    return watch(conn, EPOLL_CTL_ADD);
}

static void detach(struct owm_net_conn *conn)
{
    (void)close(conn->fd); /* This removes it from epoll. */
    net_count(&conn->loop->stats.syscalls, 1);
    net_free(conn);
}

static void accept_some(struct owm_net_loop *loop)
{
    for (int i = 0; i < ACCEPTS_MAX && loop->listener >= 0; i++) {
        int fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int code = errno;
        net_count(&loop->stats.syscalls, 1);
        if (fd >= 0) {
            net_accepted(loop, fd);
        } else {
            if (code == EAGAIN) return;
            /* Level-triggered, it would come back at once: out until `listen` is called. */
            (void)control(loop, EPOLL_CTL_DEL, loop->listener, (struct epoll_event){0});
            net_accept_failed(loop, code);
            return;
        }
    }
}

static void receive(struct owm_net_conn *conn)
{
    struct owm_net_loop *loop = conn->loop;
    struct epoll_state *state = loop->transport_state;
    ssize_t got = recv(conn->fd, state->buffer, sizeof state->buffer, 0);
    int code = errno;
    net_count(&loop->stats.syscalls, 1);
    if (got > 0) {
        net_received(conn, state->buffer, (size_t)got);
    } else if (got == 0 || (code != EAGAIN && code != EINTR)) {
        conn->ended = true;
        (void)watch(conn, EPOLL_CTL_MOD); /* Else every turn would tell of it again. */
        net_ended(conn, got == 0 ? 0 : code);
    }
}

static int gather(const struct owm_net_conn *conn, struct iovec *parts)
{
    int count = 0;
    for (struct net_page *page = conn->first; page && count < PAGES_MAX; page = page->next)
        if (page->end > page->start)
            parts[count++] = (struct iovec){page->data + page->start, page->end - page->start};
    return count;
}

/* Until all is sent or the socket is full; then epoll tells when there is room. */
static void send_waiting(struct owm_net_conn *conn)
{
    int failed = 0;
    while (conn->waiting > 0 && !failed) {
        struct iovec parts[PAGES_MAX];
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)gather(conn, parts)};
        ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        failed = sent < 0 ? errno : 0;
        net_count(&conn->loop->stats.syscalls, 1);
        if (sent > 0) net_sent(conn, (size_t)sent);
        if (failed == EINTR) failed = 0;
    }
    bool full = failed == EAGAIN;
    if (full != conn->sending) {
        conn->sending = full;
        (void)watch(conn, EPOLL_CTL_MOD);
    }
    if (failed && !full)
        net_ended(conn, failed);
    else if (conn->waiting == 0)
        net_flushed(conn);
}

static void send_dirty(struct owm_net_loop *loop)
{
    for (size_t i = 0; i < loop->dirty_count; i++) {
        struct owm_net_conn *conn = loop->dirty[i];
        if (!conn) continue;
        conn->dirty = 0;
        if (!conn->sending) send_waiting(conn);
    }
    loop->dirty_count = 0;
}

static void handle(struct owm_net_loop *loop, uint64_t key, uint32_t events)
{
    struct owm_net_conn *conn = conn_of(loop, key);
    if (!conn) return;
    if (events & (EPOLLERR | EPOLLHUP) && conn->ended) {
        net_ended(conn, ECONNRESET);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT && !conn->ended) receive(conn);
    conn = conn_of(loop, key);
    if (conn && events & EPOLLOUT && conn->sending) send_waiting(conn);
}

static void wait_and_handle(struct owm_net_loop *loop, int timeout_ms)
{
    struct epoll_state *state = loop->transport_state;
    send_dirty(loop);
    if (loop->closing_first) timeout_ms = 0; /* A send has failed. */
    int count = epoll_wait(state->fd, state->events, EVENTS_MAX, timeout_ms);
    net_count(&loop->stats.syscalls, 1);
    for (int i = 0; i < count; i++) {
        uint64_t key = state->events[i].data.u64;
        uint64_t value;
        if (key == KEY_LISTENER) {
            accept_some(loop);
        } else if (key == KEY_WAKE) {
            ssize_t got = read(loop->wake_fd, &value, sizeof value);
            (void)got;                                  /* Only to reset it. */
            atomic_store(&loop->wake_signalled, false); /* Whoever is later writes again. */
        } else {
            handle(loop, key, state->events[i].events);
        }
    }
}

const struct net_transport net_epoll = {
    .name = "epoll",
    .check = check,
    .open = open_epoll,
    .close = close_epoll,
    .listen = listen_again,
    .attach = attach,
    .detach = detach,
    .send = send_dirty,
    .poll = wait_and_handle,
};
