/* feeder.c: which segments there are, how far each has come, and a thread that goes on and on. */
#include "feeder.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "feed_batch.h"
#include "journal_file.h"

#define LIST_MS         1000
#define HOUSEKEEPING_MS (10 * 60 * 1000)
#define BACKOFF_MIN_MS  100
#define LAST_STEPS_MAX  100000 /* At close. */
#define DAY_MS          86400000
#define WORK_KEEP_DAYS  2

/* A segment on its way into the database. */
struct track {
    struct owm_journal_segment segment;
    struct owm_journal_source *source;
    struct feed_refs refs;
    uint64_t fed_bytes;             /* As the database has it. */
    uint64_t new_bytes, new_shares; /* As the open transaction will have it. */
    bool done, complete;            /* complete: as the open transaction will have it. */
    bool damaged;
};

struct owm_feeder {
    char *folder;
    struct owm_feeder_options options;
    struct owm_pg *pg;
    struct feed_batch batch;
    struct track *tracks;
    size_t track_count;
    bool batch_made, forgotten;
    uint64_t listed_ms;
    int64_t housekept_ms;
    /* While a batch of the journal is read: */
    struct track *reading;
    owm_status read_status;
    struct owm_error *read_error;
    int64_t newest_ms;

    pthread_t thread;
    sem_t wake;
    bool started;
    _Atomic bool stopping, away;
    _Atomic uint64_t fed, duplicates, transactions, failures, damaged;
    _Atomic int64_t lag_ms;
    owm_counter *count_fed, *count_duplicates, *count_failures, *count_damaged;
    owm_gauge *gauge_lag;
};

static int64_t now_ms(const struct owm_feeder *feeder)
{
    return feeder->options.now_ms ? feeder->options.now_ms(feeder->options.now_ctx)
                                  : owm_clock_wall_ms();
}

/* ---------------------------------------------------------------------------- tracks */

static void track_close(struct track *track)
{
    if (!track->source) return;
    owm_journal_source_close(track->source);
    feed_refs_deinit(&track->refs);
    track->source = NULL;
}

/* All that was learned from the database, or will be wrong after a transaction that failed. */
static void forget(struct owm_feeder *feeder)
{
    for (size_t i = 0; i < feeder->track_count; i++) track_close(&feeder->tracks[i]);
    free(feeder->tracks);
    feeder->tracks = NULL;
    feeder->track_count = 0;
    feeder->listed_ms = 0;
    feeder->forgotten = true;
}

static int compare(const void *a, const void *b)
{
    const struct owm_journal_segment *x = a, *y = &((const struct track *)b)->segment;
    if (x->loop != y->loop) return x->loop < y->loop ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static struct track *find_track(struct owm_feeder *feeder,
                                const struct owm_journal_segment *segment)
{
    if (!feeder->tracks) return NULL;
    return bsearch(segment, feeder->tracks, feeder->track_count, sizeof(*feeder->tracks), compare);
}

/* Only we compress, and only what the database has whole. A plain one is looked up by its id. */
static owm_status is_fed(struct owm_feeder *feeder, const struct owm_journal_segment *segment,
                         bool *fed, struct owm_error *error)
{
    *fed = false;
    if (!segment->compressed) return OWM_OK;
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, segment->loop);
    owm_pg_i64(&args, (int64_t)segment->number);
    owm_status status = owm_pg_query(
        feeder->pg, "SELECT 1 FROM journal_segments WHERE loop = $1 AND number = $2 AND complete",
        &args, &rows, error);
    if (status == OWM_OK) *fed = owm_pg_rows_count(rows) > 0;
    owm_pg_rows_free(rows);
    return status;
}

