/* recompute.c: prices shares again and compares; see recompute.h. */
#include "recompute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "psat.h"
#include "recompute_sums.h"

#define FETCH_SQL "FETCH 20000 FROM shares_again"
#define DAY_BYTES 16

struct run {
    struct owm_pg *pg;
    const struct owm_recompute_options *options;
    struct owm_recompute_result *result;
    struct recompute_sums again, credited;
    struct recompute_bases bases;
    int32_t treasury;
};

static void window(const struct run *run, struct owm_pg_args *args)
{
    owm_pg_begin_args(args);
    owm_pg_i64(args, run->options->from_day);
    owm_pg_i64(args, run->options->to_day);
}

/* ---------------------------------------------------------------------------- from the table */

static owm_status load_bases(struct run *run, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    window(run, &args);
    owm_status status = owm_pg_query(
        run->pg,
        "SELECT b.basis, b.height, b.bits, b.subsidy_sats, b.fees_sats, b.pay_basis_points,"
        " t.previous, t.day - '1970-01-01'::date FROM bases b JOIN tips t USING (tip)"
        " WHERE t.day BETWEEN '1970-01-01'::date + $1::int AND '1970-01-01'::date + $2::int"
        " ORDER BY b.basis",
        &args, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        struct recompute_basis basis = {.id = (int32_t)owm_pg_get_i64(rows, i, 0),
                                        .day = (int32_t)owm_pg_get_i64(rows, i, 7)};
        basis.basis.height = (uint32_t)owm_pg_get_i64(rows, i, 1);
        basis.basis.bits = (uint32_t)owm_pg_get_i64(rows, i, 2);
        basis.basis.subsidy_sats = (uint64_t)owm_pg_get_i64(rows, i, 3);
        basis.basis.fees_sats = (uint64_t)owm_pg_get_i64(rows, i, 4);
        basis.basis.pay_basis_points = (uint16_t)owm_pg_get_i64(rows, i, 5);
        owm_pg_get_hash(rows, i, 6, basis.basis.previous, 32);
        status = recompute_bases_add(&run->bases, &basis);
    }
    owm_pg_rows_free(rows);
    return status;
}

/* `count` shares of equal price of one account, and what of them is the treasury's. */
static owm_status add_priced(struct run *run, struct recompute_key key,
                             const struct owm_basis *basis, uint64_t hashes, uint64_t count)
{
    struct owm_price price;
    owm_share_price(basis, hashes, &price);
    struct recompute_key treasury = {.day = key.day, .account = run->treasury};
    struct recompute_sum sum = {count, (unsigned __int128)hashes * count, price.miner * count};
    owm_status status = recompute_sums_add(&run->again, key, &sum);
    sum.psat = (price.whole - price.miner) * count;
    if (status == OWM_OK) status = recompute_sums_add(&run->again, treasury, &sum);
    run->result->shares += count;
    return status;
}

static owm_status add_rows(struct run *run, const struct owm_pg_rows *rows, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        const struct recompute_basis *basis =
            recompute_bases_find(&run->bases, (int32_t)owm_pg_get_i64(rows, i, 2));
        struct recompute_key key = {(int32_t)owm_pg_get_i64(rows, i, 0),
                                    (int32_t)owm_pg_get_i64(rows, i, 1)};
        unsigned __int128 hashes;
        if (!basis || owm_psat_parse(owm_pg_get_text(rows, i, 3), &hashes) != OWM_OK)
            return owm_fail(error, OWM_E_DB, "database: shares of account %d have no basis",
                            key.account);
        status = add_priced(run, key, &basis->basis, (uint64_t)hashes,
                            (uint64_t)owm_pg_get_i64(rows, i, 4));
    }
    return status;
}

static owm_status sum_table(struct run *run, struct owm_error *error)
{
    struct owm_pg_args args;
    window(run, &args);
    owm_status status = owm_pg_query(
        run->pg,
        "DECLARE shares_again NO SCROLL CURSOR FOR SELECT day - '1970-01-01'::date, account, basis,"
        " hashes, count(*) FROM shares WHERE day BETWEEN '1970-01-01'::date + $1::int AND"
        " '1970-01-01'::date + $2::int GROUP BY 1, 2, 3, 4",
        &args, NULL, error);
    bool more = status == OWM_OK;
    while (more) {
        struct owm_pg_rows *rows = NULL;
        status = owm_pg_query(run->pg, FETCH_SQL, NULL, &rows, error);
        if (status == OWM_OK) status = add_rows(run, rows, error);
        more = status == OWM_OK && owm_pg_rows_count(rows) > 0;
        owm_pg_rows_free(rows);
    }
    return status;
}

/* ---------------------------------------------------------------------------- from the journal */

