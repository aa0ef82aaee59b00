/* ledger.c: see ledger.h. Both kinds have the same tables but for whom a payment is for. */
#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/uuid.h"

/* "owm sends" as ASCII, the same in every coordinator. */
#define LOCK_DISPATCH "8026107459890769764"

#define AT(n) "to_timestamp($" #n "::bigint / 1000.0)"
#define COLUMNS                                                                                    \
    "p.payment_id, p.source_id, p.purpose, p.amount_msat, p.payment_hash, p.attempts,"             \
    " p.failures, " OWM_PG_MS("p.created_at") ", "
#define ALIVE                                                                                      \
    ", a.kind, a.payment_hash, a.destination, " OWM_PG_MS(                                         \
        "a.expires_at") ","                                                                        \
                        " a.fee_limit_msat, " OWM_PG_MS("a.started_at") ", a.invoice"

/* Payees whose oldest due row is oldest come first; one that has all its places taken, by payments
 * that hang, keeps nobody else waiting. */
#define DUE(key)                                                                                   \
    " WHERE p.payment_id IN (SELECT d.payment_id FROM (SELECT o." key                              \
    ", min(o.created_at) AS first, (SELECT count(*) FROM payments f WHERE f." key " = o." key      \
    " AND f.state = 'in_flight') + (SELECT count(*) FROM payments r WHERE r." key " = o." key      \
    " AND r.state = 'owed' AND r.reason = '" OWM_PAY_RESOLVING "' AND r.next_attempt_at > " AT(    \
        1) ") AS n FROM payments o WHERE o.state = 'owed' AND "                                    \
           "o.next_attempt_at <= " AT(1) " GROUP BY o." key                                        \
                                         ") w CROSS JOIN LATERAL (SELECT payment_id, "             \
                                         "created_at FROM payments q"                              \
                                         " WHERE q." key " = w." key                               \
                                         " AND q.state = 'owed' AND q.next_attempt_at "            \
                                         "<= " AT(1) " ORDER BY q.created_at LIMIT "               \
                                                     "greatest($2::bigint - w.n, 0)) d WHERE w.n " \
                                                     "< $2::bigint"                                \
                                                     " ORDER BY w.first, d.created_at LIMIT $3) "  \
                                                     "AND p.state = 'owed' ORDER BY p.created_at"  \
                                                     " FOR UPDATE OF p SKIP LOCKED"

/* All that a payee is owed waits as long as the one that was tried. */
#define OTHERS(key)                                                                                \
    "UPDATE payments p SET next_attempt_at = " AT(                                                 \
        2) " FROM payments tried WHERE tried.payment_id = $1 AND p." key " = tried." key           \
           " AND p.payment_id <> $1 AND p.state = 'owed' AND p.next_attempt_at < " AT(             \
               2) " AND p.reason <> '" OWM_PAY_RESOLVING "'"

enum { FLYING, CLAIM, PAYEE_WAITS, KINDS_STATEMENTS };

static const struct owm_pg_statement nodes_statements[KINDS_STATEMENTS] = {
    [FLYING] = {"pay_flying",
                "SELECT " COLUMNS "1, p.node_id, n.ln_node_uri, n.payout_to" ALIVE
                " FROM payments p JOIN nodes n USING (node_id) JOIN payment_attempts a"
                " ON a.payment_id = p.payment_id AND a.state = 'sent'"
                " WHERE p.state = 'in_flight' ORDER BY a.started_at"},
    [CLAIM] = {"pay_claim", "SELECT " COLUMNS "1, p.node_id, n.ln_node_uri, n.payout_to"
                            " FROM payments p JOIN nodes n USING (node_id)" DUE("node_id")},
    [PAYEE_WAITS] = {"pay_payee_waits", OTHERS("node_id")},
};

static const struct owm_pg_statement miners_statements[KINDS_STATEMENTS] = {
    [FLYING] = {"pay_flying", "SELECT " COLUMNS "n.kind, n.name, '', ''" ALIVE
                              " FROM payments p JOIN accounts n USING (account)"
                              " JOIN payment_attempts a"
                              " ON a.payment_id = p.payment_id AND a.state = 'sent'"
                              " WHERE p.state = 'in_flight' ORDER BY a.started_at"},
    [CLAIM] = {"pay_claim", "SELECT " COLUMNS "n.kind, n.name, '', ''"
                            " FROM payments p JOIN accounts n USING (account)" DUE("account")},
    [PAYEE_WAITS] = {"pay_payee_waits", OTHERS("account")},
};

