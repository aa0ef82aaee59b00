/* test_net_connect.c: outgoing connections: names, both families, refusals, the time limit. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/clock.h"
#include "dataplane/net/net.h"
#include "test.h"

#define FILLERS 16

static int listener(sa_family_t family, int backlog, uint16_t *port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t bytes = family == AF_INET ? sizeof v4 : sizeof v6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, address, bytes) != 0) return -1;
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, address, &bytes), 0);
    *port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
    return fd;
}

static void expect_connects(const char *host, sa_family_t family)
{
    struct owm_error error = {0};
    uint16_t port;
    int fd, on = 0;
    socklen_t bytes = sizeof on;
    int listening = listener(family, 5, &port);
    if (listening < 0) skip(); /* No IPv6 here. */
    if (owm_net_connect(host, port, 2000, &fd, &error) != OWM_OK) fail_msg("%s", error.text);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    assert_int_equal(on, 1);
    (void)close(fd);
    (void)close(listening);
}

static void test_v4(void **state)
{
    (void)state;
    expect_connects("127.0.0.1", AF_INET);
    expect_connects("localhost", AF_INET); /* Whose ::1 comes first on many machines. */
}

static void test_v6(void **state)
{
    (void)state;
    expect_connects("::1", AF_INET6);
}

static void test_refused(void **state)
{
    (void)state;
    struct owm_error error = {0};
    uint16_t port;
    int fd, listening = listener(AF_INET, 1, &port);
    (void)close(listening);
    assert_int_equal(owm_net_connect("127.0.0.1", port, 2000, &fd, &error), OWM_E_NET);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(error.text, "127.0.0.1"));
    assert_non_null(strstr(error.text, "is it started?"));
}

static void test_unknown_name(void **state)
{
    (void)state;
    struct owm_error error = {0};
    int fd;
    /* Names with an empty label are refused by the resolver itself, without asking anybody. */
    assert_int_equal(owm_net_connect("no..such", 1, 500, &fd, &error), OWM_E_NET);
    assert_non_null(strstr(error.text, "no..such"));
}

/* A listener that accepts nothing and whose queue is full answers nothing. */
static void test_timeout(void **state)
{
    (void)state;
    struct owm_error error = {0};
    uint16_t port;
    int fillers[FILLERS], fd, listening = listener(AF_INET, 0, &port);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (struct sockaddr *)&to, sizeof to);
    }
    uint64_t begin_ms = owm_clock_mono_ms();
    assert_int_equal(owm_net_connect("127.0.0.1", port, 200, &fd, &error), OWM_E_TIMEOUT);
    assert_in_range(owm_clock_mono_ms() - begin_ms, 190, 1500);
    assert_int_equal(fd, -1);
    for (int i = 0; i < FILLERS; i++) (void)close(fillers[i]);
    (void)close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4),      cmocka_unit_test(test_v6),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_unknown_name),
        cmocka_unit_test(test_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
