/* train.h: local training: steps of AdamW on one shard, as a node does in a round. */
#ifndef OWM_MODEL_TRAIN_H
#define OWM_MODEL_TRAIN_H

#include <stdatomic.h>

#include "dataplane/model/model.h"
#include "dataplane/model/text.h"

#define OWM_TRAIN_STEPS_MAX 1000000u

/** owm_train_options: start from owm_train_options_default, which are the demo network's values. */
struct owm_train_options {
    uint32_t steps, batch, seq;
    uint32_t warmup_steps; /* lr rises linearly over these, then stays. */
    float lr, beta1, beta2, eps, weight_decay;
    float clip_norm;      /* Gradients above this norm are scaled down to it; 0: never. */
    uint64_t seed;        /* Of the batches; the same seed repeats the run bit for bit. */
    uint64_t time_ms_max; /* Stop early, between steps, after this long; 0: never. */
};

struct owm_train_result {
    uint32_t steps_done;
    double loss_first_nats; /* Mean over the first tenth of the steps. */
    double loss_last_nats;  /* Moving average at the end, over a tenth of the steps. */
    double loss_mean_nats;
    double grad_norm_max;
    uint64_t tokens, elapsed_ms;
};

struct owm_train_options owm_train_options_default(void);

/** owm_train_progress: called after each step on the caller's thread. */
typedef void (*owm_train_progress)(void *ctx, uint32_t step, double loss_nats, double grad_norm);

/** owm_train_run: the moments start at zero. The model's weights change in place; on failure they
 *  are as the last good step left them.
 *
 *  progress  optional.   cancel  optional; read between steps.
 *  Returns: OWM_OK; OWM_E_ARG options out of range or beyond what the model was opened for, or a
 *  text shorter than a window; OWM_E_STATE a loss or gradient that is not finite, with the step;
 *  OWM_E_CANCELLED; OWM_E_NOMEM; OWM_E_DEVICE.
 */
OWM_MUST_USE owm_status owm_train_run(owm_model *model, const struct owm_text *text,
                                      const struct owm_train_options *options,
                                      owm_train_progress progress, void *ctx,
                                      const atomic_bool *cancel, struct owm_train_result *result,
                                      struct owm_error *error);

#endif
