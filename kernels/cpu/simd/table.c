/* table.c: what the cpu backend does with this instruction set. */
#include "kernels/cpu/linear_path.h"
#include "kernels/cpu/reference.h"
#include "kernels/cpu/sha256d_path.h"
#include "kernels/cpu/sparse_ref.h"
#include "select.h"

const struct owm_backend SIMD(cpu_table) = {
    CPU_TABLE_DEVICE,
    .name = "cpu",
    .open = cpu_open,
    .gemm = SIMD(gemm),
    .packed_bytes = cpu_packed_bytes,
    .pack = cpu_pack,
    .linear = cpu_linear,
    .rmsnorm = SIMD(rmsnorm),
    .rmsnorm_bwd = SIMD(rmsnorm_bwd),
    .rope = SIMD(rope),
    .swiglu = SIMD(swiglu),
    .swiglu_bwd = SIMD(swiglu_bwd),
    .attention = SIMD(attention),
    .attention_bwd = SIMD(attention_bwd),
    .attention_decode = SIMD(attention_decode),
    .embedding = SIMD(embedding),
    .embedding_bwd = SIMD(embedding_bwd),
    .cross_entropy = SIMD(cross_entropy),
    .adamw = SIMD(adamw),
    .add = SIMD(add),
    .sum_squares = SIMD(sum_squares),
    .weighted_sum = SIMD(weighted_sum),
    .trimmed_mean = SIMD(trimmed_mean),
    .gram = SIMD(gram),
    .clip = SIMD(clip),
    .kv_put = SIMD(kv_put),
    .attention_paged = SIMD(attention_paged),
    .softmax = SIMD(softmax),
    .sample = SIMD(sample),
    .topk = SIMD(topk),
    .threshold = SIMD(threshold),
    .feedback = SIMD(feedback),
    .quantise = ref_quantise,
    .scatter_add = ref_scatter_add,
    .sparse_sum = ref_sparse_sum,
    .sparse_gram = ref_sparse_gram,
    .apply_update = ref_apply_update,
    .sha256d_scan = cpu_sha256d_scan,
    .sha256d_batch = cpu_sha256d_batch,
    .sha256d_merkle = cpu_sha256d_merkle,
};
