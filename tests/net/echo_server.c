/* echo_server.c: the handler of the test server, and its clients. */
#include "echo_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "test.h"

enum owm_net_transport echo_transport;

void echo_main_transport(int argc, char **argv)
{
    echo_transport = argc > 1 && strcmp(argv[1], "epoll") == 0 ? OWM_NET_EPOLL : OWM_NET_URING;
    struct echo_server server;
    struct owm_error error;
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    owm_status status = owm_net_open(&options, &server.net, &error);
    if (status == OWM_E_UNSUPPORTED || status == OWM_E_PERM) {
        printf("skipped: %s\n", error.text);
        exit(TEST_SKIP);
    }
    if (status == OWM_OK) echo_close(&server);
}

bool echo_files(rlim_t files)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= files) return true;
    limit.rlim_cur = files;
    return limit.rlim_max >= files && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* ---- the handler ---- */

static owm_status on_start(void *ctx, struct owm_net_loop *net_loop, struct owm_error *error)
{
    struct echo_loop *loop = ctx;
    struct echo_server *server = loop->server;
    if (server->fail_start_of == loop - server->loop)
        return owm_fail(error, OWM_E_CONFIG, "this loop was told to fail");
    loop->net_loop = net_loop;
    loop->started = true;
    return OWM_OK;
}

static void on_stop(void *ctx)
{
    struct echo_loop *loop = ctx;
    loop->stopped = true;
}

static void *on_accept(void *ctx, struct owm_net_conn *conn, const struct owm_net_peer *peer)
{
    static const uint8_t local[16] = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1};
    struct echo_loop *loop = ctx;
    struct echo_conn *one = loop->free;
    assert_memory_equal(peer->address, local, sizeof local);
    assert_int_not_equal(peer->port, 0);
    if (loop->server->refuse) return NULL;
    assert_non_null(one);
    loop->free = one->next;
    one->conn = conn;
    one->closing = false;
    one->late_bytes = 0;
    atomic_fetch_add(&loop->server->accepted, 1);
    return one;
}

static bool answer(struct echo_conn *one, const uint8_t *data, size_t bytes)
{
    uint8_t *room = owm_net_reserve(one->conn, bytes);
    if (!room) {
        one->closing = true;
        owm_net_close_conn(one->conn, "slow reader", false);
        return false;
    }
    memcpy(room, data, bytes);
    owm_net_commit(one->conn, bytes);
    return true;
}

static void answer_zeros(struct echo_conn *one, size_t bytes)
{
    static const uint8_t zeros[OWM_NET_PIECE_BYTES];
    for (size_t part; bytes > 0; bytes -= part) {
        part = bytes < sizeof zeros ? bytes : sizeof zeros;
        if (!answer(one, zeros, part)) return;
    }
}

static void answer_largest(struct echo_conn *one)
{
    uint8_t *room = owm_net_reserve(one->conn, OWM_NET_RESERVE_BYTES_MAX);
    assert_non_null(room);
    memset(room, 'l', OWM_NET_RESERVE_BYTES_MAX);
    owm_net_commit(one->conn, 0); /* Taken back, and then done. */
    room = owm_net_reserve(one->conn, OWM_NET_RESERVE_BYTES_MAX);
    assert_non_null(room);
    memset(room, 'l', OWM_NET_RESERVE_BYTES_MAX);
    owm_net_commit(one->conn, OWM_NET_RESERVE_BYTES_MAX);
}

