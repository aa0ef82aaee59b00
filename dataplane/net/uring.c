/* uring.c: the transport on io_uring, and the only file that sees liburing.
 *
 * 1. A connection has one multishot receive and at most one send in the kernel. Its slot is free
 *    only when both have ended, so the kernel never reads or writes memory that someone else has.
 * 2. The kernel takes a receive buffer from the ring when data comes, we give it back after the
 *    handler saw it: idle connections hold none. With none left a receive ends and is made again.
 * 3. A send that completes frees its pages at once, wherever we are; all else that completes waits
 *    in `todo` for the turn. So a handler that sends to 50,000 connections needs little memory and
 *    is never called from within itself.
 */
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net_internal.h"

#define SQ_ENTRIES   4096
#define CQ_ENTRIES   16384 /* The kernel keeps what does not fit, so this is for speed alone. */
#define TODO_MAX     CQ_ENTRIES
#define PORTION      16   /* Linux 6.13 and newer give some 20 completions at a time: ask again, */
#define TURN_MAX     1024 /* up to so many: a handler's batch is the better the larger it is. */
#define BUFFERS_MIN  16   /* Powers of two: as many as connections between these two. */
#define BUFFERS_MAX  2048 /* What a turn takes in one piece when all send at once. */
#define BUFFER_BYTES 2048
#define BUFFER_GROUP 0

static_assert((TODO_MAX & (TODO_MAX - 1)) == 0, "todo is indexed by a mask");
static_assert(OWM_NET_CONNECTIONS_MAX < 1 << 24, "an index has 24 bits of user data");

enum operation { OP_ACCEPT, OP_WAKE, OP_RECEIVE, OP_SEND };

struct done {
    uint64_t data;
    int32_t result;
    uint32_t flags;
};

struct uring_state {
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    unsigned buffer_count;
    unsigned todo_head, todo_tail; /* Free-running. */
    struct done todo[TODO_MAX];
};

/* User data: what was asked for (8 bits), the generation of the slot (32), its index (24). */
static uint64_t tag(enum operation operation, const struct owm_net_conn *conn)
{
    return (uint64_t)operation << 56 | (uint64_t)conn->generation << 24 | net_index(conn);
}

static enum operation operation_of(uint64_t data)
{
    return (enum operation)(data >> 56);
}

static struct owm_net_conn *conn_of(struct owm_net_loop *loop, uint64_t data)
{
    struct owm_net_conn *conn = net_at(loop, (uint32_t)data & 0xffffff);
    return net_in_use(conn) && conn->generation == (uint32_t)(data >> 24) ? conn : NULL;
}

static void submit(struct owm_net_loop *loop)
{
    struct uring_state *state = loop->transport_state;
    (void)io_uring_submit(&state->ring); /* What is left over goes with the next submission. */
    net_count(&loop->stats.syscalls, 1);
}

static struct io_uring_sqe *new_sqe(struct owm_net_loop *loop, uint64_t data)
{
    struct uring_state *state = loop->transport_state;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&state->ring);
    while (!sqe) { /* Out of memory, the kernel takes none for a while: waiting is all there is. */
        submit(loop);
        sqe = io_uring_get_sqe(&state->ring);
    }
    io_uring_sqe_set_data64(sqe, data);
    return sqe;
}

/* ---- the ring and its buffers ---- */

/* The newest first: what completes is run by the loop's own thread, when it asks. */
static const unsigned flag_sets[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
    IORING_SETUP_COOP_TASKRUN,
    0,
};

static int init_ring(struct io_uring *ring, unsigned sq_entries, unsigned cq_entries)
{
    int result = -EINVAL;
    for (size_t i = 0; i < sizeof flag_sets / sizeof *flag_sets && result == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags =
                flag_sets[i] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = cq_entries,
        };
        result = io_uring_queue_init_params(sq_entries, ring, &params);
    }
    if (result == 0) (void)io_uring_register_ring_fd(ring); /* Spares a look-up; not needed. */
    return result;
}

static size_t buffer_ring_bytes(unsigned buffers)
{
    return buffers * sizeof(struct io_uring_buf);
}

static void give_buffer(struct io_uring_buf_ring *ring, uint8_t *buffers, unsigned id,
                        unsigned count)
{
    io_uring_buf_ring_add(ring, buffers + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)id, io_uring_buf_ring_mask(count), 0);
    io_uring_buf_ring_advance(ring, 1);
}

