/* aggregate.c: Gram matrix, screening, weights, weighted sum, server step. */
#include "dataplane/fl/aggregate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

#define TILE            (1u << 20) /* coordinates summed at once: 4 MiB */
#define COORDINATE_TILE 4096u      /* for the rules per coordinate: count x this floats */

struct owm_aggregate_policy owm_aggregate_defaults(void)
{
    return (struct owm_aggregate_policy){
        .screen = owm_screen_defaults(),
        .rule = OWM_RULE_STACK,
        .screening = true,
        .clip = true,
        .fault_share = 0.2,
        .weight_max = 1.0 / 15,
        .weiszfeld_steps = 8,
        .learning_rate = 1.0f,
        .momentum = 0.0f,
    };
}

const char *owm_rule_name(enum owm_rule rule)
{
    static const char *const names[] = {"stack",      "fedavg",       "krum",
                                        "multi-krum", "trimmed-mean", "median"};
    return (unsigned)rule < sizeof names / sizeof *names ? names[rule] : "unknown";
}

owm_status owm_aggregate_gram(struct owm_device *device, const struct owm_fl_package *packages,
                              uint32_t count, double *gram)
{
    if (count > OWM_SPARSE_PACKAGES_MAX) return OWM_E_LIMIT;
    struct owm_sparse *sparse = malloc(count * sizeof *sparse);
    if (!sparse) return OWM_E_NOMEM;
    for (uint32_t i = 0; i < count; i++) sparse[i] = packages[i].sparse;
    owm_status status =
        device->backend->sparse_gram(device, &(struct owm_sparse_gram){gram, sparse, count});
    free(sparse);
    return status;
}

/* --- weights ---------------------------------------------------------------------------------- */

/* The packages that count, gathered: position in the caller's arrays, clipped Gram, weights. */
struct gathered {
    uint32_t n;
    uint32_t at[OWM_SPARSE_PACKAGES_MAX];
    double *gram, *weight, *alpha, *work;
};

static void clip_norms(const struct owm_aggregate_policy *policy, struct owm_screen_report *report)
{
    for (uint32_t i = 0; i < report->count; i++) {
        struct owm_screen_verdict *v = &report->verdict[i];
        double limit = policy->clip_norm > 0 ? policy->clip_norm : report->median_norm;
        v->clip = policy->clip && v->norm > limit ? limit / v->norm : 1;
    }
}

static owm_status gather(struct gathered *g, const struct owm_aggregate_policy *policy,
                         const struct owm_fl_package *packages, const double *gram,
                         const struct owm_screen_report *report)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (report->verdict[i].reason == OWM_SCREEN_NONE) g->at[g->n++] = i;
    if (g->n == 0) return OWM_E_STATE;
    size_t n = g->n;
    g->gram = malloc((2 * n * n + 5 * n) * sizeof *g->gram);
    if (!g->gram) return OWM_E_NOMEM;
    g->weight = g->gram + n * n;
    g->alpha = g->weight + n;
    g->work = g->alpha + n;
    for (size_t i = 0; i < n; i++) {
        g->weight[i] = packages[g->at[i]].prior;
        for (size_t j = 0; j < n; j++)
            g->gram[i * n + j] = gram[(size_t)g->at[i] * report->count + g->at[j]]
                                 * report->verdict[g->at[i]].clip * report->verdict[g->at[j]].clip;
    }
    rule_cap_weights(g->weight, g->n, policy->weight_max);
    return OWM_OK;
}

static owm_status run_rule(const struct owm_aggregate_policy *policy, struct gathered *g,
                           uint32_t faults)
{
    struct rule_input in = {g->n, faults, g->gram, g->weight, policy->weiszfeld_steps};
    switch (policy->rule) {
    case OWM_RULE_STACK:
        if (faults > 0) {
            rule_mixed_median(&in, g->alpha, g->work);
            return OWM_OK;
        }
        break; /* nobody left to guard against: the plain mean is best */
    case OWM_RULE_KRUM:
        return rule_krum(&in, 1, g->alpha, g->work);
    case OWM_RULE_MULTI_KRUM:
        return rule_krum(&in, g->n - (faults < g->n ? faults : 0), g->alpha, g->work);
    case OWM_RULE_FEDAVG:
    case OWM_RULE_TRIMMED_MEAN:
    case OWM_RULE_MEDIAN:
        break;
    }
    memcpy(g->alpha, g->weight, g->n * sizeof *g->alpha);
    return OWM_OK;
}

