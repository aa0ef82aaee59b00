/* model_f32.c: the ops of training in f32: products, LoRA's thin ones included, attention, and what
 * memory bounds.
 *
 * Each is checked on a part that the reference can do on its own: the first rows, the first
 * positions (causal attention knows nothing of the later ones), the first coordinates.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

#define GIGA 1e9

/* An op of the table as a call that model_time takes. */
#define CALL(op)                                                                                   \
    static owm_status call_##op(struct owm_device *device, const void *args)                       \
    {                                                                                              \
        return device->backend->op(device, args);                                                  \
    }
CALL(gemm)
CALL(attention)
CALL(attention_bwd)
CALL(rmsnorm)
CALL(swiglu)
CALL(cross_entropy)
CALL(adamw)

/** Host copy of device memory; NULL: no memory, or the device failed. */
static float *host_of(struct model *m, const float *dev, size_t count)
{
    float *host = malloc(count * sizeof *host);
    if (host && m->device->backend->mem_get(m->device, host, dev, count * 4) == OWM_OK) return host;
    free(host);
    return NULL;
}

/** same: the device's numbers are the reference's, to 1e-4 of the largest. */
static owm_status same(struct model *m, const char *op, const float *dev, const float *want,
                       size_t count, struct owm_error *error)
{
    float *got = host_of(m, dev, count);
    double top = 0, worst = 0;
    if (!got) return OWM_E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        top = fmax(top, fabs((double)want[i]));
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    free(got);
    if (worst <= 1e-4 * top) return OWM_OK;
    return owm_fail(error, OWM_E_STATE, "%s is off by %g of %g", op, worst, top);
}

struct timed {
    const char *op, *shape, *unit;
    owm_status (*call)(struct owm_device *, const void *);
    const void *args;
    double work; /* In units. */
    struct model_limit limit;
};

static owm_status timed_row(struct model *m, const struct timed *t)
{
    struct model_call call = {.m = m, .call = t->call, .args = t->args};
    struct bench_span span = model_time(&call);
    if (!call.status) model_row(m, t->op, t->shape, t->unit, span, t->work, t->limit);
    return call.status;
}

/* --- products --- */

/** The lower of the pipe and of what memory feeds it: bytes that must move at least once. */
static struct model_limit gemm_limit(struct model *m, const struct owm_gemm *g, bool update)
{
    struct model_limit pipe = {0};
    if (!model_on_cpu(m)) return pipe;
    pipe = model_peak(m, BENCH_FMA_F32, "fma peak");
    double bytes = 4.0 * ((double)g->m * g->k + (double)g->n * g->k + (double)g->m * g->n);
    if (update) bytes += 4.0 * g->m * g->n;
    if (bytes < 64e6) return pipe; /* It may stay in a cache: no bound from memory. */
    struct model_limit memory = update ? model_stream(m) : model_bandwidth(m);
    memory.value *= 2.0 * g->m * g->n * g->k / bytes;
    return memory.value < pipe.value ? memory : pipe;
}

static owm_status gemm_check(struct model *m, const struct owm_gemm *g, struct owm_error *error)
{
    if (g->trans_a) return OWM_OK; /* Its rows are no prefix of memory; the tests have them. */
    struct owm_gemm part = *g;
    part.m = g->m < 3 ? g->m : 3;
    part.accumulate = false;
    struct owm_gemm whole = *g;
    whole.accumulate = false;
    size_t b_count = (size_t)g->n * g->k;
    float *a = host_of(m, g->a, (size_t)part.m * g->k), *b = host_of(m, g->b, b_count);
    float *c = calloc((size_t)part.m * g->n, sizeof *c);
    part.a = a, part.b = b, part.c = c;
    owm_status status = a && b && c ? OWM_OK : OWM_E_NOMEM;
    if (!status) status = m->reference->backend->gemm(m->reference, &part);
    if (!status) status = m->device->backend->gemm(m->device, &whole);
    if (!status) status = same(m, "gemm", g->c, c, (size_t)part.m * g->n, error);
    free(a), free(b), free(c);
    return status;
}