/* The folder as it is now; what is known of a segment stays. */
static owm_status list_segments(struct owm_feeder *feeder, struct owm_error *error)
{
    struct owm_journal_segment *segments;
    size_t count;
    owm_status status = owm_journal_list(feeder->folder, &segments, &count, error);
    if (status != OWM_OK) return status;
    struct track *tracks = calloc(count ? count : 1, sizeof(*tracks));
    if (!tracks) status = OWM_E_NOMEM;
    size_t kept = 0;
    for (size_t i = 0; status == OWM_OK && i < count; i++) {
        struct track *known = find_track(feeder, &segments[i]);
        if (known) {
            tracks[kept] = *known;
            known->source = NULL; /* It has moved. */
        } else {
            status = is_fed(feeder, &segments[i], &tracks[kept].done, error);
        }
        tracks[kept++].segment = segments[i];
    }
    free(segments);
    if (status != OWM_OK) {
        for (size_t i = 0; tracks && i < kept; i++) track_close(&tracks[i]);
        free(tracks);
        return status;
    }
    forget(feeder);
    feeder->tracks = tracks;
    feeder->track_count = kept;
    feeder->listed_ms = owm_clock_mono_ms();
    feeder->forgotten = false;
    return OWM_OK;
}

static owm_status ask_place(struct owm_feeder *feeder, struct track *track, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, owm_journal_source_header(track->source)->id);
    owm_status status = owm_pg_query(feeder->pg,
                                     "SELECT fed_bytes, complete, trouble = 'damaged' FROM "
                                     "journal_segments WHERE segment_id = $1",
                                     &args, &rows, error);
    if (status != OWM_OK) return status;
    track->fed_bytes = OWM_JOURNAL_HEADER_BYTES;
    if (owm_pg_rows_count(rows) == 1) {
        track->fed_bytes = (uint64_t)owm_pg_get_i64(rows, 0, 0);
        track->done = owm_pg_get_bool(rows, 0, 1);
        track->damaged = owm_pg_get_bool(rows, 0, 2);
    }
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* A segment that ends without its end: torn off by a crash, or rotten. Damage is kept and said. */
static owm_status judge_end(struct owm_feeder *feeder, struct track *track, struct owm_error *error)
{
    owm_status status = owm_journal_source_damaged(track->source, &track->damaged, error);
    if (track->damaged) {
        atomic_fetch_add(&feeder->damaged, 1);
        if (feeder->count_damaged) owm_counter_add(feeder->count_damaged, 1);
        owm_log(OWM_LOG_ERROR, "journal_damaged segment=%s byte=%llu", track->segment.name,
                (unsigned long long)track->new_bytes);
    }
    return status;
}

/* Open, and go past what has been fed, whose definitions are needed. OWM_E_NOTFOUND: no more. */
static owm_status track_open(struct owm_feeder *feeder, struct track *track,
                             struct owm_error *error)
{
    if (track->source) return OWM_OK;
    owm_status status =
        owm_journal_source_open(feeder->folder, &track->segment, &track->source, error);
    if (status != OWM_OK) return status;
    status = feed_refs_init(&track->refs);
    if (status == OWM_OK) status = ask_place(feeder, track, error);
    while (status == OWM_OK && !track->done
           && owm_journal_source_offset(track->source) < track->fed_bytes)
        status = owm_journal_source_next(track->source, NULL, error);
    if (status == OWM_OK && track->done) status = OWM_E_NOTFOUND;
    /* A power cut may have taken back what was fed before it was durable: it has been counted. */
    if (status == OWM_E_CANCELLED) status = OWM_E_NOTFOUND;
    /* ... but shares behind damage to what was fed may not have been: such a file is kept. */
    if (status == OWM_E_NOTFOUND && track->source && !track->done && !track->segment.newest) {
        track->new_bytes = owm_journal_source_offset(track->source);
        owm_status judged = judge_end(feeder, track, error);
        if (judged != OWM_OK) status = judged;
    }
    if (status != OWM_OK) track_close(track);
    if (status == OWM_E_NOTFOUND && !track->segment.newest) track->done = true;
    return status;
}

