/* invoices.c: see invoices.h. */
#include "invoices.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define RECONCILE_MAX 1000  /* open invoices of one look */
#define RECONCILE_MS  60000 /* between two looks at those that may have expired */
#define WAIT_MS       500
#define AGAIN_MS      1000
#define NAP_MS        100
#define LOST_MS       600000 /* after its expiry an invoice that the node does not know is over */

#define COLUMNS                                                                                    \
    "invoice_id, source_id, purpose, payment_hash, asked_msat, paid_msat, state,"                  \
    " coalesce(invoice, ''), " OWM_PG_MS("expires_at")

struct owm_invoices {
    struct owm_invoices_options options;
    struct owm_wallet *wallet;
    struct owm_pg *pg;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    owm_counter *settled, *settled_msat;
};

static void read_row(const struct owm_pg_rows *rows, size_t i, struct owm_invoice_row *row)
{
    memset(row, 0, sizeof(*row));
    owm_pg_get_uuid(rows, i, 0, row->invoice_id);
    owm_pg_get_uuid(rows, i, 1, row->source_id);
    snprintf(row->purpose, sizeof(row->purpose), "%s", owm_pg_get_text(rows, i, 2));
    owm_pg_get_hash(rows, i, 3, row->payment_hash, 32);
    row->asked_msat = owm_pg_get_i64(rows, i, 4);
    row->paid_msat = owm_pg_get_i64(rows, i, 5);
    snprintf(row->state, sizeof(row->state), "%s", owm_pg_get_text(rows, i, 6));
    snprintf(row->invoice, sizeof(row->invoice), "%s", owm_pg_get_text(rows, i, 7));
    row->expires_ms = owm_pg_get_i64(rows, i, 8);
}

/* ---------------------------------------------------------------------------- to ask */

/* Not the id of a payment with the same source and purpose: its preimage is another's receipt. */
static void name_invoice(const struct owm_invoice_order *order, uint8_t id[16])
{
    char purpose[OWM_PAYMENT_PURPOSE_BYTES_MAX + 1];
    OWM_ASSERT(strlen(order->purpose) <= OWM_INVOICE_PURPOSE_BYTES);
    snprintf(purpose, sizeof(purpose), "in:%s", order->purpose);
    owm_payment_id(order->source_id, purpose, id);
}

static owm_status write_row(struct owm_invoices *invoices, struct owm_pg *pg,
                            const struct owm_invoice_order *order, struct owm_invoice_row *row,
                            struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    uint8_t id[16], hash[32];
    name_invoice(order, id);
    owm_payment_hash(invoices->options.secret, id, hash);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_uuid(&args, order->source_id);
    owm_pg_text(&args, order->purpose);
    owm_pg_bytes(&args, hash, 32);
    owm_pg_i64(&args, order->amount_msat);
    owm_pg_text(&args, order->memo ? order->memo : "");
    owm_pg_i64(&args, order->expiry_s);
    owm_status status = owm_pg_query(
        pg,
        "INSERT INTO invoices (invoice_id, source_id, purpose, payment_hash, asked_msat, memo,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $6, now() + $7::bigint * interval '1 second')"
        " ON CONFLICT (source_id, purpose) DO UPDATE SET memo = invoices.memo"
        " RETURNING " COLUMNS,
        &args, &rows, error);
    if (status != OWM_OK) return status;
    read_row(rows, 0, row);
    owm_pg_rows_free(rows);
    if (row->asked_msat == order->amount_msat) return OWM_OK;
    return owm_fail(error, OWM_E_EXISTS, "asked for before, with %lld and not %lld msat",
                    (long long)row->asked_msat, (long long)order->amount_msat);
}

static owm_status make_invoice(struct owm_invoices *invoices, const struct owm_invoice_order *order,
                               struct owm_invoice_row *row, struct owm_error *error)
{
    uint8_t preimage[32], own[OWM_LIGHTNING_KEY_BYTES];
    owm_lightning *node = owm_wallet_enter(invoices->wallet, own);
    if (!node)
        return owm_fail(error, OWM_E_AGAIN, "the treasury's Lightning node is away; ask again");
    owm_payment_preimage(invoices->options.secret, row->invoice_id, preimage);
    struct owm_lightning_ask ask = {.preimage = preimage,
                                    .payment_hash = row->payment_hash,
                                    .amount_msat = row->asked_msat,
                                    .expiry_s = order->expiry_s,
                                    .memo = order->memo ? order->memo : "",
                                    .route_hints = order->route_hints};
    owm_status status = owm_lightning_invoice_add(node, &ask, row->invoice, error);
    explicit_bzero(preimage, sizeof(preimage));
    owm_wallet_leave(invoices->wallet);
    owm_wallet_heard(invoices->wallet, status, error ? error->text : "");
    return status;
}

