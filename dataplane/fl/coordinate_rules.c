/* coordinate_rules.c: trimmed mean and median per coordinate (SRS-SEC-05 names the former).
 *
 * References: on top-K updates most entries of a coordinate are 0, so these mostly return 0
 * (facts 2.3). They are here to be compared with.
 */
#include <assert.h>
#include <string.h>

#include "rules.h"

static_assert(OWM_AGG_VECTORS_MAX >= OWM_SPARSE_PACKAGES_MAX, "all packages of a round");

/* The values of one package in the tile, clipped; its other coordinates are 0. */
static void spread(const struct rule_tile *t, uint32_t p, float *row)
{
    const struct owm_sparse *x = &t->packages[p].sparse;
    float clip = (float)t->result->screen.verdict[p].clip;
    uint32_t *at = &t->cursor[p];
    memset(row, 0, (t->last - t->first) * sizeof *row);
    for (; *at < x->count && x->index[*at] < t->last; (*at)++)
        row[x->index[*at] - t->first] = clip * x->value[*at];
}

owm_status rule_by_coordinate(struct owm_device *device, const struct rule_tile *tile,
                              bool take_median, float *out)
{
    const float *rows[OWM_AGG_VECTORS_MAX];
    uint32_t span = tile->last - tile->first, n = 0;
    for (uint32_t p = 0; p < tile->result->count; p++) {
        if (tile->result->alpha[p] == 0) continue;
        float *row = tile->work + (size_t)n * span;
        spread(tile, p, row);
        rows[n++] = row;
    }
    if (n == 0) return OWM_E_ARG;
    uint32_t most = (n - 1) / 2, faults = tile->result->faults;
    struct owm_trimmed_mean mean = {out, rows, n, take_median || faults > most ? most : faults,
                                    span};
    return device->backend->trimmed_mean(device, &mean);
}
