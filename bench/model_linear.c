/* model_linear.c: products with packed weights: one token of whole models, few rows, many rows, and
 * the gradient. With few rows memory is the limit, so that a pass goes over matrices that no cache
 * holds; with many, a pipe of the processor is.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear_path.h"
#include "model.h"

#define MATRICES_MAX 256
#define CHECK_ROWS   40                  /* Of the weights, against the reference. */
#define RING_BYTES   ((size_t)512 << 20) /* As what the bandwidth is measured on. */
#define GIGA         1e9

static const struct {
    const char *name;
    enum owm_format format;
} formats[] = {{"bf16", OWM_FORMAT_BF16}, {"q8_0", OWM_FORMAT_Q8_0}, {"q4_0", OWM_FORMAT_Q4_0}};

/** list: the matrices of a pass, one after the other. */
struct list {
    struct matrix {
        uint32_t n, k;
        void *packed;
    } matrix[MATRICES_MAX];
    size_t count, bytes;
    enum owm_format format;
    uint32_t m, n_max, k_max;
    uint8_t *source; /* Of the largest; all matrices are parts of it. */
    float *x, *y;
};

struct shape {
    uint32_t n, k, times;
};

static size_t source_row(enum owm_format format, uint32_t k)
{
    return format == OWM_FORMAT_BF16   ? (size_t)k * 2
           : format == OWM_FORMAT_Q8_0 ? (size_t)k / 32 * OWM_BLOCK_BYTES_Q8_0
                                       : (size_t)k / 32 * OWM_BLOCK_BYTES_Q4_0;
}

/** Weights of about 1: bf16 in (-1, 1), blocks with scales near 2^-7. */
static uint8_t *random_source(struct model *m, enum owm_format format, size_t bytes)
{
    uint8_t *source = malloc(bytes + 8);
    if (!source) return NULL;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = owm_rng_u64(&m->rng);
        memcpy(source + i, &word, 8);
    }
    size_t step = format == OWM_FORMAT_BF16 ? 2 : source_row(format, 32);
    for (size_t i = 1; i < bytes; i += step)
        source[i] = (uint8_t)((source[i] & 0x83) | (format == OWM_FORMAT_BF16 ? 0x3c : 0x20));
    return source;
}

static owm_status add(struct model *m, struct list *l, uint32_t n, uint32_t k)
{
    const struct owm_backend *b = m->device->backend;
    if (l->count == MATRICES_MAX) return OWM_E_LIMIT;
    struct matrix *w = &l->matrix[l->count];
    size_t bytes = b->packed_bytes(m->device, l->format, n, k);
    *w = (struct matrix){n, k, NULL};
    owm_status status = b->mem_alloc(m->device, &w->packed, bytes);
    if (status) return status;
    l->count++;
    l->bytes += n * source_row(l->format, k);
    const struct owm_pack pack = {w->packed, l->source, l->format, n, k};
    return b->pack(m->device, &pack);
}

static void list_close(struct model *m, struct list *l)
{
    for (size_t i = 0; i < l->count; i++) model_free(m, l->matrix[i].packed);
    model_free(m, l->x);
    model_free(m, l->y);
    free(l->source);
}

/** Each shape `times` times, and for m rows of activations. */
static owm_status list_open(struct model *m, struct list *l, enum owm_format format, uint32_t rows,
                            const struct shape *shape, size_t shapes)
{
    *l = (struct list){.format = format, .m = rows};
    size_t source_bytes = 0;
    for (size_t i = 0; i < shapes; i++) {
        size_t bytes = shape[i].n * source_row(format, shape[i].k);
        source_bytes = bytes > source_bytes ? bytes : source_bytes;
        l->n_max = shape[i].n > l->n_max ? shape[i].n : l->n_max;
        l->k_max = shape[i].k > l->k_max ? shape[i].k : l->k_max;
    }
    size_t widest = l->n_max > l->k_max ? l->n_max : l->k_max;
    l->source = random_source(m, format, source_bytes);
    l->x = model_floats(m, widest * rows, true);
    l->y = model_floats(m, widest * rows, false);
    owm_status status = l->source && l->x && l->y ? OWM_OK : OWM_E_NOMEM;
    for (size_t i = 0; i < shapes; i++)
        for (uint32_t t = 0; t < shape[i].times && !status; t++)
            status = add(m, l, shape[i].n, shape[i].k);
    if (status) list_close(m, l);
    return status;
}

