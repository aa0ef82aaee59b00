/* lightning.c: the calls of lightning.h: who may make them, and which backend answers. */
#include "lightning.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"

#define ROLE(name) (1u << OWM_LIGHTNING_##name)
#define CHANNELS   (ROLE(STAKE) | ROLE(SLASH) | ROLE(PAY) | ROLE(OPERATOR))
#define PAYMENTS   (ROLE(PAY) | ROLE(OPERATOR))

static const struct owm_lightning_ops *const backends[] = {
    [OWM_LIGHTNING_LND] = &owm_lightning_lnd_ops,
    [OWM_LIGHTNING_CLN] = &owm_lightning_cln_ops,
};

const char *owm_lightning_role_name(enum owm_lightning_role role)
{
    static const char *const names[] = {[OWM_LIGHTNING_STAKE] = "stake",
                                        [OWM_LIGHTNING_INVOICE] = "invoice",
                                        [OWM_LIGHTNING_PAY] = "pay",
                                        [OWM_LIGHTNING_SLASH] = "slash",
                                        [OWM_LIGHTNING_OPERATOR] = "operator"};
    OWM_ASSERT((unsigned)role < sizeof names / sizeof names[0]);
    return names[role];
}

const char *owm_lightning_role_recipe(enum owm_lightning_backend backend,
                                      enum owm_lightning_role role)
{
    OWM_ASSERT((unsigned)backend < sizeof backends / sizeof backends[0]);
    return backends[backend]->recipe(role);
}

/* A handle of another role would be refused by the node, too; so it does not even ask. */
static owm_status allowed(const owm_lightning *lightning, unsigned roles, bool there,
                          const char *what, struct owm_error *error)
{
    if (!(roles & 1u << lightning->role))
        return owm_fail(error, OWM_E_PERM, "%s: a handle of the role %s may not %s",
                        lightning->ops->name, owm_lightning_role_name(lightning->role), what);
    if (!there)
        return owm_fail(error, OWM_E_UNSUPPORTED, "%s cannot %s", lightning->ops->name, what);
    return OWM_OK;
}

owm_status owm_lightning_open(const struct owm_lightning_config *config, owm_lightning **lightning,
                              struct owm_error *error)
{
    *lightning = NULL;
    OWM_ASSERT((unsigned)config->backend < sizeof backends / sizeof backends[0]);
    const struct owm_lightning_ops *ops = backends[config->backend];
    if (!config->address || !config->address[0])
        return owm_fail(error, OWM_E_CONFIG, "%s: no address of the node", ops->name);
    if (!config->network || !config->network[0])
        return owm_fail(error, OWM_E_CONFIG, "%s: no network, such as mainnet", ops->name);
    owm_status status = ops->open(config, lightning, error);
    if (status != OWM_OK) return status;
    (*lightning)->ops = ops;
    (*lightning)->role = config->role;
    return OWM_OK;
}

void owm_lightning_close(owm_lightning *lightning)
{
    if (lightning) lightning->ops->close(lightning);
}

enum owm_lightning_backend owm_lightning_backend_of(const owm_lightning *lightning)
{
    return lightning->ops->backend;
}

owm_status owm_lightning_get_info(owm_lightning *lightning, struct owm_lightning_info *info,
                                  struct owm_error *error)
{
    *info = (struct owm_lightning_info){0};
    return lightning->ops->get_info(lightning, info, error);
}

owm_status owm_lightning_sign(owm_lightning *lightning, const char *message,
                              char signature[OWM_LIGHTNING_SIGNATURE_TEXT], struct owm_error *error)
{
    signature[0] = 0;
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status =
        allowed(lightning, ROLE(OPERATOR), ops->sign, "sign messages with the node's key", error);
    return status == OWM_OK ? ops->sign(lightning, message, signature, error) : status;
}

/* ----------------------------------------------------------------------------- channels */

