/* workers.h: the miners and workers of one loop and what each of them did, for pages and the
 * vardiff.
 *
 * A fixed table. The loop claims an entry by (miner, worker) when a channel opens and holds it
 * while it is in use; afterwards it stays, so that a page can show who went away, until its place
 * is needed (longest unused first). Thread: the loop owns it; owm_workers_copy may be called on
 * any, since texts change only under the table's lock and numbers are atomics. The share path
 * takes no lock.
 */
#ifndef OWM_POOL_WORKERS_H
#define OWM_POOL_WORKERS_H

#include <stdbool.h>

#include "base/status.h"
#include "rate.h"
#include "share.h"

#define OWM_WORKERS_MAX  16777216
#define OWM_WORKER_NONE  UINT32_MAX
#define OWM_WORKERS_COPY 256 /* Entries copied under one hold of the lock. */

struct owm_workers;

/** owm_worker_entry: what the loop writes; by owm_workers_at. */
struct owm_worker_entry {
    struct owm_miner miner;
    struct owm_worker worker;
    _Atomic uint64_t accepted, rejected;
    _Atomic uint64_t hashes;       /* Of the newest target of one of its channels. */
    _Atomic uint64_t best;         /* Hashes that its luckiest accepted share stands for. */
    _Atomic int64_t last_share_ms; /* Monotonic; 0: none yet. */
    _Atomic uint32_t channels;     /* Claims not yet released. */
    struct owm_rate rate;
};

/** owm_worker_view: a copy for pages. */
struct owm_worker_view {
    struct owm_miner miner;
    struct owm_worker worker;
    uint64_t accepted, rejected, hashes, best;
    int64_t last_share_age_ms; /* -1: none yet. */
    uint32_t channels;         /* 0: not connected. */
    double hashes_per_s[OWM_RATE_WINDOWS];
};

/** owm_workers_open: Returns: OWM_OK; OWM_E_ARG max 0 or above OWM_WORKERS_MAX; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_workers_open(uint32_t max, struct owm_workers **workers);
void owm_workers_close(struct owm_workers *workers); /* NULL is allowed. */

/** owm_workers_claim: the entry of this pair, held until owm_workers_release.
 *  Returns: its index; OWM_WORKER_NONE when all entries are held. */
uint32_t owm_workers_claim(struct owm_workers *workers, const struct owm_miner *miner,
                           const struct owm_worker *worker, int64_t now_ms);
void owm_workers_release(struct owm_workers *workers, uint32_t index); /* NONE is allowed. */

/** owm_workers_hold/drop: keep an entry while a share of it is under way. Not counted as a
 * channel. */
void owm_workers_hold(struct owm_workers *workers, uint32_t index);
void owm_workers_drop(struct owm_workers *workers, uint32_t index);
struct owm_worker_entry *owm_workers_at(struct owm_workers *workers, uint32_t index);

/** owm_workers_count: entries in use, connected or not. Thread: any. */
uint32_t owm_workers_count(const struct owm_workers *workers);

/** owm_workers_copy: entries from index `from` on, at most `max` (itself at most OWM_WORKERS_COPY).
 *  Returns: how many were written; fewer than max: the end. Thread: any. */
uint32_t owm_workers_copy(struct owm_workers *workers, uint32_t from, struct owm_worker_view *out,
                          uint32_t max, int64_t now_ms);

#endif
