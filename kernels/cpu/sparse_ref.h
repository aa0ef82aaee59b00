/* sparse_ref.h: the ops of federated learning in plain C, and the arithmetic of their scales. They
 * are exact by contract, so the cpu backend uses them too until a faster twin is in its table. */
#ifndef OWM_KERNELS_CPU_SPARSE_REF_H
#define OWM_KERNELS_CPU_SPARSE_REF_H

#include <math.h>
#include <string.h>

#include "kernels/backend.h"

#define MAGNITUDE_MASK UINT32_C(0x7fffffff)
#define INFINITY_BITS  UINT32_C(0x7f800000)
/* 127 * 2^119, the largest magnitude that may be sent. */
#define SENDABLE_BITS UINT32_C(0x7e7e0000)

/* Finite floats compare like their bits without the sign. */
static inline uint32_t magnitude_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & MAGNITUDE_MASK;
}

/* Smallest e >= OWM_QUANT_EXPONENT_MIN with x <= 127 * 2^e, from the bits of x >= 0. For
 * x = m * 2^p with m in [1, 2) that is p - 6, or one more if m > 127/64: the addition below carries
 * into the exponent just then. */
static inline int exponent_of_bits(uint32_t bits)
{
    int e = (int)((bits + 0x1ffffu) >> 23) - 133;
    return e < OWM_QUANT_EXPONENT_MIN ? OWM_QUANT_EXPONENT_MIN : e;
}

/* fma(r, 1, g) is r + g, which needs no special instruction. */
static inline float decayed_sum(float residual, float decay, float gradient)
{
    return decay == 1.0f ? residual + gradient : fmaf(residual, decay, gradient);
}

/* The bits of 2^(floor + 7): where bf16 rounds to 0 (sparse.h). */
static inline uint32_t bf16_smallest_bits(int floor_exponent)
{
    int e = floor_exponent < OWM_QUANT_EXPONENT_MIN ? OWM_QUANT_EXPONENT_MIN : floor_exponent;
    return (uint32_t)(e + 7 + 127) << 23;
}

/* The first entry of a package at or behind a coordinate. */
static inline uint32_t sparse_lower_bound(const struct owm_sparse *package, uint64_t coordinate)
{
    uint32_t low = 0, high = package->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (package->index[middle] < coordinate)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

owm_status ref_topk(struct owm_device *, const struct owm_topk *);
owm_status ref_threshold(struct owm_device *, const struct owm_threshold *);
owm_status ref_feedback(struct owm_device *, const struct owm_feedback_step *);
owm_status ref_quantise(struct owm_device *, const struct owm_quantise *);
owm_status ref_scatter_add(struct owm_device *, const struct owm_scatter_add *);
owm_status ref_sparse_sum(struct owm_device *, const struct owm_sparse_sum *);
owm_status ref_sparse_gram(struct owm_device *, const struct owm_sparse_gram *);
owm_status ref_apply_update(struct owm_device *, const struct owm_apply_update *);

#endif
