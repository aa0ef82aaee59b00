/* ledger_pages.c: the queries behind pages; see ledger.h. Column numbers follow each SELECT. */
#include <stdio.h>
#include <string.h>

#include "ledger_internal.h"

#define SLOT_MS 300000
#define HOUR_MS 3600000
#define DAY_MS  86400000

/* Work of a window as a column; $1, $2, $3 are where the three windows begin. */
#define WORK_COLUMNS                                                                               \
    " coalesce(sum(w.hashes) FILTER (WHERE w.slot >= time_of($1)), 0)::float8,"                    \
    " coalesce(sum(w.hashes) FILTER (WHERE w.slot >= time_of($2)), 0)::float8,"                    \
    " coalesce(sum(w.hashes) FILTER (WHERE w.slot >= time_of($3)), 0)::float8"

static const int64_t window_ms[3] = {2 * SLOT_MS, HOUR_MS, DAY_MS};

static int64_t window_begin(int64_t now_ms, int window)
{
    return (now_ms - window_ms[window]) / SLOT_MS * SLOT_MS;
}

static void add_windows(struct owm_pg_args *args, int64_t now_ms)
{
    for (int i = 0; i < 3; i++) owm_pg_i64(args, window_begin(now_ms, i));
}

/* Three columns of work from `column` on as rates. */
static struct owm_rates read_rates(const struct owm_pg_rows *rows, size_t row, int column,
                                   int64_t now_ms)
{
    double rate[3];
    for (int i = 0; i < 3; i++) {
        double seconds = (double)(now_ms - window_begin(now_ms, i)) / 1000;
        rate[i] = owm_pg_get_f64(rows, row, column + i) / seconds;
    }
    return (struct owm_rates){rate[0], rate[1], rate[2]};
}

static void read_text(const struct owm_pg_rows *rows, size_t row, int column, char *out,
                      size_t bytes)
{
    snprintf(out, bytes, "%s", owm_pg_get_text(rows, row, column));
}

static int64_t rows_max(const struct owm_ledger_list *list)
{
    return list->max < OWM_LEDGER_ROWS_MAX ? (int64_t)list->max : OWM_LEDGER_ROWS_MAX;
}

/* ---------------------------------------------------------------------------- summary */

