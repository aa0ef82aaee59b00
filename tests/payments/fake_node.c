/* fake_node.c: see fake_node.h. */
#include "fake_node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/lightning/address.h"
#include "base/sha256.h"

struct fake_node *fake;

struct owm_lightning {
    enum owm_lightning_backend backend;
};

struct owm_lightning_invoices {
    uint64_t after;
};

void fake_node_new(void)
{
    if (!fake) {
        fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (fake == MAP_FAILED) abort();
    }
    memset(fake, 0, sizeof(*fake));
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&fake->lock, &shared);
    pthread_mutexattr_destroy(&shared);
    fake->random = 1;
    fake->wallet_msat = 1000000000;
}

static void lock(void)
{
    if (pthread_mutex_lock(&fake->lock) == EOWNERDEAD) pthread_mutex_consistent(&fake->lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&fake->lock);
}

/* With the lock held. */
static unsigned chance(unsigned below)
{
    fake->random = fake->random * 6364136223846793005u + 1442695040888963407u;
    return below ? (unsigned)((fake->random >> 33) % below) : 0;
}

static owm_status away(struct owm_error *error)
{
    if (atomic_load(&fake->down)) return owm_fail(error, OWM_E_NET, "fake: no answer");
    if (atomic_load(&fake->locked)) return owm_fail(error, OWM_E_AGAIN, "fake: wallet locked");
    return OWM_OK;
}

void fake_key(unsigned n, uint8_t key[33])
{
    memset(key, 7, 33);
    key[0] = 2;
    memcpy(key + 1, &n, sizeof(n));
}

void fake_key_text(unsigned n, char *text)
{
    uint8_t key[33];
    fake_key(n, key);
    owm_hex_encode(key, 33, text);
}

unsigned fake_paid(int64_t *msat)
{
    unsigned paid = 0;
    *msat = 0;
    lock();
    for (size_t i = 0; i < fake->payment_count; i++) {
        if (fake->payment[i].state != FAKE_PAID) continue;
        paid++;
        *msat += fake->payment[i].amount_msat;
    }
    unlock();
    return paid;
}

/* ---------------------------------------------------------------------------- the node */

owm_status owm_lightning_open(const struct owm_lightning_config *config, owm_lightning **lightning,
                              struct owm_error *error)
{
    owm_status status = away(error);
    if (status != OWM_OK) return status;
    *lightning = calloc(1, sizeof(**lightning));
    if (!*lightning) return OWM_E_NOMEM;
    (*lightning)->backend = config->backend;
    return OWM_OK;
}

void owm_lightning_close(owm_lightning *lightning)
{
    free(lightning);
}

owm_status owm_lightning_get_info(owm_lightning *lightning, struct owm_lightning_info *info,
                                  struct owm_error *error)
{
    (void)lightning;
    memset(info, 0, sizeof(*info));
    fake_key(FAKE_OWN, info->key);
    info->synced_to_chain = true;
    return away(error);
}

owm_status owm_lightning_get_funds(owm_lightning *lightning, struct owm_lightning_funds *funds,
                                   struct owm_error *error)
{
    (void)lightning;
    memset(funds, 0, sizeof(*funds));
    funds->wallet_confirmed_msat = fake->wallet_msat;
    return away(error);
}

/* ---------------------------------------------------------------------------- payments */

static struct fake_payment *find(const uint8_t hash[32])
{
    for (size_t i = 0; i < fake->payment_count; i++)
        if (memcmp(fake->payment[i].hash, hash, 32) == 0) return &fake->payment[i];
    return NULL;
}

static void settle(struct fake_payment *payment)
{
    if (payment->state == FAKE_ALIVE && payment->ends_ms <= owm_clock_wall_ms())
        payment->state = payment->pays ? FAKE_PAID : FAKE_DEAD;
}

