/* pool_world.h: what the benchmarks of the pool share: a block of mainnet's shape to mine on, keys,
 * and options under which every header is a share and none is a block.
 *
 * The target of a share is the easiest there is (one hash), so no benchmark searches; the network's
 * is mainnet's of 2025, so no share ends as a block. The template has 4095 transactions beside the
 * coinbase: twelve branches.
 */
#ifndef OWM_BENCH_POOL_WORLD_H
#define OWM_BENCH_POOL_WORLD_H

#include "bench.h"
#include "dataplane/sv2/authority.h"
#include "pool/hall.h"

#define POOL_BRANCHES 12

struct pool_world {
    struct owm_template *block;
    struct owm_sv2_authority *authority;
    struct owm_sv2_credentials credentials;
    uint8_t easiest[32];
    uint64_t works;
    char folder[128]; /* For journals; removed by close. */
};

/** pool_world_open: folder: where journals go below; NULL: /tmp. Returns: OWM_OK; OWM_E_IO. */
OWM_MUST_USE owm_status pool_world_open(struct pool_world *world, const char *folder,
                                        struct owm_error *error);
void pool_world_close(struct pool_world *world);

/** pool_world_work: the next work, each on a tip of its own. */
OWM_MUST_USE owm_status pool_world_work(struct pool_world *world, struct owm_work **work,
                                        struct owm_error *error);

/** pool_world_hall: limits for so many sessions, a vardiff that leaves every target alone, a device
 *  of one thread. Its device is the caller's to close. */
OWM_MUST_USE owm_status pool_world_hall(const struct pool_world *world, uint32_t sessions,
                                        struct owm_hall_options *options, struct owm_error *error);

/** pool_cpu_s: processor time of this thread. */
double pool_cpu_s(void);

/* The parts of `owm-bench pool`. */

OWM_MUST_USE owm_status pool_bench_core(const struct bench_options *options,
                                        struct pool_world *world, struct owm_error *error);
OWM_MUST_USE owm_status pool_bench_jobs(const struct bench_options *options,
                                        struct pool_world *world, struct owm_error *error);
OWM_MUST_USE owm_status pool_bench_loopback(const struct bench_options *options,
                                            struct pool_world *world, struct owm_error *error);

#endif