/* memory: of the ring, page-aligned, and behind it of the buffers. */
static int add_buffers(struct io_uring *ring, uint8_t *memory, unsigned count)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)memory,
        .ring_entries = count,
        .bgid = BUFFER_GROUP,
    };
    struct io_uring_buf_ring *buffer_ring = (struct io_uring_buf_ring *)(void *)memory;
    int result = io_uring_register_buf_ring(ring, &registration, 0);
    if (result != 0) return result;
    io_uring_buf_ring_init(buffer_ring);
    for (unsigned id = 0; id < count; id++)
        give_buffer(buffer_ring, memory + buffer_ring_bytes(count), id, count);
    return 0;
}

static size_t buffers_bytes(unsigned count)
{
    return buffer_ring_bytes(count) + (size_t)count * BUFFER_BYTES;
}

static uint8_t *map_buffers(unsigned count)
{
    void *memory = mmap(NULL, buffers_bytes(count), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void prepare_receive(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

/* ---- whether this kernel can do it ---- */

#define CHECK_BUFFERS 2

/* Multishot receive (Linux 6.0) is the newest thing needed and has no bit to ask for: try it. */
static int try_receive(struct io_uring *ring, const int pair[2])
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec second = {.tv_sec = 1};
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    prepare_receive(sqe, pair[0]);
    if (write(pair[1], "x", 1) != 1) return -EIO;
    int result = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &second, NULL);
    if (result < 0) return result;
    result = io_uring_peek_cqe(ring, &cqe);
    if (result < 0) return result;
    bool good = cqe->res == 1 && cqe->flags & IORING_CQE_F_BUFFER && cqe->flags & IORING_CQE_F_MORE;
    io_uring_cqe_seen(ring, cqe);
    return good ? 0 : -EINVAL;
}

static int try_ring(const int pair[2])
{
    struct io_uring ring;
    int result = init_ring(&ring, 4, 8);
    if (result != 0) return result;
    uint8_t *memory = map_buffers(CHECK_BUFFERS);
    result = memory ? add_buffers(&ring, memory, CHECK_BUFFERS) : -ENOMEM;
    if (result == 0) result = try_receive(&ring, pair);
    io_uring_queue_exit(&ring);
    if (memory) (void)munmap(memory, buffers_bytes(CHECK_BUFFERS));
    return result;
}

static void *try_main(void *arg)
{
    int *result = arg;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        *result = -errno;
        return NULL;
    }
    *result = try_ring(pair);
    (void)close(pair[0]);
    (void)close(pair[1]);
    return NULL;
}

/* On a thread that ends with it: the kernel takes a ring apart later and interrupts for that what
 * its maker is doing then, which the caller's own system calls would see as EINTR. */
static int try_apart(void)
{
    pthread_t thread;
    int result = 0;
    int failed = pthread_create(&thread, NULL, try_main, &result);
    if (failed) return -failed;
    (void)pthread_join(thread, NULL);
    return result;
}

static owm_status check(struct owm_error *error)
{
    int result = try_apart();
    switch (result) {
    case 0:
        return OWM_OK;
    case -EMFILE:
    case -ENFILE:
        return owm_fail(error, OWM_E_LIMIT, "no descriptor to try io_uring: %s", strerror(-result));
    case -EPERM:
    case -EACCES:
        return owm_fail(error, OWM_E_PERM,
                        "io_uring is forbidden here: see the sysctl kernel.io_uring_disabled and "
                        "the container's seccomp profile, or use epoll");
    case -ENOMEM:
        return owm_fail(error, OWM_E_NOMEM, "no memory for io_uring");
    default:
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "this kernel's io_uring cannot receive into provided buffers (%s): Linux "
                        "6.0 or newer can; use epoll here",
                        strerror(-result));
    }
}

/* ---- open and close ---- */

static void watch_wake(struct owm_net_loop *loop)
{
    struct io_uring_sqe *sqe = new_sqe(loop, (uint64_t)OP_WAKE << 56);
    io_uring_prep_poll_multishot(sqe, loop->wake_fd, POLLIN);
}

static unsigned buffers_for(uint32_t connections_max)
{
    unsigned count = BUFFERS_MIN;
    while (count < BUFFERS_MAX && count < connections_max) count *= 2;
    return count;
}

