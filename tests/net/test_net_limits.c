/* test_net_limits.c: what happens at each limit, and what an idle connection costs. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "echo_server.h"
#include "test.h"

#define IDLE_CONNS         5000
#define IDLE_TOUCHED_BYTES 512  /* Of the loop's memory, for each. */
#define IDLE_RSS_BYTES     2048 /* Of the process, for each; contexts of the fixture not counted. */
#define PUSHES_MAX         1000
#define MUCH_BYTES         (8u << 20) /* More than a socket keeps to be sent. */

static struct echo_server server;

static void test_slow_reader(void **state)
{
    (void)state;
    uint8_t frame[100];
    int small = 8192, pushes = 0;
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    echo_open(&server, &options);
    int slow = client_open(&server), good = client_open(&server);
    assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    size_t bytes = client_frame(frame, 'P', 10, 1);
    while (pushes < PUSHES_MAX && echo_reasons(&server, "slow reader") == 0) {
        (void)send(slow, frame, bytes, MSG_NOSIGNAL);
        assert_true(client_echo(good, 100));
        pushes++;
    }
    assert_int_equal(echo_reasons(&server, "slow reader"), 1);
    assert_int_equal(atomic_load(&server.closed), 1);
    assert_true(client_echo(good, ECHO_FRAME_MAX));
    (void)close(slow);
    (void)close(good);
    echo_close(&server);
}

/* Opens a server whose only peer asked for far more than the kernel takes, and reads nothing. */
static int open_with_output_waiting(void)
{
    uint8_t frame[100];
    int small = 8192;
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.send_bytes_max = MUCH_BYTES + ECHO_PUSH_BYTES;
    options.shared_send_bytes = 2 * MUCH_BYTES;
    echo_open(&server, &options);
    int fd = client_prepare();
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    client_connect(fd, &server);
    size_t bytes = client_frame(frame, 'P', 10, 1);
    for (size_t asked = 0; asked < MUCH_BYTES; asked += ECHO_PUSH_BYTES)
        client_send(fd, frame, bytes);
    assert_true(echo_until(echo_stats(&server).sent_bytes > 0));
    return fd;
}

/* Nothing that the kernel still reads from is freed, and nobody waits for such a peer. */
static void test_close_with_output_waiting(void **state)
{
    (void)state;
    int fd = open_with_output_waiting();
    owm_clock_sleep_ms(50);
    uint64_t begin_ms = owm_clock_mono_ms();
    echo_close(&server);
    assert_in_range(owm_clock_mono_ms() - begin_ms, 0, 1500);
    (void)close(fd);
}

static void test_flush_gives_up(void **state)
{
    (void)state;
    uint8_t frame[100];
    int fd = open_with_output_waiting();
    client_send(fd, frame, client_frame(frame, 'F', 10, 1));
    assert_true(echo_until(echo_reasons(&server, "told to end") == 1));
    assert_true(echo_until(echo_stats(&server).connections == 0));
    assert_true(echo_stats(&server).sent_bytes < MUCH_BYTES);
    (void)close(fd);
    echo_close(&server);
}

static void test_input_too_long(void **state)
{
    (void)state;
    static uint8_t frame[2 + 60000];
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    echo_open(&server, &options);
    for (int piecewise = 0; piecewise < 2; piecewise++) {
        int fd = client_open(&server);
        size_t bytes = client_frame(frame, 'e', 60000, 1);
        if (piecewise) client_send(fd, frame, 100);
        if (piecewise) owm_clock_sleep_ms(20);
        (void)send(fd, frame + 100 * piecewise, bytes - 100 * (size_t)piecewise, MSG_NOSIGNAL);
        assert_true(client_ended(fd));
        (void)close(fd);
    }
    assert_true(echo_until(echo_reasons(&server, "input too long") == 2));
    echo_close(&server);
}

/* A frame that just fits is no reason to close. */
static void test_longest_input(void **state)
{
    (void)state;
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.receive_bytes = 2 + ECHO_FRAME_MAX;
    echo_open(&server, &options);
    int fd = client_open(&server);
    for (int i = 0; i < 20; i++) assert_true(client_echo(fd, ECHO_FRAME_MAX));
    (void)close(fd);
    echo_close(&server);
}

