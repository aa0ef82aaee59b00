/* agg.h: contracts of the dense aggregation ops (a part of ops.h): P vectors of N coordinates, one
 * per participant of a round, and what becomes of them.
 *
 * x is a host array of P device pointers to f32 [N]. All of these promise the same bits on every
 * backend and with any number of threads (design, promise 5): sums run in the order written here,
 * with fused multiply-adds exactly where fma is written, and denormals are kept. A result that is
 * not a number is some NaN: which one differs from processor to processor.
 */
#ifndef OWM_KERNELS_AGG_H
#define OWM_KERNELS_AGG_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_AGG_VECTORS_MAX 1024
/** Coordinates of one partial sum of gram, clip and sum_squares; lanes inside it. */
#define OWM_AGG_CHUNK 4096
#define OWM_AGG_LANES 16

/** weighted_sum: out = fma(alpha[P-1], x[P-1], ... fma(alpha[0], x[0], 0)): FedAvg (McMahan et al.,
 *  2017) when alpha are the shares of the data.
 *
 *  out    [N]; written; may be one of x.   alpha  [P], host, finite.
 *  Returns: OWM_OK; OWM_E_ARG if N or P is 0, P > OWM_AGG_VECTORS_MAX, or an alpha is not finite.
 */
struct owm_weighted_sum {
    float *out;
    const float *const *x;
    const float *alpha;
    uint32_t count, n;
};

/** trimmed_mean: per coordinate, drop the `trim` lowest and highest and average the rest (Yin et
 *  al., 2018): the lowest kept, plus the next, ... up to the highest, in f32, divided by (float)
 *  of the number kept. With trim = (P - 1) / 2 it is the median: the middle one, or the mean of the
 *  two in the middle. "Lowest" is by IEEE 754 totalOrder (-NaN, -inf, ..., -0, +0, ..., inf, NaN),
 *  so that up to `trim` participants may send anything.
 *
 *  out  [N]; written; none of x.
 *  Returns: OWM_OK; OWM_E_ARG if N or P is 0, P > OWM_AGG_VECTORS_MAX or 2 * trim >= P. */
struct owm_trimmed_mean {
    float *out;
    const float *const *x;
    uint32_t count, trim, n;
};

/** gram: dot products of all pairs; the diagonal holds the squared norms.
 *
 *  gram  [P][P] f64, host; written, symmetric. Synchronous.
 *
 *  Each chunk of OWM_AGG_CHUNK coordinates (the last may be shorter): lane l of OWM_AGG_LANES sums
 *  the coordinates l, l + 16, ... of the chunk, sum = fma(a, b, sum) from 0 in f32; then lane l
 *  takes lane l + 8 for l < 8, l + 4 for l < 4, l + 2 for l < 2, l + 1 for l = 0, in f32; lane 0 of
 *  each chunk is added in order, in f64, from 0. (Zeros appended to the last chunk change nothing:
 *  only signs of zeros inside, and the f64 sum starts from +0.)
 *
 *  Returns: OWM_OK; OWM_E_ARG if N or P is 0 or P > OWM_AGG_VECTORS_MAX; OWM_E_DEVICE. */
struct owm_gram {
    double *gram;
    const float *const *x;
    uint32_t count, n;
};

/** clip: scale a vector down to a norm, if its norm is larger.
 *
 *  x     [N]; read and written: x * (float)(max_norm / norm) when norm > max_norm. Synchronous.
 *  norm  1 f64, host; written: sqrt of sum_squares (ops.h), before the clip; also when it is not
 *        finite.
 *  Returns: OWM_OK; OWM_E_ARG if N is 0, max_norm is not above 0, or the norm is not finite (x is
 *           then as it was). */
struct owm_clip {
    float *x;
    double *norm;
    uint32_t n;
    double max_norm;
};

#ifdef __cplusplus
extern "C" {
#endif

/** owm_krum_scores: Krum's score of each vector (Blanchard et al., 2017): the sum of its squared
 *  distances, each max(0, (g_ii + g_jj) - 2 g_ij), to the P - f - 2 nearest others, added from the
 *  nearest to the farthest in f64 from 0. A distance that is not a number counts as infinite. Lower
 *  is better; Multi-Krum takes the m lowest. Host, plain C, so the same everywhere.
 *
 *  score  [P]; written.   gram  [P][P], as gram() wrote it.
 *  Returns: OWM_OK; OWM_E_ARG if P < f + 3 or P > OWM_AGG_VECTORS_MAX, or a pointer is NULL. */
OWM_MUST_USE owm_status owm_krum_scores(double *score, const double *gram, uint32_t count,
                                        uint32_t byzantine);

#ifdef __cplusplus
}
#endif
#endif
