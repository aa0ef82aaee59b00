/* page_serve.c: routes, the Host check, /health and /metrics. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"
#include "node/mining.h"
#include "node/page.h"

/* Beats that may be missed before health is red. */
#define HEARTBEATS_MISSED_MAX 3

bool page_host_allowed(const char *host)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t bytes = strlen(names[i]);
        if (strncasecmp(host, names[i], bytes) != 0) continue;
        const char *rest = host + bytes;
        if (*rest == '\0') return true;
        if (*rest == ':' && rest[1] && rest[1 + strspn(rest + 1, "0123456789")] == '\0')
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------- health */

static void add(struct page_health *health, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add(struct page_health *health, const char *format, ...)
{
    if (health->count == PAGE_REASONS_MAX) return;
    va_list args;
    va_start(args, format);
    vsnprintf(health->reason[health->count++], OWM_ERROR_BYTES_MAX, format, args);
    va_end(args);
}

static void add_stake(struct page_health *health, const struct node_view *view)
{
    struct node_stake_alert alerts[NODE_STAKE_ALERTS_MAX];
    size_t n = node_stake_alerts(view, owm_clock_wall_ms(), alerts);
    health->warning_count = 0;
    for (size_t i = 0; i < n; i++)
        if (alerts[i].grave)
            add(health, "%s", alerts[i].text);
        else
            memcpy(health->warning[health->warning_count++], alerts[i].text, OWM_ERROR_BYTES_MAX);
}

/** add_proofs: a node that serves nothing, because it cannot check a block. */
static void add_proofs(struct page_health *health, const struct node *node,
                       const struct node_view *view)
{
    enum proof_demand demand[MODEL_USES];
    struct owm_error error;
    if (view->link != NODE_REGISTERED) return;
    if (proof_demands(&node->config, view->network, demand, &error) != OWM_OK)
        add(health, "%s", error.text);
    else if (demand[MODEL_SERVING] == PROOF_CONFIRMED && !*node->config.bitcoin_rpc
             && !*node->config.headers_file)
        add(health,
            "NO_HEADERS: this network's models need a proof in a Bitcoin block (SRS-NODE-10), and "
            "this node has no block headers to check it with, so it refuses to serve; set "
            "model.bitcoin_rpc or model.headers_file");
}

size_t page_health(struct node *node, const struct node_view *view, struct page_health *health)
{
    health->count = 0;
    int64_t age_ms = owm_clock_wall_ms() - view->heartbeat_ms;
    if (view->link == NODE_REFUSED)
        add(health, "%s", view->last_error);
    else if (view->link == NODE_CONNECTING)
        add(health, "not connected to the coordinator: %.400s",
            view->last_error[0] ? view->last_error : "connecting");
    else if (view->heartbeat_ms
             && age_ms > (int64_t)view->heartbeat_period_ms * HEARTBEATS_MISSED_MAX + 5000)
        add(health, "no heartbeat was answered for %lld s", (long long)(age_ms / 1000));
    if (view->link == NODE_REGISTERED && strcmp(view->status, "active") != 0)
        add(health, "the coordinator says this node is '%s': %.300s", view->status,
            view->notice[0] ? view->notice : "no reason given");
    add_stake(health, view);
    add_proofs(health, node, view);
    pthread_mutex_lock(&node->lock);
    bool draining = node->draining;
    pthread_mutex_unlock(&node->lock);
    if (draining) add(health, "shutting down: finishing what runs, taking nothing new");
    return health->count;
}

static json_t *stake_json(const struct node_stake *s)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:o,s:o,s:I,s:o,s:I,s:I,s:I}", "sats", (json_int_t)s->sats,
                     "required_sats", (json_int_t)s->required_sats, "bonus_permille",
                     (json_int_t)s->bonus_permille, "degraded_until_ms",
                     (json_int_t)s->degraded_until_ms, "note", owm_json_text(s->note),
                     "treasury_uri", owm_json_text(s->treasury_uri), "looked_ms",
                     (json_int_t)s->looked_ms, "look_error", owm_json_text(s->look_error),
                     "open_sats", (json_int_t)s->open_sats, "opening_sats",
                     (json_int_t)s->opening_sats, "closing", (json_int_t)s->closing);
}

static json_t *slots_json(struct node *node)
{
    json_t *list = json_array();
    pthread_mutex_lock(&node->lock);
    for (unsigned i = 0; i < node->slot_count; i++) {
        const struct node_slot *slot = &node->slots[i];
        if (!slot->busy) continue;
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:I}", "task_id", slot->task.id, "type",
                                              task_type_name(slot->task.type), "doing", slot->doing,
                                              "started_ms", (json_int_t)slot->started_ms));
    }
    pthread_mutex_unlock(&node->lock);
    return list;
}