owm_status owm_invoices_create(struct owm_invoices *invoices, struct owm_pg *pg,
                               const struct owm_invoice_order *order, struct owm_invoice_row *row,
                               struct owm_error *error)
{
    struct owm_pg_args args;
    owm_status status = write_row(invoices, pg, order, row, error);
    if (status != OWM_OK || row->invoice[0] || strcmp(row->state, "open") != 0) return status;
    status = make_invoice(invoices, order, row, error);
    if (status != OWM_OK) return status;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->invoice_id);
    owm_pg_text(&args, row->invoice);
    return owm_pg_query(pg, "UPDATE invoices SET invoice = $2 WHERE invoice_id = $1", &args, NULL,
                        error);
}

/* ---------------------------------------------------------------------------- to credit */

static owm_status call_hook(struct owm_invoices *invoices, const struct owm_invoice_row *row,
                            struct owm_error *error)
{
    for (size_t i = 0; i < invoices->options.hook_count; i++) {
        const struct owm_invoice_hook *hook = &invoices->options.hooks[i];
        if (strcmp(hook->purpose, row->purpose) == 0)
            return hook->paid(hook->ctx, invoices->pg, row, error);
    }
    return OWM_OK;
}

static owm_status settle_row(struct owm_invoices *invoices,
                             const struct owm_lightning_invoice *paid, bool *ours,
                             struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    struct owm_invoice_row row;
    owm_pg_begin_args(&args);
    owm_pg_bytes(&args, paid->payment_hash, 32);
    owm_pg_i64(&args, paid->paid_msat);
    owm_pg_i64(&args, (int64_t)paid->settle_index);
    owm_status status = owm_pg_query(invoices->pg,
                                     "UPDATE invoices SET state = 'settled', paid_msat = $2,"
                                     " settle_index = $3, ended_at = now()"
                                     " WHERE payment_hash = $1 AND state <> 'settled'"
                                     " RETURNING " COLUMNS,
                                     &args, &rows, error);
    if (status != OWM_OK) return status;
    *ours = owm_pg_rows_count(rows) > 0;
    if (*ours) read_row(rows, 0, &row);
    owm_pg_rows_free(rows);
    return *ours ? call_hook(invoices, &row, error) : OWM_OK;
}

static owm_status move_cursor(struct owm_invoices *invoices, uint64_t settle_index,
                              struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, (int64_t)settle_index);
    return owm_pg_query(invoices->pg,
                        "UPDATE invoice_cursor SET settle_index = greatest(settle_index, $1)",
                        &args, NULL, error);
}

/* in_order  from the watch: everything up to its index has been seen. */
static owm_status credit(struct owm_invoices *invoices, const struct owm_lightning_invoice *paid,
                         bool in_order, struct owm_error *error)
{
    bool ours = false;
    owm_status status = owm_pg_exec(invoices->pg, "BEGIN", error);
    if (status == OWM_OK) status = settle_row(invoices, paid, &ours, error);
    if (status == OWM_OK && in_order) status = move_cursor(invoices, paid->settle_index, error);
    if (status == OWM_OK) status = owm_pg_exec(invoices->pg, "COMMIT", error);
    if (status != OWM_OK) {
        owm_pg_rollback(invoices->pg);
        return status;
    }
    if (!ours) return OWM_OK;
    owm_counter_add(invoices->settled, 1);
    owm_counter_add(invoices->settled_msat, (uint64_t)paid->paid_msat);
    owm_log(OWM_LOG_INFO, "invoice_settled paid_msat=%lld", (long long)paid->paid_msat);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- to look */

static owm_status cancel_row(struct owm_invoices *invoices, const struct owm_invoice_row *row,
                             struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->invoice_id);
    return owm_pg_query(invoices->pg,
                        "UPDATE invoices SET state = 'cancelled', ended_at = now()"
                        " WHERE invoice_id = $1 AND state = 'open'",
                        &args, NULL, error);
}

static owm_status look_at(struct owm_invoices *invoices, owm_lightning *node,
                          const struct owm_invoice_row *row, struct owm_error *error)
{
    struct owm_lightning_invoice found;
    owm_status status = owm_lightning_invoice_find(node, row->payment_hash, &found, error);
    if (status == OWM_E_NOTFOUND)
        return owm_clock_wall_ms() > row->expires_ms + LOST_MS ? cancel_row(invoices, row, error)
                                                               : OWM_OK;
    if (status != OWM_OK) return status;
    if (found.state == OWM_LIGHTNING_INVOICE_SETTLED) return credit(invoices, &found, false, error);
    if (found.state == OWM_LIGHTNING_INVOICE_CANCELLED) return cancel_row(invoices, row, error);
    return OWM_OK;
}

