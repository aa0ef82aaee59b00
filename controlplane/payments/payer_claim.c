/* payer_claim.c: from rows that are due to jobs, within the budget. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "payer_internal.h"

#define NOBODY_PAUSE_MS  600000 /* until a payee without a destination is looked at again */
#define RESOLVE_LEASE_MS 60000  /* a row whose invoice is being asked for comes again after this */

bool pay_afford(struct pay_line *line, int64_t msat)
{
    struct owm_pay *pay = line->pay;
    int64_t budget = pay->options.daily_budget_msat, spent = 0;
    if (!budget) return true;
    pthread_mutex_lock(&pay->budget_lock);
    for (unsigned i = 0; i < PAY_LINES_MAX; i++) spent += pay->spent_msat[i];
    bool afford = msat <= budget - spent;
    if (afford) pay->spent_msat[line->index] += msat;
    pthread_mutex_unlock(&pay->budget_lock);
    if (!afford && !line->broke)
        owm_log(
            OWM_LOG_WARN,
            "payments_budget_used_up ledger=%s budget_sats=%lld spent_sats=%lld: nothing is sent"
            " until earlier payments are 24 hours old, or payments.daily_budget_sats is raised",
            owm_pay_ledger_name(line->ledger), (long long)budget / 1000, (long long)spent / 1000);
    line->broke = !afford;
    return afford;
}

static owm_status not_now(struct pay_line *line, const struct owm_payment *payment,
                          int64_t until_ms, const char *why, struct owm_error *error)
{
    struct owm_pay_later later = {
        .until_ms = until_ms, .failures = payment->failures, .state = "owed", .reason = why};
    return owm_pay_ledger_later(line->ledger, payment, &later, error);
}

/* A keysend, or a book entry: the attempt's hash is the payment's own. */
static owm_status own_hash(struct pay_line *line, struct pay_job *job, int64_t now_ms,
                           struct owm_error *error)
{
    struct owm_payment *payment = &job->payment;
    bool book = job->destination.kind == OWM_DESTINATION_BOOK;
    payment->kind = book ? OWM_ATTEMPT_BOOK : OWM_ATTEMPT_KEYSEND;
    memcpy(payment->attempt_hash, payment->payment_hash, 32);
    memcpy(payment->destination, job->destination.key, OWM_LIGHTNING_KEY_BYTES);
    payment->fee_limit_msat =
        book ? 0 : owm_pay_fee_limit_msat(&line->pay->options, payment->amount_msat);
    job->attempt = (struct owm_attempt){.kind = payment->kind};
    job->call = PAY_SEND;
    job->step = (struct owm_step){.kind = OWM_STEP_PAY, .at_ms = now_ms};
    owm_status status = owm_pay_ledger_attempt(line->ledger, payment, now_ms, error);
    if (status != OWM_OK || !book) return status;
    struct owm_payment written = *payment;
    written.attempts++;
    owm_payment_preimage(line->secret, payment->payment_id, job->outcome.preimage);
    job->step = (struct owm_step){.kind = OWM_STEP_SETTLE, .at_ms = now_ms};
    snprintf(job->step.reason, sizeof(job->step.reason), "book entry: the treasury pays itself");
    return owm_pay_ledger_settled(line->ledger, &written, &job->outcome, error);
}

/* The rows of another secret are not ours to pay: their preimage is not known here. */
static bool our_secret(const struct pay_line *line, const struct owm_payment *payment)
{
    uint8_t hash[32];
    owm_payment_hash(line->secret, payment->payment_id, hash);
    return memcmp(hash, payment->payment_hash, 32) == 0;
}

enum claimed { CLAIMED_JOB, CLAIMED_NOT, CLAIMED_ENOUGH };

static bool ever_affordable(const struct pay_line *line, int64_t msat)
{
    int64_t budget = line->pay->options.daily_budget_msat;
    return !budget || msat <= budget;
}

