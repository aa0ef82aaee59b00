/* config.c: shape checks, the canonical tensor table, and random weights. */
#include "config.h"

#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "kernels/ops.h"

struct owm_model_config owm_model_config_default(void)
{
    return (struct owm_model_config){
        .vocab = 256,
        .dim = 192,
        .layers =
            2, /* Wide and shallow: of this size it learns fastest in the first million tokens. */
        .heads = 6,
        .kv_heads = 2,
        .ffn_dim = 672,
        .context = 64,
        .rope_theta = 10000,
        .norm_eps = 1e-5f,
    };
}

/** The sizes that must lie in a range, by name. */
static owm_status check_ranges(const struct owm_model_config *c, struct owm_error *error)
{
    const struct {
        const char *name;
        uint32_t value, max;
    } fields[] = {
        {"vocab", c->vocab, OWM_MODEL_VOCAB_MAX},
        {"dim", c->dim, OWM_MODEL_DIM_MAX},
        {"layers", c->layers, OWM_MODEL_LAYERS_MAX},
        {"heads", c->heads, OWM_MODEL_DIM_MAX},
        {"kv_heads", c->kv_heads, OWM_MODEL_DIM_MAX},
        {"ffn_dim", c->ffn_dim, 4 * OWM_MODEL_DIM_MAX},
        {"context", c->context, OWM_MODEL_CONTEXT_MAX},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].value == 0 || fields[i].value > fields[i].max)
            return owm_fail(error, OWM_E_CONFIG, "model config: %s is %u; it must be 1 to %u",
                            fields[i].name, fields[i].value, fields[i].max);
    return OWM_OK;
}

owm_status owm_model_config_check(const struct owm_model_config *c, struct owm_error *error)
{
    owm_status status = check_ranges(c, error);
    if (status != OWM_OK) return status;
    if (c->dim % c->heads)
        return owm_fail(error, OWM_E_CONFIG, "model config: dim %u is not a multiple of heads %u",
                        c->dim, c->heads);
    if (c->heads % c->kv_heads)
        return owm_fail(error, OWM_E_CONFIG,
                        "model config: heads %u is not a multiple of kv_heads %u", c->heads,
                        c->kv_heads);
    uint32_t head_dim = c->dim / c->heads;
    if (head_dim % 2 || head_dim > OWM_ATTENTION_DIM_MAX)
        return owm_fail(error, OWM_E_CONFIG,
                        "model config: dim / heads is %u; it must be even and at most %d", head_dim,
                        OWM_ATTENTION_DIM_MAX);
    if (!(isfinite(c->rope_theta) && c->rope_theta > 0))
        return owm_fail(error, OWM_E_CONFIG, "model config: rope_theta must be above 0");
    if (!(isfinite(c->norm_eps) && c->norm_eps > 0 && c->norm_eps < 1))
        return owm_fail(error, OWM_E_CONFIG, "model config: norm_eps must lie between 0 and 1");
    if (owm_model_config_params(c) > OWM_MODEL_PARAMS_MAX)
        return owm_fail(error, OWM_E_CONFIG, "model config: more than %llu parameters",
                        (unsigned long long)OWM_MODEL_PARAMS_MAX);
    return OWM_OK;
}

static uint32_t qkv_rows(const struct owm_model_config *c)
{
    return (c->heads + 2 * c->kv_heads) * (c->dim / c->heads);
}

uint64_t owm_model_config_params(const struct owm_model_config *c)
{
    uint64_t dim = c->dim;
    uint64_t layer = dim * (2 + dim + qkv_rows(c) + 3 * (uint64_t)c->ffn_dim);
    return dim * c->vocab + c->layers * layer + dim;
}

uint32_t owm_model_tensors(const struct owm_model_config *c,
                           struct owm_tensor_range tensors[OWM_MODEL_TENSORS_MAX])
{
    const struct {
        const char *name;
        uint32_t rows, cols;
    } parts[] = {
        {"attn_norm", c->dim, 0},
        {"attn_out", c->dim, c->dim},
        {"attn_qkv", qkv_rows(c), c->dim},
        {"ffn_down", c->dim, c->ffn_dim},
        {"ffn_gate_up", 2 * c->ffn_dim, c->dim},
        {"ffn_norm", c->dim, 0},
    };
    uint32_t n = 0;
    tensors[n++] = (struct owm_tensor_range){.name = "embed", .rows = c->vocab, .cols = c->dim};
    for (uint32_t l = 0; l < c->layers; l++)
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            struct owm_tensor_range *t = &tensors[n++];
            *t = (struct owm_tensor_range){.rows = parts[p].rows, .cols = parts[p].cols};
            (void)snprintf(t->name, sizeof t->name, "layers.%02u.%s", l % 100, parts[p].name);
        }
    tensors[n++] = (struct owm_tensor_range){.name = "norm", .rows = c->dim};
    uint64_t offset = 0;
    for (uint32_t i = 0; i < n; i++) {
        tensors[i].count = (uint64_t)tensors[i].rows * (tensors[i].cols ? tensors[i].cols : 1);
        tensors[i].offset = offset;
        offset += tensors[i].count;
    }
    return n;
}

/** init_bound: half width of the uniform weights; its variance is bound^2 / 3. Only operations that
 *  IEEE 754 rounds exactly, so that every machine starts from the same bits. */
static float init_bound(const struct owm_model_config *c, const struct owm_tensor_range *t,
                        uint32_t index)
{
    if (index == 0) return 0.02f * sqrtf(3);
    uint32_t part = (index - 1) % 6;
    bool residual = part == 1 || part == 3; /* attn_out and ffn_down write to the stream. */
    return sqrtf(3 / (float)t->cols / (residual ? 2 * (float)c->layers : 1));
}

void owm_model_init_params(const struct owm_model_config *c, uint64_t seed, float *params)
{
    struct owm_tensor_range tensors[OWM_MODEL_TENSORS_MAX];
    uint32_t count = owm_model_tensors(c, tensors);
    struct owm_rng rng;
    owm_rng_seed(&rng, seed);
    for (uint32_t i = 0; i < count; i++) {
        float *w = params + tensors[i].offset;
        float bound = tensors[i].cols ? init_bound(c, &tensors[i], i) : 0;
        for (uint64_t k = 0; k < tensors[i].count; k++)
            w[k] = tensors[i].cols ? (2 * owm_rng_f32(&rng) - 1) * bound : 1;
    }
}
