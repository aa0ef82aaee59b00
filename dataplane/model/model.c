/* model.c: a model's memory, weights and the calls over a batch. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "decoder.h"

/** place: the next `count` floats of the block at `base`, 64-byte aligned; with base NULL it only
 *  counts, so that one function both measures and lays out. */
static float *place(float *base, size_t *used, uint64_t count)
{
    float *at = base ? base + *used : NULL;
    *used += (count + 15) & ~(uint64_t)15;
    return at;
}

static size_t lay_out(owm_model *m, float *base)
{
    const struct owm_model_config *c = &m->config;
    uint64_t rows = (uint64_t)m->batch_max * m->seq_max, stream = rows * c->dim;
    size_t used = 0;
    m->params = place(base, &used, m->param_count);
    m->rope = place(base, &used, (uint64_t)c->context * m->head_dim);
    for (uint32_t l = 0; l < c->layers; l++) {
        struct layer_pass *p = &m->pass[l];
        if (l > 0 && !m->train) {
            *p = m->pass[0];
            continue;
        }
        p->x = place(base, &used, stream);
        p->h1 = place(base, &used, stream);
        p->qkv = place(base, &used, rows * m->qkv);
        p->lse = place(base, &used, rows * c->heads);
        p->att = place(base, &used, stream);
        p->mid = place(base, &used, stream);
        p->h2 = place(base, &used, stream);
        p->gate_up = place(base, &used, rows * 2 * c->ffn_dim);
        p->act = place(base, &used, rows * c->ffn_dim);
    }
    m->x_last = place(base, &used, stream);
    m->h_last = place(base, &used, stream);
    m->logits = place(base, &used, rows * c->vocab);
    m->losses = place(base, &used, rows);
    m->delta = place(base, &used, stream);
    if (!m->train) return used;
    m->grad = place(base, &used, m->param_count);
    m->m = place(base, &used, m->param_count);
    m->v = place(base, &used, m->param_count);
    m->dx = place(base, &used, stream);
    m->dh = place(base, &used, stream);
    m->dact = place(base, &used, rows * c->ffn_dim);
    m->dqkv = place(base, &used, rows * m->qkv);
    return used;
}

/** find_tensors: the table of config.h as offsets per layer. */
static void find_tensors(owm_model *m)
{
    struct owm_tensor_range table[OWM_MODEL_TENSORS_MAX];
    m->tensor_count = owm_model_tensors(&m->config, table);
    memcpy(m->tensors, table, m->tensor_count * sizeof *table);
    for (uint32_t l = 0; l < m->config.layers; l++) {
        const struct owm_tensor_range *t = &table[1 + 6 * l];
        m->at[l] = (struct layer_at){.attn_norm = t[0].offset,
                                     .attn_out = t[1].offset,
                                     .attn_qkv = t[2].offset,
                                     .ffn_down = t[3].offset,
                                     .ffn_gate_up = t[4].offset,
                                     .ffn_norm = t[5].offset};
    }
    m->norm_at = table[m->tensor_count - 1].offset;
}

static owm_status put_rope(owm_model *m)
{
    size_t bytes = (size_t)m->config.context * m->head_dim * sizeof(float);
    float *table = malloc(bytes);
    if (!table) return OWM_E_NOMEM;
    owm_rope_table(table, m->config.context, m->head_dim, m->config.rope_theta);
    owm_status status = m->device->backend->mem_put(m->device, m->rope, table, bytes);
    free(table);
    return status;
}

static owm_status take_memory(owm_model *m)
{
    size_t rows = (size_t)m->batch_max * m->seq_max;
    m->tensors = calloc(OWM_MODEL_TENSORS_MAX, sizeof *m->tensors);
    m->at = calloc(m->config.layers, sizeof *m->at);
    m->pass = calloc(m->config.layers, sizeof *m->pass);
    m->inputs = calloc(rows, sizeof *m->inputs);
    m->targets = calloc(rows, sizeof *m->targets);
    m->losses_host = calloc(rows, sizeof *m->losses_host);
    if (!m->tensors || !m->at || !m->pass || !m->inputs || !m->targets || !m->losses_host)
        return OWM_E_NOMEM;
    find_tensors(m);
    size_t floats = lay_out(m, NULL);
    if (floats > SIZE_MAX / sizeof(float)) return OWM_E_NOMEM;
    TRY(m->device->backend->mem_alloc(m->device, &m->memory, floats * sizeof(float)));
    (void)lay_out(m, m->memory);
    return put_rope(m);
}

