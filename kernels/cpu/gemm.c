/* gemm.c: reference matrix product. */
#include "kernels/check.h"
#include "reference.h"

owm_status ref_gemm(struct owm_device *device, const struct owm_gemm *g)
{
    (void)device;
    owm_status status = owm_check_gemm(g);
    if (status != OWM_OK) return status;

    size_t a_row = g->trans_a ? 1 : g->lda, a_col = g->trans_a ? g->lda : 1;
    size_t b_row = g->trans_b ? 1 : g->ldb, b_col = g->trans_b ? g->ldb : 1;
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            float *c = &g->c[i * g->ldc + j];
            double sum = g->accumulate ? (double)*c : 0;
            for (size_t k = 0; k < g->k; k++)
                sum += (double)g->a[i * a_row + k * a_col] * (double)g->b[k * b_row + j * b_col];
            *c = (float)sum;
        }
    return OWM_OK;
}
