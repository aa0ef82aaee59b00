/* wallet.c: see wallet.h. */
#include "wallet.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"

struct owm_wallet {
    struct owm_wallet_options options;
    pthread_t thread;
    pthread_rwlock_t use; /* held for reading by whoever uses `node` */
    owm_lightning *node;  /* changes under `use`, for writing */
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t hurry;
    bool ready, stopping;
    bool wrong; /* the credential was refused: open again */
    bool again; /* someone heard that it is away: look at once */
    char why[OWM_ERROR_BYTES_MAX];
    uint8_t own[OWM_LIGHTNING_KEY_BYTES];
    owm_gauge *ready_gauge, *confirmed, *unconfirmed, *outbound, *inbound, *pending;
};

static bool pays(const struct owm_wallet *wallet)
{
    return wallet->options.node.role == OWM_LIGHTNING_PAY;
}

/* Says it once, not at each try. */
static void set_state(struct owm_wallet *wallet, bool ready, const char *why)
{
    pthread_mutex_lock(&wallet->lock);
    bool changed = wallet->ready != ready || strcmp(wallet->why, why) != 0;
    wallet->ready = ready;
    snprintf(wallet->why, sizeof(wallet->why), "%s", why);
    pthread_mutex_unlock(&wallet->lock);
    owm_gauge_set(wallet->ready_gauge, ready ? 1 : 0);
    if (!changed) return;
    if (ready)
        owm_log(OWM_LOG_INFO, "lightning_ready role=%s address=%s",
                pays(wallet) ? "pay" : "invoice", wallet->options.node.address);
    else
        owm_log(OWM_LOG_WARN, "lightning_away role=%s reason=\"%s\"",
                pays(wallet) ? "pay" : "invoice", why);
    if (wallet->options.note) wallet->options.note(wallet->options.note_ctx, ready ? "" : why);
}

/* The first time, or again after the credential was refused. */
static owm_status open_node(struct owm_wallet *wallet, struct owm_error *error)
{
    pthread_mutex_lock(&wallet->lock);
    bool wrong = wallet->wrong;
    wallet->wrong = false;
    pthread_mutex_unlock(&wallet->lock);
    if (wallet->node && !wrong) return OWM_OK;
    owm_lightning *node = NULL;
    owm_status status = owm_lightning_open(&wallet->options.node, &node, error);
    if (status != OWM_OK) {
        pthread_mutex_lock(&wallet->lock);
        wallet->wrong = wrong;
        pthread_mutex_unlock(&wallet->lock);
        return status;
    }
    pthread_rwlock_wrlock(&wallet->use);
    owm_lightning *old = wallet->node;
    wallet->node = node;
    pthread_rwlock_unlock(&wallet->use);
    owm_lightning_close(old);
    return OWM_OK;
}

static void show_funds(struct owm_wallet *wallet, const struct owm_lightning_funds *funds)
{
    owm_gauge_set(wallet->confirmed, (double)funds->wallet_confirmed_msat);
    owm_gauge_set(wallet->unconfirmed, (double)funds->wallet_unconfirmed_msat);
    owm_gauge_set(wallet->outbound, (double)funds->outbound_msat);
    owm_gauge_set(wallet->inbound, (double)funds->inbound_msat);
    owm_gauge_set(wallet->pending, (double)funds->pending_msat);
}

static owm_status look(struct owm_wallet *wallet, struct owm_error *error)
{
    struct owm_lightning_info info;
    struct owm_lightning_funds funds;
    owm_status status = owm_lightning_get_info(wallet->node, &info, error);
    if (status == OWM_OK && !info.synced_to_chain)
        status =
            owm_fail(error, OWM_E_AGAIN, "the Lightning node is behind the chain: it catches up");
    if (status != OWM_OK) return status;
    pthread_mutex_lock(&wallet->lock);
    memcpy(wallet->own, info.key, sizeof(wallet->own));
    pthread_mutex_unlock(&wallet->lock);
    if (!pays(wallet)) return OWM_OK;
    status = owm_lightning_get_funds(wallet->node, &funds, error);
    if (status == OWM_OK) show_funds(wallet, &funds);
    return status;
}

static bool rest(struct owm_wallet *wallet, unsigned ms)
{
    const uint64_t until_ms = owm_clock_mono_ms() + ms;
    pthread_mutex_lock(&wallet->lock);
    while (!wallet->stopping && !wallet->again
           && owm_cond_wait(&wallet->hurry, &wallet->lock, until_ms))
        continue;
    wallet->again = false;
    bool stopping = wallet->stopping;
    pthread_mutex_unlock(&wallet->lock);
    return !stopping;
}

