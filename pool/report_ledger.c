/* report_ledger.c: what the database says: the pool every few seconds, a miner when asked. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "report_internal.h"

/* ---------------------------------------------------------------------------- the pool */

static owm_status connect_database(struct owm_report *report, struct owm_error *error)
{
    if (report->database) return OWM_OK;
    return owm_ledger_open(report->database_url, &report->database, error);
}

static owm_status read_pool(struct owm_report *report, struct owm_error *error)
{
    struct owm_report_ledger *next = report->next_ledger;
    struct owm_ledger_list list = {.now_ms = owm_clock_wall_ms()};
    owm_status status = connect_database(report, error);
    if (status != OWM_OK) return status;
    status = owm_ledger_summary(report->database, list.now_ms, &next->summary, error);
    list.max = OWM_REPORT_BLOCKS;
    if (status == OWM_OK)
        status =
            owm_ledger_blocks(report->database, &list, next->blocks, &next->block_count, error);
    list.max = OWM_REPORT_PAYOUTS;
    if (status == OWM_OK)
        status =
            owm_ledger_payouts(report->database, &list, next->payouts, &next->payout_count, error);
    list.max = OWM_REPORT_HOURS;
    if (status == OWM_OK)
        status = owm_ledger_hours(report->database, &list, next->hours, &next->hour_count, error);
    next->taken_ms = list.now_ms;
    return status;
}

static void refresh(struct owm_report *report)
{
    struct owm_error error = {""};
    memset(report->next_ledger, 0, sizeof *report->next_ledger);
    owm_status status = read_pool(report, &error);
    pthread_mutex_lock(&report->lock);
    struct owm_report_ledger *old = report->ledger;
    if (status == OWM_OK) {
        report->ledger = report->next_ledger;
        report->next_ledger = old;
    } else if (!old->away_since_ms) {
        old->away_since_ms = owm_clock_mono_ms();
    }
    pthread_mutex_unlock(&report->lock);
    if (status != OWM_OK && !report->away_told)
        owm_log(OWM_LOG_WARN, "page_database_away: %s; the page shows what it had", error.text);
    if (status == OWM_OK && report->away_told) owm_log(OWM_LOG_INFO, "page_database_answers");
    report->away_told = status != OWM_OK;
}

/* ---------------------------------------------------------------------------- one miner */

static owm_status read_miner(struct owm_report *report, const uint8_t *id,
                             struct report_stored *stored, struct owm_error *error)
{
    struct owm_ledger_list list = {.miner = id, .now_ms = owm_clock_wall_ms()};
    owm_status status = connect_database(report, error);
    if (status != OWM_OK) return status;
    stored->taken_ms = list.now_ms;
    status = owm_ledger_miner(report->database, id, list.now_ms, &stored->line, error);
    if (status == OWM_E_NOTFOUND) return OWM_OK;
    stored->known = status == OWM_OK;
    list.max = OWM_REPORT_WORKERS;
    if (status == OWM_OK)
        status = owm_ledger_workers(report->database, &list, stored->workers, &stored->worker_count,
                                    error);
    list.max = OWM_REPORT_MINER_PAYOUTS;
    if (status == OWM_OK)
        status = owm_ledger_payouts(report->database, &list, stored->payouts, &stored->payout_count,
                                    error);
    list.max = OWM_REPORT_MINER_BLOCKS;
    if (status == OWM_OK)
        status =
            owm_ledger_blocks(report->database, &list, stored->blocks, &stored->block_count, error);
    return status;
}

bool report_answer(struct owm_report *report)
{
    struct report_asked *asked = report_waiting(report);
    struct owm_error error = {""};
    if (!asked) return false;
    uint8_t id[OWM_MINER_ID_BYTES]; /* A place that waits is nobody else's. */
    memcpy(id, asked->miner, sizeof id);
    pthread_mutex_unlock(&report->lock);
    struct report_stored *stored = calloc(1, sizeof *stored), *old = stored;
    bool good = stored && read_miner(report, id, stored, &error) == OWM_OK;
    pthread_mutex_lock(&report->lock);
    if (good) {
        old = asked->stored;
        asked->stored = stored;
    }
    asked->state = good ? ASKED_READY : ASKED_FAILED;
    asked->since_ms = owm_clock_mono_ms();
    free(old);
    return true;
}

/* ---------------------------------------------------------------------------- the thread */

void *report_ledger_run(void *arg)
{
    struct owm_report *report = arg;
    for (bool stopping = false; !stopping;) {
        refresh(report);
        uint64_t next_ms = owm_clock_mono_ms() + OWM_REPORT_LEDGER_MS;
        pthread_mutex_lock(&report->lock);
        while (!report->stopping && owm_clock_mono_ms() < next_ms)
            if (!report_answer(report)) report_pause(report, next_ms, true);
        stopping = report->stopping;
        pthread_mutex_unlock(&report->lock);
    }
    owm_ledger_close(report->database);
    return NULL;
}
