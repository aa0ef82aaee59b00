/* reliability.h: SRS-SCHED-04: (successful / total tasks) x uptime over a rolling 7-day window.
 *
 * The window is 28 buckets of 6 hours, the newest one being filled. Uptime counts only time in
 * which the coordinator was there to see it: its own absence punishes nobody (promise 6). Integers
 * only.
 */
#ifndef OWM_ENGINE_RELIABILITY_H
#define OWM_ENGINE_RELIABILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_RELIABILITY_BUCKETS   28
#define OWM_RELIABILITY_BUCKET_MS (6 * 3600 * INT64_C(1000))
#define OWM_RELIABILITY_BYTES     (8 + OWM_RELIABILITY_BUCKETS * 16)
#define OWM_PPM                   1000000

/** owm_reliability: plain data; all zero is a node that was never seen. Caller-owned. */
struct owm_reliability {
    int64_t newest; /* number of the newest bucket: time / OWM_RELIABILITY_BUCKET_MS */
    struct owm_reliability_bucket {
        uint32_t good, total;      /* tasks */
        uint32_t up_ms, window_ms; /* seen alive, watched */
    } bucket[OWM_RELIABILITY_BUCKETS];
};

/** owm_reliability_task: one task ended; good if its result counted. */
void owm_reliability_task(struct owm_reliability *reliability, bool good, int64_t now_ms);

/** owm_reliability_watched: `span_ms` up to now were watched, and the node was up or not. A span
 *  counts in the bucket of its end; longer than a bucket is cut to one. */
void owm_reliability_watched(struct owm_reliability *reliability, bool up, int64_t span_ms,
                             int64_t now_ms);

/** Scores in millionths, floor; 1,000,000 where nothing was counted yet. score = tasks x uptime. */
uint32_t owm_reliability_tasks_ppm(const struct owm_reliability *reliability, int64_t now_ms);
uint32_t owm_reliability_uptime_ppm(const struct owm_reliability *reliability, int64_t now_ms);
uint32_t owm_reliability_ppm(const struct owm_reliability *reliability, int64_t now_ms);

/** Fixed little-endian form for the database. decode: OWM_OK; OWM_E_PROTO impossible values. */
void owm_reliability_encode(const struct owm_reliability *reliability,
                            uint8_t out[static OWM_RELIABILITY_BYTES]);
OWM_MUST_USE owm_status owm_reliability_decode(const uint8_t *bytes, size_t count,
                                               struct owm_reliability *out);

#endif
