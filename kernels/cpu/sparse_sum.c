/* sparse_sum.c: weighted sum of sparse vectors, one of them added, and the server's step.
 *
 * A coordinate belongs to one tile and sees the packages in the caller's order, so neither tiles
 * nor threads change a bit.
 */
#include "base/pool.h"
#include "kernels/check.h"
#include "sparse_ref.h"

#define TILE 65536 /* coordinates; 256 KiB of f32 stays in a core's cache */

static void sum_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    const struct owm_sparse_sum *op = ctx;
    uint32_t first = op->first + (uint32_t)begin, last = op->first + (uint32_t)end;
    float *out = op->out - op->first;
    memset(op->out + begin, 0, (end - begin) * sizeof *op->out);
    for (uint32_t p = 0; p < op->count; p++) {
        const struct owm_sparse *x = &op->package[p];
        float alpha = op->alpha[p];
        if (alpha == 0) continue;
        for (uint32_t i = sparse_lower_bound(x, first); i < x->count && x->index[i] < last; i++)
            out[x->index[i]] = fmaf(alpha, x->value[i], out[x->index[i]]);
    }
}

owm_status ref_sparse_sum(struct owm_device *device, const struct owm_sparse_sum *op)
{
    owm_status status = owm_check_sparse_sum(op);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, op->last - op->first, TILE, sum_tile, (void *)op);
    return OWM_OK;
}

owm_status ref_scatter_add(struct owm_device *device, const struct owm_scatter_add *op)
{
    (void)device;
    owm_status status = owm_check_scatter_add(op);
    if (status != OWM_OK) return status;
    const struct owm_sparse *x = op->package;
    for (uint32_t i = 0; i < x->count; i++)
        op->x[x->index[i]] = fmaf(op->alpha, x->value[i], op->x[x->index[i]]);
    return OWM_OK;
}

static void apply_tile(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    const struct owm_apply_update *op = ctx;
    for (size_t i = begin; i < end; i++) {
        float step = op->u[i];
        if (op->m) {
            op->m[i] = fmaf(op->momentum, op->m[i], op->u[i]);
            step = fmaf(op->momentum, op->m[i], op->u[i]);
        }
        op->w[i] = fmaf(op->lr, step, op->w[i]);
    }
}

owm_status ref_apply_update(struct owm_device *device, const struct owm_apply_update *op)
{
    owm_status status = owm_check_apply_update(op);
    if (status != OWM_OK) return status;
    owm_pool_for(device->pool, op->n, TILE, apply_tile, (void *)op);
    return OWM_OK;
}
