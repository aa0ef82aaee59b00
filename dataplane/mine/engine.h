/* engine.h: scanners, one thread for each device (for the cpu: each core), all on the same work.
 *
 * A scanner takes the newest work, claims a part of it that nobody else has (an extranonce or a
 * block of versions), and scans it in launches of about OWM_MINE_LAUNCH_MS, so that a new tip is
 * mined on within that time. Hits go into a queue, and `on_hit` says that there are some.
 * Thread: functions: any; on_hit: a scanner's.
 */
#ifndef OWM_MINE_ENGINE_H
#define OWM_MINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "work.h"

#define OWM_MINE_LAUNCH_MS    15
#define OWM_MINE_SCANNERS_MAX 256
#define OWM_MINE_HITS_MAX     1024 /* Waiting to be sent; more are counted as lost. */

struct owm_mine_engine;

/** owm_mine_engine_options: devices: "all", or names as "cpu", "cuda:0", "hip", with commas. */
struct owm_mine_engine_options {
    const char *devices;
    unsigned cpu_threads; /* 0: one per core this process may use. */
    unsigned intensity;   /* 0 (stand still) to 100 */
    void (*on_hit)(void *ctx);
    void *ctx;
};

/** owm_mine_engine_open: open and try the devices; no thread scans before it has work.
 *  Returns: OWM_OK; OWM_E_CONFIG an unknown name; OWM_E_NOTFOUND a named device that is not there
 *  or not usable (with its reason); OWM_E_NOMEM. With "all" what does not work is left out, told
 *  in a log line. */
OWM_MUST_USE owm_status owm_mine_engine_open(const struct owm_mine_engine_options *options,
                                             struct owm_mine_engine **engine,
                                             struct owm_error *error);
void owm_mine_engine_close(struct owm_mine_engine *engine); /* NULL is allowed. */

/** owm_mine_engine_work: mine this from now on; NULL: stop. Takes: one reference. */
void owm_mine_engine_work(struct owm_mine_engine *engine, struct owm_mine_work *work);

/** owm_mine_engine_hit: the oldest hit; false when there is none. The caller releases its work. */
bool owm_mine_engine_hit(struct owm_mine_engine *engine, struct owm_mine_share *share);

/** owm_mine_engine_pause: stand still, keep the devices. Launches that run end first. */
void owm_mine_engine_pause(struct owm_mine_engine *engine, bool paused);

/** owm_mine_scanner_stats: of one scanner since it began. */
struct owm_mine_scanner_stats {
    char device[16]; /* "cuda:0", "cpu:1" */
    char name[96];   /* "NVIDIA H200" */
    char arch[32];   /* "avx512", "sm_90" */
    uint64_t hashes, hits;
    double rate_hashes_per_s; /* Average of about the last 10 s. */
    bool failed;              /* The device gave an error; it does not scan any more. */
};
size_t owm_mine_engine_count(const struct owm_mine_engine *engine);
void owm_mine_engine_stats(const struct owm_mine_engine *engine, size_t index,
                           struct owm_mine_scanner_stats *stats);
double owm_mine_engine_rate(const struct owm_mine_engine *engine);

/** owm_mine_engine_switch_ms: the longest time from a work with a new tip to the last scanner that
 *  began on it, of the newest one; hits_lost: of the queue. */
struct owm_mine_engine_health {
    double switch_ms, switch_ms_max;
    uint64_t hits_lost;
};
void owm_mine_engine_health_get(const struct owm_mine_engine *engine,
                                struct owm_mine_engine_health *health);

#endif
