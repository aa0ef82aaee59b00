/* client.h: what mine.c and client.c share: one miner with its thread. */
#ifndef OWM_MINE_CLIENT_H
#define OWM_MINE_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "mine.h"
#include "session.h"

struct owm_mine {
    struct owm_mine_options options;
    struct owm_mine_engine *engine;
    pthread_t thread;
    bool started;
    int wake_fd; /* eventfd: hits to send, or time to stop. */
    atomic_bool stop;

    pthread_mutex_t lock;        /* For stats. */
    struct owm_mine_stats stats; /* But for what owm_mine_stats_get asks the engine. */

    /* The client thread's own. */
    struct owm_mine_session *session;
    struct owm_mine_pool elsewhere; /* Where a pool sent us; host "" is nowhere. */
    uint64_t connection;
    bool extended; /* Of the next connection. */
};

/** client_run: the thread's function; arg is a struct owm_mine. */
void *client_run(void *arg);

#endif
