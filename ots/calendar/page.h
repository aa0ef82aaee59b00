/* page.h: what our calendar shows of itself: a page for people, JSON, Prometheus. */
#ifndef OWM_OTS_CALENDAR_PAGE_H
#define OWM_OTS_CALENDAR_PAGE_H

#include <jansson.h>

#include "aggregate.h"
#include "anchor.h"
#include "base/metrics.h"

/** page_refusal: why a request got no promise or no answer; also the label of a metric. */
enum page_refusal {
    REFUSED_EMPTY,   /* 400 */
    REFUSED_LONG,    /* 400 */
    REFUSED_ADDRESS, /* 429: one address asks too often. */
    REFUSED_ALL,     /* 429: all together do. */
    REFUSED_FULL,    /* 503: more digests in this second than fit. */
    REFUSED_FAILED,  /* 503: nothing can be written, or the calendar stops. */
    REFUSALS,
};

/** page_view: all numbers, taken at one time. Borrows. */
struct page_view {
    const char *uri, *network;
    unsigned interval_s, per_minute;
    int64_t now_ms, started_ms; /* Unix times. */
    int64_t last_ms;            /* Of the last promise; 0: none. */
    int64_t oldest_ms;          /* Of the oldest one that is in no block; 0: none waits. */
    struct aggregate_figures aggregate;
    struct anchor_figures anchor;
    const uint64_t *refused; /* [REFUSALS] */
};

/** page_html: malloc'ed, terminated; NULL: out of memory. */
char *page_html(const struct page_view *view);

/** page_json: new reference; NULL: out of memory. */
json_t *page_json(const struct page_view *view);

/** page_status: "ok"; "degraded": promises are made, but nothing is put into blocks now; "failed":
 *  nothing is promised. */
const char *page_status(const struct page_view *view);

/** page_metrics: sets all series. */
void page_metrics(const struct page_view *view, owm_metrics *metrics);

#endif