/* ---------------------------------------------------------------------------- reading */

static void take_share(void *ctx, const struct owm_journal_entry *entry)
{
    struct owm_feeder *feeder = ctx;
    if (feeder->read_status != OWM_OK) return;
    feeder->read_status =
        feed_batch_add(&feeder->batch, &feeder->reading->refs, entry, feeder->read_error);
    feeder->reading->new_shares++;
    if (entry->share.time_ms > feeder->newest_ms) feeder->newest_ms = entry->share.time_ms;
}

/* Batches of one segment until it has no more, or the transaction is large enough. */
static owm_status read_track(struct owm_feeder *feeder, struct track *track,
                             struct owm_error *error)
{
    struct owm_journal_sink sink = {take_share, feeder};
    owm_status status = OWM_OK;
    feeder->reading = track;
    feeder->read_error = error;
    track->new_bytes = track->fed_bytes;
    track->new_shares = 0;
    while (status == OWM_OK && feeder->batch.row_count < FEED_ROWS_TARGET) {
        status = owm_journal_source_next(track->source, &sink, error);
        if (status == OWM_OK) status = feeder->read_status;
        if (status == OWM_OK) track->new_bytes = owm_journal_source_offset(track->source);
    }
    bool over = status == OWM_E_CANCELLED
                || ((status == OWM_E_NOTFOUND || status == OWM_E_PROTO) && !track->segment.newest);
    if (over && status != OWM_E_CANCELLED) status = judge_end(feeder, track, error);
    if (over) track->complete = true;
    return over || status == OWM_E_NOTFOUND || status == OWM_E_PROTO ? OWM_OK : status;
}

