/* bonds_work.c: one thread that looks at the rows of bonds that have not ended, asks the treasury's
 * node what became of each hold invoice, and tells it what the rows say. Every step looks first, so
 * it may be repeated; and it is one transaction that holds its row, so that what a case decides
 * comes before it or after it, never in between. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "bonds_internal.h"

#define BATCH_MAX  500
#define NAP_MS     100
#define HELD_LOOKS 15 /* held bonds are looked at every so many turns */

struct row {
    uint8_t bond_id[16], node_id[16], replaces[16];
    char kind[8], state[16];
    int64_t amount_msat;
    bool due;           /* until_at is over */
    bool taken;         /* hold: its sats came to us */
    const char *became; /* once its step is committed; NULL: what it was */
};

/* Nobody else moves a row that its step holds. */
static owm_status move(struct owm_bonds *bonds, struct row *row, const char *to, const char *reason,
                       struct owm_error *error)
{
    struct owm_pg_args args;
    row->became = to;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->bond_id);
    owm_pg_text(&args, row->state);
    owm_pg_text(&args, to);
    owm_pg_text(&args, reason);
    return owm_pg_query(bonds->pg,
                        "UPDATE bonds SET state = $3, reason = $4, ended_at = CASE WHEN $3 IN"
                        " ('slashed', 'returned', 'expired') THEN now() END,"
                        " until_at = CASE WHEN $3 = 'held' THEN NULL ELSE until_at END,"
                        " taken = taken OR $3 = 'slashed'"
                        " WHERE bond_id = $1 AND state = $2",
                        &args, NULL, error);
}

/* After the commit. */
static void say(struct owm_bonds *bonds, const struct row *row)
{
    char bond[37], node[37];
    if (!row->became) return;
    if (strcmp(row->became, "slashed") == 0)
        owm_counter_add(bonds->slashed_msat, (uint64_t)row->amount_msat);
    if (strcmp(row->became, "returned") == 0)
        owm_counter_add(bonds->returned_msat, (uint64_t)row->amount_msat);
    owm_uuid_format(row->bond_id, bond);
    owm_uuid_format(row->node_id, node);
    owm_log(OWM_LOG_INFO, "bond_%s bond=%s node=%s kind=%s amount_msat=%" PRId64, row->became, bond,
            node, row->kind, row->amount_msat);
}

/* ---------------------------------------------------------------------------- the way back */

/* The outbox row and the bond's end are one transaction. */
static owm_status owe_back(struct owm_bonds *bonds, struct row *row, struct owm_error *error)
{
    struct owm_pg_args args;
    uint8_t id[16], hash[32];
    owm_payment_id(row->bond_id, OWM_BOND_RETURN, id);
    owm_payment_hash(bonds->options.secret, id, hash);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_uuid(&args, row->bond_id);
    owm_pg_text(&args, OWM_BOND_RETURN);
    owm_pg_uuid(&args, row->node_id);
    owm_pg_i64(&args, row->amount_msat);
    owm_pg_bytes(&args, hash, 32);
    owm_status status = owm_pg_query(bonds->pg,
                                     "INSERT INTO payments (payment_id, source_id, purpose,"
                                     " node_id, amount_msat, payment_hash, created_at)"
                                     " VALUES ($1, $2, $3, $4, $5, $6, now())"
                                     " ON CONFLICT (source_id, purpose) DO NOTHING",
                                     &args, NULL, error);
    return status == OWM_OK ? move(bonds, row, "returned", "paid back by the outbox", error)
                            : status;
}

static owm_status released(struct owm_bonds *bonds, struct row *row, struct owm_error *error)
{
    return move(bonds, row, "returned", "its HTLC was called off", error);
}

/* ---------------------------------------------------------------------------- hold bonds */

static owm_status forfeited(struct owm_bonds *bonds, struct row *row, struct owm_error *error)
{
    return move(bonds, row, "slashed", "forfeited by a decided case", error);
}

