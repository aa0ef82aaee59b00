/* sparse.h: the sparse vector and the ops of federated learning. A backend's table has one pointer
 * for each type below; kernels/cpu holds the plain-C reference that the others are tested against.
 *
 * Letters: N coordinates, K kept values, P packages.
 * No op allocates, prints or keeps a pointer. All are safe to call from several threads as long as
 * the written parts do not overlap.
 */
#ifndef OWM_KERNELS_SPARSE_H
#define OWM_KERNELS_SPARSE_H

#include <stdint.h>

#include "base/status.h"

/** Values that share one power-of-two scale. */
#define OWM_QUANT_GROUP 256
/** Scales of one vector differ by at most this power of two, so that every value is an integer of
 *  at most 40 bits times 2^exponent and dot products are exact in 128 bits. */
#define OWM_QUANT_SPAN 31
/** Limits of a scale 2^e: a code of at most 255 times it is finite, and never denormal. */
#define OWM_QUANT_EXPONENT_MIN  (-126)
#define OWM_QUANT_EXPONENT_MAX  119
#define OWM_SPARSE_PACKAGES_MAX 1024

/** owm_sparse: K values of a vector with N coordinates; all others are 0. Borrowed arrays. */
struct owm_sparse {
    uint32_t count;   /* K */
    int32_t exponent; /* every value is an integer multiple of 2^exponent, below 2^40 of them */
    const uint32_t *index; /* [K] strictly ascending */
    const float *value;    /* [K] finite */
};

/** topk_ef: add a gradient to the residual and name the K largest (error feedback).
 *
 *  residual  [N] f32; read and written: residual = fma(residual, decay, gradient). The caller
 *                 subtracts what it really sends.
 *  gradient  [N] f32; read.
 *  index     [K] u32; written: ascending indices of the K largest |residual|, ties to the lowest
 *                 index, zeros never (then fewer than K are written).
 *  count     1 u32; written: how many.
 *  Returns: OWM_OK; OWM_E_ARG if n or k is 0, k > n, or a sum is NaN or infinite (nothing written).
 *  Exact:   same bits on every backend. */
typedef owm_status owm_topk_ef_fn(float *residual, const float *gradient, uint32_t n, float decay,
                                  uint32_t k, uint32_t *index, uint32_t *count);

/** quantise_i8: round values to int8 codes times a power of two per group of OWM_QUANT_GROUP.
 *
 *  value     [count] f32; read and written: becomes code * 2^exponent (nearest, ties to even).
 *  floor_exponent  no scale is below this (see owm_quant_floor).
 *  code      [count] i8, in -127..127; written.
 *  exponent  [(count + 255) / 256] i8; written: the smallest that fits the group's largest value.
 *  Returns: OWM_OK; OWM_E_ARG if a value is not finite or beyond 127 * 2^119.
 *  Exact:   same bits on every backend; a second call changes nothing. */
typedef owm_status owm_quantise_i8_fn(float *value, uint32_t count, int floor_exponent,
                                      int8_t *code, int8_t *exponent);

/** quantise_bf16: round values to bfloat16 (nearest even); those below the floor become 0.
 *  Arguments and Returns as quantise_i8; code [count] u16, the upper half of the f32. */
typedef owm_status owm_quantise_bf16_fn(float *value, uint32_t count, int floor_exponent,
                                        uint16_t *code);

/** sparse_sum: the weighted sum of P sparse vectors over the coordinates first..last-1.
 *
 *  out      [last - first] f32; written: out[c] = fma(alpha[P-1], x, ... fma(alpha[0], x, 0)),
 * packages in the order given, those without c skipped. package  [P]; alpha [P] f32, finite; read.
 * Packages with alpha 0 are skipped. Returns: OWM_OK; OWM_E_ARG if first > last or count >
 * OWM_SPARSE_PACKAGES_MAX. Exact:   same bits on every backend and for every split into ranges. */
typedef owm_status owm_sparse_sum_fn(float *out, uint32_t first, uint32_t last,
                                     const struct owm_sparse *package, const float *alpha,
                                     uint32_t count);

/** sparse_gram: dot products of one package with itself and those before it: a row of the Gram
 *  matrix's lower half.
 *
 *  out      [row + 1] f64; written: out[j] = <package[row], package[j]>, the exact sum rounded
 * once. package  [row + 1]; read. Returns: OWM_OK; OWM_E_ARG if row >= OWM_SPARSE_PACKAGES_MAX.
 *  Exact:   same bits on every backend in any order: the sum is an integer of 128 bits. */
typedef owm_status owm_sparse_gram_fn(double *out, const struct owm_sparse *package, uint32_t row);

/** apply_update: the server's step, w = fma(lr, step, w) for n coordinates, with
 *  m = fma(momentum, m, u) and step = fma(momentum, m, u) (Nesterov), or step = u if m is NULL.
 *
 *  w  [n] f32; m [n] f32 or NULL: read and written. u [n] f32; read.
 *  Returns: OWM_OK; OWM_E_ARG if lr or momentum is not finite. Exact: same bits on every backend.
 */
typedef owm_status owm_apply_update_fn(float *w, float *m, const float *u, uint64_t n, float lr,
                                       float momentum);

/** owm_quant_floor: the floor_exponent for a vector whose largest magnitude is `largest`. */
int owm_quant_floor(float largest);

#endif
