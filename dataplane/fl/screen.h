/* screen.h: which packages of a round count (SRS-MODEL-07, SRS-MODEL-08, SRS-SEC-05, TST-02).
 *
 * Everything here is a function of the Gram matrix and a few facts per package, in float64 and in a
 * fixed order (packages sorted by node key), so anyone who has the packages gets the same verdicts.
 *
 * The test that SRS-MODEL-08 names (mean +- 3 standard deviations) cannot fire below 11 packages;
 * it is reported, and the decision is median/MAD on log-norms (docs/fl-protocol.md has the
 * numbers).
 */
#ifndef OWM_FL_SCREEN_H
#define OWM_FL_SCREEN_H

#include <stdbool.h>

#include "dataplane/fl/delta.h"

#define OWM_SCREEN_REASON_MAP(X)                                                                   \
    X(NONE, "included")                                                                            \
    X(NOT_FINITE, "the update's norm is zero or not finite")                                       \
    X(NORM_HIGH, "the update's norm is far above the others")                                      \
    X(NORM_LOW, "the update's norm is far below the others")                                       \
    X(DUPLICATE, "the update repeats an earlier package of another node")                          \
    X(LOSS, "the update makes the held-out loss worse, or no better where all others do")          \
    X(RULE, "the selected rule gave the update no weight")

enum owm_screen_reason {
#define X(name, text) OWM_SCREEN_##name,
    OWM_SCREEN_REASON_MAP(X)
#undef X
        OWM_SCREEN_REASONS
};

/** How strong the evidence is (design promise 6: an odd but honest node is never punished). */
enum owm_screen_severity {
    OWM_SCREEN_ACCEPTED = 0,
    OWM_SCREEN_REJECT_ONLY = 1, /* not counted, not paid, no mark */
    OWM_SCREEN_SIGNAL = 2,      /* strong and replayable evidence: counts towards suspension */
};

/** owm_fl_package: one package as the coordinator sees it. */
struct owm_fl_package {
    uint8_t node_key[32];
    uint8_t sha256[32];
    struct owm_sparse sparse; /* borrowed */
    uint64_t arrival_ms;      /* orders duplicates: the earliest stays */
    double prior;             /* tier x stake weight, > 0; never used to screen */
    double loss_change; /* held-out bits per byte with this package added at the weight that it
                           will have (server lr / count), minus without; NaN unknown. Alone
                           at full weight an honest package may well raise the loss. */
};

struct owm_screen_policy {
    double k;             /* MAD threshold; 0: by the table for n (false alarms < 1 % of rounds) */
    double dead_band;     /* never reject norms within this factor of the median; 1.5 */
    double floor;         /* reject norms below this share of the median; 0.1 */
    double ceiling;       /* a norm above this multiple is strong evidence; below 5 packages it is
                             the only upper bound; 5 */
    double duplicate_cos; /* 0.98 */
    double loss_margin;   /* bits per byte a package may raise the held-out loss; 0.05 */
    double loss_share;    /* or this share of what the median package lowers it, if more; 0.25 */
    double loss_fast; /* while the median package lowers it by more than this (early rounds, where
                         every text helps), one that lowers it by less than loss_share of the
                         median is refused, without a mark; 0.5 */
};

struct owm_screen_verdict {
    enum owm_screen_reason reason;
    enum owm_screen_severity severity;
    double norm;
    double clip;     /* factor 0..1 that brings the norm down to the median */
    double robust_z; /* (log norm - median) / (1.4826 b_n MAD); 0 below 5 packages */
    double naive_z;  /* (norm - mean) / standard deviation: SRS-MODEL-08's statistic, reported */
    int32_t duplicate_of; /* position of the earlier package, or -1 */
};

struct owm_screen_report {
    uint32_t count;
    uint32_t rejected;
    double median_norm; /* of all packages with a finite, non-zero norm */
    double mad;         /* of the log-norms */
    double k;           /* the threshold used; 0 below 5 packages */
    struct owm_screen_verdict verdict[OWM_SPARSE_PACKAGES_MAX];
};

struct owm_screen_policy owm_screen_defaults(void);
const char *owm_screen_reason_text(enum owm_screen_reason reason);
const char *owm_screen_reason_name(enum owm_screen_reason reason);

/** owm_packages_sort: bring packages into the one order all of this needs (by node key). */
void owm_packages_sort(struct owm_fl_package *packages, uint32_t count);

/** owm_screen: verdict per package.
 *
 *  packages [count] sorted by node key; gram [count][count] f64, full and symmetric.
 *  report   written.
 *  Returns: OWM_OK; OWM_E_ARG if unsorted, a node occurs twice, a prior is not positive and finite,
 *           or a policy value is out of range; OWM_E_LIMIT above OWM_SPARSE_PACKAGES_MAX. */
OWM_MUST_USE owm_status owm_screen(const struct owm_screen_policy *policy,
                                   const struct owm_fl_package *packages, uint32_t count,
                                   const double *gram, struct owm_screen_report *report);

#endif