static owm_status now_held(struct owm_bonds *bonds, struct row *row,
                           const struct owm_lightning_invoice *invoice, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->bond_id);
    owm_pg_i64(&args, invoice->expiry_height);
    owm_status status = owm_pg_query(bonds->pg,
                                     "UPDATE bonds SET expiry_height = $2 WHERE bond_id = $1"
                                     " AND expiry_height <> $2",
                                     &args, NULL, error);
    if (status == OWM_OK && strcmp(row->state, "asked") == 0)
        status = move(bonds, row, "held", "", error);
    return status;
}

/* The one that a new bond replaces leaves, once the new one stands. */
static owm_status roll(struct owm_bonds *bonds, const struct row *row, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->replaces);
    return owm_pg_query(bonds->pg,
                        "UPDATE bonds SET state = 'leaving', until_at = now(),"
                        " reason = 'a newer bond stands in its place'"
                        " WHERE bond_id = $1 AND state = 'held'",
                        &args, NULL, error);
}

static owm_status warn_roll(struct owm_bonds *bonds, const struct row *row, uint32_t height,
                            const struct owm_lightning_invoice *invoice, struct owm_error *error)
{
    struct owm_pg_args args;
    if (invoice->expiry_height == 0 || height + bonds->options.roll_blocks < invoice->expiry_height)
        return OWM_OK;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->bond_id);
    return owm_pg_query(bonds->pg,
                        "UPDATE bonds SET reason = 'its HTLC ends at block ' || expiry_height ||"
                        " ': make a new hold bond of this amount to replace it'"
                        " WHERE bond_id = $1 AND state = 'held' AND reason = ''",
                        &args, NULL, error);
}

static owm_status settle(struct owm_bonds *bonds, owm_lightning *node, struct row *row,
                         struct owm_error *error)
{
    uint8_t preimage[32], hash[32];
    bonds_preimage(bonds, row->bond_id, preimage, hash);
    owm_status status = owm_lightning_invoice_settle(node, preimage, error);
    explicit_bzero(preimage, sizeof(preimage));
    if (status == OWM_OK) status = forfeited(bonds, row, error);
    return status;
}

static owm_status call_off(struct owm_bonds *bonds, owm_lightning *node, struct row *row,
                           struct owm_error *error)
{
    uint8_t preimage[32], hash[32];
    bonds_preimage(bonds, row->bond_id, preimage, hash);
    explicit_bzero(preimage, sizeof(preimage));
    owm_status status = owm_lightning_invoice_cancel(node, hash, error);
    if (status == OWM_OK) status = released(bonds, row, error);
    return status;
}

/* What the invoice's state and the row's state ask for together. */
static owm_status step_hold(struct owm_bonds *bonds, owm_lightning *node, uint32_t height,
                            struct row *row, struct owm_error *error)
{
    struct owm_lightning_invoice invoice;
    uint8_t preimage[32], hash[32];
    bool slashing = strcmp(row->state, "slashing") == 0;
    bool back = strcmp(row->state, "giving_back") == 0 || strcmp(row->state, "leaving") == 0;
    if (row->taken && back) return owe_back(bonds, row, error);
    bonds_preimage(bonds, row->bond_id, preimage, hash);
    explicit_bzero(preimage, sizeof(preimage));
    owm_status status = owm_lightning_invoice_find(node, hash, &invoice, error);
    if (status == OWM_E_NOTFOUND)
        return row->due || slashing || back
                   ? move(bonds, row, "expired", "its invoice was never made", error)
                   : OWM_OK;
    if (status != OWM_OK) return status;
    switch (invoice.state) {
    case OWM_LIGHTNING_INVOICE_SETTLED:
        return back ? owe_back(bonds, row, error) : forfeited(bonds, row, error);
    case OWM_LIGHTNING_INVOICE_CANCELLED:
        return back ? released(bonds, row, error)
                    : move(bonds, row, "expired",
                           slashing ? "its HTLC had ended before it could be taken"
                                    : "it was not paid in time, or its HTLC ended",
                           error);
    case OWM_LIGHTNING_INVOICE_OPEN:
        return slashing || back ? call_off(bonds, node, row, error) : OWM_OK;
    case OWM_LIGHTNING_INVOICE_HELD:
        break;
    }
    if (slashing) return settle(bonds, node, row, error);
    if (back) return call_off(bonds, node, row, error);
    static const uint8_t none[16];
    status = now_held(bonds, row, &invoice, error);
    if (status == OWM_OK && memcmp(row->replaces, none, sizeof(none)) != 0)
        status = roll(bonds, row, error);
    if (status == OWM_OK) status = warn_roll(bonds, row, height, &invoice, error);
    return status;
}

