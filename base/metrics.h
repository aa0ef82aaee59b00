/* metrics.h: counters, gauges and histograms, and their Prometheus text exposition (format 0.0.4).
 *
 * Updates are lock-free atomics on pointers that live until close: look a series up once, keep it.
 * The number of series is capped; beyond it a lookup yields a spill series that is never exposed
 * and owm_metrics_dropped_series_total counts, so that label values from outside cannot eat memory.
 */
#ifndef OWM_BASE_METRICS_H
#define OWM_BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define OWM_METRICS_SERIES_MAX  4096
#define OWM_METRICS_BUCKETS_MAX 24
#define OWM_METRICS_LABELS_MAX  8

typedef struct owm_metrics owm_metrics;
typedef struct owm_counter owm_counter;
typedef struct owm_gauge owm_gauge;
typedef struct owm_histogram owm_histogram;

/** owm_metrics_open: a registry of up to `series_max` (1..OWM_METRICS_SERIES_MAX) series; 0: the
 * limit. */
OWM_MUST_USE owm_status owm_metrics_open(size_t series_max, owm_metrics **metrics);
void owm_metrics_close(owm_metrics *metrics);

/** owm_metrics_counter/gauge/histogram: find or make a series. Never NULL (see spill above).
 *
 *  name    [a-zA-Z_:][a-zA-Z0-9_:]*, unit last; a counter ends in _total. A wrong name, or one name
 *          with two types, is the caller's bug and asserts. Copied, as help and labels are.
 *  labels  key, value, …, NULL; or NULL for none: (const char *const[]){"result", "late", NULL}.
 *          Values may be any text.
 *  bounds  [count] upper bounds, ascending, count <= OWM_METRICS_BUCKETS_MAX; +Inf is added. The
 * first series of a name fixes them. Thread: any (takes a lock: not for the hot path).
 */
owm_counter *owm_metrics_counter(owm_metrics *metrics, const char *name, const char *help,
                                 const char *const *labels);
owm_gauge *owm_metrics_gauge(owm_metrics *metrics, const char *name, const char *help,
                             const char *const *labels);
owm_histogram *owm_metrics_histogram(owm_metrics *metrics, const char *name, const char *help,
                                     const char *const *labels, const double *bounds, size_t count);

/** Updates. Thread: any, lock-free, no allocation. */
void owm_counter_add(owm_counter *counter, uint64_t amount);
uint64_t owm_counter_value(const owm_counter *counter);
void owm_gauge_set(owm_gauge *gauge, double value);
void owm_gauge_add(owm_gauge *gauge, double amount);
double owm_gauge_value(const owm_gauge *gauge);
void owm_histogram_observe(owm_histogram *histogram, double value);

/** owm_metrics_text: the page for /metrics, terminated.
 *  text  malloc'ed; caller frees. bytes may be NULL.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_metrics_text(owm_metrics *metrics, char **text, size_t *bytes);

#define OWM_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