enum { ATTEMPT, ENDED, SETTLED, DEAD, LATER, SUMS, STATEMENTS };

static const struct owm_pg_statement statements[STATEMENTS] = {
    [ATTEMPT] =
        {"pay_attempt",
         "WITH mine AS (SELECT payment_id, source_id, amount_msat FROM payments"
         " WHERE payment_id = $1 AND state = 'owed' AND attempts = $2::int - 1 FOR UPDATE),"
         " made AS (INSERT INTO payment_attempts (payment_id, number, source_id, payee, kind,"
         " payment_hash, destination, invoice, expires_at, amount_msat, fee_limit_msat, started_at)"
         " SELECT payment_id, $2::int, source_id, $3::text, $4::text, $5::bytea, $6::bytea,"
         " $7::text, CASE WHEN $8::bigint > 0 THEN " AT(8) " END, amount_msat, $9::bigint, " AT(
             10) " FROM mine WHERE NOT EXISTS (SELECT 1 FROM payments other WHERE"
                 " other.payment_hash = $5::bytea AND other.payment_id <> mine.payment_id)"
                 " ON CONFLICT DO NOTHING RETURNING payment_id)"
                 " UPDATE payments p SET state = 'in_flight', attempts = $2::int, reason = '',"
                 " updated_at = now() FROM made WHERE p.payment_id = made.payment_id RETURNING 1"},
    [ENDED] = {"pay_ended", "UPDATE payment_attempts SET state = $3, fee_msat = $4, reason = $5,"
                            " ended_at = clock_timestamp() WHERE payment_id = $1 AND number = $2"
                            " AND state = 'sent'"},
    [SETTLED] = {"pay_settled",
                 "UPDATE payments SET state = 'settled', preimage = $2, settled_hash = $3,"
                 " settled_msat = amount_msat, reason = '', failures = 0, updated_at = now()"
                 " WHERE payment_id = $1 AND state = 'in_flight'"},
    [DEAD] = {"pay_dead",
              "UPDATE payments SET state = $3, failures = failures + 1, reason = $4,"
              " next_attempt_at = " AT(
                  5) ", updated_at = now()"
                     " WHERE payment_id = $1 AND state = 'in_flight' AND attempts = $2"},
    [LATER] = {"pay_later", "UPDATE payments SET state = $2, failures = $3, reason = $4,"
                            " next_attempt_at = " AT(
                                5) ", updated_at = now()"
                                   " WHERE payment_id = $1 AND state = 'owed' AND attempts = $6"},
    [SUMS] = {"pay_sums",
              "SELECT count(*) FILTER (WHERE state = 'owed'),"
              " coalesce(sum(amount_msat) FILTER (WHERE state = 'owed'), 0)::bigint,"
              " coalesce(extract(epoch FROM min(created_at) FILTER (WHERE state = 'owed')) * 1000,"
              " 0)::bigint, count(*) FILTER (WHERE state = 'in_flight'),"
              " coalesce(sum(amount_msat) FILTER (WHERE state = 'in_flight'), 0)::bigint,"
              " count(*) FILTER (WHERE state = 'failed'),"
              " coalesce(sum(amount_msat) FILTER (WHERE state = 'failed'), 0)::bigint,"
              " (SELECT coalesce(sum(amount_msat + CASE WHEN state = 'sent' THEN fee_limit_msat"
              " ELSE fee_msat END), 0)::bigint FROM payment_attempts WHERE state <> 'failed'"
              " AND kind <> 'book' AND started_at >= " AT(
                  1) ")"
                     " FROM payments WHERE state IN ('owed', 'in_flight', 'failed')"},
};

struct owm_pay_ledger {
    enum owm_pay_ledger_kind kind;
    const char *url, *nodes_url;
    struct owm_pg *pg, *nodes;
    bool prepared;
};

void owm_payment_deinit(struct owm_payment *payment)
{
    free(payment->invoice);
    payment->invoice = NULL;
}

static const struct owm_pg_statement *own(const struct owm_pay_ledger *ledger, int which)
{
    return ledger->kind == OWM_PAY_NODES ? &nodes_statements[which] : &miners_statements[which];
}

const char *owm_pay_ledger_name(const struct owm_pay_ledger *ledger)
{
    return ledger->kind == OWM_PAY_NODES ? "nodes" : "miners";
}

/* ---------------------------------------------------------------------------- to lead */

