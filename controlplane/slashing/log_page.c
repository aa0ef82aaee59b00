/* log_page.c: GET /v1/network/slashing-log. The HTTP thread asks and looks again a moment later;
 * the manager's thread reads the rows. A page that was made serves everyone for a second. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "controlplane/slashing/manager.h"

#define LIMIT_DEFAULT 50
#define FRESH_MS      1000
#define RETRY_MS      20

struct question {
    uint64_t after;
    size_t limit;
};

/* One number of a query such as "after=12&limit=50"; false where it is no number. */
static bool number_of(const char *query, const char *name, uint64_t *value)
{
    size_t length = strlen(name);
    for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&') {
        if (strncmp(at, name, length) != 0 || at[length] != '=') continue;
        const char *digits = at + length + 1;
        size_t count = strspn(digits, "0123456789");
        if (count == 0 || count > 18 || (digits[count] && digits[count] != '&')) return false;
        *value = strtoull(digits, NULL, 10);
    }
    return true;
}

static bool read_question(const char *query, struct question *question)
{
    uint64_t limit = LIMIT_DEFAULT;
    question->after = 0;
    if (!number_of(query, "after", &question->after) || !number_of(query, "limit", &limit))
        return false;
    question->limit = (size_t)limit;
    return limit >= 1 && limit <= OWM_SLASH_PAGE_MAX;
}

/* The slot of this question, else a free or stale one; NULL: all are in use. Needs the lock. */
static struct log_page *find_slot(struct owm_slashing *s, const struct question *question,
                                  uint64_t now_ms)
{
    struct log_page *room = NULL;
    for (int i = 0; i < LOG_PAGES_MAX; i++) {
        struct log_page *page = &s->page[i];
        bool stale = page->state != PAGE_ASKED && now_ms - page->asked_ms > FRESH_MS;
        if (page->state != PAGE_FREE && !stale && page->after == question->after
            && page->limit == question->limit)
            return page;
        if (page->state == PAGE_FREE || stale) room = page;
    }
    if (!room) return NULL;
    free(room->text);
    *room = (struct log_page){PAGE_ASKED, question->after, now_ms, question->limit, NULL};
    s->awake = true;
    pthread_cond_signal(&s->wake);
    return room;
}

static void serve_log(void *ctx, const struct owm_http_request *request,
                      owm_http_response *response)
{
    struct owm_slashing *s = ctx;
    struct question question;
    if (!read_question(request->query, &question)) {
        owm_http_reply_text(response, 400, "application/json",
                            "{\"error\":\"BAD_QUERY\",\"message\":\"after is a number, limit one "
                            "from 1 to 200\"}");
        return;
    }
    pthread_mutex_lock(&s->lock);
    struct log_page *page = find_slot(s, &question, owm_clock_mono_ms());
    if (page && page->state == PAGE_READY)
        owm_http_reply_text(response, 200, "application/json", page->text);
    else if (page && page->state == PAGE_FAILED)
        owm_http_reply_text(response, 503, "application/json",
                            "{\"error\":\"DATABASE_AWAY\",\"message\":\"the database does not "
                            "answer; try again in a moment\"}");
    else
        owm_http_retry(response, RETRY_MS);
    pthread_mutex_unlock(&s->lock);
}

struct owm_http_route owm_slashing_route(struct owm_slashing *slashing)
{
    return (struct owm_http_route){"GET", "/v1/network/slashing-log", serve_log, slashing};
}

/* ---------------------------------------------------------------------- the manager's side */

static owm_status make_page(struct owm_slashing *s, const struct question *question, char **text,
                            struct owm_error *error)
{
    size_t count = 0;
    struct owm_slash_entry *entries = calloc(question->limit + 1, sizeof(*entries));
    if (!entries) return OWM_E_NOMEM;
    owm_status status =
        owm_slash_log_rows(s->pg, question->after, question->limit + 1, entries, &count, error);
    if (status == OWM_OK) {
        bool more = count > question->limit;
        json_t *page = owm_slash_page_json(entries, more ? question->limit : count,
                                           s->config.policy.coordinator_key, more);
        *text = page ? json_dumps(page, JSON_COMPACT) : NULL;
        json_decref(page);
        if (!*text) status = OWM_E_NOMEM;
    }
    free(entries);
    return status;
}

owm_status log_pages_fill(struct owm_slashing *s, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (int i = 0; i < LOG_PAGES_MAX && status == OWM_OK; i++) {
        char *text = NULL;
        pthread_mutex_lock(&s->lock);
        struct question question = {s->page[i].after, s->page[i].limit};
        bool asked = s->page[i].state == PAGE_ASKED; /* and stays so: only we answer */
        pthread_mutex_unlock(&s->lock);
        if (!asked) continue;
        status = make_page(s, &question, &text, error);
        if (status != OWM_OK) break;
        pthread_mutex_lock(&s->lock);
        s->page[i].text = text;
        s->page[i].asked_ms = owm_clock_mono_ms();
        s->page[i].state = PAGE_READY;
        pthread_mutex_unlock(&s->lock);
    }
    return status;
}

void log_pages_fail(struct owm_slashing *s)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < LOG_PAGES_MAX; i++) {
        if (s->page[i].state != PAGE_ASKED) continue;
        s->page[i].state = PAGE_FAILED;
        s->page[i].asked_ms = owm_clock_mono_ms();
    }
    pthread_mutex_unlock(&s->lock);
}