static owm_status gemm_row(struct model *m, const char *op, struct owm_gemm g,
                           struct owm_error *error)
{
    char shape[64];
    if (!bench_wants(m->options, op)) return OWM_OK;
    g.lda = g.trans_a ? g.m : g.k;
    g.ldb = g.trans_b ? g.k : g.n;
    g.ldc = g.n;
    float *a = model_floats(m, (size_t)g.m * g.k, true);
    float *b = model_floats(m, (size_t)g.n * g.k, true);
    g.c = model_floats(m, (size_t)g.m * g.n, false);
    g.a = a, g.b = b;
    owm_status status = a && b && g.c ? gemm_check(m, &g, error) : OWM_E_NOMEM;
    snprintf(shape, sizeof shape, "m %u n %u k %u%s%s", g.m, g.n, g.k, g.trans_a ? " at" : "",
             g.trans_b ? " bt" : "");
    if (!status)
        status = timed_row(m, &(struct timed){op, shape, "GFLOP/s", call_gemm, &g,
                                              2.0 * g.m * g.n * g.k / GIGA,
                                              gemm_limit(m, &g, g.accumulate)});
    model_free(m, a), model_free(m, b), model_free(m, g.c);
    return status;
}

static owm_status products(struct model *m, struct owm_error *error)
{
    /* Forward, gradient of the input, gradient of the weights; then the same for LoRA of rank 8. */
    static const struct {
        const char *op;
        struct owm_gemm g;
    } rows[] = {
        {"gemm", {.m = 512, .n = 2048, .k = 768, .trans_b = true}},
        {"gemm", {.m = 512, .n = 768, .k = 2048}},
        {"gemm", {.m = 2048, .n = 768, .k = 512, .trans_a = true, .accumulate = true}},
        {"gemm lora", {.m = 512, .n = 8, .k = 2048, .trans_b = true}},
        {"gemm lora", {.m = 512, .n = 2048, .k = 8, .trans_b = true, .accumulate = true}},
        {"gemm lora", {.m = 512, .n = 8, .k = 2048}},
        {"gemm lora", {.m = 2048, .n = 8, .k = 512, .trans_a = true, .accumulate = true}},
        {"gemm lora", {.m = 1, .n = 16, .k = 2048, .trans_b = true}},
        {"gemm lora", {.m = 1, .n = 2048, .k = 16, .trans_b = true, .accumulate = true}},
    };
    owm_status status = OWM_OK;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !status; i++)
        status = gemm_row(m, rows[i].op, rows[i].g, error);
    return status;
}

/* --- attention --- */

enum { TIME = 1024, HEADS = 12, WIDE = 64, FIRST = 16 };

struct attention_memory {
    float *qkv, *out, *lse, *dout, *dqkv;
};

/** Both directions of the first positions, on the device and on the reference. */
static owm_status attention_check(struct model *m, const struct attention_memory *d,
                                  struct owm_error *error)
{
    const size_t rows = FIRST, out_n = rows * HEADS * WIDE, qkv_n = 3 * out_n;
    struct attention_memory h = {host_of(m, d->qkv, qkv_n), calloc(out_n, 4),
                                 calloc(rows * HEADS, 4), host_of(m, d->dout, out_n),
                                 calloc(qkv_n, 4)};
    const struct owm_attention dev = {d->out, d->lse, d->qkv, 1, FIRST, HEADS, HEADS, WIDE};
    const struct owm_attention ref = {h.out, h.lse, h.qkv, 1, FIRST, HEADS, HEADS, WIDE};
    const struct owm_attention_bwd dev_b = {d->dqkv, d->dout, d->out, d->lse, d->qkv,
                                            1,       FIRST,   HEADS,  HEADS,  WIDE};
    const struct owm_attention_bwd ref_b = {h.dqkv, h.dout, h.out, h.lse, h.qkv,
                                            1,      FIRST,  HEADS, HEADS, WIDE};
    const struct owm_backend *b = m->device->backend, *r = m->reference->backend;
    owm_status status = h.qkv && h.out && h.lse && h.dout && h.dqkv ? OWM_OK : OWM_E_NOMEM;
    if (!status) status = b->attention(m->device, &dev);
    if (!status) status = r->attention(m->reference, &ref);
    if (!status) status = same(m, "attention", d->out, h.out, out_n, error);
    if (!status) status = b->attention_bwd(m->device, &dev_b);
    if (!status) status = r->attention_bwd(m->reference, &ref_b);
    if (!status) status = same(m, "attention_bwd", d->dqkv, h.dqkv, qkv_n, error);
    free(h.qkv), free(h.out), free(h.lse), free(h.dout), free(h.dqkv);
    return status;
}

