/* topk.c: selection, fused error feedback, quantisation and sums of sparse vectors (sparse.h).
 *
 * Figures are the bytes that must cross the memory bus at least, over the time: 12 per coordinate
 * for error feedback (residual and gradient read, residual written), 4 for a selection, 8 per value
 * of a sparse vector; what is sent, and lists between two passes, are the op's own affair. The
 * limit is what plain loops of the same kind reach here at the same time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench.h"

#define PACKAGES   32
#define SHARE      10 /* one coordinate of so many is sent */
#define CHECK_SIZE (1u << 20)

/* Arrays on one device. */
struct set {
    struct owm_device *device;
    uint32_t n, k;
    float *residual, *gradient, *value, *package_value;
    uint32_t *index, *package_index;
    void *code;
    int8_t *exponent;
    uint32_t count;
    int floor_exponent;
    float alpha[PACKAGES];
    struct owm_sparse package[PACKAGES];
    double gram[PACKAGES * PACKAGES];
    enum owm_quant quant;
    owm_status status; /* of the last call */
};

/* Sums of uniform numbers are normal enough, and quick. */
static float *normals(uint32_t n, uint64_t seed)
{
    float *x = malloc((size_t)n * sizeof *x);
    struct owm_rng rng;
    owm_rng_seed(&rng, seed);
    for (uint32_t i = 0; x && i < n; i++) {
        uint64_t bits = owm_rng_u64(&rng);
        x[i] = (float)((int)(bits & 0xffff) + (int)(bits >> 16 & 0xffff)
                       + (int)(bits >> 32 & 0xffff) + (int)(bits >> 48) - 131070)
               * 1e-7f;
    }
    return x;
}

static owm_status on_device(struct owm_device *device, void *out, const void *from, size_t bytes)
{
    void *mem;
    owm_status status = device->backend->mem_alloc(device, &mem, bytes);
    if (status != OWM_OK) return status;
    memcpy(out, &mem, sizeof mem);
    return from ? device->backend->mem_put(device, mem, from, bytes) : OWM_OK;
}

static void set_close(struct set *s)
{
    void *const mems[] = {s->residual, s->gradient, s->value,         s->index,
                          s->code,     s->exponent, s->package_value, s->package_index};
    for (size_t i = 0; i < sizeof mems / sizeof *mems; i++)
        s->device->backend->mem_free(s->device, mems[i]);
    *s = (struct set){0};
}

static owm_status set_open(struct set *s, struct owm_device *device, uint32_t n, uint64_t seed)
{
    *s = (struct set){.device = device, .n = n, .k = n / SHARE ? n / SHARE : 1};
    float *host = normals(n, seed);
    if (!host) return OWM_E_NOMEM;
    owm_status status = on_device(device, &s->gradient, host, (size_t)n * sizeof *host);
    free(host);
    if (status == OWM_OK) status = on_device(device, &s->residual, NULL, (size_t)n * sizeof(float));
    if (status == OWM_OK) status = on_device(device, &s->index, NULL, (size_t)s->k * 4);
    if (status == OWM_OK) status = on_device(device, &s->value, NULL, (size_t)s->k * 4);
    if (status == OWM_OK) status = on_device(device, &s->code, NULL, (size_t)s->k * 2);
    if (status == OWM_OK) status = on_device(device, &s->exponent, NULL, n / OWM_QUANT_GROUP + 1);
    if (status != OWM_OK) set_close(s);
    return status;
}

/* --- the calls ----------------------------------------------------------------------------------
 */

static void call_topk(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->topk(
        s->device, &(struct owm_topk){s->gradient, s->index, &s->count, s->n, s->k});
}

static void call_threshold(void *ctx)
{
    struct set *s = ctx; /* a bound that 8 in 100 reach */
    s->status = s->device->backend->threshold(
        s->device, &(struct owm_threshold){s->gradient, s->index, &s->count, s->n, s->k, 0.0066f});
}

static void call_feedback(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->feedback(
        s->device, &(struct owm_feedback_step){.residual = s->residual,
                                               .gradient = s->gradient,
                                               .index = s->index,
                                               .value = s->value,
                                               .code = s->code,
                                               .exponent = s->exponent,
                                               .count = &s->count,
                                               .floor_exponent = &s->floor_exponent,
                                               .n = s->n,
                                               .k = s->k,
                                               .decay = 1,
                                               .quant = s->quant});
}

