/* listener.c: listening sockets, and what to do when no descriptor is left for a new connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net_internal.h"

#define KEEPALIVE_IDLE_S     60 /* A peer that vanished is found after little more than this. */
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES     4
#define UNACKNOWLEDGED_MS    60000
#define REFUSALS_MAX         64 /* Of one turn. */
#define WARN_EVERY_MS        10000

struct bind_address {
    struct sockaddr_storage address;
    socklen_t bytes;
};

static owm_status parse_bind(const char *text, uint16_t port, struct bind_address *out,
                             struct owm_error *error)
{
    memset(out, 0, sizeof *out);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        out->bytes = sizeof *v4;
        return OWM_OK;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        out->bytes = sizeof *v6;
        return OWM_OK;
    }
    return owm_fail(error, OWM_E_CONFIG,
                    "'%s' is no address to listen on: write an IPv4 or IPv6 address in numbers, "
                    "0.0.0.0 or :: for all",
                    text);
}

static owm_status bind_failed(const struct owm_net_options *options, uint16_t port, int code,
                              struct owm_error *error)
{
    const char *key = options->port_key;
    switch (code) {
    case EADDRINUSE:
        return owm_fail(error, OWM_E_EXISTS,
                        "port %u of %s is in use by another program: stop that one, or set %s to "
                        "another port",
                        port, options->bind, key);
    case EACCES:
        return owm_fail(error, OWM_E_PERM,
                        "port %u needs more rights than this program has: set %s to a port of 1024 "
                        "or above",
                        port, key);
    case EADDRNOTAVAIL:
        return owm_fail(error, OWM_E_NET,
                        "this machine has no address %s: set %s to one that it has, or to 0.0.0.0",
                        options->bind, key);
    default:
        return owm_fail(error, OWM_E_NET, "cannot listen on %s port %u (%s): %s", options->bind,
                        port, key, strerror(code));
    }
}

static void set(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void net_set_tcp(int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS);
}

/* Accepted sockets inherit all of these, so that none costs a system call per connection. */
static void set_options(int fd, sa_family_t family)
{
    set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (family == AF_INET6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    net_set_tcp(fd);
}

static owm_status bound_socket(const struct owm_net_options *options, uint16_t port, bool share,
                               int *fd, struct owm_error *error)
{
    struct bind_address to;
    owm_status status = parse_bind(options->bind, port, &to, error);
    if (status != OWM_OK) return status;
    sa_family_t family = to.address.ss_family;
    int s = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0) return bind_failed(options, port, errno, error);
    set(s, SOL_SOCKET, SO_REUSEADDR, 1);
    if (share) set_options(s, family);
    if (bind(s, (struct sockaddr *)&to.address, to.bytes) != 0) {
        status = bind_failed(options, port, errno, error);
        (void)close(s);
        return status;
    }
    *fd = s;
    return OWM_OK;
}

owm_status net_listen_check(const struct owm_net_options *options, struct owm_error *error)
{
    int fd;
    owm_status status = bound_socket(options, options->port, false, &fd, error);
    if (status == OWM_OK) (void)close(fd);
    return status;
}

owm_status net_listen(const struct owm_net_options *options, uint16_t port, int *fd,
                      struct owm_error *error)
{
    owm_status status = bound_socket(options, port, true, fd, error);
    if (status != OWM_OK) return status;
    if (listen(*fd, NET_BACKLOG) == 0) return OWM_OK;
    status = bind_failed(options, port, errno, error);
    (void)close(*fd);
    *fd = -1;
    return status;
}

uint16_t net_listen_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) return 0;
    if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
    return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
}

static void refuse_waiting(struct owm_net_loop *loop)
{
    if (loop->spare >= 0) (void)close(loop->spare);
    for (int i = 0; i < REFUSALS_MAX; i++) {
        int fd = accept4(loop->listener, NULL, NULL, SOCK_CLOEXEC);
        net_count(&loop->stats.syscalls, 2);
        if (fd < 0) break;
        (void)close(fd);
        net_count(&loop->stats.refused, 1);
    }
    loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool was_gone(int error)
{
    return error == ECONNABORTED || error == EPROTO || error == EINTR;
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void net_accept_failed(struct owm_net_loop *loop, int error)
{
    if (loop->listener < 0) return;
    if (was_gone(error)) {
        loop->transport->listen(loop);
        return;
    }
    int64_t now = (int64_t)owm_clock_mono_ms();
    if (is_shortage(error)) refuse_waiting(loop);
    loop->accept_retry_ms = now + NET_ACCEPT_RETRY_MS;
    if (loop->accept_warned_ms && now - loop->accept_warned_ms < WARN_EVERY_MS) return;
    loop->accept_warned_ms = now;
    owm_log(OWM_LOG_WARN, "net_refusing loop=%u connections=%zu reason=\"%s\"", loop->index,
            loop->connections, strerror(error));
}