owm_status owm_model_open(owm_model **model, const struct owm_model_config *config,
                          const struct owm_model_options *options, struct owm_error *error)
{
    OWM_ASSERT(options->device);
    *model = NULL;
    TRY(owm_model_config_check(config, error));
    uint32_t batch = options->batch_max ? options->batch_max : 1;
    uint32_t seq = options->seq_max ? options->seq_max : config->context;
    if (seq > config->context)
        return owm_fail(error, OWM_E_LIMIT,
                        "sequences of %u bytes do not fit the model's context "
                        "of %u; ask for a shorter seq",
                        seq, config->context);
    if ((uint64_t)batch * seq > OWM_MODEL_ROWS_MAX)
        return owm_fail(error, OWM_E_LIMIT,
                        "batch %u times seq %u is above %u; ask for a smaller "
                        "batch",
                        batch, seq, OWM_MODEL_ROWS_MAX);
    owm_model *m = calloc(1, sizeof *m);
    if (!m) return owm_fail(error, OWM_E_NOMEM, "no memory for a model");
    m->config = *config;
    m->device = options->device;
    m->batch_max = batch;
    m->seq_max = seq;
    m->train = options->train;
    m->head_dim = config->dim / config->heads;
    m->qkv = (config->heads + 2 * config->kv_heads) * m->head_dim;
    m->param_count = owm_model_config_params(config);
    owm_status status = take_memory(m);
    if (status != OWM_OK) {
        owm_model_close(m);
        return owm_fail(error, status,
                        "no memory for a model of %llu parameters with passes of "
                        "%u x %u: %s; use a smaller batch",
                        (unsigned long long)owm_model_config_params(config), batch, seq,
                        owm_status_text(status));
    }
    *model = m;
    return OWM_OK;
}

void owm_model_close(owm_model *m)
{
    if (!m) return;
    m->device->backend->mem_free(m->device, m->memory);
    free(m->tensors);
    free(m->at);
    free(m->pass);
    free(m->inputs);
    free(m->targets);
    free(m->losses_host);
    free(m);
}

/** open_checkpoint: a model with the weights of an opened file, which is closed either way. */
static owm_status open_checkpoint(owm_model **model, owm_safetensors *file,
                                  const struct owm_model_options *options, struct owm_error *error)
{
    struct owm_model_config config;
    float *params = NULL;
    *model = NULL;
    owm_status status = owm_checkpoint_config(file, &config, error);
    if (status != OWM_OK) goto out;
    params = malloc(owm_model_config_params(&config) * sizeof(float));
    if (!params) {
        status = owm_fail(error, OWM_E_NOMEM, "no memory for the weights of a checkpoint");
        goto out;
    }
    status = owm_checkpoint_params(file, &config, params, error);
    if (status == OWM_OK) status = owm_model_open(model, &config, options, error);
    if (status == OWM_OK) status = owm_model_put_params(*model, params);
out:
    if (status != OWM_OK) {
        owm_model_close(*model);
        *model = NULL;
    }
    free(params);
    owm_safetensors_close(file);
    return status;
}

owm_status owm_model_open_file(owm_model **model, const char *path,
                               const struct owm_model_options *options, struct owm_error *error)
{
    owm_safetensors *file;
    *model = NULL;
    TRY(owm_safetensors_open_file(&file, path, error));
    return open_checkpoint(model, file, options, error);
}

owm_status owm_model_open_fd(owm_model **model, int fd, const struct owm_model_options *options,
                             struct owm_error *error)
{
    owm_safetensors *file;
    *model = NULL;
    TRY(owm_safetensors_open_fd(&file, fd, error));
    return open_checkpoint(model, file, options, error);
}

