/* history.c: see history.h. PostgreSQL writes the JSON. */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/pg/pg.h"
#include "base/uuid.h"
#include "controlplane/rpc/answers.h"

#define LIMIT_DEFAULT 100

#define NODES_PATH    "/v1/nodes/"
#define EARNINGS_PATH "/earnings"

#define SATS(msat) "((" msat ") / 1000)::text || '.' || lpad(((" msat ") % 1000)::text, 3, '0')"
#define MS(time)   "(extract(epoch FROM " time ") * 1000)::bigint"

enum kind { HISTORY, SUMMARY, EARNINGS };

/** What is asked, after it was judged. */
struct question {
    enum kind kind;
    uint8_t node[16], before[16]; /* zero: none */
    char state[16];
    int64_t limit;
};

struct owm_history {
    const char *url, *owed_note;
    struct owm_answers *answers;
    struct owm_pg *pg; /* of the thread that answers */
};

/* ---------------------------------------------------------------------------- the database */

static const char *const sql[] = {
    [HISTORY] =
        "WITH page AS (SELECT * FROM payments p WHERE ($1::uuid IS NULL OR p.node_id = $1)"
        " AND ($2::text = '' OR p.state = $2) AND ($3::uuid IS NULL OR (p.created_at, p.payment_id)"
        " < (SELECT created_at, payment_id FROM payments WHERE payment_id = $3))"
        " ORDER BY p.created_at DESC, p.payment_id DESC LIMIT $4::bigint),"
        " lines AS (SELECT p.*, a.kind, a.payment_hash AS tried, a.fee_msat FROM page p"
        " LEFT JOIN payment_attempts a ON a.payment_id = p.payment_id AND a.number = p.attempts"
        " AND a.state <> 'failed')"
        " SELECT json_build_object('payments', coalesce(json_agg(json_build_object("
        "'payment_id', payment_id, 'task_id', source_id, 'node_id', node_id, 'purpose', purpose,"
        " 'round', round_number, 'state', state, 'reason', CASE WHEN reason = '' AND state = 'owed'"
        " AND attempts = 0 THEN $5::text ELSE reason END, 'amount_msat', amount_msat,"
        " 'amount_sats', " SATS(
            "amount_msat") ", 'settled_msat', settled_msat, 'fee_msat', fee_msat,"
                           " 'attempts', attempts, 'kind', kind, 'payment_hash',"
                           " encode(coalesce(settled_hash, tried, payment_hash), 'hex'), "
                           "'preimage',"
                           " encode(preimage, 'hex'), 'created_ms', " MS(
                               "created_at") ", 'updated_ms', " MS("updated_at") ") ORDER BY "
                                                                                 "created_at DESC, "
                                                                                 "payment_id "
                                                                                 "DESC), "
                                                                                 "'[]'::json),"
                                                                                 " 'next', CASE "
                                                                                 "WHEN count(*) = "
                                                                                 "$4::bigint THEN"
                                                                                 " (array_agg("
                                                                                 "payment_id ORDER "
                                                                                 "BY created_at, "
                                                                                 "payment_id))[1] "
                                                                                 "END)::text, true "
                                                                                 "FROM lines",
    [SUMMARY] =
        "SELECT json_build_object('states', coalesce(json_object_agg(state, json_build_object("
        "'count', n, 'amount_msat', msat, 'amount_sats', " SATS(
            "msat") ")), '{}'::json), 'fees_msat',"
                    " (SELECT coalesce(sum(fee_msat), 0)::bigint FROM payment_attempts), "
                    "'oldest_owed_ms',"
                    " (SELECT " MS(
                        "min(created_at)") " FROM payments WHERE state = 'owed'))::text, true FROM"
                                           " (SELECT state, count(*) AS n, "
                                           "sum(amount_msat)::bigint AS msat FROM payments GROUP "
                                           "BY state)"
                                           " s",
    [EARNINGS] =
        "WITH mine AS (SELECT state, amount_msat, settled_msat, created_at FROM payments"
        " WHERE node_id = $1::uuid), states AS (SELECT state, count(*) AS n,"
        " sum(amount_msat)::bigint AS msat FROM mine GROUP BY state), days AS"
        " (SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n,"
        " sum(amount_msat)::bigint AS msat, sum(settled_msat)::bigint AS settled FROM mine"
        " GROUP BY 1 ORDER BY 1 DESC LIMIT 366)"
        " SELECT json_build_object('node_id', $1::uuid, 'states',"
        " (SELECT coalesce(json_object_agg(state, json_build_object('count', n, 'amount_msat', "
        "msat,"
        " 'amount_sats', " SATS(
            "msat") ")), '{}'::json) FROM states), 'days',"
                    " (SELECT coalesce(json_agg(json_build_object('day', day, 'count', n, "
                    "'earned_msat', msat,"
                    " 'earned_sats', " SATS("msat") ", 'settled_msat', settled, "
                                                    "'settled_sats', " SATS(
                                                        "settled") ") ORDER BY day DESC), "
                                                                   "'[]'::json) FROM days))::text,"
                                                                   " EXISTS (SELECT 1 FROM nodes "
                                                                   "WHERE node_id = $1::uuid)",
};

