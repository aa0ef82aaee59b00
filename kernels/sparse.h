/* sparse.h: the sparse vector, and contracts of the ops of federated learning (a part of ops.h).
 *
 * Letters: N coordinates, K kept values, P packages. Arrays are f32 in device memory unless "host"
 * is said; null pointers not marked optional are OWM_E_ARG. Unlike the ops of the model, these
 * promise the same bits on every backend and with any number of threads (design, promise 5).
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

/** topk: add a gradient to the residual and name the K largest (error feedback).
 *
 *  residual  [N] f32; read and written: residual = fma(residual, decay, gradient). The caller
 *                 subtracts what it really sends.
 *  gradient  [N] f32; read.
 *  index     [K] u32; written: ascending indices of the K largest |residual|, ties to the lowest
 *                 index, zeros never (then fewer than K are written).
 *  count     1 u32, host; written: how many.
 *  Returns: OWM_OK; OWM_E_ARG if n or k is 0, k > n, or a sum is NaN or infinite (nothing written).
 *  Exact:   same bits on every backend. */
struct owm_topk {
    float *residual;
    const float *gradient;
    uint32_t *index, *count;
    uint32_t n, k;
    float decay;
};

/** quantise_i8: round values to int8 codes times a power of two per group of OWM_QUANT_GROUP.
 *
 *  value     [count] f32; read and written: becomes code * 2^exponent (nearest, ties to even).
 *  code      [count] i8, in -127..127; written.
 *  exponent  [(count + 255) / 256] i8; written: the smallest that fits the group's largest value,
 *                 but not below floor_exponent (owm_quant_floor).
 *  Returns: OWM_OK; OWM_E_ARG if count is 0, or a value is not finite or beyond 127 * 2^119.
 *  Exact:   same bits on every backend; a second call with the same floor changes nothing. */
struct owm_quantise_i8 {
    float *value;
    int8_t *code, *exponent;
    uint32_t count;
    int floor_exponent;
};

/** quantise_bf16: round values to bfloat16 (nearest even); those below 2^(floor_exponent + 7),
 * whose last bit would lie below the floor, become 0. As quantise_i8; code [count] u16: upper half
 * of the f32. */
struct owm_quantise_bf16 {
    float *value;
    uint16_t *code;
    uint32_t count;
    int floor_exponent;
};

/** sparse_sum: the weighted sum of P sparse vectors over the coordinates first..last-1.
 *
 *  out      [last - first] f32; written: fma(alpha[P-1], x, ... fma(alpha[0], x, 0)), packages in
 * the order given; those without the coordinate, or with alpha 0, are skipped. package  [P], alpha
 * [P] f32, finite: host; the arrays of the packages: device. Returns: OWM_OK; OWM_E_ARG if first >=
 * last or count > OWM_SPARSE_PACKAGES_MAX. Exact:   same bits on every backend, for every split
 * into ranges and number of threads. */
struct owm_sparse_sum {
    float *out;
    const struct owm_sparse *package;
    const float *alpha;
    uint32_t count, first, last;
};

/** sparse_gram: dot products of all pairs.
 *
 *  gram     [P][P] f64, host; written, symmetric: the exact sum, rounded once.
 *  package  [P], host; the arrays of the packages: device.
 *  Returns: OWM_OK; OWM_E_ARG if count is 0 or above OWM_SPARSE_PACKAGES_MAX.
 *  Exact:   same bits on every backend in any order: the sum is an integer of 128 bits. */
struct owm_sparse_gram {
    double *gram;
    const struct owm_sparse *package;
    uint32_t count;
};

/** apply_update: the server's step: w = fma(lr, u, w); with momentum m = fma(momentum, m, u) first
 *  and then w = fma(lr, fma(momentum, m, u), w) (Nesterov).
 *
 *  w  [N] f32; m  [N] f32, optional: read and written.   u  [N] f32; read.
 *  Returns: OWM_OK; OWM_E_ARG if n is 0, or lr or momentum is not finite.
 *  Exact:   same bits on every backend. */
struct owm_apply_update {
    float *w, *m;
    const float *u;
    uint32_t n;
    float lr, momentum;
};

/** owm_quant_floor: the floor_exponent for a vector whose largest magnitude is `largest`. */
int owm_quant_floor(float largest);

#endif
