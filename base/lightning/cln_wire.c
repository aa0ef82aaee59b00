/* cln_wire.c: one request and one reply over lightningd's unix socket. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "cln.h"

#define READ_BYTES 65536
#define BUSY_MS    20 /* between two tries where lightningd's queue of connections is full */

static owm_status hang_up(struct cln_wire *wire, owm_status status)
{
    cln_wire_close(wire);
    return status;
}

/* False: the time is over. */
static bool wait_for(int fd, short events, uint64_t until_ms)
{
    struct pollfd poller = {.fd = fd, .events = events};
    uint64_t now_ms = owm_clock_mono_ms();
    int left_ms = now_ms >= until_ms                 ? 0
                  : until_ms - now_ms > 24 * 3600000 ? 24 * 3600000
                                                     : (int)(until_ms - now_ms);
    int ready = poll(&poller, 1, left_ms);
    return ready > 0 || (ready < 0 && errno == EINTR && owm_clock_mono_ms() < until_ms);
}

static owm_status no_connection(const char *path, int cause, struct owm_error *error)
{
    if (cause == EACCES || cause == EPERM)
        return owm_fail(error, OWM_E_PERM,
                        "%s: this user may not open lightningd's socket; run as a user of its "
                        "group, with rpc-file-mode=0660 in lightningd's config",
                        path);
    return owm_fail(error, OWM_E_NET, "%s: lightningd does not answer there (%s)", path,
                    strerror(cause));
}

static owm_status connect_to(const char *path, uint64_t until_ms, int *fd, struct owm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return owm_fail(error, OWM_E_CONFIG,
                        "%s: a socket's path has at most %zu bytes; name a symbolic link", path,
                        sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) return owm_fail(error, OWM_E_NOMEM, "Core Lightning: %s", strerror(errno));
    while (connect(*fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int cause = errno;
        bool busy = cause == EAGAIN || cause == EINTR;
        if (busy && owm_clock_mono_ms() < until_ms) {
            owm_clock_sleep_ms(BUSY_MS);
            continue;
        }
        close(*fd);
        *fd = -1;
        return no_connection(path, cause, error);
    }
    return OWM_OK;
}

owm_status cln_wire_send(const char *path, const char *text, uint64_t until_ms,
                         struct cln_wire *wire, struct owm_error *error)
{
    *wire = (struct cln_wire){.fd = -1};
    owm_status status = connect_to(path, until_ms, &wire->fd, error);
    if (status != OWM_OK) return status;
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        ssize_t sent = send(wire->fd, text + at, length - at, MSG_NOSIGNAL);
        if (sent > 0) {
            at += (size_t)sent;
            continue;
        }
        bool full = errno == EAGAIN || errno == EINTR;
        if (full && wait_for(wire->fd, POLLOUT, until_ms)) continue;
        cln_wire_close(wire);
        return owm_fail(error, OWM_E_NET, "%s: lightningd did not take the request", path);
    }
    return OWM_OK;
}

static bool has_room(struct cln_wire *wire)
{
    if (wire->room - wire->count >= READ_BYTES) return true;
    size_t room = wire->room ? 2 * wire->room : 2 * READ_BYTES;
    char *grown = realloc(wire->bytes, room);
    if (!grown) return false;
    wire->bytes = grown;
    wire->room = room;
    return true;
}

/* lightningd ends each reply with an empty line, and has none inside. */
static bool is_whole(const struct cln_wire *wire)
{
    return wire->count >= 2 && memcmp(wire->bytes + wire->count - 2, "\n\n", 2) == 0;
}

owm_status cln_wire_receive(struct cln_wire *wire, uint64_t until_ms)
{
    if (wire->fd < 0) return OWM_E_NET;
    for (;;) {
        if (wire->count > CLN_REPLY_BYTES_MAX) return hang_up(wire, OWM_E_LIMIT);
        if (!has_room(wire)) return hang_up(wire, OWM_E_NOMEM);
        ssize_t got = recv(wire->fd, wire->bytes + wire->count, READ_BYTES, 0);
        if (got > 0) {
            wire->count += (size_t)got;
            if (is_whole(wire)) return OWM_OK;
            continue;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) return hang_up(wire, OWM_E_NET);
        if (!wait_for(wire->fd, POLLIN, until_ms)) return OWM_E_TIMEOUT;
    }
}

void cln_wire_close(struct cln_wire *wire)
{
    if (wire->fd >= 0) close(wire->fd);
    free(wire->bytes);
    *wire = (struct cln_wire){.fd = -1};
}
