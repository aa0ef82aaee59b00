/* test_net.c: what a loop does with connections, on the transport that is named as argument. */
#include <arpa/inet.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "echo_server.h"
#include "test.h"

#define CLIENTS     200
#define ROUNDS      5
#define WAKERS      4
#define WAKES       1000
#define NEWS_CONNS  1200
#define BULK_CONNS  16
#define BULK_FRAMES 100
#define RANDOM_MAX  700 /* Fragments. */

static struct echo_server server;

static uint64_t random_below(uint64_t limit)
{
    static uint64_t state = 20261129;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % limit;
}

static void open_plain(unsigned loops)
{
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, loops);
    echo_open(&server, &options);
}

/* ---- bytes ---- */

struct client {
    int fd;
    size_t bytes, sent;
    uint8_t frame[2 + ECHO_FRAME_MAX];
};

/* Sends all frames in random pieces, taking turns, so that each arrives in parts. */
static void send_in_pieces(struct client *clients, size_t count)
{
    for (size_t open = count; open > 0;) {
        open = 0;
        for (size_t i = 0; i < count; i++) {
            struct client *client = &clients[i];
            size_t left = client->bytes - client->sent;
            size_t part = 1 + random_below(RANDOM_MAX);
            if (part > left) part = left;
            if (part > 0) client_send(client->fd, client->frame + client->sent, part);
            client->sent += part;
            open += client->sent < client->bytes;
        }
    }
}

static void echo_random_sizes(bool late)
{
    static struct client clients[CLIENTS];
    uint8_t got[2 + ECHO_FRAME_MAX];
    assert_true(echo_files(1000));
    echo_init(&server);
    server.late = late;
    struct owm_net_options options = echo_options(&server, 2);
    echo_open(&server, &options);
    for (size_t i = 0; i < CLIENTS; i++) clients[i].fd = client_open(&server);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            struct client *client = &clients[i];
            size_t bytes = 1 + random_below(ECHO_FRAME_MAX);
            client->sent = 0;
            client->bytes = client_frame(client->frame, 'e', bytes, i);
        }
        send_in_pieces(clients, CLIENTS);
        for (size_t i = 0; i < CLIENTS; i++) {
            assert_true(client_read(clients[i].fd, got, clients[i].bytes));
            assert_memory_equal(got, clients[i].frame, clients[i].bytes);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) (void)close(clients[i].fd);
    assert_true(echo_until(atomic_load(&server.closed) == CLIENTS));
    struct owm_net_stats stats = echo_stats(&server);
    assert_int_equal(stats.accepted, CLIENTS);
    assert_int_equal(stats.sent_bytes, stats.received_bytes);
    assert_true(echo_until(echo_stats(&server).connections == 0));
    echo_close(&server);
}

static void test_echo(void **state)
{
    (void)state;
    echo_random_sizes(false);
}

static void test_echo_from_turn_end(void **state)
{
    (void)state;
    echo_random_sizes(true);
}

static void test_bytewise(void **state)
{
    (void)state;
    uint8_t frame[2 + 300], got[sizeof frame];
    open_plain(1);
    int fd = client_open(&server);
    size_t bytes = client_frame(frame, 'e', 300, 1);
    for (size_t i = 0; i < bytes; i++) client_send(fd, frame + i, 1);
    assert_true(client_read(fd, got, bytes));
    assert_memory_equal(got, frame, bytes);
    (void)close(fd);
    echo_close(&server);
}

