/* ledger.c: the connection, and events of blocks on their way into the database. */
#include "ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "ledger_internal.h"

#define RETRY_MS 1000

static const char *const fates[] = {[OWM_BLOCK_UNKNOWN] = "unknown",
                                    [OWM_BLOCK_ACTIVE] = "active",
                                    [OWM_BLOCK_ORPHANED] = "orphaned"};

owm_status ledger_query(struct owm_ledger *ledger, const char *sql, const struct owm_pg_args *args,
                        struct owm_pg_rows **rows, struct owm_error *error)
{
    owm_status status = OWM_OK;
    pthread_mutex_lock(&ledger->asking);
    if (!owm_pg_alive(ledger->pg)) status = owm_pg_reopen(ledger->pg, error);
    if (status == OWM_OK) status = owm_pg_query(ledger->pg, sql, args, rows, error);
    pthread_mutex_unlock(&ledger->asking);
    return status;
}

/* ---------------------------------------------------------------------------- events */

static void add_event(struct owm_ledger *ledger, const struct ledger_event *event)
{
    pthread_mutex_lock(&ledger->lock);
    if (ledger->count == OWM_LEDGER_EVENTS_MAX) {
        ledger->first = (ledger->first + 1) % OWM_LEDGER_EVENTS_MAX;
        ledger->count--;
        owm_log(OWM_LOG_ERROR, "ledger_event_dropped: the database has not answered for too long");
    }
    ledger->events[(ledger->first + ledger->count++) % OWM_LEDGER_EVENTS_MAX] = *event;
    pthread_cond_signal(&ledger->more);
    pthread_mutex_unlock(&ledger->lock);
}

void owm_ledger_block_found(struct owm_ledger *ledger, const uint8_t hash[32], uint32_t height,
                            uint64_t reward_sats, int64_t time_ms)
{
    struct ledger_event event = {
        .kind = LEDGER_FOUND, .height = height, .reward_sats = reward_sats, .time_ms = time_ms};
    memcpy(event.hash, hash, sizeof(event.hash));
    add_event(ledger, &event);
}

void owm_ledger_block_submitted(struct owm_ledger *ledger, const uint8_t hash[32], const char *node,
                                bool accepted, const char *reason, int64_t time_ms)
{
    struct ledger_event event = {
        .kind = LEDGER_SUBMITTED, .accepted = accepted, .time_ms = time_ms};
    memcpy(event.hash, hash, sizeof(event.hash));
    snprintf(event.node, sizeof(event.node), "%s", node);
    snprintf(event.reason, sizeof(event.reason), "%s", reason ? reason : "");
    add_event(ledger, &event);
}

void owm_ledger_block_fate(struct owm_ledger *ledger, const uint8_t hash[32],
                           enum owm_block_fate fate, uint32_t confirmations)
{
    struct ledger_event event = {.kind = LEDGER_FATE, .fate = fate, .confirmations = confirmations};
    memcpy(event.hash, hash, sizeof(event.hash));
    add_event(ledger, &event);
}

/* Rows are absolute, so an event that is written twice is written once. */
static owm_status write_event(struct owm_ledger *ledger, const struct ledger_event *event,
                              struct owm_error *error)
{
    static const char *const sql[] = {
        [LEDGER_FOUND] = ("INSERT INTO blocks (hash, found_at, height, reward_sats) VALUES ($1,"
                          " time_of($2), $3, $4)"
                          " ON CONFLICT (hash) DO UPDATE SET reward_sats = excluded.reward_sats,"
                          " height = excluded.height, updated_at = now()"),
        [LEDGER_SUBMITTED] =
            ("WITH block AS (INSERT INTO blocks (hash, found_at) VALUES ($1,"
             " time_of($2)) ON CONFLICT DO NOTHING)"
             " INSERT INTO block_submissions (hash, node, accepted, reason, at) VALUES ($1, $3, $4,"
             " $5, time_of($2)) ON CONFLICT"
             " (hash, node) DO UPDATE SET accepted = excluded.accepted, reason = excluded.reason,"
             " at = excluded.at"),
        [LEDGER_FATE] = ("UPDATE blocks SET fate = $2, confirmations = $3, updated_at = now()"
                         " WHERE hash = $1")};
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_bytes(&args, event->hash, sizeof(event->hash));
    if (event->kind == LEDGER_FATE) {
        owm_pg_text(&args, fates[event->fate]);
        owm_pg_i64(&args, event->confirmations);
    } else {
        owm_pg_i64(&args, event->time_ms);
    }
    if (event->kind == LEDGER_FOUND) {
        owm_pg_i64(&args, event->height);
        owm_pg_i64(&args, (int64_t)event->reward_sats);
    } else if (event->kind == LEDGER_SUBMITTED) {
        owm_pg_text(&args, event->node);
        owm_pg_bool(&args, event->accepted);
        owm_pg_text(&args, event->reason);
    }
    return ledger_query(ledger, sql[event->kind], &args, NULL, error);
}

