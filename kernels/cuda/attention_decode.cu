/* attention_decode.cu: one query row against a cache whose rows lie one after another in f32. */
#include "attention_split.cuh"
#include "ops_cuda.h"

extern "C" owm_status gpu_attention_decode(struct owm_device *device,
                                           const struct owm_attention_decode *a)
{
    owm_status status = owm_check_attention_decode(a);
    if (status != OWM_OK) return status;
    split_args args = {};
    args.out = a->out, args.q = a->q, args.k = a->k_cache, args.v = a->v_cache;
    args.length = a->length, args.stride = a->heads * a->head_dim;
    args.heads = a->heads, args.kv_heads = a->kv_heads, args.head_dim = a->head_dim;
    args.wide = gpu_wide(a->k_cache, a->head_dim) && gpu_wide(a->v_cache, a->head_dim);
    return split_attention<false>(device, args, 1, a->length);
}
