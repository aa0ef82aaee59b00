/* page.c: see page.h. Every text that comes from a peer is escaped. */
#include "page.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/html.h"
#include "base/json.h"
#include "base/log.h"
#include "base/uuid.h"
#include "controlplane/rpc/services.h"
#include "payments_part.h"
#include "provenance_part.h"

#define REFRESH_S 3
#define WAIT_MS                                                                                    \
    300 /* for the engine's thread; it comes by every 25 ms unless the database is away */
#define FRESH_MS 500 /* a rendering younger than this is served as it is */

/* What the engine counts since the start, as Prometheus sees it. */
static const struct {
    const char *name, *help;
    size_t at;
} totals[] = {
#define TOTAL(field, unit, help)                                                                   \
    {                                                                                              \
        "owm_engine_" #field unit, help, offsetof(struct owm_engine_counters, field)               \
    }
    TOTAL(tasks_submitted, "_total", "Tasks submitted."),
    TOTAL(tasks_dispatched, "_total", "Tasks sent to a node, each attempt."),
    TOTAL(tasks_completed, "_total", "Tasks completed."),
    TOTAL(tasks_failed, "_total", "Tasks given up after their last attempt."),
    TOTAL(tasks_timed_out, "_total", "Attempts that ran out of time."),
    TOTAL(tasks_requeued, "_total", "Tasks that went back to the queue."),
    TOTAL(leases_expired, "_total", "Leases that were not renewed in time."),
    TOTAL(packages_judged_bad, "_total", "Delta packages that were not included."),
    TOTAL(signals, "_total", "Misbehaviour signals recorded."),
    TOTAL(nodes_suspended, "_total", "Nodes suspended."),
    TOTAL(paid_msat, "_total", "Millisatoshis that became owed to nodes."),
#undef TOTAL
};

#define TOTALS (sizeof(totals) / sizeof(totals[0]))

/* By enum owm_page_note: on the page and in /health. */
static const char *const note_names[OWM_PAGE_NOTES] = {
    [OWM_PAGE_NOTE_PAYMENTS] = "payments",
    [OWM_PAGE_NOTE_INVOICES] = "invoices",
    [OWM_PAGE_NOTE_BONDS] = "bonds",
    [OWM_PAGE_NOTE_PROOFS] = "proofs",
};

struct owm_page {
    const struct owm_coordinator_config *config;
    struct owm_metrics *metrics;
    owm_http_server *server;
    struct owm_stake *stake; /* NULL: stake policy "none" */
    struct owm_http_route routes[OWM_PAGE_ROUTES_MAX];
    size_t route_count;
    pthread_mutex_t lock; /* html, html_ms, wanted, note */
    pthread_cond_t rendered;
    char *html;       /* the last rendering */
    uint64_t html_ms; /* when, on the monotonic clock */
    bool wanted;
    char note[OWM_PAGE_NOTES][OWM_ERROR_BYTES_MAX];
    int64_t earned_before_msat; /* what nodes had earned when this process started */
    owm_counter *total[TOTALS];
    uint64_t told[TOTALS];
    struct owm_round_row round[OWM_PAGE_ROUNDS_MAX]; /* newest first; engine's thread */
    size_t round_count;
    owm_gauge *connected, *registered, *pending, *running, *inbox, *round_number, *heldout, *owed;
    owm_gauge *complete, *failed, *participants, *received;
};

/* ---------------------------------------------------------------------------- rendering */

/* One cell; on a narrow screen the label stands before it. The text is ours, never a peer's. */
__attribute__((format(printf, 3, 4))) static void put_cell(FILE *out, const char *label,
                                                           const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(out, "<td data-label=\"%s\">", label);
    vfprintf(out, format, args);
    va_end(args);
}

static void put_text_cell(FILE *out, const char *label, const char *text)
{
    put_cell(out, label, "%s", "");
    owm_html_text(out, text);
}

static void put_bits(FILE *out, const char *label, float bits)
{
    if (isfinite(bits) && bits > 0)
        put_cell(out, label, "%.3f", (double)bits);
    else
        put_cell(out, label, "–");
}

static void put_time(FILE *out, int64_t wall_ms)
{
    time_t second = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32];
    gmtime_r(&second, &utc);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
    fputs(text, out);
}

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;"
    "color:#222;background:#fff}h1{font-size:1.5em}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.25em .7em .25em 0;border-bottom:1px solid #ddd;"
    "overflow-wrap:anywhere}th{overflow-wrap:normal}.warn{background:#fff3cd;padding:.6em "
    "1em;border-left:4px solid "
    "#d39e00}.how{color:#555;font-size:.9em}"
    "@media(max-width:45em){.list th{display:none}.list td{display:block;border:0;padding:0}"
    ".list tr{display:block;border-bottom:1px solid #ddd;padding:.5em 0}"
    ".list td:before{content:attr(data-label)\": \";color:#777}.list td:empty{display:none}}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#111}td,th,.list "
    "tr{border-color:#333}.warn{background:#332b00}.how{color:#aaa}a{color:#9cf}}";

