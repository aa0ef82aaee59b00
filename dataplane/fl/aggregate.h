/* aggregate.h: from screened packages to new weights (SRS-MODEL-06, SRS-MODEL-07, SRS-SEC-05).
 *
 *   gram (pass A) -> owm_screen -> owm_aggregate_weights -> owm_aggregate_step (pass B) ->
 * certificate
 *
 * owm_aggregate_round does all of it. The device's threads share the work; the bits are the same
 * with any number of them, and on any machine. All memory is the host's: the device is "cpu" or
 * "reference".
 */
#ifndef OWM_FL_AGGREGATE_H
#define OWM_FL_AGGREGATE_H

#include "dataplane/fl/screen.h"
#include "kernels/backend.h"

enum owm_rule {
    OWM_RULE_STACK = 0,  /* default: NNM + geometric median while faults are assumed, else FedAvg */
    OWM_RULE_FEDAVG = 1, /* weighted mean (SRS-MODEL-06) */
    OWM_RULE_KRUM = 2,
    OWM_RULE_MULTI_KRUM = 3,
    OWM_RULE_TRIMMED_MEAN = 4, /* per coordinate; a reference: breaks on sparse updates */
    OWM_RULE_MEDIAN = 5,       /* per coordinate; a reference: breaks on sparse updates */
};

struct owm_aggregate_policy {
    struct owm_screen_policy screen;
    enum owm_rule rule;
    bool screening;           /* false: verdicts are reported but reject nothing (experiments) */
    bool clip;                /* to the median norm (SRS-MODEL-07) */
    double clip_norm;         /* > 0: a fixed L2 threshold instead of the median */
    double fault_share;       /* f = floor(share * n), less those rejected; 0.2 */
    double weight_max;        /* a node's largest share of the weight, but at least 1.5 / n; 1/15 */
    uint32_t weiszfeld_steps; /* 8 */
    float learning_rate; /* of the server; 1 is the weighted mean; for top-10 % of few nodes 2 is
                            better */
    float momentum;      /* Nesterov; 0: none */
};

/** What a round decided: kept by the caller, printed by the certificate. */
struct owm_aggregate_result {
    uint32_t count;
    uint32_t faults; /* f' that the rule guarded against */
    double *gram;    /* [count][count], owned */
    double *alpha;   /* [count] weight of each package in the sum, clip factor included, owned */
    struct owm_screen_report screen;
};

struct owm_aggregate_policy owm_aggregate_defaults(void);
const char *owm_rule_name(enum owm_rule rule);

/** owm_aggregate_gram: pass A. gram [count][count] f64; written, full and symmetric.
 *  Returns: OWM_OK; OWM_E_LIMIT; OWM_E_DEVICE. */
OWM_MUST_USE owm_status owm_aggregate_gram(struct owm_device *device,
                                           const struct owm_fl_package *packages, uint32_t count,
                                           double *gram);

/** owm_aggregate_weights: alpha from Gram matrix, priors and verdicts.
 *
 *  report   read; verdicts become RULE where Krum or multi-Krum left a package out.
 *  alpha    [count] f64; written.
 *  faults   written: f'.
 *  Returns: OWM_OK; OWM_E_STATE if no package is left, or too few for the rule (Krum: n > 2f + 2);
 *           OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_aggregate_weights(const struct owm_aggregate_policy *policy,
                                              const struct owm_fl_package *packages, uint32_t count,
                                              const double *gram, struct owm_screen_report *report,
                                              double *alpha, uint32_t *faults);

/** owm_aggregate_step: pass B and the server's optimiser.
 *
 *  weights  [n] f32; momentum [n] f32, NULL if policy->momentum is 0; read and written.
 *  Returns: OWM_OK; OWM_E_ARG if a weight becomes NaN or infinite (weights and momentum are then
 *           spoilt: keep a copy); OWM_E_NOMEM; OWM_E_DEVICE. */
OWM_MUST_USE owm_status owm_aggregate_step(struct owm_device *device,
                                           const struct owm_aggregate_policy *policy,
                                           const struct owm_fl_package *packages,
                                           const struct owm_aggregate_result *result, uint32_t n,
                                           float *weights, float *momentum);

/** owm_aggregate_round: everything.
 *
 *  packages [count]; sorted in place by node key: verdicts and alphas are in that order.
 *  weights  [n] f32; momentum [n] f32, may be NULL if policy->momentum is 0; read and written.
 *  result   written on OWM_OK, and on OWM_E_STATE with alpha all 0 (verdicts are valid); free with
 *           owm_aggregate_free.
 *  Returns: as the steps. On failure other than OWM_E_ARG weights and momentum are unchanged. */
OWM_MUST_USE owm_status owm_aggregate_round(struct owm_device *device,
                                            const struct owm_aggregate_policy *policy,
                                            struct owm_fl_package *packages, uint32_t count,
                                            uint32_t n, float *weights, float *momentum,
                                            struct owm_aggregate_result *result);
void owm_aggregate_free(struct owm_aggregate_result *result);

/** owm_certificate: what anyone needs to re-derive a round, as JSON (one line, fixed order, so that
 *  equal rounds give equal bytes). Verify by running the round again and comparing the text. */
struct owm_certificate {
    uint64_t round;
    uint8_t base_sha256[32];
    uint8_t new_sha256[32];
    uint32_t parameter_count;
};

/** owm_certificate_json: malloc'ed text in *json, the caller frees it.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_certificate_json(const struct owm_certificate *certificate,
                                             const struct owm_aggregate_policy *policy,
                                             const struct owm_fl_package *packages,
                                             const struct owm_aggregate_result *result,
                                             char **json);

#endif
