/* page_format.h: numbers as people read them, and text of any origin in a page. */
#ifndef OWM_POOL_PAGE_FORMAT_H
#define OWM_POOL_PAGE_FORMAT_H

#include <stdint.h>
#include <stdio.h>

#define OWM_FORMAT_BYTES 64

/** Each writes text [OWM_FORMAT_BYTES] and returns it. */
const char *owm_format_rate(double hashes_per_s, char *text); /* "1.23 TH/s" */
const char *owm_format_large(double value, char *text);       /* "127.0 T" */
const char *owm_format_count(uint64_t count, char *text);     /* "1,234,567" */
const char *owm_format_sats(double sats, char *text);         /* "1,234.567 sats", rounded down */
const char *owm_format_small_sats(double sats, char *text);   /* "0.00001234 sats" */
const char *owm_format_ns(uint64_t ns, char *text);           /* "1.2 ms" */
const char *owm_format_span(int64_t ms, char *text);          /* "3 min" */
const char *owm_format_ago(int64_t ms, char *text);           /* "3 min ago"; below 0: "never" */
const char *owm_format_time(int64_t wall_ms, char *text);     /* "2026-11-29 13:00:00 UTC" */
const char *owm_format_clock(int64_t wall_ms, char *text);    /* "13:00:00 UTC" */

/** owm_put: printf, escaped for HTML; markup goes through fputs. At most 2 KiB. */
void owm_put(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
