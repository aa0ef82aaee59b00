/* connect.c: outgoing TCP within a time limit, to any address of a name. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net_internal.h"

#define ADDRESSES_MAX 8

static int wait_connected(int fd, uint64_t deadline_ms)
{
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        uint64_t now_ms = owm_clock_mono_ms();
        int ready = poll(&item, 1, now_ms < deadline_ms ? (int)(deadline_ms - now_ms) : 0);
        if (ready == 0) return ETIMEDOUT;
        if (ready < 0 && errno != EINTR) return errno;
        if (ready > 0) break;
    }
    int code = 0;
    socklen_t bytes = sizeof code;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &bytes) == 0 ? code : errno;
}

/* Returns 0 or an errno. */
static int connect_one(const struct addrinfo *to, uint64_t deadline_ms, int *out)
{
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    net_set_tcp(fd);
    int code = connect(fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
    if (code == EINPROGRESS) code = wait_connected(fd, deadline_ms);
    if (code != 0)
        (void)close(fd);
    else
        *out = fd;
    return code;
}

/* The resolver's order is its preference; the other family comes second, in case the first has no
 * way out of this network. */
static unsigned alternate(const struct addrinfo *list, const struct addrinfo **order)
{
    unsigned count = 0;
    const struct addrinfo *first = list, *second = list;
    while (count < ADDRESSES_MAX && (first || second)) {
        while (first && first->ai_family != list->ai_family) first = first->ai_next;
        if (first) {
            order[count++] = first;
            first = first->ai_next;
        }
        while (second && second->ai_family == list->ai_family) second = second->ai_next;
        if (second && count < ADDRESSES_MAX) {
            order[count++] = second;
            second = second->ai_next;
        }
    }
    return count;
}

static owm_status connect_failed(const char *host, uint16_t port, int code, struct owm_error *error)
{
    owm_status status = code == ETIMEDOUT                  ? OWM_E_TIMEOUT
                        : code == EMFILE || code == ENFILE ? OWM_E_LIMIT
                                                           : OWM_E_NET;
    const char *advice = code == ECONNREFUSED ? ": nothing listens there; is it started?" : "";
    return owm_fail(error, status, "no connection to %s port %u: %s%s", host, port, strerror(code),
                    advice);
}

owm_status owm_net_connect(const char *host, uint16_t port, unsigned timeout_ms, int *fd,
                           struct owm_error *error)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    const struct addrinfo *order[ADDRESSES_MAX];
    char service[8];
    uint64_t deadline_ms = owm_clock_mono_ms() + timeout_ms;
    *fd = -1;
    (void)snprintf(service, sizeof service, "%u", port);
    int unknown = getaddrinfo(host, service, &hints, &list);
    if (unknown != 0)
        return owm_fail(error, OWM_E_NET, "'%s' has no address: %s", host, gai_strerror(unknown));
    unsigned count = alternate(list, order);
    int code = ETIMEDOUT;
    for (unsigned i = 0; i < count; i++) {
        uint64_t now_ms = owm_clock_mono_ms();
        uint64_t left_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
        code = connect_one(order[i], now_ms + left_ms / (count - i), fd);
        if (code == 0) break;
    }
    freeaddrinfo(list);
    return code == 0 ? OWM_OK : connect_failed(host, port, code, error);
}