static owm_status load_accounts(struct run *run, struct recompute_accounts *accounts,
                                struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(
        run->pg, "SELECT account, miner_id FROM accounts ORDER BY miner_id", NULL, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        uint8_t id[OWM_MINER_ID_BYTES];
        owm_pg_get_hash(rows, i, 1, id, sizeof(id));
        status = recompute_accounts_add(accounts, id, (int32_t)owm_pg_get_i64(rows, i, 0));
    }
    owm_pg_rows_free(rows);
    return status;
}

struct journal_run {
    struct run *run;
    struct recompute_accounts accounts;
    struct recompute_seen seen;
    owm_status status;
    uint64_t unknown;
};

/* A share whose tip or miner the database does not have was never fed: no sum can match then. */
static void add_share(void *ctx, const struct owm_journal_entry *entry)
{
    struct journal_run *journal = ctx;
    if (journal->status != OWM_OK) return;
    struct recompute_key key = {0, 0};
    const struct recompute_basis *basis =
        recompute_bases_of_tip(&journal->run->bases, entry->share.basis->previous);
    if (!basis) return; /* Of another day. */
    bool fresh;
    journal->status = recompute_seen_add(&journal->seen, entry->share.hash, &fresh);
    if (journal->status != OWM_OK || !fresh) return;
    key.day = basis->day;
    key.account = recompute_accounts_find(&journal->accounts, entry->miner->id);
    if (key.account == 0) journal->unknown++;
    journal->status = add_priced(journal->run, key, entry->share.basis, entry->share.hashes, 1);
}

static owm_status sum_journal(struct run *run, struct owm_error *error)
{
    struct journal_run journal = {.run = run};
    struct owm_journal_sink sink = {add_share, &journal};
    owm_status status = load_accounts(run, &journal.accounts, error);
    if (status == OWM_OK) status = recompute_read_folder(run->options->journal, &sink, error);
    if (status == OWM_OK) status = journal.status;
    if (status == OWM_E_LIMIT)
        owm_fail(error, status, "too many shares in %s for one run; narrow the window",
                 run->options->journal);
    run->result->differences += journal.unknown;
    recompute_accounts_deinit(&journal.accounts);
    recompute_seen_deinit(&journal.seen);
    return status;
}

/* ---------------------------------------------------------------------------- compare */

static owm_status load_credits(struct run *run, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    window(run, &args);
    owm_status status = owm_pg_query(
        run->pg,
        "SELECT day - '1970-01-01'::date, account, shares, hashes, psat,"
        " to_regclass(share_day_name(day)) IS NULL FROM credits"
        " WHERE day BETWEEN '1970-01-01'::date + $1::int AND '1970-01-01'::date + $2::int"
        " ORDER BY day",
        &args, &rows, error);
    int32_t gone = INT32_MIN;
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        struct recompute_key key = {(int32_t)owm_pg_get_i64(rows, i, 0),
                                    (int32_t)owm_pg_get_i64(rows, i, 1)};
        struct recompute_sum sum = {.shares = (uint64_t)owm_pg_get_i64(rows, i, 2)};
        if (owm_pg_get_bool(rows, i, 5)) {
            run->result->days_gone += key.day != gone;
            gone = key.day;
            continue;
        }
        if (owm_psat_parse(owm_pg_get_text(rows, i, 3), &sum.hashes) != OWM_OK
            || owm_psat_parse(owm_pg_get_text(rows, i, 4), &sum.psat) != OWM_OK)
            status = owm_fail(error, OWM_E_DB, "database: credits of account %d make no sense",
                              key.account);
        else
            status = recompute_sums_add(&run->credited, key, &sum);
    }
    owm_pg_rows_free(rows);
    return status;
}

static void say_difference(struct run *run, struct recompute_key key,
                           const struct recompute_sum *again, const struct recompute_sum *credited)
{
    char day[DAY_BYTES], a[OWM_PSAT_TEXT_BYTES], b[OWM_PSAT_TEXT_BYTES];
    run->result->differences++;
    fprintf(run->options->out,
            "DIFFERENT %s account %d: %" PRIu64 " shares %s psat credited, %" PRIu64
            " shares %s psat by the shares\n",
            recompute_day_text(key.day, day), key.account, credited->shares,
            owm_psat_format(credited->psat, a), again->shares, owm_psat_format(again->psat, b));
}

