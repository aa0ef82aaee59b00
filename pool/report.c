/* report.c: two threads that collect, and the lock under which others look. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "dataplane/chain/target.h"
#include "report_internal.h"

#define LIVE_REST 9 /* Rests this many times as long as a collection took: a tenth of a core. */

void report_pause(struct owm_report *report, uint64_t until_mono_ms, bool wake)
{
    while (!report->stopping && owm_clock_mono_ms() < until_mono_ms) {
        if (wake && report_waiting(report)) return;
        (void)owm_cond_wait(&report->changed, &report->lock, until_mono_ms);
    }
}

static void *live_run(void *arg)
{
    struct owm_report *report = arg;
    for (;;) {
        pthread_mutex_lock(&report->lock);
        uint64_t begun_ms = report->live->taken_mono_ms;
        uint64_t rest_ms = (owm_clock_mono_ms() - begun_ms) * LIVE_REST;
        report_pause(report,
                     begun_ms + (rest_ms > OWM_REPORT_LIVE_MS ? rest_ms : OWM_REPORT_LIVE_MS),
                     false);
        bool stopping = report->stopping;
        pthread_mutex_unlock(&report->lock);
        if (stopping) return NULL;
        report_collect(report);
        if (report->on_live) report->on_live(report->ctx);
    }
}

/* ---------------------------------------------------------------------------- opening */

static bool take_memory(struct owm_report *report, const struct owm_report_options *options)
{
    size_t loops = options->loop_count;
    report->loops = calloc(loops ? loops : 1, sizeof *report->loops);
    report->views = calloc(OWM_WORKERS_COPY, sizeof *report->views);
    report->live = calloc(1, sizeof *report->live);
    report->next_live = calloc(1, sizeof *report->next_live);
    report->ledger = calloc(1, sizeof *report->ledger);
    report->next_ledger = calloc(1, sizeof *report->next_ledger);
    report->database_url = strdup(options->database_url);
    report->network = strdup(options->network);
    if (!report->loops || !report->views || !report->live || !report->next_live || !report->ledger
        || !report->next_ledger || !report->database_url || !report->network)
        return false;
    memcpy(report->loops, options->loops, loops * sizeof *report->loops);
    return true;
}

owm_status owm_report_open(const struct owm_report_options *options, struct owm_report **out)
{
    struct owm_report *report = calloc(1, sizeof *report);
    if (!report) return OWM_E_NOMEM;
    owm_cond_init(&report->changed);
    pthread_mutex_init(&report->lock, NULL);
    report->options = *options;
    if (!report->options.template_age_max_ms)
        report->options.template_age_max_ms = OWM_REPORT_TEMPLATE_AGE_MS;
    if (!report->options.database_away_max_ms)
        report->options.database_away_max_ms = OWM_REPORT_DATABASE_AWAY_MS;
    report->started_mono_ms = owm_clock_mono_ms();
    if (!take_memory(report, options)) goto fail;
    report->ledger->away_since_ms = report->started_mono_ms;
    report_collect(report);
    *out = report;
    return OWM_OK;
fail:
    owm_report_close(report);
    return OWM_E_NOMEM;
}

owm_status owm_report_start(struct owm_report *report, void (*on_live)(void *ctx), void *ctx)
{
    report->on_live = on_live;
    report->ctx = ctx;
    report->live_started = pthread_create(&report->live_thread, NULL, live_run, report) == 0;
    report->ledger_started =
        pthread_create(&report->ledger_thread, NULL, report_ledger_run, report) == 0;
    return report->live_started && report->ledger_started ? OWM_OK : OWM_E_NOMEM;
}

void owm_report_stop(struct owm_report *report)
{
    if (!report) return;
    pthread_mutex_lock(&report->lock);
    report->stopping = true;
    pthread_cond_broadcast(&report->changed);
    pthread_mutex_unlock(&report->lock);
    if (report->live_started) pthread_join(report->live_thread, NULL);
    if (report->ledger_started) pthread_join(report->ledger_thread, NULL);
    report->live_started = report->ledger_started = false;
}

void owm_report_close(struct owm_report *report)
{
    if (!report) return;
    owm_report_stop(report);
    for (size_t i = 0; i < OWM_REPORT_ASKED_MAX; i++) free(report->asked[i].stored);
    free(report->table.entries);
    free(report->next_table.entries);
    free(report->live);
    free(report->next_live);
    free(report->ledger);
    free(report->next_ledger);
    free(report->loops);
    free(report->views);
    free(report->database_url);
    free(report->network);
    pthread_cond_destroy(&report->changed);
    pthread_mutex_destroy(&report->lock);
    free(report);
}

/* ---------------------------------------------------------------------------- looking */

void owm_report_work(struct owm_report *report, const struct owm_work *work)
{
    const struct owm_basis *basis = &work->basis;
    struct owm_uint256 hashes = owm_target_hashes(work->block->target);
    struct owm_report_price price = {
        .work_number = work->number,
        .height = basis->height,
        .difficulty = owm_target_difficulty(work->block->target),
        .network_hashes = owm_uint256_to_double(&hashes),
        .subsidy_sats = basis->subsidy_sats,
        .fees_sats = basis->fees_sats,
        .transactions = work->block->transactions,
        .made_ms = work->made_ms,
    };
    double sats = (double)(basis->subsidy_sats + basis->fees_sats);
    price.miner_sats_per_hash =
        sats / price.network_hashes * basis->pay_basis_points / OWM_BASIS_POINTS;
    pthread_mutex_lock(&report->lock);
    report->price = price;
    pthread_mutex_unlock(&report->lock);
}

struct owm_report_now owm_report_lock(struct owm_report *report)
{
    pthread_mutex_lock(&report->lock);
    return (struct owm_report_now){report->live, report->ledger, &report->options.terms,
                                   report->network};
}

void owm_report_unlock(struct owm_report *report)
{
    pthread_mutex_unlock(&report->lock);
}

/* ---------------------------------------------------------------------------- health */

#define REASON(...) snprintf(reasons[count++].text, sizeof reasons->text, __VA_ARGS__)

size_t owm_report_reasons(const struct owm_report *report, struct owm_report_reason *reasons)
{
    const struct owm_report_live *live = report->live;
    const struct owm_report_ledger *ledger = report->ledger;
    uint64_t now_ms = owm_clock_mono_ms();
    size_t count = 0;
    if (live->has_node && !live->node.usable)
        REASON("no Bitcoin node gives templates; miners go on with the last one");
    else if (live->has_node && live->node.template_age_ms > report->options.template_age_max_ms)
        REASON(
            "the newest template is %llu s old: the Bitcoin node hangs, and what miners find may "
            "be worth nothing",
            (unsigned long long)live->node.template_age_ms / 1000);
    if (live->price.work_number == 0) REASON("there is nothing to mine yet");
    if (live->journal_failed)
        REASON("the journal has failed and no share is accepted any more; make room on the disk, "
               "then start the pool again");
    if (ledger->away_since_ms
        && now_ms - ledger->away_since_ms > report->options.database_away_max_ms)
        REASON("the database has not answered for %llu s; shares are kept in the journal",
               (unsigned long long)(now_ms - ledger->away_since_ms) / 1000);
    if (now_ms - live->taken_mono_ms > report->options.template_age_max_ms)
        REASON("the numbers are %llu s old: the machine is overloaded",
               (unsigned long long)(now_ms - live->taken_mono_ms) / 1000);
    return count;
}
