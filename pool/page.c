/* page.c: the HTTP port: what is served where. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/http_server.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "meters.h"
#include "page_html.h"
#include "rest.h"
#include "rest_query.h"

#define ROUTES          9
#define HASH_TEXT_BYTES (OWM_BASE64_CHARS(32) + 1)

struct owm_pool_page {
    struct owm_report *report;
    struct owm_metrics *metrics;
    struct owm_http_server *server;
    struct owm_http_route routes[ROUTES];
    char address[512];
    char policy[512]; /* Content-Security-Policy: our style, our script, nothing else. */
};

/* ---------------------------------------------------------------------------- pages */

static void reply_page(const struct owm_pool_page *page, owm_http_response *response,
                       unsigned status, char *html)
{
    if (html) owm_http_reply_text(response, status, "text/html; charset=utf-8", html);
    owm_http_reply_header(response, "Content-Security-Policy:", page->policy);
    owm_http_reply_header(response, "Referrer-Policy:", "no-referrer");
    owm_http_reply_header(response, "Cache-Control:", "no-store");
    free(html);
}

static void serve_overview(void *ctx, const struct owm_http_request *request,
                           owm_http_response *response)
{
    const struct owm_pool_page *page = ctx;
    if (strcmp(request->path, "/") != 0)
        owm_http_reply_text(response, 404, "text/plain; charset=utf-8", "There is no such page.\n");
    else
        reply_page(page, response, 200, owm_page_overview(page->report, page->address));
}

static void serve_view(const struct owm_pool_page *page, const struct owm_miner *miner,
                       owm_http_response *response)
{
    struct owm_report_view *view = NULL;
    struct owm_report *report = page->report;
    owm_status status = owm_report_ask(report, miner, &view);
    if (status == OWM_E_TIMEOUT)
        owm_http_retry(response, OWM_REPORT_ASK_AGAIN_MS);
    else if (status == OWM_OK)
        reply_page(page, response, 200, owm_page_miner(report, view));
    else if (status == OWM_E_NOTFOUND)
        reply_page(page, response, 404,
                   owm_page_sorry(report, miner->text,
                                  "No share of this miner has been accepted here. A share appears "
                                  "within seconds of being accepted; look at your miner's log."));
    else
        reply_page(page, response, 503,
                   owm_page_sorry(report, miner->text,
                                  "This miner is not connected, and the pool's database does not "
                                  "answer just now. Nothing is lost; please try again later."));
    free(view);
}

static void serve_miner(void *ctx, const struct owm_http_request *request,
                        owm_http_response *response)
{
    const struct owm_pool_page *page = ctx;
    struct owm_error error = {""};
    struct owm_miner miner;
    const char *name;
    if (owm_query_page_miner(request->query, &name, &miner, &error) != OWM_OK)
        reply_page(page, response, 400, owm_page_sorry(page->report, name, error.text));
    else
        serve_view(page, &miner, response);
}

/* ---------------------------------------------------------------------------- machines */

static void serve_metrics(void *ctx, const struct owm_http_request *request,
                          owm_http_response *response)
{
    const struct owm_pool_page *page = ctx;
    char *text = NULL, *registry = NULL;
    size_t bytes = 0;
    (void)request;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return;
    struct owm_report_now now = owm_report_lock(page->report);
    owm_pool_meters(out, &now);
    owm_report_unlock(page->report);
    bool good = !page->metrics || owm_metrics_text(page->metrics, &registry, NULL) == OWM_OK;
    if (registry) fputs(registry, out);
    if (fclose(out) == 0 && good)
        owm_http_reply_text(response, 200, OWM_METRICS_CONTENT_TYPE, text);
    free(registry);
    free(text);
}

static void serve_health(void *ctx, const struct owm_http_request *request,
                         owm_http_response *response)
{
    const struct owm_pool_page *page = ctx;
    struct owm_report_reason reasons[OWM_REPORT_REASONS_MAX];
    (void)request;
    owm_report_lock(page->report);
    size_t count = owm_report_reasons(page->report, reasons);
    owm_report_unlock(page->report);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, owm_json_text(reasons[i].text));
    json_t *value =
        json_pack("{s:s, s:o}", "status", count == 0 ? "ok" : "unhealthy", "reasons", list);
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    if (text) owm_http_reply_text(response, count == 0 ? 200 : 503, "application/json", text);
    json_decref(value);
    free(text);
}

