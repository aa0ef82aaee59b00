/* bench.h: what every benchmark of owm-bench shares: options, a way to time, a result row and how
 * it is printed.
 *
 * One row: what was measured, in which unit, against which limit and which rival, and the ratios.
 * As a table for people, with --markdown as a table for a document; with --json one object a line
 * with the fields of docs/kernels.md.
 */
#ifndef OWM_BENCH_H
#define OWM_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/pool.h"
#include "base/status.h"
#include "kernels/backend.h"

struct bench_options {
    bool json, markdown;
    const char *backend; /* "auto", or a name: what owm_device_open takes. */
    int device;
    unsigned threads;  /* Of the cpu backend; 0: all cores. */
    uint64_t size;     /* Coordinates of topk and agg; 0: the benchmark's own sizes. */
    const char *op;    /* Only rows whose op contains this; NULL: all. */
    const char *rival; /* A command that prints a figure; bench_rival. */
    double rival_value;
    const char *rival_unit;
    /* control: */
    unsigned nodes;   /* Simulated nodes. */
    unsigned seconds; /* Of each timed phase. */
    unsigned in_flight;
    const char *coordinator; /* Path of owm-coordinator; NULL: beside owm-bench. */
    /* pool: */
    unsigned connections; /* Of miners; 0: its own numbers, as the limit of open files allows. */
    unsigned rate;        /* Shares/s of the latency's load. */
    const char *folder;   /* Where journals are written; NULL: /tmp. */
};

struct bench_row {
    const char *bench, *op, *shape, *unit;
    const char *backend, *device; /* "cpu", "avx512"; NULL: not about one. */
    double value;
    double low, high;       /* Of the runs whose median `value` is; 0: not repeated. */
    double limit;           /* 0: none. */
    const char *limit_name; /* "SRS-PERF-04", "read bandwidth here" … */
    double rival;           /* The rival's figure in the same unit; 0: none. */
    const char *rival_name;
    bool lower_is_better;
};

/** bench_print: one row, if options->op wants it. The rival's figure of the options is put into the
 *  row if the units agree and the row has none of its own. */
void bench_print(const struct bench_options *options, const struct bench_row *row);

/** bench_printed: how many rows there were so far. */
size_t bench_printed(void);

/** bench_wants: whether options->op lets rows with this op through: no need to measure others. */
bool bench_wants(const struct bench_options *options, const char *op);

/* rival.c */

/** bench_rival: run options->rival by the shell and take the last number with a unit of this kind
 *  from what it prints ("36.1 MH/s", "9400 kH/s" → 36.1, 9.4 "MH/s"; GB/s, GFLOP/s, ms, tok/s).
 *  Fills rival_value and rival_unit. Returns: OWM_OK, also without a rival; OWM_E_IO if it fails or
 *  prints no such number, with a sentence. */
OWM_MUST_USE owm_status bench_rival(struct bench_options *options, struct owm_error *error);

/** bench_rival_read: the parser alone: false where the text has no number with a known unit. */
bool bench_rival_read(const char *text, double *value, const char **unit);

/* chart.c */

/** bench_chart: read rows as --json printed them, write an SVG: one bar per row that has a limit or
 * a rival. Returns: OWM_E_IO; OWM_E_PROTO for a line that is no row, with its number. */
OWM_MUST_USE owm_status bench_chart(FILE *rows, FILE *svg, struct owm_error *error);

/** bench_percentile: p in 0..1 of `count` values, which it sorts in place; 0 of none. */
double bench_percentile(double *values, size_t count, double p);

/* time.c */

/** bench_span: seconds of one call: the median of the runs, the shortest and the longest. */
struct bench_span {
    double median, low, high;
};

/** bench_time: call fn until the clock has seen enough (at least 5 runs and 0.3 s, at most 50 runs
 * or 3 s), after two calls to warm up. On a device the time is taken between two of its events, so
 * that launches are counted as the device sees them; with device NULL by the wall clock. */
struct bench_span bench_time(struct owm_device *device, void (*fn)(void *ctx), void *ctx);