static json_t *models_json(const struct node_models_view *models)
{
    char text[PAGE_MODEL_TEXT_MAX];
    json_t *root = json_object();
    for (int use = 0; use < MODEL_USES; use++) {
        const struct node_model_used *used = &models->used[use];
        char hex[65];
        if (!used->known) continue;
        owm_hex_encode(used->sha256, 32, hex);
        page_model_text(used, text);
        json_object_set_new(root, model_use_name((enum model_use)use),
                            json_pack("{s:o,s:I,s:s,s:I,s:o}", "version",
                                      owm_json_text(used->version), "round",
                                      (json_int_t)used->round, "sha256", hex, "btc_block",
                                      (json_int_t)used->proof.height, "text", owm_json_text(text)));
    }
    if (models->refused.code == REFUSAL_NONE) return root;
    page_refused_text(&models->refused, text);
    json_object_set_new(root, "refused",
                        json_pack("{s:s,s:I,s:o}", "code", refusal_name(models->refused.code),
                                  "at_ms", (json_int_t)models->refused.at_ms, "text",
                                  owm_json_text(text)));
    return root;
}

char *page_health_json(struct node *node, bool *healthy)
{
    struct node_view view;
    struct page_health health;
    struct owm_task_totals t = {0};
    node_look(node, &view);
    *healthy = page_health(node, &view, &health) == 0;
    if (owm_task_log_totals(node->log, &t) != OWM_OK) {
        add(&health, "the task log cannot be read");
        *healthy = false;
    }
    json_t *reasons = json_array(), *warnings = json_array();
    for (size_t i = 0; i < health.count; i++)
        json_array_append_new(reasons, owm_json_text(health.reason[i]));
    for (size_t i = 0; i < health.warning_count; i++)
        json_array_append_new(warnings, owm_json_text(health.warning[i]));
    static const char *const links[] = {"connecting", "registered", "refused"};
    json_t *root = json_pack(
        "{s:s,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:s,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}",
        "status", *healthy ? "ok" : "unhealthy", "reasons", reasons, "warnings", warnings, "stake",
        stake_json(&view.stake), "link", links[view.link], "node_id", owm_json_text(view.node_id),
        "node_status", owm_json_text(view.status), "network", owm_json_text(view.network),
        "stake_policy", owm_json_text(view.stake_policy), "tier", owm_tier_code(node->tier.tier),
        "tier_overridden", node->tier.overridden, "device", owm_json_text(node->machine.device),
        "heartbeat_ms", (json_int_t)view.heartbeat_ms, "owed_msat", (json_int_t)t.owed_msat,
        "settled_msat", (json_int_t)t.settled_msat, "round", (json_int_t)view.round,
        "results_unsent", (json_int_t)t.unsent, "running", slots_json(node), "mining",
        node_mining_json(atomic_load(&node->mining)), "models", models_json(&view.models));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return text;
}

/* ------------------------------------------------------------------------------- routes */

/** guarded: answers 403 itself when the name is a stranger's. */
static bool guarded(const struct owm_http_request *request, owm_http_response *response)
{
    owm_http_reply_header(response, "Cache-Control:", "no-store");
    owm_http_reply_header(response, "Content-Security-Policy:",
                          "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    if (page_host_allowed(request->host)) return true;
    owm_http_reply_text(response, 403, "text/plain; charset=utf-8",
                        "This page answers only under 127.0.0.1 or localhost.\n");
    return false;
}

static void reply(owm_http_response *response, unsigned status, const char *type, char *text)
{
    if (text) owm_http_reply_text(response, status, type, text);
    free(text);
}

static void on_page(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    if (!guarded(request, response)) return;
    if (strcmp(request->path, "/") != 0)
        owm_http_reply_text(response, 404, "text/plain; charset=utf-8",
                            "There are /, /health and /metrics.\n");
    else
        reply(response, 200, "text/html; charset=utf-8", page_html(ctx));
}

static void on_health(void *ctx, const struct owm_http_request *request,
                      owm_http_response *response)
{
    if (!guarded(request, response)) return;
    bool healthy = false;
    char *text = page_health_json(ctx, &healthy);
    reply(response, healthy ? 200 : 503, "application/json", text);
}

static void on_metrics(void *ctx, const struct owm_http_request *request,
                       owm_http_response *response)
{
    const struct node *node = ctx;
    char *text = NULL;
    if (!guarded(request, response)) return;
    if (owm_metrics_text(node->metrics, &text, NULL) == OWM_OK)
        reply(response, 200, OWM_METRICS_CONTENT_TYPE, text);
}

#define ROUTES 3

owm_status page_serve(struct node *node, owm_http_server **server, struct owm_error *error)
{
    /* Borrowed by the server until it closes, so they live with the node's process. */
    static struct owm_http_route routes[ROUTES];
    routes[0] = (struct owm_http_route){"GET", "/health", on_health, node};
    routes[1] = (struct owm_http_route){"GET", "/metrics", on_metrics, node};
    routes[2] = (struct owm_http_route){"GET", "/", on_page, node};
    const struct owm_http_server_options options = {
        .port = (uint16_t)node->config.http_port,
        .port_key = "node.http_port",
        .routes = routes,
        .route_count = ROUTES,
        .connections_max = 32,
    };
    return owm_http_server_open(&options, server, error);
}
