/* main.c: owm-mine, a Stratum v2 miner for GPUs and processors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/identity.h"
#include "base/log.h"
#include "base/signals.h"
#include "benchmark.h"
#include "options.h"
#include "view.h"

static int fail(const struct owm_error *error, int code)
{
    fprintf(stderr, "owm-mine: %s\n", error->text);
    return code;
}

static void watch(struct view *view, unsigned seconds)
{
    uint64_t end_ms = owm_clock_mono_ms() + 1000 * (uint64_t)seconds;
    while (!owm_signals_wait(1000)) {
        if (seconds > 0 && owm_clock_mono_ms() >= end_ms) return;
        view_show(view, false);
    }
}

static owm_status mine(const struct options *options, const owm_identity *identity,
                       struct owm_error *error)
{
    owm_signals_block();
    struct owm_mine_options mine_options = {
        .pools = options->pools,
        .pool_count = options->pool_count,
        .identity = identity,
        .user = options->user,
        .worker = options->worker,
        .devices = options->devices,
        .cpu_threads = options->threads,
        .intensity = options->intensity,
        .extended = options->extended,
    };
    struct view view = {.options = options, .terminal = isatty(STDOUT_FILENO) == 1};
    owm_status status = owm_mine_open(&mine_options, &view.mine, error);
    if (status != OWM_OK) return status;
    view.telemetry = telemetry_open();
    watch(&view, options->seconds);
    view_show(&view, true);
    telemetry_close(view.telemetry);
    owm_mine_close(view.mine);
    return OWM_OK;
}

static owm_status mine_as(const struct options *options, struct owm_error *error)
{
    if (options->identity == NULL) return mine(options, NULL, error);
    owm_identity *identity = NULL;
    bool created = false;
    owm_status status = owm_identity_load_or_create(options->identity, &identity, &created, error);
    if (status != OWM_OK) return status;
    if (created) owm_log(OWM_LOG_INFO, "identity_created file=%s", options->identity);
    status = mine(options, identity, error);
    owm_identity_close(identity);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct owm_error error = {.text = ""};
    owm_log_program_set("owm-mine");
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0); /* As NVML counts: see telemetry.h. */
    if (options_parse(argc, argv, &options, &error) != OWM_OK) return fail(&error, 2);
    if (options.help) {
        options_help(stdout);
        return 0;
    }
    owm_status status =
        options.benchmark ? benchmark_run(&options, &error) : mine_as(&options, &error);
    return status == OWM_OK ? 0 : fail(&error, 1);
}
