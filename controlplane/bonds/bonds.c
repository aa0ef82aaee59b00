/* bonds.c: what nodes ask for, and what a case does to the rows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "bonds_internal.h"

#define ASKED_S 3600 /* an invoice that is not paid within an hour is over */

#define COLUMNS                                                                                    \
    "bond_id, kind, state, amount_msat, " OWM_PG_MS("until_at") ", invoice, expiry_height, reason"

void bonds_preimage(const struct owm_bonds *bonds, const uint8_t bond_id[16], uint8_t preimage[32],
                    uint8_t hash[32])
{
    uint8_t id[16];
    owm_payment_id(bond_id, "bond_hold", id);
    owm_payment_preimage(bonds->options.secret, id, preimage);
    owm_payment_hash(bonds->options.secret, id, hash);
}

owm_status bonds_reach(const struct owm_bonds *bonds, struct owm_pg **pg, struct owm_error *error)
{
    if (!*pg) return owm_pg_open(bonds->options.database_url, pg, error);
    return owm_pg_alive(*pg) ? OWM_OK : owm_pg_reopen(*pg, error);
}

/* ---------------------------------------------------------------------------- questions */

static void describe(const struct owm_pg_rows *rows, size_t i, struct owm_bond *bond)
{
    int64_t height = owm_pg_get_i64(rows, i, 6);
    const char *reason = owm_pg_get_text(rows, i, 7);
    owm_pg_get_uuid(rows, i, 0, bond->bond_id);
    snprintf(bond->kind, sizeof(bond->kind), "%s", owm_pg_get_text(rows, i, 1));
    snprintf(bond->state, sizeof(bond->state), "%s", owm_pg_get_text(rows, i, 2));
    bond->amount_msat = owm_pg_get_i64(rows, i, 3);
    bond->until_ms = owm_pg_get_i64(rows, i, 4);
    bool asked = strcmp(bond->state, "asked") == 0, held = strcmp(bond->state, "held") == 0;
    snprintf(bond->invoice, sizeof(bond->invoice), "%s", asked ? owm_pg_get_text(rows, i, 5) : "");
    if (asked)
        snprintf(bond->note, sizeof(bond->note), "waits for the invoice to be paid");
    else if (held && reason[0] == 0)
        snprintf(bond->note, sizeof(bond->note), "its HTLC lies until block %" PRId64, height);
    else
        snprintf(bond->note, sizeof(bond->note), "%s", reason);
}

static owm_status list_bonds(struct owm_pg *pg, const uint8_t node_id[16], struct owm_bond *list,
                             size_t *count, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node_id);
    owm_pg_i64(&args, OWM_BONDS_OF_NODE_MAX);
    owm_status status = owm_pg_query(pg,
                                     "SELECT " COLUMNS " FROM bonds WHERE node_id = $1"
                                     " ORDER BY ended_at IS NOT NULL, created_at DESC LIMIT $2",
                                     &args, &rows, error);
    if (status != OWM_OK) return status;
    *count = owm_pg_rows_count(rows);
    for (size_t i = 0; i < *count; i++) describe(rows, i, &list[i]);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* One number about the bonds or cases of a node. */
static owm_status count_of(struct owm_pg *pg, const char *sql, const uint8_t node_id[16],
                           int64_t *count, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node_id);
    owm_status status = owm_pg_query(pg, sql, &args, &rows, error);
    if (status != OWM_OK) return status;
    *count = owm_pg_get_i64(rows, 0, 0);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- a new bond */

static owm_status check_amount(const struct owm_bonds *bonds, int64_t sats, struct owm_error *error)
{
    if (sats >= bonds->options.min_sats && sats <= bonds->options.max_sats) return OWM_OK;
    return owm_fail(error, OWM_E_ARG,
                    "a bond is %" PRId64 " to %" PRId64 " sats here, not %" PRId64,
                    bonds->options.min_sats, bonds->options.max_sats, sats);
}

static owm_status check_room(struct owm_pg *pg, const uint8_t node_id[16], struct owm_error *error)
{
    int64_t live = 0;
    owm_status status =
        count_of(pg, "SELECT count(*) FROM bonds WHERE node_id = $1 AND ended_at IS NULL", node_id,
                 &live, error);
    if (status == OWM_OK && live >= OWM_BONDS_OF_NODE_MAX)
        status = owm_fail(error, OWM_E_LIMIT, "this node has %d bonds; let one go first",
                          OWM_BONDS_OF_NODE_MAX);
    return status;
}

