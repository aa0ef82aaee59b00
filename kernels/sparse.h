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

/** Coordinates i with the same i / OWM_QUANT_GROUP share one power-of-two scale. A group belongs to
 *  coordinates, not to places in the list of kept values, so that one pass can select and quantise.
 */
#define OWM_QUANT_GROUP 2048
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

/** topk: name the K largest magnitudes.
 *
 *  x       [N] f32; read.
 *  index   [K] u32; written: ascending indices of the K largest |x|, ties to the lowest index,
 * zeros never (then fewer than K are written). count   1 u32, host; written: how many. Synchronous.
 *  Returns: OWM_OK; OWM_E_ARG if n or k is 0, k > n, or an x is NaN or infinite; OWM_E_NOMEM.
 *  Exact:   same bits on every backend. */
struct owm_topk {
    const float *x;
    uint32_t *index, *count;
    uint32_t n, k;
};

/** threshold: name all coordinates whose magnitude is at least a bound.
 *
 *  x       [N] f32, not NaN; read.   index  [index_max] u32; written: ascending.
 *  count   1 u32, host; written: how many there are, also when the buffer is too small.
 * Synchronous. bound   above 0. Returns: OWM_OK; OWM_E_ARG; OWM_E_LIMIT if *count > index_max
 * (index then holds the lowest). Exact:   same bits on every backend. */
struct owm_threshold {
    const float *x;
    uint32_t *index, *count;
    uint32_t n, index_max;
    float bound;
};

/** What a quantised value is made of. */
enum owm_quant {
    OWM_QUANT_I8,   /* code i8, -127..127: value = code * 2^exponent of its group; nearest, ties to
                       even; the exponent is the smallest that fits the group's largest value, but
                       not below floor_exponent */
    OWM_QUANT_BF16, /* code u16, upper half of the f32 (nearest, ties to even); values below
                       2^(floor_exponent + 7), whose last bit would lie below the floor, become 0 */
};

/** feedback: one step of error feedback (Seide et al., 2014; Stich et al., 2018), fused: add,
 * select the K largest exactly, quantise them, keep what is not sent.
 *
 *  residual  [N] f32; read and written: s = fma(residual, decay, gradient); where nothing is sent
 * it becomes s, elsewhere s - value (exact, no rounding). gradient  [N] f32; read; not residual.
 *  index     [K] u32; written: the coordinates sent, ascending, chosen among s as topk does.
 *  value     [K] f32; written: what is sent, quantised.
 *  code      [K] i8 or u16; written.
 *  exponent  [(N + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP] i8; written for I8: per group of
 *                 coordinates; OWM_QUANT_EXPONENT_MIN where nothing of it is sent. BF16: may be
 * NULL. count     1 u32, host; written: how many are sent. floor_exponent  1 int, host; written:
 * owm_quant_floor of the largest |s|; it is the exponent for struct owm_sparse. Synchronous.
 *  Returns: OWM_OK; OWM_E_ARG if n or k is 0, k > n or decay is not finite (nothing written), or
 *           if an s is not finite or beyond 127 * 2^119. Then nothing is sent: residual is s
 *           wherever s is good, as it was where s is not, and the rest undefined: one pass cannot
 *           know of a bad s at the end before it has written at the begin, and this loses nothing.
 *           OWM_E_NOMEM (nothing written).
 *  Exact:   same bits on every backend and any number of threads. */
struct owm_feedback_step {
    float *residual;
    const float *gradient;
    uint32_t *index;
    float *value;
    void *code;
    int8_t *exponent;
    uint32_t *count;
    int *floor_exponent;
    uint32_t n, k;
    float decay;
    enum owm_quant quant;
};

/** quantise: round the values of a sparse vector, as feedback does with what it sends.
 *
 *  value     [count] f32; read and written: rounded.
 *  index     [count] u32; read: ascending, below n.
 *  code, exponent  as in feedback (n coordinates); written.
 *  Returns: OWM_OK; OWM_E_ARG if count or n is 0, floor_exponent > OWM_QUANT_EXPONENT_MAX, or a
 *           value is not finite or beyond 127 * 2^119.
 *  Exact:   same bits on every backend; a second call with the same floor changes nothing. */
struct owm_quantise {
    float *value;
    const uint32_t *index;
    void *code;
    int8_t *exponent;
    uint32_t count, n;
    int floor_exponent;
    enum owm_quant quant;
};

/** scatter_add: add one sparse vector to a dense one: x = fma(alpha, value, x) where it has values.
 *
 *  x  [N] f32; read and written.   package: host; its arrays: device; indices below n.
 *  Returns: OWM_OK; OWM_E_ARG if n is 0 or alpha is not finite.
 *  Exact:   same bits on every backend. */
struct owm_scatter_add {
    float *x;
    const struct owm_sparse *package;
    float alpha;
    uint32_t n;
};

/** sparse_sum: the weighted sum of P sparse vectors over the coordinates first..last-1.
 *
 *  out      [last - first] f32; written: fma(alpha[P-1], x, ... fma(alpha[0], x, 0)), packages in
 *                 the order given; those without the coordinate, or with alpha 0, are skipped.
 *  package  [P], alpha  [P] f32, finite: host; the arrays of the packages: device.
 *  Returns: OWM_OK; OWM_E_ARG if first >= last or count > OWM_SPARSE_PACKAGES_MAX.
 *  Exact:   same bits on every backend, for every split into ranges and number of threads. */
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