static owm_status gather(struct owm_feeder *feeder, struct owm_error *error)
{
    feeder->read_status = OWM_OK;
    for (size_t i = 0; i < feeder->track_count; i++) {
        struct track *track = &feeder->tracks[i];
        track->new_shares = 0;
        if (track->done) continue;
        if (feeder->batch.row_count >= FEED_ROWS_TARGET) break;
        owm_status status = track_open(feeder, track, error);
        if (status == OWM_E_NOTFOUND) continue;
        if (status == OWM_E_PROTO) {
            track->done = track->damaged = true;
            atomic_fetch_add(&feeder->damaged, 1);
            owm_log(OWM_LOG_ERROR, "journal_damaged: %s", error->text);
            continue;
        }
        if (status == OWM_OK) status = read_track(feeder, track, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- writing */

/* Where the database says otherwise than we remember, somebody else has fed this segment. */
static owm_status advance(struct owm_feeder *feeder, struct track *track, struct owm_error *error)
{
    static const char sql[] =
        "INSERT INTO journal_segments (segment_id, loop, number, fed_bytes, fed_shares, complete,"
        " trouble) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (segment_id) DO UPDATE SET"
        " fed_bytes = excluded.fed_bytes, complete = excluded.complete, trouble = excluded.trouble,"
        " fed_shares = journal_segments.fed_shares + excluded.fed_shares, updated_at = now()"
        " WHERE journal_segments.fed_bytes = $8 AND NOT journal_segments.complete RETURNING 1";
    const struct owm_journal_header *header = owm_journal_source_header(track->source);
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, header->id);
    owm_pg_i64(&args, header->loop);
    owm_pg_i64(&args, (int64_t)header->number);
    owm_pg_i64(&args, (int64_t)track->new_bytes);
    owm_pg_i64(&args, (int64_t)track->new_shares);
    owm_pg_bool(&args, track->complete);
    owm_pg_text(&args, track->damaged ? "damaged" : "");
    owm_pg_i64(&args, (int64_t)track->fed_bytes);
    owm_status status = owm_pg_query(feeder->pg, sql, &args, &rows, error);
    if (status == OWM_OK && owm_pg_rows_count(rows) == 0)
        status = owm_fail(error, OWM_E_STATE, "feeder: %s was fed by another process",
                          track->segment.name);
    owm_pg_rows_free(rows);
    return status;
}

static bool has_news(const struct track *track)
{
    return track->source && !track->done
           && (track->complete || track->new_bytes > track->fed_bytes);
}

static owm_status write_all(struct owm_feeder *feeder, struct owm_error *error)
{
    owm_status status = feed_batch_begin(&feeder->batch, error);
    if (status == OWM_OK) status = feed_batch_flush(&feeder->batch, error);
    for (size_t i = 0; status == OWM_OK && i < feeder->track_count; i++)
        if (has_news(&feeder->tracks[i])) status = advance(feeder, &feeder->tracks[i], error);
    if (status == OWM_OK) status = feed_batch_commit(&feeder->batch, error);
    return status;
}

static void settle(struct owm_feeder *feeder)
{
    for (size_t i = 0; i < feeder->track_count; i++) {
        struct track *track = &feeder->tracks[i];
        if (!has_news(track)) continue;
        track->fed_bytes = track->new_bytes;
        track->done = track->complete;
        if (!track->done) continue;
        track_close(track);
        feeder->listed_ms = 0; /* The next one may be there already. */
    }
}

static void count(struct owm_feeder *feeder, uint64_t rows, bool all_read)
{
    uint64_t duplicates = rows - feeder->batch.fresh;
    int64_t lag = all_read ? 0 : now_ms(feeder) - feeder->newest_ms;
    atomic_fetch_add(&feeder->fed, rows);
    atomic_fetch_add(&feeder->duplicates, duplicates);
    atomic_fetch_add(&feeder->transactions, rows > 0);
    atomic_store(&feeder->lag_ms, lag > 0 ? lag : 0);
    if (!feeder->gauge_lag) return;
    owm_counter_add(feeder->count_fed, rows);
    owm_counter_add(feeder->count_duplicates, duplicates);
    owm_gauge_set(feeder->gauge_lag, lag > 0 ? (double)lag / 1000 : 0);
}

/* ---------------------------------------------------------------------------- housekeeping */

static owm_status keep_days(struct owm_feeder *feeder, int64_t now, struct owm_error *error)
{
    static const char sql[] =
        "SELECT make_share_day(day), make_share_day(day + 1),"
        " drop_share_days(time_of($1::bigint - $2::bigint * 86400000))"
        " FROM (SELECT '1970-01-01'::date + ($1::bigint / 86400000)::int AS day) d";
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, now);
    owm_pg_i64(&args, feeder->options.keep_days);
    owm_status status = owm_pg_query(feeder->pg, sql, &args, &rows, error);
    if (status != OWM_OK) return status;
    int64_t dropped = owm_pg_get_i64(rows, 0, 2);
    owm_pg_rows_free(rows);
    if (dropped > 0) {
        owm_log(OWM_LOG_INFO, "share_days_dropped count=%lld", (long long)dropped);
        feed_batch_abandon(&feeder->batch); /* Bases that are gone must not be remembered. */
        forget(feeder);
    }
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, now - (int64_t)WORK_KEEP_DAYS * DAY_MS);
    return owm_pg_query(feeder->pg, "DELETE FROM work WHERE slot < time_of($1)", &args, NULL,
                        error);
}

/* Fed and closed segments: compressed, and after their time removed. Damaged ones stay. A disk that
 * is full keeps nobody from being paid: what fails here is tried again the next time. */
static void keep_files(struct owm_feeder *feeder, int64_t now)
{
    int64_t oldest = now - (int64_t)feeder->options.journal_days * DAY_MS;
    struct owm_error error = {""};
    owm_status status = OWM_OK;
    for (size_t i = 0; status == OWM_OK && i < feeder->track_count; i++) {
        struct track *track = &feeder->tracks[i];
        if (!track->done || track->segment.newest || track->damaged) continue;
        if ((int64_t)track->segment.number < oldest)
            status = owm_journal_remove(feeder->folder, &track->segment, &error);
        else if (!track->segment.compressed)
            status = owm_journal_compress(feeder->folder, &track->segment, &error);
    }
    if (status != OWM_OK) owm_log(OWM_LOG_WARN, "journal_not_tidied: %s", error.text);
    feeder->listed_ms = 0;
}

