/* generate.c: one token at a time against a KV cache. */
#include "generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "decoder.h"

struct owm_session {
    owm_model *model;
    struct owm_sampling sampling;
    struct owm_rng rng;
    uint32_t length;  /* Tokens in the cache, which `history` repeats as bytes. */
    uint8_t *history; /* [context] */
    struct choice {
        double weight;
        uint32_t byte;
    } choices[256];
    float logits_host[256];

    void *memory;             /* Device memory of what follows. */
    float *k_cache, *v_cache; /* [layers][context][kv_heads * head_dim] */
    float *x, *h, *q, *att, *gate_up, *act, *delta, *logits;
};

static size_t lay_out(owm_session *s, float *base)
{
    const struct owm_model_config *c = &s->model->config;
    size_t cache = (size_t)c->layers * c->context * c->kv_heads * s->model->head_dim;
    const struct {
        float **at;
        size_t count;
    } parts[] = {
        {&s->k_cache, cache},   {&s->v_cache, cache},  {&s->x, c->dim},
        {&s->h, c->dim},        {&s->q, c->dim},       {&s->att, c->dim},
        {&s->delta, c->dim},    {&s->act, c->ffn_dim}, {&s->gate_up, 2 * (size_t)c->ffn_dim},
        {&s->logits, c->vocab},
    };
    size_t used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (base) *parts[i].at = base + used;
        used += (parts[i].count + 15) & ~(size_t)15;
    }
    return used;
}

owm_status owm_session_open(owm_session **session, owm_model *model,
                            const struct owm_sampling *sampling, struct owm_error *error)
{
    *session = NULL;
    if (!(sampling->temperature >= 0) || !isfinite(sampling->temperature))
        return owm_fail(error, OWM_E_ARG, "generation: temperature must be 0 or above");
    if (model->config.vocab < 256)
        return owm_fail(error, OWM_E_ARG, "generation: the model's vocabulary of %u is below 256",
                        model->config.vocab);
    owm_session *s = calloc(1, sizeof *s);
    if (!s) return owm_fail(error, OWM_E_NOMEM, "generation: no memory");
    s->model = model;
    s->sampling = *sampling;
    owm_rng_seed(&s->rng, sampling->seed);
    s->history = malloc(model->config.context);
    struct owm_device *device = model->device;
    owm_status status = s->history ? device->backend->mem_alloc(device, &s->memory,
                                                                lay_out(s, NULL) * sizeof(float))
                                   : OWM_E_NOMEM;
    if (status != OWM_OK) {
        owm_session_close(s);
        return owm_fail(error, status, "generation: no memory for the cache");
    }
    (void)lay_out(s, s->memory);
    *session = s;
    return OWM_OK;
}

void owm_session_close(owm_session *s)
{
    if (!s) return;
    if (s->memory) s->model->device->backend->mem_free(s->model->device, s->memory);
    free(s->history);
    free(s);
}

static owm_status rotate(owm_session *s, float *x, uint32_t heads)
{
    owm_model *m = s->model;
    struct owm_rope r = {.x = x,
                         .cos_sin = m->rope,
                         .rows = 1,
                         .stride = heads * m->head_dim,
                         .heads = heads,
                         .head_dim = m->head_dim,
                         .first = s->length,
                         .period = 1,
                         .positions = m->config.context};
    return m->device->backend->rope(m->device, &r);
}

/** layer_attention: keys and values are computed straight into their rows of the cache. */
static owm_status layer_attention(owm_session *s, uint32_t layer)
{
    owm_model *m = s->model;
    const struct owm_model_config *c = &m->config;
    uint32_t kv = c->kv_heads * m->head_dim;
    size_t cache = (size_t)layer * c->context * kv, row = cache + (size_t)s->length * kv;
    const float *qkv = m->params + m->at[layer].attn_qkv, *k = qkv + (size_t)c->dim * c->dim;
    TRY(decoder_linear(m, s->q, s->h, qkv, 1, c->dim, c->dim));
    TRY(decoder_linear(m, s->k_cache + row, s->h, k, 1, kv, c->dim));
    TRY(decoder_linear(m, s->v_cache + row, s->h, k + (size_t)kv * c->dim, 1, kv, c->dim));
    TRY(rotate(s, s->q, c->heads));
    TRY(rotate(s, s->k_cache + row, c->kv_heads));
    struct owm_attention_decode a = {
        s->att,        s->q,     s->k_cache + cache, s->v_cache + cache,
        s->length + 1, c->heads, c->kv_heads,        m->head_dim};
    return m->device->backend->attention_decode(m->device, &a);
}

