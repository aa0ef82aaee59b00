/* meters.h: the loops' counters as Prometheus exposes them (text format 0.0.4). Written straight
 * from what the loops count, so that nothing is counted twice; feeder, payer and node have series
 * of their own in the program's registry (base/metrics.h). */
#ifndef OWM_POOL_METERS_H
#define OWM_POOL_METERS_H

#include <stdio.h>

#include "report.h"

/** owm_pool_meters: names owm_pool_…, units last, help says what to do. */
void owm_pool_meters(FILE *out, const struct owm_report_now *now);

#endif
