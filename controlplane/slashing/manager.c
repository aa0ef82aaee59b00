/* manager.c: the thread: gather signals, move cases, tell the engine, answer who reads the log. */
#include "controlplane/slashing/manager.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/uuid.h"

#define TURN_MS      1000
#define RETRY_MS     1000
#define SAY_AGAIN_MS 3000 /* time for the engine to commit what it was told */

/* ---------------------------------------------------------------------------- the engine */

static owm_status said(struct owm_slashing *s, const char *sql, enum owm_event_kind kind,
                       struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(s->pg, sql, NULL, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        struct owm_slash_event event;
        memset(&event, 0, sizeof(event));
        owm_pg_get_uuid(rows, i, 0, event.node_id);
        owm_pg_get_uuid(rows, i, 1, event.case_id);
        snprintf(event.reason, sizeof(event.reason), "slashed: %.80s", owm_pg_get_text(rows, i, 2));
        s->config.say(s->config.ctx, kind, &event);
    }
    owm_pg_rows_free(rows);
    return status;
}

/* A suspension is there, or its time is over. A reinstatement is there, or another case holds the
 * node. */
static const char see_enforced[] =
    "UPDATE slash_cases c SET enforced_at = now() FROM nodes n WHERE n.node_id = c.node_id"
    " AND c.enforced_at IS NULL AND c.state IN ('decided', 'evicting', 'closed', 'overturned')"
    " AND ((n.status = 'suspended' AND n.cooldown_until IS NOT NULL) OR c.cooldown_until <= now()"
    " OR c.state = 'overturned')";

static const char see_reinstated[] =
    "UPDATE slash_cases c SET reinstated_at = now() FROM nodes n WHERE n.node_id = c.node_id"
    " AND c.reinstated_at IS NULL AND c.state IN ('overturned', 'dismissed')"
    " AND (n.status <> 'suspended' OR n.cooldown_until IS NULL OR EXISTS (SELECT FROM slash_cases o"
    " WHERE o.node_id = c.node_id AND o.state IN ('decided', 'evicting', 'closed')"
    " AND o.cooldown_until > now()))";

static const char not_enforced[] =
    "SELECT node_id, case_id, reason FROM slash_cases WHERE enforced_at IS NULL"
    " AND state IN ('decided', 'evicting', 'closed') ORDER BY decided_at LIMIT 256";

static const char not_reinstated[] =
    "SELECT node_id, case_id, reason FROM slash_cases WHERE reinstated_at IS NULL"
    " AND state IN ('overturned', 'dismissed') ORDER BY ended_at LIMIT 256";

owm_status enforce(struct owm_slashing *s, bool in_grace, struct owm_error *error)
{
    owm_status status = owm_pg_exec(s->pg, see_enforced, error);
    if (status == OWM_OK) status = owm_pg_exec(s->pg, see_reinstated, error);
    uint64_t now_ms = owm_clock_mono_ms();
    if (status != OWM_OK || now_ms < s->say_again_ms) return status;
    s->say_again_ms = now_ms + SAY_AGAIN_MS;
    if (!in_grace) status = said(s, not_enforced, OWM_EVENT_SLASH, error);
    if (status == OWM_OK) status = said(s, not_reinstated, OWM_EVENT_REINSTATE, error);
    return status;
}

/* ---------------------------------------------------------------------------- the turn */

