/* provenance.c: see provenance.h: open, close, and the thread that takes what is due. */
#include "provenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "provenance_internal.h"

#define AWAY_MS 1000  /* until the database is tried again */
#define TURN_MS 30000 /* the longest rest: alarms and metrics grow old */

/* --- what people are told --------------------------------------------------------------------- */

static void say(struct owm_provenance *p, const char *text)
{
    if (strcmp(text, p->note) == 0) return;
    snprintf(p->note, sizeof(p->note), "%s", text);
    owm_log(text[0] ? OWM_LOG_WARN : OWM_LOG_INFO, "proofs note=\"%s\"", text);
    if (p->options.note) p->options.note(p->options.ctx, p->note);
}

static void say_summary(struct owm_provenance *p, const struct prov_summary *summary)
{
    const struct owm_provenance_options *o = &p->options;
    char text[OWM_ERROR_BYTES_MAX] = "";
    if (summary->waiting[0])
        snprintf(text, sizeof(text), "%s has %u of the %u promises that it needs: %.300s",
                 summary->waiting, summary->waiting_calendars, o->calendars_needed,
                 summary->waiting_note);
    else if (summary->overdue > 0)
        snprintf(text, sizeof(text),
                 "%llu checkpoints wait for a Bitcoin block for more than %u hours; the oldest, "
                 "%s: %.300s",
                 (unsigned long long)summary->overdue, o->alarm_hours, summary->oldest,
                 summary->oldest_note);
    else if (!p->source && !o->serve_pending)
        snprintf(text, sizeof(text),
                 "no checkpoint is ever confirmed without provenance.bitcoin_rpc or "
                 "provenance.headers_file");
    say(p, text);
}

/* --- the thread ------------------------------------------------------------------------------- */

bool prov_going(struct owm_provenance *p)
{
    pthread_mutex_lock(&p->lock);
    bool going = !p->stop;
    pthread_mutex_unlock(&p->lock);
    return going;
}

/* Until woken, or `ms` later. False: stop. */
static bool rest(struct owm_provenance *p, int64_t ms)
{
    const uint64_t until_ms = owm_clock_mono_ms() + (uint64_t)ms;
    pthread_mutex_lock(&p->lock);
    while (!p->stop && !p->awake && owm_cond_wait(&p->wake, &p->lock, until_ms)) continue;
    p->awake = false;
    bool going = !p->stop;
    pthread_mutex_unlock(&p->lock);
    return going;
}

static owm_status see_leader(struct owm_provenance *p, struct owm_error *error)
{
    int64_t epoch = 0;
    owm_status status = prov_rows_epoch(p->pg, &epoch, error);
    if (status != OWM_OK || epoch == p->epoch) return status;
    p->deposed = true;
    return OWM_OK;
}

static owm_status summarise(struct owm_provenance *p, struct owm_error *error)
{
    struct prov_summary summary;
    owm_status status = prov_rows_summary(p, &summary, error);
    if (status != OWM_OK) return status;
    prov_meters_show(p, &summary);
    say_summary(p, &summary);
    return OWM_OK;
}

/* All that is due. wait_ms: until there is more. */
static owm_status turn(struct owm_provenance *p, int64_t *wait_ms, struct owm_error *error)
{
    struct prov_version version;
    bool found = true;
    owm_status status = see_leader(p, error);
    if (status == OWM_OK && !p->deposed && !p->rechecked) {
        status = prov_recheck(p, error);
        p->rechecked = status == OWM_OK;
    }
    while (status == OWM_OK && found && !p->deposed && prov_going(p)) {
        status = prov_rows_due(p, &version, &found, wait_ms, error);
        if (status == OWM_OK && found) status = prov_follow(p, &version, error);
        if (status == OWM_OK) status = summarise(p, error);
        if (status == OWM_OK) status = see_leader(p, error);
    }
    return status;
}

