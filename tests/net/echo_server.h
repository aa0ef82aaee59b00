/* echo_server.h: a server for the tests: it sends whole frames back and does what some of them say.
 *
 * A frame is its payload's length (2 bytes, little-endian, at least 1) and the payload. The first
 * byte of the payload is a command:
 *
 *   'X'  close now          'F'  send it back, then close with flush
 *   'P'  push PUSH_BYTES    'B'  send back BIG_BYTES, then close with flush
 *   'L'  the largest piece that can be reserved at once
 *   else send it back at once, or with `late` at the end of the turn
 */
#ifndef OWM_TESTS_ECHO_SERVER_H
#define OWM_TESTS_ECHO_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "dataplane/net/net.h"

#define ECHO_LOOPS_MAX   4
#define ECHO_CONNS_MAX   8192
#define ECHO_FRAME_MAX   4000 /* Payload of what the tests send back and forth. */
#define ECHO_PUSH_BYTES  65536
#define ECHO_BIG_BYTES   200000
#define ECHO_REASONS_MAX 16
#define ECHO_NEWS_BYTES  300 /* Sent to all connections by a wake, if news is set. */

struct echo_server;

struct echo_conn {
    struct owm_net_conn *conn;
    struct echo_conn *next; /* Of the free ones. */
    bool closing;
    uint16_t late_bytes; /* An answer that waits for the end of the turn. */
    uint8_t late[2 + ECHO_FRAME_MAX];
};

struct echo_loop {
    struct echo_server *server;
    struct owm_net_loop *net_loop;
    struct echo_conn *conns; /* [ECHO_CONNS_MAX] */
    struct echo_conn *free, *late_one;
    bool started, stopped;
};

struct echo_server {
    /* Set before open. */
    bool late, news, refuse;
    int fail_start_of; /* A loop whose start fails; -1: none. */
    int64_t tick_ms;   /* turn_end wants to be called this often; 0: never. */

    struct owm_net *net;
    struct echo_loop loop[ECHO_LOOPS_MAX];
    void *ctx[ECHO_LOOPS_MAX];
    unsigned loops;
    atomic_uint accepted, closed, wakes, ticks, news_failed;
    atomic_uint asked, seen; /* Wakes: what a waker wrote, what wake() last read. */
    pthread_mutex_t lock;    /* over those below */
    char reasons[ECHO_REASONS_MAX][OWM_NET_REASON_BYTES];
    unsigned reason_count;
};

extern enum owm_net_transport echo_transport;

/** echo_main_transport: take the transport from the arguments; exits with 77 where it is off. */
void echo_main_transport(int argc, char **argv);

/** echo_files: whether this process may have so many open files; raises its soft limit. */
bool echo_files(rlim_t files);

/** echo_init: a server that was not opened; echo_options: what to open it with, on 127.0.0.1. */
void echo_init(struct echo_server *server);
struct owm_net_options echo_options(struct echo_server *server, unsigned loops);
void echo_open(struct echo_server *server, const struct owm_net_options *options);
void echo_close(struct echo_server *server);

/** echo_reasons: how often a connection was closed for this. */
unsigned echo_reasons(struct echo_server *server, const char *reason);
struct owm_net_stats echo_stats(const struct echo_server *server); /* Sums of all loops. */

/** echo_until: wait until the expression holds; false after five seconds. */
#define echo_until(expr)                                                                           \
    ({                                                                                             \
        int echo_tries = 0;                                                                        \
        while (!(expr) && echo_tries++ < 1000) owm_clock_sleep_ms(5);                              \
        (bool)(expr);                                                                              \
    })

/* Clients: blocking sockets that give up after five seconds. */
int client_prepare(void); /* Not yet connected. */
void client_connect(int fd, const struct echo_server *server);
int client_open(const struct echo_server *server);
void client_send(int fd, const void *data, size_t bytes);
bool client_read(int fd, void *data, size_t bytes); /* false: ended, reset or late. */
bool client_ended(int fd);                          /* Reads and drops until the end. */

/** client_frame: a frame of `bytes` payload that starts with command; returns all its bytes. */
size_t client_frame(uint8_t *frame, char command, size_t bytes, uint64_t seed);
bool client_echo(int fd, size_t bytes);     /* Send a frame, get it back, compare. */
bool client_try_echo(int fd, size_t bytes); /* The connection may be closed. */

#endif
