/* calendar.c: the list, one thread for each submission, one request after another for upgrades. */
#include "calendar.h"

#include <ctype.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/http_client.h"

#define ACCEPT            "Accept: application/vnd.opentimestamps.v1"
#define AGENT             "User-Agent: owm-ots"
#define SAID_MAX          160
#define HOST_MAX          255
#define URL_MAX           (OWM_OTS_URI_BYTES_MAX + 12 + 2 * OWM_OTS_MESSAGE_BYTES_MAX)
#define MESSAGE_MAX       64  /* What a calendar takes and looks up. */
#define PROMISE_ITEMS_MAX 200 /* Of one promise; 16 of them are far from filling a proof. */

const char *const owm_ots_aggregators[] = {
    "https://a.pool.opentimestamps.org",
    "https://b.pool.opentimestamps.org",
    "https://a.pool.eternitywall.com",
    "https://ots.btc.catallaxy.com",
};
const size_t owm_ots_aggregator_count = sizeof owm_ots_aggregators / sizeof owm_ots_aggregators[0];

/* Hosts behind https://, with nothing behind them: the reference client's list. */
static const char *const hosts[] = {
    "*.calendar.opentimestamps.org",
    "*.calendar.eternitywall.com",
    "*.calendar.catallaxy.com",
};

static size_t without_slashes(const char *url, size_t bytes)
{
    while (bytes > 0 && url[bytes - 1] == '/') bytes--;
    return bytes;
}

bool owm_ots_calendar_same(struct owm_ots_bytes a, struct owm_ots_bytes b)
{
    a.bytes = (uint32_t)without_slashes((const char *)a.data, a.bytes);
    b.bytes = (uint32_t)without_slashes((const char *)b.data, b.bytes);
    if (a.bytes != b.bytes) return false;
    return a.bytes == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.bytes) == 0;
}

static bool is_own(const struct owm_ots_calendars *calendars, struct owm_ots_bytes uri)
{
    size_t bytes = without_slashes((const char *)uri.data, uri.bytes);
    for (size_t i = 0; i < calendars->own_count; i++) {
        const char *own = calendars->own[i];
        if (bytes > 0 && without_slashes(own, strlen(own)) == bytes
            && memcmp(own, uri.data, bytes) == 0)
            return true;
    }
    return false;
}

static bool is_known(struct owm_ots_bytes uri)
{
    static const char scheme[] = "https://";
    char host[HOST_MAX + 1];
    size_t skip = sizeof scheme - 1;
    if (uri.bytes <= skip || uri.bytes - skip > HOST_MAX) return false;
    if (memcmp(uri.data, scheme, skip) != 0) return false;
    snprintf(host, sizeof host, "%.*s", (int)(uri.bytes - skip), (const char *)uri.data + skip);
    if (strpbrk(host, "/:")) return false; /* A path or a port that the list does not have. */
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (fnmatch(hosts[i], host, FNM_CASEFOLD) == 0) return true;
    return false;
}

bool owm_ots_calendar_listed(const struct owm_ots_calendars *calendars, struct owm_ots_bytes uri,
                             bool *own)
{
    bool mine = is_own(calendars, uri);
    if (own) *own = mine;
    return mine || is_known(uri);
}

/* --- one exchange ----------------------------------------------------------------------------- */

/* A calendar's words, without what could drive a terminal or fake a line. */
static void sanitise(const struct owm_http_result *result, char said[static SAID_MAX + 1])
{
    size_t at = 0;
    for (size_t i = 0; i < result->body_bytes && at < SAID_MAX; i++) {
        int c = result->body[i];
        if (c < 0x80 && (isalnum(c) || (c && strchr("#-.,; ", c)))) said[at++] = (char)c;
    }
    said[at] = 0;
}

static owm_status explain(const char *url, const struct owm_http_result *result,
                          struct owm_error *error)
{
    char said[SAID_MAX + 1];
    sanitise(result, said);
    if (result->status == 404) return owm_fail(error, OWM_E_AGAIN, "%.300s: %s", url, said);
    if (result->status >= 300 && result->status < 400)
        return owm_fail(error, OWM_E_NET, "%.300s points elsewhere, which is not followed", url);
    return owm_fail(error, OWM_E_NET, "%.300s answers HTTP %u: %s", url, result->status, said);
}

static bool promises(const struct owm_ots_tree *tree)
{
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        if (tree->attestations[i].kind == OWM_OTS_PENDING
            || tree->attestations[i].kind == OWM_OTS_BITCOIN)
            return true;
    return false;
}