/* ---------------------------------------------------------------------------- paid bonds */

/* asked: its hook moves it; after its time the invoice is looked at by the invoices' own thread. */
static owm_status step_paid(struct owm_bonds *bonds, struct row *row, struct owm_error *error)
{
    if (strcmp(row->state, "slashing") == 0) return forfeited(bonds, row, error);
    if (strcmp(row->state, "giving_back") == 0) return owe_back(bonds, row, error);
    if (strcmp(row->state, "leaving") == 0 && row->due) return owe_back(bonds, row, error);
    return OWM_OK;
}

/* An invoice that ended without money ends its bond. */
static owm_status end_unpaid(struct owm_bonds *bonds, struct owm_error *error)
{
    return owm_pg_exec(bonds->pg,
                       "UPDATE bonds b SET state = 'expired', ended_at = now(),"
                       " reason = 'it was not paid in time' FROM invoices i"
                       " WHERE b.kind = 'paid' AND i.source_id = b.bond_id AND i.purpose = 'bond'"
                       " AND i.state = 'cancelled' AND b.state = 'asked'",
                       error);
}

/* ---------------------------------------------------------------------------- turns */

static void read_row(const struct owm_pg_rows *rows, size_t i, struct row *row)
{
    owm_pg_get_uuid(rows, i, 0, row->bond_id);
    owm_pg_get_uuid(rows, i, 1, row->node_id);
    owm_pg_get_uuid(rows, i, 2, row->replaces);
    snprintf(row->kind, sizeof(row->kind), "%s", owm_pg_get_text(rows, i, 3));
    snprintf(row->state, sizeof(row->state), "%s", owm_pg_get_text(rows, i, 4));
    row->amount_msat = owm_pg_get_i64(rows, i, 5);
    row->due = owm_pg_get_bool(rows, i, 6);
    row->taken = owm_pg_get_bool(rows, i, 7);
    row->became = NULL;
}

/* Hold the row until the end of the transaction. *still false: it is another by now, or a case
 * against its node is open and no newer bond stands in its place, so it does not leave. */
static owm_status hold(struct owm_bonds *bonds, const struct row *row, bool *still,
                       struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, row->bond_id);
    owm_pg_text(&args, row->state);
    owm_status status =
        owm_pg_query(bonds->pg,
                     "SELECT 1 FROM bonds b WHERE b.bond_id = $1 AND b.state = $2"
                     " AND (b.state <> 'leaving'"
                     " OR EXISTS (SELECT 1 FROM bonds n WHERE n.replaces = b.bond_id"
                     " AND n.state IN ('held', 'slashing', 'slashed'))"
                     " OR NOT EXISTS (SELECT 1 FROM slash_cases c WHERE c.node_id = b.node_id"
                     " AND c.state IN ('open', 'decided', 'evicting'))) FOR UPDATE OF b",
                     &args, &rows, error);
    *still = status == OWM_OK && owm_pg_rows_count(rows) > 0;
    owm_pg_rows_free(rows);
    return status;
}

static owm_status act(struct owm_bonds *bonds, owm_lightning *node, uint32_t height,
                      struct row *row, struct owm_error *error)
{
    bool still = false;
    owm_status status = owm_pg_exec(bonds->pg, "BEGIN", error);
    if (status == OWM_OK) status = hold(bonds, row, &still, error);
    if (status == OWM_OK && still)
        status = strcmp(row->kind, "hold") == 0 ? step_hold(bonds, node, height, row, error)
                                                : step_paid(bonds, row, error);
    if (status == OWM_OK) status = owm_pg_exec(bonds->pg, "COMMIT", error);
    if (status != OWM_OK) owm_pg_rollback(bonds->pg);
    if (status == OWM_OK) say(bonds, row);
    return status;
}

