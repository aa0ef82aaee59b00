/* provenance_meters.c: what /metrics says about proofs. */
#include <stdio.h>
#include <string.h>

#include "provenance_internal.h"

static const double promise_seconds[] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600, 86400};
static const double confirm_seconds[] = {60,    600,   1800,  3600,   7200,  14400,
                                         28800, 43200, 86400, 172800, 604800};

#define COUNT(bounds) (sizeof(bounds) / sizeof((bounds)[0]))

void prov_meters_open(struct owm_provenance *p)
{
    struct owm_metrics *m = p->options.metrics;
    struct prov_meters *meters = &p->meters;
    static const char help[] = "Model versions by the state of their proof.";
#define STATE(name) (const char *const[]){"state", name, NULL}
    meters->none = owm_metrics_gauge(m, "owm_model_proofs", help, STATE("none"));
    meters->pending = owm_metrics_gauge(m, "owm_model_proofs", help, STATE("pending"));
    meters->confirmed = owm_metrics_gauge(m, "owm_model_proofs", help, STATE("confirmed"));
#undef STATE
    meters->overdue =
        owm_metrics_gauge(m, "owm_model_proofs_overdue",
                          "Versions that are without a block for longer than alarm_hours.", NULL);
    meters->damaged = owm_metrics_counter(m, "owm_model_proofs_damaged_total",
                                          "Proofs on disk that were set aside.", NULL);
    meters->promise_s = owm_metrics_histogram(
        m, "owm_model_promise_seconds", "From a version's commit to its promises (SRS-PERF-10).",
        NULL, promise_seconds, COUNT(promise_seconds));
    meters->confirm_s = owm_metrics_histogram(m, "owm_model_confirm_seconds",
                                              "From a version's commit to its verified block.",
                                              NULL, confirm_seconds, COUNT(confirm_seconds));
}

void prov_meters_show(struct owm_provenance *p, const struct prov_summary *summary)
{
    owm_gauge_set(p->meters.none, (double)summary->none);
    owm_gauge_set(p->meters.pending, (double)summary->pending);
    owm_gauge_set(p->meters.confirmed, (double)summary->confirmed);
    owm_gauge_set(p->meters.overdue, (double)summary->overdue);
}

static const char *reason_of(owm_status status)
{
    switch (status) {
    case OWM_E_TIMEOUT:
        return "timeout";
    case OWM_E_PROTO:
        return "wrong_answer";
    case OWM_E_LIMIT:
        return "too_large";
    case OWM_E_CRYPTO:
        return "certificate";
    case OWM_E_NET:
        return "network";
    default:
        return "other";
    }
}

/* Host and port of a URL. */
static void host_of(const char *url, char host[static 128])
{
    const char *at = strstr(url, "://");
    at = at ? at + 3 : url;
    snprintf(host, 128, "%.*s", (int)strcspn(at, "/"), at);
}

void prov_meters_asked(struct owm_provenance *p, const char *what, const struct owm_ots_told *told)
{
    char host[128], name[64];
    host_of(told->url, host);
    if (told->status == OWM_E_AGAIN) return; /* no block yet: that is an answer */
    if (told->status == OWM_OK) {
        snprintf(name, sizeof(name), "owm_model_%s_total", what);
        owm_counter_add(owm_metrics_counter(p->options.metrics, name,
                                            "Answers of calendars that a proof took.",
                                            (const char *const[]){"calendar", host, NULL}),
                        1);
        return;
    }
    snprintf(name, sizeof(name), "owm_model_%s_failed_total", what);
    owm_counter_add(owm_metrics_counter(p->options.metrics, name,
                                        "Calendars that did not answer, or answered wrongly.",
                                        (const char *const[]){"calendar", host, "reason",
                                                              reason_of(told->status), NULL}),
                    1);
}