/* What parts have to tell; at most once each. */
static void read_notes(struct owm_page *page, char notes[OWM_PAGE_NOTES][OWM_ERROR_BYTES_MAX])
{
    pthread_mutex_lock(&page->lock);
    memcpy(notes, page->note, sizeof(page->note));
    pthread_mutex_unlock(&page->lock);
}

static void put_notes(struct owm_page *page, FILE *out)
{
    char notes[OWM_PAGE_NOTES][OWM_ERROR_BYTES_MAX];
    read_notes(page, notes);
    for (int i = 0; i < OWM_PAGE_NOTES; i++) {
        if (!notes[i][0]) continue;
        fprintf(out, "<p class=warn><b>%s</b> ", note_names[i]);
        owm_html_text(out, notes[i]);
        fputs("</p>", out);
    }
}

static void put_head(struct owm_page *page, FILE *out)
{
    fprintf(out,
            "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=%d>"
            "<meta name=viewport content=\"width=device-width,initial-scale=1\">"
            "<title>owm-coordinator</title><style>%s</style><h1>OWM coordinator: ",
            REFRESH_S, style);
    owm_html_text(out, page->config->network);
    fputs("</h1>", out);
    if (page->config->stake == OWM_STAKE_NONE)
        fputs("<p class=warn><b>Development network.</b> Stake policy \"none\": nodes take part "
              "without locking anything.</p>",
              out);
    fprintf(out, "<p%s><b>Provenance</b> %s.</p>",
            owm_coordinator_calendars(page->config)[0] && !page->config->serve_pending
                ? ""
                : " class=warn",
            owm_coordinator_ots_policy(page->config));
    const char *why = owm_coordinator_owed_note(page->config);
    if (why[0])
        fprintf(out, "<p class=warn><b>Payments</b> What is earned stays <i>owed</i>: %s.</p>",
                why);
    put_notes(page, out);
}

static void put_treasury(const struct owm_page *page, FILE *out)
{
    char text[OWM_ERROR_BYTES_MAX];
    if (!page->stake) return;
    bool answers = owm_stake_state_text(page->stake, text, sizeof(text));
    fputs(answers ? "<tr><th>Lightning<td>" : "<tr><th>Lightning<td class=warn>", out);
    owm_html_text(out, text);
    if (!answers)
        fputs("<br>Nobody registers and no task starts until it answers; nobody loses anything.",
              out);
}

static void put_summary(const struct owm_page *page, FILE *out, const owm_engine *engine,
                        int64_t now_ms)
{
    const struct owm_model_row *model = owm_engine_model(engine);
    const struct owm_round_row *round = owm_engine_round(engine);
    const struct owm_engine_counters *counters = owm_engine_counters(engine);
    fputs("<h2>Now</h2><table><tr><th>As of<td>", out);
    put_time(out, now_ms);
    if (round && round->state != OWM_ROUND_IDLE)
        fprintf(out, "<tr><th>Round<td>%u, %s: %u of %u packages%s", round->round,
                owm_round_state_name(round->state), round->received, round->invited,
                owm_engine_rounds_finished(engine) ? " (rounds.stop_after is reached)" : "");
    if (model) {
        fprintf(out, "<tr><th>Checkpoint<td>");
        owm_html_text(out, model->version);
        if (isfinite(model->heldout_bits_per_byte))
            fprintf(out, ", %.3f bits per byte on held-out text",
                    (double)model->heldout_bits_per_byte);
        fputs(" (<a href=/models>all versions and their proofs</a>)", out);
    } else {
        fputs("<tr><th>Checkpoint<td>being made", out);
    }
    put_treasury(page, out);
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
    fputs("<h2>Rounds</h2><table class=list><tr><th>Round<th>State<th>Included<th>Delivered"
          "<th>Invited<th>Before, bits per byte<th>After, bits per byte<th>Seconds<th>Reason",
          out);
    for (size_t i = 0; i < page->round_count; i++) {
        const struct owm_round_row *round = &page->round[i];
        fputs("<tr>", out);
        put_cell(out, "Round", "%u", round->round);
        put_cell(out, "State", "%s", owm_round_state_name(round->state));
        put_cell(out, "Included, packages", "%u", round->included);
        put_cell(out, "Delivered, packages", "%u", round->received);
        put_cell(out, "Invited, nodes", "%u", round->invited);
        put_bits(out, "Before, bits per byte", round->heldout_before);
        put_bits(out, "After, bits per byte", round->heldout_after);
        if (round->completed_ms)
            put_cell(out, "Seconds", "%.1f",
                     (double)(round->completed_ms - round->started_ms) / 1e3);
        else
            put_cell(out, "Seconds", "%s", "");
        put_text_cell(out, "Reason", round->reason);
    }
    fputs("</table><p class=how>Bits per byte: mean of &minus;log<sub>2</sub> p of each next byte "
          "of the held-out text, which no node trains on. Lower is better; 8 is guessing.</p>",
          out);
}