owm_status owm_pay_ledger_open(enum owm_pay_ledger_kind kind, const char *url,
                               const char *nodes_url, struct owm_pay_ledger **out)
{
    struct owm_pay_ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger) return OWM_E_NOMEM;
    ledger->kind = kind;
    ledger->url = url;
    ledger->nodes_url = nodes_url;
    *out = ledger;
    return OWM_OK;
}

void owm_pay_ledger_close(struct owm_pay_ledger *ledger)
{
    if (!ledger) return;
    owm_pg_close(ledger->pg);
    owm_pg_close(ledger->nodes);
    free(ledger);
}

/* The pool makes its tables itself, and may not have been started in this version. */
static owm_status check_schema(struct owm_pay_ledger *ledger, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(ledger->pg, "SELECT to_regclass('payment_attempts') IS NULL",
                                     NULL, &rows, error);
    if (status == OWM_OK && owm_pg_get_bool(rows, 0, 0))
        status = owm_fail(error, OWM_E_STATE,
                          "the database of payments.pool_database_url has no table "
                          "payment_attempts; start an owm-pool of this version on it once");
    owm_pg_rows_free(rows);
    return status;
}

static owm_status take_lock(struct owm_pay_ledger *ledger, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(ledger->pg, "SELECT pg_try_advisory_lock(" LOCK_DISPATCH ")",
                                     NULL, &rows, error);
    if (status == OWM_OK && !owm_pg_get_bool(rows, 0, 0))
        status = owm_fail(error, OWM_E_EXISTS, "another coordinator pays from this database");
    owm_pg_rows_free(rows);
    return status;
}

static owm_status connect(const char *url, struct owm_pg **pg, struct owm_error *error)
{
    if (!*pg) return owm_pg_open(url, pg, error);
    return owm_pg_alive(*pg) ? OWM_OK : owm_pg_reopen(*pg, error);
}

static owm_status prepare(struct owm_pay_ledger *ledger, struct owm_error *error)
{
    if (ledger->prepared) return OWM_OK;
    owm_status status = owm_pg_prepare(ledger->pg, own(ledger, 0), KINDS_STATEMENTS, error);
    if (status == OWM_OK) status = owm_pg_prepare(ledger->pg, statements, STATEMENTS, error);
    ledger->prepared = status == OWM_OK;
    return status;
}

owm_status owm_pay_ledger_lead(struct owm_pay_ledger *ledger, struct owm_error *error)
{
    owm_status status = connect(ledger->url, &ledger->pg, error);
    if (status == OWM_OK) owm_pg_rollback(ledger->pg);
    if (status == OWM_OK) status = check_schema(ledger, error);
    if (status == OWM_OK) status = prepare(ledger, error);
    if (status == OWM_OK) status = take_lock(ledger, error);
    if (status == OWM_OK) status = owm_pg_exec(ledger->pg, "LISTEN owm_payments", error);
    if (status == OWM_OK)
        status = owm_pg_exec(ledger->pg,
                             "UPDATE payments SET next_attempt_at = 'epoch' WHERE state = 'owed'"
                             " AND reason = '" OWM_PAY_RESOLVING "'",
                             error);
    return status;
}

int owm_pay_ledger_fd(const struct owm_pay_ledger *ledger)
{
    return ledger->pg ? owm_pg_fd(ledger->pg) : -1;
}

void owm_pay_ledger_heard(struct owm_pay_ledger *ledger)
{
    (void)owm_pg_notified(ledger->pg);
}

/* ---------------------------------------------------------------------------- reading */

static void read_text(const struct owm_pg_rows *rows, size_t row, int column, char *out,
                      size_t bytes)
{
    snprintf(out, bytes, "%s", owm_pg_get_text(rows, row, column));
}

static void read_payment(const struct owm_pg_rows *rows, size_t row, struct owm_payment *payment)
{
    memset(payment, 0, sizeof(*payment));
    owm_pg_get_uuid(rows, row, 0, payment->payment_id);
    owm_pg_get_uuid(rows, row, 1, payment->source_id);
    read_text(rows, row, 2, payment->purpose, sizeof(payment->purpose));
    payment->amount_msat = owm_pg_get_i64(rows, row, 3);
    owm_pg_get_hash(rows, row, 4, payment->payment_hash, 32);
    payment->attempts = (unsigned)owm_pg_get_i64(rows, row, 5);
    payment->failures = (unsigned)owm_pg_get_i64(rows, row, 6);
    payment->created_ms = owm_pg_get_i64(rows, row, 7);
    payment->account = (enum owm_pay_account)owm_pg_get_i64(rows, row, 8);
    read_text(rows, row, 9, payment->payee, sizeof(payment->payee));
    read_text(rows, row, 10, payment->ln_node_uri, sizeof(payment->ln_node_uri));
    read_text(rows, row, 11, payment->payout_to, sizeof(payment->payout_to));
}

