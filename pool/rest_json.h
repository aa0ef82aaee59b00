/* rest_json.h: parts of a report as JSON; for rest.c and rest_feed.c. */
#ifndef OWM_POOL_REST_JSON_H
#define OWM_POOL_REST_JSON_H

#include <jansson.h>

#include "report.h"

/** Each: a new reference; NULL without memory, which json_object_set_new passes on as a failure. */
json_t *owm_json_live(const struct owm_report_now *now);
json_t *owm_json_ledger(const struct owm_report_ledger *ledger);
json_t *owm_json_price(const struct owm_report_now *now);
json_t *owm_json_blocks(const struct owm_block_line *lines, size_t count);
json_t *owm_json_payouts(const struct owm_payout_line *lines, size_t count);
json_t *owm_json_view(const struct owm_report_view *view, const struct owm_report_now *now);

/** owm_json_windows: {"1m": …} of a live part. to: the last of them. */
json_t *owm_json_windows(const double *hashes_per_s, enum owm_rate_window to);

/** owm_json_number: a whole number, at most what JSON readers keep exactly apart (2^63 - 1). */
json_t *owm_json_number(uint64_t value);

const char *owm_json_kind(enum owm_miner_kind kind); /* "name", "node" */

#endif
