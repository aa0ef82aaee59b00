/* model.h: one decoder on one device: forward, loss, backward, AdamW over the flat vector.
 *
 * All memory is taken at open from the config and the options; nothing allocates afterwards.
 * Thread: one at a time per model. Exact: training repeats itself bit for bit on one machine with
 * the same seed, whatever the number of threads.
 */
#ifndef OWM_MODEL_MODEL_H
#define OWM_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "dataplane/model/config.h"

struct owm_device;
typedef struct owm_model owm_model;

#define OWM_MODEL_ROWS_MAX (1u << 16) /* batch * seq in one pass. */

/** owm_model_options: device is required and kept until close. */
struct owm_model_options {
    struct owm_device *device;
    uint32_t batch_max, seq_max; /* Largest pass; 0: 1 sequence, and the config's context. */
    bool train;                  /* Also take memory for backward and AdamW. */
};

/** owm_model_open: weights zero until _put or _init.
 *  Returns: OWM_E_CONFIG; OWM_E_LIMIT a pass above OWM_MODEL_ROWS_MAX or context; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_model_open(owm_model **model, const struct owm_model_config *config,
                                       const struct owm_model_options *options,
                                       struct owm_error *error);

/** owm_model_open_file / _fd / _bytes: from a checkpoint; the config comes from its metadata.
 *  fd and bytes stay the caller's and are not needed after the call.
 *  Returns: as owm_model_open and owm_safetensors_open_*; OWM_E_PROTO for a missing, extra or
 *  misshapen tensor, bad config metadata, or a weight that is not finite. */
OWM_MUST_USE owm_status owm_model_open_file(owm_model **model, const char *path,
                                            const struct owm_model_options *options,
                                            struct owm_error *error);
OWM_MUST_USE owm_status owm_model_open_fd(owm_model **model, int fd,
                                          const struct owm_model_options *options,
                                          struct owm_error *error);
OWM_MUST_USE owm_status owm_model_open_bytes(owm_model **model, const void *bytes, size_t count,
                                             const struct owm_model_options *options,
                                             struct owm_error *error);
void owm_model_close(owm_model *model); /* NULL is allowed. */

const struct owm_model_config *owm_model_config(const owm_model *model);
uint64_t owm_model_param_count(const owm_model *model);

/** Weights and the last gradient as flat host vectors [owm_model_param_count], in the order of
 *  config.h. Returns: OWM_E_STATE for gradients of a model not opened to train; OWM_E_DEVICE. */
OWM_MUST_USE owm_status owm_model_get_params(owm_model *model, float *params);
OWM_MUST_USE owm_status owm_model_put_params(owm_model *model, const float *params);
OWM_MUST_USE owm_status owm_model_get_grad(owm_model *model, float *grad);

/** owm_model_loss: forward only. tokens  [batch][seq + 1]; position t predicts token t + 1.
 *  loss_nats  mean over batch * seq.   Returns: OWM_E_ARG a size beyond the options or a token
 *  beyond the vocabulary; OWM_E_STATE the loss is not finite; OWM_E_DEVICE. */
OWM_MUST_USE owm_status owm_model_loss(owm_model *model, const uint16_t *tokens, uint32_t batch,
                                       uint32_t seq, double *loss_nats, struct owm_error *error);

/** owm_model_grad: forward and backward; the gradient of the mean loss replaces the last one.
 *  grad_norm  Euclidean norm of the whole gradient.   Returns: as loss; OWM_E_STATE also when the
 *  model was not opened to train or the norm is not finite. */
OWM_MUST_USE owm_status owm_model_grad(owm_model *model, const uint16_t *tokens, uint32_t batch,
                                       uint32_t seq, double *loss_nats, double *grad_norm,
                                       struct owm_error *error);

struct owm_optimizer {
    float lr, beta1, beta2, eps, weight_decay; /* Decay on matrices only. */
    float grad_scale;                          /* 1, or clip / norm. */
};

/** owm_model_step: one AdamW step with the last gradient. owm_model_reset_optimizer forgets the
 *  moments and the step count, as a worker does at the start of a round. */
OWM_MUST_USE owm_status owm_model_step(owm_model *model, const struct owm_optimizer *optimizer);
OWM_MUST_USE owm_status owm_model_reset_optimizer(owm_model *model);

/** owm_model_bits_per_byte: mean of -log2 p over text[1..count), in windows of seq_max that do not
 *  overlap, each starting without a past: an upper bound of what a sliding window would give.
 *  Needs vocab 256 or more and count >= 2.   Returns: OWM_E_ARG; as loss. */
OWM_MUST_USE owm_status owm_model_bits_per_byte(owm_model *model, const uint8_t *text, size_t count,
                                                double *bits, struct owm_error *error);

/** owm_model_encode / _save: the checkpoint file, config in its metadata. Same weights, same bytes.
 *  bytes  malloc'ed; the caller frees.   Returns: OWM_E_NOMEM; OWM_E_IO; OWM_E_DEVICE. */
OWM_MUST_USE owm_status owm_model_encode(owm_model *model, uint8_t **bytes, size_t *count,
                                         struct owm_error *error);
OWM_MUST_USE owm_status owm_model_save(owm_model *model, const char *path, struct owm_error *error);

#endif
