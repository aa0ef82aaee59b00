/* sparse_gram.c: exact dot products of sparse vectors.
 *
 * Every value is an integer below 2^40 times the package's 2^exponent, so a product is below 2^80
 * and a sum over 2^32 coordinates fits 128 bits: no rounding until the last conversion, hence the
 * same result in any order.
 */
#include "base/pool.h"
#include "kernels/check.h"
#include "sparse_ref.h"

static int64_t as_integer(float value, double inverse_scale)
{
    return (int64_t)((double)value * inverse_scale);
}

static double dot(const struct owm_sparse *a, const struct owm_sparse *b)
{
    double inverse_a = ldexp(1.0, -a->exponent), inverse_b = ldexp(1.0, -b->exponent);
    __int128 sum = 0;
    uint32_t i = 0, j = 0;
    while (i < a->count && j < b->count) {
        uint32_t at_a = a->index[i], at_b = b->index[j];
        if (at_a == at_b)
            sum +=
                (__int128)as_integer(a->value[i], inverse_a) * as_integer(b->value[j], inverse_b);
        i += at_a <= at_b;
        j += at_b <= at_a;
    }
    return ldexp((double)sum, a->exponent + b->exponent);
}

/* Pair number t of the lower half, row by row: (0,0) (1,0) (1,1) (2,0) … */
static void gram_pairs(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    const struct owm_sparse_gram *op = ctx;
    for (size_t t = begin; t < end; t++) {
        size_t row = (size_t)((sqrt(8.0 * (double)t + 1) - 1) / 2);
        while (row * (row + 1) / 2 > t) row--;
        while ((row + 1) * (row + 2) / 2 <= t) row++;
        size_t col = t - row * (row + 1) / 2;
        double value = dot(&op->package[row], &op->package[col]);
        op->gram[row * op->count + col] = value;
        op->gram[col * op->count + row] = value;
    }
}

owm_status ref_sparse_gram(struct owm_device *device, const struct owm_sparse_gram *op)
{
    owm_status status = owm_check_sparse_gram(op);
    if (status != OWM_OK) return status;
    size_t pairs = (size_t)op->count * (op->count + 1) / 2;
    owm_pool_for(device->pool, pairs, 1, gram_pairs, (void *)op);
    return OWM_OK;
}