/* By funding point; of one channel, the later state first. */
static int by_point(const void *left, const void *right)
{
    const struct owm_lightning_channel *a = left, *b = right;
    int order = memcmp(a->point.txid, b->point.txid, sizeof a->point.txid);
    if (order != 0) return order;
    order = (a->point.index > b->point.index) - (a->point.index < b->point.index);
    return order != 0 ? order : (int)b->state - (int)a->state;
}

void owm_lightning_channels_sort(struct owm_lightning_channel *channels, size_t count)
{
    if (count > 1) qsort(channels, count, sizeof *channels, by_point);
}

owm_status owm_lightning_channels(owm_lightning *lightning, const uint8_t *peer, bool closed,
                                  struct owm_lightning_channel **channels, size_t *count,
                                  struct owm_error *error)
{
    *channels = NULL;
    *count = 0;
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, CHANNELS, ops->channels, "read channels", error);
    if (status != OWM_OK) return status;
    return ops->channels(lightning, peer, closed, channels, count, error);
}

owm_status owm_lightning_force_close(owm_lightning *lightning,
                                     const struct owm_lightning_point *point,
                                     uint8_t closing_txid[32], struct owm_error *error)
{
    memset(closing_txid, 0, 32);
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status =
        allowed(lightning, ROLE(SLASH), ops->force_close, "force-close channels", error);
    return status == OWM_OK ? ops->force_close(lightning, point, closing_txid, error) : status;
}

owm_status owm_lightning_open_channel(owm_lightning *lightning, const uint8_t *peer,
                                      const char *host, int64_t capacity_sats, int64_t push_msat,
                                      struct owm_lightning_point *point, struct owm_error *error)
{
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, ROLE(PAY), ops->open_channel, "open channels", error);
    if (status != OWM_OK) return status;
    return ops->open_channel(lightning, peer, host, capacity_sats, push_msat, point, error);
}

owm_status owm_lightning_get_funds(owm_lightning *lightning, struct owm_lightning_funds *funds,
                                   struct owm_error *error)
{
    *funds = (struct owm_lightning_funds){0};
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, ROLE(PAY), ops->get_funds, "read the wallet", error);
    return status == OWM_OK ? ops->get_funds(lightning, funds, error) : status;
}

owm_status owm_lightning_watch_channels(owm_lightning *lightning,
                                        struct owm_lightning_watch **watch, struct owm_error *error)
{
    *watch = NULL;
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, CHANNELS, ops->watch_channels, "watch channels", error);
    if (status == OWM_OK) status = ops->watch_channels(lightning, watch, error);
    if (status == OWM_OK) (*watch)->lightning = lightning;
    return status;
}

owm_status owm_lightning_watch_next(struct owm_lightning_watch *watch, unsigned wait_ms,
                                    uint8_t peer[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error)
{
    memset(peer, 0, OWM_LIGHTNING_KEY_BYTES);
    return watch->lightning->ops->watch_next(watch, wait_ms, peer, error);
}

void owm_lightning_watch_close(struct owm_lightning_watch *watch)
{
    if (watch) watch->lightning->ops->watch_close(watch);
}

/* ----------------------------------------------------------------------------- payments */

owm_status owm_lightning_pay(owm_lightning *lightning, const struct owm_lightning_order *order,
                             unsigned wait_ms, struct owm_lightning_outcome *outcome,
                             struct owm_error *error)
{
    *outcome = (struct owm_lightning_outcome){0};
    OWM_ASSERT(!order->invoice != !order->destination);
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, PAYMENTS, ops->pay, "pay", error);
    if (status != OWM_OK) return status;
    if (order->amount_msat < 0 || order->fee_limit_msat < 0
        || (order->destination && order->amount_msat == 0))
        return owm_fail(error, OWM_E_ARG, "%s: a payment without an amount", ops->name);
    return ops->pay(lightning, order, wait_ms, outcome, error);
}