static owm_status attention_rows(struct model *m, struct owm_error *error)
{
    const size_t out_n = (size_t)TIME * HEADS * WIDE;
    /* Two products of the lower triangle forward, five backward. */
    const double triangle = 2.0 * HEADS * WIDE * ((double)TIME * (TIME + 1) / 2) / GIGA;
    if (!bench_wants(m->options, "attention") && !bench_wants(m->options, "attention_bwd"))
        return OWM_OK;
    struct attention_memory d = {model_floats(m, 3 * out_n, true), model_floats(m, out_n, false),
                                 model_floats(m, (size_t)TIME * HEADS, false),
                                 model_floats(m, out_n, true), model_floats(m, 3 * out_n, false)};
    const struct owm_attention a = {d.out, d.lse, d.qkv, 1, TIME, HEADS, HEADS, WIDE};
    const struct owm_attention_bwd b = {d.dqkv, d.dout, d.out, d.lse, d.qkv,
                                        1,      TIME,   HEADS, HEADS, WIDE};
    struct model_limit peak = model_peak(m, BENCH_FMA_F32, "fma peak");
    owm_status status = d.qkv && d.out && d.lse && d.dout && d.dqkv ? OWM_OK : OWM_E_NOMEM;
    if (!status) status = attention_check(m, &d, error);
    if (!status)
        status = timed_row(m, &(struct timed){"attention", "T 1024 H 12 E 64", "GFLOP/s",
                                              call_attention, &a, 2 * triangle, peak});
    if (!status)
        status = timed_row(m, &(struct timed){"attention_bwd", "T 1024 H 12 E 64", "GFLOP/s",
                                              call_attention_bwd, &b, 5 * triangle, peak});
    model_free(m, d.qkv), model_free(m, d.out), model_free(m, d.lse);
    model_free(m, d.dout), model_free(m, d.dqkv);
    return status;
}

/* --- what memory bounds --- */

enum { ROWS = 16384, COLS = 2048, VOCAB = 32000, LOGIT_ROWS = 1024, FEW = 2 };

static owm_status norm_row(struct model *m, struct owm_error *error)
{
    const size_t n = (size_t)ROWS * COLS;
    if (!bench_wants(m->options, "rmsnorm")) return OWM_OK;
    float *x = model_floats(m, n, true), *w = model_floats(m, COLS, true);
    float *out = model_floats(m, n, false), want[FEW * COLS];
    float *hx = x ? host_of(m, x, sizeof want / 4) : NULL, *hw = w ? host_of(m, w, COLS) : NULL;
    const struct owm_rmsnorm a = {out, x, w, ROWS, COLS, 1e-5f};
    const struct owm_rmsnorm r = {want, hx, hw, FEW, COLS, 1e-5f};
    owm_status status = out && hx && hw ? m->device->backend->rmsnorm(m->device, &a) : OWM_E_NOMEM;
    if (!status) status = m->reference->backend->rmsnorm(m->reference, &r);
    if (!status) status = same(m, "rmsnorm", out, want, sizeof want / 4, error);
    if (!status)
        status = timed_row(m, &(struct timed){"rmsnorm", "R 16384 C 2048", "GB/s", call_rmsnorm, &a,
                                              8.0 * (double)n / GIGA, model_stream(m)});
    free(hx), free(hw);
    model_free(m, x), model_free(m, w), model_free(m, out);
    return status;
}

