/* mine.h: a miner that runs by itself: devices, pools in order of preference, and what to show.
 *
 *     owm_mine_open(&options, &mine, &error);      a client thread, one thread per device
 *     owm_mine_stats_get(mine, &stats);            as often as you like
 *     owm_mine_close(mine);
 *
 * The client goes through the pools in their order, with a pause that doubles from 1 s to
 * OWM_MINE_RETRY_S_MAX after each round of failures; on a pool that is not the first it looks every
 * OWM_MINE_RETURN_S whether the first is back. Thread: any.
 */
#ifndef OWM_MINE_MINE_H
#define OWM_MINE_MINE_H

#include "base/identity.h"
#include "engine.h"
#include "url.h"

#define OWM_MINE_POOLS_MAX     8
#define OWM_MINE_RETRY_S_MAX   60
#define OWM_MINE_RETURN_S      120
#define OWM_MINE_REASONS_MAX   12 /* Different reject codes kept; the rest counts as "other". */
#define OWM_MINE_TROUBLE_BYTES 256

struct owm_mine;

/** owm_mine_options: strings, pools and identity are borrowed until close. */
struct owm_mine_options {
    const struct owm_mine_pool *pools;
    size_t pool_count;            /* 1 .. OWM_MINE_POOLS_MAX */
    const owm_identity *identity; /* NULL: a stock miner that calls itself `user`. */
    const char *user, *worker;
    const char *devices;  /* engine.h */
    unsigned cpu_threads; /* engine.h */
    unsigned intensity;   /* 0 .. 100 */
    bool extended;        /* Ask for an extended channel from the start. */
};

/** owm_mine_open: Returns: as owm_mine_engine_open; OWM_E_ARG; OWM_E_NOMEM. A pool that does not
 *  answer is no failure: it is tried again. */
OWM_MUST_USE owm_status owm_mine_open(const struct owm_mine_options *options,
                                      struct owm_mine **mine, struct owm_error *error);
void owm_mine_close(struct owm_mine *mine); /* NULL is allowed. */
void owm_mine_pause(struct owm_mine *mine, bool paused);

enum owm_mine_state { OWM_MINE_CONNECTING, OWM_MINE_RUNNING, OWM_MINE_WAITING };

struct owm_mine_reason {
    char code[64];
    uint64_t count;
};

/** owm_mine_stats: one moment. Counters are since open. */
struct owm_mine_stats {
    enum owm_mine_state state;
    size_t pool; /* Index of the pool in use or being tried. */
    bool proven; /* It has checked the node's key. */
    bool pinned; /* Its own key was checked. */
    uint64_t accepted, rejected, stale_unsent, difficulty_sum, blocks_sent;
    struct owm_mine_reason reasons[OWM_MINE_REASONS_MAX];
    size_t reason_count;
    double difficulty; /* Of the channel now. */
    double latency_ms; /* Newest share, submit to acknowledgement. */
    double rate_hashes_per_s;
    int64_t last_share_ms; /* owm_clock_mono_ms of the newest accepted; 0: none yet. */
    int64_t connected_ms;  /* owm_clock_mono_ms; 0: not connected. */
    struct owm_mine_engine_health engine;
    char trouble[OWM_MINE_TROUBLE_BYTES]; /* "" or the newest failure. */
};
void owm_mine_stats_get(struct owm_mine *mine, struct owm_mine_stats *stats);
size_t owm_mine_device_count(const struct owm_mine *mine);
void owm_mine_device_stats(const struct owm_mine *mine, size_t index,
                           struct owm_mine_scanner_stats *stats);

#endif