/* Many whole frames at once, more than all receive buffers hold: io_uring runs out of them. */
static void test_bulk(void **state)
{
    (void)state;
    static uint8_t frames[BULK_FRAMES * (2 + ECHO_FRAME_MAX)];
    static uint8_t got[sizeof frames];
    int fds[BULK_CONNS];
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.connections_max = BULK_CONNS;
    options.send_bytes_max = sizeof frames;
    echo_open(&server, &options);
    size_t bytes = 0;
    for (int i = 0; i < BULK_FRAMES; i++)
        bytes += client_frame(frames + bytes, 'e', 1 + random_below(ECHO_FRAME_MAX), (uint64_t)i);
    for (int i = 0; i < BULK_CONNS; i++) fds[i] = client_open(&server);
    for (int i = 0; i < BULK_CONNS; i++) client_send(fds[i], frames, bytes);
    for (int i = 0; i < BULK_CONNS; i++) {
        assert_true(client_read(fds[i], got, bytes));
        assert_memory_equal(got, frames, bytes);
        (void)close(fds[i]);
    }
    echo_close(&server);
}

static void test_large_pieces(void **state)
{
    (void)state;
    static uint8_t got[OWM_NET_RESERVE_BYTES_MAX];
    uint8_t frame[100];
    open_plain(1);
    int fd = client_open(&server);
    for (int i = 0; i < 10; i++) {
        assert_true(client_echo(fd, 100));
        client_send(fd, frame, client_frame(frame, 'L', 10, 1));
        assert_true(client_read(fd, got, sizeof got));
        assert_int_equal(got[0], 'l');
        assert_int_equal(got[sizeof got - 1], 'l');
    }
    (void)close(fd);
    echo_close(&server);
}

/* "::" serves IPv4 too, whose addresses are told as ::ffff:a.b.c.d: the fixture looks at them. */
static void test_all_addresses(void **state)
{
    (void)state;
    struct owm_error error = {0};
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 2);
    options.bind = "::";
    if (owm_net_open(&options, &server.net, &error) != OWM_OK) {
        echo_close(&server);
        skip(); /* No IPv6 here. */
    }
    int fd = client_open(&server);
    assert_true(client_echo(fd, 100));
    (void)close(fd);
    echo_close(&server);
}

/* ---- closing ---- */

static void test_close_inside_receive(void **state)
{
    (void)state;
    uint8_t frames[200], *at = frames;
    open_plain(1);
    int fd = client_open(&server);
    at += client_frame(at, 'X', 20, 1);
    at += client_frame(at, 'e', 20, 2);
    client_send(fd, frames, (size_t)(at - frames));
    assert_true(client_ended(fd)); /* The fixture asserts that it is given nothing after that. */
    assert_true(echo_until(echo_reasons(&server, "told to close") == 1));
    (void)close(fd);
    echo_close(&server);
}

/* A flushed close delivers all, although input is left unread, which alone would be a reset. */
static void test_flush_close(void **state)
{
    (void)state;
    static uint8_t got[ECHO_BIG_BYTES];
    uint8_t frames[4 * (2 + ECHO_FRAME_MAX)], *at = frames, end;
    open_plain(1);
    int fd = client_open(&server);
    at += client_frame(at, 'B', 10, 1);
    for (int i = 0; i < 3; i++) at += client_frame(at, 'e', ECHO_FRAME_MAX, 2);
    client_send(fd, frames, (size_t)(at - frames));
    assert_true(echo_until(echo_reasons(&server, "told to end") == 1));
    client_send(fd, frames, (size_t)(at - frames));
    assert_true(client_read(fd, got, sizeof got));
    assert_int_equal(recv(fd, &end, 1, 0), 0);
    assert_int_equal(echo_stats(&server).connections, 1); /* It waits for our end. */
    (void)close(fd);
    assert_true(echo_until(echo_stats(&server).connections == 0));
    echo_close(&server);
}

static void test_flush_close_has_a_deadline(void **state)
{
    (void)state;
    uint8_t frame[100];
    open_plain(1);
    int fd = client_open(&server);
    client_send(fd, frame, client_frame(frame, 'F', 10, 1));
    assert_true(echo_until(atomic_load(&server.closed) == 1));
    uint64_t begin_ms = owm_clock_mono_ms();
    assert_true(echo_until(echo_stats(&server).connections == 0)); /* And we never end. */
    uint64_t took_ms = owm_clock_mono_ms() - begin_ms;
    assert_in_range(took_ms, OWM_NET_FLUSH_MS - 200, OWM_NET_FLUSH_MS + 1500);
    (void)close(fd);
    echo_close(&server);
}

