/* pool_rig.h: the pool on a socket of this machine: real loops, real net, the journal synced to a
 * disk; and its processor time, loop by loop. One at a time.
 */
#ifndef OWM_BENCH_POOL_RIG_H
#define OWM_BENCH_POOL_RIG_H

#include "pool/loop.h"
#include "pool_world.h"

#define RIG_LOOPS_MAX 16

struct pool_rig {
    struct pool_world *world;
    struct owm_pool_loop *loop[RIG_LOOPS_MAX];
    struct owm_device *device[RIG_LOOPS_MAX];
    struct owm_net *net;
    unsigned loops;
};

/** rig_open: loops: 0 means 1, so that the miners have the other core of a small machine.
 *  connections: of all loops together. A first work is posted. */
OWM_MUST_USE owm_status rig_open(struct pool_rig *rig, struct pool_world *world, unsigned loops,
                                 uint32_t connections, struct owm_error *error);
void rig_close(struct pool_rig *rig);

/** rig_post: a new work on a new tip for every loop. *ms: the clock (mono) before it is posted. */
OWM_MUST_USE owm_status rig_post(struct pool_rig *rig, double *ms, struct owm_error *error);

/** rig_used: what has been used so far. loops_s: processor time of the loops' threads; all_s: of
 *  the process, with the journals' threads; resident_bytes: of the process. */
struct rig_used {
    double loops_s, all_s, resident_bytes, touched_bytes;
    uint64_t accepted, handshakes, syscalls, batches, sync_ns;
};
void rig_used(const struct pool_rig *rig, struct rig_used *used);

#endif
