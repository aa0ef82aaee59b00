/* page.c: see page.h. Every text that comes from a peer is escaped. */
#include "page.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/uuid.h"
#include "controlplane/rpc/services.h"

#define REFRESH_S 3

struct owm_page {
    const struct owm_coordinator_config *config;
    struct owm_metrics *metrics;
    owm_http_server *server;
    struct owm_http_route routes[3];
    pthread_mutex_t lock;
    char *html; /* the last rendering */
    atomic_bool wanted;
    struct owm_round_row round[OWM_PAGE_ROUNDS_MAX]; /* newest first; engine's thread */
    size_t round_count;
    owm_gauge *connected, *registered, *pending, *running, *inbox, *round_number, *heldout, *owed;
    owm_gauge *complete, *failed, *participants, *received;
};

/* ---------------------------------------------------------------------------- rendering */

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
        }
    }
}

static void put_bits(FILE *out, float bits)
{
    if (isfinite(bits) && bits > 0)
        fprintf(out, "<td>%.3f</td>", (double)bits);
    else
        fputs("<td>–</td>", out);
}

static void put_head(const struct owm_page *page, FILE *out)
{
    fprintf(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta http-equiv=refresh content=%d><meta name=viewport content=\"width=device-width\">"
        "<title>owm-coordinator</title><style>body{font:15px/1.5 system-ui,sans-serif;margin:2em "
        "auto;max-width:70em;padding:0 1em;color:#222;background:#fff}table{border-collapse:"
        "collapse;width:100%%}td,th{text-align:left;padding:.25em .7em .25em 0;border-bottom:"
        "1px solid #ddd}.warn{background:#fff3cd;padding:.6em 1em;border-left:4px solid #d39e00}"
        "@media(prefers-color-scheme:dark){body{color:#ddd;background:#111}td,th{border-color:"
        "#333}.warn{background:#332b00}}</style><h1>OWM coordinator: ",
        REFRESH_S);
    put_escaped(out, page->config->network);
    fputs("</h1>", out);
    if (page->config->stake == OWM_STAKE_NONE)
        fputs("<p class=warn><b>Development network.</b> Stake policy \"none\": nodes take part "
              "without locking anything.</p>",
              out);
    fputs("<p class=warn><b>Provenance</b> " OWM_OTS_POLICY ".</p>", out);
    fputs("<p class=warn><b>Payments</b> No Lightning node is configured: what is earned stays "
          "<i>owed</i>.</p>",
          out);
}

static void put_summary(FILE *out, const owm_engine *engine, int64_t now_ms)
{
    const struct owm_model_row *model = owm_engine_model(engine);
    const struct owm_round_row *round = owm_engine_round(engine);
    const struct owm_engine_counters *counters = owm_engine_counters(engine);
    fputs("<h2>Now</h2><table>", out);
    if (round && round->state != OWM_ROUND_IDLE)
        fprintf(out, "<tr><th>Round<td>%u, %s: %u of %u packages%s", round->round,
                owm_round_state_name(round->state), round->received, round->invited,
                owm_engine_rounds_finished(engine) ? " (rounds.stop_after is reached)" : "");
    if (model) {
        fprintf(out, "<tr><th>Checkpoint<td>");
        put_escaped(out, model->version);
        if (isfinite(model->heldout_bits_per_byte))
            fprintf(out, ", %.3f bits per byte on held-out text",
                    (double)model->heldout_bits_per_byte);
    } else {
        fputs("<tr><th>Checkpoint<td>being made", out);
    }
    fprintf(out,
            "<tr><th>Tasks<td>%llu waiting, %llu running<tr><th>Nodes<td>%u registered, %llu "
            "connected%s</table>",
            (unsigned long long)counters->tasks_pending,
            (unsigned long long)counters->tasks_running, owm_engine_node_count(engine),
            (unsigned long long)counters->nodes_connected,
            owm_engine_in_grace(engine, now_ms) ? " (grace after a start: nobody is called silent)"
                                                : "");
}

