/* sparse.c: quantising, adding and summing sparse vectors, and the server's step.
 *
 * A coordinate belongs to one thread and sees the packages in the caller's order; fused
 * multiply-adds are the reference's. So the bits are too.
 */
#include "quantise.h"
#include "select.h"

#define CHUNK       65536u /* coordinates or values that a thread takes at once */
#define SUM_TILE    8192u  /* coordinates summed in the first cache */
#define GROUP_CHUNK 32u    /* groups */

/* --- quantise --------------------------------------------------------------------------------- */

struct quantise_job {
    const struct owm_quantise *op;
    atomic_bool bad;
};

static void check_values(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct quantise_job *job = ctx;
    vi top = {0};
    (void)worker;
    for (size_t i = begin; i < end; i += W) {
        size_t lanes = end - i < W ? end - i : W;
        top = v_highest_of(top, v_magnitude(v_load_part(job->op->value + i, lanes, 0)));
    }
    if (v_top(top) > SENDABLE_BITS) job->bad = true;
}

static uint32_t largest_of(const float *x, uint32_t count)
{
    vi top = {0};
    uint32_t i = 0;
    for (; i + W <= count; i += W) top = v_highest_of(top, v_magnitude(v_load(x + i)));
    if (i < count) top = v_highest_of(top, v_magnitude(v_load_part(x + i, count - i, 0)));
    return v_top(top);
}

static void quantise_groups(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_quantise *op = ((struct quantise_job *)ctx)->op;
    const struct owm_sparse all = {op->count, 0, op->index, op->value};
    uint32_t at = sparse_lower_bound(&all, (uint64_t)begin * OWM_QUANT_GROUP);
    (void)worker;
    for (size_t group = begin; group < end; group++) {
        uint64_t limit = ((uint64_t)group + 1) * OWM_QUANT_GROUP;
        uint32_t stop = at;
        while (stop < op->count && op->index[stop] < limit) stop++;
        op->exponent[group] = OWM_QUANT_EXPONENT_MIN;
        if (stop == at) continue;
        int exponent = exponent_of_bits(largest_of(op->value + at, stop - at));
        if (exponent < op->floor_exponent) exponent = op->floor_exponent;
        op->exponent[group] = (int8_t)exponent;
        quantise_i8(op->value + at, stop - at, exponent, (int8_t *)op->code + at, op->value + at);
        at = stop;
    }
}

static void quantise_halves(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_quantise *op = ((struct quantise_job *)ctx)->op;
    (void)worker;
    quantise_bf16(op->value + begin, (uint32_t)(end - begin),
                  bf16_smallest_bits(op->floor_exponent), (uint16_t *)op->code + begin,
                  op->value + begin);
}

owm_status SIMD(quantise)(struct owm_device *device, const struct owm_quantise *op)
{
    owm_status status = owm_check_quantise(op);
    if (status != OWM_OK) return status;
    struct quantise_job job = {.op = op};
    owm_pool_for(device->pool, op->count, CHUNK, check_values, &job);
    if (job.bad) return OWM_E_ARG;
    if (op->quant == OWM_QUANT_BF16) {
        owm_pool_for(device->pool, op->count, CHUNK, quantise_halves, &job);
        return OWM_OK;
    }
    size_t groups = ((size_t)op->n + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP;
    owm_pool_for(device->pool, groups, GROUP_CHUNK, quantise_groups, &job);
    return OWM_OK;
}

/* --- sums ------------------------------------------------------------------------------------- */

static inline float fused(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}

static void scatter_chunk(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_scatter_add *op = ctx;
    const uint32_t *index = op->package->index;
    const float *value = op->package->value;
    const float alpha = op->alpha;
    (void)worker;
    for (size_t i = begin; i < end; i++) op->x[index[i]] = fused(alpha, value[i], op->x[index[i]]);
}

owm_status SIMD(scatter_add)(struct owm_device *device, const struct owm_scatter_add *op)
{
    owm_status status = owm_check_scatter_add(op);
    if (status != OWM_OK) return status;
    /* No coordinate occurs twice, so threads may divide the values. */
    owm_pool_for(device->pool, op->package->count, CHUNK, scatter_chunk, (void *)op);
    return OWM_OK;
}

static uint32_t add_run(const struct owm_sparse *x, uint32_t at, uint32_t last, float alpha,
                        float *out)
{
    const uint32_t *index = x->index;
    const float *value = x->value;
    uint32_t count = x->count;
    for (; at < count && index[at] < last; at++)
        out[index[at]] = fused(alpha, value[at], out[index[at]]);
    return at;
}

static void sum_chunk(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_sparse_sum *op = ctx;
    uint32_t cursor[OWM_SPARSE_PACKAGES_MAX];
    (void)worker;
    for (uint32_t p = 0; p < op->count; p++)
        cursor[p] = sparse_lower_bound(&op->package[p], op->first + (uint64_t)begin);
    for (size_t at = begin; at < end; at += SUM_TILE) {
        size_t count = end - at < SUM_TILE ? end - at : SUM_TILE;
        uint32_t last = op->first + (uint32_t)(at + count);
        memset(op->out + at, 0, count * sizeof *op->out);
        for (uint32_t p = 0; p < op->count; p++)
            if (op->alpha[p] != 0)
                cursor[p] =
                    add_run(&op->package[p], cursor[p], last, op->alpha[p], op->out - op->first);
    }
}

owm_status SIMD(sparse_sum)(struct owm_device *device, const struct owm_sparse_sum *op)
{
    owm_status status = owm_check_sparse_sum(op);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, op->last - op->first, CHUNK, sum_chunk, (void *)op);
    return OWM_OK;
}

/* --- the server's step ------------------------------------------------------------------------ */

static void apply_chunk(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_apply_update *op = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i += W) {
        size_t lanes = end - i < W ? end - i : W;
        vf u = v_load_part(op->u + i, lanes, 0), step = u;
        if (op->m) {
            vf m = v_fma(v_load_part(op->m + i, lanes, 0), op->momentum, u);
            v_store_part(op->m + i, m, lanes);
            step = v_fma(m, op->momentum, u);
        }
        v_store_part(op->w + i, v_fma(step, op->lr, v_load_part(op->w + i, lanes, 0)), lanes);
    }
}

owm_status SIMD(apply_update)(struct owm_device *device, const struct owm_apply_update *op)
{
    owm_status status = owm_check_apply_update(op);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, op->n, CHUNK, apply_chunk, (void *)op);
    return OWM_OK;
}
