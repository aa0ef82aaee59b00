/* benchmark.c: the engine on a work of its own. */
#include "benchmark.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "view.h"

#define SECONDS_DEFAULT 10

static void no_hit(void *ctx)
{
    (void)ctx; /* The target is zero: there is none. */
}

static struct owm_mine_work *endless_work(void)
{
    struct owm_mine_work *work = owm_mine_work_new();
    if (work == NULL) return NULL;
    work->version = 0x20000000;
    work->version_mask = OWM_SV2_VERSION_MASK;
    work->bits = 0x1d00ffff;
    work->min_time_s = 1231006505;
    work->received_ms = (int64_t)owm_clock_mono_ms();
    return work;
}

static owm_status print(const struct owm_mine_engine *engine, const uint64_t *before,
                        double seconds, const struct options *options, struct owm_error *error)
{
    double sum = 0;
    char rate[16];
    for (size_t i = 0; i < owm_mine_engine_count(engine); i++) {
        struct owm_mine_scanner_stats stats;
        owm_mine_engine_stats(engine, i, &stats);
        if (stats.failed) return owm_fail(error, OWM_E_DEVICE, "%s failed", stats.device);
        double device_rate = (double)(stats.hashes - before[i]) / seconds;
        sum += device_rate;
        view_rate(device_rate, rate);
        if (options->json)
            printf("{\"device\":\"%s\",\"arch\":\"%s\",\"hashes_per_s\":%.0f}\n", stats.device,
                   stats.arch, device_rate);
        else
            printf("  %-8s %-32.32s %-10s %s\n", stats.device, stats.name, stats.arch, rate);
    }
    view_rate(sum, rate);
    if (!options->json) printf("  all      %s over %.1f s\n", rate, seconds);
    return OWM_OK;
}

owm_status benchmark_run(const struct options *options, struct owm_error *error)
{
    struct owm_mine_engine_options engine_options = {
        .devices = options->devices,
        .cpu_threads = options->threads,
        .intensity = options->intensity,
        .on_hit = no_hit,
    };
    struct owm_mine_engine *engine = NULL;
    owm_status status = owm_mine_engine_open(&engine_options, &engine, error);
    if (status != OWM_OK) return status;
    struct owm_mine_work *work = endless_work();
    if (work == NULL) {
        owm_mine_engine_close(engine);
        return owm_fail(error, OWM_E_NOMEM, "no memory for a job");
    }
    owm_mine_engine_work(engine, work);
    owm_clock_sleep_ms(1000); /* Launch sizes settle. */
    uint64_t before[OWM_MINE_SCANNERS_MAX];
    struct owm_mine_scanner_stats stats;
    for (size_t i = 0; i < owm_mine_engine_count(engine); i++) {
        owm_mine_engine_stats(engine, i, &stats);
        before[i] = stats.hashes;
    }
    uint64_t begin_ns = owm_clock_mono_ns();
    owm_clock_sleep_ms(1000 * (options->seconds == 0 ? SECONDS_DEFAULT : options->seconds));
    status = print(engine, before, (double)(owm_clock_mono_ns() - begin_ns) / 1e9, options, error);
    owm_mine_engine_close(engine);
    return status;
}
