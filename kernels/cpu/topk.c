/* topk.c: residual += gradient, and the exact K largest magnitudes by radix selection.
 *
 * Finite floats compare like their bits without the sign. Three histograms of 11, 10 and 10 bits
 * narrow down the K-th largest pattern; one more pass writes the indices in order.
 */
#include <math.h>
#include <string.h>

#include "sparse_ref.h"

#define MAGNITUDE_MASK UINT32_C(0x7fffffff)
#define INFINITY_BITS  UINT32_C(0x7f800000)
#define BINS_MAX       2048

static uint32_t magnitude_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & MAGNITUDE_MASK;
}

static float decayed_sum(float residual, float decay, float gradient)
{
    /* fma(r, 1, g) is r + g; the compiler can vectorise the latter everywhere. */
    return decay == 1.0f ? residual + gradient : fmaf(residual, decay, gradient);
}

static bool sums_are_finite(const struct owm_topk *op)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < op->n; i++) {
        uint32_t bits = magnitude_bits(decayed_sum(op->residual[i], op->decay, op->gradient[i]));
        largest = bits > largest ? bits : largest;
    }
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
        uint32_t x = magnitude_bits(op->residual[i]);
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
        uint32_t x = magnitude_bits(op->residual[i]);
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
    if (!op->residual || !op->gradient || !op->index || !op->count) return OWM_E_ARG;
    if (op->n == 0 || op->k == 0 || op->k > op->n || !sums_are_finite(op)) return OWM_E_ARG;
    for (uint32_t i = 0; i < op->n; i++)
        op->residual[i] = decayed_sum(op->residual[i], op->decay, op->gradient[i]);
    uint32_t wanted = op->k;
    uint32_t prefix = narrow(op, 0, 0, 20, 11, &wanted);
    prefix = narrow(op, 0x7ff00000u, prefix, 10, 10, &wanted);
    prefix = narrow(op, 0x7ffffc00u, prefix, 0, 10, &wanted);
    *op->count = collect(op, prefix, wanted);
    return OWM_OK;
}
