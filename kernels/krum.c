/* krum.c: Krum's scores from a Gram matrix. */
#include <math.h>
#include <string.h>

#include "kernels/agg.h"

/* Rounding may leave a distance a little below 0; infinity - infinity leaves none at all. */
static double distance2(const double *gram, size_t count, size_t i, size_t j)
{
    double d = gram[i * count + i] + gram[j * count + j] - 2 * gram[i * count + j];
    return isnan(d) ? INFINITY : fmax(0, d);
}

/* Puts d in its place among the `held` ascending ones of `nearest`, of which `keep` are kept. */
static uint32_t insert(double *nearest, uint32_t held, uint32_t keep, double d)
{
    if (held == keep && d >= nearest[held - 1]) return held;
    uint32_t low = 0, high = held;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (nearest[middle] <= d)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t moved = (held == keep ? held - 1 : held) - low;
    memmove(nearest + low + 1, nearest + low, moved * sizeof *nearest);
    nearest[low] = d;
    return held == keep ? keep : held + 1;
}

owm_status owm_krum_scores(double *score, const double *gram, uint32_t count, uint32_t byzantine)
{
    if (!score || !gram || count > OWM_AGG_VECTORS_MAX || count < (uint64_t)byzantine + 3)
        return OWM_E_ARG;
    double nearest[OWM_AGG_VECTORS_MAX];
    uint32_t keep = count - byzantine - 2;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t held = 0;
        for (uint32_t j = 0; j < count; j++)
            if (j != i) held = insert(nearest, held, keep, distance2(gram, count, i, j));
        score[i] = 0;
        for (uint32_t j = 0; j < keep; j++) score[i] += nearest[j];
    }
    return OWM_OK;
}
