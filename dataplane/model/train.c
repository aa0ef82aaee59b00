/* train.c: local training as a node does it in a round. */
#include "train.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

struct owm_train_options owm_train_options_default(void)
{
    return (struct owm_train_options){
        .steps = 250,
        .batch = 4,
        .seq = 64,
        .warmup_steps = 10,
        .lr = 1.2e-3f,
        .beta1 = 0.9f,
        .beta2 = 0.95f,
        .eps = 1e-8f,
        .weight_decay = 0.01f,
        .clip_norm = 1,
    };
}

static owm_status check_options(const owm_model *model, const struct owm_text *text,
                                const struct owm_train_options *o, struct owm_error *error)
{
    const struct owm_model_config *c = owm_model_config(model);
    if (!o->steps || o->steps > OWM_TRAIN_STEPS_MAX)
        return owm_fail(error, OWM_E_ARG, "training: steps is %u; it must be 1 to %u", o->steps,
                        OWM_TRAIN_STEPS_MAX);
    if (!o->batch || !o->seq || o->seq > c->context)
        return owm_fail(error, OWM_E_ARG,
                        "training: batch %u and seq %u; seq is at most the "
                        "model's context of %u",
                        o->batch, o->seq, c->context);
    if (text->count <= o->seq)
        return owm_fail(error, OWM_E_ARG,
                        "training: the shard has %zu bytes, a window needs %u; "
                        "give more text or a shorter seq",
                        text->count, o->seq + 1);
    if (!(o->lr > 0 && o->lr < 1 && o->eps > 0 && o->weight_decay >= 0 && o->clip_norm >= 0
          && o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        return owm_fail(error, OWM_E_ARG,
                        "training: lr must lie between 0 and 1, eps above 0, "
                        "betas in [0, 1), weight_decay and clip_norm at 0 or above");
    return OWM_OK;
}

/** rate: the learning rate of a step, counted from 0. */
static float rate(const struct owm_train_options *o, uint32_t step)
{
    return step < o->warmup_steps ? o->lr * (float)(step + 1) / (float)o->warmup_steps : o->lr;
}

static owm_status train_step(owm_model *model, const struct owm_text *text,
                             const struct owm_train_options *o, uint32_t step, uint16_t *tokens,
                             double *loss, double *norm, struct owm_error *error)
{
    owm_status status = owm_text_batch(text, o->seed, step, o->batch, o->seq, tokens);
    if (status != OWM_OK) return owm_fail(error, status, "training: no window in the shard");
    status = owm_model_grad(model, tokens, o->batch, o->seq, loss, norm, error);
    if (status == OWM_E_STATE) {
        struct owm_error cause = *error;
        return owm_fail(error, status, "training step %u: %s", step + 1, cause.text);
    }
    if (status != OWM_OK) return status;
    bool clip = o->clip_norm > 0 && *norm > (double)o->clip_norm;
    struct owm_optimizer optimizer = {
        .lr = rate(o, step),
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .weight_decay = o->weight_decay,
        .grad_scale = clip ? (float)((double)o->clip_norm / *norm) : 1,
    };
    return owm_model_step(model, &optimizer);
}

/** add_loss: running sums over the whole run and over its first and last tenth. */
static void add_loss(struct owm_train_result *r, const struct owm_train_options *o, double loss,
                     double norm)
{
    uint32_t tenth = (o->steps + 9) / 10, n = ++r->steps_done;
    r->loss_mean_nats += (loss - r->loss_mean_nats) / n;
    if (n <= tenth) r->loss_first_nats += (loss - r->loss_first_nats) / n;
    uint32_t window = n < tenth ? n : tenth;
    r->loss_last_nats += (loss - r->loss_last_nats) / window;
    r->grad_norm_max = fmax(r->grad_norm_max, norm);
    r->tokens += (uint64_t)o->batch * o->seq;
}

owm_status owm_train_run(owm_model *model, const struct owm_text *text,
                         const struct owm_train_options *options, owm_train_progress progress,
                         void *ctx, const atomic_bool *cancel, struct owm_train_result *result,
                         struct owm_error *error)
{
    struct owm_error unused;
    if (!error) error = &unused;
    *result = (struct owm_train_result){0};
    owm_status status = check_options(model, text, options, error);
    if (status == OWM_OK) status = owm_model_reset_optimizer(model);
    if (status != OWM_OK) return status;
    uint16_t *tokens = malloc((size_t)options->batch * (options->seq + 1) * sizeof *tokens);
    if (!tokens) return owm_fail(error, OWM_E_NOMEM, "training: no memory for a batch");

    uint64_t started = owm_clock_mono_ms();
    for (uint32_t step = 0; step < options->steps && status == OWM_OK; step++) {
        double loss, norm;
        result->elapsed_ms = owm_clock_mono_ms() - started;
        if (options->time_ms_max && result->elapsed_ms >= options->time_ms_max) break;
        if (cancel && atomic_load(cancel)) {
            status = owm_fail(error, OWM_E_CANCELLED, "training: cancelled after %u steps", step);
            break;
        }
        status = train_step(model, text, options, step, tokens, &loss, &norm, error);
        if (status != OWM_OK) break;
        add_loss(result, options, loss, norm);
        if (progress) progress(ctx, step + 1, loss, norm);
    }
    result->elapsed_ms = owm_clock_mono_ms() - started;
    free(tokens);
    return status;
}
