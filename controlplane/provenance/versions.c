/* versions.c: see versions.h. What is asked is judged on the HTTP server's thread, and answered on
 * another one, from the database and the proof's file. */
#include "versions.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "controlplane/provenance/provenance.h"
#include "controlplane/rpc/answers.h"
#include "dataplane/ots/proof.h"
#include "versions_internal.h"

#define LIST_PATH     "/v1/model/versions"
#define PAGE_PATH     "/models"
#define LIMIT_DEFAULT 100
#define ID_BYTES      80

enum kind { LIST, PAGE, ONE, PROOF, MANIFEST };

/** What is asked, after it was judged. */
struct question {
    enum kind kind;
    int64_t before, limit;
    char id[ID_BYTES];
};

struct owm_versions {
    const char *url, *policy;
    const struct owm_blob_store *store;
    struct owm_answers *answers;
    struct owm_pg *pg; /* of the thread that answers */
};

/* ---------------------------------------------------------------------------- answers */

static const char *title_of(unsigned status)
{
    return status == 400 ? "Bad Request" : status == 404 ? "Not Found" : "Service Unavailable";
}

/* RFC 7807; malloc'ed. */
static char *problem(unsigned status, const char *detail)
{
    json_t *value =
        json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title", title_of(status),
                  "status", (int)status, "detail", owm_json_text(detail));
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    return text;
}

#define PROBLEM_TYPE "application/problem+json"

static void fail(owm_http_response *response, unsigned status, const char *reason)
{
    char *text = problem(status, reason);
    owm_http_reply_text(response, status, PROBLEM_TYPE, text ? text : "{}");
    owm_http_reply_header(response, "Cache-Control:", "no-store");
    free(text);
}

/* Takes text. */
static void answer_text(struct owm_answer *answer, unsigned status, const char *type, char *text)
{
    answer->status = status;
    answer->content_type = type;
    answer->body = text;
    answer->bytes = text ? strlen(text) : 0;
}

static void answer_problem(struct owm_answer *answer, unsigned status, const char *detail)
{
    answer_text(answer, status, PROBLEM_TYPE, problem(status, detail));
}

/* Takes value. */
static void answer_json(struct owm_answer *answer, json_t *value)
{
    answer_text(answer, 200, "application/json", value ? json_dumps(value, JSON_COMPACT) : NULL);
    json_decref(value);
}

static json_t *known(int64_t number)
{
    return number ? json_integer(number) : json_null();
}

static json_t *link_to(const struct version *version, const char *what)
{
    return json_sprintf(LIST_PATH "/%s/%s", version->id, what);
}

/* SRS-OTS-07. */
static json_t *version_json(const struct version *v)
{
    return json_pack(
        "{s:s, s:I, s:o, s:s, s:I, s:o, s:b, s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "version_id", v->id, "round", (json_int_t)v->round, "created_ms", known(v->created_ms),
        "model_hash", v->hex, "model_bytes", (json_int_t)v->bytes, "heldout_bits_per_byte",
        isfinite(v->heldout) ? json_real(v->heldout) : json_null(), "current", v->current,
        "ots_status", v->status, "ots_calendars", (json_int_t)v->calendars, "ots_proof_path",
        v->proof_path, "ots_stamped_ms", known(v->stamped_ms), "ots_confirmed_ms",
        known(v->confirmed_ms), "btc_block", known(v->btc_block), "btc_time_ms",
        known(v->btc_time_ms), "note", owm_json_text(v->note), "proof", link_to(v, "ots"),
        "manifest", link_to(v, "manifest"));
}

static void answer_list(const struct question *question, const struct owm_pg_rows *rows,
                        struct owm_answer *answer)
{
    json_t *list = json_array();
    struct version version = {0};
    size_t count = owm_pg_rows_count(rows);
    for (size_t i = 0; i < count; i++) {
        version_of(rows, i, &version);
        if (json_array_append_new(list, version_json(&version)) != 0) {
            json_decref(list);
            return;
        }
    }
    bool more = (int64_t)count == question->limit && version.round > 0;
    answer_json(answer, json_pack("{s:o, s:o}", "versions", list, "next",
                                  more ? json_integer(version.round) : json_null()));
}

