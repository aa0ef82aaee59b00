/* model.h: what the benchmarks of a transformer's ops share. */
#ifndef OWM_BENCH_MODEL_H
#define OWM_BENCH_MODEL_H

#include "base/rng.h"
#include "bench.h"

struct model {
    const struct bench_options *options;
    struct bench_device opened;
    struct owm_device *device, *reference;
    struct owm_rng rng;
};

/** model_on_cpu: not on a GPU. */
bool model_on_cpu(const struct model *m);

/** model_floats: device memory of `count` floats uniform in [-1, 1), or zeros; NULL: no memory. */
float *model_floats(struct model *m, size_t count, bool random);
void model_free(struct model *m, void *mem);

/** model_time: bench_time on this device; a failed call is kept and reported by model_row. */
struct model_call {
    struct model *m;
    owm_status (*call)(struct owm_device *, const void *args);
    const void *args;
    owm_status status;
};
struct bench_span model_time(struct model_call *call);

/** model_row: print value = work / seconds in `unit`, held against a limit in the same unit. */
struct model_limit {
    double value;
    const char *name;
};
void model_row(struct model *m, const char *op, const char *shape, const char *unit,
               struct bench_span span, double work, struct model_limit limit);

/** Limits, measured when asked for. peak: GFLOP/s (or GOP/s); bandwidth, stream: GB/s. */
struct model_limit model_peak(struct model *m, enum bench_pipe pipe, const char *name);
struct model_limit model_bandwidth(struct model *m);
struct model_limit model_stream(struct model *m);

OWM_MUST_USE owm_status model_linear(struct model *m, struct owm_error *error);
OWM_MUST_USE owm_status model_decode(struct model *m, struct owm_error *error);
OWM_MUST_USE owm_status model_f32(struct model *m, struct owm_error *error);

#endif
