/* payer_line.c: the thread of one ledger: lead, write what calls brought, claim, start calls,
 * sleep. */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "payer_internal.h"

#define LEAD_AGAIN_MS 1000
#define AWAY_POLL_MS  250
#define SUMS_MS       2000
#define DAY_MS        86400000ll

void pay_line_wake(struct pay_line *line)
{
    const uint64_t one = 1;
    (void)!write(line->wake_fd, &one, sizeof(one));
}

/* ---------------------------------------------------------------------------- to lead */

/* Everything in flight is asked about, before anything is sent. */
static owm_status take_flying(struct pay_line *line, int64_t now_ms, struct owm_error *error)
{
    struct owm_payment *list = NULL;
    size_t count = 0;
    owm_status status = owm_pay_ledger_flying(line->ledger, &list, &count, error);
    for (size_t i = 0; i < count; i++) {
        struct pay_job *job = status == OWM_OK ? calloc(1, sizeof(*job)) : NULL;
        if (!job) {
            owm_payment_deinit(&list[i]);
            status = OWM_E_NOMEM;
            continue;
        }
        const struct owm_heard nothing = {.of = OWM_HEARD_NOTHING};
        const struct owm_moment now = {.retry = &line->pay->options.retry, .now_ms = now_ms};
        job->payment = list[i];
        job->generation = line->generation;
        job->attempt = (struct owm_attempt){.kind = list[i].kind, .expires_ms = list[i].expires_ms};
        job->step = owm_attempt_step(&job->attempt, &nothing, &now);
        job->call = PAY_TRACK;
        job->at_ms = job->step.at_ms;
        job->next = line->waiting;
        line->waiting = job;
        line->jobs++;
    }
    free(list);
    return status;
}

void pay_line_sure(struct pay_line *line, uint64_t asked_ms)
{
    atomic_store(&line->sure_ms, asked_ms);
}

/* What is at a worker meanwhile comes back with an old generation, and is dropped; what waits for
 * one is not sent. */
static void drop_all(struct pay_line *line)
{
    atomic_store(&line->leads, 0);
    while (line->waiting) {
        struct pay_job *job = line->waiting;
        line->waiting = job->next;
        pay_job_free(job);
    }
    line->jobs = 0;
    line->leading = false;
    owm_gauge_set(line->meters.leading, 0);
}

