/* agg_mean.c: reference of weighted_sum. */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

owm_status ref_weighted_sum(struct owm_device *device, const struct owm_weighted_sum *a)
{
    (void)device;
    owm_status status = owm_check_weighted_sum(a);
    if (status != OWM_OK) return status;
    for (size_t i = 0; i < a->n; i++) {
        float sum = 0;
        for (uint32_t p = 0; p < a->count; p++) sum = fmaf(a->alpha[p], a->x[p][i], sum);
        a->out[i] = sum;
    }
    return OWM_OK;
}
