/* screen.c: verdicts from norms, duplicates and held-out loss.
 *
 * The logarithm is our own (a series of IEEE operations): libm's may differ in the last bit between
 * machines, and a verdict must not.
 */
#include "dataplane/fl/screen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STATISTICS_MIN 5      /* packages; below, median and MAD say nothing (facts 2.4) */
#define BOUNDS_MIN     3      /* packages; of two nobody can say which is odd */
#define IDENTICAL_COS  0.9999 /* a copy, not a likeness */
#define MAD_TO_SIGMA   1.4826

static const char *const reason_texts[] = {
#define X(name, text) [OWM_SCREEN_##name] = (text),
    OWM_SCREEN_REASON_MAP(X)
#undef X
};

static const char *const reason_names[] = {
#define X(name, text) [OWM_SCREEN_##name] = #name,
    OWM_SCREEN_REASON_MAP(X)
#undef X
};

const char *owm_screen_reason_text(enum owm_screen_reason reason)
{
    return (unsigned)reason < OWM_SCREEN_REASONS ? reason_texts[reason] : "unknown reason";
}

const char *owm_screen_reason_name(enum owm_screen_reason reason)
{
    return (unsigned)reason < OWM_SCREEN_REASONS ? reason_names[reason] : "UNKNOWN";
}

struct owm_screen_policy owm_screen_defaults(void)
{
    return (struct owm_screen_policy){.k = 0,
                                      .dead_band = 1.5,
                                      .floor = 0.1,
                                      .ceiling = 5,
                                      .duplicate_cos = 0.98,
                                      .loss_margin = 0.05,
                                      .loss_share = 0.25,
                                      .loss_fast = 0.5};
}

/* Natural logarithm of x > 0: x = m 2^e, ln m = 2 atanh((m - 1) / (m + 1)), |s| <= 0.172. */
static double portable_log(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), square = s * s, sum = 0;
    for (int term = 23; term >= 1; term -= 2) sum = sum * square + 1.0 / term;
    return 2 * s * sum + e * 0.69314718055994531;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

/* Makes the MAD of n normal values unbiased (facts 2.4). */
static double mad_factor(uint32_t n)
{
    static const double small[] = {1.363, 1.206, 1.200, 1.140, 1.129, 1.107}; /* n = 4..9 */
    return n <= 9 ? small[n - 4] : n / (n - 0.8);
}

/* Less than 1 % of honest rounds have any false alarm (Monte Carlo, facts 2.4); linear between. */
static double threshold(uint32_t n)
{
    static const struct {
        double n, k;
    } row[] = {{4, 11}, {7, 8.8}, {10, 6.3}, {20, 5.0}, {32, 4.6}, {100, 4.2}};
    for (size_t i = 1; i < sizeof row / sizeof *row; i++)
        if (n <= row[i].n)
            return row[i - 1].k
                   + (row[i].k - row[i - 1].k) * (n - row[i - 1].n) / (row[i].n - row[i - 1].n);
    return 4.2;
}

void owm_packages_sort(struct owm_fl_package *packages, uint32_t count)
{
    /* Insertion: at most 1024, usually sorted already, and stable. */
    for (uint32_t i = 1; i < count; i++) {
        struct owm_fl_package moved = packages[i];
        uint32_t at = i;
        for (; at > 0 && memcmp(packages[at - 1].node_key, moved.node_key, 32) > 0; at--)
            packages[at] = packages[at - 1];
        packages[at] = moved;
    }
}

static bool policy_makes_sense(const struct owm_screen_policy *p)
{
    return p->k >= 0 && p->dead_band >= 1 && p->floor >= 0 && p->floor < 1 && p->ceiling > 1
           && p->duplicate_cos > 0 && p->loss_margin >= 0 && p->loss_share >= 0 && p->loss_share < 1
           && p->loss_fast >= 0;
}

static owm_status check_arguments(const struct owm_screen_policy *policy,
                                  const struct owm_fl_package *packages, uint32_t count)
{
    if (count > OWM_SPARSE_PACKAGES_MAX) return OWM_E_LIMIT;
    if (count == 0 || !policy_makes_sense(policy)) return OWM_E_ARG;
    for (uint32_t i = 0; i < count; i++) {
        if (!(packages[i].prior > 0) || !isfinite(packages[i].prior)) return OWM_E_ARG;
        if (i > 0 && memcmp(packages[i - 1].node_key, packages[i].node_key, 32) >= 0)
            return OWM_E_ARG;
    }
    return OWM_OK;
}

static void reject(struct owm_screen_report *report, uint32_t i, enum owm_screen_reason reason,
                   bool strong)
{
    struct owm_screen_verdict *v = &report->verdict[i];
    if (v->reason != OWM_SCREEN_NONE) return;
    v->reason = reason;
    v->severity = strong ? OWM_SCREEN_SIGNAL : OWM_SCREEN_REJECT_ONLY;
    report->rejected++;
}

/* SRS-MODEL-08's statistic. Its maximum is sqrt(n - 1), so it is reported and decides nothing. */
static void report_naive_z(struct owm_screen_report *report)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < report->count; i++) sum += report->verdict[i].norm;
    double mean = sum / report->count;
    for (uint32_t i = 0; i < report->count; i++) {
        double d = report->verdict[i].norm - mean;
        squares += d * d;
    }
    double deviation = sqrt(squares / report->count);
    for (uint32_t i = 0; i < report->count; i++)
        report->verdict[i].naive_z =
            deviation > 0 ? (report->verdict[i].norm - mean) / deviation : 0;
}