static owm_status open_uring(struct owm_net_loop *loop, struct owm_error *error)
{
    struct uring_state *state = calloc(1, sizeof *state);
    unsigned count = buffers_for(loop->net->connections_max);
    uint8_t *memory = map_buffers(count);
    int result = state && memory ? init_ring(&state->ring, SQ_ENTRIES, CQ_ENTRIES) : -ENOMEM;
    if (result != 0) goto failed;
    result = add_buffers(&state->ring, memory, count);
    if (result != 0) {
        io_uring_queue_exit(&state->ring);
        goto failed;
    }
    state->buffer_ring = (struct io_uring_buf_ring *)(void *)memory;
    state->buffers = memory + buffer_ring_bytes(count);
    state->buffer_count = count;
    loop->transport_state = state;
    loop->transport_bytes = sizeof *state + buffers_bytes(count) + state->ring.sq.ring_sz
                            + SQ_ENTRIES * sizeof(struct io_uring_sqe);
    watch_wake(loop);
    return OWM_OK;

failed:
    free(state);
    if (memory) (void)munmap(memory, buffers_bytes(count));
    return owm_fail(error, result == -ENOMEM ? OWM_E_NOMEM : OWM_E_UNSUPPORTED,
                    "no io_uring for a network thread: %s", strerror(-result));
}

static void close_uring(struct owm_net_loop *loop)
{
    struct uring_state *state = loop->transport_state;
    io_uring_queue_exit(&state->ring);
    (void)munmap(state->buffer_ring, buffers_bytes(state->buffer_count));
    free(state);
}

/* ---- connections ---- */