static owm_status layer(owm_session *s, uint32_t l)
{
    owm_model *m = s->model;
    const struct owm_backend *ops = m->device->backend;
    const struct owm_model_config *c = &m->config;
    const struct layer_at *at = &m->at[l];
    TRY(decoder_norm(m, s->h, s->x, at->attn_norm, 1));
    TRY(layer_attention(s, l));
    TRY(decoder_linear(m, s->delta, s->att, m->params + at->attn_out, 1, c->dim, c->dim));
    TRY(ops->add(m->device, s->x, s->x, s->delta, c->dim));
    TRY(decoder_norm(m, s->h, s->x, at->ffn_norm, 1));
    TRY(decoder_linear(m, s->gate_up, s->h, m->params + at->ffn_gate_up, 1, 2 * c->ffn_dim,
                       c->dim));
    TRY(ops->swiglu(m->device, &(struct owm_swiglu){s->act, s->gate_up, 1, c->ffn_dim}));
    TRY(decoder_linear(m, s->delta, s->act, m->params + at->ffn_down, 1, c->dim, c->ffn_dim));
    return ops->add(m->device, s->x, s->x, s->delta, c->dim);
}

/** decode: one byte through all layers into the cache, at position `length`. */
static owm_status decode(owm_session *s, uint8_t byte)
{
    owm_model *m = s->model;
    uint16_t token = byte;
    struct owm_embedding e = {s->x, m->params, &token, 1, m->config.dim, m->config.vocab};
    TRY(m->device->backend->embedding(m->device, &e));
    for (uint32_t l = 0; l < m->config.layers; l++) TRY(layer(s, l));
    s->history[s->length++] = byte;
    return OWM_OK;
}

/** make_room: when the context is full, start again from its last half. */
static owm_status make_room(owm_session *s)
{
    uint32_t context = s->model->config.context, keep = context / 2;
    if (s->length < context) return OWM_OK;
    memmove(s->history, s->history + context - keep, keep);
    s->length = 0;
    for (uint32_t i = 0; i < keep; i++) TRY(decode(s, s->history[i]));
    return OWM_OK;
}

owm_status owm_session_feed(owm_session *s, const uint8_t *bytes, size_t count)
{
    uint32_t context = s->model->config.context;
    if (count >= context) { /* Only the end can be seen: the rest would be pushed out again. */
        bytes += count - context;
        count = context;
        s->length = 0;
    }
    for (size_t i = 0; i < count; i++) {
        TRY(make_room(s));
        TRY(decode(s, bytes[i]));
    }
    return OWM_OK;
}

static int heavier(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return (x->byte > y->byte) - (x->byte < y->byte); /* Ties: the lower byte first. */
}

/** sample: from the logits on the host; only the 256 byte tokens take part. */
static owm_status sample(owm_session *s, uint8_t *byte)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < 256; i++) {
        if (!isfinite(s->logits_host[i])) return OWM_E_STATE;
        top = fmax(top, (double)s->logits_host[i]);
    }
    bool greedy = s->sampling.temperature == 0;
    for (uint32_t i = 0; i < 256; i++) {
        double above = (double)s->logits_host[i] - top;
        s->choices[i].byte = i;
        s->choices[i].weight = greedy ? above : exp(above / (double)s->sampling.temperature);
    }
    qsort(s->choices, 256, sizeof *s->choices, heavier);
    *byte = (uint8_t)s->choices[0].byte;
    if (greedy) return OWM_OK;
    uint32_t count = s->sampling.top_k && s->sampling.top_k < 256 ? s->sampling.top_k : 256;
    for (uint32_t i = 0; i < count; i++) sum += s->choices[i].weight;
    double left = owm_rng_f64(&s->rng) * sum;
    for (uint32_t i = 0; i < count && left >= 0; i++) {
        *byte = (uint8_t)s->choices[i].byte;
        left -= s->choices[i].weight;
    }
    return OWM_OK;
}

owm_status owm_session_next(owm_session *s, uint8_t *byte)
{
    owm_model *m = s->model;
    if (s->length == 0) return OWM_E_STATE;
    TRY(decoder_norm(m, s->h, s->x, m->norm_at, 1));
    TRY(decoder_linear(m, s->logits, s->h, m->params, 1, m->config.vocab, m->config.dim));
    TRY(m->device->backend->sync(m->device));
    TRY(m->device->backend->mem_get(m->device, s->logits_host, s->logits, sizeof s->logits_host));
    TRY(sample(s, byte));
    TRY(make_room(s));
    return decode(s, *byte);
}
