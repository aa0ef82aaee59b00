/* pool.c: `owm-bench pool`: one core without sockets, then the pool on loopback. */
#include "base/log.h"
#include "pool_world.h"

owm_status bench_pool(const struct bench_options *options, struct owm_error *error)
{
    struct pool_world world;
    owm_log_level_set(OWM_LOG_ERROR);
    owm_status status = pool_world_open(&world, options->folder, error);
    if (status == OWM_OK) status = pool_bench_core(options, &world, error);
    if (status == OWM_OK) status = pool_bench_jobs(options, &world, error);
    if (status == OWM_OK) status = pool_bench_loopback(options, &world, error);
    pool_world_close(&world);
    return status;
}
