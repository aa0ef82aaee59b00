/* engine_internal.h: what the engine and its scanners share. */
#ifndef OWM_MINE_ENGINE_INTERNAL_H
#define OWM_MINE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine.h"
#include "kernels/backend.h"

#define SCANNER_MIDSTATES 64 /* Versions in one launch: they share the message schedule. */
#define SCANNER_HITS      64 /* Of one launch. */

struct owm_mine_engine;

/** scanner: a thread and its device. The counters are written by it alone. */
struct scanner {
    struct owm_mine_engine *engine;
    struct owm_device *device;
    pthread_t thread;
    bool started;
    char label[16], name[96], arch[32];
    _Atomic uint64_t hashes, hits;
    _Atomic double rate;
    atomic_bool failed;
};

struct owm_mine_engine {
    struct owm_mine_engine_options options;
    struct scanner *scanners; /* [count] */
    size_t count;

    pthread_mutex_t lock; /* For what follows, but for the atomics. */
    pthread_cond_t changed;
    struct owm_mine_work *work;
    atomic_ullong version; /* Counts changes of work: scanners look at it between launches. */
    uint64_t next_part;    /* Of the present work: what the next scanner to ask gets. */
    bool stop, paused;
    int64_t tip_since_ms;
    size_t tip_waiting; /* Scanners that have not begun on the new tip. */
    uint64_t tip_connection, tip;
    double switch_ms, switch_ms_max;

    struct owm_mine_share *hit; /* [OWM_MINE_HITS_MAX] ring */
    size_t hit_first, hit_count;
    uint64_t hits_lost;
};

/** scanner_run: the thread's function; arg is a struct scanner. */
void *scanner_run(void *arg);

/** engine_next: wait for work and claim a part of it. false: the engine stops. The caller releases
 *  *work. */
struct engine_part {
    struct owm_mine_work *work;
    uint64_t version; /* Of the engine, when it was claimed. */
    uint64_t part;
    uint64_t tip; /* Of its connection: what a scanner compares to see a new one. */
};
bool engine_next(struct owm_mine_engine *engine, const struct engine_part *last,
                 struct engine_part *part);
bool engine_is_current(const struct owm_mine_engine *engine, uint64_t version);

/** engine_add_hit: Borrows: share; a reference on its work is taken. */
void engine_add_hit(struct owm_mine_engine *engine, const struct owm_mine_share *share);

#endif
