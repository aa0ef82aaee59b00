/* swiglu.c: reference gated unit and its gradient (Shazeer, 2020). */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

owm_status ref_swiglu(struct owm_device *device, const struct owm_swiglu *a)
{
    (void)device;
    owm_status status = owm_check_swiglu(a);
    if (status != OWM_OK) return status;

    for (uint32_t r = 0; r < a->rows; r++) {
        const float *gate = a->gate_up + (size_t)r * 2 * a->cols, *up = gate + a->cols;
        for (uint32_t c = 0; c < a->cols; c++) {
            double g = (double)gate[c];
            a->out[(size_t)r * a->cols + c] = (float)(g / (1 + exp(-g)) * (double)up[c]);
        }
    }
    return OWM_OK;
}

/* With s = sigmoid(g): d silu/dg = s * (1 + g * (1 - s)). */
owm_status ref_swiglu_bwd(struct owm_device *device, const struct owm_swiglu_bwd *a)
{
    (void)device;
    owm_status status = owm_check_swiglu_bwd(a);
    if (status != OWM_OK) return status;

    for (uint32_t r = 0; r < a->rows; r++) {
        size_t at = (size_t)r * 2 * a->cols;
        for (uint32_t c = 0; c < a->cols; c++) {
            double g = (double)a->gate_up[at + c], u = (double)a->gate_up[at + a->cols + c];
            double d = (double)a->dout[(size_t)r * a->cols + c], s = 1 / (1 + exp(-g));
            a->dgate_up[at + c] = (float)(d * u * s * (1 + g * (1 - s)));
            a->dgate_up[at + a->cols + c] = (float)(d * g * s);
        }
    }
    return OWM_OK;
}