static void answer_page(const struct owm_versions *versions, const struct owm_pg_rows *rows,
                        struct owm_answer *answer)
{
    answer_text(answer, 200, "text/html; charset=utf-8",
                versions_page(rows, versions->policy, owm_clock_wall_ms()));
    answer->header_name = "Content-Security-Policy:";
    snprintf(answer->header_value, sizeof(answer->header_value),
             "default-src 'none'; style-src 'unsafe-inline'");
}

static void answer_proof(const struct owm_versions *versions, const struct version *version,
                         struct owm_answer *answer)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error error = {""};
    owm_status status = owm_provenance_path(versions->store, version->hash, path, sizeof(path));
    if (status == OWM_OK) status = owm_fs_read(path, OWM_OTS_FILE_BYTES_MAX, &data, &bytes, &error);
    if (status == OWM_E_NOTFOUND) {
        answer_problem(answer, 404, "no calendar has promised anything for this version so far");
    } else if (status != OWM_OK) {
        owm_log(OWM_LOG_WARN, "proof_unreadable version=%s reason=\"%s\"", version->id, error.text);
        answer_problem(answer, 503, "the proof cannot be read now");
    } else {
        *answer = (struct owm_answer){200,   "application/octet-stream", data,
                                      bytes, "Content-Disposition:",     ""};
        snprintf(answer->header_value, sizeof(answer->header_value),
                 "attachment; filename=\"%.80s.ots\"", version->id);
    }
}

static void answer_one(const struct owm_versions *versions, const struct question *question,
                       const struct owm_pg_rows *rows, struct owm_answer *answer)
{
    struct version version;
    if (owm_pg_rows_count(rows) == 0) {
        answer_problem(answer, 404, "there is no such version");
        return;
    }
    version_of(rows, 0, &version);
    if (question->kind == ONE)
        answer_json(answer, version_json(&version));
    else if (question->kind == PROOF)
        answer_proof(versions, &version, answer);
    else if (version.manifest[0])
        answer_text(answer, 200, "application/json", strdup(version.manifest));
    else
        answer_problem(answer, 404, "this version has no manifest");
}

static owm_status connect(struct owm_versions *versions, struct owm_error *error)
{
    return versions->pg ? owm_pg_reopen(versions->pg, error)
                        : owm_pg_open(versions->url, &versions->pg, error);
}

/* A connection that was lost since the last question is noticed by the next one. */
static owm_status ask_database(struct owm_versions *versions, const struct question *question,
                               struct owm_pg_rows **rows, struct owm_error *error)
{
    uint8_t hash[32];
    struct version_query query = {.before = question->before, .limit = question->limit};
    if (question->id[0]) query.id = question->id;
    if (strlen(question->id) == 64 && owm_hex_decode(question->id, hash, 32) == OWM_OK)
        query.hash = hash;
    owm_status status = OWM_E_NET;
    if (versions->pg && owm_pg_alive(versions->pg))
        status = versions_read(versions->pg, &query, rows, error);
    if (status != OWM_E_NET) return status;
    status = connect(versions, error);
    return status == OWM_OK ? versions_read(versions->pg, &query, rows, error) : status;
}

static void find(void *ctx, const void *asked, struct owm_answer *answer)
{
    struct owm_versions *versions = ctx;
    const struct question *question = asked;
    struct owm_pg_rows *rows = NULL;
    struct owm_error error = {""};
    if (ask_database(versions, question, &rows, &error) != OWM_OK) {
        owm_log(OWM_LOG_WARN, "model_versions_failed reason=\"%s\"", error.text);
        answer_problem(answer, 503, "the database does not answer");
        return;
    }
    if (question->kind == LIST)
        answer_list(question, rows, answer);
    else if (question->kind == PAGE)
        answer_page(versions, rows, answer);
    else
        answer_one(versions, question, rows, answer);
    owm_pg_rows_free(rows);
}

