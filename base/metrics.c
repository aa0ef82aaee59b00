/* metrics.c: series in a list, grouped by name only when the page is written. */
#include "metrics.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_TEXT_BYTES_MAX 1024

enum kind {
    COUNTER,
    GAUGE,
    HISTOGRAM,
};

struct owm_counter {
    _Atomic uint64_t value;
};

struct owm_gauge {
    _Atomic double value;
};

struct owm_histogram {
    size_t count; /* of bounds; buckets[count] is +Inf */
    double bounds[OWM_METRICS_BUCKETS_MAX];
    _Atomic uint64_t buckets[OWM_METRICS_BUCKETS_MAX + 1];
    _Atomic double sum;
};

/* All series of one name. */
struct family {
    char *name, *help;
    enum kind kind;
    struct series *first, *last;
    struct family *next;
    size_t bound_count;
    double bounds[OWM_METRICS_BUCKETS_MAX];
};

struct series {
    char *labels; /* "a=\"x\",b=\"y\"", escaped; "" for none */
    struct series *next;
    union {
        struct owm_counter counter;
        struct owm_gauge gauge;
        struct owm_histogram histogram;
    };
};

struct owm_metrics {
    pthread_mutex_t lock;
    struct family *first, *last;
    size_t series_count, series_max;
    _Atomic uint64_t dropped;
    struct series spill[3];
};