static owm_status claim_key(struct pay_line *line, struct pay_job *job, int64_t now_ms,
                            enum claimed *claimed, struct owm_error *error)
{
    const struct owm_payment *payment = &job->payment;
    bool book = job->destination.kind == OWM_DESTINATION_BOOK;
    int64_t need_msat =
        payment->amount_msat + owm_pay_fee_limit_msat(&line->pay->options, payment->amount_msat);
    if (!our_secret(line, payment))
        return not_now(line, payment, now_ms + NOBODY_PAUSE_MS,
                       "made with another payment secret than the one of this coordinator", error);
    if (!book && !ever_affordable(line, need_msat))
        return not_now(line, payment, now_ms + NOBODY_PAUSE_MS,
                       "more than payments.daily_budget_sats allows in a day", error);
    if (!book && !pay_afford(line, need_msat)) {
        *claimed = CLAIMED_ENOUGH;
        return OWM_OK;
    }
    owm_status status = own_hash(line, job, now_ms, error);
    *claimed = status == OWM_OK ? CLAIMED_JOB : CLAIMED_NOT;
    return status == OWM_E_EXISTS ? OWM_OK : status;
}

static owm_status claim_one(struct pay_line *line, struct pay_job *job, int64_t now_ms,
                            enum claimed *claimed, struct owm_error *error)
{
    struct owm_pay *pay = line->pay;
    *claimed = CLAIMED_NOT;
    job->destination = owm_destination_of(&job->payment, pay->options.treasury_destination,
                                          pay->options.node.backend);
    switch (job->destination.kind) {
    case OWM_DESTINATION_KEY:
    case OWM_DESTINATION_BOOK:
        return claim_key(line, job, now_ms, claimed, error);
    case OWM_DESTINATION_ADDRESS:
    case OWM_DESTINATION_OFFER:
        *claimed = CLAIMED_JOB;
        job->call = PAY_RESOLVE;
        return not_now(line, &job->payment, now_ms + RESOLVE_LEASE_MS, OWM_PAY_RESOLVING, error);
    case OWM_DESTINATION_NONE:
        break;
    }
    return not_now(line, &job->payment, now_ms + NOBODY_PAUSE_MS, job->destination.why, error);
}

/* The rows into jobs, until one cannot be afforded. */
static owm_status claim_rows(struct pay_line *line, struct owm_payment *list, size_t count,
                             struct pay_job **jobs, int64_t now_ms, struct owm_error *error)
{
    owm_status status = OWM_OK;
    enum claimed claimed = CLAIMED_NOT;
    for (size_t i = 0; status == OWM_OK && i < count && claimed != CLAIMED_ENOUGH; i++) {
        struct pay_job *job = calloc(1, sizeof(*job));
        if (!job) return OWM_E_NOMEM;
        job->payment = list[i];
        job->generation = line->generation;
        status = claim_one(line, job, now_ms, &claimed, error);
        if (status == OWM_OK && claimed == CLAIMED_JOB) {
            job->next = *jobs;
            *jobs = job;
        } else {
            pay_job_free(job);
        }
    }
    return status;
}

/* After the commit. */
static void start_job(struct pay_line *line, struct pay_job *job, int64_t now_ms)
{
    line->jobs++;
    if (job->call != PAY_RESOLVE) {
        if (job->step.kind == OWM_STEP_SETTLE) job->payment.attempts++;
        pay_written(line, job, now_ms);
        return;
    }
    job->at_ms = now_ms;
    job->next = line->waiting;
    line->waiting = job;
}

owm_status pay_claim(struct pay_line *line, int64_t now_ms, bool *more, struct owm_error *error)
{
    const struct owm_pay_options *options = &line->pay->options;
    struct owm_payment *list = NULL;
    struct pay_job *jobs = NULL;
    size_t count = 0;
    if (line->jobs >= options->in_flight_max) return OWM_OK;
    struct owm_pay_claim claim = {.now_ms = now_ms,
                                  .max = options->in_flight_max - line->jobs,
                                  .per_payee = OWM_PAY_PER_PAYEE};
    uint64_t asked_ms = owm_clock_mono_ms();
    owm_status status = owm_pay_ledger_begin(line->ledger, error);
    if (status == OWM_OK) status = owm_pay_ledger_due(line->ledger, &claim, &list, &count, error);
    if (status == OWM_OK) status = claim_rows(line, list, count, &jobs, now_ms, error);
    if (status == OWM_OK) status = owm_pay_ledger_commit(line->ledger, error);
    if (status == OWM_OK) pay_line_sure(line, asked_ms);
    *more = status == OWM_OK && count == OWM_PAY_CLAIM_MAX && !line->broke;
    while (jobs) {
        struct pay_job *job = jobs;
        jobs = job->next;
        if (status == OWM_OK)
            start_job(line, job, now_ms);
        else
            pay_job_free(job);
    }
    free(list);
    return status;
}
