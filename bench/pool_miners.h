/* pool_miners.h: miners as a process of their own: real sockets, real handshakes, one channel each;
 * told what to do over a socket pair. Being a process, it has its own open files and its own
 * processor time, so what is measured of the pool is the pool's.
 *
 * A paced load does not wait for its acknowledgements (it is open); latency is counted from the
 * call that sends a share to the one that reads its Success, and shares that were sent late are
 * counted.
 */
#ifndef OWM_BENCH_POOL_MINERS_H
#define OWM_BENCH_POOL_MINERS_H

#include <sys/types.h>

#include "pool_world.h"

#define MINERS_WINDOW_MAX 64

enum miners_task {
    MINERS_CONNECT, /* All miners: handshake, set-up, channel, first job. */
    MINERS_FLOOD,   /* `window` shares of each on their way at any time. */
    MINERS_PACE,    /* `rate` shares a second, evenly, the miners in turn. Samples: to the ack. */
    MINERS_WATCH,   /* Until each has had a new job. Samples: its arrival, clock time. */
    MINERS_HANDSHAKES, /* Connect, both acts, gone; act 2 is not checked. */
};

struct miners_command {
    enum miners_task task;
    uint16_t port;
    uint32_t window, rate;
    double seconds;
};

struct miners_report {
    uint64_t done;      /* Connections, acknowledged shares, miners with a job, handshakes. */
    uint64_t submitted; /* Shares. */
    uint64_t refused, failed;
    uint64_t late; /* Shares of a paced load that were sent over 1 ms after their time. */
    double seconds, cpu_s;
    char why[64];     /* The first connection that failed. */
    uint64_t samples; /* Follow it: doubles, ms. */
};

/** miners_plan: how many, and of which kind. */
struct miners_plan {
    uint32_t count;
    bool extended;
    uint8_t authority[32], easiest[32];
};

struct miners {
    pid_t pid;
    int fd;
    double *sample; /* [report.samples] of the last task. */
};

/** miners_start: fork. Before this process has threads. */
OWM_MUST_USE owm_status miners_start(struct miners *miners, const struct miners_plan *plan,
                                     struct owm_error *error);
void miners_stop(struct miners *miners);

/** miners_begin: hand out a task; returns once it is begun. miners_end: wait for its end.
 *  Returns: OWM_OK; OWM_E_IO the process has died; OWM_E_STATE a connection failed, with why. */
OWM_MUST_USE owm_status miners_begin(struct miners *miners, const struct miners_command *command,
                                     struct owm_error *error);
OWM_MUST_USE owm_status miners_end(struct miners *miners, struct miners_report *report,
                                   struct owm_error *error);

/* pool_miner.c: the process itself. */
void miners_main(int fd, const struct miners_plan *plan);

#endif