static void call_quantise(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->quantise(
        s->device, &(struct owm_quantise){s->value, s->index, s->code, s->exponent, s->count, s->n,
                                          s->floor_exponent, s->quant});
}

static void call_scatter(void *ctx)
{
    struct set *s = ctx;
    struct owm_sparse package = {s->count, s->floor_exponent, s->index, s->value};
    s->status = s->device->backend->scatter_add(
        s->device, &(struct owm_scatter_add){s->residual, &package, 0.25f, s->n});
}

static void call_apply(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->apply_update(
        s->device, &(struct owm_apply_update){s->residual, NULL, s->gradient, s->n, 1e-3f, 0});
}

static void call_sum(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->sparse_sum(
        s->device, &(struct owm_sparse_sum){s->residual, s->package, s->alpha, PACKAGES, 0, s->n});
}

static void call_gram(void *ctx)
{
    struct set *s = ctx;
    s->status = s->device->backend->sparse_gram(
        s->device, &(struct owm_sparse_gram){s->gram, s->package, PACKAGES});
}

/* PACKAGES vectors of one coordinate in ten, quantised as nodes do. */
static owm_status make_packages(struct set *s)
{
    owm_status status = on_device(s->device, &s->package_index, NULL, (size_t)s->k * PACKAGES * 4);
    if (status == OWM_OK)
        status = on_device(s->device, &s->package_value, NULL, (size_t)s->k * PACKAGES * 4);
    float *own_value = s->value, *own_gradient = s->gradient;
    uint32_t *own_index = s->index;
    s->gradient = NULL;
    s->quant = OWM_QUANT_I8;
    for (uint32_t p = 0; p < PACKAGES && status == OWM_OK; p++) {
        float *host = normals(s->n, 1000 + p);
        if (!host) status = OWM_E_NOMEM;
        if (status == OWM_OK)
            status = on_device(s->device, &s->gradient, host, (size_t)s->n * sizeof(float));
        free(host);
        if (status != OWM_OK) break;
        s->index = s->package_index + (size_t)p * s->k;
        s->value = s->package_value + (size_t)p * s->k;
        (void)s->device->backend->mem_zero(s->device, s->residual, (size_t)s->n * sizeof(float));
        call_feedback(s);
        status = s->status;
        s->alpha[p] = 1.0f / (float)(p + 2);
        s->package[p] = (struct owm_sparse){s->count, s->floor_exponent, s->index, s->value};
        s->device->backend->mem_free(s->device, s->gradient);
        s->gradient = NULL;
    }
    s->value = own_value;
    s->index = own_index;
    s->gradient = own_gradient;
    return status;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static const struct op {
    const char *name;
    void (*call)(void *);
    enum owm_quant quant;
    bool packages;
    double bytes_per_n, bytes_per_k; /* that must be moved */
    bool reads;                      /* held against reading, not against updating */
} ops[] = {
    {"feedback-i8", call_feedback, OWM_QUANT_I8, false, 12, 0, false},
    {"feedback-bf16", call_feedback, OWM_QUANT_BF16, false, 12, 0, false},
    {"topk", call_topk, OWM_QUANT_I8, false, 4, 0, true},
    {"threshold", call_threshold, OWM_QUANT_I8, false, 4, 0, true},
    {"quantise-i8", call_quantise, OWM_QUANT_I8, false, 0, 13, false},
    {"quantise-bf16", call_quantise, OWM_QUANT_BF16, false, 0, 14, false},
    {"scatter_add", call_scatter, OWM_QUANT_I8, false, 8, 8, false},
    {"apply_update", call_apply, OWM_QUANT_I8, false, 12, 0, false},
    {"sparse_sum", call_sum, OWM_QUANT_I8, true, 4, 8 * PACKAGES, true},
    {"sparse_gram", call_gram, OWM_QUANT_I8, true, 0, 8 * PACKAGES, true},
};

static bool same(const struct set *a, const struct set *b, const void *x, const void *y,
                 size_t bytes)
{
    void *p = malloc(bytes), *q = malloc(bytes);
    bool good = p && q && a->device->backend->mem_get(a->device, p, x, bytes) == OWM_OK
                && b->device->backend->mem_get(b->device, q, y, bytes) == OWM_OK
                && memcmp(p, q, bytes) == 0;
    free(p);
    free(q);
    return good;
}

static bool same_sets(const struct set *a, const struct set *b, const struct op *op)
{
    if (a->status != OWM_OK || b->status != OWM_OK || a->count != b->count) return false;
    return same(a, b, a->residual, b->residual, (size_t)a->n * 4)
           && same(a, b, a->index, b->index, (size_t)a->count * 4)
           && same(a, b, a->value, b->value, (size_t)a->count * 4)
           && same(a, b, a->code, b->code, (size_t)a->count * (op->quant == OWM_QUANT_I8 ? 1 : 2))
           && memcmp(a->gram, b->gram, sizeof a->gram) == 0;
}

/* The op once on a smaller vector, here and by the reference: the same bits? */
static owm_status check(struct owm_device *device, const struct op *op, uint32_t n)
{
    struct owm_device *reference;
    struct owm_error error;
    struct set a = {0}, b = {0};
    owm_status status =
        owm_backend_reference.open(&reference, &(struct owm_device_config){0}, &error);
    if (status != OWM_OK) return status;
    n = n < CHECK_SIZE ? n : CHECK_SIZE;
    status = set_open(&a, device, n, 5);
    if (status == OWM_OK) status = set_open(&b, reference, n, 5);
    for (int i = 0; i < 2 && status == OWM_OK; i++) {
        struct set *s = i ? &b : &a;
        if (op->packages) status = make_packages(s);
        s->quant = op->quant;
        call_feedback(s);
        op->call(s);
    }
    if (status == OWM_OK && !same_sets(&a, &b, op)) status = OWM_E_DEVICE;
    if (a.device) set_close(&a);
    if (b.device) set_close(&b);
    reference->backend->close(reference);
    return status;
}

static double limit_of(const struct bench_device *opened, const struct op *op)
{
    return op->reads ? bench_bandwidth(opened) : bench_stream(opened);
}

static owm_status run_op(const struct bench_options *options, const struct bench_device *opened,
                         const struct op *op, struct set *s, struct owm_error *error)
{
    char shape[32];
    owm_status status = check(opened->device, op, s->n);
    if (status != OWM_OK)
        return owm_fail(error, status, "%s: the result is not that of the reference", op->name);
    s->quant = op->quant;
    call_feedback(s); /* something to quantise and to scatter */
    bool events = opened->device->backend->event_record != NULL;
    double before = limit_of(opened, op);
    struct bench_span span = bench_time(events ? opened->device : NULL, op->call, s);
    double after = limit_of(opened, op); /* The neighbours' share changes by the second. */
    if (s->status != OWM_OK) return owm_fail(error, s->status, "%s failed", op->name);
    (void)snprintf(shape, sizeof shape, "%s%.3gM", op->packages ? "32 x " : "", s->n / 1e6);
    struct bench_row row = {.bench = "topk",
                            .op = op->name,
                            .shape = shape,
                            .unit = "GB/s",
                            .backend = opened->device->backend->name,
                            .device = opened->arch,
                            .limit = (before + after) / 2e9,
                            .limit_name = op->reads ? "read bandwidth" : "stream bandwidth"};
    bench_row_rate(&row, span, 1e-9 * (op->bytes_per_n * s->n + op->bytes_per_k * s->k));
    bench_print(options, &row);
    return OWM_OK;
}

static owm_status run_size(const struct bench_options *options, const struct bench_device *opened,
                           uint32_t n, struct owm_error *error)
{
    struct set s;
    owm_status status = set_open(&s, opened->device, n, 1);
    if (status != OWM_OK)
        return owm_fail(error, status, "no memory for vectors of %u coordinates", n);
    bool packed = false;
    for (size_t i = 0; i < sizeof ops / sizeof *ops && status == OWM_OK; i++) {
        const struct op *op = &ops[i];
        /* Packages of the largest size would fill a small machine. */
        if (!bench_wants(options, op->name) || (op->packages && n > 50000000)) continue;
        if (op->packages && !packed) status = make_packages(&s);
        packed = packed || op->packages;
        if (status == OWM_OK) status = run_op(options, opened, op, &s, error);
    }
    set_close(&s);
    return status;
}

owm_status bench_topk(const struct bench_options *options, struct owm_error *error)
{
    static const uint32_t sizes[] = {1000000, 25000000, 100000000};
    struct bench_device opened;
    owm_status status = bench_open(&opened, options, error);
    if (status != OWM_OK) return status;
    if (options->size) status = run_size(options, &opened, (uint32_t)options->size, error);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !options->size && status == OWM_OK; i++)
        status = run_size(options, &opened, sizes[i], error);
    bench_close(&opened);
    return status;
}
