/* agg_clip.c: reference of clip. */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

owm_status ref_clip(struct owm_device *device, const struct owm_clip *a)
{
    double squares;
    owm_status status = owm_check_clip(a);
    if (status == OWM_OK) status = ref_sum_squares(device, &squares, a->x, a->n);
    if (status != OWM_OK) return status;
    *a->norm = sqrt(squares);
    if (!isfinite(*a->norm)) return OWM_E_ARG;
    if (*a->norm <= a->max_norm) return OWM_OK;
    float scale = (float)(a->max_norm / *a->norm);
    for (size_t i = 0; i < a->n; i++) a->x[i] *= scale;
    return OWM_OK;
}