/* A peer that ended its side still gets the answers of that turn. */
static void test_half_close(void **state)
{
    (void)state;
    uint8_t frame[100], got[100], end;
    echo_init(&server);
    server.late = true;
    struct owm_net_options options = echo_options(&server, 1);
    echo_open(&server, &options);
    int fd = client_open(&server);
    size_t bytes = client_frame(frame, 'e', 50, 1);
    client_send(fd, frame, bytes);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(client_read(fd, got, bytes));
    assert_memory_equal(got, frame, bytes);
    assert_int_equal(recv(fd, &end, 1, 0), 0);
    assert_true(echo_until(echo_reasons(&server, "closed by peer") == 1));
    assert_true(echo_until(echo_stats(&server).connections == 0));
    (void)close(fd);
    echo_close(&server);
}

static void test_reset(void **state)
{
    (void)state;
    struct linger at_once = {.l_onoff = 1};
    open_plain(1);
    int fd = client_open(&server);
    assert_true(client_echo(fd, 10));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    (void)close(fd);
    assert_true(echo_until(echo_reasons(&server, "reset by peer") == 1));
    assert_true(echo_until(echo_stats(&server).connections == 0));
    echo_close(&server);
}

static void test_handler_refuses(void **state)
{
    (void)state;
    echo_init(&server);
    server.refuse = true;
    struct owm_net_options options = echo_options(&server, 1);
    echo_open(&server, &options);
    int fd = client_open(&server);
    assert_true(client_ended(fd));
    assert_true(echo_until(echo_stats(&server).refused == 1));
    assert_int_equal(echo_stats(&server).accepted, 0);
    (void)close(fd);
    echo_close(&server); /* Which finds that closed() was not called. */
}

/* Connections that come and go while others talk: slots are used again and again. */
static void test_churn(void **state)
{
    (void)state;
    static const char commands[] = "XFBe";
    uint8_t frame[100];
    int fds[50];
    open_plain(2);
    int steady = client_open(&server);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 50; i++) {
            fds[i] = client_open(&server);
            char command = commands[random_below(4)];
            client_send(fds[i], frame, client_frame(frame, command, 20, 1));
        }
        assert_true(client_echo(steady, 1000));
        for (int i = 0; i < 50; i++) (void)close(fds[i]);
    }
    assert_true(echo_until(echo_stats(&server).connections == 1));
    assert_true(client_echo(steady, 1000));
    (void)close(steady);
    echo_close(&server);
}

/* ---- the loop ---- */

static void *wake_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < WAKES; i++) {
        atomic_fetch_add(&server.asked, 1);
        owm_net_wake(server.loop[0].net_loop);
        if (i % 100 == 0) owm_clock_sleep_ms(1);
    }
    return NULL;
}

/* No wake is lost: the last value is always seen; they are merged: fewer calls than wakes. */
static void test_wake(void **state)
{
    (void)state;
    pthread_t wakers[WAKERS];
    open_plain(1);
    for (int i = 0; i < WAKERS; i++)
        assert_int_equal(pthread_create(&wakers[i], NULL, wake_often, NULL), 0);
    for (int i = 0; i < WAKERS; i++) assert_int_equal(pthread_join(wakers[i], NULL), 0);
    assert_true(echo_until(atomic_load(&server.seen) == WAKERS * WAKES));
    assert_in_range(atomic_load(&server.wakes), 1, WAKERS * WAKES);
    for (unsigned i = 0; i < 50; i++) { /* And each alone wakes a sleeping loop. */
        unsigned asked = atomic_fetch_add(&server.asked, 1) + 1;
        owm_net_wake(server.loop[0].net_loop);
        assert_true(echo_until(atomic_load(&server.seen) == asked));
    }
    echo_close(&server);
}

