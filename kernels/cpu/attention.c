/* attention.c: reference causal grouped-query attention, its gradient, and the decode step.
 *
 * Scores are never stored: the gradient recomputes each from the saved log-sum-exp, so that no size
 * needs memory of its own. */
#include <math.h>
#include <string.h>

#include "kernels/check.h"
#include "reference.h"

static double dot(const float *a, const float *b, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/** attend: one query against `length` keys and values whose rows are `stride` apart; returns lse.
 */
static double attend(float *out, const float *q, const float *k, const float *v, uint32_t length,
                     size_t stride, uint32_t head_dim)
{
    double scale = 1 / sqrt((double)head_dim), max = -INFINITY, sum = 0;
    double acc[OWM_ATTENTION_DIM_MAX] = {0};
    for (size_t t = 0; t < length; t++) max = fmax(max, scale * dot(q, k + t * stride, head_dim));
    for (size_t t = 0; t < length; t++) {
        double p = exp(scale * dot(q, k + t * stride, head_dim) - max);
        sum += p;
        for (uint32_t e = 0; e < head_dim; e++) acc[e] += p * (double)v[t * stride + e];
    }
    for (uint32_t e = 0; e < head_dim; e++) out[e] = (float)(acc[e] / sum);
    return max + log(sum);
}

owm_status ref_attention(struct owm_device *device, const struct owm_attention *a)
{
    (void)device;
    owm_status status = owm_check_attention(a);
    if (status != OWM_OK) return status;

    size_t E = a->head_dim, stride = (a->heads + 2 * (size_t)a->kv_heads) * E;
    for (size_t b = 0; b < a->batch; b++)
        for (size_t h = 0; h < a->heads; h++) {
            size_t g = h / (a->heads / a->kv_heads);
            const float *q = a->qkv + b * a->time * stride;
            const float *k = q + (a->heads + g) * E, *v = k + a->kv_heads * E;
            for (uint32_t t = 0; t < a->time; t++) {
                float *out = a->out + ((b * a->time + t) * a->heads + h) * E;
                double lse = attend(out, q + t * stride + h * E, k, v, t + 1, stride, a->head_dim);
                a->lse[(b * a->heads + h) * a->time + t] = (float)lse;
            }
        }
    return OWM_OK;
}

/** head_bwd: adds the gradients of query head h of sequence b to dqkv. */
static void head_bwd(const struct owm_attention_bwd *a, size_t b, size_t h)
{
    size_t E = a->head_dim, T = a->time, stride = (a->heads + 2 * (size_t)a->kv_heads) * E;
    size_t g = h / (a->heads / a->kv_heads), row0 = b * T;
    double scale = 1 / sqrt((double)E);
    for (size_t t = 0; t < T; t++) {
        size_t q_at = (row0 + t) * stride + h * E;
        const float *q = a->qkv + q_at, *dout = a->dout + ((row0 + t) * a->heads + h) * E;
        double delta = dot(dout, a->out + ((row0 + t) * a->heads + h) * E, a->head_dim);
        double lse = (double)a->lse[(b * a->heads + h) * T + t];
        for (size_t s = 0; s <= t; s++) {
            size_t k_at = (row0 + s) * stride + (a->heads + g) * E, v_at = k_at + a->kv_heads * E;
            double p = exp(scale * dot(q, a->qkv + k_at, a->head_dim) - lse);
            double ds = p * (dot(dout, a->qkv + v_at, a->head_dim) - delta) * scale;
            for (size_t e = 0; e < E; e++) {
                a->dqkv[q_at + e] += (float)(ds * (double)a->qkv[k_at + e]);
                a->dqkv[k_at + e] += (float)(ds * (double)q[e]);
                a->dqkv[v_at + e] += (float)(p * (double)dout[e]);
            }
        }
    }
}

owm_status ref_attention_bwd(struct owm_device *device, const struct owm_attention_bwd *a)
{
    (void)device;
    owm_status status = owm_check_attention_bwd(a);
    if (status != OWM_OK) return status;

    size_t cols = (a->heads + 2 * (size_t)a->kv_heads) * a->head_dim;
    memset(a->dqkv, 0, (size_t)a->batch * a->time * cols * sizeof(float));
    for (size_t b = 0; b < a->batch; b++)
        for (size_t h = 0; h < a->heads; h++) head_bwd(a, b, h);
    return OWM_OK;
}

owm_status ref_attention_decode(struct owm_device *device, const struct owm_attention_decode *a)
{
    (void)device;
    owm_status status = owm_check_attention_decode(a);
    if (status != OWM_OK) return status;

    size_t E = a->head_dim, stride = a->kv_heads * E;
    for (size_t h = 0; h < a->heads; h++) {
        size_t g = h / (a->heads / a->kv_heads);
        (void)attend(a->out + h * E, a->q + h * E, a->k_cache + g * E, a->v_cache + g * E,
                     a->length, stride, a->head_dim);
    }
    return OWM_OK;
}