static void screen_norms(const struct owm_screen_policy *policy, struct owm_screen_report *report)
{
    double log_norm[OWM_SPARSE_PACKAGES_MAX], work[OWM_SPARSE_PACKAGES_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < report->count; i++) {
        double norm = report->verdict[i].norm;
        if (!(norm > 0) || !isfinite(norm))
            reject(report, i, OWM_SCREEN_NOT_FINITE, false);
        else
            work[n++] = log_norm[i] = portable_log(norm);
    }
    report_naive_z(report);
    if (n == 0) return;
    double middle = median(work, n);
    double norms[OWM_SPARSE_PACKAGES_MAX];
    uint32_t m = 0;
    for (uint32_t i = 0; i < report->count; i++) {
        if (report->verdict[i].reason != OWM_SCREEN_NONE) continue;
        norms[m] = report->verdict[i].norm;
        work[m++] = fabs(log_norm[i] - middle);
    }
    report->median_norm = median(norms, n);
    report->mad = median(work, n);
    report->k = n < STATISTICS_MIN ? 0 : policy->k > 0 ? policy->k : threshold(n);
    double sigma = MAD_TO_SIGMA * report->mad * (n < STATISTICS_MIN ? 0 : mad_factor(n));
    for (uint32_t i = 0; i < report->count; i++) {
        struct owm_screen_verdict *v = &report->verdict[i];
        if (v->reason != OWM_SCREEN_NONE) continue;
        double ratio = v->norm / report->median_norm, above = log_norm[i] - middle;
        v->clip = ratio > 1 ? report->median_norm / v->norm : 1;
        v->robust_z = sigma > 0 ? above / sigma : 0;
        if (n < BOUNDS_MIN) continue;
        bool statistics = n >= STATISTICS_MIN;
        bool high = statistics ? above > report->k * sigma && ratio > policy->dead_band
                               : ratio > policy->ceiling;
        if (high) reject(report, i, OWM_SCREEN_NORM_HIGH, statistics && ratio > policy->ceiling);
        if (ratio < policy->floor) reject(report, i, OWM_SCREEN_NORM_LOW, false);
    }
}

static bool arrived_before(const struct owm_fl_package *packages, uint32_t a, uint32_t b)
{
    if (packages[a].arrival_ms != packages[b].arrival_ms)
        return packages[a].arrival_ms < packages[b].arrival_ms;
    return a < b;
}

/* By arrival: a package is a duplicate of an earlier one that was kept. */
static void screen_duplicates(const struct owm_screen_policy *policy,
                              const struct owm_fl_package *packages, const double *gram,
                              struct owm_screen_report *report)
{
    uint32_t order[OWM_SPARSE_PACKAGES_MAX], n = report->count;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && arrived_before(packages, i, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (uint32_t late = 1; late < n; late++) {
        uint32_t i = order[late];
        for (uint32_t early = 0; early < late; early++) {
            uint32_t j = order[early];
            if (report->verdict[i].reason != OWM_SCREEN_NONE) break;
            if (report->verdict[j].reason != OWM_SCREEN_NONE) continue;
            double cosine =
                gram[(size_t)i * n + j] / (report->verdict[i].norm * report->verdict[j].norm);
            if (!(cosine > policy->duplicate_cos)) continue;
            reject(report, i, OWM_SCREEN_DUPLICATE, cosine > IDENTICAL_COS);
            report->verdict[i].duplicate_of = (int32_t)j;
        }
    }
}

/* Only where at least half of the known packages lower the loss is a raised one the package's
 * fault, not the round's. In the first rounds even a sign flip lowers it a little (a random network
 * is symmetric), but far less than what was learned. A package that is both far too large and
 * clearly harmful is strong evidence, also where there are too few for statistics of norms. */
static void screen_loss(const struct owm_screen_policy *policy,
                        const struct owm_fl_package *packages, struct owm_screen_report *report)
{
    double known[OWM_SPARSE_PACKAGES_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < report->count; i++)
        if (!isnan(packages[i].loss_change)) known[n++] = packages[i].loss_change;
    if (n == 0) return;
    qsort(known, n, sizeof *known, compare_doubles);
    double middle = known[(n - 1) / 2];
    if (middle >= 0) return;
    double share = policy->loss_share * -middle, margin = fmax(policy->loss_margin, share);
    double limit = -middle > policy->loss_fast ? -share : margin;
    for (uint32_t i = 0; i < report->count; i++) {
        bool strong = n >= BOUNDS_MIN && packages[i].loss_change > 3 * margin;
        if (packages[i].loss_change > limit) reject(report, i, OWM_SCREEN_LOSS, strong);
        if (strong && report->verdict[i].reason == OWM_SCREEN_NORM_HIGH)
            report->verdict[i].severity = OWM_SCREEN_SIGNAL;
    }
}

owm_status owm_screen(const struct owm_screen_policy *policy, const struct owm_fl_package *packages,
                      uint32_t count, const double *gram, struct owm_screen_report *report)
{
    owm_status status = check_arguments(policy, packages, count);
    if (status != OWM_OK) return status;
    memset(report, 0, sizeof *report);
    report->count = count;
    for (uint32_t i = 0; i < count; i++) {
        report->verdict[i].norm = sqrt(gram[(size_t)i * count + i]);
        report->verdict[i].duplicate_of = -1;
    }
    screen_norms(policy, report);
    screen_loss(policy, packages, report);
    screen_duplicates(policy, packages, gram, report);
    return OWM_OK;
}