static owm_status keep_house(struct owm_feeder *feeder, struct owm_error *error)
{
    int64_t now = now_ms(feeder);
    if (feeder->housekept_ms != 0 && now - feeder->housekept_ms < HOUSEKEEPING_MS
        && now >= feeder->housekept_ms)
        return OWM_OK;
    keep_files(feeder, now);
    owm_status status = keep_days(feeder, now, error);
    if (status == OWM_OK) feeder->housekept_ms = now;
    return status;
}

/* ---------------------------------------------------------------------------- step */

static owm_status connect(struct owm_feeder *feeder, struct owm_error *error)
{
    if (feeder->pg && owm_pg_alive(feeder->pg)) return OWM_OK;
    owm_status status = feeder->pg ? owm_pg_reopen(feeder->pg, error)
                                   : owm_pg_open(feeder->options.database_url, &feeder->pg, error);
    if (status != OWM_OK) return status;
    if (feeder->batch_made) return feed_batch_session(&feeder->batch, error);
    status = feed_batch_init(&feeder->batch, feeder->pg, error);
    feeder->batch_made = true;
    return status;
}

static owm_status one_step(struct owm_feeder *feeder, uint64_t *shares, struct owm_error *error)
{
    owm_status status = connect(feeder, error);
    if (status == OWM_OK
        && (feeder->listed_ms == 0 || owm_clock_mono_ms() - feeder->listed_ms > LIST_MS))
        status = list_segments(feeder, error);
    if (status == OWM_OK) status = gather(feeder, error);
    uint64_t rows = feeder->batch.row_count;
    bool all_read = rows < FEED_ROWS_TARGET, any = false;
    for (size_t i = 0; i < feeder->track_count; i++) any = any || has_news(&feeder->tracks[i]);
    if (status == OWM_OK && any) status = write_all(feeder, error);
    if (status != OWM_OK) return status;
    if (any) settle(feeder);
    if (rows == 0) feeder->batch.fresh = 0;
    count(feeder, rows, all_read);
    *shares = rows;
    return keep_house(feeder, error);
}

owm_status owm_feeder_step(struct owm_feeder *feeder, uint64_t *shares, struct owm_error *error)
{
    *shares = 0;
    owm_status status = one_step(feeder, shares, error);
    atomic_store(&feeder->away, status != OWM_OK);
    if (status == OWM_OK) return OWM_OK;
    atomic_fetch_add(&feeder->failures, 1);
    if (feeder->count_failures) owm_counter_add(feeder->count_failures, 1);
    if (feeder->batch_made) feed_batch_abandon(&feeder->batch);
    forget(feeder);
    return status;
}

/* ---------------------------------------------------------------------------- thread */

static void pause_ms(struct owm_feeder *feeder, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)!sem_timedwait(&feeder->wake, &until);
}

static void *run(void *arg)
{
    struct owm_feeder *feeder = arg;
    unsigned backoff_ms = 0;
    while (!atomic_load(&feeder->stopping)) {
        struct owm_error error = {""};
        uint64_t shares;
        owm_status status = owm_feeder_step(feeder, &shares, &error);
        if (status == OWM_OK) {
            if (backoff_ms) owm_log(OWM_LOG_INFO, "feeder_recovered");
            backoff_ms = 0;
            if (shares == 0) pause_ms(feeder, feeder->options.poll_ms);
            continue;
        }
        if (backoff_ms == 0) owm_log(OWM_LOG_WARN, "feeder_failed: %s", error.text);
        backoff_ms = backoff_ms ? backoff_ms * 2 : BACKOFF_MIN_MS;
        if (backoff_ms > OWM_FEEDER_BACKOFF_MS) backoff_ms = OWM_FEEDER_BACKOFF_MS;
        pause_ms(feeder, backoff_ms);
    }
    uint64_t shares = 1;
    for (int i = 0; i < LAST_STEPS_MAX && shares > 0; i++) {
        feeder->listed_ms = 0;
        if (owm_feeder_step(feeder, &shares, &(struct owm_error){""}) != OWM_OK) break;
    }
    return NULL;
}

