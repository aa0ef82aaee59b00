/* pool_cost.h: what a share cannot cost less than: the encryption and the hashes, each alone, hot
 * in the cache, measured beside what it is the limit of.
 */
#ifndef OWM_BENCH_POOL_COST_H
#define OWM_BENCH_POOL_COST_H

#include "pool_world.h"

#define COST_SHARE_STANDARD 24
#define COST_SHARE_EXTENDED 33
#define COST_SUCCESS        20
#define COST_NEW_JOB        45 /* A future job: without its min_ntime. */
#define COST_PREV_HASH      48

/** Each returns processor seconds for one, of 1024 in a row. */
double cost_open(uint32_t payload_bytes);
double cost_seal(uint32_t payload_bytes);
double cost_hash(struct owm_device *device);
double cost_root(struct owm_device *device, const struct owm_work *work);

/** cost_handshake: the pool's side of a handshake, of 256 in a row: both key exchanges, and the
 *  ephemeral key that was made ahead of it. */
double cost_handshake(const struct owm_sv2_credentials *credentials);

#endif
