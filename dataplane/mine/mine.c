/* mine.c: a miner's beginning, end, and what it shows. */
#include "mine.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "client.h"

static void wake(void *ctx)
{
    struct owm_mine *mine = ctx;
    uint64_t one = 1;
    if (write(mine->wake_fd, &one, sizeof one) < 0) return; /* Full: it is awake already. */
}

static void warn(const struct owm_mine *mine)
{
    for (size_t i = 0; i < mine->options.pool_count; i++)
        if (!mine->options.pools[i].has_authority)
            owm_log(OWM_LOG_WARN,
                    "pool_not_pinned host=%s note=\"anyone on the way can take the shares: put the "
                    "pool's key behind its address\"",
                    mine->options.pools[i].host);
}

static owm_status start(struct owm_mine *mine, struct owm_error *error)
{
    struct owm_mine_engine_options engine = {
        .devices = mine->options.devices,
        .cpu_threads = mine->options.cpu_threads,
        .intensity = mine->options.intensity,
        .on_hit = wake,
        .ctx = mine,
    };
    mine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mine->wake_fd < 0) return owm_fail(error, OWM_E_NOMEM, "no descriptor for the miner");
    warn(mine);
    owm_status status = owm_mine_engine_open(&engine, &mine->engine, error);
    if (status != OWM_OK) return status;
    if (pthread_create(&mine->thread, NULL, client_run, mine) != 0)
        return owm_fail(error, OWM_E_NOMEM, "no thread for the miner");
    mine->started = true;
    return OWM_OK;
}

owm_status owm_mine_open(const struct owm_mine_options *options, struct owm_mine **out,
                         struct owm_error *error)
{
    if (options->pool_count == 0 || options->pool_count > OWM_MINE_POOLS_MAX
        || options->intensity > 100)
        return owm_fail(error, OWM_E_ARG, "1 to %d pools, an intensity of 0 to 100",
                        OWM_MINE_POOLS_MAX);
    struct owm_mine *mine = calloc(1, sizeof *mine);
    if (mine == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for the miner");
    mine->options = *options;
    mine->extended = options->extended;
    mine->wake_fd = -1;
    pthread_mutex_init(&mine->lock, NULL);
    owm_status status = start(mine, error);
    if (status != OWM_OK) {
        owm_mine_close(mine);
        return status;
    }
    *out = mine;
    return OWM_OK;
}

void owm_mine_close(struct owm_mine *mine)
{
    if (mine == NULL) return;
    atomic_store(&mine->stop, true);
    if (mine->started) {
        wake(mine);
        pthread_join(mine->thread, NULL);
    }
    owm_mine_engine_close(mine->engine);
    if (mine->wake_fd >= 0) close(mine->wake_fd);
    pthread_mutex_destroy(&mine->lock);
    free(mine);
}

void owm_mine_pause(struct owm_mine *mine, bool paused)
{
    owm_mine_engine_pause(mine->engine, paused);
}

void owm_mine_stats_get(struct owm_mine *mine, struct owm_mine_stats *stats)
{
    pthread_mutex_lock(&mine->lock);
    *stats = mine->stats;
    pthread_mutex_unlock(&mine->lock);
    stats->rate_hashes_per_s = owm_mine_engine_rate(mine->engine);
    owm_mine_engine_health_get(mine->engine, &stats->engine);
}

size_t owm_mine_device_count(const struct owm_mine *mine)
{
    return owm_mine_engine_count(mine->engine);
}

void owm_mine_device_stats(const struct owm_mine *mine, size_t index,
                           struct owm_mine_scanner_stats *stats)
{
    owm_mine_engine_stats(mine->engine, index, stats);
}
