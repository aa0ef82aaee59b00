/* payer_job.c: a payment in hand: its call on a worker, what that means, and how it is written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "payer_internal.h"

#define AWAY_PAUSE_MS   1000 /* there was no node to call */
#define BUDGET_PAUSE_MS 60000

void pay_job_free(struct pay_job *job)
{
    if (!job) return;
    owm_payment_deinit(&job->payment);
    free(job);
}

int64_t owm_pay_fee_limit_msat(const struct owm_pay_options *options, int64_t amount_msat)
{
    __int128 share = (__int128)amount_msat * options->fee_ppm / 1000000;
    int64_t limit = share > amount_msat ? amount_msat : (int64_t)share;
    if (limit < options->fee_min_msat) limit = options->fee_min_msat;
    return limit < amount_msat ? limit : amount_msat;
}

/* ---------------------------------------------------------------------------- on a worker */

static owm_status resolve(const struct pay_line *line, struct pay_job *job, owm_lightning *node,
                          const uint8_t *own)
{
    (void)line;
    struct owm_destination_ask ask = {.destination = &job->destination,
                                      .own = own,
                                      .amount_msat = job->payment.amount_msat,
                                      .now_ms = owm_clock_wall_ms()};
    char *invoice = malloc(OWM_LIGHTNING_INVOICE_BYTES);
    if (!invoice) return OWM_E_NOMEM;
    owm_status status = owm_destination_invoice(node, &ask, invoice, &job->request, &job->error);
    if (status == OWM_OK)
        job->payment.invoice = invoice;
    else
        free(invoice);
    return status;
}

static owm_status send(const struct pay_line *line, struct pay_job *job, owm_lightning *node)
{
    const struct owm_payment *payment = &job->payment;
    struct owm_lightning_order order = {.amount_msat = payment->amount_msat,
                                        .fee_limit_msat = payment->fee_limit_msat,
                                        .deadline_s = line->pay->options.deadline_s};
    memcpy(order.payment_hash, payment->attempt_hash, 32);
    if (payment->kind == OWM_ATTEMPT_INVOICE) {
        order.invoice = payment->invoice;
    } else {
        order.destination = payment->destination;
        owm_payment_preimage(line->secret, payment->payment_id, order.preimage);
        memcpy(order.record_id, payment->payment_id, 16);
    }
    owm_status status =
        owm_lightning_pay(node, &order, OWM_PAY_WAIT_MS, &job->outcome, &job->error);
    explicit_bzero(order.preimage, sizeof(order.preimage));
    return status;
}

static void give_back(struct pay_line *line, struct pay_job *job)
{
    pthread_mutex_lock(&line->lock);
    job->next = line->done;
    line->done = job;
    pthread_mutex_unlock(&line->lock);
    pay_line_wake(line);
}

/* What waited for a worker while the ledger was lost is not sent: whoever leads now may have given
 * this attempt up, and paid another. Nor is anything while payments are paused, also not what the
 * node says that it never heard of: it may have been restored from a backup. */
static bool may_call(struct pay_line *line, const struct pay_job *job)
{
    if (atomic_load(&line->pay->stopping)) return false;
    if (job->call != PAY_SEND) return true;
    if (line->pay->options.paused) return false;
    return job->generation == atomic_load(&line->leads)
           && owm_clock_mono_ms() < atomic_load(&line->sure_ms) + OWM_PAY_SURE_MS;
}

void pay_job_run(void *ctx, void *arg)
{
    struct pay_line *line = ctx;
    struct pay_job *job = arg;
    uint8_t own[OWM_LIGHTNING_KEY_BYTES];
    owm_lightning *node = may_call(line, job) ? owm_wallet_enter(line->pay->wallet, own) : NULL;
    job->called = node != NULL;
    if (node) {
        job->error.text[0] = 0;
        job->status = job->call == PAY_RESOLVE ? resolve(line, job, node, own)
                      : job->call == PAY_SEND  ? send(line, job, node)
                                              : owm_lightning_track(node, job->payment.attempt_hash,
                                                                    &job->outcome, &job->error);
        owm_wallet_leave(line->pay->wallet);
        if (!job->error.text[0])
            snprintf(job->error.text, sizeof(job->error.text), "%s", owm_status_text(job->status));
        if (job->call != PAY_RESOLVE)
            owm_wallet_heard(line->pay->wallet, job->status, job->error.text);
    }
    give_back(line, job);
}