static owm_status read_attempt(const struct owm_pg_rows *rows, size_t row,
                               struct owm_payment *payment)
{
    const char *kind = owm_pg_get_text(rows, row, 12);
    payment->kind = strcmp(kind, "invoice") == 0 ? OWM_ATTEMPT_INVOICE : OWM_ATTEMPT_KEYSEND;
    owm_pg_get_hash(rows, row, 13, payment->attempt_hash, 32);
    owm_pg_get_hash(rows, row, 14, payment->destination, sizeof(payment->destination));
    payment->expires_ms = owm_pg_get_i64(rows, row, 15);
    payment->fee_limit_msat = owm_pg_get_i64(rows, row, 16);
    payment->started_ms = owm_pg_get_i64(rows, row, 17);
    if (payment->kind != OWM_ATTEMPT_INVOICE) return OWM_OK;
    payment->invoice = strdup(owm_pg_get_text(rows, row, 18));
    return payment->invoice ? OWM_OK : OWM_E_NOMEM;
}

/* Miners who are nodes: where the coordinator pays them. A key that is no node stays without. */
static owm_status find_node(struct owm_pay_ledger *ledger, struct owm_payment *payment,
                            struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_text(&args, payment->payee);
    owm_status status = connect(ledger->nodes_url, &ledger->nodes, error);
    if (status == OWM_OK)
        status = owm_pg_query(ledger->nodes,
                              "SELECT ln_node_uri, payout_to FROM nodes WHERE public_key = $1",
                              &args, &rows, error);
    if (status == OWM_OK && owm_pg_rows_count(rows)) {
        read_text(rows, 0, 0, payment->ln_node_uri, sizeof(payment->ln_node_uri));
        read_text(rows, 0, 1, payment->payout_to, sizeof(payment->payout_to));
    }
    owm_pg_rows_free(rows);
    return status;
}

static owm_status read_list(struct owm_pay_ledger *ledger, const struct owm_pg_rows *rows,
                            bool alive, struct owm_payment **list, size_t *count,
                            struct owm_error *error)
{
    size_t rows_count = owm_pg_rows_count(rows);
    owm_status status = OWM_OK;
    *list = calloc(rows_count + 1, sizeof(**list));
    *count = 0;
    if (!*list) return OWM_E_NOMEM;
    while (status == OWM_OK && *count < rows_count) {
        struct owm_payment *payment = &(*list)[(*count)++];
        read_payment(rows, *count - 1, payment);
        if (alive)
            status = read_attempt(rows, *count - 1, payment);
        else if (ledger->kind == OWM_PAY_MINERS && payment->account == OWM_PAY_NODE)
            status = find_node(ledger, payment, error);
    }
    if (status == OWM_OK) return OWM_OK;
    for (size_t i = 0; i < *count; i++) owm_payment_deinit(&(*list)[i]);
    free(*list);
    *list = NULL;
    *count = 0;
    return status;
}