static uint32_t assumed_faults(const struct owm_aggregate_policy *policy,
                               const struct owm_screen_report *report)
{
    uint32_t faults = (uint32_t)(policy->fault_share * report->count);
    return faults > report->rejected ? faults - report->rejected : 0;
}

owm_status owm_aggregate_weights(const struct owm_aggregate_policy *policy,
                                 const struct owm_fl_package *packages, uint32_t count,
                                 const double *gram, struct owm_screen_report *report,
                                 double *alpha, uint32_t *faults)
{
    if (count != report->count || !(policy->fault_share >= 0 && policy->fault_share < 0.5))
        return OWM_E_ARG;
    memset(alpha, 0, count * sizeof *alpha);
    *faults = assumed_faults(policy, report);
    clip_norms(policy, report);
    struct gathered *g = calloc(1, sizeof *g);
    if (!g) return OWM_E_NOMEM;
    owm_status status = gather(g, policy, packages, gram, report);
    if (status == OWM_OK) status = run_rule(policy, g, *faults);
    for (uint32_t i = 0; i < g->n && status == OWM_OK; i++) {
        struct owm_screen_verdict *v = &report->verdict[g->at[i]];
        alpha[g->at[i]] = g->alpha[i] * v->clip;
        if (g->alpha[i] > 0) continue;
        v->reason = OWM_SCREEN_RULE;
        v->severity = OWM_SCREEN_REJECT_ONLY;
        report->rejected++;
    }
    free(g->gram);
    free(g);
    return status;
}

/* --- the sum ---------------------------------------------------------------------------------- */

struct sum {
    struct owm_sparse *sparse;
    float *alpha, *u, *work;
    uint32_t *cursor;
};

static bool by_coordinate(const struct owm_aggregate_policy *policy)
{
    return policy->rule == OWM_RULE_TRIMMED_MEAN || policy->rule == OWM_RULE_MEDIAN;
}

static owm_status sum_open(struct sum *sum, const struct owm_aggregate_policy *policy,
                           const struct owm_fl_package *packages,
                           const struct owm_aggregate_result *result, uint32_t tile)
{
    uint32_t count = result->count;
    size_t work = by_coordinate(policy) ? (size_t)count * tile : 1;
    sum->sparse = malloc(count * sizeof *sum->sparse);
    sum->alpha = malloc(count * sizeof *sum->alpha);
    sum->cursor = calloc(count, sizeof *sum->cursor);
    sum->u = malloc(tile * sizeof *sum->u);
    sum->work = malloc(work * sizeof *sum->work);
    if (!sum->sparse || !sum->alpha || !sum->cursor || !sum->u || !sum->work) return OWM_E_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        sum->sparse[i] = packages[i].sparse;
        sum->alpha[i] = (float)result->alpha[i];
    }
    return OWM_OK;
}

static void sum_close(struct sum *sum)
{
    free(sum->sparse);
    free(sum->alpha);
    free(sum->cursor);
    free(sum->u);
    free(sum->work);
}

