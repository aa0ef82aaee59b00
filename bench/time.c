/* time.c: opening the device under test, and timing calls on it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define RUNS_MIN    5
#define RUNS_MAX    50
#define SECONDS_MIN 0.3
#define SECONDS_MAX 3.0

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One call, as the device's own clock sees it. Two events of the caller's range are taken; no
 * benchmark uses events while it times. */
static double device_call(struct owm_device *device, void (*fn)(void *ctx), void *ctx)
{
    enum { from = OWM_EVENTS_MAX - 2, to = OWM_EVENTS_MAX - 1 };
    const struct owm_backend *b = device->backend;
    double ms = 0;
    if (b->event_record(device, OWM_QUEUE_COMPUTE, from) != OWM_OK) return 0;
    fn(ctx);
    if (b->event_record(device, OWM_QUEUE_COMPUTE, to) != OWM_OK
        || b->event_elapsed(device, from, to, &ms) != OWM_OK)
        return 0;
    return ms / 1e3;
}

static double wall_call(void (*fn)(void *ctx), void *ctx)
{
    double start = seconds();
    fn(ctx);
    return seconds() - start;
}

struct bench_span bench_time(struct owm_device *device, void (*fn)(void *ctx), void *ctx)
{
    double run[RUNS_MAX], begin = seconds();
    size_t runs = 0;
    fn(ctx);
    fn(ctx);
    begin = seconds();
    while (runs < RUNS_MAX) {
        run[runs++] = device ? device_call(device, fn, ctx) : wall_call(fn, ctx);
        double spent = seconds() - begin;
        if (runs >= RUNS_MIN && spent >= SECONDS_MIN && (runs >= 15 || spent >= SECONDS_MAX / 3))
            break;
        if (spent >= SECONDS_MAX && runs >= 3) break;
    }
    double median = bench_percentile(run, runs, 0.5); /* Sorts. */
    return (struct bench_span){median, run[0], run[runs - 1]};
}

void bench_row_rate(struct bench_row *row, struct bench_span span, double work)
{
    row->value = work / span.median;
    row->low = work / span.high;
    row->high = work / span.low;
}

owm_status bench_open(struct bench_device *opened, const struct bench_options *options,
                      struct owm_error *error)
{
    *opened = (struct bench_device){0};
    owm_status status = owm_pool_open(options->threads, &opened->pool);
    if (status != OWM_OK)
        return owm_fail(error, status, "%u threads could not be started", options->threads);
    const struct owm_device_config config = {
        .backend = options->backend, .index = options->device, .pool = opened->pool};
    status = owm_device_open(&opened->device, &config, error);
    struct owm_device_info info = {.arch = ""};
    if (status == OWM_OK)
        status = opened->device->backend->device_info(opened->device->index, &info);
    if (status != OWM_OK) {
        bench_close(opened);
        return status;
    }
    (void)snprintf(opened->arch, sizeof opened->arch, "%s", info.arch);
    (void)snprintf(opened->name, sizeof opened->name, "%s", info.name);
    return OWM_OK;
}

void bench_close(struct bench_device *opened)
{
    if (opened->device) opened->device->backend->close(opened->device);
    owm_pool_close(opened->pool);
    *opened = (struct bench_device){0};
}
