/* hall.c: the tables of one loop, a new work, and the turn. */
#include "hall.h"

#include <stdlib.h>
#include <string.h>

#include "hall_internal.h"

static void default_to(uint32_t *value, uint32_t fallback)
{
    if (!*value) *value = fallback;
}

static void complete(struct owm_hall_options *options)
{
    default_to(&options->sessions_max, 65536);
    default_to(&options->channels_max, 65536);
    default_to(&options->workers_max, 65536);
    default_to(&options->channels_per_session, 64);
    default_to(&options->channels_per_miner,
               options->channels_max > 4 * 64 ? options->channels_max / 4 : 64);
    default_to(&options->channels_per_address,
               options->channels_max > 64 + 64 / 3 ? options->channels_max / 4 * 3 : 64);
    default_to(&options->share_table, OWM_DEDUP_ENTRIES_DEFAULT);
    default_to(&options->batch_max, 1024);
    default_to(&options->acks_max, 65536);
    default_to(&options->handshake_ms, 10 * 1000);
    default_to(&options->setup_ms, 10 * 1000);
    default_to(&options->channel_ms, 30 * 1000);
    default_to(&options->idle_ms, 30 * 60 * 1000);
    default_to(&options->rejects_in_row_max, 1000);
    default_to(&options->log_lines, 4);
    if (!options->prefixes_max) options->prefixes_max = UINT64_C(1) << 40;
    owm_vardiff_policy_complete(&options->vardiff);
}

static owm_status check(const struct owm_hall_options *options, struct owm_error *error)
{
    const struct owm_backend *backend = options->device ? options->device->backend : NULL;
    if (options->sessions_max > OWM_HALL_SESSIONS_MAX
        || options->channels_max > OWM_HALL_CHANNELS_MAX || options->workers_max > OWM_WORKERS_MAX
        || options->batch_max > OWM_HALL_BATCH_MAX || options->acks_max > OWM_HALL_ACKS_MAX
        || options->share_table > OWM_DEDUP_ENTRIES_MAX || options->loop > UINT8_MAX
        || options->prefixes_max > UINT64_C(1) << 40)
        return owm_fail(error, OWM_E_ARG, "a limit of the pool's loop %u is above what it can hold",
                        options->loop);
    if (!backend || !backend->sha256d_batch || !backend->sha256d_merkle)
        return owm_fail(error, OWM_E_ARG, "backend %s cannot check shares: it lacks SHA-256d",
                        backend ? backend->name : "(none)");
    return OWM_OK;
}

static bool take_tables(struct owm_hall *hall)
{
    const struct owm_hall_options *options = &hall->options;
    hall->session = calloc(options->sessions_max, sizeof *hall->session);
    hall->channel = calloc(options->channels_max, sizeof *hall->channel);
    hall->pending = calloc(options->batch_max, sizeof *hall->pending);
    hall->hash = calloc(options->batch_max, sizeof *hall->hash);
    hall->ack = calloc(options->acks_max, sizeof *hall->ack);
    hall->merkle_row = calloc(MERKLE_ROWS, MERKLE_ROW_BYTES);
    hall->merkle_root = calloc(MERKLE_ROWS, sizeof *hall->merkle_root);
    return hall->session && hall->channel && hall->pending && hall->hash && hall->ack
           && hall->merkle_row && hall->merkle_root
           && owm_timers_open(options->sessions_max, hall->now_ms, &hall->timers) == OWM_OK
           && owm_workers_open(options->workers_max, &hall->workers) == OWM_OK
           && owm_tally_open(options->channels_max, &hall->miners) == OWM_OK
           && owm_tally_open(options->channels_max, &hall->addresses) == OWM_OK
           && owm_dedup_open(options->share_table, &hall->dedup) == OWM_OK;
}

