/* ops_cuda.h: the launchers of the .cu files, one per op of the table in backend.h, with the
 * table's types. backend_cuda.c names those that exist; the others of the table stay NULL.
 *
 * A launcher checks its arguments with owm_check_<op>, launches on gpu_stream(device) and returns
 * gpu_launched(). It allocates nothing, prints nothing, and waits only where the contract says
 * Synchronous (gpu_fetch does).
 */
#ifndef OWM_KERNELS_CUDA_OPS_CUDA_H
#define OWM_KERNELS_CUDA_OPS_CUDA_H

#include "kernels/cuda/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

owm_status gpu_pipe_rate(struct owm_device *, enum owm_pipe, double *rate);

owm_status gpu_gemm(struct owm_device *, const struct owm_gemm *);
owm_status gpu_rmsnorm(struct owm_device *, const struct owm_rmsnorm *);
owm_status gpu_rmsnorm_bwd(struct owm_device *, const struct owm_rmsnorm_bwd *);
owm_status gpu_rope(struct owm_device *, const struct owm_rope *);
owm_status gpu_swiglu(struct owm_device *, const struct owm_swiglu *);
owm_status gpu_swiglu_bwd(struct owm_device *, const struct owm_swiglu_bwd *);
owm_status gpu_attention(struct owm_device *, const struct owm_attention *);
owm_status gpu_attention_bwd(struct owm_device *, const struct owm_attention_bwd *);
owm_status gpu_attention_decode(struct owm_device *, const struct owm_attention_decode *);
owm_status gpu_embedding(struct owm_device *, const struct owm_embedding *);
owm_status gpu_embedding_bwd(struct owm_device *, const struct owm_embedding_bwd *);
owm_status gpu_cross_entropy(struct owm_device *, const struct owm_cross_entropy *);
owm_status gpu_adamw(struct owm_device *, const struct owm_adamw *);
owm_status gpu_add(struct owm_device *, float *out, const float *a, const float *b, size_t count);
owm_status gpu_sum_squares(struct owm_device *, double *sum_host, const float *x, size_t count);

size_t gpu_packed_bytes(struct owm_device *, enum owm_format, uint32_t rows, uint32_t cols);
owm_status gpu_pack(struct owm_device *, const struct owm_pack *);
owm_status gpu_linear(struct owm_device *, const struct owm_linear *);
owm_status gpu_linear_bwd(struct owm_device *, const struct owm_linear_bwd *);

owm_status gpu_kv_put(struct owm_device *, const struct owm_kv_put *);
owm_status gpu_attention_paged(struct owm_device *, const struct owm_attention_paged *);
owm_status gpu_softmax(struct owm_device *, const struct owm_softmax *);
owm_status gpu_sample(struct owm_device *, const struct owm_sample *);

owm_status gpu_weighted_sum(struct owm_device *, const struct owm_weighted_sum *);
owm_status gpu_trimmed_mean(struct owm_device *, const struct owm_trimmed_mean *);
owm_status gpu_gram(struct owm_device *, const struct owm_gram *);
owm_status gpu_clip(struct owm_device *, const struct owm_clip *);

struct owm_threshold; /* Named here until sparse.h has them. */
struct owm_feedback_step;
struct owm_quantise;
struct owm_scatter_add;
owm_status gpu_topk(struct owm_device *, const struct owm_topk *);
owm_status gpu_threshold(struct owm_device *, const struct owm_threshold *);
owm_status gpu_feedback(struct owm_device *, const struct owm_feedback_step *);
owm_status gpu_quantise(struct owm_device *, const struct owm_quantise *);
owm_status gpu_scatter_add(struct owm_device *, const struct owm_scatter_add *);
owm_status gpu_sparse_sum(struct owm_device *, const struct owm_sparse_sum *);
owm_status gpu_sparse_gram(struct owm_device *, const struct owm_sparse_gram *);
owm_status gpu_apply_update(struct owm_device *, const struct owm_apply_update *);

owm_status gpu_sha256d_scan(struct owm_device *, const struct owm_sha256d_scan *);
owm_status gpu_sha256d_batch(struct owm_device *, const struct owm_sha256d_batch *);
owm_status gpu_sha256d_merkle(struct owm_device *, const struct owm_sha256d_merkle *);

#ifdef __cplusplus
}
#endif
#endif