static void add_real(_Atomic double *sum, double amount)
{
    double old = atomic_load_explicit(sum, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(sum, &old, old + amount, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

owm_status owm_metrics_open(size_t series_max, owm_metrics **metrics)
{
    *metrics = NULL;
    if (series_max > OWM_METRICS_SERIES_MAX) return OWM_E_ARG;
    *metrics = calloc(1, sizeof **metrics);
    if (!*metrics) return OWM_E_NOMEM;
    pthread_mutex_init(&(*metrics)->lock, NULL);
    (*metrics)->series_max = series_max ? series_max : OWM_METRICS_SERIES_MAX;
    return OWM_OK;
}

static void family_free(struct family *family)
{
    for (struct series *series = family->first, *next; series; series = next) {
        next = series->next;
        free(series->labels);
        free(series);
    }
    free(family->name);
    free(family->help);
    free(family);
}

void owm_metrics_close(owm_metrics *metrics)
{
    if (!metrics) return;
    for (struct family *family = metrics->first, *next; family; family = next) {
        next = family->next;
        family_free(family);
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static bool is_name(const char *name, bool colon)
{
    if (!name[0] || isdigit((unsigned char)name[0])) return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && !(colon && *name == ':'))
            return false;
    return true;
}

static void put_escaped(FILE *out, const char *text, bool quotes)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '\\' || (quotes && *text == '"'))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

/* The labels as they are exposed; false if they are longer than the limit. */
static bool label_text(const char *const *labels, char text[static LABEL_TEXT_BYTES_MAX])
{
    text[0] = 0;
    if (!labels || !labels[0]) return true;
    FILE *out = fmemopen(text, LABEL_TEXT_BYTES_MAX, "w");
    if (!out) return false;
    for (size_t i = 0; labels[i]; i += 2) {
        OWM_ASSERT(labels[i + 1] && is_name(labels[i], false) && i / 2 < OWM_METRICS_LABELS_MAX);
        fprintf(out, "%s%s=\"", i ? "," : "", labels[i]);
        put_escaped(out, labels[i + 1], true);
        fputc('"', out);
    }
    bool good = fflush(out) == 0 && !ferror(out) && ftell(out) < LABEL_TEXT_BYTES_MAX - 1;
    fclose(out);
    return good;
}

static struct family *find_family(owm_metrics *metrics, const char *name, const char *help,
                                  enum kind kind)
{
    struct family *family = metrics->first;
    while (family && strcmp(family->name, name) != 0) family = family->next;
    if (family) {
        OWM_ASSERT(family->kind == kind);
        return family;
    }
    OWM_ASSERT(is_name(name, true));
    if (metrics->series_count == metrics->series_max) return NULL; /* names are capped as well */
    family = calloc(1, sizeof *family);
    if (!family) return NULL;
    family->kind = kind;
    family->name = strdup(name);
    family->help = strdup(help);
    if (!family->name || !family->help) {
        family_free(family);
        return NULL;
    }
    if (metrics->last)
        metrics->last->next = family;
    else
        metrics->first = family;
    metrics->last = family;
    return family;
}

static struct series *find_series(owm_metrics *metrics, struct family *family, const char *labels)
{
    for (struct series *series = family->first; series; series = series->next)
        if (strcmp(series->labels, labels) == 0) return series;
    if (metrics->series_count == metrics->series_max) return NULL;
    struct series *series = calloc(1, sizeof *series);
    char *copy = strdup(labels);
    if (!series || !copy) {
        free(series);
        free(copy);
        return NULL;
    }
    series->labels = copy;
    if (family->last)
        family->last->next = series;
    else
        family->first = series;
    family->last = series;
    metrics->series_count++;
    return series;
}

struct wanted {
    const char *name, *help;
    enum kind kind;
    const char *const *labels;
    const double *bounds;
    size_t bound_count;
};

static struct series *lookup(owm_metrics *metrics, const struct wanted *wanted)
{
    char labels[LABEL_TEXT_BYTES_MAX];
    struct series *series = NULL;
    bool fits = label_text(wanted->labels, labels);
    pthread_mutex_lock(&metrics->lock);
    struct family *family = NULL;
    if (fits) family = find_family(metrics, wanted->name, wanted->help, wanted->kind);
    if (family && wanted->kind == HISTOGRAM && !family->first) {
        family->bound_count = wanted->bound_count;
        for (size_t i = 0; i < wanted->bound_count; i++) family->bounds[i] = wanted->bounds[i];
    }
    if (family) series = find_series(metrics, family, labels);
    if (series && wanted->kind == HISTOGRAM && series->histogram.count == 0) {
        memcpy(series->histogram.bounds, family->bounds, sizeof family->bounds);
        series->histogram.count = family->bound_count;
    }
    pthread_mutex_unlock(&metrics->lock);
    if (series) return series;
    atomic_fetch_add(&metrics->dropped, 1);
    return &metrics->spill[wanted->kind];
}

owm_counter *owm_metrics_counter(owm_metrics *metrics, const char *name, const char *help,
                                 const char *const *labels)
{
    struct wanted wanted = {.name = name, .help = help, .kind = COUNTER, .labels = labels};
    return &lookup(metrics, &wanted)->counter;
}

owm_gauge *owm_metrics_gauge(owm_metrics *metrics, const char *name, const char *help,
                             const char *const *labels)
{
    struct wanted wanted = {.name = name, .help = help, .kind = GAUGE, .labels = labels};
    return &lookup(metrics, &wanted)->gauge;
}

owm_histogram *owm_metrics_histogram(owm_metrics *metrics, const char *name, const char *help,
                                     const char *const *labels, const double *bounds, size_t count)
{
    OWM_ASSERT(count > 0 && count <= OWM_METRICS_BUCKETS_MAX);
    struct wanted wanted = {.name = name,
                            .help = help,
                            .kind = HISTOGRAM,
                            .labels = labels,
                            .bounds = bounds,
                            .bound_count = count};
    return &lookup(metrics, &wanted)->histogram;
}

void owm_counter_add(owm_counter *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

uint64_t owm_counter_value(const owm_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void owm_gauge_set(owm_gauge *gauge, double value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

void owm_gauge_add(owm_gauge *gauge, double amount)
{
    add_real(&gauge->value, amount);
}

double owm_gauge_value(const owm_gauge *gauge)
{
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

void owm_histogram_observe(owm_histogram *histogram, double value)
{
    size_t bucket = 0;
    while (bucket < histogram->count && !(value <= histogram->bounds[bucket])) bucket++;
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    add_real(&histogram->sum, value);
}

static void put_real(FILE *out, double value)
{
    if (isnan(value))
        fputs("NaN", out);
    else if (isinf(value))
        fputs(value > 0 ? "+Inf" : "-Inf", out);
    else
        fprintf(out, "%.15g", value);
}

static void put_head(FILE *out, const char *name, const char *suffix, const char *labels)
{
    fprintf(out, "%s%s", name, suffix);
    if (labels[0]) fprintf(out, "{%s}", labels);
    fputc(' ', out);
}

static void put_histogram(FILE *out, const char *name, const struct series *series)
{
    const struct owm_histogram *histogram = &series->histogram;
    uint64_t total = 0;
    for (size_t i = 0; i <= histogram->count; i++) {
        total += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        fprintf(out, "%s_bucket{%s%sle=\"", name, series->labels, series->labels[0] ? "," : "");
        put_real(out, i < histogram->count ? histogram->bounds[i] : INFINITY);
        fprintf(out, "\"} %" PRIu64 "\n", total);
    }
    put_head(out, name, "_sum", series->labels);
    put_real(out, atomic_load_explicit(&histogram->sum, memory_order_relaxed));
    fputc('\n', out);
    put_head(out, name, "_count", series->labels);
    fprintf(out, "%" PRIu64 "\n", total);
}

static void put_series(FILE *out, const struct family *family, const struct series *series)
{
    if (family->kind == HISTOGRAM) {
        put_histogram(out, family->name, series);
        return;
    }
    put_head(out, family->name, "", series->labels);
    if (family->kind == COUNTER)
        fprintf(out, "%" PRIu64, owm_counter_value(&series->counter));
    else
        put_real(out, owm_gauge_value(&series->gauge));
    fputc('\n', out);
}

owm_status owm_metrics_text(owm_metrics *metrics, char **text, size_t *bytes)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    size_t size = 0;
    *text = NULL;
    FILE *out = open_memstream(text, &size);
    if (!out) return OWM_E_NOMEM;
    pthread_mutex_lock(&metrics->lock);
    for (const struct family *family = metrics->first; family; family = family->next) {
        if (!family->first) continue;
        fprintf(out, "# HELP %s ", family->name);
        put_escaped(out, family->help, false);
        fprintf(out, "\n# TYPE %s %s\n", family->name, kinds[family->kind]);
        for (const struct series *series = family->first; series; series = series->next)
            put_series(out, family, series);
    }
    pthread_mutex_unlock(&metrics->lock);
    fprintf(out,
            "# HELP owm_metrics_dropped_series_total Look-ups beyond the limit of series.\n"
            "# TYPE owm_metrics_dropped_series_total counter\n"
            "owm_metrics_dropped_series_total %" PRIu64 "\n",
            atomic_load(&metrics->dropped));
    bool failed = ferror(out);
    if (fclose(out) != 0 || failed || !*text) {
        free(*text);
        *text = NULL;
        return OWM_E_NOMEM;
    }
    if (bytes) *bytes = size;
    return OWM_OK;
}
