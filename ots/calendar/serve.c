/* serve.c: handlers; all of them on the HTTP server's thread. One whose answer is not there yet
 * puts the request off and is called again. */
#include "serve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/http_server.h"
#include "dataplane/ots/proof.h"
#include "dataplane/ots/verify.h"
#include "page.h"
#include "quota.h"

#define TIMESTAMP_PATH "/timestamp/"
#define ROUTES         6
#define BINARY         "application/octet-stream"
#define TEXT           "text/plain"
#define ADDRESS_MAX    64
#define BUSY_S         1
#define FAILED_S       60

struct serve {
    struct serve_options options;
    struct owm_http_route routes[ROUTES];
    owm_http_server *server;
    struct quota *quota;
    owm_metrics *metrics;
    int64_t started_ms;
    uint64_t refused[REFUSALS];
};

/* ---------------------------------------------------------------------------- answers */

static void cache(owm_http_response *response, unsigned seconds)
{
    char text[48];
    snprintf(text, sizeof text, "public, max-age=%u", seconds);
    owm_http_reply_header(response, "Cache-Control:", text);
}

static void say(owm_http_response *response, unsigned status, unsigned cache_s, const char *text)
{
    cache(response, cache_s);
    owm_http_reply_text(response, status, TEXT, text);
}

static void refuse(struct serve *serve, owm_http_response *response, enum page_refusal refusal,
                   unsigned retry_s)
{
    static const struct {
        unsigned status;
        const char *text;
    } answers[REFUSALS] = {
        [REFUSED_EMPTY] = {400, "invalid Content-Length"},
        [REFUSED_LONG] = {400, "digest too long"},
        [REFUSED_ADDRESS] = {429, "too many requests from your address"},
        [REFUSED_ALL] = {429, "too many requests"},
        [REFUSED_FULL] = {503, "too many digests in this second"},
        [REFUSED_FAILED] = {503, "nothing can be promised now"},
    };
    char seconds[16];
    serve->refused[refusal]++;
    owm_http_reply_header(response, "Cache-Control:", "no-store");
    if (retry_s > 0) {
        snprintf(seconds, sizeof seconds, "%u", retry_s);
        owm_http_reply_header(response, "Retry-After:", seconds);
    }
    owm_http_reply_text(response, answers[refusal].status, TEXT, answers[refusal].text);
}

/* ---------------------------------------------------------------------------- limits */

/* As it is without the dress that a socket for both families puts it in (RFC 4291, 2.5.5.2). */
static const char *bare(const char *address)
{
    static const char mapped[] = "::ffff:";
    bool dressed = strncasecmp(address, mapped, sizeof mapped - 1) == 0 && strchr(address, '.');
    return dressed ? address + sizeof mapped - 1 : address;
}

/* The last address in the list is what the proxy itself has seen. */
static const char *address_of(const struct serve *serve, const struct owm_http_request *request,
                              char address[static ADDRESS_MAX])
{
    const char *proxy = serve->options.proxy;
    if (!proxy || strcasecmp(bare(request->peer), bare(proxy)) != 0) return request->peer;
    const char *last = strrchr(request->forwarded_for, ',');
    last = last ? last + 1 : request->forwarded_for;
    last += strspn(last, " \t");
    snprintf(address, ADDRESS_MAX, "%.*s", (int)strcspn(last, " \t"), last);
    return address[0] ? address : request->peer;
}

static bool may_ask(struct serve *serve, const struct owm_http_request *request,
                    owm_http_response *response)
{
    char address[ADDRESS_MAX];
    unsigned retry_s = 0;
    enum quota_verdict verdict = quota_take(serve->quota, address_of(serve, request, address),
                                            owm_clock_mono_ms(), &retry_s);
    if (verdict == QUOTA_PASS) return true;
    refuse(serve, response, verdict == QUOTA_ADDRESS ? REFUSED_ADDRESS : REFUSED_ALL, retry_s);
    return false;
}

/* ---------------------------------------------------------------------------- POST /digest */

static void submit(struct serve *serve, const struct owm_http_request *request,
                   const struct aggregate_digest *digest, owm_http_response *response)
{
    if (!may_ask(serve, request, response)) return;
    owm_status status = aggregate_add(serve->options.aggregate, digest);
    if (status == OWM_OK)
        owm_http_retry(response, aggregate_wait_ms(AGGREGATE_GATHERED));
    else if (status == OWM_E_LIMIT)
        refuse(serve, response, REFUSED_FULL, BUSY_S);
    else
        refuse(serve, response, REFUSED_FAILED, FAILED_S);
}