/* expired  only those whose time is over. */
static owm_status reconcile(struct owm_invoices *invoices, owm_lightning *node, bool expired,
                            struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    struct owm_invoice_row row;
    owm_pg_begin_args(&args);
    owm_pg_bool(&args, expired);
    owm_pg_i64(&args, RECONCILE_MAX);
    owm_status status = owm_pg_query(invoices->pg,
                                     "SELECT " COLUMNS " FROM invoices WHERE state = 'open'"
                                     " AND (NOT $1::boolean OR expires_at < now())"
                                     " ORDER BY created_at LIMIT $2",
                                     &args, &rows, error);
    if (status != OWM_OK) return status;
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        if (atomic_load(&invoices->stopping)) break;
        read_row(rows, i, &row);
        status = look_at(invoices, node, &row, error);
    }
    owm_pg_rows_free(rows);
    return status;
}

static owm_status follow(struct owm_invoices *invoices, owm_lightning *node,
                         struct owm_lightning_invoices *watch, struct owm_error *error)
{
    struct owm_lightning_invoice paid;
    uint64_t looked_ms = owm_clock_mono_ms();
    owm_status status = OWM_OK;
    while (status == OWM_OK && !atomic_load(&invoices->stopping)) {
        status = owm_lightning_invoices_next(watch, WAIT_MS, &paid, error);
        if (status == OWM_OK) status = credit(invoices, &paid, true, error);
        if (status == OWM_E_TIMEOUT) status = OWM_OK;
        if (status != OWM_OK || owm_clock_mono_ms() - looked_ms < RECONCILE_MS) continue;
        status = reconcile(invoices, node, true, error);
        looked_ms = owm_clock_mono_ms();
    }
    return status;
}

static owm_status watch_from(struct owm_invoices *invoices, owm_lightning *node,
                             struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    struct owm_lightning_invoices *watch = NULL;
    owm_status status =
        owm_pg_query(invoices->pg, "SELECT settle_index FROM invoice_cursor", NULL, &rows, error);
    if (status != OWM_OK) return status;
    uint64_t index = (uint64_t)owm_pg_get_i64(rows, 0, 0);
    owm_pg_rows_free(rows);
    status = owm_lightning_watch_invoices(node, index, &watch, error);
    if (status == OWM_OK) status = reconcile(invoices, node, false, error);
    if (status == OWM_OK) status = follow(invoices, node, watch, error);
    owm_lightning_invoices_close(watch);
    return status;
}

static owm_status watch_once(struct owm_invoices *invoices, struct owm_error *error)
{
    uint8_t own[OWM_LIGHTNING_KEY_BYTES];
    owm_status status = OWM_OK;
    if (!invoices->pg)
        status = owm_pg_open(invoices->options.database_url, &invoices->pg, error);
    else if (!owm_pg_alive(invoices->pg))
        status = owm_pg_reopen(invoices->pg, error);
    if (status != OWM_OK) return status;
    owm_lightning *node = owm_wallet_enter(invoices->wallet, own);
    if (!node) return OWM_OK;
    status = watch_from(invoices, node, error);
    owm_wallet_leave(invoices->wallet);
    owm_wallet_heard(invoices->wallet, status, error->text);
    return status;
}

static void *run(void *ctx)
{
    struct owm_invoices *invoices = ctx;
    while (!atomic_load(&invoices->stopping)) {
        struct owm_error error = {""};
        if (watch_once(invoices, &error) != OWM_OK)
            owm_log(OWM_LOG_WARN, "invoices_watch_ended reason=\"%s\"", error.text);
        for (int ms = 0; ms < AGAIN_MS && !atomic_load(&invoices->stopping); ms += NAP_MS)
            owm_clock_sleep_ms(NAP_MS);
    }
    return NULL;
}

owm_status owm_invoices_open(const struct owm_invoices_options *options, struct owm_invoices **out)
{
    struct owm_invoices *invoices = calloc(1, sizeof(*invoices));
    if (!invoices) return OWM_E_NOMEM;
    invoices->options = *options;
    invoices->options.node.role = OWM_LIGHTNING_INVOICE;
    invoices->settled = owm_metrics_counter(options->metrics, "owm_invoices_settled_total",
                                            "Invoices that were paid to us.", NULL);
    invoices->settled_msat = owm_metrics_counter(
        options->metrics, "owm_invoices_settled_msat_total", "What was paid for them.", NULL);
    const struct owm_wallet_options wallet = {.node = invoices->options.node,
                                              .metrics = options->metrics,
                                              .note = options->note,
                                              .note_ctx = options->note_ctx};
    owm_status status = owm_wallet_open(&wallet, &invoices->wallet);
    if (status == OWM_OK) {
        invoices->running = pthread_create(&invoices->thread, NULL, run, invoices) == 0;
        if (!invoices->running) status = OWM_E_NOMEM;
    }
    if (status != OWM_OK) {
        owm_invoices_close(invoices);
        return status;
    }
    *out = invoices;
    return OWM_OK;
}

void owm_invoices_close(struct owm_invoices *invoices)
{
    if (!invoices) return;
    atomic_store(&invoices->stopping, true);
    if (invoices->running) pthread_join(invoices->thread, NULL);
    owm_wallet_close(invoices->wallet);
    owm_pg_close(invoices->pg);
    free(invoices);
}