static void put_rounds(const struct owm_page *page, FILE *out)
{
    fputs("<h2>Rounds</h2><table><tr><th>Round<th>State<th>Included<th>Delivered<th>Invited<th>"
          "Before<th>After, bits per byte<th>Seconds<th>",
          out);
    for (size_t i = 0; i < page->round_count; i++) {
        const struct owm_round_row *round = &page->round[i];
        fprintf(out, "<tr><td>%u<td>%s<td>%u<td>%u<td>%u", round->round,
                owm_round_state_name(round->state), round->included, round->received,
                round->invited);
        put_bits(out, round->heldout_before);
        put_bits(out, round->heldout_after);
        if (round->completed_ms)
            fprintf(out, "<td>%.1f<td>", (double)(round->completed_ms - round->started_ms) / 1e3);
        else
            fputs("<td><td>", out);
        put_escaped(out, round->reason);
    }
    fputs("</table>", out);
}

static int64_t put_nodes(FILE *out, const owm_engine *engine, int64_t now_ms)
{
    int64_t earned_msat = 0;
    uint32_t count = owm_engine_node_count(engine);
    fputs("<h2>Nodes and ledger</h2><table><tr><th>Name<th>Tier<th>Status<th>Connected<th>Running"
          "<th>Reliability<th>Owed, sats<th>Signals<th>",
          out);
    for (uint32_t i = 0; i < count; i++) {
        struct owm_node_view view;
        owm_engine_node(engine, i, now_ms, &view);
        earned_msat += view.row.earned_msat;
        if (i >= OWM_PAGE_NODES_MAX) continue;
        fputs("<tr><td>", out);
        put_escaped(out, view.row.alias);
        fprintf(out, "<td>%s<td>%s<td>%s<td>%u<td>%.3f<td>%.3f<td>%u<td>",
                owm_tier_name(view.row.capabilities.tier), owm_node_status_name(view.row.status),
                view.connected ? "yes" : "no", view.running, view.row.reliability_ppm / 1e6,
                (double)view.row.earned_msat / 1e3, view.row.signals);
        put_escaped(out,
                    view.row.status_reason[0] ? view.row.status_reason : owm_why_text(view.why));
    }
    fputs("</table>", out);
    if (count > OWM_PAGE_NODES_MAX)
        fprintf(out, "<p>… and %u more.</p>", count - OWM_PAGE_NODES_MAX);
    fprintf(out, "<p>Owed to all nodes: %.3f sats. <a href=/metrics>Metrics</a></p>",
            (double)earned_msat / 1e3);
    return earned_msat;
}

static void render(struct owm_page *page, const owm_engine *engine, int64_t now_ms)
{
    char *html = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&html, &bytes);
    if (!out) return;
    put_head(page, out);
    put_summary(out, engine, now_ms);
    put_rounds(page, out);
    owm_gauge_set(page->owed, (double)put_nodes(out, engine, now_ms));
    if (fclose(out) != 0) {
        free(html);
        return;
    }
    pthread_mutex_lock(&page->lock);
    char *old = page->html;
    page->html = html;
    pthread_mutex_unlock(&page->lock);
    free(old);
}

void owm_page_round(struct owm_page *page, const struct owm_round_row *round)
{
    if (page->round_count && page->round[0].round == round->round) {
        page->round[0] = *round;
        return;
    }
    if (page->round_count < OWM_PAGE_ROUNDS_MAX) page->round_count++;
    memmove(&page->round[1], &page->round[0], (page->round_count - 1) * sizeof(page->round[0]));
    page->round[0] = *round;
}

void owm_page_update(struct owm_page *page, const owm_engine *engine, int64_t now_ms,
                     size_t inbox_length)
{
    const struct owm_engine_counters *counters = owm_engine_counters(engine);
    const struct owm_round_row *round = owm_engine_round(engine);
    const struct owm_model_row *model = owm_engine_model(engine);
    owm_gauge_set(page->registered, owm_engine_node_count(engine));
    owm_gauge_set(page->connected, (double)counters->nodes_connected);
    owm_gauge_set(page->pending, (double)counters->tasks_pending);
    owm_gauge_set(page->running, (double)counters->tasks_running);
    owm_gauge_set(page->complete, (double)counters->rounds_complete);
    owm_gauge_set(page->failed, (double)counters->rounds_failed);
    owm_gauge_set(page->inbox, (double)inbox_length);
    owm_gauge_set(page->round_number, round ? round->round : 0);
    owm_gauge_set(page->participants, round ? round->invited : 0);
    owm_gauge_set(page->received, round ? round->received : 0);
    if (model) owm_gauge_set(page->heldout, (double)model->heldout_bits_per_byte);
    if (atomic_exchange(&page->wanted, false)) render(page, engine, now_ms);
}