static void test_input_memory(void **state)
{
    (void)state;
    uint8_t frame[100];
    int fds[3];
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.shared_receive_bytes = 2 * 4096;
    echo_open(&server, &options);
    size_t bytes = client_frame(frame, 'e', 50, 1);
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(&server);
        client_send(fds[i], frame, 20);
        owm_clock_sleep_ms(20);
    }
    assert_true(client_ended(fds[2]));
    assert_int_equal(echo_reasons(&server, "input memory used up"), 1);
    for (int i = 0; i < 2; i++) { /* The others go on, and give theirs back. */
        client_send(fds[i], frame + 20, bytes - 20);
        assert_true(client_read(fds[i], frame, bytes));
    }
    (void)close(fds[2]);
    fds[2] = client_open(&server);
    client_send(fds[2], frame, 20);
    client_send(fds[2], frame + 20, bytes - 20);
    assert_true(client_read(fds[2], frame, bytes));
    for (int i = 0; i < 3; i++) (void)close(fds[i]);
    echo_close(&server);
}

static void test_connection_limit(void **state)
{
    (void)state;
    int fds[5];
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.connections_max = 4;
    echo_open(&server, &options);
    for (int i = 0; i < 4; i++) {
        fds[i] = client_open(&server);
        assert_true(client_echo(fds[i], 10));
    }
    fds[4] = client_open(&server);
    assert_true(client_ended(fds[4]));
    (void)close(fds[4]);
    assert_true(echo_until(echo_stats(&server).refused == 1));
    (void)close(fds[0]);
    assert_true(echo_until(echo_stats(&server).connections == 3));
    fds[0] = client_open(&server);
    for (int i = 0; i < 4; i++) {
        assert_true(client_echo(fds[i], 10));
        (void)close(fds[i]);
    }
    assert_int_equal(echo_stats(&server).connections_peak, 4);
    echo_close(&server);
}

/* ---- open ---- */

static void test_port_in_use(void **state)
{
    (void)state;
    struct echo_server second;
    struct owm_error error = {0};
    char port[16];
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 2);
    echo_open(&server, &options);
    echo_init(&second);
    options = echo_options(&second, 2);
    options.port = owm_net_port(server.net);
    assert_int_equal(owm_net_open(&options, &second.net, &error), OWM_E_EXISTS);
    assert_null(second.net);
    (void)snprintf(port, sizeof port, "%u", options.port);
    assert_non_null(strstr(error.text, port));
    assert_non_null(strstr(error.text, "test.listen"));
    echo_close(&second);
    echo_close(&server);
}

/* Connections that we closed linger in the kernel; they are no reason not to start again. */
static void test_restart_on_the_same_port(void **state)
{
    (void)state;
    uint8_t frame[100];
    uint16_t port = 0;
    for (int i = 0; i < 3; i++) {
        echo_init(&server);
        struct owm_net_options options = echo_options(&server, 2);
        options.port = port;
        echo_open(&server, &options);
        port = owm_net_port(server.net);
        int fd = client_open(&server), other = client_open(&server);
        assert_true(client_echo(other, 10));
        client_send(fd, frame, client_frame(frame, 'X', 10, 1));
        assert_true(client_ended(fd));
        (void)close(fd);
        echo_close(&server);
        (void)close(other);
    }
}

static void test_bad_options(void **state)
{
    (void)state;
    struct owm_error error = {0};
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.bind = "localhost";
    assert_int_equal(owm_net_open(&options, &server.net, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "localhost"));
    options.bind = "203.0.113.77";
    assert_int_equal(owm_net_open(&options, &server.net, &error), OWM_E_NET);
    assert_non_null(strstr(error.text, "203.0.113.77"));
    echo_close(&server);
}

static void test_start_fails(void **state)
{
    (void)state;
    struct owm_error error = {0};
    echo_init(&server);
    server.fail_start_of = 1;
    struct owm_net_options options = echo_options(&server, 3);
    options.connections_max = 100;
    assert_int_equal(owm_net_open(&options, &server.net, &error), OWM_E_CONFIG);
    assert_string_equal(error.text, "this loop was told to fail");
    assert_null(server.net);
    assert_true(server.loop[0].started && !server.loop[1].started && !server.loop[2].started);
    echo_close(&server); /* Which finds that stop was called where start was. */
}

