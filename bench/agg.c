/* agg.c: dense aggregation (agg.h): P vectors of one round, 32 and 100.
 *
 * Each op is held against what binds it: the bytes it must move over the bandwidth measured beside
 * it or, for gram, the peak of the multipliers where that is nearer. A small case of each is first
 * compared with the reference, to the bit. Memory is taken as there is some: N is in the shape.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench.h"

#define VECTORS_MAX 100
#define N_MAX       25000000u
#define CHECK_N     70001u
#define ALIGN       64u /* Floats: vectors begin on a boundary of 256 bytes. */

/** set: P vectors of N on a device, in one block, behind the place for out. */
struct set {
    struct owm_device *device;
    float *block, *out;
    const float *x[VECTORS_MAX];
    float alpha[VECTORS_MAX];
    uint32_t count, n, trim;
    double gram[VECTORS_MAX * VECTORS_MAX], sum, norm;
    owm_status status; /* of the last call */
};

static size_t stride_of(uint32_t n)
{
    return ((size_t)n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Vectors are one sequence of random numbers, each begun elsewhere. */
static owm_status fill(struct set *s, const float *data, uint32_t p)
{
    const struct owm_backend *b = s->device->backend;
    uint32_t shift = (uint32_t)((uint64_t)p * 999983 % s->n);
    float *x = s->block + stride_of(s->n) * (p + 1);
    owm_status status = b->mem_put(s->device, x, data + shift, (s->n - shift) * sizeof *x);
    if (status != OWM_OK || shift == 0) return status;
    return b->mem_put(s->device, x + s->n - shift, data, shift * sizeof *x);
}

static owm_status set_open(struct set *s, struct owm_device *device, uint32_t count, uint32_t n)
{
    *s = (struct set){.device = device, .count = count, .n = n};
    float *data = malloc((size_t)n * sizeof *data);
    void *block = NULL;
    owm_status status = data ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK)
        status =
            device->backend->mem_alloc(device, &block, stride_of(n) * (count + 1) * sizeof(float));
    s->block = s->out = block;
    struct owm_rng rng;
    owm_rng_seed(&rng, 7);
    for (uint32_t i = 0; i < n && status == OWM_OK; i++) data[i] = owm_rng_f32(&rng) - 0.5f;
    for (uint32_t p = 0; p < count && status == OWM_OK; p++) {
        status = fill(s, data, p);
        s->x[p] = s->block + stride_of(n) * (p + 1);
        s->alpha[p] = 1 / (float)(p + 2);
    }
    free(data);
    return status;
}

static void set_close(struct set *s)
{
    if (s->device) s->device->backend->mem_free(s->device, s->block);
}

/* --- the calls -------------------------------------------------------------------------------- */

static void call_weighted_sum(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->weighted_sum(
        s->device, &(struct owm_weighted_sum){s->out, s->x, s->alpha, s->count, s->n});
}

static void call_trimmed_mean(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->trimmed_mean(
        s->device, &(struct owm_trimmed_mean){s->out, s->x, s->count, s->trim, s->n});
}

static void call_gram(void *ctx)
{
    struct set *s = ctx;
    s->status =
        s->device->backend->gram(s->device, &(struct owm_gram){s->gram, s->x, s->count, s->n});
}

/* All vectors as one: a single one might stay in a large cache. */
static uint32_t whole(const struct set *s)
{
    size_t n = stride_of(s->n) * s->count;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void call_sum_squares(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->sum_squares(s->device, &s->sum, s->x[0], whole(s));
}

/* To half its norm, so that every call has something to do. */
static void call_clip(void *ctx)
{
    struct set *s = ctx;
    double norm = s->norm > 0 ? s->norm / 2 : 1;
    float *x = s->block + stride_of(s->n);
    s->status =
        s->device->backend->clip(s->device, &(struct owm_clip){x, &s->norm, whole(s), norm});
    s->norm = norm;
}

/* --- rows ------------------------------------------------------------------------------------- */

enum limit { READ, UPDATE, MULTIPLY };

static const struct op {
    const char *name;
    void (*call)(void *);
    enum limit limit;
    bool one; /* takes one vector: all of them, end to end */
    bool to_out;
    uint32_t trim_of; /* one in so many is dropped at each end; 0: all but the middle */
} ops[] = {
    {"weighted_sum", call_weighted_sum, READ, false, true, 0},
    {"trimmed_mean", call_trimmed_mean, READ, false, true, 10},
    {"median", call_trimmed_mean, READ, false, true, 0},
    {"gram", call_gram, MULTIPLY, false, false, 0},
    {"sum_squares", call_sum_squares, READ, true, false, 0},
    {"clip", call_clip, UPDATE, true, false, 0},
};

static uint32_t trim_of(const struct op *op, uint32_t count)
{
    return op->trim_of ? count / op->trim_of : (count - 1) / 2;
}

/* Everything an op may have written: out, the first vector, and the numbers on the host. */
static bool same_results(const struct set *a, const struct set *b)
{
    size_t floats = 2 * stride_of(a->n);
    float *x = malloc(floats * sizeof *x), *y = malloc(floats * sizeof *y);
    bool good = x && y && a->status == OWM_OK && b->status == OWM_OK
                && a->device->backend->mem_get(a->device, x, a->block, floats * 4) == OWM_OK
                && b->device->backend->mem_get(b->device, y, b->block, floats * 4) == OWM_OK
                && memcmp(x, y, floats * sizeof *x) == 0
                && memcmp(a->gram, b->gram, sizeof a->gram) == 0
                && memcmp(&a->sum, &b->sum, sizeof a->sum) == 0
                && memcmp(&a->norm, &b->norm, sizeof a->norm) == 0;
    free(x);
    free(y);
    return good;
}

/* The op on a small case, here and by the reference. */
static owm_status check(struct owm_device *device, const struct op *op, uint32_t count, uint32_t n)
{
    struct owm_device *reference;
    struct owm_error error;
    owm_status status =
        owm_backend_reference.open(&reference, &(struct owm_device_config){0}, &error);
    if (status != OWM_OK) return status;
    struct set *sets = calloc(2, sizeof *sets);
    status = sets ? OWM_OK : OWM_E_NOMEM;
    for (int i = 0; i < 2 && status == OWM_OK; i++) {
        status = set_open(&sets[i], i ? reference : device, count, n < CHECK_N ? n : CHECK_N);
        sets[i].trim = trim_of(op, count);
        if (status == OWM_OK) op->call(&sets[i]);
    }
    if (status == OWM_OK && !same_results(&sets[0], &sets[1])) status = OWM_E_DEVICE;
    for (int i = 0; i < 2 && sets; i++) set_close(&sets[i]);
    free(sets);
    reference->backend->close(reference);
    return status;
}

/* The rate of gram, if the multipliers bind it, or if reading does. */
static void gram_limit(struct bench_row *row, const struct bench_device *opened, double operations,
                       double bytes)
{
    double peak = bench_peak(opened, BENCH_FMA_F32);
    double fed = bench_bandwidth(opened) * operations / bytes;
    bool by_peak = peak > 0 && peak < fed;
    row->limit = (by_peak ? peak : fed) / 1e9;
    row->limit_name = by_peak ? "FMA peak" : "read bandwidth";
}

static owm_status run_op(const struct bench_options *options, const struct bench_device *opened,
                         const struct op *op, struct set *s, struct owm_error *error)
{
    char shape[48];
    owm_status status = check(opened->device, op, s->count, s->n);
    if (status != OWM_OK)
        return owm_fail(error, status, "%s: the result is not that of the reference", op->name);
    double bytes = 4.0 * (op->one ? whole(s) : (double)s->n * (s->count + op->to_out));
    struct bench_row row = {.bench = "agg",
                            .op = op->name,
                            .shape = shape,
                            .unit = op->limit == MULTIPLY ? "GFLOP/s" : "GB/s",
                            .backend = opened->device->backend->name,
                            .device = opened->arch};
    s->trim = trim_of(op, s->count);
    (void)snprintf(shape, sizeof shape, "%u x %.3gM", s->count, s->n / 1e6);
    if (op->one) (void)snprintf(shape, sizeof shape, "%.3gM", whole(s) / 1e6);
    if (op->call == call_trimmed_mean)
        (void)snprintf(shape, sizeof shape, "%u x %.3gM, trim %u", s->count, s->n / 1e6, s->trim);
    double work = bytes;
    if (op->limit == MULTIPLY) {
        work = (double)s->count * (s->count + 1) * s->n;
        gram_limit(&row, opened, work, bytes);
    } else {
        work *= op->limit == UPDATE ? 3 : 1; /* clip reads, reads again and writes */
        row.limit = (op->limit == UPDATE ? bench_stream(opened) : bench_bandwidth(opened)) / 1e9;
        row.limit_name = op->limit == UPDATE ? "stream bandwidth" : "read bandwidth";
    }
    struct bench_span span = bench_time(opened->device, op->call, s);
    if (s->status != OWM_OK) return owm_fail(error, s->status, "%s failed", op->name);
    bench_row_rate(&row, span, work / 1e9);
    bench_print(options, &row);
    return OWM_OK;
}

/* Half of the free memory at most, with a copy of one vector on the host. */
static uint32_t size_for(const struct bench_device *opened, const struct bench_options *options,
                         uint32_t count)
{
    struct owm_device_info info;
    uint64_t n = options->size ? options->size : (uint64_t)N_MAX * 32 / (count > 32 ? count : 32);
    if (opened->device->backend->device_info(opened->device->index, &info) != OWM_OK) return 0;
    uint64_t room = info.memory_free_bytes / 2 / sizeof(float) / (count + 2);
    n = n < room ? n : room;
    return n < UINT32_MAX - ALIGN ? (uint32_t)n : UINT32_MAX - ALIGN;
}

static owm_status run_count(const struct bench_options *options, const struct bench_device *opened,
                            uint32_t count, bool single, struct owm_error *error)
{
    struct set *s = calloc(1, sizeof *s);
    uint32_t n = size_for(opened, options, count);
    owm_status status = s && n ? set_open(s, opened->device, count, n) : OWM_E_NOMEM;
    if (status != OWM_OK) owm_fail(error, status, "no memory for %u vectors of %u", count, n);
    for (size_t i = 0; i < sizeof ops / sizeof *ops && status == OWM_OK; i++)
        if (bench_wants(options, ops[i].name) && (single || !ops[i].one))
            status = run_op(options, opened, &ops[i], s, error);
    if (s) set_close(s);
    free(s);
    return status;
}

owm_status bench_agg(const struct bench_options *options, struct owm_error *error)
{
    struct bench_device opened;
    owm_status status = bench_open(&opened, options, error);
    if (status != OWM_OK) return status;
    status = run_count(options, &opened, 32, true, error);
    if (status == OWM_OK) status = run_count(options, &opened, 100, false, error);
    bench_close(&opened);
    return status;
}
