/* feedback.h: error feedback, the memory of what a node has not sent yet.
 *
 * residual + everything sent and counted = everything learned, to one rounding per addition. So
 * nothing is lost to sparsification, quantisation or a late package: a package with a signed "not
 * included" receipt gives its mass back.
 *
 * The first half works on arrays alone (the sandboxed worker has no files). The second half keeps
 * the residual and the packages in flight in one file, replaced atomically: after a crash at any
 * byte the state is that before or after the call, never between.
 */
#ifndef OWM_FL_FEEDBACK_H
#define OWM_FL_FEEDBACK_H

#include "dataplane/fl/delta.h"
#include "kernels/backend.h"

/** Packages without a receipt yet; one more is refused until one is resolved. */
#define OWM_FEEDBACK_INFLIGHT_MAX 8

struct owm_feedback_config {
    float decay; /* of the residual per round, 0..1; default 1: nothing is forgotten */
    uint32_t
        density_ppm; /* values sent per million parameters; default 100,000 (SRS 4.2.3: 10 %) */
    enum owm_delta_values values;
};

struct owm_feedback_config owm_feedback_defaults(void);

/** owm_feedback_k: values to send for n parameters: at least 1. */
uint32_t owm_feedback_k(const struct owm_feedback_config *config, uint32_t n);

/** owm_feedback_pick: choose and quantise what is sent; leave the rest in the residual.
 *
 *  residual [n] f32; read and written: what was not sent, quantisation errors included. The sum of
 *               residual and sent values is exactly fma(residual, decay, delta) in each coordinate.
 *  delta    [n] f32; read: local weights minus base weights.
 *  index    [k], value [k] with k = owm_feedback_k(); written.
 *  sparse   written: view over index and value.
 *  Returns: OWM_OK; OWM_E_ARG if a sum is NaN, infinite or too large to be sent, or everything is
 *           0: then nothing is sent, and the residual holds every sum that is a number and what it
 *           held before where the sum is none; OWM_E_NOMEM (nothing written). */
OWM_MUST_USE owm_status owm_feedback_pick(struct owm_device *device,
                                          const struct owm_feedback_config *config, float *residual,
                                          const float *delta, uint32_t n, uint32_t *index,
                                          float *value, struct owm_sparse *sparse);

/** owm_feedback_restore: add a package that was not included back to the residual [n].
 *  Returns: OWM_OK; OWM_E_ARG if an index is out of range (nothing written). */
OWM_MUST_USE owm_status owm_feedback_restore(float *residual, uint32_t n,
                                             const struct owm_sparse *sparse);

/** owm_feedback_package: pick, encode: one call for the worker. The package is unsigned.
 *
 *  device   "cpu" or "reference": residual and delta are the host's memory (as in _pick).
 *  package  written: malloc'ed, the caller frees it; bytes: its size.
 *  Returns: as owm_feedback_pick and owm_delta_encode; on failure of the encoder
 *           nothing is lost: residual + delta stays in the residual. */
OWM_MUST_USE owm_status owm_feedback_package(struct owm_device *device,
                                             const struct owm_feedback_config *config,
                                             const struct owm_delta_header *header, float *residual,
                                             const float *delta, uint8_t **package, size_t *bytes);

/* --- the file ------------------------------------------------------------------------------- */

struct owm_feedback;

/** One package that waits for its receipt. */
struct owm_feedback_inflight {
    uint64_t round;
    uint8_t sha256[32];
    const uint8_t *package; /* borrowed until the next call that changes the state */
    size_t bytes;
};

/** owm_feedback_open: load the state, or begin with a zero residual if there is none.
 *  One thread at a time may use the handle.
 *  Returns: OWM_OK; OWM_E_PROTO if the file is damaged; OWM_E_STATE if it is of a model with
 * another parameter count; OWM_E_IO, OWM_E_NOMEM; each with the sentence in `error`. */
OWM_MUST_USE owm_status owm_feedback_open(const char *path, uint32_t n, struct owm_feedback **out,
                                          struct owm_error *error);
void owm_feedback_close(struct owm_feedback *feedback);

/** owm_feedback_residual: the residual [n], borrowed until the next call that changes the state. */
const float *owm_feedback_residual(const struct owm_feedback *feedback);

/** owm_feedback_sent: store the new residual and the package that goes with it, before it is
 *  uploaded. On failure the old state stays.
 *  Returns: OWM_OK; OWM_E_ARG if residual is not finite; OWM_E_PROTO if the bytes are no package of
 *           this model; OWM_E_EXISTS if it is already in flight; OWM_E_LIMIT at
 *           OWM_FEEDBACK_INFLIGHT_MAX; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_feedback_sent(struct owm_feedback *feedback, const float *residual,
                                          const uint8_t *package, size_t bytes,
                                          struct owm_error *error);

/** owm_feedback_resolve: a receipt came. Included: forget the package. Not included: its values
 *  return to the residual first.
 *  Returns: OWM_OK; OWM_E_NOTFOUND if no such package is in flight (a repeated receipt); OWM_E_IO;
 *           OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_feedback_resolve(struct owm_feedback *feedback,
                                             const uint8_t package_sha256[32], int included,
                                             struct owm_error *error);

/** owm_feedback_pending: how many packages wait, and the i-th of them, oldest first.
 *  Returns (inflight): OWM_OK; OWM_E_NOTFOUND if i is out of range. */
uint32_t owm_feedback_pending(const struct owm_feedback *feedback);
OWM_MUST_USE owm_status owm_feedback_inflight(const struct owm_feedback *feedback, uint32_t i,
                                              struct owm_feedback_inflight *out);

#endif
