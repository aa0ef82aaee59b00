/* kv_put.c: keys and values into the pages of a cache, row by row. */
#include "kernels/cpu/bf16.h"
#include "simd.h"

typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef uint16_t vh __attribute__((vector_size(W * 2)));
typedef uint16_t vh_mem __attribute__((vector_size(W * 2), aligned(2), may_alias));

/** round_row: as bf16_of. */
static void round_row(uint16_t *out, const float *x, size_t count)
{
    size_t i = 0;
    for (; i + W <= count; i += W) {
        vf value = v_load(x + i);
        vu bits = (vu)value, rounded = bits + 0x7fff + (bits >> 16 & 1);
        vf kept = v_select(value != value, (vf)(bits | 0x400000), (vf)rounded);
        *(vh_mem *)(out + i) = __builtin_convertvector((vu)kept >> 16, vh);
    }
    for (; i < count; i++) out[i] = bf16_of(x[i]);
}

static void put_row(const struct owm_kv_cache *cache, void *plane, uint32_t slot, const float *row)
{
    size_t count = (size_t)cache->kv_heads * cache->head_dim;
    if (cache->bf16)
        round_row((uint16_t *)plane + slot * count, row, count);
    else
        memcpy((float *)plane + slot * count, row, count * sizeof *row);
}

static void put_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_kv_put *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        put_row(&a->cache, a->cache.k, a->slot[r], a->k + r * a->stride);
        put_row(&a->cache, a->cache.v, a->slot[r], a->v + r * a->stride);
    }
}

owm_status SIMD(kv_put)(struct owm_device *device, const struct owm_kv_put *a)
{
    owm_status status = owm_check_kv_put(a);
    if (status != OWM_OK) return status;
    size_t grain = 1 + 16384 / ((size_t)a->cache.kv_heads * a->cache.head_dim);
    owm_pool_for(device->pool, a->rows, grain, put_job, (void *)a);
    return OWM_OK;
}