static void tell(const struct fake_payment *payment, struct owm_lightning_outcome *outcome)
{
    memset(outcome, 0, sizeof(*outcome));
    outcome->state = payment->state == FAKE_PAID   ? OWM_LIGHTNING_SUCCEEDED
                     : payment->state == FAKE_DEAD ? OWM_LIGHTNING_FAILED
                                                   : OWM_LIGHTNING_IN_FLIGHT;
    if (payment->state == FAKE_PAID) memcpy(outcome->preimage, payment->preimage, 32);
    outcome->amount_msat = payment->amount_msat;
    outcome->fee_msat = payment->state == FAKE_PAID ? payment->fee_msat : 0;
    snprintf(outcome->reason, sizeof(outcome->reason), "fake: NO_ROUTE");
}

/* LND's control tower: a hash that is alive or paid is not taken again. */
static struct fake_payment *take(const struct owm_lightning_order *order,
                                 const struct owm_lightning_request *request,
                                 const uint8_t preimage[32])
{
    struct fake_payment *payment = find(request->payment_hash);
    if (payment) settle(payment);
    if (payment && payment->state != FAKE_DEAD) return payment;
    if (!payment) {
        if (fake->payment_count == FAKE_PAYMENTS_MAX) abort();
        payment = &fake->payment[fake->payment_count++];
    }
    memcpy(payment->hash, request->payment_hash, 32);
    memcpy(payment->preimage, preimage, 32);
    memcpy(payment->destination, request->destination, 33);
    payment->amount_msat = order->amount_msat;
    payment->fee_msat = order->fee_limit_msat / 2;
    payment->state = FAKE_ALIVE;
    payment->tries++;
    payment->pays = chance(100) >= atomic_load(&fake->fail_percent);
    bool hangs = chance(100) < atomic_load(&fake->hang_percent);
    payment->ends_ms =
        owm_clock_wall_ms() + chance(atomic_load(&fake->slow_ms) + 1) + (hangs ? 1500 : 0);
    return payment;
}

static void read_invoice(const char *invoice, struct owm_lightning_request *request,
                         uint8_t preimage[32])
{
    char secret[65], key[67];
    long long amount, expires;
    memset(request, 0, sizeof(*request));
    if (sscanf(invoice, "fake-%64[0-9a-f]-%66[0-9a-f]-%lld-%lld", secret, key, &amount, &expires)
            != 4
        || owm_hex_decode(secret, preimage, 32) != OWM_OK
        || owm_hex_decode(key, request->destination, 33) != OWM_OK)
        return;
    owm_sha256(preimage, 32, request->payment_hash);
    request->amount_msat = amount;
    request->expires_s = expires;
}

owm_status owm_lightning_pay(owm_lightning *lightning, const struct owm_lightning_order *order,
                             unsigned wait_ms, struct owm_lightning_outcome *outcome,
                             struct owm_error *error)
{
    struct owm_lightning_request request = {.amount_msat = order->amount_msat};
    uint8_t preimage[32];
    (void)lightning;
    owm_status status = away(error);
    if (status != OWM_OK) return status;
    if (order->invoice) {
        read_invoice(order->invoice, &request, preimage);
    } else {
        memcpy(request.payment_hash, order->payment_hash, 32);
        memcpy(request.destination, order->destination, 33);
        memcpy(preimage, order->preimage, 32);
    }
    lock();
    bool lost = chance(100) < atomic_load(&fake->lose_percent), refused = false, early = false;
    if (lost)
        early = chance(2) == 0;
    else
        refused = chance(100) < atomic_load(&fake->refuse_percent) && !find(request.payment_hash);
    struct fake_payment *payment = refused || early ? NULL : take(order, &request, preimage);
    unlock();
    if (refused) return owm_fail(error, OWM_E_STATE, "fake: refused");
    if (early) return owm_fail(error, OWM_E_NET, "fake: the request was lost");
    if (lost) return owm_fail(error, OWM_E_TIMEOUT, "fake: the reply was lost");
    uint64_t until_ms = owm_clock_mono_ms() + (wait_ms < 500 ? wait_ms : 500);
    do {
        lock();
        settle(payment);
        tell(payment, outcome);
        unlock();
        if (outcome->state != OWM_LIGHTNING_IN_FLIGHT) break;
        owm_clock_sleep_ms(2);
    } while (owm_clock_mono_ms() < until_ms);
    return OWM_OK;
}

