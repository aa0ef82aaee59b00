/* kv_put.c: reference store of keys and values into the pages of a cache. */
#include "bf16.h"
#include "kernels/check.h"
#include "reference.h"

static void put_row(const struct owm_kv_cache *cache, void *plane, uint32_t slot, const float *row)
{
    size_t count = (size_t)cache->kv_heads * cache->head_dim, at = slot * count;
    for (size_t i = 0; i < count; i++)
        if (cache->bf16)
            ((uint16_t *)plane)[at + i] = bf16_of(row[i]);
        else
            ((float *)plane)[at + i] = row[i];
}

owm_status ref_kv_put(struct owm_device *device, const struct owm_kv_put *a)
{
    (void)device;
    owm_status status = owm_check_kv_put(a);
    if (status != OWM_OK) return status;

    for (size_t r = 0; r < a->rows; r++) {
        put_row(&a->cache, a->cache.k, a->slot[r], a->k + r * a->stride);
        put_row(&a->cache, a->cache.v, a->slot[r], a->v + r * a->stride);
    }
    return OWM_OK;
}
