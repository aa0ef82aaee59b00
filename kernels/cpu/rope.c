/* rope.c: reference rotary positions. */
#include "kernels/check.h"
#include "reference.h"

owm_status ref_rope(struct owm_device *device, const struct owm_rope *a)
{
    (void)device;
    owm_status status = owm_check_rope(a);
    if (status != OWM_OK) return status;

    uint32_t half = a->head_dim / 2;
    double sign = a->inverse ? -1 : 1;
    for (uint32_t r = 0; r < a->rows; r++) {
        const float *cosine = a->cos_sin + (size_t)(a->first + r % a->period) * a->head_dim;
        const float *sine = cosine + half;
        for (uint32_t h = 0; h < a->heads; h++) {
            float *x = a->x + (size_t)r * a->stride + (size_t)h * a->head_dim;
            for (uint32_t i = 0; i < half; i++) {
                double re = (double)x[i], im = (double)x[i + half];
                double c = (double)cosine[i], s = sign * (double)sine[i];
                x[i] = (float)(re * c - im * s);
                x[i + half] = (float)(re * s + im * c);
            }
        }
    }
    return OWM_OK;
}