/* The same request again: the one that waits. found stays false if there is none. */
static owm_status find_asked(struct owm_pg *pg, const uint8_t node_id[16],
                             const struct owm_bond_ask *ask, uint8_t bond_id[16], bool *found,
                             struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node_id);
    owm_pg_text(&args, ask->kind == OWM_BOND_HOLD ? "hold" : "paid");
    owm_pg_i64(&args, ask->amount_sats * 1000);
    owm_status status =
        owm_pg_query(pg,
                     "SELECT bond_id FROM bonds WHERE node_id = $1 AND kind = $2"
                     " AND amount_msat = $3 AND state = 'asked' AND until_at > now() LIMIT 1",
                     &args, &rows, error);
    if (status != OWM_OK) return status;
    *found = owm_pg_rows_count(rows) > 0;
    if (*found) owm_pg_get_uuid(rows, 0, 0, bond_id);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* Before the node makes the invoice, so that none is lost. */
static owm_status write_row(struct owm_pg *pg, const uint8_t node_id[16],
                            const struct owm_bond_ask *ask, const uint8_t bond_id[16],
                            const uint8_t hash[32], struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, bond_id);
    owm_pg_uuid(&args, node_id);
    owm_pg_text(&args, ask->kind == OWM_BOND_HOLD ? "hold" : "paid");
    owm_pg_i64(&args, ask->amount_sats * 1000);
    owm_pg_bytes(&args, hash, 32);
    owm_pg_i64(&args, ASKED_S);
    return owm_pg_query(pg,
                        "INSERT INTO bonds (bond_id, node_id, kind, amount_msat, payment_hash,"
                        " until_at, replaces) VALUES ($1, $2, $3, $4, $5,"
                        " now() + $6::bigint * interval '1 second',"
                        " (SELECT bond_id FROM bonds WHERE node_id = $2 AND kind = 'hold'"
                        " AND $3 = 'hold' AND state = 'held' AND amount_msat <= $4"
                        " ORDER BY created_at LIMIT 1)) ON CONFLICT (bond_id) DO NOTHING",
                        &args, NULL, error);
}

static owm_status make_hold(struct owm_bonds *bonds, const struct owm_bond_ask *ask,
                            const uint8_t hash[32], char *invoice, struct owm_error *error)
{
    uint8_t own[OWM_LIGHTNING_KEY_BYTES];
    owm_lightning *node = owm_wallet_enter(bonds->wallet, own);
    if (!node)
        return owm_fail(error, OWM_E_AGAIN, "the treasury's Lightning node is away; ask again");
    const struct owm_lightning_ask asked = {.payment_hash = hash,
                                            .amount_msat = ask->amount_sats * 1000,
                                            .expiry_s = ASKED_S,
                                            .cltv_blocks = bonds->options.hold_blocks,
                                            .memo = "OWM bond",
                                            .route_hints = true};
    owm_status status = owm_lightning_invoice_add(node, &asked, invoice, error);
    owm_wallet_leave(bonds->wallet);
    owm_wallet_heard(bonds->wallet, status, error ? error->text : "");
    return status;
}

static owm_status make_paid(struct owm_bonds *bonds, const uint8_t bond_id[16],
                            const struct owm_bond_ask *ask, struct owm_invoice_row *row,
                            struct owm_error *error)
{
    const struct owm_invoice_order order = {.source_id = bond_id,
                                            .purpose = OWM_BOND_PURPOSE,
                                            .amount_msat = ask->amount_sats * 1000,
                                            .expiry_s = ASKED_S,
                                            .memo = "OWM bond",
                                            .route_hints = true};
    if (!bonds->options.invoices)
        return owm_fail(error, OWM_E_UNSUPPORTED, "lightning.invoice_credential is not configured");
    return owm_invoices_create(bonds->options.invoices, bonds->ask_pg, &order, row, error);
}

static owm_status keep_invoice(struct owm_pg *pg, const uint8_t bond_id[16], const char *invoice,
                               struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, bond_id);
    owm_pg_text(&args, invoice);
    return owm_pg_query(pg, "UPDATE bonds SET invoice = $2 WHERE bond_id = $1 AND invoice = ''",
                        &args, NULL, error);
}

