/* decoder.c: forward and backward of the decoder as a list of ops.
 *
 *   x -> norm -> qkv -> rope -> attention -> out -> (+x) = mid
 *   mid -> norm -> gate, up -> swiglu -> down -> (+mid) = next x
 *   last x -> norm -> embedding transposed -> logits
 */
#include "decoder.h"

owm_status decoder_linear(owm_model *m, float *out, const float *x, const float *weight,
                          uint32_t rows, uint32_t n, uint32_t k)
{
    struct owm_gemm g = {.c = out,
                         .a = x,
                         .b = weight,
                         .m = rows,
                         .n = n,
                         .k = k,
                         .ldc = n,
                         .lda = k,
                         .ldb = k,
                         .trans_b = true};
    return m->device->backend->gemm(m->device, &g);
}

owm_status decoder_norm(owm_model *m, float *out, const float *x, uint64_t weight_at, uint32_t rows)
{
    struct owm_rmsnorm n = {out, x, m->params + weight_at, rows, m->config.dim, m->config.norm_eps};
    return m->device->backend->rmsnorm(m->device, &n);
}

/** linear_bwd: dx = dout times weight; dweight = dout transposed times x. */
static owm_status linear_bwd(owm_model *m, float *dx, uint64_t weight_at, const float *dout,
                             const float *x, uint32_t rows, uint32_t n, uint32_t k)
{
    struct owm_gemm to_x = {.c = dx,
                            .a = dout,
                            .b = m->params + weight_at,
                            .m = rows,
                            .n = k,
                            .k = n,
                            .ldc = k,
                            .lda = n,
                            .ldb = k};
    struct owm_gemm to_weight = {.c = m->grad + weight_at,
                                 .a = dout,
                                 .b = x,
                                 .m = n,
                                 .n = k,
                                 .k = rows,
                                 .ldc = k,
                                 .lda = n,
                                 .ldb = k,
                                 .trans_a = true};
    TRY(m->device->backend->gemm(m->device, &to_x));
    return m->device->backend->gemm(m->device, &to_weight);
}

static owm_status norm_bwd(owm_model *m, const float *dout, const float *x, uint64_t weight_at,
                           uint32_t rows)
{
    struct owm_rmsnorm_bwd n = {.dx = m->dx,
                                .dweight = m->grad + weight_at,
                                .dout = dout,
                                .x = x,
                                .weight = m->params + weight_at,
                                .rows = rows,
                                .cols = m->config.dim,
                                .eps = m->config.norm_eps};
    TRY(m->device->backend->mem_zero(m->device, n.dweight, m->config.dim * sizeof(float)));
    return m->device->backend->rmsnorm_bwd(m->device, &n);
}

/** rope: queries and keys lie side by side, so they are rotated as one run of heads. */
static owm_status rope(owm_model *m, float *qkv, uint32_t rows, uint32_t seq, bool inverse)
{
    struct owm_rope r = {.x = qkv,
                         .cos_sin = m->rope,
                         .rows = rows,
                         .stride = m->qkv,
                         .heads = m->config.heads + m->config.kv_heads,
                         .head_dim = m->head_dim,
                         .period = seq,
                         .positions = m->config.context,
                         .inverse = inverse};
    return m->device->backend->rope(m->device, &r);
}

static owm_status layer_forward(owm_model *m, uint32_t layer, float *next, uint32_t batch,
                                uint32_t seq)
{
    const struct owm_backend *ops = m->device->backend;
    const struct owm_model_config *c = &m->config;
    const struct layer_pass *p = &m->pass[layer];
    const struct layer_at *at = &m->at[layer];
    uint32_t rows = batch * seq;
    size_t stream = (size_t)rows * c->dim;

    TRY(decoder_norm(m, p->h1, p->x, at->attn_norm, rows));
    TRY(decoder_linear(m, p->qkv, p->h1, m->params + at->attn_qkv, rows, m->qkv, c->dim));
    TRY(rope(m, p->qkv, rows, seq, false));
    struct owm_attention a = {p->att, p->lse,   p->qkv,      batch,
                              seq,    c->heads, c->kv_heads, m->head_dim};
    TRY(ops->attention(m->device, &a));
    TRY(decoder_linear(m, m->delta, p->att, m->params + at->attn_out, rows, c->dim, c->dim));
    TRY(ops->add(m->device, p->mid, p->x, m->delta, stream));

    TRY(decoder_norm(m, p->h2, p->mid, at->ffn_norm, rows));
    TRY(decoder_linear(m, p->gate_up, p->h2, m->params + at->ffn_gate_up, rows, 2 * c->ffn_dim,
                       c->dim));
    TRY(ops->swiglu(m->device, &(struct owm_swiglu){p->act, p->gate_up, rows, c->ffn_dim}));
    TRY(decoder_linear(m, m->delta, p->act, m->params + at->ffn_down, rows, c->dim, c->ffn_dim));
    return ops->add(m->device, next, p->mid, m->delta, stream);
}

