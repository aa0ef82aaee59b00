/* vector.c: reference sums over flat vectors. */
#include <math.h>

#include "reference.h"

owm_status ref_add(struct owm_device *device, float *out, const float *a, const float *b,
                   size_t count)
{
    (void)device;
    if (!out || !a || !b || !count) return OWM_E_ARG;
    for (size_t i = 0; i < count; i++) out[i] = a[i] + b[i];
    return OWM_OK;
}

/* Lane l takes what lies half the lanes further, until one is left. */
static double chunk_squares(const float *x, size_t count)
{
    double lane[OWM_AGG_LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        double *sum = &lane[i % OWM_AGG_LANES];
        *sum = fma((double)x[i], (double)x[i], *sum);
    }
    for (int half = OWM_AGG_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

owm_status ref_sum_squares(struct owm_device *device, double *sum, const float *x, size_t count)
{
    (void)device;
    if (!sum || !x || !count) return OWM_E_ARG;
    *sum = 0;
    for (size_t i = 0; i < count; i += OWM_AGG_CHUNK)
        *sum += chunk_squares(x + i, count - i < OWM_AGG_CHUNK ? count - i : OWM_AGG_CHUNK);
    return OWM_OK;
}