/* A bond whose invoice could not be made waits without one; asking again makes it. */
static owm_status make(struct owm_bonds *bonds, const uint8_t node_id[16],
                       const struct owm_bond_ask *ask, struct owm_error *error)
{
    struct owm_pg *pg = bonds->ask_pg;
    struct owm_invoice_row row = {.invoice = ""};
    uint8_t bond_id[16], preimage[32], hash[32];
    bool found = false;
    owm_status status = check_amount(bonds, ask->amount_sats, error);
    if (status == OWM_OK) status = find_asked(pg, node_id, ask, bond_id, &found, error);
    if (status != OWM_OK) return status;
    if (!found) {
        status = check_room(pg, node_id, error);
        if (status != OWM_OK) return status;
        owm_uuid_random(bond_id);
    }
    bonds_preimage(bonds, bond_id, preimage, hash);
    explicit_bzero(preimage, sizeof(preimage));
    if (!found) status = write_row(pg, node_id, ask, bond_id, hash, error);
    if (status == OWM_OK && ask->kind == OWM_BOND_HOLD)
        status = make_hold(bonds, ask, hash, row.invoice, error);
    else if (status == OWM_OK)
        status = make_paid(bonds, bond_id, ask, &row, error);
    if (status == OWM_OK) status = keep_invoice(pg, bond_id, row.invoice, error);
    return status;
}

/* ---------------------------------------------------------------------------- to leave */

static owm_status leave(struct owm_bonds *bonds, const uint8_t node_id[16], struct owm_error *error)
{
    struct owm_pg_args args;
    int64_t cases = 0;
    owm_status status = count_of(bonds->ask_pg,
                                 "SELECT count(*) FROM slash_cases WHERE node_id = $1"
                                 " AND state IN ('open', 'decided', 'evicting')",
                                 node_id, &cases, error);
    if (status != OWM_OK) return status;
    if (cases > 0)
        return owm_fail(error, OWM_E_STATE,
                        "a case against this node is open: its bonds stay until it is closed "
                        "(GET /v1/network/slashing-log)");
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node_id);
    owm_pg_i64(&args, bonds->options.unbonding_ms);
    return owm_pg_query(bonds->ask_pg,
                        "UPDATE bonds SET state = 'leaving', reason = 'the node leaves',"
                        " until_at = now() + CASE WHEN kind = 'paid' THEN $2::bigint ELSE 0 END"
                        " * interval '1 millisecond'"
                        " WHERE node_id = $1 AND state IN ('held', 'paid')",
                        &args, NULL, error);
}

owm_status owm_bonds_ask(struct owm_bonds *bonds, const uint8_t node_id[16],
                         const struct owm_bond_ask *ask,
                         struct owm_bond list[OWM_BONDS_OF_NODE_MAX], size_t *count,
                         struct owm_error *error)
{
    *count = 0;
    pthread_mutex_lock(&bonds->ask_lock);
    owm_status status = bonds_reach(bonds, &bonds->ask_pg, error);
    if (status == OWM_OK && ask->leave)
        status = leave(bonds, node_id, error);
    else if (status == OWM_OK && ask->kind != OWM_BOND_NONE)
        status = make(bonds, node_id, ask, error);
    struct owm_error ignored;
    if (bonds->ask_pg && owm_pg_alive(bonds->ask_pg)) {
        owm_status listed =
            list_bonds(bonds->ask_pg, node_id, list, count, status == OWM_OK ? error : &ignored);
        if (status == OWM_OK) status = listed;
    }
    pthread_mutex_unlock(&bonds->ask_lock);
    return status;
}

/* ---------------------------------------------------------------------------- what cases do */

/* A hold invoice that nobody has paid yet is called off, and is taken if the HTLC came just now. A
 * paid bond that is only asked for is no money yet. What a newer bond stands in for is not taken
 * beside it: rolled is not doubled. */
static owm_status hook_slash(void *ctx, struct owm_pg *pg, const uint8_t node_id[16],
                             const uint8_t case_id[16], struct owm_error *error)
{
    struct owm_pg_args args;
    (void)ctx;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node_id);
    owm_pg_uuid(&args, case_id);
    return owm_pg_query(
        pg,
        "UPDATE bonds SET state = 'slashing', case_id = $2,"
        " reason = 'forfeited by a decided case'"
        " WHERE node_id = $1 AND (state IN ('held', 'paid', 'leaving')"
        " OR (kind = 'hold' AND state = 'asked'))"
        " AND NOT (state = 'leaving' AND EXISTS (SELECT 1 FROM bonds n"
        " WHERE n.replaces = bonds.bond_id AND n.state IN ('held', 'slashing', 'slashed')))",
        &args, NULL, error);
}

