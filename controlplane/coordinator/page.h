/* page.h: the status page (plain HTML, works without JavaScript) and the gauges of /metrics.
 *
 * The engine's thread renders at most once a second, and only while somebody looks; the HTTP thread
 * hands out the last rendering. */
#ifndef OWM_COORDINATOR_PAGE_H
#define OWM_COORDINATOR_PAGE_H

#include "base/http_server.h"
#include "base/metrics.h"
#include "config.h"
#include "controlplane/engine/engine.h"

#define OWM_PAGE_NODES_MAX  200
#define OWM_PAGE_ROUNDS_MAX 50

struct owm_page;

OWM_MUST_USE owm_status owm_page_open(const struct owm_coordinator_config *config,
                                      struct owm_metrics *metrics, struct owm_page **page);
void owm_page_close(struct owm_page *page);

/** owm_page_serve: start the HTTP server of "/", "/health" and "/metrics". */
OWM_MUST_USE owm_status owm_page_serve(struct owm_page *page, struct owm_error *error);
unsigned owm_page_port(const struct owm_page *page);

/** Engine's thread: a round changed; a second has passed. */
void owm_page_round(struct owm_page *page, const struct owm_round_row *round);
void owm_page_update(struct owm_page *page, const owm_engine *engine, int64_t now_ms,
                     size_t inbox_length);

#endif