static void say_away(struct owm_provenance *p, owm_status status, const struct owm_error *error)
{
    char text[OWM_ERROR_BYTES_MAX];
    snprintf(text, sizeof(text), "proofs wait for the database: %.400s",
             error->text[0] ? error->text : owm_status_text(status));
    say(p, text);
}

static void *provenance_main(void *ctx)
{
    struct owm_provenance *p = ctx;
    int64_t wait_ms = 0;
    do {
        struct owm_error error = {""};
        wait_ms = TURN_MS;
        owm_status status = owm_pg_alive(p->pg) ? OWM_OK : owm_pg_reopen(p->pg, &error);
        if (status == OWM_OK) status = turn(p, &wait_ms, &error);
        if (status != OWM_OK) {
            say_away(p, status, &error);
            wait_ms = AWAY_MS;
        }
        if (wait_ms > TURN_MS) wait_ms = TURN_MS;
    } while (!p->deposed && rest(p, wait_ms));
    if (p->deposed) say(p, "another owm-coordinator has taken over; no proofs are made here");
    return NULL;
}

/* --- open and close --------------------------------------------------------------------------- */

/* What is known already; what is found to be otherwise is told by the thread. */
static owm_status tell_known(struct owm_provenance *p, struct owm_error *error)
{
    struct prov_version *versions = NULL;
    size_t count = 0;
    owm_status status = prov_tell_newest(p, error);
    if (status == OWM_OK) status = prov_rows_list(p, PROV_CURRENT, 1, &versions, &count, error);
    if (status == OWM_OK && count > 0) prov_tell(p, &versions[0]);
    free(versions);
    return status;
}

static owm_status open_parts(struct owm_provenance *p, struct owm_error *error)
{
    const struct owm_provenance_options *o = &p->options;
    const struct owm_ots_header_options headers = {.bitcoin_rpc = o->bitcoin_rpc,
                                                   .bitcoin_cookie = o->bitcoin_cookie,
                                                   .headers_file = o->headers_file,
                                                   .network = o->bitcoin_network};
    owm_status status = prov_calendars_parse(p, error);
    if (status == OWM_OK && (o->retry_min_s < 1 || o->retry_max_s < o->retry_min_s))
        status = owm_fail(error, OWM_E_CONFIG,
                          "provenance.retry_max_s must not be below provenance.retry_min_s");
    if (status == OWM_OK && (o->bitcoin_rpc[0] || o->headers_file[0]))
        status = owm_ots_header_source_open(&headers, &p->source, error);
    if (status == OWM_OK) status = owm_pg_open(o->database_url, &p->pg, error);
    if (status == OWM_OK) status = prov_rows_epoch(p->pg, &p->epoch, error);
    if (status == OWM_OK) status = tell_known(p, error);
    return status;
}

static void free_parts(struct owm_provenance *p)
{
    owm_pg_close(p->pg);
    owm_ots_header_source_close(p->source);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p->list);
    free(p);
}

owm_status owm_provenance_open(const struct owm_provenance_options *options,
                               struct owm_provenance **out, struct owm_error *error)
{
    struct owm_provenance *p = calloc(1, sizeof(*p));
    if (!p) return owm_fail(error, OWM_E_NOMEM, "no memory for the proofs of checkpoints");
    owm_cond_init(&p->wake);
    pthread_mutex_init(&p->lock, NULL);
    p->options = *options;
    owm_rng_seed(&p->rng, owm_clock_mono_ns() ^ (uint64_t)getpid());
    prov_meters_open(p);
    owm_status status = open_parts(p, error);
    if (status == OWM_OK && pthread_create(&p->thread, NULL, provenance_main, p) != 0)
        status = owm_fail(error, OWM_E_NOMEM, "no thread for the proofs of checkpoints");
    if (status == OWM_OK)
        *out = p;
    else
        free_parts(p);
    return status;
}

void owm_provenance_wake(struct owm_provenance *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->awake = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void owm_provenance_close(struct owm_provenance *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    free_parts(p);
}
