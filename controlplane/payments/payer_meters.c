/* payer_meters.c: what /metrics says about payments. */
#include "payer_internal.h"

static const double seconds[] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86400};
#define SECONDS (sizeof(seconds) / sizeof(seconds[0]))

void pay_meters_open(struct pay_line *line)
{
    struct owm_metrics *m = line->pay->options.metrics;
    struct pay_meters *meters = &line->meters;
    const char *const labels[] = {"ledger", owm_pay_ledger_name(line->ledger), NULL};
    const char *const ok[] = {"ledger", labels[1], "outcome", "succeeded", NULL};
    const char *const bad[] = {"ledger", labels[1], "outcome", "failed", NULL};
    meters->leading = owm_metrics_gauge(m, "owm_payments_leading",
                                        "1: this process pays from this ledger.", labels);
    meters->owed = owm_metrics_gauge(m, "owm_payments_owed", "Payments that are owed.", labels);
    meters->owed_msat = owm_metrics_gauge(m, "owm_payments_owed_msat", "Their amount.", labels);
    meters->oldest_s = owm_metrics_gauge(m, "owm_payments_oldest_owed_seconds",
                                         "Age of the oldest payment that is owed.", labels);
    meters->flying = owm_metrics_gauge(m, "owm_payments_in_flight", "Payments under way.", labels);
    meters->flying_msat =
        owm_metrics_gauge(m, "owm_payments_in_flight_msat", "Their amount.", labels);
    meters->failed = owm_metrics_gauge(
        m, "owm_payments_failed", "Payments given up until a person sets them to owed.", labels);
    meters->failed_msat = owm_metrics_gauge(m, "owm_payments_failed_msat", "Their amount.", labels);
    meters->spent_msat = owm_metrics_gauge(
        m, "owm_payments_day_msat", "Sent or under way in the last 24 hours, with fees.", labels);
    meters->attempts =
        owm_metrics_counter(m, "owm_payments_attempts_total", "Attempts begun.", labels);
    meters->succeeded =
        owm_metrics_counter(m, "owm_payments_ended_total", "Attempts by their end.", ok);
    meters->dead =
        owm_metrics_counter(m, "owm_payments_ended_total", "Attempts by their end.", bad);
    meters->paid_msat = owm_metrics_counter(m, "owm_payments_paid_msat_total", "Settled.", labels);
    meters->fees_msat =
        owm_metrics_counter(m, "owm_payments_fees_msat_total", "Paid for routing.", labels);
    meters->dispatch_s = owm_metrics_histogram(m, "owm_payments_dispatch_seconds",
                                               "From earned to the first attempt (SRS-PERF-03).",
                                               labels, seconds, SECONDS);
    meters->settle_s = owm_metrics_histogram(m, "owm_payments_settle_seconds",
                                             "From earned to settled.", labels, seconds, SECONDS);
}

void pay_meters_show(struct pay_line *line, const struct owm_pay_sums *sums, int64_t now_ms)
{
    const struct pay_meters *meters = &line->meters;
    int64_t oldest_ms = sums->oldest_owed_ms ? now_ms - sums->oldest_owed_ms : 0;
    owm_gauge_set(meters->owed, (double)sums->owed_count);
    owm_gauge_set(meters->owed_msat, (double)sums->owed_msat);
    owm_gauge_set(meters->oldest_s, (double)(oldest_ms > 0 ? oldest_ms : 0) / 1e3);
    owm_gauge_set(meters->flying, (double)sums->flying_count);
    owm_gauge_set(meters->flying_msat, (double)sums->flying_msat);
    owm_gauge_set(meters->failed, (double)sums->failed_count);
    owm_gauge_set(meters->failed_msat, (double)sums->failed_msat);
    owm_gauge_set(meters->spent_msat, (double)sums->spent_msat);
}