/* ---------------------------------------------------------------------------- questions */

static bool read_number(const char *text, int64_t low, int64_t high, int64_t *number)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 10 || text[digits]) return false;
    *number = strtoll(text, NULL, 10);
    return *number >= low && *number <= high;
}

/* One "name=value"; NULL: taken; else what is wrong. */
static const char *read_field(char *field, struct question *question)
{
    char *value = strchr(field, '=');
    if (!value) return "a parameter has no value";
    *value++ = 0;
    if (strcmp(field, "before") == 0)
        return read_number(value, 0, UINT32_MAX, &question->before) ? NULL
                                                                    : "before is not a round";
    if (question->kind == LIST && strcmp(field, "limit") == 0)
        return read_number(value, 1, OWM_VERSIONS_LIMIT_MAX, &question->limit)
                   ? NULL
                   : "limit is not a number from 1 to 500";
    return question->kind == LIST ? "parameters are before and limit" : "the parameter is before";
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

static bool read_path(const char *path, struct question *question)
{
    const char *id = path + strlen(LIST_PATH "/");
    size_t length = strcspn(id, "/");
    const char *what = id + length;
    if (length == 0 || length >= ID_BYTES) return false;
    memcpy(question->id, id, length);
    if (!*what) return true;
    question->kind = strcmp(what, "/ots") == 0 ? PROOF : MANIFEST;
    return question->kind == PROOF || strcmp(what, "/manifest") == 0;
}

static void serve(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    struct owm_versions *versions = ctx;
    struct question question;
    memset(&question, 0, sizeof(question));
    question.before = -1;
    question.limit = 1;
    if (strncmp(request->path, LIST_PATH "/", strlen(LIST_PATH "/")) == 0) {
        question.kind = ONE;
        if (!read_path(request->path, &question)) {
            fail(response, 404, "the path is " LIST_PATH "/ID, …/ID/ots or …/ID/manifest");
            return;
        }
    } else {
        bool page = strcmp(request->path, PAGE_PATH) == 0;
        question.kind = page ? PAGE : LIST;
        question.limit = page ? VERSIONS_ON_PAGE : LIMIT_DEFAULT;
        const char *wrong = read_query(request->query, &question);
        if (wrong) {
            fail(response, 400, wrong);
            return;
        }
    }
    owm_answers_serve(versions->answers, &question, response);
}

owm_status owm_versions_open(const char *database_url, const char *policy,
                             const struct owm_blob_store *store, struct owm_versions **out)
{
    struct owm_versions *versions = calloc(1, sizeof(*versions));
    if (!versions) return OWM_E_NOMEM;
    versions->url = database_url;
    versions->policy = policy;
    versions->store = store;
    const struct owm_answers_options options = {
        .question_bytes = sizeof(struct question), .find = find, .fail = fail, .ctx = versions};
    owm_status status = owm_answers_open(&options, &versions->answers);
    if (status != OWM_OK) {
        free(versions);
        return status;
    }
    *out = versions;
    return OWM_OK;
}

void owm_versions_routes(struct owm_versions *versions,
                         struct owm_http_route routes[static OWM_VERSIONS_ROUTES])
{
    static const char *const paths[OWM_VERSIONS_ROUTES] = {LIST_PATH, LIST_PATH "/", PAGE_PATH};
    for (size_t i = 0; i < OWM_VERSIONS_ROUTES; i++)
        routes[i] = (struct owm_http_route){"GET", paths[i], serve, versions};
}

void owm_versions_close(struct owm_versions *versions)
{
    if (!versions) return;
    owm_answers_close(versions->answers);
    owm_pg_close(versions->pg);
    free(versions);
}
