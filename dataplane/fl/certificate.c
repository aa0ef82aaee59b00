/* certificate.c: the public record of a round as JSON. %.17g gives every double back exactly. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dataplane/fl/aggregate.h"

static void put_hex(FILE *out, const char *key, const uint8_t *bytes)
{
    char text[65];
    owm_hex_encode(bytes, 32, text);
    (void)fprintf(out, "\"%s\":\"%s\",", key, text);
}

static void put_number(FILE *out, const char *key, double value)
{
    if (isfinite(value))
        (void)fprintf(out, "\"%s\":%.17g,", key, value);
    else
        (void)fprintf(out, "\"%s\":null,", key);
}

static void put_policy(FILE *out, const struct owm_aggregate_policy *p)
{
    (void)fprintf(out, "\"policy\":{\"rule\":\"%s\",\"screening\":%s,\"clip\":%s,",
                  owm_rule_name(p->rule), p->screening ? "true" : "false",
                  p->clip ? "true" : "false");
    put_number(out, "clip_norm", p->clip_norm);
    put_number(out, "fault_share", p->fault_share);
    put_number(out, "weight_max", p->weight_max);
    put_number(out, "learning_rate", (double)p->learning_rate);
    put_number(out, "momentum", (double)p->momentum);
    put_number(out, "k", p->screen.k);
    put_number(out, "dead_band", p->screen.dead_band);
    put_number(out, "floor", p->screen.floor);
    put_number(out, "ceiling", p->screen.ceiling);
    put_number(out, "duplicate_cos", p->screen.duplicate_cos);
    put_number(out, "loss_margin", p->screen.loss_margin);
    put_number(out, "loss_share", p->screen.loss_share);
    put_number(out, "loss_fast", p->screen.loss_fast);
    (void)fprintf(out, "\"weiszfeld_steps\":%u},", p->weiszfeld_steps);
}

static void put_package(FILE *out, const struct owm_fl_package *package,
                        const struct owm_screen_verdict *v, double alpha)
{
    (void)fprintf(out, "{");
    put_hex(out, "node", package->node_key);
    put_hex(out, "sha256", package->sha256);
    (void)fprintf(out, "\"values\":%u,\"arrival_ms\":%llu,", package->sparse.count,
                  (unsigned long long)package->arrival_ms);
    put_number(out, "prior", package->prior);
    put_number(out, "loss_change", package->loss_change);
    put_number(out, "norm", v->norm);
    put_number(out, "clip", v->clip);
    put_number(out, "robust_z", v->robust_z);
    put_number(out, "naive_z", v->naive_z);
    put_number(out, "alpha", alpha);
    (void)fprintf(out, "\"duplicate_of\":%d,\"severity\":%d,\"verdict\":\"%s\"}", v->duplicate_of,
                  (int)v->severity, owm_screen_reason_name(v->reason));
}

static void put_gram(FILE *out, const struct owm_aggregate_result *result)
{
    (void)fprintf(out, "\"gram\":[");
    for (uint32_t i = 0; i < result->count; i++) {
        (void)fprintf(out, i ? ",[" : "[");
        for (uint32_t j = 0; j <= i; j++)
            (void)fprintf(out, j ? ",%.17g" : "%.17g", result->gram[(size_t)i * result->count + j]);
        (void)fprintf(out, "]");
    }
    (void)fprintf(out, "]");
}

owm_status owm_certificate_json(const struct owm_certificate *certificate,
                                const struct owm_aggregate_policy *policy,
                                const struct owm_fl_package *packages,
                                const struct owm_aggregate_result *result, char **json)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return OWM_E_NOMEM;
    (void)fprintf(out, "{\"format\":\"owm-round-certificate-1\",\"round\":%llu,",
                  (unsigned long long)certificate->round);
    put_hex(out, "base_sha256", certificate->base_sha256);
    put_hex(out, "new_sha256", certificate->new_sha256);
    (void)fprintf(out, "\"parameters\":%u,\"faults\":%u,\"rejected\":%u,",
                  certificate->parameter_count, result->faults, result->screen.rejected);
    put_number(out, "median_norm", result->screen.median_norm);
    put_number(out, "mad", result->screen.mad);
    put_number(out, "k", result->screen.k);
    put_policy(out, policy);
    (void)fprintf(out, "\"packages\":[");
    for (uint32_t i = 0; i < result->count; i++) {
        if (i) (void)fprintf(out, ",");
        put_package(out, &packages[i], &result->screen.verdict[i], result->alpha[i]);
    }
    (void)fprintf(out, "],");
    put_gram(out, result);
    (void)fprintf(out, "}");
    int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return OWM_E_NOMEM;
    }
    *json = text;
    return OWM_OK;
}