static void compare_day(struct run *run, size_t *a, size_t *c)
{
    static const struct recompute_sum none;
    const struct recompute_sums *again = &run->again, *credited = &run->credited;
    int32_t day = *a == again->count      ? credited->items[*c].key.day
                  : *c == credited->count ? again->items[*a].key.day
                  : again->items[*a].key.day < credited->items[*c].key.day
                      ? again->items[*a].key.day
                      : credited->items[*c].key.day;
    unsigned __int128 sum_again = 0, sum_credited = 0;
    uint64_t before = run->result->differences, shares = 0;
    for (;;) {
        bool has_a = *a < again->count && again->items[*a].key.day == day;
        bool has_c = *c < credited->count && credited->items[*c].key.day == day;
        if (!has_a && !has_c) break;
        int order = !has_a   ? 1
                    : !has_c ? -1
                             : recompute_compare(&again->items[*a].key, &credited->items[*c].key);
        struct recompute_key key = order <= 0 ? again->items[*a].key : credited->items[*c].key;
        const struct recompute_sum *x = order <= 0 ? &again->items[(*a)++].sum : &none;
        const struct recompute_sum *y = order >= 0 ? &credited->items[(*c)++].sum : &none;
        sum_again += x->psat;
        sum_credited += y->psat;
        if (key.account == run->treasury) shares = x->shares;
        if (x->shares != y->shares || x->hashes != y->hashes || x->psat != y->psat)
            say_difference(run, key, x, y);
    }
    char text[DAY_BYTES], p[OWM_PSAT_TEXT_BYTES], q[OWM_PSAT_TEXT_BYTES];
    run->result->days++;
    fprintf(run->options->out, "%s %12" PRIu64 " %30s %30s  %s\n", recompute_day_text(day, text),
            shares, owm_psat_format(sum_credited, p), owm_psat_format(sum_again, q),
            run->result->differences == before ? "equal" : "DIFFERENT");
}

/* Credits, earnings, payments and balances of each account, for all time. */
static owm_status compare_accounts(struct run *run, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(
        run->pg,
        "SELECT a.account, a.earned_psat, a.paid_psat, coalesce(c.psat, 0), coalesce(p.psat, 0)"
        " FROM accounts a LEFT JOIN (SELECT account, sum(psat) psat FROM credits GROUP BY 1) c"
        " USING (account) LEFT JOIN (SELECT account, sum(amount_msat::numeric) * 1000000000 psat"
        " FROM payments GROUP BY 1) p USING (account)"
        " WHERE a.earned_psat <> coalesce(c.psat, 0) OR a.paid_psat <> coalesce(p.psat, 0)",
        NULL, &rows, error);
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        run->result->differences++;
        fprintf(run->options->out,
                "DIFFERENT account %s: earned %s psat, credits are %s; paid %s psat, payments are"
                " %s\n",
                owm_pg_get_text(rows, i, 0), owm_pg_get_text(rows, i, 1),
                owm_pg_get_text(rows, i, 3), owm_pg_get_text(rows, i, 2),
                owm_pg_get_text(rows, i, 4));
    }
    owm_pg_rows_free(rows);
    return status;
}

static owm_status find_treasury(struct run *run, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status =
        owm_pg_query(run->pg, "SELECT account FROM accounts WHERE kind = 2", NULL, &rows, error);
    if (status == OWM_OK && owm_pg_rows_count(rows) == 1)
        run->treasury = (int32_t)owm_pg_get_i64(rows, 0, 0);
    owm_pg_rows_free(rows);
    return status;
}

static owm_status recompute(struct run *run, struct owm_error *error)
{
    owm_status status = owm_pg_exec(run->pg,
                                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                                    " SET LOCAL statement_timeout = 0",
                                    error);
    if (status == OWM_OK) status = find_treasury(run, error);
    if (status == OWM_OK) status = load_bases(run, error);
    if (status == OWM_OK)
        status = run->options->journal ? sum_journal(run, error) : sum_table(run, error);
    if (status == OWM_OK) status = load_credits(run, error);
    if (status != OWM_OK) return status;
    recompute_sums_sort(&run->again);
    recompute_sums_sort(&run->credited);
    fprintf(run->options->out, "%-10s %12s %30s %30s\n", "day (UTC)", "shares", "credited psat",
            "recomputed psat");
    for (size_t a = 0, c = 0; a < run->again.count || c < run->credited.count;)
        compare_day(run, &a, &c);
    return compare_accounts(run, error);
}

owm_status owm_recompute(struct owm_pg *pg, const struct owm_recompute_options *options,
                         struct owm_recompute_result *result, struct owm_error *error)
{
    struct run run = {.pg = pg, .options = options, .result = result};
    memset(result, 0, sizeof(*result));
    owm_status status = recompute(&run, error);
    owm_pg_rollback(pg);
    if (status == OWM_OK)
        fprintf(options->out, "%" PRIu64 " shares of %u days: %s\n", result->shares, result->days,
                result->differences == 0 ? "equal to the last picosat" : "DIFFERENT");
    if (status == OWM_OK && result->days_gone > 0)
        fprintf(options->out, "%u days not compared: their shares are no longer kept\n",
                result->days_gone);
    recompute_sums_deinit(&run.again);
    recompute_sums_deinit(&run.credited);
    recompute_bases_deinit(&run.bases);
    return status;
}