/* ---------------------------------------------------------------------------- what it means */

static struct owm_moment moment(struct pay_line *line, const struct pay_job *job, int64_t now_ms)
{
    return (struct owm_moment){.retry = &line->pay->options.retry,
                               .failures = job->payment.failures,
                               .now_ms = now_ms,
                               .chance = (uint32_t)owm_rng_u64(&line->rng)};
}

/* The attempt that the invoice makes possible. */
static void take_invoice(struct pay_line *line, struct pay_job *job)
{
    struct owm_payment *payment = &job->payment;
    payment->kind = OWM_ATTEMPT_INVOICE;
    memcpy(payment->attempt_hash, job->request.payment_hash, 32);
    memcpy(payment->destination, job->request.destination, OWM_LIGHTNING_KEY_BYTES);
    payment->expires_ms = job->request.expires_s * 1000;
    payment->fee_limit_msat = owm_pay_fee_limit_msat(&line->pay->options, payment->amount_msat);
    job->attempt = (struct owm_attempt){.kind = payment->kind, .expires_ms = payment->expires_ms};
}

static struct owm_step owe(int64_t at_ms, const char *why)
{
    struct owm_step step = {.kind = OWM_STEP_OWE, .at_ms = at_ms};
    snprintf(step.reason, sizeof(step.reason), "%s", why);
    return step;
}

static void finish_resolve(struct pay_line *line, struct pay_job *job, int64_t now_ms)
{
    struct owm_moment now = moment(line, job, now_ms);
    if (!job->called) {
        job->step = owe(now_ms + AWAY_PAUSE_MS, "the Lightning node that pays is away");
        return;
    }
    if (job->status != OWM_OK) {
        job->step = owm_attempt_none(job->error.text, &now);
        job->payment.failures++;
        return;
    }
    take_invoice(line, job);
    if (pay_afford(line, job->payment.amount_msat + job->payment.fee_limit_msat))
        job->step = (struct owm_step){.kind = OWM_STEP_PAY, .at_ms = now_ms};
    else
        job->step = owe(now_ms + BUDGET_PAUSE_MS, "the budget of these 24 hours is used up");
}

bool pay_finish(struct pay_line *line, struct pay_job *job, int64_t now_ms)
{
    if (job->call == PAY_RESOLVE) {
        finish_resolve(line, job, now_ms);
        return true;
    }
    if (!job->called) {
        job->at_ms = now_ms + AWAY_PAUSE_MS;
        return false;
    }
    struct owm_heard heard = {.of = job->call == PAY_SEND ? OWM_HEARD_PAY : OWM_HEARD_TRACK,
                              .status = job->status,
                              .found = &job->outcome,
                              .why = job->error.text};
    struct owm_moment now = moment(line, job, now_ms);
    job->step = owm_attempt_step(&job->attempt, &heard, &now);
    if (job->step.kind != OWM_STEP_PAY && job->step.kind != OWM_STEP_TRACK) return true;
    job->call = job->step.kind == OWM_STEP_PAY ? PAY_SEND : PAY_TRACK;
    job->at_ms = job->step.at_ms;
    return false;
}

/* ---------------------------------------------------------------------------- how it is written */

static owm_status write_later(struct pay_line *line, const struct pay_job *job,
                              struct owm_error *error)
{
    struct owm_pay_later later = {.until_ms = job->step.at_ms,
                                  .failures = job->payment.failures,
                                  .state = job->step.kind == OWM_STEP_FAIL ? "failed" : "owed",
                                  .reason = job->step.reason};
    owm_status status = owm_pay_ledger_later(line->ledger, &job->payment, &later, error);
    if (status != OWM_OK || !job->called) return status;
    return owm_pay_ledger_payee_waits(line->ledger, &job->payment, job->step.at_ms, error);
}

