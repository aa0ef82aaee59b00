/* page.h: the status page (plain HTML, works without JavaScript) and the gauges of /metrics.
 *
 * The engine's thread renders, and only when somebody looks: the HTTP thread asks, waits up to
 * 300 ms, and hands out what there is then (each rendering says from when it is). A rendering is
 * served again for half a second, so that many who look cost no more than two renderings a second.
 */
#ifndef OWM_COORDINATOR_PAGE_H
#define OWM_COORDINATOR_PAGE_H

#include "base/http_server.h"
#include "base/metrics.h"
#include "config.h"
#include "controlplane/engine/engine.h"
#include "controlplane/stake/stake.h"

#define OWM_PAGE_NODES_MAX  200
#define OWM_PAGE_ROUNDS_MAX 50
#define OWM_PAGE_ROUTES_MAX 16

struct owm_page;

OWM_MUST_USE owm_status owm_page_open(const struct owm_coordinator_config *config,
                                      struct owm_metrics *metrics, struct owm_page **page);
void owm_page_close(struct owm_page *page);

/** owm_page_route: another part's path; before owm_page_serve. */
void owm_page_route(struct owm_page *page, const struct owm_http_route *route);

/** owm_page_stake: whom to ask how the treasury's node is; NULL: nobody. Before owm_page_serve. */
void owm_page_stake(struct owm_page *page, struct owm_stake *stake);

/** owm_page_note: what a part has to tell whoever looks after this: on the page and in /health; "":
 *  nothing. Copied. Thread: any. */
enum owm_page_note {
    OWM_PAGE_NOTE_PAYMENTS,
    OWM_PAGE_NOTE_INVOICES,
    OWM_PAGE_NOTE_BONDS,
    OWM_PAGE_NOTE_PROOFS,
    OWM_PAGE_NOTES
};
void owm_page_note(struct owm_page *page, enum owm_page_note part, const char *text);

/** owm_page_serve: start the HTTP server of "/", "/health", "/metrics" and those paths. */
OWM_MUST_USE owm_status owm_page_serve(struct owm_page *page, struct owm_error *error);
unsigned owm_page_port(const struct owm_page *page);

/** Engine's thread, or before it starts. _round: a round changed (also those of the past, oldest
 *  first, at the start). _restored: the engine has its rows. _update: the gauges; once a second.
 *  _turn: render if somebody waits. */
void owm_page_round(struct owm_page *page, const struct owm_round_row *round);
void owm_page_restored(struct owm_page *page, const owm_engine *engine, int64_t now_ms);
void owm_page_update(struct owm_page *page, const owm_engine *engine, size_t inbox_length);
void owm_page_turn(struct owm_page *page, const owm_engine *engine, int64_t now_ms,
                   size_t inbox_length);

#endif