static owm_status measure(struct owm_slashing *s, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(
        s->pg,
        "SELECT count(*) FILTER (WHERE state = 'open'), count(*) FILTER (WHERE state = 'decided'),"
        " count(*) FILTER (WHERE state = 'evicting'), (SELECT count(*) FROM slashing_events"
        " WHERE kind = 'decision' AND executed_at > now() - interval '7 days') FROM slash_cases",
        NULL, &rows, error);
    if (status != OWM_OK) return status;
    owm_gauge_set(s->open, (double)owm_pg_get_i64(rows, 0, 0));
    owm_gauge_set(s->decided, (double)owm_pg_get_i64(rows, 0, 1));
    owm_gauge_set(s->evicting, (double)owm_pg_get_i64(rows, 0, 2));
    owm_gauge_set(s->last_week, (double)owm_pg_get_i64(rows, 0, 3));
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* A case that cannot be moved (a full disk under its bundle, say) does not hold up the others. */
static owm_status move_all(struct owm_slashing *s, bool in_grace, struct owm_error *error)
{
    uint8_t ids[OWM_CASES_LISTED_MAX][16];
    size_t count = 0;
    owm_status status = owm_cases_list(s->pg, OWM_CASES_MOVABLE, ids, &count, error);
    for (size_t i = 0; status == OWM_OK && i < count; i++) {
        status = case_move(s, ids[i], in_grace, error);
        if (status == OWM_OK || !owm_pg_alive(s->pg)) continue;
        char id[37];
        owm_uuid_format(ids[i], id);
        owm_log(OWM_LOG_ERROR, "slashing_case_stuck case=%s reason=\"%s\"", id, error->text);
        status = OWM_OK;
    }
    return status;
}

static owm_status turn(struct owm_slashing *s, struct owm_error *error)
{
    bool in_grace = owm_clock_mono_ms() < s->started_ms + (uint64_t)s->config.grace_ms;
    owm_status status = log_pages_fill(s, error);
    if (status == OWM_OK)
        status =
            owm_cases_gather(s->pg, s->config.policy.signals_needed, owm_clock_wall_ms(), error);
    if (status == OWM_OK) status = log_evictions(s, error);
    if (status == OWM_OK) status = move_all(s, in_grace, error);
    if (status == OWM_OK) status = enforce(s, in_grace, error);
    if (status == OWM_OK) status = measure(s, error);
    if (status == OWM_OK) status = log_pages_fill(s, error);
    return status;
}

/* Until woken, or `ms` later. False: stop. */
static bool rest(struct owm_slashing *s, unsigned ms)
{
    const uint64_t until_ms = owm_clock_mono_ms() + ms;
    pthread_mutex_lock(&s->lock);
    while (!s->stop && !s->awake && owm_cond_wait(&s->wake, &s->lock, until_ms)) continue;
    s->awake = false;
    bool going = !s->stop;
    pthread_mutex_unlock(&s->lock);
    return going;
}

static void *manager_main(void *ctx)
{
    struct owm_slashing *s = ctx;
    bool away = false;
    do {
        struct owm_error error = {""};
        owm_status status = owm_pg_alive(s->pg) ? OWM_OK : owm_pg_reopen(s->pg, &error);
        if (status == OWM_OK) status = turn(s, &error);
        if (status == OWM_OK) {
            if (away) owm_log(OWM_LOG_INFO, "slashing_goes_on");
            away = false;
            continue;
        }
        log_pages_fail(s);
        if (!away)
            owm_log(OWM_LOG_WARN, "slashing_waits reason=\"%s\"",
                    error.text[0] ? error.text : owm_status_text(status));
        away = true;
    } while (rest(s, away ? RETRY_MS : TURN_MS));
    return NULL;
}

/* ---------------------------------------------------------------------------- open and close */

static void open_metrics(struct owm_slashing *s)
{
    struct owm_metrics *m = s->config.metrics;
    static const char help[] = "Slashing cases that have not ended, by state.";
#define STATE(name) (const char *const[]){"state", name, NULL}
    s->open = owm_metrics_gauge(m, "owm_slashing_cases", help, STATE("open"));
    s->decided = owm_metrics_gauge(m, "owm_slashing_cases", help, STATE("decided"));
    s->evicting = owm_metrics_gauge(m, "owm_slashing_cases", help, STATE("evicting"));
#undef STATE
    s->last_week = owm_metrics_gauge(m, "owm_slashing_events_7d",
                                     "Slashing decisions of the last seven days.", NULL);
    s->decisions = owm_metrics_counter(m, "owm_slashing_decisions_total",
                                       "Slashing decisions signed by this process.", NULL);
    s->overturned = owm_metrics_counter(m, "owm_slashing_overturned_total",
                                        "Slashing decisions overturned.", NULL);
}

owm_status owm_slashing_open(const struct owm_slashing_config *config, struct owm_slashing **out,
                             struct owm_error *error)
{
    owm_status status = owm_case_policy_check(&config->policy, error);
    if (status != OWM_OK) return status;
    struct owm_slashing *s = calloc(1, sizeof(*s));
    struct owm_case *scratch = calloc(1, sizeof(*scratch));
    if (!s || !scratch) {
        free(scratch);
        free(s);
        return OWM_E_NOMEM;
    }
    owm_cond_init(&s->wake);
    pthread_mutex_init(&s->lock, NULL);
    s->config = *config;
    s->scratch = scratch;
    s->started_ms = owm_clock_mono_ms();
    open_metrics(s);
    status = owm_pg_open(config->database_url, &s->pg, error);
    if (status == OWM_OK && pthread_create(&s->thread, NULL, manager_main, s) != 0)
        status = owm_fail(error, OWM_E_NOMEM, "no thread for slashing cases");
    if (status == OWM_OK) {
        *out = s;
        return OWM_OK;
    }
    owm_pg_close(s->pg);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s->scratch);
    free(s);
    return status;
}

void owm_slashing_close(struct owm_slashing *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < LOG_PAGES_MAX; i++) free(s->page[i].text);
    owm_pg_close(s->pg);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s->scratch);
    free(s);
}

void owm_slashing_wake(struct owm_slashing *s)
{
    pthread_mutex_lock(&s->lock);
    s->awake = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}