static void link_free(struct owm_hall *hall)
{
    for (uint32_t i = 0; i < hall->options.sessions_max; i++)
        hall->session[i].next_free = i + 1 < hall->options.sessions_max ? i + 1 : NONE;
    for (uint32_t i = 0; i < hall->options.channels_max; i++)
        hall->channel[i].next = i + 1 < hall->options.channels_max ? i + 1 : NONE;
    hall->fanout_at = NONE;
}

owm_status owm_hall_open(const struct owm_hall_options *options, struct owm_pool_time now,
                         struct owm_hall **out, struct owm_error *error)
{
    struct owm_hall_options whole = *options;
    complete(&whole);
    owm_status status = check(&whole, error);
    if (status != OWM_OK) return status;
    struct owm_hall *hall = calloc(1, sizeof *hall);
    if (!hall) return owm_fail(error, OWM_E_NOMEM, "no memory for loop %u", options->loop);
    hall->options = whole;
    owm_hall_clock(hall, now);
    owm_rate_init(&hall->stats.rate, hall->now_ms);
    if (!take_tables(hall)) {
        owm_hall_close(hall);
        return owm_fail(
            error, OWM_E_NOMEM,
            "no memory for loop %u with %u sessions, %u channels, %u places for shares: "
            "lower these limits",
            whole.loop, whole.sessions_max, whole.channels_max, whole.share_table);
    }
    link_free(hall);
    *out = hall;
    return OWM_OK;
}

void owm_hall_close(struct owm_hall *hall)
{
    if (!hall) return;
    job_end_all(hall);
    owm_timers_close(&hall->timers);
    owm_workers_close(hall->workers);
    owm_tally_close(&hall->miners);
    owm_tally_close(&hall->addresses);
    owm_dedup_close(hall->dedup);
    free(hall->session);
    free(hall->channel);
    free(hall->pending);
    free(hall->hash);
    free(hall->ack);
    free(hall->merkle_row);
    free(hall->merkle_root);
    free(hall);
}

void owm_hall_clock(struct owm_hall *hall, struct owm_pool_time now)
{
    if (now.mono_ns < hall->now.mono_ns) now.mono_ns = hall->now.mono_ns;
    hall->now = now;
    hall->now_ms = (int64_t)(now.mono_ns / 1000000);
}

static bool is_older(struct owm_hall *hall, const struct owm_work *work)
{
    const struct owm_job *job = job_newest(hall);
    return job && work->number <= job->work->number;
}

void owm_hall_work(struct owm_hall *hall, struct owm_work *work, uint64_t posted_ns)
{
    if (is_older(hall, work)) {
        owm_work_release(work);
        return;
    }
    verdict_flush(hall); /* What came before it is judged by what was mined then. */
    owm_hall_acks(hall);
    job_begin(hall, work);
    fanout_begin(hall, posted_ns);
}

void owm_hall_reconnect(struct owm_hall *hall, const char *host, uint16_t port)
{
    for (uint32_t i = 0; i < hall->sessions_high; i++) {
        struct owm_session *session = &hall->session[i];
        if (session->state == SESSION_OPEN)
            SESSION_SEND(session, reconnect, .new_host = owm_sv2_view_of(host, strlen(host)),
                         .new_port = port);
    }
}

int64_t owm_hall_turn(struct owm_hall *hall)
{
    verdict_flush(hall);
    bool more = fanout_turn(hall);
    for (uint32_t i; (i = owm_timers_due(&hall->timers, hall->now_ms)) != OWM_TIMER_NONE;)
        session_tick(&hall->session[i]);
    owm_hall_acks(hall);
    return more ? 0 : owm_timers_next_ms(&hall->timers);
}

const struct owm_pool_stats *owm_hall_stats(const struct owm_hall *hall)
{
    return &hall->stats;
}

struct owm_pool_stats *owm_hall_counters(struct owm_hall *hall)
{
    return &hall->stats;
}

struct owm_workers *owm_hall_workers(struct owm_hall *hall)
{
    return hall->workers;
}