static owm_status read_answer(const char *url, const struct owm_http_result *result,
                              struct owm_ots_bytes message, struct owm_ots_tree *answer,
                              struct owm_error *error)
{
    if (result->status != 200) return explain(url, result, error);
    struct owm_error why = {.text = ""};
    owm_status status = owm_ots_tree_init(answer, message, error);
    if (status != OWM_OK) return status;
    const struct owm_ots_bytes data = {result->body, (uint32_t)result->body_bytes};
    status = owm_ots_parse(answer, data, &why);
    if (status == OWM_OK && !promises(answer))
        status = owm_fail(&why, OWM_E_PROTO, "it promises no block");
    if (status == OWM_OK) return OWM_OK;
    owm_ots_tree_deinit(answer);
    return owm_fail(error, status, "%.200s answers with no proof: %.250s", url, why.text);
}

/* One promise, as a calendar gives it, and nothing else: one that speaks for others, names blocks
 * that cannot exist yet, or fills the proof would spoil what the others promise. */
static owm_status check_promise(const char *url, const struct owm_ots_tree *answer,
                                struct owm_error *error)
{
    unsigned promised = 0, blocks = 0;
    for (uint32_t i = 0; i < answer->attestation_count; i++) {
        promised += answer->attestations[i].kind == OWM_OTS_PENDING;
        blocks += answer->attestations[i].kind == OWM_OTS_BITCOIN;
    }
    if (promised == 1 && blocks == 0
        && answer->node_count + answer->attestation_count <= PROMISE_ITEMS_MAX)
        return OWM_OK;
    return owm_fail(error, OWM_E_PROTO,
                    "%.200s answers with %u promises, %u blocks and %u operations; one promise was "
                    "expected",
                    url, promised, blocks, answer->node_count - 1);
}

/* body: NULL for a GET. answer: deinit after OWM_OK. */
static owm_status exchange(const struct owm_ots_calendars *calendars, struct owm_http_call *call,
                           struct owm_ots_bytes message, struct owm_ots_tree *answer,
                           struct owm_error *error)
{
    static const char *const headers[] = {ACCEPT, AGENT, NULL};
    struct owm_http_result result;
    call->headers = headers;
    call->ca_file = calendars->ca_file;
    call->deadline_ms =
        calendars->deadline_ms ? calendars->deadline_ms : OWM_OTS_CALENDAR_DEADLINE_MS;
    call->reply_bytes_max = OWM_OTS_REPLY_BYTES_MAX;
    owm_status status = owm_http_fetch(call, &result, error);
    if (status != OWM_OK) return status;
    status = read_answer(call->url, &result, message, answer, error);
    owm_http_result_deinit(&result);
    return status;
}

/* --- submission ------------------------------------------------------------------------------- */

struct posting {
    const struct owm_ots_calendars *calendars;
    struct owm_ots_bytes message;
    struct owm_ots_tree answer;
    struct owm_ots_told told;
    pthread_t thread;
    bool started;
};

static void *post(void *ctx)
{
    struct posting *posting = ctx;
    char url[OWM_OTS_URI_BYTES_MAX + 16];
    const char *base = posting->told.url;
    snprintf(url, sizeof url, "%.*s/digest", (int)without_slashes(base, strlen(base)), base);
    struct owm_http_call call = {
        .url = url,
        .body = posting->message.data,
        .body_bytes = posting->message.bytes,
        .public_only = !is_own(posting->calendars,
                               (struct owm_ots_bytes){
                                   (const uint8_t *)base,
                                   (uint32_t)strlen(base),
                               }),
    };
    posting->told.status = exchange(posting->calendars, &call, posting->message, &posting->answer,
                                    &posting->told.error);
    if (posting->told.status != OWM_OK) return NULL;
    posting->told.status = check_promise(url, &posting->answer, &posting->told.error);
    if (posting->told.status != OWM_OK) owm_ots_tree_deinit(&posting->answer);
    return NULL;
}

static void start(struct posting *posting, const struct owm_ots_calendars *calendars,
                  const char *url, struct owm_ots_bytes message)
{
    *posting = (struct posting){.calendars = calendars, .message = message};
    snprintf(posting->told.url, sizeof posting->told.url, "%s", url);
    posting->started = pthread_create(&posting->thread, NULL, post, posting) == 0;
    if (!posting->started)
        posting->told.status = owm_fail(&posting->told.error, OWM_E_NOMEM, "no thread to be had");
}

static owm_status gather(struct posting *posting, const struct owm_ots_leaf *at, size_t *answered,
                         struct owm_error *error)
{
    if (posting->started) (void)pthread_join(posting->thread, NULL);
    if (posting->told.status != OWM_OK) return OWM_OK;
    owm_status status = owm_ots_merge(at->tree, at->node, &posting->answer, NULL, error);
    owm_ots_tree_deinit(&posting->answer);
    if (status == OWM_OK) (*answered)++;
    return status;
}

static owm_status too_few(const struct posting *postings, size_t count, size_t answered,
                          size_t needed, struct owm_error *error)
{
    const char *why = "";
    for (size_t i = 0; i < count; i++)
        if (postings[i].told.status != OWM_OK) why = postings[i].told.error.text;
    return owm_fail(error, OWM_E_NET,
                    "%zu of %zu calendars answered and %zu must; the last: %.300s", answered, count,
                    needed, why);
}

