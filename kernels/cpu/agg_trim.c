/* agg_trim.c: reference of trimmed_mean: an insertion sort of each coordinate.
 *
 * Keys: the bits of a float, read as an integer, ascend with it above zero and descend below, so
 * turning over all bits but the sign of what is below gives IEEE 754 totalOrder. Turning them over
 * again gives the float back. */
#include <string.h>

#include "kernels/check.h"
#include "reference.h"

static int32_t key_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ INT32_MAX : bits;
}

static float float_of(int32_t key)
{
    int32_t bits = key < 0 ? key ^ INT32_MAX : key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void sort_column(int32_t *key, const struct owm_trimmed_mean *a, size_t i)
{
    for (uint32_t p = 0; p < a->count; p++) {
        int32_t moved = key_of(a->x[p][i]);
        uint32_t at = p;
        for (; at > 0 && key[at - 1] > moved; at--) key[at] = key[at - 1];
        key[at] = moved;
    }
}

owm_status ref_trimmed_mean(struct owm_device *device, const struct owm_trimmed_mean *a)
{
    (void)device;
    owm_status status = owm_check_trimmed_mean(a);
    if (status != OWM_OK) return status;
    int32_t key[OWM_AGG_VECTORS_MAX];
    uint32_t last = a->count - a->trim;
    for (size_t i = 0; i < a->n; i++) {
        sort_column(key, a, i);
        float sum = float_of(key[a->trim]);
        for (uint32_t p = a->trim + 1; p < last; p++) sum += float_of(key[p]);
        a->out[i] = sum / (float)(last - a->trim);
    }
    return OWM_OK;
}