owm_status owm_lightning_track(owm_lightning *lightning, const uint8_t payment_hash[32],
                               struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    (void)lightning;
    owm_status status = away(error);
    if (status != OWM_OK) return status;
    lock();
    struct fake_payment *payment = find(payment_hash);
    bool lost = chance(100) < atomic_load(&fake->lose_percent);
    if (payment && !lost) {
        settle(payment);
        tell(payment, outcome);
    }
    unlock();
    if (lost) return owm_fail(error, OWM_E_TIMEOUT, "fake: the reply was lost");
    return payment ? OWM_OK : owm_fail(error, OWM_E_NOTFOUND, "fake: never heard of it");
}

owm_status owm_lightning_decode(owm_lightning *lightning, const char *invoice,
                                struct owm_lightning_request *request, struct owm_error *error)
{
    uint8_t preimage[32];
    (void)lightning;
    read_invoice(invoice, request, preimage);
    return request->expires_s ? OWM_OK : owm_fail(error, OWM_E_ARG, "fake: not an invoice");
}

static owm_status make_invoice(const char *whose, int64_t amount_msat,
                               char invoice[OWM_LIGHTNING_INVOICE_BYTES])
{
    uint8_t preimage[32];
    char text[200], secret[65], key[67];
    lock();
    int trick = atomic_load(&fake->address_trick);
    unsigned nonce = trick == 3 ? 0 : chance(1u << 30);
    unlock();
    snprintf(text, sizeof(text), "%s %u", whose, nonce);
    owm_sha256(text, strlen(text), preimage);
    owm_hex_encode(preimage, 32, secret);
    fake_key_text(trick == 2 ? FAKE_OWN : 77, key);
    snprintf(invoice, OWM_LIGHTNING_INVOICE_BYTES, "fake-%s-%s-%lld-%lld", secret, key,
             (long long)(trick == 1 ? 2 * amount_msat : amount_msat),
             (long long)(owm_clock_wall_ms() / 1000 + (trick == 4 ? 5 : 600)));
    return OWM_OK;
}

owm_status owm_lightning_fetch_invoice(owm_lightning *lightning, const char *offer,
                                       int64_t amount_msat,
                                       char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                       struct owm_error *error)
{
    (void)lightning;
    (void)error;
    return make_invoice(offer, amount_msat, invoice);
}

owm_status owm_lightning_address_fetch(const char *address, int64_t amount_msat,
                                       char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                       struct owm_error *error)
{
    if (strncmp(address, "nobody@", 7) == 0)
        return owm_fail(error, OWM_E_NET, "fake: no such server");
    return make_invoice(address, amount_msat, invoice);
}

bool owm_lightning_address_valid(const char *text)
{
    const char *at = strchr(text, '@');
    return at && at > text && strchr(at, '.');
}

/* ---------------------------------------------------------------------------- channels */

owm_status owm_lightning_channels(owm_lightning *lightning, const uint8_t *peer, bool closed,
                                  struct owm_lightning_channel **channels, size_t *count,
                                  struct owm_error *error)
{
    (void)lightning;
    (void)closed;
    *channels = calloc(FAKE_CHANNELS_MAX, sizeof(**channels));
    *count = 0;
    lock();
    for (size_t i = 0; i < fake->channel_count; i++) {
        const struct fake_channel *from = &fake->channel[i];
        if (peer && memcmp(from->peer, peer, 33) != 0) continue;
        struct owm_lightning_channel *to = &(*channels)[(*count)++];
        memcpy(to->peer, from->peer, 33);
        to->state = OWM_LIGHTNING_NORMAL;
        to->opened_by_peer = from->opened_by_peer;
        to->local_msat = from->local_msat;
    }
    unlock();
    return away(error);
}

