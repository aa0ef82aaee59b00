/* softmax.c: reference softmax of rows. */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

owm_status ref_softmax(struct owm_device *device, const struct owm_softmax *a)
{
    (void)device;
    owm_status status = owm_check_softmax(a);
    if (status != OWM_OK) return status;

    double scale = (double)a->scale;
    for (size_t r = 0; r < a->rows; r++) {
        const float *x = a->x + r * a->cols;
        float *out = a->out + r * a->cols;
        double max = -INFINITY, sum = 0;
        for (uint32_t c = 0; c < a->cols; c++) max = fmax(max, scale * (double)x[c]);
        for (uint32_t c = 0; c < a->cols; c++) sum += exp(scale * (double)x[c] - max);
        for (uint32_t c = 0; c < a->cols; c++)
            out[c] = (float)(exp(scale * (double)x[c] - max) / sum);
    }
    return OWM_OK;
}
