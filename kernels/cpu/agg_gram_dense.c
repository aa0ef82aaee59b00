/* agg_gram_dense.c: reference of gram, pair by pair in the order of the contract. */
#include <math.h>

#include "kernels/check.h"
#include "reference.h"

static float chunk_dot(const float *a, const float *b, size_t count)
{
    float lane[OWM_AGG_LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        float *sum = &lane[i % OWM_AGG_LANES];
        *sum = fmaf(a[i], b[i], *sum);
    }
    for (int half = OWM_AGG_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += OWM_AGG_CHUNK)
        sum += (double)chunk_dot(a + i, b + i, n - i < OWM_AGG_CHUNK ? n - i : OWM_AGG_CHUNK);
    return sum;
}

owm_status ref_gram(struct owm_device *device, const struct owm_gram *a)
{
    (void)device;
    owm_status status = owm_check_gram(a);
    if (status != OWM_OK) return status;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = dot(a->x[j], a->x[i], a->n);
            a->gram[i * a->count + j] = a->gram[j * a->count + i] = sum;
        }
    return OWM_OK;
}