static bool all_finite(const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static owm_status step_tile(struct owm_device *device, const struct owm_aggregate_policy *policy,
                            const struct owm_fl_package *packages,
                            const struct owm_aggregate_result *result, struct sum *sum,
                            uint32_t first, uint32_t last, float *weights, float *momentum)
{
    owm_status status = OWM_OK;
    if (by_coordinate(policy))
        status = rule_by_coordinate(
            device, &(struct rule_tile){packages, result, first, last, sum->cursor, sum->work},
            policy->rule == OWM_RULE_MEDIAN, sum->u);
    else
        status = device->backend->sparse_sum(
            device,
            &(struct owm_sparse_sum){sum->u, sum->sparse, sum->alpha, result->count, first, last});
    if (status != OWM_OK) return status;
    status = device->backend->apply_update(
        device,
        &(struct owm_apply_update){weights + first, momentum ? momentum + first : NULL, sum->u,
                                   last - first, policy->learning_rate, policy->momentum});
    if (status != OWM_OK) return status;
    return all_finite(weights + first, last - first) ? OWM_OK : OWM_E_ARG;
}

owm_status owm_aggregate_step(struct owm_device *device, const struct owm_aggregate_policy *policy,
                              const struct owm_fl_package *packages,
                              const struct owm_aggregate_result *result, uint32_t n, float *weights,
                              float *momentum)
{
    if (policy->momentum != 0 && !momentum) return OWM_E_ARG;
    struct sum sum = {0};
    uint32_t tile = by_coordinate(policy) ? COORDINATE_TILE : TILE;
    if (tile > n) tile = n;
    owm_status status = sum_open(&sum, policy, packages, result, tile);
    for (uint32_t first = 0; first < n && status == OWM_OK; first += tile) {
        uint32_t last = n - first < tile ? n : first + tile;
        status = step_tile(device, policy, packages, result, &sum, first, last, weights,
                           policy->momentum != 0 ? momentum : NULL);
    }
    sum_close(&sum);
    return status;
}

/* --- a round ---------------------------------------------------------------------------------- */

/* Experiments without screening: the numbers stay, the rejections go, but not those of packages
 * that have no direction at all. */
static void pardon(struct owm_screen_report *report)
{
    report->rejected = 0;
    for (uint32_t i = 0; i < report->count; i++) {
        struct owm_screen_verdict *v = &report->verdict[i];
        if (v->reason == OWM_SCREEN_NOT_FINITE) {
            report->rejected++;
            continue;
        }
        v->reason = OWM_SCREEN_NONE;
        v->severity = OWM_SCREEN_ACCEPTED;
    }
}

static bool indices_fit(const struct owm_fl_package *packages, uint32_t count, uint32_t n)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct owm_sparse *x = &packages[i].sparse;
        if (x->count > 0 && x->index[x->count - 1] >= n) return false;
    }
    return true;
}

owm_status owm_aggregate_round(struct owm_device *device, const struct owm_aggregate_policy *policy,
                               struct owm_fl_package *packages, uint32_t count, uint32_t n,
                               float *weights, float *momentum, struct owm_aggregate_result *result)
{
    if (count == 0 || n == 0) return OWM_E_ARG;
    if (count > OWM_SPARSE_PACKAGES_MAX) return OWM_E_LIMIT;
    if (!indices_fit(packages, count, n)) return OWM_E_ARG;
    memset(result, 0, sizeof *result);
    result->count = count;
    result->gram = malloc((size_t)count * count * sizeof *result->gram);
    result->alpha = calloc(count, sizeof *result->alpha);
    owm_status status = result->gram && result->alpha ? OWM_OK : OWM_E_NOMEM;
    if (status == OWM_OK) {
        owm_packages_sort(packages, count);
        status = owm_aggregate_gram(device, packages, count, result->gram);
    }
    if (status == OWM_OK)
        status = owm_screen(&policy->screen, packages, count, result->gram, &result->screen);
    if (status == OWM_OK) {
        if (!policy->screening) pardon(&result->screen);
        status = owm_aggregate_weights(policy, packages, count, result->gram, &result->screen,
                                       result->alpha, &result->faults);
    }
    if (status == OWM_OK)
        status = owm_aggregate_step(device, policy, packages, result, n, weights, momentum);
    if (status != OWM_OK && status != OWM_E_STATE) owm_aggregate_free(result);
    return status;
}

void owm_aggregate_free(struct owm_aggregate_result *result)
{
    free(result->gram);
    free(result->alpha);
    result->gram = NULL;
    result->alpha = NULL;
}