static void post_digest(void *ctx, const struct owm_http_request *request,
                        owm_http_response *response)
{
    struct serve *serve = ctx;
    uint8_t answer[AGGREGATE_ANSWER_BYTES_MAX];
    size_t bytes = 0;
    if (request->body_bytes == 0 || request->body_bytes > AGGREGATE_DIGEST_BYTES_MAX) {
        refuse(serve, response, request->body_bytes ? REFUSED_LONG : REFUSED_EMPTY, 0);
        return;
    }
    const struct aggregate_digest digest = {request->body, request->body_bytes};
    enum aggregate_state state = aggregate_look(serve->options.aggregate, &digest, answer, &bytes);
    switch (state) {
    case AGGREGATE_UNKNOWN:
        submit(serve, request, &digest, response);
        return;
    case AGGREGATE_GATHERED:
    case AGGREGATE_WORKING:
        owm_http_retry(response, aggregate_wait_ms(state));
        return;
    case AGGREGATE_FAILED:
        refuse(serve, response, REFUSED_FAILED, FAILED_S);
        return;
    case AGGREGATE_PROMISED:
        owm_http_reply_header(response, "Cache-Control:", "no-store");
        owm_http_reply(response, 200, BINARY, answer, bytes);
    }
}

/* ---------------------------------------------------------------------------- GET /timestamp */

#define FOREVER_S 31536000
#define SOON_S    60

static void say_where(owm_http_response *response, const struct anchor_view *view)
{
    char text[192];
    uint64_t left = view->confirmations < OWM_OTS_CONFIRMATIONS
                        ? OWM_OTS_CONFIRMATIONS - view->confirmations
                        : 1; /* Enough, but not looked at yet. */
    snprintf(text, sizeof text,
             "Timestamped by transaction %s; waiting for %" PRIu64 " confirmations", view->txid,
             left);
    say(response, 404, SOON_S,
        view->state == ANCHOR_SENT ? text : "Pending confirmation in Bitcoin blockchain");
}

static bool say_proof(struct serve *serve, uint32_t index, owm_http_response *response)
{
    struct owm_ots_tree tree;
    uint8_t *data = NULL;
    size_t bytes = 0;
    if (anchor_proof(serve->options.anchor, index, &tree, NULL) != OWM_OK) return false;
    owm_status status = owm_ots_serialise(&tree, &data, &bytes, NULL);
    owm_ots_tree_deinit(&tree);
    if (status != OWM_OK) return false;
    cache(response, FOREVER_S);
    owm_http_reply(response, 200, BINARY, data, bytes);
    free(data);
    return true;
}

static void say_known(struct serve *serve, uint32_t index, owm_http_response *response)
{
    struct anchor_view view = {.state = ANCHOR_WAITING};
    anchor_look(serve->options.anchor, index, &view);
    if (view.state == ANCHOR_DONE && say_proof(serve, index, response)) return;
    say_where(response, &view);
}

/* Ours by its seal, but not in the journal: a disk was lost. */
static void say_recovered(struct serve *serve, const uint8_t *commitment,
                          owm_http_response *response)
{
    owm_status status = aggregate_recover(serve->options.aggregate, commitment);
    if (status == OWM_OK)
        owm_http_retry(response, aggregate_wait_ms(AGGREGATE_GATHERED));
    else
        refuse(serve, response, status == OWM_E_LIMIT ? REFUSED_FULL : REFUSED_FAILED, BUSY_S);
}

static bool is_hex(const char *text)
{
    size_t length = strlen(text);
    return length % 2 == 0 && strspn(text, "0123456789abcdefABCDEF") == length;
}

static void get_timestamp(void *ctx, const struct owm_http_request *request,
                          owm_http_response *response)
{
    struct serve *serve = ctx;
    const char *hex = request->path + sizeof TIMESTAMP_PATH - 1;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    uint32_t index;
    if (!may_ask(serve, request, response)) return;
    if (!is_hex(hex))
        say(response, 400, FOREVER_S, "commitment must be hex-encoded bytes");
    else if (owm_hex_decode(hex, commitment, sizeof commitment) != OWM_OK)
        say(response, 404, FOREVER_S, "Not found");
    else if (journal_find(serve->options.journal, commitment, &index))
        say_known(serve, index, response);
    else if (key_sealed(serve->options.key, commitment))
        say_recovered(serve, commitment, response);
    else
        say(response, 404, SOON_S, "Not found");
}

/* ---------------------------------------------------------------------------- pages */

static int64_t promised_ms(struct journal *journal, uint32_t index)
{
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
    struct owm_reader reader;
    journal_get(journal, index, commitment);
    owm_reader_init(&reader, commitment, sizeof commitment);
    return (int64_t)owm_read_u32_be(&reader) * 1000;
}

