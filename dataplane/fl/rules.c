/* rules.c: aggregation rules in Gram space. Their result is one weight per package; the vectors
 * themselves are not touched (facts 2.2). All float64, fixed order, ties to the lower node key. */
#include "rules.h"

#include <math.h>
#include <string.h>

void rule_cap_weights(double *weight, uint32_t n, double weight_max)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += weight[i];
    for (uint32_t i = 0; i < n; i++) weight[i] /= sum;
    double cap = fmin(1, fmax(weight_max, 1.5 / n));
    /* What is cut off goes to the others in proportion, which may lift one over the cap: repeat. */
    for (uint32_t round = 0; round < n; round++) {
        double excess = 0, below = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (weight[i] >= cap) {
                excess += weight[i] - cap;
                weight[i] = cap;
            } else {
                below += weight[i];
            }
        }
        if (excess <= 0 || below <= 0) return;
        for (uint32_t i = 0; i < n; i++)
            if (weight[i] < cap) weight[i] += excess * (weight[i] / below);
    }
}

static double distance2(const struct rule_input *in, uint32_t i, uint32_t j)
{
    const double *g = in->gram;
    size_t n = in->n;
    return fmax(0, g[i * n + i] + g[j * n + j] - 2 * g[i * n + j]);
}

/* row [n]: 1 / keep for the `keep` packages nearest to i (itself included), else 0. */
static void nearest(const struct rule_input *in, uint32_t i, uint32_t keep, double *row)
{
    memset(row, 0, in->n * sizeof *row);
    row[i] = 1.0 / keep;
    for (uint32_t picked = 1; picked < keep; picked++) {
        uint32_t best = in->n;
        for (uint32_t j = 0; j < in->n; j++) {
            if (row[j] != 0) continue;
            if (best == in->n || distance2(in, i, j) < distance2(in, i, best)) best = j;
        }
        row[best] = 1.0 / keep;
    }
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* With mixed vectors y_i = sum_j mix[i][j] x_j and v = sum_j alpha[j] x_j:
 * |y_i - v|^2 = (mix_i - alpha)^T G (mix_i - alpha). */
static double mixed_distance(const struct rule_input *in, const double *mix, const double *alpha,
                             double *difference)
{
    double sum = 0;
    for (uint32_t j = 0; j < in->n; j++) difference[j] = mix[j] - alpha[j];
    for (uint32_t j = 0; j < in->n; j++)
        if (difference[j] != 0)
            sum += difference[j] * dot(in->gram + (size_t)j * in->n, difference, in->n);
    return sqrt(fmax(0, sum));
}

static void combine(const struct rule_input *in, const double *mix, const double *beta,
                    double *alpha)
{
    memset(alpha, 0, in->n * sizeof *alpha);
    for (uint32_t i = 0; i < in->n; i++)
        for (uint32_t j = 0; j < in->n; j++) alpha[j] += beta[i] * mix[(size_t)i * in->n + j];
}

void rule_mixed_median(const struct rule_input *in, double *alpha, double *work)
{
    uint32_t n = in->n;
    double *mix = work, *beta = mix + (size_t)n * n, *difference = beta + n;
    uint32_t keep = n > in->faults ? n - in->faults : 1;
    double scale = 0;
    for (uint32_t i = 0; i < n; i++) {
        nearest(in, i, keep, mix + (size_t)i * n);
        scale = fmax(scale, in->gram[(size_t)i * n + i]);
        beta[i] = in->weight[i];
    }
    double smallest = fmax(1e-6 * sqrt(scale), 1e-300); /* smoothing of Weiszfeld's weights */
    combine(in, mix, beta, alpha);
    for (uint32_t step = 0; step < in->steps; step++) {
        double sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            double far = mixed_distance(in, mix + (size_t)i * n, alpha, difference);
            beta[i] = in->weight[i] / fmax(smallest, far);
            sum += beta[i];
        }
        for (uint32_t i = 0; i < n; i++) beta[i] /= sum;
        combine(in, mix, beta, alpha);
    }
}

owm_status rule_krum(const struct rule_input *in, uint32_t keep, double *alpha, double *work)
{
    uint32_t n = in->n;
    if (n <= 2 * in->faults + 2) return OWM_E_STATE;
    owm_status status = owm_krum_scores(work, in->gram, n, in->faults);
    if (status != OWM_OK) return status;
    memset(alpha, 0, n * sizeof *alpha);
    for (uint32_t picked = 0; picked < keep; picked++) {
        uint32_t best = n;
        for (uint32_t i = 0; i < n; i++)
            if (alpha[i] == 0 && (best == n || work[i] < work[best])) best = i;
        alpha[best] = 1.0 / keep;
    }
    return OWM_OK;
}
