/* payout_thread.c: owm_payer: the batches of payout.h, again and again. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "payout.h"

struct owm_payer {
    char *url;
    const struct owm_payment_secret *secret;
    struct owm_payout_options options;
    struct owm_pg *pg;
    pthread_t thread;
    sem_t wake;
    _Atomic bool stopping;
    owm_counter *batches, *failures;
    owm_gauge *owed_sats;
};

static owm_status connect(struct owm_payer *payer, struct owm_error *error)
{
    if (payer->pg && owm_pg_alive(payer->pg)) return OWM_OK;
    return payer->pg ? owm_pg_reopen(payer->pg, error) : owm_pg_open(payer->url, &payer->pg, error);
}

static void show_owed(struct owm_payer *payer)
{
    struct owm_pg_rows *rows = NULL;
    if (!payer->owed_sats) return;
    if (owm_pg_query(payer->pg,
                     "SELECT coalesce(sum(amount_msat), 0) / 1000 FROM payments"
                     " WHERE state <> 'settled'",
                     NULL, &rows, NULL)
        == OWM_OK)
        owm_gauge_set(payer->owed_sats, owm_pg_get_f64(rows, 0, 0));
    owm_pg_rows_free(rows);
}

/* Batches until nobody is due. */
static owm_status pay_all(struct owm_payer *payer, struct owm_error *error)
{
    struct owm_payout_result result;
    owm_status status = connect(payer, error);
    do {
        if (status == OWM_OK)
            status = owm_payout_run(payer->pg, payer->secret, &payer->options, owm_clock_wall_ms(),
                                    &result, error);
        if (status != OWM_OK || result.miners == 0) break;
        if (payer->batches) owm_counter_add(payer->batches, 1);
        owm_log(OWM_LOG_INFO, "payout_batch miners=%u miner_msat=%llu treasury_msat=%llu",
                result.miners, (unsigned long long)result.miner_msat,
                (unsigned long long)result.treasury_msat);
    } while (result.miners == OWM_PAYOUT_MINERS_MAX);
    if (status == OWM_OK) show_owed(payer);
    return status;
}

static void pause_ms(struct owm_payer *payer, uint64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)!sem_timedwait(&payer->wake, &until);
}

static void *run(void *arg)
{
    struct owm_payer *payer = arg;
    while (!atomic_load(&payer->stopping)) {
        struct owm_error error = {""};
        owm_status status = pay_all(payer, &error);
        if (status != OWM_OK && status != OWM_E_EXISTS) {
            if (payer->failures) owm_counter_add(payer->failures, 1);
            owm_log(OWM_LOG_WARN, "payout_failed: %s", error.text);
        }
        pause_ms(payer, payer->options.interval_ms);
    }
    return NULL;
}

static void make_metrics(struct owm_payer *payer, struct owm_metrics *metrics)
{
    if (!metrics) return;
    payer->batches = owm_metrics_counter(metrics, "owm_pool_payout_batches_total",
                                         "Batches of payments written to the outbox", NULL);
    payer->failures =
        owm_metrics_counter(metrics, "owm_pool_payout_failures_total",
                            "Payout transactions that failed and are tried again", NULL);
    payer->owed_sats = owm_metrics_gauge(metrics, "owm_pool_payout_owed_sats",
                                         "Payments in the outbox that are not settled", NULL);
}

owm_status owm_payer_start(const char *database_url, const struct owm_payment_secret *secret,
                           const struct owm_payout_options *options, struct owm_metrics *metrics,
                           struct owm_payer **out)
{
    struct owm_payer *payer = calloc(1, sizeof(*payer));
    if (!payer) return OWM_E_NOMEM;
    payer->url = strdup(database_url);
    payer->secret = secret;
    payer->options = *options;
    if (!payer->options.interval_ms) payer->options.interval_ms = OWM_PAYOUT_INTERVAL_MS;
    sem_init(&payer->wake, 0, 0);
    make_metrics(payer, metrics);
    if (payer->url && pthread_create(&payer->thread, NULL, run, payer) == 0) {
        *out = payer;
        return OWM_OK;
    }
    sem_destroy(&payer->wake);
    free(payer->url);
    free(payer);
    return OWM_E_NOMEM;
}

void owm_payer_stop(struct owm_payer *payer)
{
    if (!payer) return;
    atomic_store(&payer->stopping, true);
    sem_post(&payer->wake);
    pthread_join(payer->thread, NULL);
    owm_pg_close(payer->pg);
    sem_destroy(&payer->wake);
    explicit_bzero(payer->url, strlen(payer->url));
    free(payer->url);
    free(payer);
}