/* Nobody answers, so the others need not be tried now. */
static bool is_away(const struct owm_bonds *bonds, owm_status status)
{
    return !owm_pg_alive(bonds->pg) || status == OWM_E_NET || status == OWM_E_TIMEOUT
           || status == OWM_E_AGAIN || status == OWM_E_PERM || status == OWM_E_NOMEM;
}

/* One bond that cannot be moved does not keep the others: its trouble is said and it waits. */
static owm_status step(struct owm_bonds *bonds, owm_lightning *node, uint32_t height,
                       struct row *row, struct owm_error *error)
{
    if (strcmp(row->kind, "hold") == 0 && !node) return OWM_OK;
    owm_status status = act(bonds, node, height, row, error);
    if (status == OWM_OK || is_away(bonds, status)) return status;
    owm_log(OWM_LOG_WARN, "bond_waits reason=\"%s\"", error->text);
    return OWM_OK;
}

/* Those that wait for something now, and every so often those that just stand. */
static owm_status turn(struct owm_bonds *bonds, owm_lightning *node, bool all,
                       struct owm_error *error)
{
    struct owm_lightning_info info = {.block_height = 0};
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    struct row row;
    owm_status status = node && all ? owm_lightning_get_info(node, &info, error) : OWM_OK;
    if (status == OWM_OK) status = end_unpaid(bonds, error);
    if (status != OWM_OK) return status;
    if (info.block_height) bonds->height = info.block_height;
    owm_pg_begin_args(&args);
    owm_pg_bool(&args, all);
    owm_pg_i64(&args, BATCH_MAX);
    status =
        owm_pg_query(bonds->pg,
                     "SELECT bond_id, node_id, replaces, kind, state, amount_msat,"
                     " coalesce(until_at < now(), false), taken FROM bonds WHERE ended_at IS NULL"
                     " AND ($1::boolean OR state NOT IN ('held', 'paid'))"
                     " ORDER BY state NOT IN ('slashing', 'giving_back'), random() LIMIT $2",
                     &args, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        if (atomic_load(&bonds->stopping)) break;
        read_row(rows, i, &row);
        status = step(bonds, node, info.block_height, &row, error);
    }
    owm_pg_rows_free(rows);
    return status;
}

static owm_status gauges(struct owm_bonds *bonds, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status =
        owm_pg_query(bonds->pg,
                     "SELECT coalesce(sum(amount_msat) FILTER (WHERE kind = 'hold'), 0)::bigint,"
                     " coalesce(sum(amount_msat) FILTER (WHERE kind = 'paid'), 0)::bigint"
                     " FROM bonds WHERE state IN ('held', 'paid', 'leaving')",
                     NULL, &rows, error);
    if (status != OWM_OK) return status;
    for (int i = 0; i < 2; i++) owm_gauge_set(bonds->live[i], (double)owm_pg_get_i64(rows, 0, i));
    owm_pg_rows_free(rows);
    return OWM_OK;
}

void *bonds_work(void *ctx)
{
    struct owm_bonds *bonds = ctx;
    for (unsigned count = 0; !atomic_load(&bonds->stopping); count++) {
        struct owm_error error = {""};
        uint8_t own[OWM_LIGHTNING_KEY_BYTES];
        owm_status status = bonds_reach(bonds, &bonds->pg, &error);
        owm_lightning *node = status == OWM_OK ? owm_wallet_enter(bonds->wallet, own) : NULL;
        bool all = count % HELD_LOOKS == 0 || (node && bonds->height == 0); /* Not heard yet. */
        if (status == OWM_OK) status = turn(bonds, node, all, &error);
        if (node) {
            owm_wallet_leave(bonds->wallet);
            owm_wallet_heard(bonds->wallet, status, error.text);
        }
        if (status == OWM_OK) status = gauges(bonds, &error);
        if (status == OWM_OK) status = bonds_roll_look(bonds, bonds->height, &error);
        if (status != OWM_OK) owm_log(OWM_LOG_WARN, "bonds_wait reason=\"%s\"", error.text);
        for (unsigned ms = 0; ms < bonds->options.poll_ms && !atomic_load(&bonds->stopping);
             ms += NAP_MS)
            owm_clock_sleep_ms(NAP_MS);
    }
    return NULL;
}