static owm_status connect(struct owm_history *history, struct owm_error *error)
{
    return history->pg ? owm_pg_reopen(history->pg, error)
                       : owm_pg_open(history->url, &history->pg, error);
}

/* A connection that was lost since the last question is noticed by the next one. */
static owm_status ask_database(struct owm_history *history, const struct question *question,
                               struct owm_pg_rows **rows, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    if (question->kind != SUMMARY) owm_pg_uuid(&args, question->node);
    if (question->kind == HISTORY) {
        owm_pg_text(&args, question->state);
        owm_pg_uuid(&args, question->before);
        owm_pg_i64(&args, question->limit);
        owm_pg_text(&args, history->owed_note);
    }
    const char *text = sql[question->kind];
    owm_status status = OWM_E_NET;
    if (history->pg && owm_pg_alive(history->pg))
        status = owm_pg_query(history->pg, text, &args, rows, error);
    if (status != OWM_E_NET) return status;
    status = connect(history, error);
    return status == OWM_OK ? owm_pg_query(history->pg, text, &args, rows, error) : status;
}

static void find(void *ctx, const void *asked, struct owm_answer *answer)
{
    struct owm_history *history = ctx;
    struct owm_pg_rows *rows = NULL;
    struct owm_error error = {""};
    answer->content_type = "application/json";
    if (ask_database(history, asked, &rows, &error) == OWM_OK) {
        bool known = owm_pg_get_bool(rows, 0, 1);
        answer->status = known ? 200 : 404;
        answer->body =
            strdup(known ? owm_pg_get_text(rows, 0, 0)
                         : "{\"error\":{\"status\":404,\"reason\":\"there is no such node\"}}");
        owm_pg_rows_free(rows);
    } else {
        owm_log(OWM_LOG_WARN, "payments_history_failed reason=\"%s\"", error.text);
        answer->status = 503;
        answer->body =
            strdup("{\"error\":{\"status\":503,\"reason\":\"the database does not answer\"}}");
    }
    answer->bytes = answer->body ? strlen(answer->body) : 0;
}

/* ---------------------------------------------------------------------------- the question */

static void fail(owm_http_response *response, unsigned status, const char *reason)
{
    char text[256];
    snprintf(text, sizeof(text), "{\"error\":{\"status\":%u,\"reason\":\"%s\"}}", status, reason);
    owm_http_reply_text(response, status, "application/json", text);
}

static bool read_state(const char *text, char state[16])
{
    static const char *const states[] = {"owed", "in_flight", "settled", "failed", "cancelled"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(text, states[i]) != 0) continue;
        snprintf(state, 16, "%s", text);
        return true;
    }
    return false;
}

