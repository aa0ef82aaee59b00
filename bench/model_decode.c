/* model_decode.c: what a server does per token beside the matrices: attention over a cache in
 * pages, and the choice of the next token.
 *
 * Decoding reads the whole cache once and is held against memory; prefill is held against the pipe.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/bf16.h"
#include "model.h"

#define HEADS    32
#define KV_HEADS 4
#define DIM      64
#define PAGE_ROW ((size_t)KV_HEADS * DIM)
#define VOCAB    49152

/* The same inputs on the host, for the reference, and on the device. */
struct paged {
    uint16_t *k, *v;
    float *q, *out;
    uint32_t *page, *sequence, *position;
    void *dev[4]; /* k, v, q, out */
    size_t cache_bytes, rows_bytes;
    struct owm_attention_paged args, want;
};

static void paged_free(struct model *m, struct paged *p)
{
    for (size_t i = 0; i < sizeof p->dev / sizeof *p->dev; i++) model_free(m, p->dev[i]);
    free(p->k), free(p->v), free(p->q), free(p->out);
    free(p->page), free(p->sequence), free(p->position);
}

static owm_status paged_put(struct model *m, struct paged *p)
{
    const struct owm_backend *b = m->device->backend;
    const void *host[4] = {p->k, p->v, p->q, p->out};
    const size_t bytes[4] = {p->cache_bytes, p->cache_bytes, p->rows_bytes, p->rows_bytes};
    owm_status status = OWM_OK;
    for (int i = 0; i < 4 && !status; i++) {
        status = b->mem_alloc(m->device, &p->dev[i], bytes[i]);
        if (!status) status = b->mem_put(m->device, p->dev[i], host[i], bytes[i]);
    }
    return status;
}

/* `rows` new tokens at the end of each of `sequences` contexts of `length`. */
static owm_status paged_open(struct model *m, struct paged *p, uint32_t sequences, uint32_t length,
                             uint32_t rows)
{
    uint32_t each = length / OWM_PAGE_TOKENS, pages = sequences * each, n = sequences * rows;
    size_t cache = (size_t)pages * OWM_PAGE_TOKENS * PAGE_ROW, q = (size_t)n * HEADS * DIM;
    *p = (struct paged){.cache_bytes = cache * 2, .rows_bytes = q * sizeof(float)};
    p->k = malloc(cache * 2), p->v = malloc(cache * 2);
    p->q = malloc(q * sizeof(float)), p->out = calloc(q, sizeof(float));
    p->page = malloc(pages * sizeof *p->page);
    p->sequence = malloc(n * sizeof *p->sequence), p->position = malloc(n * sizeof *p->position);
    if (!p->k || !p->v || !p->q || !p->out || !p->page || !p->sequence || !p->position)
        return OWM_E_NOMEM;
    for (size_t i = 0; i < cache; i++) {
        p->k[i] = bf16_of(2 * owm_rng_f32(&m->rng) - 1);
        p->v[i] = bf16_of(2 * owm_rng_f32(&m->rng) - 1);
    }
    for (size_t i = 0; i < q; i++) p->q[i] = 2 * owm_rng_f32(&m->rng) - 1;
    for (uint32_t i = 0; i < pages; i++) p->page[i] = (i % each) * sequences + i / each;
    for (uint32_t i = 0; i < n; i++)
        p->sequence[i] = i / rows, p->position[i] = length - rows + i % rows;
    owm_status status = paged_put(m, p);
    p->want = (struct owm_attention_paged){
        .out = p->out,
        .q = p->q,
        .cache = {p->k, p->v, pages, KV_HEADS, DIM, true},
        .page = p->page,
        .sequence = p->sequence,
        .position = p->position,
        .rows = n,
        .stride = HEADS * DIM,
        .heads = HEADS,
        .sequences = sequences,
        .pages_each = each,
    };
    p->args = p->want;
    p->args.cache.k = p->dev[0], p->args.cache.v = p->dev[1];
    p->args.q = p->dev[2], p->args.out = p->dev[3];
    return status;
}

static owm_status call_paged(struct owm_device *device, const void *args)
{
    return device->backend->attention_paged(device, args);
}

static owm_status paged_check(struct model *m, struct paged *p, struct owm_error *error)
{
    size_t count = p->rows_bytes / sizeof(float);
    float *got = malloc(p->rows_bytes);
    double worst = 0;
    if (!got) return OWM_E_NOMEM;
    owm_status status = call_paged(m->device, &p->args);
    if (!status) status = call_paged(m->reference, &p->want);
    if (!status) status = m->device->backend->mem_get(m->device, got, p->dev[3], p->rows_bytes);
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)got[i] - (double)p->out[i]));
    free(got);
    if (!status && !(worst <= 1e-4))
        return owm_fail(error, OWM_E_STATE, "attention_paged is off by %g", worst);
    return status;
}

static owm_status paged_row(struct model *m, uint32_t sequences, uint32_t length, uint32_t rows,
                            const char *shape, struct owm_error *error)
{
    bool decode = rows == 1;
    const char *op = decode ? "attention_paged decode" : "attention_paged prefill";
    struct paged p;
    if (!bench_wants(m->options, op)) return OWM_OK;
    owm_status status = paged_open(m, &p, sequences, length, rows);
    if (!status) status = paged_check(m, &p, error);
    if (!status) {
        struct model_call call = {.m = m, .call = call_paged, .args = &p.args};
        struct bench_span span = model_time(&call);
        double products = 0;
        for (uint32_t i = 0; i < p.args.rows; i++) products += p.position[i] + 1.0;
        status = call.status;
        if (!status && decode)
            model_row(m, op, shape, "GB/s", span, 2.0 * (double)p.cache_bytes / 1e9,
                      model_bandwidth(m));
        else if (!status)
            model_row(m, op, shape, "GFLOP/s", span, products * HEADS * DIM * 4 / 1e9,
                      model_peak(m, BENCH_FMA_F32, "fma peak"));
    }
    paged_free(m, &p);
    return status;
}

static owm_status call_sample(struct owm_device *device, const void *args)
{
    return device->backend->sample(device, args);
}

static owm_status sample_row(struct model *m, const char *shape, float temperature)
{
    uint32_t token = 0;
    const float uniform = 0.5f;
    if (!bench_wants(m->options, "sample")) return OWM_OK;
    float *logits = model_floats(m, VOCAB, true);
    if (!logits) return OWM_E_NOMEM;
    struct owm_sample args = {.token = &token,
                              .logits = logits,
                              .uniform = &uniform,
                              .rows = 1,
                              .vocab = VOCAB,
                              .top_k = 40,
                              .temperature = temperature,
                              .top_p = 0.95f};
    struct model_call call = {.m = m, .call = call_sample, .args = &args};
    struct bench_span span = model_time(&call);
    if (!call.status)
        model_row(m, "sample", shape, "GB/s", span, VOCAB * 4 / 1e9, (struct model_limit){0});
    model_free(m, logits);
    return call.status;
}

owm_status model_decode(struct model *m, struct owm_error *error)
{
    owm_status status = paged_row(m, 8, 4096, 1, "8 x 4096, H 32 G 4 E 64 bf16", error);
    if (!status) status = paged_row(m, 1, 32768, 1, "32768, H 32 G 4 E 64 bf16", error);
    if (!status) status = paged_row(m, 1, 1024, 512, "512 of 1024, H 32 G 4 E 64", error);
    if (!status) status = sample_row(m, "V 49152, greedy", 0);
    if (!status) status = sample_row(m, "V 49152, top 40, p 0.95", 0.8f);
    return status;
}
