/* config.h: the shape of a decoder, and the canonical order of its tensors.
 *
 * A llama-style decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases,
 * input and output embedding tied. All weights are one flat f32 vector; a tensor is a range of it.
 * The order is that of the names, which is also the order in the safetensors file, so that
 * federated deltas index the vector and every node means the same weight by the same index:
 *
 *   embed [vocab][dim]
 *   layers.00.attn_norm [dim]
 *   layers.00.attn_out [dim][dim]
 *   layers.00.attn_qkv [(heads + 2 kv_heads) * head_dim][dim]
 *   layers.00.ffn_down [dim][ffn_dim]
 *   layers.00.ffn_gate_up [2 ffn_dim][dim]
 *   layers.00.ffn_norm [dim]
 *   …
 *   norm [dim]
 */
#ifndef OWM_MODEL_CONFIG_H
#define OWM_MODEL_CONFIG_H

#include <stdint.h>

#include "base/status.h"

#define OWM_MODEL_VOCAB_MAX   65535u
#define OWM_MODEL_DIM_MAX     16384u
#define OWM_MODEL_LAYERS_MAX  99u /* Two digits in a tensor name. */
#define OWM_MODEL_CONTEXT_MAX 4096u
#define OWM_MODEL_PARAMS_MAX  (UINT64_C(1) << 33)
#define OWM_MODEL_TENSORS_MAX (OWM_MODEL_LAYERS_MAX * 6 + 2)
#define OWM_TENSOR_NAME_BYTES 32

struct owm_model_config {
    uint32_t vocab, dim, layers, heads, kv_heads, ffn_dim, context;
    float rope_theta, norm_eps;
};

/** owm_tensor_range: one tensor inside the flat vector. cols is 0 for a vector of `rows`. */
struct owm_tensor_range {
    char name[OWM_TENSOR_NAME_BYTES];
    uint64_t offset, count;
    uint32_t rows, cols;
};

/** owm_model_config_default: the demo network's model, a little above one million parameters. */
struct owm_model_config owm_model_config_default(void);

/** owm_model_config_check: dim divisible by heads, heads by kv_heads, head_dim even and at most
 *  128, everything non-zero and within the limits above, theta and eps finite and positive.
 *  Returns: OWM_OK; OWM_E_CONFIG with the field and its limit. */
OWM_MUST_USE owm_status owm_model_config_check(const struct owm_model_config *config,
                                               struct owm_error *error);

/** owm_model_config_params: length of the flat vector of a checked config. */
uint64_t owm_model_config_params(const struct owm_model_config *config);

/** owm_model_tensors: the table of a checked config, in canonical order; returns the count.
 *  tensors  [OWM_MODEL_TENSORS_MAX]; written. */
uint32_t owm_model_tensors(const struct owm_model_config *config,
                           struct owm_tensor_range tensors[OWM_MODEL_TENSORS_MAX]);

/** owm_model_init_params: random weights from a seed: norms 1, matrices uniform with variance
 *  1/fan_in (residual outputs scaled down by sqrt(2 layers), embedding 0.02).
 *  params  [owm_model_config_params].   Exact: the same bits on every machine. */
void owm_model_init_params(const struct owm_model_config *config, uint64_t seed, float *params);

#endif