static owm_status write_invoice(struct pay_line *line, struct pay_job *job, int64_t now_ms,
                                struct owm_error *error)
{
    owm_status status = owm_pay_ledger_attempt(line->ledger, &job->payment, now_ms, error);
    if (status != OWM_E_EXISTS) return status;
    struct owm_moment now = moment(line, job, now_ms);
    job->step = owm_attempt_none("the invoice that came was used for a payment before", &now);
    job->payment.failures++;
    return write_later(line, job, error);
}

owm_status pay_write(struct pay_line *line, struct pay_job *job, int64_t now_ms,
                     struct owm_error *error)
{
    if (job->call == PAY_RESOLVE)
        return job->step.kind == OWM_STEP_PAY ? write_invoice(line, job, now_ms, error)
                                              : write_later(line, job, error);
    if (job->step.kind == OWM_STEP_SETTLE)
        return owm_pay_ledger_settled(line->ledger, &job->payment, &job->outcome, error);
    return owm_pay_ledger_dead(line->ledger, &job->payment, &job->step, error);
}

static void count_settled(struct pay_line *line, const struct pay_job *job, int64_t now_ms)
{
    const struct owm_payment *payment = &job->payment;
    owm_counter_add(line->meters.succeeded, 1);
    owm_counter_add(line->meters.paid_msat, (uint64_t)payment->amount_msat);
    owm_counter_add(line->meters.fees_msat, (uint64_t)job->outcome.fee_msat);
    owm_histogram_observe(line->meters.settle_s, (double)(now_ms - payment->created_ms) / 1e3);
    if (job->outcome.amount_msat != payment->amount_msat && payment->kind != OWM_ATTEMPT_BOOK)
        owm_log(OWM_LOG_WARN, "payment_amount_differs amount_msat=%lld node_says=%lld",
                (long long)payment->amount_msat, (long long)job->outcome.amount_msat);
}

/* A job whose attempt is committed: to be sent. */
static void send_next(struct pay_line *line, struct pay_job *job, int64_t now_ms)
{
    job->payment.attempts++;
    job->payment.started_ms = now_ms;
    owm_counter_add(line->meters.attempts, 1);
    if (job->payment.attempts == 1)
        owm_histogram_observe(line->meters.dispatch_s,
                              (double)(now_ms - job->payment.created_ms) / 1e3);
    pay_log(line, job, "payment_attempt");
    job->call = PAY_SEND;
    job->at_ms = now_ms;
    job->next = line->waiting;
    line->waiting = job;
}

void pay_written(struct pay_line *line, struct pay_job *job, int64_t now_ms)
{
    if (job->step.kind == OWM_STEP_PAY) {
        send_next(line, job, now_ms);
        return;
    }
    if (job->step.kind == OWM_STEP_SETTLE) {
        count_settled(line, job, now_ms);
        pay_log(line, job, "payment_settled");
    } else {
        if (job->call != PAY_RESOLVE) owm_counter_add(line->meters.dead, 1);
        pay_log(line, job, "payment_failed");
    }
    line->jobs--;
    pay_job_free(job);
}

/* SRS-LN-05. */
void pay_log(const struct pay_line *line, const struct pay_job *job, const char *event)
{
    const struct owm_payment *payment = &job->payment;
    char id[OWM_UUID_TEXT_BYTES], source[OWM_UUID_TEXT_BYTES];
    owm_uuid_format(payment->payment_id, id);
    owm_uuid_format(payment->source_id, source);
    owm_log(OWM_LOG_INFO,
            "%s ledger=%s payment=%s purpose=%s task=%s node=%s amount_msat=%lld attempt=%u kind=%s"
            " fee_msat=%lld reason=\"%s\"",
            event, owm_pay_ledger_name(line->ledger), id, payment->purpose, source, payment->payee,
            (long long)payment->amount_msat, payment->attempts,
            owm_attempt_kind_name(payment->kind), (long long)job->outcome.fee_msat,
            job->step.reason);
}
