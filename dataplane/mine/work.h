/* work.h: a job as scanners see it: what goes into the header, what may be rolled, what is a hit.
 *
 * Immutable once made, shared by counting references. A standard channel fixes the merkle root; an
 * extended one gives coinbase halves and branches, and each value of the rolled extranonce has a
 * root of its own. Source: Stratum v2 specification, section 5.3. Thread: any may read.
 */
#ifndef OWM_MINE_WORK_H
#define OWM_MINE_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "dataplane/sv2/messages.h"

/* Halves and extranonce together. Pools that pay their miners in the coinbase need kilobytes. */
#define OWM_MINE_COINBASE_BYTES_MAX 65536
#define OWM_MINE_BRANCHES_MAX       32 /* OWM_MERKLE_BRANCHES_MAX of the kernels. */

/** owm_mine_extended: what an extended channel's job has instead of a root. */
struct owm_mine_extended {
    uint8_t coinbase[OWM_MINE_COINBASE_BYTES_MAX]; /* prefix || extranonce || suffix */
    uint32_t coinbase_bytes;
    uint32_t rolled_at, rolled_bytes; /* Where the rolled part of the extranonce lies. */
    uint8_t branch[OWM_MINE_BRANCHES_MAX][32];
    uint32_t branches;
};

struct owm_mine_work {
    uint64_t connection; /* Of the session's options: shares go back where their work came from. */
    uint64_t generation; /* Counts works of a session; a later one replaces an earlier one. */
    uint64_t tip;        /* Counts changes of the block to build on. */
    uint32_t job_id, version, bits, min_time_s;
    uint32_t version_mask; /* Bits that may be rolled; 0: none. */
    int64_t received_ms;   /* owm_clock_mono_ms when min_time_s was the time. */
    uint8_t previous[32], target[32], network_target[32];
    bool is_extended;
    uint8_t root[32];                  /* Standard. */
    struct owm_mine_extended extended; /* Extended. */
};

/** owm_mine_work_new: zeroed, with one reference. NULL when memory runs out. */
struct owm_mine_work *owm_mine_work_new(void);
struct owm_mine_work *owm_mine_work_retain(struct owm_mine_work *work);
void owm_mine_work_release(struct owm_mine_work *work); /* NULL is allowed. */

/** owm_mine_work_root: the merkle root for the rolled extranonce `value`, written big endian into
 *  the last bytes of the rolled part. A standard work has one root and ignores it. */
void owm_mine_work_root(const struct owm_mine_work *work, uint64_t value, uint8_t root[32]);

/** owm_mine_work_time: the newest time that the pool must take now: min_time_s and the whole
 *  seconds since it came. */
uint32_t owm_mine_work_time(const struct owm_mine_work *work, int64_t now_ms);

/** owm_mine_share: one hit. Borrows: work. */
struct owm_mine_share {
    struct owm_mine_work *work;
    uint64_t extranonce;
    uint32_t version, time_s, nonce;
    bool block; /* Its hash meets the network's target too. */
};

#endif