static void wait_for_retry(struct owm_ledger *ledger)
{
    const uint64_t until_ms = owm_clock_mono_ms() + RETRY_MS;
    while (!ledger->stopping && owm_cond_wait(&ledger->more, &ledger->lock, until_ms)) continue;
}

static void *run(void *arg)
{
    struct owm_ledger *ledger = arg;
    bool away = false;
    pthread_mutex_lock(&ledger->lock);
    for (;;) {
        while (ledger->count == 0 && !ledger->stopping)
            pthread_cond_wait(&ledger->more, &ledger->lock);
        if (ledger->count == 0 || (ledger->stopping && away)) break;
        struct ledger_event event = ledger->events[ledger->first];
        ledger->first = (ledger->first + 1) % OWM_LEDGER_EVENTS_MAX;
        ledger->count--;
        pthread_mutex_unlock(&ledger->lock);
        struct owm_error error = {""};
        owm_status status = write_event(ledger, &event, &error);
        if (status != OWM_OK && !away) owm_log(OWM_LOG_WARN, "ledger_failed: %s", error.text);
        away = owm_pg_transient(status);
        pthread_mutex_lock(&ledger->lock);
        if (!away || ledger->count == OWM_LEDGER_EVENTS_MAX) continue;
        ledger->first = (ledger->first + OWM_LEDGER_EVENTS_MAX - 1) % OWM_LEDGER_EVENTS_MAX;
        ledger->events[ledger->first] = event; /* Back to the front: the order matters. */
        ledger->count++;
        wait_for_retry(ledger);
    }
    pthread_mutex_unlock(&ledger->lock);
    return NULL;
}

owm_status owm_ledger_open_blocks(struct owm_ledger *ledger,
                                  void (*each)(void *ctx, const uint8_t hash[32]), void *ctx,
                                  struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, OWM_BLOCK_FINAL);
    owm_status status = ledger_query(ledger,
                                     "SELECT hash FROM blocks WHERE confirmations < $1"
                                     " AND found_at > now() - interval '30 days' ORDER BY found_at",
                                     &args, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        uint8_t hash[32];
        owm_pg_get_hash(rows, i, 0, hash, sizeof(hash));
        each(ctx, hash);
    }
    owm_pg_rows_free(rows);
    return status;
}

/* ---------------------------------------------------------------------------- open and close */

owm_status owm_ledger_open(const char *database_url, struct owm_ledger **out,
                           struct owm_error *error)
{
    struct owm_ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger) return OWM_E_NOMEM;
    pthread_mutex_init(&ledger->asking, NULL);
    pthread_mutex_init(&ledger->lock, NULL);
    owm_cond_init(&ledger->more);
    ledger->events = malloc(OWM_LEDGER_EVENTS_MAX * sizeof(*ledger->events));
    owm_status status =
        ledger->events ? owm_pg_open(database_url, &ledger->pg, error) : OWM_E_NOMEM;
    if (status == OWM_OK && pthread_create(&ledger->thread, NULL, run, ledger) != 0)
        status = OWM_E_NOMEM;
    if (status != OWM_OK) {
        owm_ledger_close(ledger);
        return status;
    }
    ledger->started = true;
    *out = ledger;
    return OWM_OK;
}

void owm_ledger_close(struct owm_ledger *ledger)
{
    if (!ledger) return;
    if (ledger->started) {
        pthread_mutex_lock(&ledger->lock);
        ledger->stopping = true;
        pthread_cond_signal(&ledger->more);
        pthread_mutex_unlock(&ledger->lock);
        pthread_join(ledger->thread, NULL);
    }
    owm_pg_close(ledger->pg);
    free(ledger->events);
    pthread_cond_destroy(&ledger->more);
    pthread_mutex_destroy(&ledger->lock);
    pthread_mutex_destroy(&ledger->asking);
    free(ledger);
}
