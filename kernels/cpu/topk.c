/* topk.c: the exact K largest magnitudes by radix selection, and all those above a bound.
 *
 * Three histograms of 11, 10 and 10 bits narrow down the K-th largest pattern; one more pass writes
 * the indices in order.
 */
#include "kernels/check.h"
#include "sparse_ref.h"

#define BINS_MAX 2048

static bool all_finite(const float *x, uint32_t n)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; i++)
        largest = magnitude_bits(x[i]) > largest ? magnitude_bits(x[i]) : largest;
    return largest < INFINITY_BITS;
}

/* Find the bin that holds the k-th largest of the values whose upper bits equal `prefix`, and how
 * many of that bin's values are wanted. */
static uint32_t narrow(const struct owm_topk *op, uint32_t prefix_mask, uint32_t prefix,
                       unsigned shift, unsigned bits, uint32_t *wanted)
{
    uint32_t bins[BINS_MAX] = {0};
    uint32_t bin_mask = (1u << bits) - 1;
    for (uint32_t i = 0; i < op->n; i++) {
        uint32_t x = magnitude_bits(op->x[i]);
        if ((x & prefix_mask) == prefix) bins[(x >> shift) & bin_mask]++;
    }
    uint32_t bin = bin_mask;
    while (bin > 0 && bins[bin] < *wanted) *wanted -= bins[bin--];
    return prefix | bin << shift;
}

/* Indices above the threshold, and the first `ties` that equal it. */
static uint32_t collect(const struct owm_topk *op, uint32_t threshold, uint32_t ties)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->n; i++) {
        uint32_t x = magnitude_bits(op->x[i]);
        if (x < threshold || x == 0) continue;
        if (x == threshold) {
            if (ties == 0) continue;
            ties--;
        }
        op->index[count++] = i;
    }
    return count;
}

owm_status ref_topk(struct owm_device *device, const struct owm_topk *op)
{
    (void)device;
    owm_status status = owm_check_topk(op);
    if (status != OWM_OK) return status;
    if (!all_finite(op->x, op->n)) return OWM_E_ARG;
    uint32_t wanted = op->k;
    uint32_t prefix = narrow(op, 0, 0, 20, 11, &wanted);
    prefix = narrow(op, 0x7ff00000u, prefix, 10, 10, &wanted);
    prefix = narrow(op, 0x7ffffc00u, prefix, 0, 10, &wanted);
    *op->count = collect(op, prefix, wanted);
    return OWM_OK;
}

owm_status ref_threshold(struct owm_device *device, const struct owm_threshold *op)
{
    (void)device;
    owm_status status = owm_check_threshold(op);
    if (status != OWM_OK) return status;
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->n; i++) {
        if (!(fabsf(op->x[i]) >= op->bound)) continue;
        if (count < op->index_max) op->index[count] = i;
        count++;
    }
    *op->count = count;
    return count > op->index_max ? OWM_E_LIMIT : OWM_OK;
}
