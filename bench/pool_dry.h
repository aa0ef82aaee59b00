/* pool_dry.h: a hall full of miners without sockets: real frames under real encryption go in
 * through pool/link.h, what comes out is counted. Keys are made up, since a handshake is measured
 * elsewhere and would take half a minute for 100,000 of them.
 */
#ifndef OWM_BENCH_POOL_DRY_H
#define OWM_BENCH_POOL_DRY_H

#include "pool/journal.h"
#include "pool/link.h"
#include "pool_world.h"

#define DRY_BATCH         1024 /* Shares of a turn: the hall's default for one batch. */
#define DRY_FRAME_BYTES   128  /* A sealed share is 62 or 71. */
#define DRY_ANSWER_BYTES  8192
#define DRY_JOURNAL_AHEAD 20000 /* Shares that the disk may be behind before a turn waits. */

struct dry;

struct dry_miner {
    struct dry *dry;
    struct owm_link link;
    struct owm_sv2_transport transport;
    uint32_t channel_id, shares;
};

/** dry_shape: miners; extended or standard channels; shares in one read of one miner. */
struct dry_shape {
    uint32_t miners, shares_a_read;
    bool extended;
};

struct dry {
    struct dry_shape shape;
    struct owm_hall *hall;
    struct owm_device *device;
    struct owm_journal *journal;
    struct owm_work *work; /* Newest; borrowed from the hall, which keeps it. */
    struct dry_miner *miner;
    uint32_t next, job_id;
    uint64_t appended;            /* Sequence of the last share in the journal. */
    bool reading;                 /* Answers are decrypted and counted. */
    uint64_t accepted, successes; /* As miners were told, while reading. */
    uint64_t refused, frames;
    uint32_t longest; /* Payload bytes of the longest frame. */
    uint8_t answer[DRY_ANSWER_BYTES];
    uint8_t sealed[DRY_BATCH * DRY_FRAME_BYTES];
};

/** dry_open: all miners have a channel and the first job. Returns: also OWM_E_STATE: one has not.
 *  */
OWM_MUST_USE owm_status dry_open(struct dry *dry, struct pool_world *world,
                                 const struct dry_shape *shape, struct owm_error *error);
void dry_close(struct dry *dry);

/** dry_turn: DRY_BATCH shares, each new, from the next miners. Returns: processor seconds from the
 *  first byte to the last Success; making the shares and waiting for the disk is not in it. */
double dry_turn(struct dry *dry);

/** dry_job: a new work for everyone. Returns: processor seconds until all were sent it. */
OWM_MUST_USE owm_status dry_job(struct dry *dry, struct pool_world *world, double *seconds,
                                struct owm_error *error);

#endif
