/* ops.h: contracts of the ops, shared by every backend. cpu/reference.h judges them.
 *
 * All tensors are f32, row-major, in device memory unless "host" is said. Shape letters:
 *   R rows (batch x time), C columns, B batch, T time, H query heads, G key/value heads (H is a
 *   multiple of G), E head_dim (even), V vocabulary, N a plain count.
 * Every op returns OWM_E_ARG for a zero size, a NULL tensor that is not marked optional, or a
 * stride smaller than its row; OWM_E_LIMIT where its paragraph names one; OWM_E_DEVICE.
 * Async:  tensors must outlive the next sync().
 * Exact:  each backend repeats itself bit for bit, whatever the number of threads. Between backends
 *         the difference from the reference is bounded by 1e-4 relative to the sum of magnitudes.
 */
#ifndef OWM_KERNELS_OPS_H
#define OWM_KERNELS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** gemm: c = op(a) op(b), plus what c held when `accumulate`.
 *
 *  c  [m][n], stride ldc; written (read too when accumulate).
 *  a  [m][k], stride lda; with trans_a stored as [k][m].
 *  b  [k][n], stride ldb; with trans_b stored as [n][k].
 *  c overlaps neither a nor b.
 */
struct owm_gemm {
    float *c;
    const float *a, *b;
    uint32_t m, n, k;
    uint32_t ldc, lda, ldb;
    bool trans_a, trans_b, accumulate;
};

/** rmsnorm: out[r] = x[r] * weight / sqrt(mean(x[r]^2) + eps). out may be x.
 *
 *  out, x  [R][C].   weight  [C].
 */
struct owm_rmsnorm {
    float *out;
    const float *x, *weight;
    uint32_t rows, cols;
    float eps;
};

/** rmsnorm_bwd: adds the gradients of rmsnorm to dx and dweight.
 *
 *  dx  [R][C]; added to.   dweight  [C]; added to.   dout, x  [R][C].   weight  [C].
 *  dx may not be dout. Limit: OWM_NORM_COLS_MAX columns.
 */
struct owm_rmsnorm_bwd {
    float *dx, *dweight;
    const float *dout, *x, *weight;
    uint32_t rows, cols;
    float eps;
};
#define OWM_NORM_COLS_MAX 16384

/** rope: rotate pairs (i, i + E/2) of each head by position * theta^(-2i/E), in place (Su et al.,
 *  2021, in the half-split form of llama). With `inverse` the angle is negated, which is also the
 *  gradient.
 *
 *  x       [R][stride]; the first heads * head_dim columns of each row are rotated.
 *  cos_sin [positions][2][E/2]: cosines, then sines; see owm_rope_table.
 *  Row r has position  first + r % period.   Limit: first + period <= positions.
 */
struct owm_rope {
    float *x;
    const float *cos_sin;
    uint32_t rows, stride, heads, head_dim;
    uint32_t first, period, positions;
    bool inverse;
};

/** swiglu: out = silu(gate) * up, with gate and up side by side in a row.
 *
 *  out  [R][C].   gate_up  [R][2C]: gate in columns 0..C, up in C..2C.
 */
struct owm_swiglu {
    float *out;
    const float *gate_up;
    uint32_t rows, cols;
};

/** swiglu_bwd: dgate_up  [R][2C]; written (it may be gate_up).   dout  [R][C]. */
struct owm_swiglu_bwd {
    float *dgate_up;
    const float *dout, *gate_up;
    uint32_t rows, cols;
};

/** attention: causal grouped-query attention over B sequences of T, scale 1/sqrt(E).
 *
 *  out  [B*T][H*E]; written.   lse  [B][H][T]; written: log of the sum of exponentials.
 *  qkv  [B*T][(H+2G)*E]: queries, keys, values of a row side by side, rope already applied.
 *  Limit: T <= OWM_ATTENTION_TIME_MAX, E <= OWM_ATTENTION_DIM_MAX.
 */
struct owm_attention {
    float *out, *lse;
    const float *qkv;
    uint32_t batch, time, heads, kv_heads, head_dim;
};
#define OWM_ATTENTION_TIME_MAX 4096
#define OWM_ATTENTION_DIM_MAX  128

/** attention_bwd: dqkv  [B*T][(H+2G)*E]; written. The rest as attention left it. */
struct owm_attention_bwd {
    float *dqkv;
    const float *dout, *out, *lse, *qkv;
    uint32_t batch, time, heads, kv_heads, head_dim;
};

/** attention_decode: one new query row against a cache of `length` rows (its own included).
 *
 *  out  [H*E]; written.   q  [H*E].   k_cache, v_cache  [>= length][G*E].
 *  Limits as attention.
 */
struct owm_attention_decode {
    float *out;
    const float *q, *k_cache, *v_cache;
    uint32_t length, heads, kv_heads, head_dim;
};

/** embedding: out[r] = table[tokens[r]].
 *
 *  out  [R][C]; written.   table  [V][C].   tokens  [R], host, each below V.
 *  Returns: OWM_E_ARG for a token >= V.
 */
struct owm_embedding {
    float *out;
    const float *table;
    const uint16_t *tokens;
    uint32_t rows, cols, vocab;
};

/** embedding_bwd: dtable[tokens[r]] += dout[r], rows in order. */
struct owm_embedding_bwd {
    float *dtable;
    const float *dout;
    const uint16_t *tokens;
    uint32_t rows, cols, vocab;
};

/** cross_entropy: losses[r] = -log softmax(logits[r])[targets[r]], in nats.
 *
 *  losses   [R]; written.   logits  [R][V].   targets  [R], host.
 *  dlogits  [R][V], optional (NULL), may be logits; written: (softmax - onehot) * scale.
 *  Returns: OWM_E_ARG for a target >= V.
 */
struct owm_cross_entropy {
    float *losses, *dlogits;
    const float *logits;
    const uint16_t *targets;
    uint32_t rows, vocab;
    float scale;
};

/** adamw: one decoupled-weight-decay Adam step (Loshchilov & Hutter, 2019) over flat vectors.
 *
 *  params, m, v  [N]; updated.   grad  [N]; read, multiplied by grad_scale (gradient clipping).
 *  step counts from 1 (bias correction).
 */
struct owm_adamw {
    float *params, *m, *v;
    const float *grad;
    size_t count;
    uint64_t step;
    float lr, beta1, beta2, eps, weight_decay, grad_scale;
};

/** add: out = a + b, element by element; out may be a or b. [N] each. (No struct: four arguments.)
 *
 *  sum_squares: *sum_host = sum of x[i]^2 in f64, in the order of gram (agg.h: chunks, lanes,
 * halving), but with sum = fma((double)x, (double)x, sum) in f64 lanes. Same bits on every backend.
 *  Synchronous.
 */

/** owm_rope_table: fill a host table [positions][2][head_dim/2] for rope. */
void owm_rope_table(float *cos_sin, uint32_t positions, uint32_t head_dim, float theta);

#endif