owm_status decoder_forward(owm_model *m, uint32_t batch, uint32_t seq, bool gradient,
                           double *loss_sum)
{
    const struct owm_backend *ops = m->device->backend;
    const struct owm_model_config *c = &m->config;
    uint32_t rows = batch * seq;
    struct owm_embedding e = {m->pass[0].x, m->params, m->inputs, rows, c->dim, c->vocab};
    TRY(ops->embedding(m->device, &e));
    for (uint32_t l = 0; l < c->layers; l++)
        TRY(layer_forward(m, l, l + 1 < c->layers ? m->pass[l + 1].x : m->x_last, batch, seq));
    TRY(decoder_norm(m, m->h_last, m->x_last, m->norm_at, rows));
    TRY(decoder_linear(m, m->logits, m->h_last, m->params, rows, c->vocab, c->dim));
    struct owm_cross_entropy ce = {
        m->losses,      gradient ? m->logits : NULL, m->logits, m->targets, rows, c->vocab,
        1 / (float)rows};
    TRY(ops->cross_entropy(m->device, &ce));
    TRY(ops->sync(m->device));
    TRY(ops->mem_get(m->device, m->losses_host, m->losses, rows * sizeof(float)));
    *loss_sum = 0;
    for (uint32_t r = 0; r < rows; r++) *loss_sum += (double)m->losses_host[r];
    return OWM_OK;
}

/* dx comes in as the gradient of the layer's output and leaves as that of its input: the residual
 * path needs no copy, since norm_bwd adds to it. */
static owm_status layer_backward(owm_model *m, uint32_t layer, uint32_t batch, uint32_t seq)
{
    const struct owm_backend *ops = m->device->backend;
    const struct owm_model_config *c = &m->config;
    const struct layer_pass *p = &m->pass[layer];
    const struct layer_at *at = &m->at[layer];
    uint32_t rows = batch * seq;

    TRY(linear_bwd(m, m->dact, at->ffn_down, m->dx, p->act, rows, c->dim, c->ffn_dim));
    struct owm_swiglu_bwd s = {p->gate_up, m->dact, p->gate_up, rows, c->ffn_dim};
    TRY(ops->swiglu_bwd(m->device, &s));
    TRY(linear_bwd(m, m->dh, at->ffn_gate_up, p->gate_up, p->h2, rows, 2 * c->ffn_dim, c->dim));
    TRY(norm_bwd(m, m->dh, p->mid, at->ffn_norm, rows));

    TRY(linear_bwd(m, m->dh, at->attn_out, m->dx, p->att, rows, c->dim, c->dim));
    struct owm_attention_bwd a = {m->dqkv, m->dh, p->att,   p->lse,      p->qkv,
                                  batch,   seq,   c->heads, c->kv_heads, m->head_dim};
    TRY(ops->attention_bwd(m->device, &a));
    TRY(rope(m, m->dqkv, rows, seq, true));
    TRY(linear_bwd(m, m->dh, at->attn_qkv, m->dqkv, p->h1, rows, m->qkv, c->dim));
    return norm_bwd(m, m->dh, p->x, at->attn_norm, rows);
}

owm_status decoder_backward(owm_model *m, uint32_t batch, uint32_t seq)
{
    const struct owm_backend *ops = m->device->backend;
    const struct owm_model_config *c = &m->config;
    uint32_t rows = batch * seq;
    TRY(ops->mem_zero(m->device, m->dx, (size_t)rows * c->dim * sizeof(float)));
    TRY(linear_bwd(m, m->dh, 0, m->logits, m->h_last, rows, c->vocab, c->dim));
    TRY(norm_bwd(m, m->dh, m->x_last, m->norm_at, rows));
    for (uint32_t l = c->layers; l-- > 0;) TRY(layer_backward(m, l, batch, seq));
    struct owm_embedding_bwd e = {m->grad, m->dx, m->inputs, rows, c->dim, c->vocab};
    return ops->embedding_bwd(m->device, &e);
}