static void make_metrics(struct owm_feeder *feeder, struct owm_metrics *metrics)
{
    if (!metrics) return;
    feeder->count_fed = owm_metrics_counter(metrics, "owm_pool_feeder_shares_total",
                                            "Shares fed from the journal into the database", NULL);
    feeder->count_duplicates =
        owm_metrics_counter(metrics, "owm_pool_feeder_duplicates_total",
                            "Shares that the database had already, which pay nothing", NULL);
    feeder->count_failures = owm_metrics_counter(metrics, "owm_pool_feeder_failures_total",
                                                 "Transactions of the feeder that failed", NULL);
    feeder->count_damaged =
        owm_metrics_counter(metrics, "owm_pool_journal_damaged_total",
                            "Journal segments with damage that no crash explains", NULL);
    feeder->gauge_lag =
        owm_metrics_gauge(metrics, "owm_pool_feeder_lag_seconds",
                          "Age of the newest share fed while there is more to feed", NULL);
}

owm_status owm_feeder_open(const struct owm_feeder_options *options, struct owm_feeder **out,
                           struct owm_error *error)
{
    struct owm_feeder *feeder = calloc(1, sizeof(*feeder));
    if (!feeder) return OWM_E_NOMEM;
    sem_init(&feeder->wake, 0, 0);
    feeder->options = *options;
    feeder->folder = strdup(options->folder);
    if (!options->poll_ms) feeder->options.poll_ms = OWM_FEEDER_POLL_MS;
    if (!options->keep_days) feeder->options.keep_days = OWM_FEEDER_KEEP_DAYS;
    if (!options->journal_days) feeder->options.journal_days = OWM_FEEDER_JOURNAL_DAYS;
    make_metrics(feeder, options->metrics);
    owm_status status = feeder->folder ? connect(feeder, error) : OWM_E_NOMEM;
    if (status != OWM_OK) {
        owm_feeder_close(feeder);
        return status;
    }
    *out = feeder;
    return OWM_OK;
}

owm_status owm_feeder_start(struct owm_feeder *feeder)
{
    if (pthread_create(&feeder->thread, NULL, run, feeder) != 0) return OWM_E_NOMEM;
    feeder->started = true;
    return OWM_OK;
}

void owm_feeder_close(struct owm_feeder *feeder)
{
    if (!feeder) return;
    if (feeder->started) {
        atomic_store(&feeder->stopping, true);
        sem_post(&feeder->wake);
        pthread_join(feeder->thread, NULL);
    }
    forget(feeder);
    if (feeder->batch_made) feed_batch_deinit(&feeder->batch);
    owm_pg_close(feeder->pg);
    sem_destroy(&feeder->wake);
    free(feeder->folder);
    free(feeder);
}

void owm_feeder_stats_get(const struct owm_feeder *feeder, struct owm_feeder_stats *stats)
{
    *stats = (struct owm_feeder_stats){
        .fed = atomic_load(&feeder->fed),
        .duplicates = atomic_load(&feeder->duplicates),
        .transactions = atomic_load(&feeder->transactions),
        .failures = atomic_load(&feeder->failures),
        .damaged_segments = atomic_load(&feeder->damaged),
        .lag_ms = atomic_load(&feeder->lag_ms),
        .database_away = atomic_load(&feeder->away),
    };
}
