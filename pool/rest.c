/* rest.c: questions of programs, and their answers. */
#include "rest.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "rest_json.h"
#include "rest_query.h"

#define NODE_PATH "/v1/mining/nodes/"

/* ---------------------------------------------------------------------------- answers */

static void reply_json(owm_http_response *response, unsigned status, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text) return; /* No answer is a 500. */
    owm_http_reply_text(response, status, "application/json", text);
    owm_http_reply_header(response, "Cache-Control:", "no-store");
    owm_http_reply_header(response, "Access-Control-Allow-Origin:", "*");
    free(text);
}

static void reply_error(owm_http_response *response, unsigned status, const char *reason)
{
    reply_json(response, status,
               json_pack("{s:{s:i, s:s%}}", "error", "status", (int)status, "reason", reason,
                         strlen(reason)));
}

/* ---------------------------------------------------------------------------- stats */

static json_t *health(const struct owm_report *report)
{
    struct owm_report_reason reasons[OWM_REPORT_REASONS_MAX];
    size_t count = owm_report_reasons(report, reasons);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, owm_json_text(reasons[i].text));
    return json_pack("{s:b, s:o}", "ok", count == 0, "reasons", list);
}

void owm_rest_stats(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    struct owm_report *report = ctx;
    if (request->query[0]) {
        reply_error(response, 400, "this takes no parameter");
        return;
    }
    struct owm_report_now now = owm_report_lock(report);
    json_t *value = json_pack(
        "{s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "network", now.network, "time_ms",
        (json_int_t)owm_clock_wall_ms(), "live", owm_json_live(&now), "ledger",
        owm_json_ledger(now.ledger), "price", owm_json_price(&now), "blocks",
        owm_json_blocks(now.ledger->blocks, now.ledger->block_count), "health", health(report));
    owm_report_unlock(report);
    reply_json(response, 200, value);
}

/* ---------------------------------------------------------------------------- one miner */

static void reply_view(struct owm_report *report, const struct owm_report_view *view,
                       owm_http_response *response)
{
    struct owm_report_now now = owm_report_lock(report);
    json_t *value = owm_json_view(view, &now);
    owm_report_unlock(report);
    reply_json(response, 200, value);
}

static void ask(struct owm_report *report, const struct owm_miner *miner,
                owm_http_response *response)
{
    struct owm_report_view *view = NULL;
    switch (owm_report_ask(report, miner, &view)) {
    case OWM_OK:
        reply_view(report, view, response);
        break;
    case OWM_E_TIMEOUT:
        owm_http_retry(response, OWM_REPORT_ASK_AGAIN_MS);
        break;
    case OWM_E_NOTFOUND:
        reply_error(response, 404, "no miner of this name or key has had a share accepted here");
        break;
    case OWM_E_LIMIT:
        reply_error(response, 503, "too many ask at once; try again in a second");
        break;
    default:
        reply_error(response, 503,
                    "this miner is not connected, and the database does not answer now");
    }
    free(view);
}

void owm_rest_node(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    struct owm_error error = {""};
    struct owm_miner miner;
    char query[OWM_HTTP_QUERY_BYTES_MAX];
    snprintf(query, sizeof query, "%s", request->query);
    if (owm_query_node(request->path + strlen(NODE_PATH), query, &miner, &error) != OWM_OK)
        reply_error(response, 400, error.text);
    else
        ask(ctx, &miner, response);
}

/* ---------------------------------------------------------------------------- payouts */

/** The first line behind the one named; false: it is not there. */
static bool find_line(const struct owm_report_ledger *ledger, const char *before, size_t *from)
{
    for (*from = 0; before[0] && *from < ledger->payout_count; ++*from)
        if (strcmp(ledger->payouts[*from].payment_id, before) == 0) {
            ++*from;
            return true;
        }
    return before[0] == '\0';
}

static json_t *payouts_page(const struct owm_report_ledger *ledger, size_t from, size_t limit)
{
    size_t count = ledger->payout_count - from < limit ? ledger->payout_count - from : limit;
    bool more = from + count < ledger->payout_count;
    return json_pack("{s:I, s:o, s:s?}", "age_ms",
                     (json_int_t)(owm_clock_wall_ms() - ledger->taken_ms), "payouts",
                     owm_json_payouts(&ledger->payouts[from], count), "next",
                     more ? ledger->payouts[from + count - 1].payment_id : NULL);
}

void owm_rest_payouts(void *ctx, const struct owm_http_request *request,
                      owm_http_response *response)
{
    struct owm_report *report = ctx;
    struct owm_error error = {""};
    struct owm_query_page page;
    char query[OWM_HTTP_QUERY_BYTES_MAX];
    snprintf(query, sizeof query, "%s", request->query);
    if (owm_query_payouts(query, &page, &error) != OWM_OK) {
        reply_error(response, 400, error.text);
        return;
    }
    size_t from = 0;
    struct owm_report_now now = owm_report_lock(report);
    bool read = now.ledger->taken_ms != 0, found = find_line(now.ledger, page.before, &from);
    json_t *value = read && found ? payouts_page(now.ledger, from, page.limit) : NULL;
    owm_report_unlock(report);
    if (!read)
        reply_error(response, 503, "the database has not answered yet");
    else if (!found)
        reply_error(response, 404, "'before' names none of the newest payments");
    else
        reply_json(response, 200, value);
}

/* ---------------------------------------------------------------------------- others */

void owm_rest_dashboard(void *ctx, const struct owm_http_request *request,
                        owm_http_response *response)
{
    (void)ctx;
    (void)request;
    reply_error(response, 426, "this is a WebSocket: connect with ws:// or wss://");
    owm_http_reply_header(response, "Upgrade:", "websocket");
}

void owm_rest_unknown(void *ctx, const struct owm_http_request *request,
                      owm_http_response *response)
{
    (void)ctx;
    (void)request;
    reply_error(response, 404,
                "there are /v1/mining/stats, /v1/mining/nodes/{node_id}, /v1/mining/payouts and "
                "the WebSocket /v1/mining/dashboard");
}