static owm_status lead(struct pay_line *line, int64_t now_ms, struct owm_error *error)
{
    uint64_t asked_ms = owm_clock_mono_ms();
    owm_status status = owm_pay_ledger_lead(line->ledger, error);
    if (status == OWM_OK) {
        line->generation++;
        status = take_flying(line, now_ms, error);
    }
    if (status != OWM_OK) {
        drop_all(line);
        if (!line->said)
            owm_log(status == OWM_E_EXISTS ? OWM_LOG_INFO : OWM_LOG_WARN,
                    "payments_standing_by ledger=%s reason=\"%s\"",
                    owm_pay_ledger_name(line->ledger), error->text);
        line->said = true;
        return status;
    }
    line->leading = true;
    pay_line_sure(line, asked_ms);
    atomic_store(&line->leads, line->generation);
    line->said = false;
    line->sums_ms = 0;
    owm_gauge_set(line->meters.leading, 1);
    owm_log(OWM_LOG_INFO, "payments_leading ledger=%s in_flight=%u",
            owm_pay_ledger_name(line->ledger), line->jobs);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- results */

static owm_status write_all(struct pay_line *line, struct pay_job **jobs, size_t count,
                            int64_t now_ms, struct owm_error *error)
{
    uint64_t asked_ms = owm_clock_mono_ms();
    owm_status status = owm_pay_ledger_begin(line->ledger, error);
    for (size_t i = 0; status == OWM_OK && i < count; i++)
        status = pay_write(line, jobs[i], now_ms, error);
    if (status == OWM_OK) status = owm_pay_ledger_commit(line->ledger, error);
    if (status == OWM_OK)
        pay_line_sure(line, asked_ms);
    else
        owm_pay_ledger_rollback(line->ledger);
    return status;
}

/* Together if that goes; else each alone, so that a row which the database refuses keeps nobody
 * else waiting: its payment stays in flight, and is asked about after the next start. */
static owm_status write_jobs(struct pay_line *line, struct pay_job **jobs, size_t count,
                             int64_t now_ms, struct owm_error *error)
{
    if (count == 0) return OWM_OK;
    owm_status status = write_all(line, jobs, count, now_ms, error);
    if (status == OWM_OK)
        for (size_t i = 0; i < count; i++) pay_written(line, jobs[i], now_ms);
    if (status == OWM_OK) return OWM_OK;
    for (size_t i = 0; i < count; i++) {
        if (!owm_pg_transient(status)) status = write_all(line, &jobs[i], 1, now_ms, error);
        if (status == OWM_OK) {
            pay_written(line, jobs[i], now_ms);
            continue;
        }
        if (!owm_pg_transient(status)) {
            pay_log(line, jobs[i], "payment_not_written");
            owm_log(OWM_LOG_ERROR, "payment_not_written reason=\"%s\"", error->text);
        }
        line->jobs--;
        pay_job_free(jobs[i]);
    }
    return owm_pg_transient(status) ? status : OWM_OK;
}

static owm_status take_results(struct pay_line *line, int64_t now_ms, struct owm_error *error)
{
    struct pay_job *batch[OWM_PAY_CLAIM_MAX];
    size_t count = 0;
    owm_status status = OWM_OK;
    pthread_mutex_lock(&line->lock);
    struct pay_job *done = line->done;
    line->done = NULL;
    pthread_mutex_unlock(&line->lock);
    while (done) {
        struct pay_job *job = done;
        done = job->next;
        if (job->generation != line->generation || !line->leading || status != OWM_OK) {
            pay_job_free(job);
        } else if (pay_finish(line, job, now_ms)) {
            batch[count++] = job;
        } else {
            job->next = line->waiting;
            line->waiting = job;
        }
        if (count < OWM_PAY_CLAIM_MAX) continue;
        status = write_jobs(line, batch, count, now_ms, error);
        count = 0;
    }
    return status == OWM_OK ? write_jobs(line, batch, count, now_ms, error) : status;
}

/* ---------------------------------------------------------------------------- calls */

static bool start_call(struct pay_line *line, struct pay_job *job)
{
    struct owm_pay *pay = line->pay;
    pthread_mutex_lock(&pay->calls_lock);
    struct owm_workers *workers = job->call == PAY_RESOLVE ? pay->resolvers : pay->workers;
    bool started =
        !atomic_load(&pay->stopping) && owm_workers_run(workers, pay_job_run, line, job) == OWM_OK;
    pthread_mutex_unlock(&pay->calls_lock);
    return started;
}

/* No pause is longer than this: a time further off is of a clock that has been set back since. */
static bool is_later(const struct pay_job *job, int64_t now_ms)
{
    return job->at_ms > now_ms && job->at_ms <= now_ms + OWM_ATTEMPT_LOOK_MAX_MS;
}

/* Those whose time has come go to a worker, while there is a node and room. */
static void start_calls(struct pay_line *line, int64_t now_ms)
{
    if (!owm_wallet_ready(line->pay->wallet)) return;
    for (struct pay_job **at = &line->waiting; *at;) {
        struct pay_job *job = *at, *next = job->next;
        if (is_later(job, now_ms)) {
            at = &job->next;
            continue;
        }
        if (start_call(line, job))
            *at = next;
        else
            at = &job->next;
    }
}

static owm_status read_sums(struct pay_line *line, int64_t now_ms, struct owm_error *error)
{
    struct owm_pay *pay = line->pay;
    struct owm_pay_sums sums;
    if (now_ms - line->sums_ms < SUMS_MS && now_ms >= line->sums_ms) return OWM_OK;
    line->sums_ms = now_ms;
    uint64_t asked_ms = owm_clock_mono_ms();
    owm_status status = owm_pay_ledger_sums(line->ledger, now_ms - DAY_MS, &sums, error);
    if (status != OWM_OK) return status;
    pay_line_sure(line, asked_ms);
    pthread_mutex_lock(&pay->budget_lock);
    pay->spent_msat[line->index] = sums.spent_msat;
    pthread_mutex_unlock(&pay->budget_lock);
    pay_meters_show(line, &sums, now_ms);
    return OWM_OK;
}

static unsigned pause_ms(const struct pay_line *line, int64_t now_ms, bool more)
{
    if (!line->leading) return LEAD_AGAIN_MS;
    if (more) return 0;
    int64_t pause = OWM_PAY_POLL_MS;
    if (!owm_wallet_ready(line->pay->wallet)) return AWAY_POLL_MS;
    for (const struct pay_job *job = line->waiting; job; job = job->next)
        if (job->at_ms - now_ms < pause) pause = job->at_ms - now_ms;
    return pause < 1 ? 1 : (unsigned)pause;
}

static void rest(struct pay_line *line, unsigned ms)
{
    uint64_t count;
    int ledger_fd = line->leading ? owm_pay_ledger_fd(line->ledger) : -1;
    struct pollfd fds[2] = {{.fd = line->wake_fd, .events = POLLIN},
                            {.fd = ledger_fd, .events = POLLIN}};
    (void)poll(fds, ledger_fd >= 0 ? 2 : 1, (int)ms);
    if (fds[0].revents) (void)!read(line->wake_fd, &count, sizeof(count));
    if (fds[1].revents) owm_pay_ledger_heard(line->ledger);
}

static void turn(struct pay_line *line)
{
    struct owm_pay *pay = line->pay;
    struct owm_error error = {""};
    int64_t now_ms = owm_clock_wall_ms();
    bool more = false, was_leading = line->leading;
    owm_status status = line->leading ? OWM_OK : lead(line, now_ms, &error);
    if (status == OWM_OK) status = take_results(line, now_ms, &error);
    if (status == OWM_OK) status = read_sums(line, now_ms, &error);
    if (status == OWM_OK && !pay->options.paused && !atomic_load(&pay->stopping)
        && owm_wallet_ready(pay->wallet))
        status = pay_claim(line, now_ms, &more, &error);
    if (status == OWM_OK) {
        start_calls(line, now_ms);
    } else if (was_leading || line->leading) {
        owm_pay_ledger_rollback(line->ledger);
        owm_log(OWM_LOG_WARN, "payments_ledger_lost ledger=%s reason=\"%s\"",
                owm_pay_ledger_name(line->ledger), error.text);
        drop_all(line);
    }
    rest(line, pause_ms(line, now_ms, more));
}

void *pay_line_main(void *arg)
{
    struct pay_line *line = arg;
    struct owm_error error = {""};
    while (!atomic_load(&line->pay->ending)) turn(line);
    if (take_results(line, owm_clock_wall_ms(), &error) != OWM_OK)
        owm_log(OWM_LOG_WARN, "payments_end_not_written ledger=%s reason=\"%s\"",
                owm_pay_ledger_name(line->ledger), error.text);
    drop_all(line);
    return NULL;
}