static void test_tick(void **state)
{
    (void)state;
    echo_init(&server);
    server.tick_ms = 20;
    struct owm_net_options options = echo_options(&server, 1);
    echo_open(&server, &options);
    owm_clock_sleep_ms(400);
    assert_in_range(atomic_load(&server.ticks), 5, 30);
    echo_close(&server);
}

/* One wake sends to every connection with memory for a few of them. */
static void test_news_to_all(void **state)
{
    (void)state;
    static int fds[NEWS_CONNS];
    uint8_t got[ECHO_NEWS_BYTES];
    if (!echo_files(2 * NEWS_CONNS + 300)) skip();
    echo_init(&server);
    server.news = true;
    struct owm_net_options options = echo_options(&server, 1);
    options.connections_max = NEWS_CONNS;
    options.shared_send_bytes = 256u << 10;
    echo_open(&server, &options);
    for (int i = 0; i < NEWS_CONNS; i++) fds[i] = client_open(&server);
    assert_true(echo_until(atomic_load(&server.accepted) == NEWS_CONNS));
    for (int round = 0; round < 3; round++) {
        owm_net_wake(server.loop[0].net_loop);
        for (int i = 0; i < NEWS_CONNS; i++) {
            assert_true(client_read(fds[i], got, sizeof got));
            assert_int_equal(got[0], 'n');
        }
    }
    assert_int_equal(atomic_load(&server.news_failed), 0);
    for (int i = 0; i < NEWS_CONNS; i++) (void)close(fds[i]);
    echo_close(&server);
}

static void test_stop_accepting(void **state)
{
    (void)state;
    open_plain(2);
    int old = client_open(&server);
    assert_true(client_echo(old, 100));
    owm_net_stop_accepting(server.net);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(owm_net_port(server.net)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int refused = 0;
    for (int i = 0; i < 200 && !refused; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        refused = connect(fd, (struct sockaddr *)&to, sizeof to) != 0;
        (void)close(fd);
        owm_clock_sleep_ms(5);
    }
    assert_true(refused);
    assert_true(client_echo(old, 100));
    (void)close(old);
    echo_close(&server);
}

static void test_close_with_connections(void **state)
{
    (void)state;
    int fds[50];
    uint8_t frame[100];
    open_plain(2);
    for (int i = 0; i < 50; i++) {
        fds[i] = client_open(&server);
        assert_true(client_echo(fds[i], 10));
    }
    client_send(fds[0], frame, client_frame(frame, 'F', 20, 1) - 3); /* A part of a frame. */
    client_send(fds[1], frame, client_frame(frame, 'F', 20, 1));     /* Flushing. */
    assert_true(echo_until(atomic_load(&server.closed) == 1));
    owm_net_close(server.net);
    server.net = NULL;
    assert_int_equal(atomic_load(&server.closed), 50);
    for (int i = 0; i < 50; i++) {
        assert_true(client_ended(fds[i]));
        (void)close(fds[i]);
    }
    echo_close(&server);
}

static void test_names(void **state)
{
    (void)state;
    open_plain(1);
    const char *name = echo_transport == OWM_NET_EPOLL ? "epoll" : "io_uring";
    assert_string_equal(owm_net_transport_name(server.net), name);
    assert_int_not_equal(owm_net_port(server.net), 0);
    assert_true(owm_net_loops_default() >= 1);
    echo_close(&server);
    owm_net_close(NULL);
}

int main(int argc, char **argv)
{
    echo_main_transport(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_echo_from_turn_end),
        cmocka_unit_test(test_bytewise),
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_large_pieces),
        cmocka_unit_test(test_all_addresses),
        cmocka_unit_test(test_close_inside_receive),
        cmocka_unit_test(test_flush_close),
        cmocka_unit_test(test_flush_close_has_a_deadline),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_handler_refuses),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_tick),
        cmocka_unit_test(test_news_to_all),
        cmocka_unit_test(test_stop_accepting),
        cmocka_unit_test(test_close_with_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