static void test_files_do_not_allow(void **state)
{
    (void)state;
    struct rlimit before, low;
    struct owm_error error = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    if (before.rlim_max > OWM_NET_CONNECTIONS_MAX) skip(); /* Here they do. */
    low = before;
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.connections_max = OWM_NET_CONNECTIONS_MAX;
    assert_int_equal(owm_net_open(&options, &server.net, &error), OWM_E_LIMIT);
    assert_non_null(strstr(error.text, "ulimit -n"));
    low.rlim_cur = 64; /* A soft limit is raised. */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    options.connections_max = 100;
    echo_open(&server, &options);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &low), 0);
    assert_true(low.rlim_cur > 100);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    echo_close(&server);
}

/* ---- descriptors ---- */

#define FEW      3
#define TOO_MANY 10
#define FILES    200

static void set_files(rlim_t files)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = files;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Takes all descriptors that are left. */
static size_t take_files(int *fds)
{
    size_t count = 0;
    while ((fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        assert_true(++count < FILES);
    return count;
}

/* Without a free descriptor new peers are refused, not left waiting; the others go on; no spinning.
 * The limit stands before the server does: a pending accept of io_uring knows it from then. */
static void test_no_descriptors(void **state)
{
    (void)state;
    struct rlimit before;
    int fds[TOO_MANY], taken[FILES], served = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    set_files(FILES);
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.connections_max = 2 * TOO_MANY;
    echo_open(&server, &options);
    int early = client_open(&server);
    assert_true(client_echo(early, 10));
    for (int i = 0; i < TOO_MANY; i++) fds[i] = client_prepare();
    size_t count = take_files(taken);
    for (int i = 0; i < FEW; i++) (void)close(taken[--count]);
    for (int i = 0; i < TOO_MANY; i++) client_connect(fds[i], &server);
    assert_true(echo_until(echo_stats(&server).refused == TOO_MANY - FEW));
    for (int i = 0; i < TOO_MANY; i++) served += client_try_echo(fds[i], 10);
    assert_int_equal(served, FEW);
    assert_true(client_echo(early, 10));
    uint64_t turns = echo_stats(&server).turns;
    owm_clock_sleep_ms(500);
    assert_true(echo_stats(&server).turns - turns < 50);
    while (count > 0) (void)close(taken[--count]);
    int later = client_open(&server);
    assert_true(client_echo(later, 10));
    for (int i = 0; i < TOO_MANY; i++) (void)close(fds[i]);
    (void)close(early);
    (void)close(later);
    set_files(before.rlim_cur);
    echo_close(&server);
}

/* ---- memory ---- */

static size_t resident_bytes(void)
{
    unsigned long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &all, &pages), 2);
    (void)fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void measure_idle(int *fds, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) fds[i] = client_open(&server);
    for (size_t i = 0; i < count / 2; i++) assert_true(client_echo(fds[i], 1000));
    size_t rss = resident_bytes();
    uint64_t touched = echo_stats(&server).memory_touched_bytes;
    for (size_t i = count / 2; i < count; i++) fds[i] = client_open(&server);
    for (size_t i = count / 2; i < count; i++) assert_true(client_echo(fds[i], 1000));
    assert_int_equal(echo_stats(&server).connections, count);
    touched = (echo_stats(&server).memory_touched_bytes - touched) / (count - count / 2);
    rss = (resident_bytes() - rss) / (count - count / 2);
    printf("an idle connection: %zu bytes resident, %lu of the loop's memory\n", rss,
           (unsigned long)touched);
    assert_in_range(touched, 1, IDLE_TOUCHED_BYTES);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(rss, 0, IDLE_RSS_BYTES + sizeof(struct echo_conn));
#endif
}

/* Idle connections that have talked hold neither input nor output memory. */
static void test_idle(void **state)
{
    (void)state;
    static int fds[IDLE_CONNS];
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    size_t count = IDLE_CONNS;
    if (limit.rlim_max < 2 * count + 500) count = limit.rlim_max / 2 - 250;
    assert_true(echo_files(2 * count + 500));
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    options.connections_max = (uint32_t)count;
    echo_open(&server, &options);
    measure_idle(fds, count);
    for (size_t i = 0; i < count; i++) (void)close(fds[i]);
    assert_true(echo_until(echo_stats(&server).connections == 0));
    echo_close(&server);
}

int main(int argc, char **argv)
{
    echo_main_transport(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_close_with_output_waiting),
        cmocka_unit_test(test_flush_gives_up),
        cmocka_unit_test(test_input_too_long),
        cmocka_unit_test(test_longest_input),
        cmocka_unit_test(test_input_memory),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_restart_on_the_same_port),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_start_fails),
        cmocka_unit_test(test_files_do_not_allow),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
