/* check.h: the argument checks of every op, once for all backends: OWM_OK, OWM_E_ARG, OWM_E_LIMIT.
 */
#ifndef OWM_KERNELS_CHECK_H
#define OWM_KERNELS_CHECK_H

#include "base/status.h"
#include "kernels/agg.h"
#include "kernels/decode.h"
#include "kernels/linear.h"
#include "kernels/ops.h"
#include "kernels/sha256d.h"
#include "kernels/sparse.h"

#ifdef __cplusplus
extern "C" {
#endif

/** owm_source_row_bytes: bytes of one row of `cols` weights as files have it; 0 where no backend
 *  packs such a row (packed_bytes in linear.h). */
size_t owm_source_row_bytes(enum owm_format format, uint32_t cols);

OWM_MUST_USE owm_status owm_check_gemm(const struct owm_gemm *g);
OWM_MUST_USE owm_status owm_check_pack(const struct owm_pack *a);
OWM_MUST_USE owm_status owm_check_linear(const struct owm_linear *a);
OWM_MUST_USE owm_status owm_check_linear_bwd(const struct owm_linear_bwd *a);
OWM_MUST_USE owm_status owm_check_rmsnorm(const struct owm_rmsnorm *a);
OWM_MUST_USE owm_status owm_check_rmsnorm_bwd(const struct owm_rmsnorm_bwd *a);
OWM_MUST_USE owm_status owm_check_rope(const struct owm_rope *a);
OWM_MUST_USE owm_status owm_check_swiglu(const struct owm_swiglu *a);
OWM_MUST_USE owm_status owm_check_swiglu_bwd(const struct owm_swiglu_bwd *a);
OWM_MUST_USE owm_status owm_check_attention(const struct owm_attention *a);
OWM_MUST_USE owm_status owm_check_attention_bwd(const struct owm_attention_bwd *a);
OWM_MUST_USE owm_status owm_check_attention_decode(const struct owm_attention_decode *a);
OWM_MUST_USE owm_status owm_check_embedding(const struct owm_embedding *a);
OWM_MUST_USE owm_status owm_check_embedding_bwd(const struct owm_embedding_bwd *a);
OWM_MUST_USE owm_status owm_check_cross_entropy(const struct owm_cross_entropy *a);
OWM_MUST_USE owm_status owm_check_adamw(const struct owm_adamw *a);
OWM_MUST_USE owm_status owm_check_topk(const struct owm_topk *a);
OWM_MUST_USE owm_status owm_check_threshold(const struct owm_threshold *a);
OWM_MUST_USE owm_status owm_check_feedback(const struct owm_feedback_step *a);
OWM_MUST_USE owm_status owm_check_quantise(const struct owm_quantise *a);
OWM_MUST_USE owm_status owm_check_scatter_add(const struct owm_scatter_add *a);
OWM_MUST_USE owm_status owm_check_sparse_sum(const struct owm_sparse_sum *a);
OWM_MUST_USE owm_status owm_check_sparse_gram(const struct owm_sparse_gram *a);
OWM_MUST_USE owm_status owm_check_apply_update(const struct owm_apply_update *a);
OWM_MUST_USE owm_status owm_check_weighted_sum(const struct owm_weighted_sum *a);
OWM_MUST_USE owm_status owm_check_trimmed_mean(const struct owm_trimmed_mean *a);
OWM_MUST_USE owm_status owm_check_gram(const struct owm_gram *a);
OWM_MUST_USE owm_status owm_check_clip(const struct owm_clip *a);
OWM_MUST_USE owm_status owm_check_kv_put(const struct owm_kv_put *a);
OWM_MUST_USE owm_status owm_check_attention_paged(const struct owm_attention_paged *a);
OWM_MUST_USE owm_status owm_check_softmax(const struct owm_softmax *a);
OWM_MUST_USE owm_status owm_check_sample(const struct owm_sample *a);
OWM_MUST_USE owm_status owm_check_sha256d_scan(const struct owm_sha256d_scan *a);
OWM_MUST_USE owm_status owm_check_sha256d_batch(const struct owm_sha256d_batch *a);
OWM_MUST_USE owm_status owm_check_sha256d_merkle(const struct owm_sha256d_merkle *a);
OWM_MUST_USE owm_status owm_check_sha256(const struct owm_sha256 *a);

#ifdef __cplusplus
}
#endif
#endif
