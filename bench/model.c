/* model.c: the benchmark of a transformer's ops: the frame. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool model_on_cpu(const struct model *m)
{
    return !strcmp(m->device->backend->name, "cpu");
}

float *model_floats(struct model *m, size_t count, bool random)
{
    void *mem = NULL;
    float *host = malloc(count * sizeof *host);
    bool good = host && m->device->backend->mem_alloc(m->device, &mem, count * 4) == OWM_OK;
    for (size_t i = 0; good && i < count; i++) host[i] = random ? 2 * owm_rng_f32(&m->rng) - 1 : 0;
    if (good && m->device->backend->mem_put(m->device, mem, host, count * 4) != OWM_OK) {
        model_free(m, mem);
        mem = NULL;
    }
    free(host);
    return mem;
}

void model_free(struct model *m, void *mem)
{
    m->device->backend->mem_free(m->device, mem);
}

static void call_once(void *ctx)
{
    struct model_call *c = ctx;
    owm_status status = c->call(c->m->device, c->args);
    if (status) c->status = status;
}

struct bench_span model_time(struct model_call *c)
{
    return bench_time(model_on_cpu(c->m) ? NULL : c->m->device, call_once, c);
}

void model_row(struct model *m, const char *op, const char *shape, const char *unit,
               struct bench_span span, double work, struct model_limit limit)
{
    struct bench_row row = {.bench = "model",
                            .op = op,
                            .shape = shape,
                            .unit = unit,
                            .backend = m->device->backend->name,
                            .device = m->opened.arch,
                            .limit = limit.value,
                            .limit_name = limit.name};
    bench_row_rate(&row, span, work);
    bench_print(m->options, &row);
}

struct model_limit model_peak(struct model *m, enum bench_pipe pipe, const char *name)
{
    return (struct model_limit){bench_peak(&m->opened, pipe) / 1e9, name};
}

struct model_limit model_bandwidth(struct model *m)
{
    return (struct model_limit){bench_bandwidth(&m->opened) / 1e9,
                                model_on_cpu(m) ? "read bandwidth here" : "copy bandwidth here"};
}

struct model_limit model_stream(struct model *m)
{
    return (struct model_limit){bench_stream(&m->opened) / 1e9,
                                model_on_cpu(m) ? "update bandwidth here" : "copy bandwidth here"};
}

owm_status bench_model(const struct bench_options *options, struct owm_error *error)
{
    struct model m = {.options = options};
    owm_rng_seed(&m.rng, 1);
    owm_status status = bench_open(&m.opened, options, error);
    if (status) return status;
    m.device = m.opened.device;
    status = owm_backend_reference.open(&m.reference, &(struct owm_device_config){0}, error);
    if (!status) status = model_linear(&m, error);
    if (!status) status = model_decode(&m, error);
    if (!status) status = model_f32(&m, error);
    owm_backend_reference.close(m.reference);
    bench_close(&m.opened);
    return status;
}