static owm_status forward(struct owm_device *device, const void *args)
{
    const struct list *l = args;
    owm_status status = OWM_OK;
    for (size_t i = 0; i < l->count && !status; i++) {
        const struct matrix *w = &l->matrix[i];
        const struct owm_linear a = {l->y, l->x, w->packed, l->format, l->m,
                                     w->n, w->k, w->n,      w->k,      false};
        status = device->backend->linear(device, &a);
    }
    return status;
}

static owm_status backward(struct owm_device *device, const void *args)
{
    const struct list *l = args;
    const struct matrix *w = &l->matrix[0];
    const struct owm_linear_bwd a = {l->y, l->x, w->packed, l->format, l->m,
                                     w->n, w->k, w->k,      w->n,      false};
    return device->backend->linear_bwd(device, &a);
}

static bool close_enough(const float *got, const float *want, size_t count, double tolerance)
{
    double top = 0, worst = 0;
    for (size_t i = 0; i < count; i++) {
        top = fmax(top, fabs((double)want[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    return worst <= tolerance * top; /* False for a NaN too. */
}

/** The last matrix's product, first row of x, against the reference. */
static owm_status check(struct model *m, struct list *l, bool is_backward, struct owm_error *error)
{
    const struct owm_backend *b = m->device->backend, *r = m->reference->backend;
    const struct matrix *w = &l->matrix[is_backward ? 0 : l->count - 1];
    uint32_t n = is_backward || w->n < CHECK_ROWS ? w->n : CHECK_ROWS, out = is_backward ? w->k : n;
    size_t inputs = is_backward ? w->n : w->k;
    float *x = malloc(inputs * 4), *got = malloc(out * 4), *want = malloc(out * 4);
    const struct owm_linear a = {want, x, l->source, l->format, 1, n, w->k, n, w->k, false};
    const struct owm_linear_bwd g = {want, x, l->source, l->format, 1, n, w->k, w->k, n, false};
    owm_status status = x && got && want ? OWM_OK : OWM_E_NOMEM;
    if (!status) status = is_backward ? backward(m->device, l) : forward(m->device, l);
    if (!status) status = b->mem_get(m->device, x, l->x, inputs * 4);
    if (!status) status = b->mem_get(m->device, got, l->y, out * 4);
    if (!status)
        status = is_backward ? r->linear_bwd(m->reference, &g) : r->linear(m->reference, &a);
    if (!status && !close_enough(got, want, out, is_backward ? 1e-2 : 1e-4))
        status = owm_fail(error, OWM_E_STATE, "linear%s is wrong for format %d, n %u, k %u",
                          is_backward ? "_bwd" : "", (int)l->format, w->n, w->k);
    free(x), free(got), free(want);
    return status;
}

static double operations(const struct list *l)
{
    double sum = 0;
    for (size_t i = 0; i < l->count; i++) sum += 2.0 * l->m * l->matrix[i].n * l->matrix[i].k;
    return sum;
}

/** Few rows: bytes of weights a second against the bandwidth; as tokens a second for a model. */
static owm_status memory_row(struct model *m, size_t f, uint32_t rows, const char *what,
                             const struct shape *shape, size_t shapes, bool tokens,
                             struct owm_error *error)
{
    char op[64];
    struct list l;
    snprintf(op, sizeof op, "%s %s", tokens ? "decode" : "linear", formats[f].name);
    if (!bench_wants(m->options, op)) return OWM_OK;
    owm_status status = list_open(m, &l, formats[f].format, rows, shape, shapes);
    if (status) return status;
    status = check(m, &l, false, error);
    struct model_call call = {.m = m, .call = forward, .args = &l};
    if (!status) {
        struct model_limit limit = model_bandwidth(m);
        struct bench_span span = model_time(&call);
        double after = model_bandwidth(m).value; /* The neighbours' share changes by the second. */
        limit.value = (limit.value + after) / 2;
        if (tokens) limit.value /= (double)l.bytes / GIGA;
        model_row(m, op, what, tokens ? "tok/s" : "GB/s", span, tokens ? 1 : (double)l.bytes / GIGA,
                  limit);
        status = call.status;
    }
    list_close(m, &l);
    return status;
}

/** The limit of many rows: the pipe that the path uses. */
static struct model_limit pipe_of(struct model *m, enum owm_format format)
{
    if (!model_on_cpu(m)) return (struct model_limit){0};
    const struct linear_path *path = ((struct cpu_device *)m->device)->linear;
    bool tiles = !strcmp(path->name, "amx"), bf16 = path->form[OWM_FORMAT_BF16].x == LINEAR_X_BF16;
    if (format == OWM_FORMAT_BF16)
        return tiles  ? model_peak(m, BENCH_TILE_BF16, "AMX bf16 peak")
               : bf16 ? model_peak(m, BENCH_DOT_BF16, "vdpbf16ps peak")
                      : model_peak(m, BENCH_FMA_F32, "fma peak");
    return tiles ? model_peak(m, BENCH_TILE_I8, "AMX int8 peak; K = 32 fills half a tile")
                 : model_peak(m, BENCH_DOT_I8, "vpdpbusd peak; a scale per 32: 0.73");
}

static owm_status compute_row(struct model *m, size_t f, uint32_t rows, struct shape one,
                              bool is_backward, struct owm_error *error)
{
    char op[64], shape[64];
    struct list l;
    const char *path = model_on_cpu(m) ? ((struct cpu_device *)m->device)->linear->name : "";
    snprintf(op, sizeof op, "linear%s %s %s", is_backward ? "_bwd" : "", formats[f].name, path);
    snprintf(shape, sizeof shape, "m %u n %u k %u", rows, one.n, one.k);
    if (!bench_wants(m->options, op)) return OWM_OK;
    owm_status status = list_open(m, &l, formats[f].format, rows, &one, 1);
    if (status) return status;
    status = check(m, &l, is_backward, error);
    struct model_call call = {.m = m, .call = is_backward ? backward : forward, .args = &l};
    if (!status) {
        struct bench_span span = model_time(&call);
        enum owm_format pipe = is_backward ? OWM_FORMAT_BF16 : formats[f].format;
        model_row(m, op, shape, pipe == OWM_FORMAT_BF16 ? "GFLOP/s" : "GOP/s", span,
                  operations(&l) / GIGA, pipe_of(m, pipe));
        status = call.status;
    }
    list_close(m, &l);
    return status;
}

static owm_status decode_rows(struct model *m, struct owm_error *error)
{
    /* dim 768, 12 layers, ffn 2048, vocabulary 32000; dim 2048, 22 layers, 4 of 32 heads for keys
     * and values, ffn 5632: q k v, o, gate up, down. */
    static const struct shape m134[] = {
        {2304, 768, 12}, {768, 768, 12}, {4096, 768, 12}, {768, 2048, 12}, {32000, 768, 1}};
    static const struct shape m1100[] = {
        {2560, 2048, 22}, {2048, 2048, 22}, {11264, 2048, 22}, {2048, 5632, 22}, {32000, 2048, 1}};
    owm_status status = OWM_OK;
    for (size_t f = 0; f < 3 && !status; f++)
        status = memory_row(m, f, 1, "134M, all matrices", m134, 5, true, error);
    for (size_t f = 1; f < 3 && !status; f++)
        status = memory_row(m, f, 1, "1.1B, all matrices", m1100, 5, true, error);
    return status;
}

static owm_status few_rows(struct model *m, struct owm_error *error)
{
    char what[64];
    owm_status status = OWM_OK;
    for (size_t f = 0; f < 3; f++)
        for (uint32_t rows = 1; rows <= 8 && !status; rows *= 8) {
            struct shape one = {5632, 2048, 0};
            one.times = (uint32_t)(RING_BYTES / (one.n * source_row(formats[f].format, one.k)));
            snprintf(what, sizeof what, "m %u n 5632 k 2048, 512 MiB", rows);
            status = memory_row(m, f, rows, what, &one, 1, false, error);
        }
    return status;
}

static owm_status many_rows(struct model *m, struct owm_error *error)
{
    static const struct shape shapes[] = {{2048, 768, 1}, {5632, 2048, 1}};
    owm_status status = OWM_OK;
    for (size_t f = 0; f < 3; f++)
        for (size_t s = 0; s < 2; s++)
            for (uint32_t rows = 128; rows <= 512 && !status; rows *= 4)
                status = compute_row(m, f, rows, shapes[s], false, error);
    for (size_t f = 0; f < 3 && !status && m->device->backend->linear_bwd; f++)
        status = compute_row(m, f, 512, shapes[1], true, error);
    return status;
}

/** On the cpu every path of the opened instruction set that this machine has; the best first. */
owm_status model_linear(struct model *m, struct owm_error *error)
{
    if (!m->device->backend->linear) return OWM_OK;
    owm_status status = decode_rows(m, error);
    if (!status) status = few_rows(m, error);
    if (!model_on_cpu(m)) return status ? status : many_rows(m, error);
    struct cpu_device *cpu = (struct cpu_device *)m->device;
    const struct linear_path *best = cpu->linear, *path;
    for (size_t i = 0; !status && (path = linear_path_at(i)); i++)
        if (path->here() && !strcmp(path->isa, best->isa)) {
            cpu->linear = path;
            status = many_rows(m, error);
        }
    cpu->linear = best;
    return status;
}