owm_status owm_model_open_bytes(owm_model **model, const void *bytes, size_t count,
                                const struct owm_model_options *options, struct owm_error *error)
{
    owm_safetensors *file;
    *model = NULL;
    TRY(owm_safetensors_open_bytes(&file, bytes, count, error));
    return open_checkpoint(model, file, options, error);
}

const struct owm_model_config *owm_model_config(const owm_model *m)
{
    return &m->config;
}

uint64_t owm_model_param_count(const owm_model *m)
{
    return m->param_count;
}

owm_status owm_model_get_params(owm_model *m, float *params)
{
    TRY(m->device->backend->sync(m->device));
    return m->device->backend->mem_get(m->device, params, m->params,
                                       m->param_count * sizeof(float));
}

owm_status owm_model_put_params(owm_model *m, const float *params)
{
    return m->device->backend->mem_put(m->device, m->params, params,
                                       m->param_count * sizeof(float));
}

owm_status owm_model_get_grad(owm_model *m, float *grad)
{
    if (!m->train) return OWM_E_STATE;
    TRY(m->device->backend->sync(m->device));
    return m->device->backend->mem_get(m->device, grad, m->grad, m->param_count * sizeof(float));
}

/** set_batch: split windows of seq + 1 tokens into inputs and targets. */
static owm_status set_batch(owm_model *m, const uint16_t *tokens, uint32_t batch, uint32_t seq,
                            struct owm_error *error)
{
    if (!batch || !seq || batch > m->batch_max || seq > m->seq_max)
        return owm_fail(error, OWM_E_ARG,
                        "a pass of %u x %u was asked of a model opened for %u x "
                        "%u",
                        batch, seq, m->batch_max, m->seq_max);
    for (size_t b = 0; b < batch; b++)
        for (size_t t = 0; t < seq; t++) {
            m->inputs[b * seq + t] = tokens[b * (seq + 1) + t];
            m->targets[b * seq + t] = tokens[b * (seq + 1) + t + 1];
        }
    for (size_t r = 0; r < (size_t)batch * seq; r++)
        if (m->inputs[r] >= m->config.vocab || m->targets[r] >= m->config.vocab)
            return owm_fail(error, OWM_E_ARG, "token beyond the vocabulary of %u", m->config.vocab);
    return OWM_OK;
}

/** mean_loss: forward, with the device's failures and a loss that is not finite put in words. */
static owm_status mean_loss(owm_model *m, uint32_t batch, uint32_t seq, bool gradient,
                            double *loss_nats, struct owm_error *error)
{
    double sum;
    owm_status status = decoder_forward(m, batch, seq, gradient, &sum);
    if (status != OWM_OK)
        return owm_fail(error, status, "forward pass: %s", owm_status_text(status));
    *loss_nats = sum / ((double)batch * seq);
    if (!isfinite(*loss_nats))
        return owm_fail(error, OWM_E_STATE,
                        "the loss is not finite: the weights have diverged; "
                        "start from a good checkpoint with a lower lr");
    return OWM_OK;
}

owm_status owm_model_loss(owm_model *m, const uint16_t *tokens, uint32_t batch, uint32_t seq,
                          double *loss_nats, struct owm_error *error)
{
    TRY(set_batch(m, tokens, batch, seq, error));
    return mean_loss(m, batch, seq, false, loss_nats, error);
}

owm_status owm_model_grad(owm_model *m, const uint16_t *tokens, uint32_t batch, uint32_t seq,
                          double *loss_nats, double *grad_norm, struct owm_error *error)
{
    if (!m->train) return owm_fail(error, OWM_E_STATE, "this model was not opened to train");
    TRY(set_batch(m, tokens, batch, seq, error));
    TRY(mean_loss(m, batch, seq, true, loss_nats, error));
    double squares = 0;
    owm_status status = decoder_backward(m, batch, seq);
    if (status == OWM_OK)
        status = m->device->backend->sum_squares(m->device, &squares, m->grad, m->param_count);
    if (status != OWM_OK)
        return owm_fail(error, status, "backward pass: %s", owm_status_text(status));
    *grad_norm = sqrt(squares);
    if (!isfinite(*grad_norm))
        return owm_fail(error, OWM_E_STATE,
                        "the gradient is not finite at a loss of %g nats; use "
                        "a lower lr",
                        *loss_nats);
    return OWM_OK;
}