owm_status owm_lightning_open_channel(owm_lightning *lightning, const uint8_t *peer,
                                      const char *host, int64_t capacity_sats, int64_t push_msat,
                                      struct owm_lightning_point *point, struct owm_error *error)
{
    (void)lightning;
    (void)push_msat;
    owm_status status = away(error);
    if (status != OWM_OK) return status;
    memset(point, 0, sizeof(*point));
    lock();
    fake->opens++;
    fake->wallet_msat -= capacity_sats * 1000;
    struct fake_channel *channel = &fake->channel[fake->channel_count++];
    memcpy(channel->peer, peer, 33);
    channel->local_msat = capacity_sats * 1000;
    unlock();
    if (strncmp(host, "lost", 4) == 0) return owm_fail(error, OWM_E_TIMEOUT, "fake: reply lost");
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- invoices */

static struct fake_invoice *find_invoice(const uint8_t hash[32])
{
    for (size_t i = 0; i < fake->invoice_count; i++)
        if (memcmp(fake->invoice[i].hash, hash, 32) == 0) return &fake->invoice[i];
    return NULL;
}

static void tell_invoice(const struct fake_invoice *from, struct owm_lightning_invoice *to)
{
    memset(to, 0, sizeof(*to));
    memcpy(to->payment_hash, from->hash, 32);
    to->state = from->state;
    to->asked_msat = from->asked_msat;
    to->paid_msat = from->paid_msat;
    to->settle_index = from->settle_index;
}

owm_status owm_lightning_invoice_add(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                                     char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                     struct owm_error *error)
{
    (void)lightning;
    owm_status status = away(error);
    if (status != OWM_OK) return status;
    uint8_t hash[32];
    owm_sha256(ask->preimage, 32, hash);
    lock();
    struct fake_invoice *mine = find_invoice(hash);
    if (!mine) {
        mine = &fake->invoice[fake->invoice_count++];
        memcpy(mine->hash, hash, 32);
        memcpy(mine->preimage, ask->preimage, 32);
        mine->asked_msat = ask->amount_msat;
    }
    unlock();
    char hex[65];
    owm_hex_encode(hash, 32, hex);
    snprintf(invoice, OWM_LIGHTNING_INVOICE_BYTES, "ours-%s", hex);
    return OWM_OK;
}

owm_status owm_lightning_invoice_find(owm_lightning *lightning, const uint8_t payment_hash[32],
                                      struct owm_lightning_invoice *invoice,
                                      struct owm_error *error)
{
    (void)lightning;
    owm_status status = away(error);
    if (status != OWM_OK) return status;
    lock();
    struct fake_invoice *mine = find_invoice(payment_hash);
    if (mine) tell_invoice(mine, invoice);
    unlock();
    return mine ? OWM_OK : owm_fail(error, OWM_E_NOTFOUND, "fake: no such invoice");
}

void fake_invoice_pay(const uint8_t hash[32], int64_t msat)
{
    lock();
    struct fake_invoice *mine = find_invoice(hash);
    if (!mine) abort();
    mine->state = OWM_LIGHTNING_INVOICE_SETTLED;
    mine->paid_msat = msat;
    mine->settle_index = ++fake->settle_index;
    unlock();
}

owm_status owm_lightning_watch_invoices(owm_lightning *lightning, uint64_t settle_index,
                                        struct owm_lightning_invoices **watch,
                                        struct owm_error *error)
{
    (void)lightning;
    owm_status status = away(error);
    if (status != OWM_OK) return status;
    *watch = calloc(1, sizeof(**watch));
    (*watch)->after = settle_index;
    return OWM_OK;
}

owm_status owm_lightning_invoices_next(struct owm_lightning_invoices *watch, unsigned wait_ms,
                                       struct owm_lightning_invoice *invoice,
                                       struct owm_error *error)
{
    uint64_t until_ms = owm_clock_mono_ms() + wait_ms;
    do {
        owm_status status = away(error);
        if (status != OWM_OK) return status;
        bool found = false;
        lock();
        for (size_t i = 0; i < fake->invoice_count && !found; i++) {
            found = fake->invoice[i].settle_index == watch->after + 1;
            if (found) tell_invoice(&fake->invoice[i], invoice);
        }
        unlock();
        if (found) {
            watch->after++;
            return OWM_OK;
        }
        owm_clock_sleep_ms(5);
    } while (owm_clock_mono_ms() < until_ms);
    return OWM_E_TIMEOUT;
}

void owm_lightning_invoices_close(struct owm_lightning_invoices *watch)
{
    free(watch);
}