static void *run(void *ctx)
{
    struct owm_wallet *wallet = ctx;
    owm_status status;
    do {
        struct owm_error error = {""};
        status = open_node(wallet, &error);
        if (status == OWM_OK) status = look(wallet, &error);
        if (status == OWM_E_PERM) {
            pthread_mutex_lock(&wallet->lock);
            wallet->wrong = true;
            pthread_mutex_unlock(&wallet->lock);
        }
        set_state(wallet, status == OWM_OK, error.text);
    } while (rest(wallet, status == OWM_OK ? OWM_WALLET_LOOK_MS : OWM_WALLET_TRY_MS));
    return NULL;
}

static void make_gauges(struct owm_wallet *wallet)
{
    struct owm_metrics *m = wallet->options.metrics;
    const char *const role[] = {"role", pays(wallet) ? "pay" : "invoice", NULL};
    wallet->ready_gauge = owm_metrics_gauge(m, "owm_lightning_ready",
                                            "1: the treasury's Lightning node is up.", role);
    if (!pays(wallet)) return;
    wallet->confirmed = owm_metrics_gauge(m, "owm_payments_wallet_msat",
                                          "On chain and confirmed, in millisatoshis.", NULL);
    wallet->unconfirmed = owm_metrics_gauge(m, "owm_payments_wallet_unconfirmed_msat",
                                            "On chain and not confirmed.", NULL);
    wallet->outbound = owm_metrics_gauge(m, "owm_payments_outbound_msat",
                                         "What our side of open channels can send.", NULL);
    wallet->inbound =
        owm_metrics_gauge(m, "owm_payments_inbound_msat", "What open channels can receive.", NULL);
    wallet->pending =
        owm_metrics_gauge(m, "owm_payments_pending_msat", "In channels that open or close.", NULL);
}

owm_status owm_wallet_open(const struct owm_wallet_options *options, struct owm_wallet **out)
{
    struct owm_wallet *wallet = calloc(1, sizeof(*wallet));
    if (!wallet) return OWM_E_NOMEM;
    wallet->options = *options;
    pthread_rwlock_init(&wallet->use, NULL);
    pthread_mutex_init(&wallet->lock, NULL);
    owm_cond_init(&wallet->hurry);
    make_gauges(wallet);
    if (pthread_create(&wallet->thread, NULL, run, wallet) != 0) {
        free(wallet);
        return OWM_E_NOMEM;
    }
    *out = wallet;
    return OWM_OK;
}

void owm_wallet_close(struct owm_wallet *wallet)
{
    if (!wallet) return;
    pthread_mutex_lock(&wallet->lock);
    wallet->stopping = true;
    pthread_cond_signal(&wallet->hurry);
    pthread_mutex_unlock(&wallet->lock);
    pthread_join(wallet->thread, NULL);
    owm_lightning_close(wallet->node);
    pthread_cond_destroy(&wallet->hurry);
    pthread_mutex_destroy(&wallet->lock);
    pthread_rwlock_destroy(&wallet->use);
    free(wallet);
}

bool owm_wallet_ready(struct owm_wallet *wallet)
{
    pthread_mutex_lock(&wallet->lock);
    bool ready = wallet->ready;
    pthread_mutex_unlock(&wallet->lock);
    return ready;
}

owm_lightning *owm_wallet_enter(struct owm_wallet *wallet, uint8_t own[OWM_LIGHTNING_KEY_BYTES])
{
    if (!owm_wallet_ready(wallet)) return NULL;
    pthread_rwlock_rdlock(&wallet->use);
    pthread_mutex_lock(&wallet->lock);
    memcpy(own, wallet->own, OWM_LIGHTNING_KEY_BYTES);
    pthread_mutex_unlock(&wallet->lock);
    return wallet->node;
}

void owm_wallet_leave(struct owm_wallet *wallet)
{
    pthread_rwlock_unlock(&wallet->use);
}

void owm_wallet_heard(struct owm_wallet *wallet, owm_status status, const char *why)
{
    if (status != OWM_E_NET && status != OWM_E_TIMEOUT && status != OWM_E_AGAIN
        && status != OWM_E_PERM)
        return;
    set_state(wallet, false, why);
    pthread_mutex_lock(&wallet->lock);
    if (status == OWM_E_PERM) wallet->wrong = true;
    wallet->again = true;
    pthread_cond_signal(&wallet->hurry);
    pthread_mutex_unlock(&wallet->lock);
}