static bool read_limit(const char *text, int64_t *limit)
{
    char *end;
    *limit = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *limit > 0 && *limit <= OWM_HISTORY_LIMIT_MAX;
}

/* One "name=value"; NULL: taken; else what is wrong. */
static const char *read_field(char *field, struct question *question)
{
    char *value = strchr(field, '=');
    if (!value) return "a parameter has no value";
    *value++ = 0;
    if (strcmp(field, "node") == 0)
        return owm_uuid_parse(value, question->node) == OWM_OK ? NULL : "node is not an id";
    if (strcmp(field, "before") == 0)
        return owm_uuid_parse(value, question->before) == OWM_OK ? NULL : "before is not an id";
    if (strcmp(field, "state") == 0)
        return read_state(value, question->state)
                   ? NULL
                   : "state is none of owed, in_flight, settled, failed, cancelled";
    if (strcmp(field, "limit") == 0)
        return read_limit(value, &question->limit) ? NULL : "limit is not a number from 1 to 500";
    return "parameters are node, state, before and limit";
}

static const char *read_query(const char *query, struct question *question)
{
    char copy[OWM_HTTP_QUERY_BYTES_MAX], *rest = copy, *field;
    snprintf(copy, sizeof(copy), "%s", query);
    while ((field = strsep(&rest, "&"))) {
        const char *wrong = *field ? read_field(field, question) : NULL;
        if (wrong) return wrong;
    }
    return NULL;
}

static bool read_earnings_path(const char *path, uint8_t node[16])
{
    char id[OWM_UUID_TEXT_BYTES];
    size_t prefix = strlen(NODES_PATH), length = strlen(path);
    if (length != prefix + OWM_UUID_TEXT_BYTES - 1 + strlen(EARNINGS_PATH)) return false;
    if (strcmp(path + length - strlen(EARNINGS_PATH), EARNINGS_PATH) != 0) return false;
    snprintf(id, sizeof(id), "%s", path + prefix);
    return owm_uuid_parse(id, node) == OWM_OK;
}

/* false: it was answered with what is wrong. */
static bool read_question(const struct owm_http_request *request, owm_http_response *response,
                          struct question *question)
{
    memset(question, 0, sizeof(*question));
    question->limit = LIMIT_DEFAULT;
    if (strncmp(request->path, NODES_PATH, strlen(NODES_PATH)) == 0) {
        question->kind = EARNINGS;
        if (read_earnings_path(request->path, question->node)) return true;
        fail(response, 404, "the path is /v1/nodes/ID/earnings");
        return false;
    }
    question->kind = strcmp(request->path, "/v1/payments/summary") == 0 ? SUMMARY : HISTORY;
    if (question->kind == SUMMARY) return true;
    const char *wrong = read_query(request->query, question);
    if (wrong) fail(response, 400, wrong);
    return !wrong;
}

void owm_history_serve(void *ctx, const struct owm_http_request *request,
                       owm_http_response *response)
{
    struct owm_history *history = ctx;
    struct question question;
    if (read_question(request, response, &question))
        owm_answers_serve(history->answers, &question, response);
}

owm_status owm_history_open(const char *database_url, const char *owed_note,
                            struct owm_history **out)
{
    struct owm_history *history = calloc(1, sizeof(*history));
    if (!history) return OWM_E_NOMEM;
    history->url = database_url;
    history->owed_note = owed_note;
    const struct owm_answers_options options = {
        .question_bytes = sizeof(struct question), .find = find, .fail = fail, .ctx = history};
    owm_status status = owm_answers_open(&options, &history->answers);
    if (status != OWM_OK) {
        free(history);
        return status;
    }
    *out = history;
    return OWM_OK;
}

void owm_history_close(struct owm_history *history)
{
    if (!history) return;
    owm_answers_close(history->answers);
    owm_pg_close(history->pg);
    free(history);
}
