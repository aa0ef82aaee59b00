/* payments_part.c: see payments_part.h. */
#include "payments_part.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "controlplane/bonds/bonds.h"
#include "controlplane/payments/destination.h"
#include "controlplane/payments/history.h"
#include "controlplane/payments/payer.h"

struct owm_payments_part {
    const struct owm_coordinator_config *config;
    struct owm_payment_secret *pool_secret;
    struct owm_page *page;
    struct owm_history *history;
    struct owm_pay *pay;
    struct owm_invoices *invoices;
    struct owm_bonds *bonds;
};

/* Core Lightning's credential may be its socket's permissions. */
static bool may(const struct owm_coordinator_config *config, const char *credential)
{
    return config->lightning_backend == OWM_LIGHTNING_CHOICE_CLN
           || (config->lightning_backend == OWM_LIGHTNING_CHOICE_LND && credential[0]);
}

const char *owm_coordinator_owed_note(const struct owm_coordinator_config *config)
{
    if (config->lightning_backend == OWM_LIGHTNING_CHOICE_NONE)
        return "no Lightning node is configured";
    if (!may(config, config->pay_credential)) return "lightning.pay_credential is not configured";
    return config->payments_paused ? "payments are paused" : "";
}

static void note_pay(void *ctx, const char *text)
{
    struct owm_payments_part *part = ctx;
    owm_page_note(part->page, OWM_PAGE_NOTE_PAYMENTS, text);
}

static void note_invoices(void *ctx, const char *text)
{
    struct owm_payments_part *part = ctx;
    owm_page_note(part->page, OWM_PAGE_NOTE_INVOICES, text);
}

static void note_bonds(void *ctx, const char *text)
{
    struct owm_payments_part *part = ctx;
    owm_page_note(part->page, OWM_PAGE_NOTE_BONDS, text);
}

/* A secret made here would be another than the pool's: it must be there. */
static owm_status open_pool_secret(struct owm_payments_part *part, struct owm_error *error)
{
    const struct owm_coordinator_config *config = part->config;
    if (!config->pool_database_url[0] || config->lightning_backend == OWM_LIGHTNING_CHOICE_NONE)
        return OWM_OK;
    if (!config->pool_payment_key[0] || access(config->pool_payment_key, R_OK) != 0)
        return owm_fail(error, OWM_E_CONFIG,
                        "payments.pool_payment_key must be the payment.key of the owm-pool whose "
                        "database payments.pool_database_url names; '%s' cannot be read",
                        config->pool_payment_key);
    return owm_payment_secret_load_or_create(config->pool_payment_key, &part->pool_secret, NULL,
                                             error);
}

static owm_status check_treasury(const struct owm_coordinator_config *config,
                                 struct owm_error *error)
{
    const char *to = config->treasury_destination;
    if (!to[0] || owm_destination_text(to).kind != OWM_DESTINATION_NONE) return OWM_OK;
    return owm_fail(error, OWM_E_CONFIG,
                    "payments.treasury_destination is '%s': it must be a node key of 66 hex "
                    "digits, a Lightning address or a BOLT12 offer",
                    to);
}

static owm_status open_pay(struct owm_payments_part *part, const struct owm_payment_secret *secret,
                           struct owm_metrics *metrics)
{
    const struct owm_coordinator_config *config = part->config;
    struct owm_pay_options options = {
        .database_url = config->database_url,
        .secret = secret,
        .pool_database_url = config->pool_database_url,
        .pool_secret = part->pool_secret,
        .treasury_destination = config->treasury_destination,
        .concurrency = (unsigned)config->payments_concurrency,
        .in_flight_max = (unsigned)config->payments_in_flight_max,
        .deadline_s = (unsigned)config->payments_deadline_s,
        .fee_min_msat = config->fee_min_sats * 1000,
        .fee_ppm = config->fee_ppm,
        .daily_budget_msat = config->daily_budget_sats * 1000,
        .paused = config->payments_paused,
        .retry = {.min_ms = config->payments_retry_min_s * 1000,
                  .max_ms = config->payments_retry_max_s * 1000,
                  .transit_ms = OWM_ATTEMPT_TRANSIT_MS,
                  .failures_max = (unsigned)config->payments_attempts_max},
        .open_channels = config->open_channels,
        .channel_sats = config->channel_sats,
        .reserve_sats = config->reserve_sats,
        .metrics = metrics,
        .note = note_pay,
        .note_ctx = part,
    };
    if (!may(config, config->pay_credential)
        || !owm_coordinator_lightning(config, OWM_LIGHTNING_PAY, &options.node))
        return OWM_OK;
    return owm_pay_open(&options, &part->pay);
}