/* ---------------------------------------------------------------------------- opening */

static void publish(void *ctx)
{
    struct owm_pool_page *page = ctx;
    char *text = owm_rest_feed(page->report);
    if (!text || owm_http_feed_publish(page->server, text) != OWM_OK)
        owm_log(OWM_LOG_WARN, "page_feed_skipped: out of memory");
    free(text);
}

static void hash_text(const char *asset, char text[HASH_TEXT_BYTES])
{
    uint8_t hash[32];
    owm_sha256(asset, strlen(asset), hash);
    owm_base64_encode(hash, sizeof hash, text);
}

static void write_texts(struct owm_pool_page *page, const struct owm_pool_page_options *options)
{
    char style[HASH_TEXT_BYTES], script[HASH_TEXT_BYTES];
    bool v6 = strchr(options->public_host, ':') != NULL;
    hash_text(owm_page_css, style);
    hash_text(owm_page_js, script);
    snprintf(page->policy, sizeof page->policy,
             "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; connect-src "
             "'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
             style, script);
    snprintf(page->address, sizeof page->address, "stratum2+tcp://%s%s%s:%u/%s", v6 ? "[" : "",
             options->public_host, v6 ? "]" : "", options->public_port, options->authority);
}

static owm_status serve(struct owm_pool_page *page, const struct owm_pool_page_options *options,
                        struct owm_error *error)
{
    /* The first match wins: "/" takes whatever is left. */
    const struct owm_http_route routes[ROUTES] = {
        {"GET", "/health", serve_health, page},
        {"GET", "/metrics", serve_metrics, page},
        {"GET", "/miner", serve_miner, page},
        {"GET", "/v1/mining/stats", owm_rest_stats, page->report},
        {"GET", "/v1/mining/nodes/", owm_rest_node, page->report},
        {"GET", "/v1/mining/payouts", owm_rest_payouts, page->report},
        {"GET", "/v1/mining/dashboard", owm_rest_dashboard, page->report},
        {"GET", "/v1/", owm_rest_unknown, page->report},
        {"GET", "/", serve_overview, page},
    };
    memcpy(page->routes, routes, sizeof routes);
    const struct owm_http_server_options http = {
        .bind = options->bind,
        .port = options->port,
        .port_key = "http.port",
        .routes = page->routes,
        .route_count = ROUTES,
        .connections_max = OWM_POOL_PAGE_CONNECTIONS_MAX,
        .feed_path = "/v1/mining/dashboard",
        .feed_listeners_max = OWM_POOL_PAGE_LISTENERS_MAX,
    };
    return owm_http_server_open(&http, &page->server, error);
}

owm_status owm_pool_page_open(const struct owm_pool_page_options *options,
                              struct owm_pool_page **out, struct owm_error *error)
{
    struct owm_pool_page *page = calloc(1, sizeof *page);
    if (!page) return owm_fail(error, OWM_E_NOMEM, "no memory for the page");
    page->metrics = options->metrics;
    write_texts(page, options);
    owm_status status = owm_report_open(&options->report, &page->report);
    if (status != OWM_OK) owm_fail(error, status, "no memory for the page's numbers");
    if (status == OWM_OK) status = serve(page, options, error);
    if (status == OWM_OK) {
        status = owm_report_start(page->report, publish, page);
        if (status != OWM_OK) owm_fail(error, status, "no memory for the page's threads");
    }
    if (status == OWM_OK)
        *out = page;
    else
        owm_pool_page_close(page);
    return status;
}

void owm_pool_page_work(struct owm_pool_page *page, const struct owm_work *work)
{
    owm_report_work(page->report, work);
}

uint16_t owm_pool_page_port(const struct owm_pool_page *page)
{
    return owm_http_server_port(page->server);
}

void owm_pool_page_close(struct owm_pool_page *page)
{
    if (!page) return;
    owm_report_stop(page->report); /* Publishes no more. */
    owm_http_server_close(page->server);
    owm_report_close(page->report);
    free(page);
}