static owm_status swiglu_row(struct model *m, struct owm_error *error)
{
    const size_t n = (size_t)ROWS * COLS;
    if (!bench_wants(m->options, "swiglu")) return OWM_OK;
    float *x = model_floats(m, 2 * n, true), *out = model_floats(m, n, false), want[FEW * COLS];
    float *hx = x ? host_of(m, x, 2 * sizeof want / 4) : NULL;
    const struct owm_swiglu a = {out, x, ROWS, COLS}, r = {want, hx, FEW, COLS};
    owm_status status = out && hx ? m->device->backend->swiglu(m->device, &a) : OWM_E_NOMEM;
    if (!status) status = m->reference->backend->swiglu(m->reference, &r);
    if (!status) status = same(m, "swiglu", out, want, sizeof want / 4, error);
    if (!status)
        status = timed_row(m, &(struct timed){"swiglu", "R 16384 C 2048", "GB/s", call_swiglu, &a,
                                              12.0 * (double)n / GIGA, model_stream(m)});
    free(hx);
    model_free(m, x), model_free(m, out);
    return status;
}

static owm_status loss_row(struct model *m, struct owm_error *error)
{
    static uint16_t targets[LOGIT_ROWS];
    const size_t n = (size_t)LOGIT_ROWS * VOCAB;
    if (!bench_wants(m->options, "cross_entropy")) return OWM_OK;
    for (size_t i = 0; i < LOGIT_ROWS; i++) targets[i] = (uint16_t)owm_rng_below(&m->rng, VOCAB);
    float *x = model_floats(m, n, true), *dx = model_floats(m, n, false);
    float *losses = model_floats(m, LOGIT_ROWS, false), want[FEW];
    float *hx = x ? host_of(m, x, (size_t)FEW * VOCAB) : NULL;
    const struct owm_cross_entropy a = {losses, dx, x, targets, LOGIT_ROWS, VOCAB, 1};
    const struct owm_cross_entropy r = {want, NULL, hx, targets, FEW, VOCAB, 1};
    owm_status status =
        dx && losses && hx ? m->device->backend->cross_entropy(m->device, &a) : OWM_E_NOMEM;
    if (!status) status = m->reference->backend->cross_entropy(m->reference, &r);
    if (!status) status = same(m, "cross_entropy", losses, want, FEW, error);
    if (!status)
        status = timed_row(m, &(struct timed){"cross_entropy", "R 1024 V 32000", "GB/s",
                                              call_cross_entropy, &a, 8.0 * (double)n / GIGA,
                                              model_stream(m)});
    free(hx);
    model_free(m, x), model_free(m, dx), model_free(m, losses);
    return status;
}

static owm_status adamw_row(struct model *m, struct owm_error *error)
{
    enum { N = 1 << 24, PART = 4096 };
    if (!bench_wants(m->options, "adamw")) return OWM_OK;
    float *p[4], *h[4] = {NULL};
    for (int i = 0; i < 4; i++) p[i] = model_floats(m, N, i == 0 || i == 3);
    owm_status status = p[0] && p[1] && p[2] && p[3] ? OWM_OK : OWM_E_NOMEM;
    for (int i = 0; i < 4 && !status; i++)
        if (!(h[i] = host_of(m, p[i], PART))) status = OWM_E_NOMEM;
    struct owm_adamw a = {p[0], p[1], p[2], p[3], N, 1, 1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 1};
    struct owm_adamw r = a;
    r.params = h[0], r.m = h[1], r.v = h[2], r.grad = h[3], r.count = PART;
    if (!status) status = m->device->backend->adamw(m->device, &a);
    if (!status) status = m->reference->backend->adamw(m->reference, &r);
    if (!status) status = same(m, "adamw", p[0], h[0], PART, error);
    if (!status)
        status = timed_row(m, &(struct timed){"adamw", "N 16777216", "GB/s", call_adamw, &a,
                                              28.0 * N / GIGA, model_stream(m)});
    for (int i = 0; i < 4; i++) model_free(m, p[i]), free(h[i]);
    return status;
}

owm_status model_f32(struct model *m, struct owm_error *error)
{
    owm_status status = products(m, error);
    if (!status) status = attention_rows(m, error);
    if (!status) status = norm_row(m, error);
    if (!status) status = swiglu_row(m, error);
    if (!status) status = loss_row(m, error);
    if (!status) status = adamw_row(m, error);
    return status;
}
