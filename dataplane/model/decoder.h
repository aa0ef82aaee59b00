/* decoder.h: inside of a model, for the files of this folder alone. */
#ifndef OWM_MODEL_DECODER_H
#define OWM_MODEL_DECODER_H

#include "kernels/backend.h"
#include "model.h"

/** Offsets of a layer's tensors in the flat vector; the same for weights and gradients. */
struct layer_at {
    uint64_t attn_norm, attn_out, attn_qkv, ffn_down, ffn_gate_up, ffn_norm;
};

/** What a layer leaves behind for backward, in device memory; R = rows of the pass. Without
 * training all layers share one. */
struct layer_pass {
    float *x;       /* [R][dim] its input */
    float *h1;      /* [R][dim] normed */
    float *qkv;     /* [R][qkv] rotated */
    float *lse;     /* [batch][heads][seq] */
    float *att;     /* [R][dim] */
    float *mid;     /* [R][dim] after attention */
    float *h2;      /* [R][dim] normed */
    float *gate_up; /* [R][2 ffn]; backward turns it into its gradient */
    float *act;     /* [R][ffn] */
};

struct owm_model {
    struct owm_model_config config;
    struct owm_device *device;
    uint32_t batch_max, seq_max;
    bool train;
    uint32_t head_dim, qkv;
    uint64_t param_count, norm_at, step; /* step: AdamW steps since the reset. */
    struct owm_tensor_range *tensors;
    uint32_t tensor_count;
    struct layer_at *at;        /* [layers] */
    struct layer_pass *pass;    /* [layers] */
    uint16_t *inputs, *targets; /* [rows], host */
    float *losses_host;         /* [rows] */

    void *memory; /* Device memory of all that follows, one block. */
    float *params, *grad, *m, *v;
    float *rope;                     /* [context][2][head_dim / 2] */
    float *x_last, *h_last, *logits; /* logits become their gradient. */
    float *losses, *delta;           /* [R], [R][dim] what a block adds to the stream. */
    float *dx, *dh, *dact, *dqkv;
};

/** decoder_forward: over m->inputs and targets [batch][seq]; loss_sum in nats over all rows. With
 *  `gradient` the logits become the gradient of the mean loss. */
OWM_MUST_USE owm_status decoder_forward(owm_model *m, uint32_t batch, uint32_t seq, bool gradient,
                                        double *loss_sum);

/** decoder_backward: after a forward with `gradient`: fills grad. */
OWM_MUST_USE owm_status decoder_backward(owm_model *m, uint32_t batch, uint32_t seq);

/** linear: out [rows][n] = x [rows][k] times weight [n][k] transposed. */
OWM_MUST_USE owm_status decoder_linear(owm_model *m, float *out, const float *x,
                                       const float *weight, uint32_t rows, uint32_t n, uint32_t k);

OWM_MUST_USE owm_status decoder_norm(owm_model *m, float *out, const float *x, uint64_t weight_at,
                                     uint32_t rows);

#define TRY(expr)                                                                                  \
    do {                                                                                           \
        owm_status try_status = (expr);                                                            \
        if (try_status != OWM_OK) return try_status;                                               \
    } while (0)

#endif