owm_status owm_ledger_summary(struct owm_ledger *ledger, int64_t now_ms,
                              struct owm_pool_summary *out, struct owm_error *error)
{
    static const char sql[] =
        "SELECT m.*, b.*, a.*, p.* FROM (SELECT" WORK_COLUMNS ","
        " count(DISTINCT w.account) FILTER (WHERE w.slot >= time_of($2)),"
        " count(DISTINCT w.worker) FILTER (WHERE w.slot >= time_of($2)),"
        " coalesce(sum(w.shares) FILTER (WHERE w.slot >= time_of($2)), 0),"
        " coalesce(sum(w.shares), 0) FROM work w WHERE w.slot >= time_of($3)) m,"
        " (SELECT count(*), count(*) FILTER (WHERE fate = 'orphaned') FROM blocks"
        "  WHERE found_at > time_of($4) - interval '30 days') b,"
        " (SELECT (coalesce(sum(earned_psat) FILTER (WHERE kind < 2), 0) / 1e12)::float8,"
        "  (coalesce(sum(paid_psat) FILTER (WHERE kind < 2), 0) / 1e12)::float8,"
        "  (coalesce(sum(earned_psat) FILTER (WHERE kind = 2), 0) / 1e12)::float8,"
        "  coalesce(max(extract(epoch FROM last_at) * 1000), 0)::bigint FROM accounts) a,"
        " (SELECT coalesce(sum(amount_msat) / 1000, 0)::float8 FROM payments"
        "  WHERE state <> 'settled' AND purpose = 'pool_payout') p";
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    memset(out, 0, sizeof(*out));
    owm_pg_begin_args(&args);
    add_windows(&args, now_ms);
    owm_pg_i64(&args, now_ms);
    owm_status status = ledger_query(ledger, sql, &args, &rows, error);
    if (status != OWM_OK) return status;
    out->rate = read_rates(rows, 0, 0, now_ms);
    out->miners = (uint32_t)owm_pg_get_i64(rows, 0, 3);
    out->workers = (uint32_t)owm_pg_get_i64(rows, 0, 4);
    out->shares_hour = (uint64_t)owm_pg_get_i64(rows, 0, 5);
    out->shares_day = (uint64_t)owm_pg_get_i64(rows, 0, 6);
    out->blocks_month = (uint32_t)owm_pg_get_i64(rows, 0, 7);
    out->orphans_month = (uint32_t)owm_pg_get_i64(rows, 0, 8);
    out->earned_sats = owm_pg_get_f64(rows, 0, 9);
    out->paid_sats = owm_pg_get_f64(rows, 0, 10);
    out->treasury_sats = owm_pg_get_f64(rows, 0, 11);
    out->newest_share_ms = owm_pg_get_i64(rows, 0, 12);
    out->owed_sats = owm_pg_get_f64(rows, 0, 13);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- miners */

#define MINER_COLUMNS                                                                              \
    "SELECT a.kind, a.name, a.miner_id, a.shares,"                                                 \
    " ((a.earned_psat - a.paid_psat) / 1e12)::float8, (a.paid_psat / 1e12)::float8,"               \
    " ms_of(a.last_at)," WORK_COLUMNS                                                              \
    " FROM accounts a LEFT JOIN work w ON w.account = a.account AND w.slot >= time_of($3)"

static void read_miner(const struct owm_pg_rows *rows, size_t row, int64_t now_ms,
                       struct owm_miner_line *line)
{
    line->kind = (enum owm_miner_kind)owm_pg_get_i64(rows, row, 0);
    read_text(rows, row, 1, line->name, sizeof(line->name));
    owm_pg_get_hash(rows, row, 2, line->id, sizeof(line->id));
    line->shares = (uint64_t)owm_pg_get_i64(rows, row, 3);
    line->balance_sats = owm_pg_get_f64(rows, row, 4);
    line->paid_sats = owm_pg_get_f64(rows, row, 5);
    line->last_ms = owm_pg_get_i64(rows, row, 6);
    line->rate = read_rates(rows, row, 7, now_ms);
}

owm_status owm_ledger_miners(struct owm_ledger *ledger, const struct owm_ledger_list *list,
                             struct owm_miner_line *lines, size_t *count, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    add_windows(&args, list->now_ms);
    owm_pg_i64(&args, rows_max(list));
    owm_status status =
        ledger_query(ledger,
                     MINER_COLUMNS " WHERE a.kind < 2 GROUP BY a.account ORDER BY 9 DESC, a.account"
                                   " LIMIT $4",
                     &args, &rows, error);
    *count = status == OWM_OK ? owm_pg_rows_count(rows) : 0;
    for (size_t i = 0; i < *count; i++) read_miner(rows, i, list->now_ms, &lines[i]);
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_ledger_miner(struct owm_ledger *ledger, const uint8_t id[OWM_MINER_ID_BYTES],
                            int64_t now_ms, struct owm_miner_line *line, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    add_windows(&args, now_ms);
    owm_pg_bytes(&args, id, OWM_MINER_ID_BYTES);
    owm_status status = ledger_query(
        ledger, MINER_COLUMNS " WHERE a.kind < 2 AND a.miner_id = $4 GROUP BY a.account", &args,
        &rows, error);
    if (status == OWM_OK && owm_pg_rows_count(rows) == 0) status = OWM_E_NOTFOUND;
    if (status == OWM_OK) read_miner(rows, 0, now_ms, line);
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_ledger_workers(struct owm_ledger *ledger, const struct owm_ledger_list *list,
                              struct owm_worker_line *lines, size_t *count, struct owm_error *error)
{
    static const char sql[] = "SELECT k.name, k.shares, " OWM_PG_MS(
        "k.last_at") "," WORK_COLUMNS
                     " FROM workers k LEFT JOIN work w ON w.worker = k.worker AND w.slot "
                     ">= time_of($3) WHERE k.account = (SELECT account FROM accounts WHERE "
                     "miner_id = $4)"
                     " GROUP BY k.worker ORDER BY 5 DESC, k.worker LIMIT $5";
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    *count = 0;
    if (!list->miner) return OWM_E_ARG;
    owm_pg_begin_args(&args);
    add_windows(&args, list->now_ms);
    owm_pg_bytes(&args, list->miner, OWM_MINER_ID_BYTES);
    owm_pg_i64(&args, rows_max(list));
    owm_status status = ledger_query(ledger, sql, &args, &rows, error);
    *count = status == OWM_OK ? owm_pg_rows_count(rows) : 0;
    for (size_t i = 0; i < *count; i++) {
        read_text(rows, i, 0, lines[i].name, sizeof(lines[i].name));
        lines[i].shares = (uint64_t)owm_pg_get_i64(rows, i, 1);
        lines[i].last_ms = owm_pg_get_i64(rows, i, 2);
        lines[i].rate = read_rates(rows, i, 3, list->now_ms);
    }
    owm_pg_rows_free(rows);
    return status;
}

/* ---------------------------------------------------------------------------- blocks, payouts */

static void read_block(const struct owm_pg_rows *rows, size_t row, struct owm_block_line *line)
{
    const char *fate = owm_pg_get_text(rows, row, 6);
    owm_pg_get_hash(rows, row, 0, line->hash, sizeof(line->hash));
    line->height = (uint32_t)owm_pg_get_i64(rows, row, 1);
    line->found_ms = owm_pg_get_i64(rows, row, 2);
    read_text(rows, row, 3, line->miner, sizeof(line->miner));
    read_text(rows, row, 4, line->worker, sizeof(line->worker));
    line->reward_sats = (uint64_t)owm_pg_get_i64(rows, row, 5);
    line->fate = strcmp(fate, "active") == 0     ? OWM_BLOCK_ACTIVE
                 : strcmp(fate, "orphaned") == 0 ? OWM_BLOCK_ORPHANED
                                                 : OWM_BLOCK_UNKNOWN;
    line->confirmations = (uint32_t)owm_pg_get_i64(rows, row, 7);
    line->accepted = (uint32_t)owm_pg_get_i64(rows, row, 8);
    line->refused = (uint32_t)owm_pg_get_i64(rows, row, 9);
    read_text(rows, row, 10, line->reason, sizeof(line->reason));
}

owm_status owm_ledger_blocks(struct owm_ledger *ledger, const struct owm_ledger_list *list,
                             struct owm_block_line *lines, size_t *count, struct owm_error *error)
{
    static const char sql[] =
        "SELECT b.hash, coalesce(b.height, 0), ms_of(b.found_at), coalesce(a.name, ''),"
        " coalesce(k.name, ''), coalesce(b.reward_sats, 0), b.fate, b.confirmations,"
        " s.accepted, s.refused, coalesce(s.reason, '') FROM blocks b"
        " LEFT JOIN accounts a USING (account) LEFT JOIN workers k ON k.worker = b.worker,"
        " LATERAL (SELECT count(*) FILTER (WHERE accepted) AS accepted,"
        "  count(*) FILTER (WHERE NOT accepted) AS refused,"
        "  max(reason) FILTER (WHERE NOT accepted) AS reason FROM block_submissions"
        "  WHERE hash = b.hash) s WHERE b.found_at > time_of($1) - interval '30 days'"
        " AND ($2::bytea IS NULL OR a.miner_id = $2) ORDER BY b.found_at DESC LIMIT $3";
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, list->now_ms);
    owm_pg_bytes(&args, list->miner, OWM_MINER_ID_BYTES);
    owm_pg_i64(&args, rows_max(list));
    owm_status status = ledger_query(ledger, sql, &args, &rows, error);
    *count = status == OWM_OK ? owm_pg_rows_count(rows) : 0;
    for (size_t i = 0; i < *count; i++) read_block(rows, i, &lines[i]);
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_ledger_payouts(struct owm_ledger *ledger, const struct owm_ledger_list *list,
                              struct owm_payout_line *lines, size_t *count, struct owm_error *error)
{
    static const char sql[] = "SELECT p.payment_id, a.name, p.amount_msat, p.state, " OWM_PG_MS(
        "p.created_at") " FROM payments p JOIN accounts a USING (account) WHERE $1::bytea IS NULL "
                        "OR a.miner_id = $1"
                        " ORDER BY p.created_at DESC, p.payment_id LIMIT $2";
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_bytes(&args, list->miner, OWM_MINER_ID_BYTES);
    owm_pg_i64(&args, rows_max(list));
    owm_status status = ledger_query(ledger, sql, &args, &rows, error);
    *count = status == OWM_OK ? owm_pg_rows_count(rows) : 0;
    for (size_t i = 0; i < *count; i++) {
        read_text(rows, i, 0, lines[i].payment_id, sizeof(lines[i].payment_id));
        read_text(rows, i, 1, lines[i].miner, sizeof(lines[i].miner));
        lines[i].amount_msat = (uint64_t)owm_pg_get_i64(rows, i, 2);
        read_text(rows, i, 3, lines[i].state, sizeof(lines[i].state));
        lines[i].created_ms = owm_pg_get_i64(rows, i, 4);
    }
    owm_pg_rows_free(rows);
    return status;
}

owm_status owm_ledger_hours(struct owm_ledger *ledger, const struct owm_ledger_list *list,
                            struct owm_hour_line *lines, size_t *count, struct owm_error *error)
{
    static const char sql[] = "SELECT ms_of(hour), hashes::float8, shares FROM work_hours"
                              " ORDER BY hour DESC LIMIT $1";
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, rows_max(list));
    owm_status status = ledger_query(ledger, sql, &args, &rows, error);
    *count = status == OWM_OK ? owm_pg_rows_count(rows) : 0;
    for (size_t i = 0; i < *count; i++) {
        lines[i].hour_ms = owm_pg_get_i64(rows, i, 0);
        int64_t passed = list->now_ms - lines[i].hour_ms; /* The newest hour is not over yet. */
        double seconds = (double)(passed > 0 && passed < HOUR_MS ? passed : HOUR_MS) / 1000;
        lines[i].rate = owm_pg_get_f64(rows, i, 1) / seconds;
        lines[i].shares = (uint64_t)owm_pg_get_i64(rows, i, 2);
    }
    owm_pg_rows_free(rows);
    return status;
}