owm_status owm_model_step(owm_model *m, const struct owm_optimizer *o)
{
    if (!m->train) return OWM_E_STATE;
    m->step++;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const struct owm_tensor_range *t = &m->tensors[i];
        struct owm_adamw a = {
            .params = m->params + t->offset,
            .m = m->m + t->offset,
            .v = m->v + t->offset,
            .grad = m->grad + t->offset,
            .count = t->count,
            .step = m->step,
            .lr = o->lr,
            .beta1 = o->beta1,
            .beta2 = o->beta2,
            .eps = o->eps,
            .weight_decay = t->cols ? o->weight_decay : 0,
            .grad_scale = o->grad_scale,
        };
        TRY(m->device->backend->adamw(m->device, &a));
    }
    return m->device->backend->sync(m->device);
}

owm_status owm_model_reset_optimizer(owm_model *m)
{
    if (!m->train) return OWM_E_STATE;
    m->step = 0;
    TRY(m->device->backend->mem_zero(m->device, m->m, m->param_count * sizeof(float)));
    return m->device->backend->mem_zero(m->device, m->v, m->param_count * sizeof(float));
}

/** text_loss: the summed loss of `batch` windows of `seq` bytes that follow each other from `text`.
 */
static owm_status text_loss(owm_model *m, const uint8_t *text, uint32_t batch, uint32_t seq,
                            double *sum, struct owm_error *error)
{
    for (size_t i = 0; i < (size_t)batch * seq; i++) {
        m->inputs[i] = text[i];
        m->targets[i] = text[i + 1];
    }
    double mean;
    TRY(mean_loss(m, batch, seq, false, &mean, error));
    *sum += mean * batch * seq;
    return OWM_OK;
}

owm_status owm_model_bits_per_byte(owm_model *m, const uint8_t *text, size_t count, double *bits,
                                   struct owm_error *error)
{
    if (count < 2) return owm_fail(error, OWM_E_ARG, "bits per byte needs two bytes of text");
    if (m->config.vocab < 256)
        return owm_fail(error, OWM_E_ARG, "bits per byte needs a vocabulary of 256, not %u",
                        m->config.vocab);
    double sum = 0;
    size_t at = 0, left = count - 1;
    while (left > 0) {
        size_t windows = left / m->seq_max;
        uint32_t batch = (uint32_t)(windows < m->batch_max ? windows : m->batch_max);
        uint32_t seq = batch ? m->seq_max : (uint32_t)left;
        TRY(text_loss(m, text + at, batch ? batch : 1, seq, &sum, error));
        at += (size_t)(batch ? batch : 1) * seq;
        left = count - 1 - at;
    }
    *bits = sum / log(2) / (double)(count - 1);
    return OWM_OK;
}

owm_status owm_model_encode(owm_model *m, uint8_t **bytes, size_t *count, struct owm_error *error)
{
    float *params = malloc(m->param_count * sizeof *params);
    if (!params) return owm_fail(error, OWM_E_NOMEM, "no memory to copy the weights");
    owm_status status = owm_model_get_params(m, params);
    if (status == OWM_OK) status = owm_checkpoint_encode(&m->config, params, bytes, count, error);
    free(params);
    return status;
}

owm_status owm_model_save(owm_model *m, const char *path, struct owm_error *error)
{
    float *params = malloc(m->param_count * sizeof *params);
    if (!params) return owm_fail(error, OWM_E_NOMEM, "no memory to copy the weights");
    owm_status status = owm_model_get_params(m, params);
    if (status == OWM_OK) status = owm_checkpoint_save(path, &m->config, params, error);
    free(params);
    return status;
}
