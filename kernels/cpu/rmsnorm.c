/* rmsnorm.c: reference root-mean-square norm and its gradient (Zhang & Sennrich, 2019). */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

/** inverse_rms: s = 1 / sqrt(mean(x^2) + eps). */
static double inverse_rms(const float *x, uint32_t cols, double eps)
{
    double sum = 0;
    for (uint32_t c = 0; c < cols; c++) sum += (double)x[c] * (double)x[c];
    return 1.0 / sqrt(sum / cols + eps);
}

owm_status ref_rmsnorm(struct owm_device *device, const struct owm_rmsnorm *a)
{
    (void)device;
    owm_status status = owm_check_rmsnorm(a);
    if (status != OWM_OK) return status;

    for (uint32_t r = 0; r < a->rows; r++) {
        const float *x = a->x + (size_t)r * a->cols;
        float *out = a->out + (size_t)r * a->cols;
        double s = inverse_rms(x, a->cols, (double)a->eps);
        for (uint32_t c = 0; c < a->cols; c++)
            out[c] = (float)((double)x[c] * s * (double)a->weight[c]);
    }
    return OWM_OK;
}

/* With g = dout * weight:  dx = s * g - x * s^3 * dot(g, x) / cols,  dweight = sum dout * x * s. */
owm_status ref_rmsnorm_bwd(struct owm_device *device, const struct owm_rmsnorm_bwd *a)
{
    (void)device;
    owm_status status = owm_check_rmsnorm_bwd(a);
    if (status != OWM_OK) return status;

    for (uint32_t c = 0; c < a->cols; c++) {
        double sum = (double)a->dweight[c];
        for (uint32_t r = 0; r < a->rows; r++) {
            size_t at = (size_t)r * a->cols;
            double s = inverse_rms(a->x + at, a->cols, (double)a->eps);
            sum += (double)a->dout[at + c] * (double)a->x[at + c] * s;
        }
        a->dweight[c] = (float)sum;
    }
    for (uint32_t r = 0; r < a->rows; r++) {
        const float *x = a->x + (size_t)r * a->cols, *dout = a->dout + (size_t)r * a->cols;
        float *dx = a->dx + (size_t)r * a->cols;
        double s = inverse_rms(x, a->cols, (double)a->eps), dot = 0;
        for (uint32_t c = 0; c < a->cols; c++)
            dot += (double)dout[c] * (double)a->weight[c] * (double)x[c];
        for (uint32_t c = 0; c < a->cols; c++) {
            double g = (double)dout[c] * (double)a->weight[c];
            dx[c] = (float)((double)dx[c] + s * g - (double)x[c] * s * s * s * dot / a->cols);
        }
    }
    return OWM_OK;
}
