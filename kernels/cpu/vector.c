/* vector.c: reference sums over flat vectors. */
#include "reference.h"

owm_status ref_add(struct owm_device *device, float *out, const float *a, const float *b,
                   size_t count)
{
    (void)device;
    if (!out || !a || !b || !count) return OWM_E_ARG;
    for (size_t i = 0; i < count; i++) out[i] = a[i] + b[i];
    return OWM_OK;
}

owm_status ref_sum_squares(struct owm_device *device, double *sum, const float *x, size_t count)
{
    (void)device;
    if (!sum || !x || !count) return OWM_E_ARG;
    *sum = 0;
    for (size_t i = 0; i < count; i++) *sum += (double)x[i] * (double)x[i];
    return OWM_OK;
}