owm_status owm_pay_ledger_flying(struct owm_pay_ledger *ledger, struct owm_payment **list,
                                 size_t *count, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_run(ledger->pg, own(ledger, FLYING), NULL, &rows, error);
    if (status != OWM_OK) return status;
    status = read_list(ledger, rows, true, list, count, error);
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_pay_ledger_due(struct owm_pay_ledger *ledger, const struct owm_pay_claim *claim,
                              struct owm_payment **list, size_t *count, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, claim->now_ms);
    owm_pg_i64(&args, claim->per_payee);
    owm_pg_i64(&args, claim->max < OWM_PAY_CLAIM_MAX ? claim->max : OWM_PAY_CLAIM_MAX);
    owm_status status = owm_pg_run(ledger->pg, own(ledger, CLAIM), &args, &rows, error);
    if (status != OWM_OK) return status;
    status = read_list(ledger, rows, false, list, count, error);
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_pay_ledger_sums(struct owm_pay_ledger *ledger, int64_t since_ms,
                               struct owm_pay_sums *sums, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, since_ms);
    owm_status status = owm_pg_run(ledger->pg, &statements[SUMS], &args, &rows, error);
    if (status != OWM_OK) return status;
    int64_t *const fields[] = {&sums->owed_count,   &sums->owed_msat,   &sums->oldest_owed_ms,
                               &sums->flying_count, &sums->flying_msat, &sums->failed_count,
                               &sums->failed_msat,  &sums->spent_msat};
    for (int i = 0; i < (int)(sizeof(fields) / sizeof(fields[0])); i++)
        *fields[i] = owm_pg_get_i64(rows, 0, i);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- writing */

owm_status owm_pay_ledger_begin(struct owm_pay_ledger *ledger, struct owm_error *error)
{
    return owm_pg_exec(ledger->pg, "BEGIN", error);
}

owm_status owm_pay_ledger_commit(struct owm_pay_ledger *ledger, struct owm_error *error)
{
    return owm_pg_exec(ledger->pg, "COMMIT", error);
}

void owm_pay_ledger_rollback(struct owm_pay_ledger *ledger)
{
    owm_pg_rollback(ledger->pg);
}

static owm_status write(struct owm_pay_ledger *ledger, int which, const struct owm_pg_args *args,
                        struct owm_error *error)
{
    return owm_pg_run(ledger->pg, &statements[which], args, NULL, error);
}

owm_status owm_pay_ledger_attempt(struct owm_pay_ledger *ledger, const struct owm_payment *payment,
                                  int64_t now_ms, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    bool book = payment->kind == OWM_ATTEMPT_BOOK;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, payment->payment_id);
    owm_pg_i64(&args, payment->attempts + 1);
    owm_pg_text(&args, payment->payee);
    owm_pg_text(&args, owm_attempt_kind_name(payment->kind));
    owm_pg_bytes(&args, payment->attempt_hash, 32);
    owm_pg_bytes(&args, book ? NULL : payment->destination, OWM_LIGHTNING_KEY_BYTES);
    owm_pg_text(&args, payment->invoice);
    owm_pg_i64(&args, payment->expires_ms);
    owm_pg_i64(&args, payment->fee_limit_msat);
    owm_pg_i64(&args, now_ms);
    owm_status status = owm_pg_run(ledger->pg, &statements[ATTEMPT], &args, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows) == 0)
        status = owm_fail(error, OWM_E_EXISTS,
                          "the invoice was used before, or the payment is not owed any more");
    owm_pg_rows_free(rows);
    return status;
}

static owm_status write_end(struct owm_pay_ledger *ledger, const struct owm_payment *payment,
                            bool succeeded, int64_t fee_msat, const char *reason,
                            struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, payment->payment_id);
    owm_pg_i64(&args, payment->attempts);
    owm_pg_text(&args, succeeded ? "succeeded" : "failed");
    owm_pg_i64(&args, fee_msat);
    owm_pg_text(&args, reason);
    return write(ledger, ENDED, &args, error);
}

owm_status owm_pay_ledger_settled(struct owm_pay_ledger *ledger, const struct owm_payment *payment,
                                  const struct owm_lightning_outcome *outcome,
                                  struct owm_error *error)
{
    struct owm_pg_args args;
    owm_status status = write_end(ledger, payment, true, outcome->fee_msat, "", error);
    if (status != OWM_OK) return status;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, payment->payment_id);
    owm_pg_bytes(&args, outcome->preimage, 32);
    owm_pg_bytes(&args, payment->attempt_hash, 32);
    return write(ledger, SETTLED, &args, error);
}

owm_status owm_pay_ledger_dead(struct owm_pay_ledger *ledger, const struct owm_payment *payment,
                               const struct owm_step *step, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_status status = write_end(ledger, payment, false, 0, step->reason, error);
    if (status != OWM_OK) return status;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, payment->payment_id);
    owm_pg_i64(&args, payment->attempts);
    owm_pg_text(&args, step->kind == OWM_STEP_FAIL ? "failed" : "owed");
    owm_pg_text(&args, step->reason);
    owm_pg_i64(&args, step->at_ms);
    return write(ledger, DEAD, &args, error);
}

owm_status owm_pay_ledger_later(struct owm_pay_ledger *ledger, const struct owm_payment *payment,
                                const struct owm_pay_later *later, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, payment->payment_id);
    owm_pg_text(&args, later->state);
    owm_pg_i64(&args, later->failures);
    owm_pg_text(&args, later->reason);
    owm_pg_i64(&args, later->until_ms);
    owm_pg_i64(&args, payment->attempts);
    return write(ledger, LATER, &args, error);
}

owm_status owm_pay_ledger_payee_waits(struct owm_pay_ledger *ledger,
                                      const struct owm_payment *payment, int64_t until_ms,
                                      struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, payment->payment_id);
    owm_pg_i64(&args, until_ms);
    return owm_pg_run(ledger->pg, own(ledger, PAYEE_WAITS), &args, NULL, error);
}