static void listen_again(struct owm_net_loop *loop)
{
    if (loop->listener < 0) return;
    struct io_uring_sqe *sqe = new_sqe(loop, (uint64_t)OP_ACCEPT << 56);
    io_uring_prep_multishot_accept(sqe, loop->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void start_receive(struct owm_net_conn *conn)
{
    prepare_receive(new_sqe(conn->loop, tag(OP_RECEIVE, conn)), conn->fd);
    conn->receiving = true;
}

static bool attach(struct owm_net_conn *conn)
{
    start_receive(conn);
    return true;
}

/* Frees the slot when the kernel has no more of it. */
static void release(struct owm_net_conn *conn)
{
    if (conn->receiving || conn->sending) return;
    (void)close(conn->fd);
    net_count(&conn->loop->stats.syscalls, 1);
    net_free(conn);
}

static void detach(struct owm_net_conn *conn)
{
    if (conn->receiving || conn->sending) {
        (void)shutdown(conn->fd, SHUT_RDWR); /* Both end by this. */
        net_count(&conn->loop->stats.syscalls, 1);
    }
    release(conn);
}

static void start_send(struct owm_net_conn *conn)
{
    struct net_page *page = conn->first;
    struct io_uring_sqe *sqe = new_sqe(conn->loop, tag(OP_SEND, conn));
    io_uring_prep_send(sqe, conn->fd, page->data + page->start, page->end - page->start,
                       MSG_NOSIGNAL);
    conn->sending = true;
}

static void finish_send(struct owm_net_loop *loop, uint64_t data, int32_t result)
{
    struct owm_net_conn *conn = conn_of(loop, data);
    if (!conn) return;
    conn->sending = false;
    if (result > 0) net_sent(conn, (size_t)result);
    if (conn->state == NET_DETACHED)
        release(conn);
    else if (result <= 0 && result != -EINTR)
        net_ended(conn, result < 0 ? -result : EPIPE);
    else if (conn->waiting > 0)
        start_send(conn);
    else
        net_flushed(conn);
}

static void finish_receive(struct owm_net_loop *loop, const struct done *done)
{
    struct uring_state *state = loop->transport_state;
    struct owm_net_conn *conn = conn_of(loop, done->data);
    bool has_buffer = done->flags & IORING_CQE_F_BUFFER;
    unsigned id = done->flags >> IORING_CQE_BUFFER_SHIFT;
    if (conn && has_buffer && done->result > 0)
        net_received(conn, state->buffers + (size_t)id * BUFFER_BYTES, (size_t)done->result);
    if (has_buffer) give_buffer(state->buffer_ring, state->buffers, id, state->buffer_count);
    if (!conn || done->flags & IORING_CQE_F_MORE) return;
    conn->receiving = false;
    if (conn->state == NET_DETACHED)
        release(conn);
    else if (done->result > 0 || done->result == -ENOBUFS || done->result == -EINTR)
        start_receive(conn);
    else
        net_ended(conn, -done->result);
}

static void finish_accept(struct owm_net_loop *loop, const struct done *done)
{
    if (done->result >= 0) net_accepted(loop, done->result);
    if (done->flags & IORING_CQE_F_MORE) return;
    if (done->result >= 0)
        listen_again(loop);
    else
        net_accept_failed(loop, -done->result);
}

static void finish_wake(struct owm_net_loop *loop, const struct done *done)
{
    uint64_t value;
    ssize_t got = read(loop->wake_fd, &value, sizeof value);
    (void)got; /* Only to reset it. */
    net_count(&loop->stats.syscalls, 1);
    atomic_store(&loop->wake_signalled, false); /* Whoever is later writes again. */
    if (!(done->flags & IORING_CQE_F_MORE)) watch_wake(loop);
}

/* ---- the turn ---- */

static unsigned reap(struct owm_net_loop *loop)
{
    struct uring_state *state = loop->transport_state;
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&state->ring, head, cqe)
    {
        if (operation_of(cqe->user_data) == OP_SEND) {
            finish_send(loop, cqe->user_data, cqe->res);
        } else {
            if (state->todo_tail - state->todo_head == TODO_MAX) break;
            state->todo[state->todo_tail++ & (TODO_MAX - 1)] =
                (struct done){cqe->user_data, cqe->res, cqe->flags};
        }
        count++;
    }
    io_uring_cq_advance(&state->ring, count);
    return count;
}

static void prepare_sends(struct owm_net_loop *loop)
{
    size_t count = loop->dirty_count;
    for (size_t i = 0; i < count; i++) {
        struct owm_net_conn *conn = loop->dirty[i];
        if (!conn) continue;
        conn->dirty = 0;
        if (!conn->sending && conn->waiting > 0 && conn->state != NET_DETACHED) start_send(conn);
    }
    loop->dirty_count = 0;
}

static void send_dirty(struct owm_net_loop *loop)
{
    prepare_sends(loop);
    submit(loop);
    (void)reap(loop);
}

static void finish(struct owm_net_loop *loop, const struct done *done)
{
    switch (operation_of(done->data)) {
    case OP_ACCEPT:
        finish_accept(loop, done);
        break;
    case OP_WAKE:
        finish_wake(loop, done);
        break;
    case OP_RECEIVE:
        finish_receive(loop, done);
        break;
    case OP_SEND:
        break; /* Never comes here. */
    }
}

static void wait_for_some(struct owm_net_loop *loop, int timeout_ms)
{
    struct uring_state *state = loop->transport_state;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = timeout_ms / 1000,
                                        .tv_nsec = timeout_ms % 1000 * 1000000ll};
    /* An interrupted or timed out wait needs no more than a look at what is there. */
    if (timeout_ms == 0)
        (void)io_uring_submit_and_get_events(&state->ring);
    else
        (void)io_uring_submit_and_wait_timeout(&state->ring, &cqe, 1,
                                               timeout_ms < 0 ? NULL : &timeout, NULL);
    net_count(&loop->stats.syscalls, 1);
}

static void wait_and_handle(struct owm_net_loop *loop, int timeout_ms)
{
    struct uring_state *state = loop->transport_state;
    prepare_sends(loop);
    wait_for_some(loop, state->todo_head == state->todo_tail ? timeout_ms : 0);
    for (unsigned more = reap(loop), got = more; more >= PORTION && got < TURN_MAX; got += more) {
        (void)io_uring_get_events(&state->ring);
        net_count(&loop->stats.syscalls, 1);
        more = reap(loop);
    }
    unsigned end = state->todo_tail;
    while (state->todo_head != end) {
        struct done done = state->todo[state->todo_head++ & (TODO_MAX - 1)];
        finish(loop, &done);
    }
}

const struct net_transport net_uring = {
    .name = "io_uring",
    .check = check,
    .open = open_uring,
    .close = close_uring,
    .listen = listen_again,
    .attach = attach,
    .detach = detach,
    .send = send_dirty,
    .poll = wait_and_handle,
};