static void on_frame(struct echo_loop *loop, struct echo_conn *one, uint8_t *frame, size_t bytes)
{
    one->closing = strchr("XFB", frame[2]) != NULL;
    switch (frame[2]) {
    case 'X':
        owm_net_close_conn(one->conn, "told to close", false);
        break;
    case 'P':
        (void)answer_zeros(one, ECHO_PUSH_BYTES);
        break;
    case 'L':
        answer_largest(one);
        break;
    case 'F':
        if (answer(one, frame, bytes)) owm_net_close_conn(one->conn, "told to end", true);
        break;
    case 'B':
        answer_zeros(one, ECHO_BIG_BYTES);
        owm_net_close_conn(one->conn, "told to end", true);
        break;
    default:
        if (loop->server->late && !loop->late_one) {
            loop->late_one = one;
            one->late_bytes = (uint16_t)bytes;
            memcpy(one->late, frame, bytes);
        } else {
            (void)answer(one, frame, bytes);
        }
    }
    memset(frame, 0xee, bytes); /* What is used up is ours to overwrite. */
}

static size_t on_receive(void *ctx, void *conn_ctx, uint8_t *data, size_t bytes)
{
    struct echo_conn *one = conn_ctx;
    size_t used = 0;
    assert_true(one->conn && !one->closing);
    while (!one->closing && bytes - used >= 3) {
        size_t frame = 2 + (size_t)data[used] + ((size_t)data[used + 1] << 8);
        if (bytes - used < frame) break;
        on_frame(ctx, one, data + used, frame);
        used += frame;
    }
    return used;
}

static int64_t on_turn_end(void *ctx, int64_t now_ms)
{
    struct echo_loop *loop = ctx;
    struct echo_conn *one = loop->late_one;
    loop->late_one = NULL;
    if (one) (void)answer(one, one->late, one->late_bytes);
    atomic_fetch_add(&loop->server->ticks, 1);
    return loop->server->tick_ms ? now_ms + loop->server->tick_ms : INT64_MAX;
}

static void send_news(struct echo_loop *loop)
{
    for (size_t i = 0; i < ECHO_CONNS_MAX; i++) {
        struct owm_net_conn *conn = loop->conns[i].conn;
        if (!conn) continue;
        uint8_t *room = owm_net_reserve(conn, ECHO_NEWS_BYTES);
        if (!room) {
            atomic_fetch_add(&loop->server->news_failed, 1);
            continue;
        }
        memset(room, 'n', ECHO_NEWS_BYTES);
        owm_net_commit(conn, ECHO_NEWS_BYTES);
    }
}

static void on_wake(void *ctx)
{
    struct echo_loop *loop = ctx;
    atomic_fetch_add(&loop->server->wakes, 1);
    atomic_store(&loop->server->seen, atomic_load(&loop->server->asked));
    if (loop->server->news) send_news(loop);
}

static void on_closed(void *ctx, void *conn_ctx, const char *reason)
{
    struct echo_loop *loop = ctx;
    struct echo_server *server = loop->server;
    struct echo_conn *one = conn_ctx;
    one->conn = NULL;
    one->next = loop->free;
    loop->free = one;
    pthread_mutex_lock(&server->lock);
    if (server->reason_count < ECHO_REASONS_MAX)
        (void)snprintf(server->reasons[server->reason_count++], OWM_NET_REASON_BYTES, "%s", reason);
    pthread_mutex_unlock(&server->lock);
    atomic_fetch_add(&server->closed, 1);
}

static const struct owm_net_handler handler = {
    .start = on_start,
    .stop = on_stop,
    .accept = on_accept,
    .receive = on_receive,
    .turn_end = on_turn_end,
    .wake = on_wake,
    .closed = on_closed,
};

/* ---- the server ---- */

void echo_init(struct echo_server *server)
{
    memset(server, 0, sizeof *server);
    server->fail_start_of = -1;
    pthread_mutex_init(&server->lock, NULL);
}

struct owm_net_options echo_options(struct echo_server *server, unsigned loops)
{
    server->loops = loops;
    for (unsigned i = 0; i < loops; i++) {
        struct echo_loop *loop = &server->loop[i];
        loop->server = server;
        loop->conns = calloc(ECHO_CONNS_MAX, sizeof *loop->conns);
        assert_non_null(loop->conns);
        for (size_t c = 0; c + 1 < ECHO_CONNS_MAX; c++) loop->conns[c].next = &loop->conns[c + 1];
        loop->free = loop->conns;
        server->ctx[i] = loop;
    }
    return (struct owm_net_options){
        .bind = "127.0.0.1",
        .port_key = "test.listen",
        .loops = loops,
        .transport = echo_transport,
        .connections_max = 300,
        .handler = &handler,
        .ctx = server->ctx,
    };
}