static void put_stake(FILE *out, const struct owm_node_view *view, int64_t now_ms)
{
    put_cell(out, "Stake, sats", "%lld", (long long)view->row.stake_sats);
    put_cell(out, "Bonus", "%.2f", view->stake_bonus_ppm / 1e6);
    if (view->row.stake_read_ms)
        put_cell(out, "Read, s ago", "%lld", (long long)(now_ms - view->row.stake_read_ms) / 1000);
    else
        put_cell(out, "Read, s ago", "never");
}

static void put_node(const struct owm_page *page, FILE *out, const struct owm_node_view *view,
                     int64_t now_ms)
{
    fputs("<tr>", out);
    put_text_cell(out, "Name", view->row.alias);
    put_cell(out, "Tier", "%s", owm_tier_name(view->row.capabilities.tier));
    put_cell(out, "Status", "%s", owm_node_status_name(view->row.status));
    put_cell(out, "Connected", "%s", view->connected ? "yes" : "no");
    put_cell(out, "Running, tasks", "%u", view->running);
    put_cell(out, "Reliability, %", "%.1f", view->row.reliability_ppm / 1e4);
    if (page->stake) put_stake(out, view, now_ms);
    put_cell(out, "Earned, sats", "%.3f", (double)view->row.earned_msat / 1e3);
    put_cell(out, "Signals", "%u", view->row.signals);
    put_text_cell(out, "Note",
                  view->row.status_reason[0] ? view->row.status_reason : owm_why_text(view->why));
}

static void put_nodes(const struct owm_page *page, FILE *out, const owm_engine *engine,
                      int64_t now_ms)
{
    uint32_t count = owm_engine_node_count(engine);
    fputs("<h2>Nodes and ledger</h2><table class=list><tr><th>Name<th>Tier<th>Status<th>Connected"
          "<th>Running, tasks<th>Reliability, %",
          out);
    if (page->stake) fputs("<th>Stake, sats<th>Bonus<th>Read, s ago", out);
    fputs("<th>Earned, sats<th>Signals<th>Note", out);
    for (uint32_t i = 0; i < count && i < OWM_PAGE_NODES_MAX; i++) {
        struct owm_node_view view;
        owm_engine_node(engine, i, now_ms, &view);
        put_node(page, out, &view, now_ms);
    }
    fputs("</table>", out);
    if (count > OWM_PAGE_NODES_MAX)
        fprintf(out, "<p>… and %u more.</p>", count - OWM_PAGE_NODES_MAX);
    fprintf(
        out,
        "<p>Earned by all nodes: %.3f sats. <a href=/v1/payments/summary>What of it was "
        "paid</a></p><p class=how>Reliability: tasks of the last 7 days "
        "that counted / all that ended, &times; the share of the watched time in which the node "
        "was heard; 100 until something was counted. Earned: the sum of %.3f sats &times; tier "
        "&times; task weight &times; quality &times; uptime bonus &times; stake bonus over "
        "every accepted task, rounded down to 0.001 sat each; a delta counts once it is "
        "included. %s<a href=/metrics>Metrics</a></p>",
        owm_gauge_value(page->owed) / 1e3, (double)page->config->base_rate_sats,
        page->stake ? "Stake: what the node has on its side of confirmed channels that it opened "
                      "to the treasury; the stake bonus follows from it. "
                    : "");
}

static void render(struct owm_page *page, const owm_engine *engine, int64_t now_ms)
{
    char *html = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&html, &bytes);
    if (!out) return;
    put_head(page, out);
    put_summary(page, out, engine, now_ms);
    put_rounds(page, out);
    put_nodes(page, out, engine, now_ms);
    if (fclose(out) != 0) {
        free(html);
        return;
    }
    pthread_mutex_lock(&page->lock);
    char *old = page->html;
    page->html = html;
    page->html_ms = owm_clock_mono_ms();
    page->wanted = false;
    pthread_cond_broadcast(&page->rendered);
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

