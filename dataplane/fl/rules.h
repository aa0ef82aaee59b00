/* rules.h: aggregation rules between aggregate.c and their files; not for other folders. */
#ifndef OWM_FL_RULES_H
#define OWM_FL_RULES_H

#include "dataplane/fl/aggregate.h"

/* What the vector rules see: the packages that count, clipped. All arrays [n]; gram [n][n]. */
struct rule_input {
    uint32_t n;
    uint32_t faults;
    const double *gram;
    const double *weight; /* prior weights, capped, sum 1 */
    uint32_t steps;       /* Weiszfeld */
};

/* Share of the total weight per package, priors capped. weight [n] in: priors; out: sum 1. */
void rule_cap_weights(double *weight, uint32_t n, double weight_max);

/* Nearest-neighbour mixing, then the geometric median (NNM + RFA). alpha [n]; written, sum 1.
 * work [n * n + 3 * n]. */
void rule_mixed_median(const struct rule_input *in, double *alpha, double *work);

/* Krum (keep = 1) and multi-Krum: alpha 1 / keep for the best, 0 for the others. work [n].
 * Returns: OWM_E_STATE unless n > 2 faults + 2. */
owm_status rule_krum(const struct rule_input *in, uint32_t keep, double *alpha, double *work);

/* Coordinates first .. last - 1 of a round, for the rules per coordinate. */
struct rule_tile {
    const struct owm_fl_package *packages;
    const struct owm_aggregate_result *result;
    uint32_t first, last;
    uint32_t *cursor; /* [count] position in each package, kept between ascending tiles */
    float *work;      /* [count * (last - first)] */
};

/* Trimmed mean or median per coordinate of the packages with alpha > 0, into out [last - first].
 * Zeros count. The device's memory is the host's. Returns: OWM_E_ARG if no package counts. */
owm_status rule_by_coordinate(struct owm_device *device, const struct rule_tile *tile,
                              bool take_median, float *out);

#endif
