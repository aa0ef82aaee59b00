/* coordinate_rules.c: trimmed mean and median per coordinate (SRS-SEC-05 names the former).
 *
 * References: on top-K updates most entries of a coordinate are 0, so these mostly return 0
 * (facts 2.3). They are here to be compared with.
 */
#include <string.h>

#include "rules.h"

static float middle(const float *sorted, uint32_t n, uint32_t trim, bool take_median)
{
    if (take_median) return n % 2 ? sorted[n / 2] : 0.5f * (sorted[n / 2 - 1] + sorted[n / 2]);
    float sum = 0;
    for (uint32_t i = trim; i < n - trim; i++) sum += sorted[i];
    return sum / (float)(n - 2 * trim);
}

static void sort_floats(float *x, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        float moved = x[i];
        uint32_t at = i;
        for (; at > 0 && x[at - 1] > moved; at--) x[at] = x[at - 1];
        x[at] = moved;
    }
}

void rule_by_coordinate(const struct owm_fl_package *packages,
                        const struct owm_aggregate_result *result, bool take_median, uint32_t first,
                        uint32_t last, uint32_t *cursor, float *work, float *out)
{
    uint32_t span = last - first, n = 0;
    float *column = work + (size_t)result->count * span;
    for (uint32_t p = 0; p < result->count; p++) {
        if (result->alpha[p] == 0) continue;
        const struct owm_sparse *x = &packages[p].sparse;
        float clip = (float)result->screen.verdict[p].clip, *row = work + (size_t)n++ * span;
        memset(row, 0, span * sizeof *row);
        for (; cursor[p] < x->count && x->index[cursor[p]] < last; cursor[p]++)
            row[x->index[cursor[p]] - first] = clip * x->value[cursor[p]];
    }
    uint32_t trim = result->faults <= (n - 1) / 2 ? result->faults : (n - 1) / 2;
    for (uint32_t c = 0; c < span; c++) {
        for (uint32_t i = 0; i < n; i++) column[i] = work[(size_t)i * span + c];
        sort_floats(column, n);
        out[c] = middle(column, n, trim, take_median);
    }
}