void owm_page_update(struct owm_page *page, const owm_engine *engine, size_t inbox_length)
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
    owm_gauge_set(page->owed, (double)(page->earned_before_msat + (int64_t)counters->paid_msat));
    if (model) owm_gauge_set(page->heldout, (double)model->heldout_bits_per_byte);
    for (size_t i = 0; i < TOTALS; i++) {
        uint64_t now;
        memcpy(&now, (const char *)counters + totals[i].at, sizeof(now));
        owm_counter_add(page->total[i], now - page->told[i]);
        page->told[i] = now;
    }
}

void owm_page_restored(struct owm_page *page, const owm_engine *engine, int64_t now_ms)
{
    for (uint32_t i = 0; i < owm_engine_node_count(engine); i++) {
        struct owm_node_view view;
        owm_engine_node(engine, i, now_ms, &view);
        page->earned_before_msat += view.row.earned_msat;
    }
    owm_page_update(page, engine, 0);
    render(page, engine, now_ms);
}

void owm_page_turn(struct owm_page *page, const owm_engine *engine, int64_t now_ms,
                   size_t inbox_length)
{
    pthread_mutex_lock(&page->lock);
    bool wanted = page->wanted;
    pthread_mutex_unlock(&page->lock);
    if (!wanted) return;
    owm_page_update(page, engine, inbox_length);
    render(page, engine, now_ms);
}

/* ---------------------------------------------------------------------------- HTTP */

/* With the lock held. A late rendering says itself from when it is. */
static void wait_for_fresh(struct owm_page *page)
{
    const uint64_t now_ms = owm_clock_mono_ms();
    if (page->html && now_ms - page->html_ms < FRESH_MS) return;
    page->wanted = true;
    while (page->wanted && owm_cond_wait(&page->rendered, &page->lock, now_ms + WAIT_MS)) continue;
}

static void serve_page(void *ctx, const struct owm_http_request *request,
                       owm_http_response *response)
{
    (void)request;
    struct owm_page *page = ctx;
    pthread_mutex_lock(&page->lock);
    wait_for_fresh(page);
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
    struct owm_page *page = ctx;
    char notes[OWM_PAGE_NOTES][OWM_ERROR_BYTES_MAX];
    (void)request;
    read_notes(page, notes);
    json_t *value = json_pack("{s:s}", "status", "ok");
    for (int i = 0; i < OWM_PAGE_NOTES; i++)
        if (notes[i][0]) json_object_set_new(value, note_names[i], owm_json_text(notes[i]));
    char *text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    if (text) owm_http_reply_text(response, 200, "application/json", text);
    free(text);
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
    owm_cond_init(&page->rendered);
    pthread_mutex_init(&page->lock, NULL);
    for (size_t i = 0; i < TOTALS; i++)
        page->total[i] = owm_metrics_counter(metrics, totals[i].name, totals[i].help, NULL);
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
    page->heldout = gauge(page, "owm_heldout_bits_per_byte",
                          "Bits per byte of the current checkpoint on held-out text.");
    page->owed = gauge(page, "owm_earned_msat", "Earned by all nodes, in millisatoshis.");
    *out = page;
    return OWM_OK;
}

void owm_page_stake(struct owm_page *page, struct owm_stake *stake)
{
    page->stake = stake;
}

void owm_page_note(struct owm_page *page, enum owm_page_note part, const char *text)
{
    pthread_mutex_lock(&page->lock);
    snprintf(page->note[part], sizeof(page->note[part]), "%s", text);
    pthread_mutex_unlock(&page->lock);
}

void owm_page_route(struct owm_page *page, const struct owm_http_route *route)
{
    OWM_ASSERT(page->route_count < OWM_PAGE_ROUTES_MAX);
    page->routes[page->route_count++] = *route;
}

owm_status owm_page_serve(struct owm_page *page, struct owm_error *error)
{
    /* "/" matches every path below it: it comes last. */
    owm_page_route(page, &(struct owm_http_route){"GET", "/metrics", serve_metrics, page});
    owm_page_route(page, &(struct owm_http_route){"GET", "/health", serve_health, page});
    owm_page_route(page, &(struct owm_http_route){"GET", "/", serve_page, page});
    const struct owm_http_server_options options = {.bind = page->config->http_bind,
                                                    .port = (uint16_t)page->config->http_port,
                                                    .port_key = "http.port",
                                                    .routes = page->routes,
                                                    .route_count = page->route_count};
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
    pthread_cond_destroy(&page->rendered);
    pthread_mutex_destroy(&page->lock);
    free(page->html);
    free(page);
}