static owm_status open_invoices(struct owm_payments_part *part,
                                const struct owm_payment_secret *secret,
                                struct owm_metrics *metrics)
{
    const struct owm_coordinator_config *config = part->config;
    struct owm_invoices_options options = {
        .database_url = config->database_url,
        .secret = secret,
        .metrics = metrics,
        .note = note_invoices,
        .note_ctx = part,
        .hooks = {owm_bonds_invoice_hook()},
        .hook_count = 1,
    };
    if (!may(config, config->invoice_credential)
        || !owm_coordinator_lightning(config, OWM_LIGHTNING_INVOICE, &options.node))
        return OWM_OK;
    return owm_invoices_open(&options, &part->invoices);
}

static owm_status open_bonds(struct owm_payments_part *part,
                             const struct owm_payment_secret *secret, struct owm_metrics *metrics)
{
    const struct owm_coordinator_config *config = part->config;
    struct owm_bonds_options options = {
        .database_url = config->database_url,
        .secret = secret,
        .invoices = part->invoices,
        .metrics = metrics,
        .min_sats = config->bond_min_sats,
        .max_sats = config->bond_max_sats,
        .unbonding_ms = config->unbonding_hours * 3600000,
        .hold_blocks = (unsigned)config->hold_blocks,
        .roll_blocks = (unsigned)config->roll_blocks,
        .note = note_bonds,
        .note_ctx = part,
    };
    if (!config->bonds_enabled
        || !owm_coordinator_lightning(config, OWM_LIGHTNING_INVOICE, &options.node))
        return OWM_OK;
    return owm_bonds_open(&options, &part->bonds);
}

static void add_routes(struct owm_payments_part *part)
{
    static const char *const paths[] = {"/v1/payments/history", "/v1/payments/summary",
                                        "/v1/nodes/"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        owm_page_route(part->page,
                       &(struct owm_http_route){"GET", paths[i], owm_history_serve, part->history});
}

owm_status owm_payments_part_open(const struct owm_coordinator_config *config,
                                  const struct owm_payment_secret *secret,
                                  struct owm_metrics *metrics, struct owm_page *page,
                                  struct owm_payments_part **out, struct owm_error *error)
{
    struct owm_payments_part *part = calloc(1, sizeof(*part));
    if (!part) return OWM_E_NOMEM;
    *out = part; /* closed by whoever called, whatever comes of this */
    part->config = config;
    part->page = page;
    owm_status status = check_treasury(config, error);
    if (status == OWM_OK) status = open_pool_secret(part, error);
    if (status == OWM_OK)
        status = owm_history_open(config->database_url, owm_coordinator_owed_note(config),
                                  &part->history);
    if (status == OWM_OK) add_routes(part);
    if (status == OWM_OK) status = open_pay(part, secret, metrics);
    if (status == OWM_OK) status = open_invoices(part, secret, metrics);
    if (status == OWM_OK) status = open_bonds(part, secret, metrics);
    return status;
}

void owm_payments_part_stop(struct owm_payments_part *part)
{
    if (!part) return;
    owm_pay_close(part->pay);
    owm_bonds_close(part->bonds);
    owm_invoices_close(part->invoices);
    part->pay = NULL;
    part->bonds = NULL;
    part->invoices = NULL;
}

void owm_payments_part_close(struct owm_payments_part *part)
{
    if (!part) return;
    owm_payments_part_stop(part);
    owm_history_close(part->history);
    owm_payment_secret_close(part->pool_secret);
    free(part);
}

struct owm_bonds *owm_payments_part_bonds(struct owm_payments_part *part)
{
    return part->bonds;
}