/* ---------------------------------------------------------------------------- HTTP */

static void serve_page(void *ctx, const struct owm_http_request *request,
                       owm_http_response *response)
{
    (void)request;
    struct owm_page *page = ctx;
    atomic_store(&page->wanted, true);
    pthread_mutex_lock(&page->lock);
    owm_http_reply_text(response, 200, "text/html; charset=utf-8",
                        page->html ? page->html
                                   : "<!doctype html><meta http-equiv=refresh content=1>starting");
    pthread_mutex_unlock(&page->lock);
    owm_http_reply_header(
        response, "Content-Security-Policy:", "default-src 'none'; style-src 'unsafe-inline'");
}

static void serve_metrics(void *ctx, const struct owm_http_request *request,
                          owm_http_response *response)
{
    (void)request;
    const struct owm_page *page = ctx;
    char *text = NULL;
    if (owm_metrics_text(page->metrics, &text, NULL) == OWM_OK)
        owm_http_reply_text(response, 200, OWM_METRICS_CONTENT_TYPE, text);
    free(text);
}

static void serve_health(void *ctx, const struct owm_http_request *request,
                         owm_http_response *response)
{
    (void)ctx;
    (void)request;
    owm_http_reply_text(response, 200, "application/json", "{\"status\":\"ok\"}\n");
}

static owm_gauge *gauge(struct owm_page *page, const char *name, const char *help)
{
    return owm_metrics_gauge(page->metrics, name, help, NULL);
}

owm_status owm_page_open(const struct owm_coordinator_config *config, struct owm_metrics *metrics,
                         struct owm_page **out)
{
    struct owm_page *page = calloc(1, sizeof(*page));
    if (!page) return OWM_E_NOMEM;
    page->config = config;
    page->metrics = metrics;
    atomic_store(&page->wanted, true);
    pthread_mutex_init(&page->lock, NULL);
    page->registered = gauge(page, "owm_nodes_registered", "Nodes in the registry.");
    page->connected = gauge(page, "owm_nodes_connected", "Nodes with an open task stream.");
    page->pending = gauge(page, "owm_tasks_pending", "Tasks that wait.");
    page->running = gauge(page, "owm_tasks_running", "Tasks with a lease.");
    page->inbox = gauge(page, "owm_inbox_length", "Events that wait for the engine.");
    page->round_number = gauge(page, "owm_round", "Newest round.");
    page->participants = gauge(page, "owm_round_invited", "Nodes invited to the newest round.");
    page->received = gauge(page, "owm_round_received", "Packages received in the newest round.");
    page->complete = gauge(page, "owm_rounds_complete", "Rounds complete.");
    page->failed = gauge(page, "owm_rounds_failed", "Rounds failed.");
    page->heldout = gauge(page, "owm_heldout_bits_per_byte", "Of the current checkpoint.");
    page->owed = gauge(page, "owm_earned_msat", "Earned by all nodes.");
    *out = page;
    return OWM_OK;
}

owm_status owm_page_serve(struct owm_page *page, struct owm_error *error)
{
    /* "/" matches every path below it: the exact ones come first. */
    page->routes[0] = (struct owm_http_route){"GET", "/metrics", serve_metrics, page};
    page->routes[1] = (struct owm_http_route){"GET", "/health", serve_health, page};
    page->routes[2] = (struct owm_http_route){"GET", "/", serve_page, page};
    const struct owm_http_server_options options = {.bind = page->config->http_bind,
                                                    .port = (uint16_t)page->config->http_port,
                                                    .port_key = "http.port",
                                                    .routes = page->routes,
                                                    .route_count = 3};
    return owm_http_server_open(&options, &page->server, error);
}

unsigned owm_page_port(const struct owm_page *page)
{
    return page->server ? owm_http_server_port(page->server) : 0;
}

void owm_page_close(struct owm_page *page)
{
    if (!page) return;
    owm_http_server_close(page->server);
    pthread_mutex_destroy(&page->lock);
    free(page->html);
    free(page);
}
