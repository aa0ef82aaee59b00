/* attention_paged.cu: query rows against a cache in pages, f32 or bf16. */
#include "attention_split.cuh"
#include "ops_cuda.h"

/** stage_tables: pages, sequences and positions to the device. */
static owm_status stage_tables(struct owm_device *device, const struct owm_attention_paged *a,
                               split_args *args)
{
    void *page, *sequence, *position;
    size_t pages = (size_t)a->sequences * a->pages_each;
    owm_status status = gpu_stage(device, a->page, pages * sizeof *a->page, &page);
    if (status == OWM_OK)
        status = gpu_stage(device, a->sequence, a->rows * sizeof *a->sequence, &sequence);
    if (status == OWM_OK)
        status = gpu_stage(device, a->position, a->rows * sizeof *a->position, &position);
    if (status != OWM_OK) return status;
    args->page = (const uint32_t *)page;
    args->sequence = (const uint32_t *)sequence;
    args->position = (const uint32_t *)position;
    return OWM_OK;
}

extern "C" owm_status gpu_attention_paged(struct owm_device *device,
                                          const struct owm_attention_paged *a)
{
    owm_status status = owm_check_attention_paged(a);
    if (status != OWM_OK) return status;
    split_args args = {};
    args.out = a->out, args.q = a->q, args.k = a->cache.k, args.v = a->cache.v;
    args.stride = a->stride, args.pages_each = a->pages_each;
    args.heads = a->heads, args.kv_heads = a->cache.kv_heads, args.head_dim = a->cache.head_dim;
    /* Eight elements of bf16 are 16 bytes; four of f32 are. */
    uint32_t dim = a->cache.bf16 ? a->cache.head_dim / 2 : a->cache.head_dim;
    args.wide =
        a->cache.head_dim % 8 == 0 && gpu_wide(a->cache.k, dim) && gpu_wide(a->cache.v, dim);
    status = stage_tables(device, a, &args);
    if (status != OWM_OK) return status;
    uint32_t length = 0;
    for (uint32_t r = 0; r < a->rows; r++)
        if (a->position[r] >= length) length = a->position[r] + 1;
    return a->cache.bf16 ? split_attention<true>(device, args, a->rows, length)
                         : split_attention<false>(device, args, a->rows, length);
}