owm_status owm_ots_submit(const struct owm_ots_calendars *calendars,
                          const struct owm_ots_submission *submission,
                          const struct owm_ots_leaf *at, struct owm_error *error)
{
    struct owm_ots_bytes message = at->tree->nodes[at->node].message;
    size_t count = submission->count, answered = 0;
    if (count == 0 || count > OWM_OTS_CALENDARS_MAX || submission->needed > count
        || message.bytes > MESSAGE_MAX)
        return owm_fail(error, OWM_E_ARG, "%zu calendars, %zu needed; 1 to %d are possible", count,
                        submission->needed, OWM_OTS_CALENDARS_MAX);
    struct posting *postings = calloc(count, sizeof *postings);
    if (!postings) return owm_fail(error, OWM_E_NOMEM, "no memory to ask calendars");
    for (size_t i = 0; i < count; i++) start(&postings[i], calendars, submission->urls[i], message);
    owm_status status = OWM_OK;
    for (size_t i = 0; i < count; i++) {
        owm_status merged = gather(&postings[i], at, &answered, error);
        if (status == OWM_OK) status = merged;
        if (submission->told) submission->told[i] = postings[i].told;
    }
    if (status == OWM_OK && answered < submission->needed)
        status = too_few(postings, count, answered, submission->needed, error);
    free(postings);
    return status;
}

/* --- upgrade ---------------------------------------------------------------------------------- */

static owm_status get(const struct owm_ots_calendars *calendars, const char *base, bool own,
                      struct owm_ots_bytes message, struct owm_ots_tree *answer,
                      struct owm_error *error)
{
    char hex[2 * MESSAGE_MAX + 1], url[URL_MAX];
    owm_hex_encode(message.data, message.bytes, hex);
    snprintf(url, sizeof url, "%.*s/timestamp/%s", (int)without_slashes(base, strlen(base)), base,
             hex);
    struct owm_http_call call = {.url = url, .public_only = !own};
    return exchange(calendars, &call, message, answer, error);
}

/* One promise. The answer must add something, or the calendar has nothing new to say. */
static owm_status ask(const struct owm_ots_calendars *calendars, struct owm_ots_tree *tree,
                      uint32_t promise, const struct owm_ots_check *check,
                      struct owm_ots_upgraded *upgraded)
{
    struct owm_ots_told *told = &upgraded->told[upgraded->asked++];
    const struct owm_ots_attestation pending = tree->attestations[promise];
    struct owm_ots_bytes message = tree->nodes[pending.node].message;
    struct owm_ots_tree answer;
    uint32_t added = 0;
    bool own;
    *told = (struct owm_ots_told){.status = OWM_OK};
    snprintf(told->url, sizeof told->url, "%.*s", (int)pending.detail.bytes,
             (const char *)pending.detail.data);
    if (!owm_ots_calendar_listed(calendars, pending.detail, &own))
        return owm_fail(&told->error, OWM_E_PERM,
                        "%.300s is no calendar of the list; name it with --calendar to ask it",
                        told->url);
    if (message.bytes > MESSAGE_MAX)
        return owm_fail(&told->error, OWM_E_PROTO, "a promise for %u bytes, which nobody gives",
                        message.bytes);
    owm_status status = get(calendars, told->url, own, message, &answer, &told->error);
    if (status != OWM_OK) return status;
    if (check) status = check->check(check->ctx, &answer, &told->error);
    if (status == OWM_OK) status = owm_ots_merge(tree, pending.node, &answer, &added, &told->error);
    upgraded->added += added;
    owm_ots_tree_deinit(&answer);
    if (status == OWM_OK && added == 0)
        status = owm_fail(&told->error, OWM_E_AGAIN, "%.300s has nothing new", told->url);
    return status;
}

owm_status owm_ots_upgrade(const struct owm_ots_calendars *calendars, struct owm_ots_tree *tree,
                           const struct owm_ots_check *check, struct owm_ots_upgraded *upgraded,
                           struct owm_error *error)
{
    upgraded->asked = 0;
    upgraded->added = 0;
    uint32_t count = tree->attestation_count; /* Promises that come with answers wait. */
    for (uint32_t i = 0; i < count && upgraded->asked < OWM_OTS_ASKED_MAX; i++) {
        if (tree->attestations[i].kind != OWM_OTS_PENDING) continue;
        struct owm_ots_told *told = &upgraded->told[upgraded->asked];
        told->status = ask(calendars, tree, i, check, upgraded);
        if (told->status == OWM_E_NOMEM)
            return owm_fail(error, OWM_E_NOMEM, "no memory to upgrade a proof");
    }
    return OWM_OK;
}
