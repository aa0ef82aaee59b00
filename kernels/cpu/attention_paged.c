/* attention_paged.c: reference attention of query rows over a cache in pages. */
#include <math.h>

#include "bf16.h"
#include "kernels/check.h"
#include "reference.h"

/** walk: one query head on its way through the positions of its sequence. */
struct walk {
    const struct owm_kv_cache *cache;
    const uint32_t *page;
    uint32_t kv_head;
};

/** element: of the key or value (`plane`) at a position. */
static double element(const struct walk *w, const void *plane, uint32_t position, uint32_t e)
{
    const struct owm_kv_cache *c = w->cache;
    size_t slot =
        (size_t)w->page[position / OWM_PAGE_TOKENS] * OWM_PAGE_TOKENS + position % OWM_PAGE_TOKENS;
    size_t at = (slot * c->kv_heads + w->kv_head) * c->head_dim + e;
    return (double)(c->bf16 ? bf16_widen(((const uint16_t *)plane)[at])
                            : ((const float *)plane)[at]);
}

static double score(const struct walk *w, const float *q, uint32_t position)
{
    double sum = 0;
    for (uint32_t e = 0; e < w->cache->head_dim; e++)
        sum += (double)q[e] * element(w, w->cache->k, position, e);
    return sum / sqrt((double)w->cache->head_dim);
}

static void attend(float *out, const struct walk *w, const float *q, uint32_t length)
{
    double max = -INFINITY, sum = 0, acc[OWM_ATTENTION_DIM_MAX] = {0};
    for (uint32_t t = 0; t < length; t++) max = fmax(max, score(w, q, t));
    for (uint32_t t = 0; t < length; t++) {
        double p = exp(score(w, q, t) - max);
        sum += p;
        for (uint32_t e = 0; e < w->cache->head_dim; e++)
            acc[e] += p * element(w, w->cache->v, t, e);
    }
    for (uint32_t e = 0; e < w->cache->head_dim; e++) out[e] = (float)(acc[e] / sum);
}

owm_status ref_attention_paged(struct owm_device *device, const struct owm_attention_paged *a)
{
    (void)device;
    owm_status status = owm_check_attention_paged(a);
    if (status != OWM_OK) return status;

    size_t E = a->cache.head_dim;
    for (size_t r = 0; r < a->rows; r++)
        for (uint32_t h = 0; h < a->heads; h++) {
            const struct walk w = {.cache = &a->cache,
                                   .page = a->page + (size_t)a->sequence[r] * a->pages_each,
                                   .kv_head = h / (a->heads / a->cache.kv_heads)};
            attend(a->out + (r * a->heads + h) * E, &w, a->q + r * a->stride + h * E,
                   a->position[r] + 1);
        }
    return OWM_OK;
}
