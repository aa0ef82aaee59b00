/* adamw.c: reference AdamW step. */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

owm_status ref_adamw(struct owm_device *device, const struct owm_adamw *a)
{
    (void)device;
    owm_status status = owm_check_adamw(a);
    if (status != OWM_OK) return status;

    double beta1 = (double)a->beta1, beta2 = (double)a->beta2, lr = (double)a->lr;
    double correct1 = 1 - pow(beta1, (double)a->step), correct2 = 1 - pow(beta2, (double)a->step);
    for (size_t i = 0; i < a->count; i++) {
        double g = (double)a->grad[i] * (double)a->grad_scale;
        double m = beta1 * (double)a->m[i] + (1 - beta1) * g;
        double v = beta2 * (double)a->v[i] + (1 - beta2) * g * g;
        double w = (double)a->params[i];
        w -= lr * (double)a->weight_decay * w;
        w -= lr * (m / correct1) / (sqrt(v / correct2) + (double)a->eps);
        a->m[i] = (float)m;
        a->v[i] = (float)v;
        a->params[i] = (float)w;
    }
    return OWM_OK;
}
