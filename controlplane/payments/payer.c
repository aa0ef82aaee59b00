/* payer.c: see payer.h: open and close; the lines do the rest. */
#include "payer.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "payer_internal.h"

#define CALLS_WAITING_MAX 4096

static owm_status open_line(struct owm_pay *pay, enum owm_pay_ledger_kind kind)
{
    const struct owm_pay_options *options = &pay->options;
    struct pay_line *line = &pay->line[pay->lines];
    bool nodes = kind == OWM_PAY_NODES;
    owm_status status =
        owm_pay_ledger_open(kind, nodes ? options->database_url : options->pool_database_url,
                            options->database_url, &line->ledger);
    if (status != OWM_OK) return status;
    line->pay = pay;
    line->index = pay->lines;
    line->secret = nodes ? options->secret : options->pool_secret;
    owm_rng_seed(&line->rng, (uint64_t)getpid() * 2 + line->index);
    pthread_mutex_init(&line->lock, NULL);
    line->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pay_meters_open(line);
    if (line->wake_fd >= 0 && pthread_create(&line->thread, NULL, pay_line_main, line) == 0) {
        pay->lines++;
        return OWM_OK;
    }
    if (line->wake_fd >= 0) close(line->wake_fd);
    pthread_mutex_destroy(&line->lock);
    owm_pay_ledger_close(line->ledger);
    return OWM_E_NOMEM;
}

static void close_line(struct pay_line *line)
{
    pay_line_wake(line);
    pthread_join(line->thread, NULL);
    owm_pay_ledger_close(line->ledger);
    close(line->wake_fd);
    pthread_mutex_destroy(&line->lock);
}

owm_status owm_pay_open(const struct owm_pay_options *options, struct owm_pay **out)
{
    struct owm_pay *pay = calloc(1, sizeof(*pay));
    if (!pay) return OWM_E_NOMEM;
    pay->options = *options;
    pthread_mutex_init(&pay->budget_lock, NULL);
    pthread_mutex_init(&pay->calls_lock, NULL);
    pay->options.node.role = OWM_LIGHTNING_PAY;
    const struct owm_wallet_options wallet = {.node = pay->options.node,
                                              .metrics = options->metrics,
                                              .note = options->note,
                                              .note_ctx = options->note_ctx};
    owm_status status = owm_wallet_open(&wallet, &pay->wallet);
    if (status == OWM_OK)
        status = owm_workers_open(options->concurrency, CALLS_WAITING_MAX, &pay->workers);
    if (status == OWM_OK)
        status = owm_workers_open(OWM_PAY_RESOLVERS, CALLS_WAITING_MAX, &pay->resolvers);
    if (status == OWM_OK) status = open_line(pay, OWM_PAY_NODES);
    if (status == OWM_OK && options->pool_database_url && options->pool_database_url[0])
        status = open_line(pay, OWM_PAY_MINERS);
    if (status == OWM_OK && options->open_channels) status = pay_channels_open(pay, &pay->channels);
    if (status != OWM_OK) {
        owm_pay_close(pay);
        return status;
    }
    *out = pay;
    return OWM_OK;
}

void owm_pay_close(struct owm_pay *pay)
{
    if (!pay) return;
    pthread_mutex_lock(&pay->calls_lock);
    atomic_store(&pay->stopping, true);
    pthread_mutex_unlock(&pay->calls_lock);
    pay_channels_close(pay->channels);
    owm_workers_close(pay->resolvers);
    owm_workers_close(pay->workers);
    atomic_store(&pay->ending, true);
    for (unsigned i = 0; i < pay->lines; i++) close_line(&pay->line[i]);
    owm_wallet_close(pay->wallet);
    pthread_mutex_destroy(&pay->calls_lock);
    pthread_mutex_destroy(&pay->budget_lock);
    free(pay);
}
