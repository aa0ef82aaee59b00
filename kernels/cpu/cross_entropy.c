/* cross_entropy.c: reference softmax cross-entropy and its gradient. */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

owm_status ref_cross_entropy(struct owm_device *device, const struct owm_cross_entropy *a)
{
    (void)device;
    owm_status status = owm_check_cross_entropy(a);
    if (status != OWM_OK) return status;

    for (uint32_t r = 0; r < a->rows; r++) {
        const float *x = a->logits + (size_t)r * a->vocab;
        double max = -INFINITY, sum = 0;
        for (uint32_t v = 0; v < a->vocab; v++) max = fmax(max, (double)x[v]);
        for (uint32_t v = 0; v < a->vocab; v++) sum += exp((double)x[v] - max);
        double lse = max + log(sum);
        a->losses[r] = (float)(lse - (double)x[a->targets[r]]);
        for (uint32_t v = 0; a->dlogits && v < a->vocab; v++) {
            double p = exp((double)x[v] - lse) - (v == a->targets[r]);
            a->dlogits[(size_t)r * a->vocab + v] = (float)(p * (double)a->scale);
        }
    }
    return OWM_OK;
}
