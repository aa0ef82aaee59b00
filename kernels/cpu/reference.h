/* reference.h: the ops in plain C, accumulating in double: one per file, each readable at a glance.
 * They judge every other implementation and are never the fast one. */
#ifndef OWM_KERNELS_CPU_REFERENCE_H
#define OWM_KERNELS_CPU_REFERENCE_H

#include "kernels/backend.h"

owm_status ref_gemm(struct owm_device *, const struct owm_gemm *);
owm_status ref_rmsnorm(struct owm_device *, const struct owm_rmsnorm *);
owm_status ref_rmsnorm_bwd(struct owm_device *, const struct owm_rmsnorm_bwd *);
owm_status ref_rope(struct owm_device *, const struct owm_rope *);
owm_status ref_swiglu(struct owm_device *, const struct owm_swiglu *);
owm_status ref_swiglu_bwd(struct owm_device *, const struct owm_swiglu_bwd *);
owm_status ref_attention(struct owm_device *, const struct owm_attention *);
owm_status ref_attention_bwd(struct owm_device *, const struct owm_attention_bwd *);
owm_status ref_attention_decode(struct owm_device *, const struct owm_attention_decode *);
owm_status ref_embedding(struct owm_device *, const struct owm_embedding *);
owm_status ref_embedding_bwd(struct owm_device *, const struct owm_embedding_bwd *);
owm_status ref_cross_entropy(struct owm_device *, const struct owm_cross_entropy *);
owm_status ref_adamw(struct owm_device *, const struct owm_adamw *);
owm_status ref_add(struct owm_device *, float *out, const float *a, const float *b, size_t count);
owm_status ref_sum_squares(struct owm_device *, double *sum, const float *x, size_t count);
owm_status ref_weighted_sum(struct owm_device *, const struct owm_weighted_sum *);
owm_status ref_trimmed_mean(struct owm_device *, const struct owm_trimmed_mean *);
owm_status ref_gram(struct owm_device *, const struct owm_gram *);
owm_status ref_clip(struct owm_device *, const struct owm_clip *);
owm_status ref_kv_put(struct owm_device *, const struct owm_kv_put *);
owm_status ref_attention_paged(struct owm_device *, const struct owm_attention_paged *);
owm_status ref_softmax(struct owm_device *, const struct owm_softmax *);
owm_status ref_sample(struct owm_device *, const struct owm_sample *);

#endif