owm_status owm_lightning_track(owm_lightning *lightning, const uint8_t payment_hash[32],
                               struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    *outcome = (struct owm_lightning_outcome){0};
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, PAYMENTS, ops->track, "look up payments", error);
    return status == OWM_OK ? ops->track(lightning, payment_hash, outcome, error) : status;
}

owm_status owm_lightning_decode(owm_lightning *lightning, const char *invoice,
                                struct owm_lightning_request *request, struct owm_error *error)
{
    *request = (struct owm_lightning_request){0};
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, PAYMENTS, ops->decode, "decode invoices", error);
    return status == OWM_OK ? ops->decode(lightning, invoice, request, error) : status;
}

owm_status owm_lightning_fetch_invoice(owm_lightning *lightning, const char *offer,
                                       int64_t amount_msat,
                                       char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                       struct owm_error *error)
{
    invoice[0] = 0;
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status =
        allowed(lightning, PAYMENTS, ops->fetch_invoice, "pay a BOLT12 offer", error);
    if (status != OWM_OK) return status;
    return ops->fetch_invoice(lightning, offer, amount_msat, invoice, error);
}

/* ----------------------------------------------------------------------------- invoices */

owm_status owm_lightning_invoice_add(owm_lightning *lightning, const struct owm_lightning_ask *ask,
                                     char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                     struct owm_error *error)
{
    invoice[0] = 0;
    OWM_ASSERT(ask->preimage || ask->payment_hash);
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status = allowed(lightning, ROLE(INVOICE), ops->invoice_add, "make invoices", error);
    if (status != OWM_OK) return status;
    if (ask->amount_msat < 0)
        return owm_fail(error, OWM_E_ARG, "%s: an invoice over less than nothing", ops->name);
    return ops->invoice_add(lightning, ask, invoice, error);
}

owm_status owm_lightning_invoice_find(owm_lightning *lightning, const uint8_t payment_hash[32],
                                      struct owm_lightning_invoice *invoice,
                                      struct owm_error *error)
{
    *invoice = (struct owm_lightning_invoice){0};
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status =
        allowed(lightning, ROLE(INVOICE), ops->invoice_find, "look up invoices", error);
    return status == OWM_OK ? ops->invoice_find(lightning, payment_hash, invoice, error) : status;
}

owm_status owm_lightning_invoice_settle(owm_lightning *lightning, const uint8_t preimage[32],
                                        struct owm_error *error)
{
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status =
        allowed(lightning, ROLE(INVOICE), ops->invoice_settle, "settle hold invoices", error);
    return status == OWM_OK ? ops->invoice_settle(lightning, preimage, error) : status;
}

owm_status owm_lightning_invoice_cancel(owm_lightning *lightning, const uint8_t payment_hash[32],
                                        struct owm_error *error)
{
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status =
        allowed(lightning, ROLE(INVOICE), ops->invoice_cancel, "cancel hold invoices", error);
    return status == OWM_OK ? ops->invoice_cancel(lightning, payment_hash, error) : status;
}

owm_status owm_lightning_watch_invoices(owm_lightning *lightning, uint64_t settle_index,
                                        struct owm_lightning_invoices **watch,
                                        struct owm_error *error)
{
    *watch = NULL;
    const struct owm_lightning_ops *ops = lightning->ops;
    owm_status status =
        allowed(lightning, ROLE(INVOICE), ops->watch_invoices, "watch invoices", error);
    if (status == OWM_OK) status = ops->watch_invoices(lightning, settle_index, watch, error);
    if (status == OWM_OK) (*watch)->lightning = lightning;
    return status;
}

owm_status owm_lightning_invoices_next(struct owm_lightning_invoices *watch, unsigned wait_ms,
                                       struct owm_lightning_invoice *invoice,
                                       struct owm_error *error)
{
    *invoice = (struct owm_lightning_invoice){0};
    return watch->lightning->ops->invoices_next(watch, wait_ms, invoice, error);
}

void owm_lightning_invoices_close(struct owm_lightning_invoices *watch)
{
    if (watch) watch->lightning->ops->invoices_close(watch);
}
