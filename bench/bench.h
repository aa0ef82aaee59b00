/* bench.h: what every benchmark of owm-bench shares: a result row and how it is printed.
 *
 * One row: what was measured, in which unit, against which limit or goal, and the ratio. As text
 * for people; with --json one object a line with the fields of docs/kernels.md.
 */
#ifndef OWM_BENCH_H
#define OWM_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct bench_options {
    bool json;
    unsigned nodes;   /* control: simulated nodes. */
    unsigned seconds; /* Of each timed phase. */
    unsigned in_flight;
    const char *coordinator; /* Path of owm-coordinator; NULL: beside owm-bench. */
};

struct bench_row {
    const char *bench, *op, *shape, *unit;
    double value;
    double low, high;       /* Of the runs whose median `value` is; 0: not repeated. */
    double limit;           /* 0: none. */
    const char *limit_name; /* "SRS-PERF-04", "read bandwidth here" … */
    bool lower_is_better;
};

void bench_print(const struct bench_options *options, const struct bench_row *row);

/** bench_percentile: p in 0..1 of `count` values, which it sorts in place; 0 of none. */
double bench_percentile(double *values, size_t count, double p);

/** bench_control: heartbeats/s and dispatch latency of a real coordinator on a real PostgreSQL,
 *  driven by simulated nodes, each with its own key and mTLS connection (SRS-PERF-04, -09). */
owm_status bench_control(const struct bench_options *options, struct owm_error *error) OWM_MUST_USE;

/** bench_sha256d: hashes a second of one core by each path of the cpu backend: scan, scan of rolled
 *  versions, batch of headers, merkle roots. */
owm_status bench_sha256d(const struct bench_options *options, struct owm_error *error) OWM_MUST_USE;

#endif