/** bench_row_rate: fill value, low and high of a row with work / seconds. */
void bench_row_rate(struct bench_row *row, struct bench_span span, double work);

/** bench_open: the device that the options name, with a pool of options->threads; bench_close both.
 *  The device's arch ("avx512", "sm_90") is in `arch`. */
struct bench_device {
    struct owm_device *device;
    struct owm_pool *pool;
    char arch[32], name[96];
};
OWM_MUST_USE owm_status bench_open(struct bench_device *opened, const struct bench_options *options,
                                   struct owm_error *error);
void bench_close(struct bench_device *opened);

/* limits.c: what this machine could do at best, measured each time it is asked for: on the cpu with
 * the pool's threads, on a GPU by its copy engine. */

/** bench_bandwidth: bytes/s of reading far more memory than any cache holds; on a GPU of copying,
 *  both directions counted. */
double bench_bandwidth(const struct bench_device *opened);

/** bench_stream: bytes/s of reading two arrays and writing one with ordinary stores, both counted:
 *  what a kernel that updates an array in place can reach. */
double bench_stream(const struct bench_device *opened);

/** Pipes, as operations/s (a multiply and an add are two): of a cpu over all threads of the pool,
 *  of a GPU (FMA_F32 and INTEGER) over the whole device. */
enum bench_pipe {
    BENCH_FMA_F32, /* fused multiply-add, widest vectors */
    BENCH_FMA_F64,
    BENCH_DOT_BF16,  /* vdpbf16ps */
    BENCH_DOT_I8,    /* vpdpbusd */
    BENCH_TILE_BF16, /* AMX tdpbf16ps */
    BENCH_TILE_I8,   /* AMX tdpbssd */
    BENCH_INTEGER,   /* GPU: logic, shifts, additions; one operation a lane */
};

/** bench_peak: 0 where the device lacks it, or it is not known there. */
double bench_peak(const struct bench_device *opened, enum bench_pipe pipe);

/** bench_clock_hz: the clock of one core while it runs; 0: not known here. */
double bench_clock_hz(void);

/* The benchmarks. Each returns an error with a sentence, or has printed its rows. */

/** bench_control: heartbeats/s and dispatch latency of a real coordinator on a real PostgreSQL,
 *  driven by simulated nodes, each with its own key and mTLS connection (SRS-PERF-04, -09). */
OWM_MUST_USE owm_status bench_control(const struct bench_options *options, struct owm_error *error);

/** bench_payments: payments/s of the dispatcher, and from a row's commit to its arrival at the node
 *  (SRS-LN-04); the treasury's channels read, judged and written (SRS-PERF-14). The node is a
 *  double. */
OWM_MUST_USE owm_status bench_payments(const struct bench_options *options,
                                       struct owm_error *error);

/** bench_pool: shares of one core of the mining pool without sockets, then the pool on loopback
 *  under a load of real sessions: shares and handshakes of a core, memory, latencies, new jobs. */
OWM_MUST_USE owm_status bench_pool(const struct bench_options *options, struct owm_error *error);

/** bench_ots: files hashed for OpenTimestamps against SHA-256 of memory; proofs read and joined; a
 *  digest submitted to doubles of calendars, one of them dead (SRS-PERF-10). */
OWM_MUST_USE owm_status bench_ots(const struct bench_options *options, struct owm_error *error);

/** bench_sha256d: hashes a second of one core by each path of the cpu backend: scan, scan of rolled
 *  versions, batch of headers, merkle roots; on a GPU the same ops of the whole device. */
OWM_MUST_USE owm_status bench_sha256d(const struct bench_options *options, struct owm_error *error);

/** bench_topk: selection, fused error feedback, quantisation, sparse sums (sparse.h). */
OWM_MUST_USE owm_status bench_topk(const struct bench_options *options, struct owm_error *error);

/** bench_agg: dense aggregation (agg.h). */
OWM_MUST_USE owm_status bench_agg(const struct bench_options *options, struct owm_error *error);

/** bench_model: matrix products in every format, attention, the rest of a transformer. */
OWM_MUST_USE owm_status bench_model(const struct bench_options *options, struct owm_error *error);

#endif
