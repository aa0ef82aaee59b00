/* sparse_ref.h: the ops of federated learning in plain C. They are exact by contract, so the cpu
 * backend and the reference share them until a SIMD version replaces one in the cpu table. */
#ifndef OWM_KERNELS_CPU_SPARSE_REF_H
#define OWM_KERNELS_CPU_SPARSE_REF_H

#include "kernels/backend.h"

owm_status ref_topk(struct owm_device *, const struct owm_topk *);
owm_status ref_quantise_i8(struct owm_device *, const struct owm_quantise_i8 *);
owm_status ref_quantise_bf16(struct owm_device *, const struct owm_quantise_bf16 *);
owm_status ref_sparse_sum(struct owm_device *, const struct owm_sparse_sum *);
owm_status ref_sparse_gram(struct owm_device *, const struct owm_sparse_gram *);
owm_status ref_apply_update(struct owm_device *, const struct owm_apply_update *);

#endif
