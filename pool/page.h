/* page.h: what the pool shows: a page for people, REST and a WebSocket for programs, /metrics and
 * /health for machines, all on one HTTP port (SRS-POOL-09, SRS-POOL-10; shapes in rest.h).
 *
 *     owm_pool_page_open(&options, &page, &error);     once loops, node and feeder are open
 *     owm_pool_page_work(page, work);                  with each work that the loops are given
 *     owm_pool_page_close(page);                       before any of these is closed
 *
 * Two threads collect (report.h): one from the loops, each second, one from the database. The HTTP
 * thread only shows what they have collected, so a database that is away or slow costs the age of
 * some numbers and nothing else. Thread: work: any; the others: one.
 */
#ifndef OWM_POOL_PAGE_H
#define OWM_POOL_PAGE_H

#include "base/metrics.h"
#include "base/status.h"
#include "bitcoin.h"
#include "feeder.h"
#include "report.h"
#include "work.h"

#define OWM_POOL_PAGE_LISTENERS_MAX   256 /* Of the WebSocket. */
#define OWM_POOL_PAGE_CONNECTIONS_MAX 512

struct owm_pool_page;

/** owm_pool_page_options: zero in a limit means its default. Texts are copied; all else is borrowed
 *  until close. */
struct owm_pool_page_options {
    struct owm_report_options report;
    struct owm_metrics *metrics; /* Shown at /metrics with what the report has; NULL: that alone. */
    /** What miners copy: stratum2+tcp://host:port/authority. */
    const char *public_host; /* Name or numeric address. */
    uint16_t public_port;
    const char *authority; /* owm_sv2_authority_text */
    const char *bind;      /* Numeric address; NULL: 127.0.0.1 */
    uint16_t port;         /* 0: a free one. */
};

/** owm_pool_page_open: listen and start the threads. The database may be away.
 *  Returns: OWM_OK; as owm_http_server_open (OWM_E_EXISTS names http.port); OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_pool_page_open(const struct owm_pool_page_options *options,
                                           struct owm_pool_page **page, struct owm_error *error);

/** owm_pool_page_work: this is mined now: difficulty and price are shown from it. */
void owm_pool_page_work(struct owm_pool_page *page, const struct owm_work *work);

uint16_t owm_pool_page_port(const struct owm_pool_page *page);

/** owm_pool_page_close: NULL is allowed. */
void owm_pool_page_close(struct owm_pool_page *page);

#endif