static void view_of(struct serve *serve, struct page_view *view)
{
    const struct serve_options *options = &serve->options;
    *view = (struct page_view){
        .uri = options->uri,
        .network = options->network,
        .interval_s = options->interval_s,
        .per_minute = options->per_minute,
        .now_ms = owm_clock_wall_ms(),
        .started_ms = serve->started_ms,
        .refused = serve->refused,
    };
    aggregate_figures(options->aggregate, &view->aggregate);
    anchor_look_at_all(options->anchor, &view->anchor);
    uint32_t count = view->anchor.commitments, done = view->anchor.done;
    if (count > 0) view->last_ms = promised_ms(options->journal, count - 1);
    if (done < count) view->oldest_ms = promised_ms(options->journal, done); /* In order. */
}

static void get_tip(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    struct serve *serve = ctx;
    struct anchor_figures figures;
    (void)request;
    anchor_look_at_all(serve->options.anchor, &figures);
    if (!figures.has_tip) {
        say(response, 404, 10, "");
        return;
    }
    cache(response, 10);
    owm_http_reply(response, 200, BINARY, figures.tip, sizeof figures.tip);
}

static void reply_json(owm_http_response *response, unsigned status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    if (text) owm_http_reply_text(response, status, "application/json", text);
    free(text);
    json_decref(json);
}

static void get_page(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    struct page_view view;
    view_of(ctx, &view);
    cache(response, 5);
    owm_http_reply_header(response, "Vary:", "Accept");
    if (strstr(request->accept, "application/json") && !strstr(request->accept, "text/html")) {
        reply_json(response, 200, page_json(&view));
        return;
    }
    owm_http_reply_header(
        response, "Content-Security-Policy:", "default-src 'none'; style-src 'unsafe-inline'");
    char *text = page_html(&view);
    if (text) owm_http_reply_text(response, 200, "text/html; charset=utf-8", text);
    free(text);
}

static void get_health(void *ctx, const struct owm_http_request *request,
                       owm_http_response *response)
{
    struct page_view view;
    (void)request;
    view_of(ctx, &view);
    owm_http_reply_header(response, "Cache-Control:", "no-store");
    reply_json(response, view.aggregate.failed[0] ? 503 : 200, page_json(&view));
}

static void get_metrics(void *ctx, const struct owm_http_request *request,
                        owm_http_response *response)
{
    struct serve *serve = ctx;
    struct page_view view;
    char *text = NULL;
    (void)request;
    view_of(serve, &view);
    page_metrics(&view, serve->metrics);
    if (owm_metrics_text(serve->metrics, &text, NULL) == OWM_OK)
        owm_http_reply_text(response, 200, OWM_METRICS_CONTENT_TYPE, text);
    free(text);
}

/* ---------------------------------------------------------------------------- open, close */

static owm_status listen_on(struct serve *serve, struct owm_error *error)
{
    const struct owm_http_route routes[ROUTES] = {
        {"POST", "/digest", post_digest, serve}, {"GET", TIMESTAMP_PATH, get_timestamp, serve},
        {"GET", "/tip", get_tip, serve},         {"GET", "/", get_page, serve},
        {"GET", "/health", get_health, serve},   {"GET", "/metrics", get_metrics, serve},
    };
    const struct owm_http_server_options options = {
        .bind = serve->options.bind,
        .port = serve->options.port,
        .port_key = "--listen",
        .routes = serve->routes,
        .route_count = ROUTES,
        .body_bytes_max = SERVE_BODY_BYTES_MAX,
        .connections_max = SERVE_CONNECTIONS_MAX,
        .timeout_s = SERVE_TIMEOUT_S,
    };
    memcpy(serve->routes, routes, sizeof routes);
    return owm_http_server_open(&options, &serve->server, error);
}

owm_status serve_open(const struct serve_options *options, struct serve **serve_out,
                      struct owm_error *error)
{
    *serve_out = NULL;
    struct serve *serve = calloc(1, sizeof *serve);
    if (!serve) return owm_fail(error, OWM_E_NOMEM, "no memory for the server");
    serve->options = *options;
    serve->started_ms = owm_clock_wall_ms();
    owm_status status = quota_open(options->per_minute, options->per_second, &serve->quota);
    if (status == OWM_OK) status = owm_metrics_open(0, &serve->metrics);
    if (status != OWM_OK)
        owm_fail(error, status, "no memory for the server");
    else
        status = listen_on(serve, error);
    if (status == OWM_OK)
        *serve_out = serve;
    else
        serve_close(serve);
    return status;
}

uint16_t serve_port(const struct serve *serve)
{
    return owm_http_server_port(serve->server);
}

void serve_close(struct serve *serve)
{
    if (!serve) return;
    owm_http_server_close(serve->server);
    if (serve->metrics) owm_metrics_close(serve->metrics);
    quota_close(serve->quota);
    free(serve);
}