void echo_open(struct echo_server *server, const struct owm_net_options *options)
{
    struct owm_error error = {0};
    owm_status status = owm_net_open(options, &server->net, &error);
    if (status != OWM_OK) fail_msg("%s", error.text);
}

void echo_close(struct echo_server *server)
{
    owm_net_close(server->net);
    assert_int_equal(atomic_load(&server->accepted), atomic_load(&server->closed));
    for (unsigned i = 0; i < server->loops; i++) {
        assert_int_equal(server->loop[i].started, server->loop[i].stopped);
        free(server->loop[i].conns);
    }
    pthread_mutex_destroy(&server->lock);
}

unsigned echo_reasons(struct echo_server *server, const char *reason)
{
    unsigned count = 0;
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->reason_count; i++)
        count += strcmp(server->reasons[i], reason) == 0;
    pthread_mutex_unlock(&server->lock);
    return count;
}

struct owm_net_stats echo_stats(const struct echo_server *server)
{
    struct owm_net_stats sum = {0}, one;
    for (unsigned i = 0; i < server->loops; i++) {
        owm_net_loop_stats(server->net, i, &one);
        sum.accepted += one.accepted;
        sum.refused += one.refused;
        sum.closed += one.closed;
        sum.received_bytes += one.received_bytes;
        sum.sent_bytes += one.sent_bytes;
        sum.turns += one.turns;
        sum.syscalls += one.syscalls;
        sum.connections += one.connections;
        sum.connections_peak += one.connections_peak;
        sum.memory_bytes += one.memory_bytes;
        sum.memory_touched_bytes += one.memory_touched_bytes;
    }
    return sum;
}

/* ---- clients ---- */

int client_prepare(void)
{
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    return fd;
}

void client_connect(int fd, const struct echo_server *server)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(owm_net_port(server->net)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
}

int client_open(const struct echo_server *server)
{
    int fd = client_prepare();
    client_connect(fd, server);
    return fd;
}

void client_send(int fd, const void *data, size_t bytes)
{
    assert_int_equal(send(fd, data, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
}

bool client_read(int fd, void *data, size_t bytes)
{
    for (size_t got = 0; got < bytes;) {
        ssize_t part = recv(fd, (uint8_t *)data + got, bytes - got, 0);
        if (part <= 0) return false;
        got += (size_t)part;
    }
    return true;
}

bool client_ended(int fd)
{
    uint8_t dropped[65536];
    ssize_t got;
    while ((got = recv(fd, dropped, sizeof dropped, 0)) > 0) {
    }
    return got == 0 || errno == ECONNRESET || errno == EPIPE;
}

size_t client_frame(uint8_t *frame, char command, size_t bytes, uint64_t seed)
{
    frame[0] = (uint8_t)bytes;
    frame[1] = (uint8_t)(bytes >> 8);
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        frame[2 + i] = (uint8_t)(seed >> 33);
    }
    frame[2] = (uint8_t)command;
    return 2 + bytes;
}

bool client_try_echo(int fd, size_t bytes)
{
    uint8_t sent[2 + ECHO_FRAME_MAX], got[2 + ECHO_FRAME_MAX];
    assert_true(bytes > 0 && bytes <= ECHO_FRAME_MAX);
    size_t all = client_frame(sent, 'e', bytes, (uint64_t)fd);
    if (send(fd, sent, all, MSG_NOSIGNAL) != (ssize_t)all) return false;
    return client_read(fd, got, all) && memcmp(sent, got, all) == 0;
}

bool client_echo(int fd, size_t bytes)
{
    bool same = client_try_echo(fd, bytes);
    assert_true(same);
    return same;
}
