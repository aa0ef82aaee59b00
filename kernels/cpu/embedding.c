/* embedding.c: reference lookup and its gradient. */
#include <string.h>

#include "kernels/check.h"
#include "reference.h"

owm_status ref_embedding(struct owm_device *device, const struct owm_embedding *a)
{
    (void)device;
    owm_status status = owm_check_embedding(a);
    if (status != OWM_OK) return status;

    for (size_t r = 0; r < a->rows; r++)
        memcpy(a->out + r * a->cols, a->table + (size_t)a->tokens[r] * a->cols,
               a->cols * sizeof(float));
    return OWM_OK;
}

owm_status ref_embedding_bwd(struct owm_device *device, const struct owm_embedding_bwd *a)
{
    (void)device;
    owm_status status = owm_check_embedding_bwd(a);
    if (status != OWM_OK) return status;

    for (uint32_t v = 0; v < a->vocab; v++)
        for (size_t c = 0; c < a->cols; c++) {
            double sum = (double)a->dtable[(size_t)v * a->cols + c];
            for (size_t r = 0; r < a->rows; r++)
                if (a->tokens[r] == v) sum += (double)a->dout[r * a->cols + c];
            a->dtable[(size_t)v * a->cols + c] = (float)sum;
        }
    return OWM_OK;
}