static owm_status hook_give_back(void *ctx, struct owm_pg *pg, const uint8_t node_id[16],
                                 const uint8_t case_id[16], struct owm_error *error)
{
    struct owm_pg_args args;
    (void)ctx;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node_id);
    owm_pg_uuid(&args, case_id);
    return owm_pg_query(pg,
                        "UPDATE bonds SET state = 'giving_back', ended_at = NULL,"
                        " reason = 'the case was overturned'"
                        " WHERE node_id = $1 AND case_id = $2 AND state IN ('slashing', 'slashed')",
                        &args, NULL, error);
}

const struct owm_bonds_hooks *owm_bonds_hooks_of(void)
{
    static const struct owm_bonds_hooks hooks = {.slash = hook_slash, .give_back = hook_give_back};
    return &hooks;
}

/* What was paid counts, down to the sat: payers may pay more than was asked. Also where the invoice
 * was thought to be over: the money is there. */
static owm_status hook_paid(void *ctx, struct owm_pg *pg, const struct owm_invoice_row *row,
                            struct owm_error *error)
{
    struct owm_pg_args args;
    (void)ctx;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->source_id);
    owm_pg_i64(&args, row->paid_msat / 1000 * 1000);
    return owm_pg_query(pg,
                        "UPDATE bonds SET state = 'paid', amount_msat = $2, until_at = NULL,"
                        " ended_at = NULL, reason = 'held by the treasury'"
                        " WHERE bond_id = $1 AND state IN ('asked', 'expired')",
                        &args, NULL, error);
}

struct owm_invoice_hook owm_bonds_invoice_hook(void)
{
    return (struct owm_invoice_hook){.purpose = OWM_BOND_PURPOSE, .paid = hook_paid};
}

/* ---------------------------------------------------------------------------- open, close */

owm_status owm_bonds_open(const struct owm_bonds_options *options, struct owm_bonds **out)
{
    struct owm_bonds *bonds = calloc(1, sizeof(*bonds));
    if (!bonds) return OWM_E_NOMEM;
    bonds->options = *options;
    bonds->options.node.role = OWM_LIGHTNING_INVOICE;
    if (!bonds->options.poll_ms) bonds->options.poll_ms = 2000;
    pthread_mutex_init(&bonds->ask_lock, NULL);
    pthread_mutex_init(&bonds->rolls.lock, NULL);
    bonds->live[0] = owm_metrics_gauge(options->metrics, "owm_bonds_msat", "Bonds that stand.",
                                       (const char *const[]){"kind", "hold", NULL});
    bonds->live[1] = owm_metrics_gauge(options->metrics, "owm_bonds_msat", "Bonds that stand.",
                                       (const char *const[]){"kind", "paid", NULL});
    bonds->to_roll = owm_metrics_gauge(options->metrics, "owm_bonds_to_roll",
                                       "Hold bonds that end within bonds.roll_blocks.", NULL);
    bonds->slashed_msat = owm_metrics_counter(options->metrics, "owm_bonds_slashed_msat_total",
                                              "What was forfeited.", NULL);
    bonds->returned_msat = owm_metrics_counter(options->metrics, "owm_bonds_returned_msat_total",
                                               "What was given back.", NULL);
    const struct owm_wallet_options wallet = {.node = bonds->options.node,
                                              .metrics = options->metrics};
    owm_status status = owm_wallet_open(&wallet, &bonds->wallet);
    if (status == OWM_OK) {
        bonds->running = pthread_create(&bonds->thread, NULL, bonds_work, bonds) == 0;
        if (!bonds->running) status = OWM_E_NOMEM;
    }
    if (status != OWM_OK) {
        owm_bonds_close(bonds);
        return status;
    }
    *out = bonds;
    return OWM_OK;
}

void owm_bonds_close(struct owm_bonds *bonds)
{
    if (!bonds) return;
    atomic_store(&bonds->stopping, true);
    if (bonds->running) pthread_join(bonds->thread, NULL);
    owm_wallet_close(bonds->wallet);
    owm_pg_close(bonds->pg);
    owm_pg_close(bonds->ask_pg);
    pthread_mutex_destroy(&bonds->rolls.lock);
    pthread_mutex_destroy(&bonds->ask_lock);
    free(bonds);
}
