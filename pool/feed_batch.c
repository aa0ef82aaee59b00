/* feed_batch.c: one transaction of the feeder; see feed_batch.h.
 *
 * Two COPYs: the shares into `staged`, from where those that are new go into `shares`; what the
 * database calls new comes back in groups of equal price, is priced here, by the one function that
 * prices shares, and goes as `priced` into credits, balances and history.
 */
#include "feed_batch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/target.h"
#include "journal_format.h"
#include "psat.h"

#define DAY_MS           86400000
#define LINE_BYTES_MAX   320
#define PAIRS_MAX        JOURNAL_MINERS_MAX
#define TREASURY_ACCOUNT "(SELECT account FROM accounts WHERE kind = 2)"

enum { ACCOUNT, WORKER, TIP, BASIS, STATEMENTS };

/* Found, or else made: an upsert would use up a number and leave a dead row each time. */
static const struct owm_pg_statement statements[STATEMENTS] = {
    [ACCOUNT] = {"feed_account",
                 "WITH found AS (SELECT account FROM accounts WHERE miner_id = $1), made AS ("
                 " INSERT INTO accounts (miner_id, kind, name, first_at)"
                 " SELECT $1::bytea, $2::smallint, $3::text, time_of($4)"
                 " WHERE NOT EXISTS (TABLE found) ON CONFLICT DO NOTHING RETURNING account)"
                 " TABLE found UNION ALL TABLE made"},
    [WORKER] = {"feed_worker",
                "WITH found AS (SELECT worker FROM workers WHERE account = $1 AND worker_id = $2),"
                " made AS (INSERT INTO workers (account, worker_id, name, first_at)"
                " SELECT $1::int, $2::bytea, $3::text, time_of($4)"
                " WHERE NOT EXISTS (TABLE found) ON CONFLICT DO NOTHING RETURNING worker)"
                " TABLE found UNION ALL TABLE made"},
    [TIP] = {"feed_tip",
             "WITH found AS (SELECT tip, day FROM tips WHERE previous = $1), made AS ("
             " INSERT INTO tips (previous, day) SELECT $1::bytea, '1970-01-01'::date + $2::int"
             " WHERE NOT EXISTS (TABLE found) ON CONFLICT DO NOTHING RETURNING tip, day)"
             " SELECT tip, day - '1970-01-01'::date FROM (TABLE found UNION ALL TABLE made) t"},
    [BASIS] = {"feed_basis",
               "WITH found AS (SELECT basis FROM bases WHERE (tip, height, bits, subsidy_sats,"
               " fees_sats, pay_basis_points) = ($1::int, $2::int, $3::bigint, $4::bigint,"
               " $5::bigint, $6::int)), made AS ("
               " INSERT INTO bases (tip, height, bits, subsidy_sats, fees_sats, pay_basis_points,"
               " network_hashes) SELECT $1::int, $2::int, $3::bigint,"
               " $4::bigint, $5::bigint, $6::int, $7::numeric"
               " WHERE NOT EXISTS (TABLE found) ON CONFLICT DO NOTHING RETURNING basis)"
               " TABLE found UNION ALL TABLE made"},
};

/* Not prepared: they speak of tables that a connection makes for itself after it has prepared. */
static const char insert_shares_sql[] =
    "WITH fresh AS (INSERT INTO shares (day, hash, accepted_at, hashes, account, worker, basis,"
    " block) SELECT '1970-01-01'::date + day, hash, time_of(time_ms), hashes, account, worker,"
    " basis, block FROM staged ON CONFLICT DO NOTHING RETURNING *)"
    " SELECT day - '1970-01-01'::date, floor(extract(epoch FROM accepted_at) / 300)::bigint,"
    " account, worker, basis, hashes, count(*),"
    " min((extract(epoch FROM accepted_at) * 1000)::bigint),"
    " max((extract(epoch FROM accepted_at) * 1000)::bigint)"
    " FROM fresh GROUP BY 1, 2, 3, 4, 5, 6";

static const char insert_blocks_sql[] =
    "INSERT INTO blocks (hash, found_at, height, account, worker)"
    " SELECT DISTINCT ON (s.hash) s.hash, time_of(s.time_ms), b.height, s.account, s.worker"
    " FROM staged s JOIN bases b USING (basis) WHERE s.block ORDER BY s.hash, s.time_ms"
    " ON CONFLICT (hash) DO UPDATE SET account = excluded.account, worker = excluded.worker,"
    " height = excluded.height, found_at = excluded.found_at WHERE blocks.account IS NULL";

static const char session_sql[] =
    "CREATE TEMP TABLE staged (day int, hash bytea, time_ms bigint, hashes numeric, account int,"
    " worker int, basis int, block boolean) ON COMMIT DELETE ROWS;"
    "CREATE TEMP TABLE priced (day int, slot bigint, account int, worker int, shares bigint,"
    " hashes numeric, miner numeric, treasury numeric, first_ms bigint, last_ms bigint)"
    " ON COMMIT DELETE ROWS";

/* The treasury's row comes first, as in payout.c: whoever has it has all balances to himself, and
 * nobody waits for another in a circle. */
static const char credit_sql[] =
    "SELECT FROM accounts WHERE kind = 2 FOR NO KEY UPDATE;"
    "INSERT INTO credits (day, account, shares, hashes, psat)"
    " SELECT '1970-01-01'::date + day, account, sum(shares), sum(hashes), sum(psat) FROM ("
    "  SELECT day, account, shares, hashes, miner AS psat FROM priced UNION ALL"
    "  SELECT day, " TREASURY_ACCOUNT ", shares, hashes, treasury FROM priced) p"
    " GROUP BY day, account ORDER BY account ON CONFLICT (day, account) DO UPDATE SET"
    " shares = credits.shares + excluded.shares, hashes = credits.hashes + excluded.hashes,"
    " psat = credits.psat + excluded.psat;"
    "UPDATE accounts a SET earned_psat = a.earned_psat + p.psat, shares = a.shares + p.shares,"
    " hashes = a.hashes + p.hashes, owed_since = least(a.owed_since, time_of(p.first_ms)),"
    " last_at = greatest(a.last_at, time_of(p.last_ms)) FROM ("
    "  SELECT account, sum(psat) psat, sum(shares) shares, sum(hashes) hashes,"
    "   min(first_ms) first_ms, max(last_ms) last_ms FROM ("
    "   SELECT account, miner AS psat, shares, hashes, first_ms, last_ms FROM priced UNION ALL"
    "   SELECT " TREASURY_ACCOUNT ", treasury, shares, hashes, first_ms, last_ms FROM priced) q"
    "  GROUP BY account) p WHERE a.account = p.account;"
    "UPDATE workers w SET shares = w.shares + p.shares, hashes = w.hashes + p.hashes,"
    " last_at = greatest(w.last_at, time_of(p.last_ms)) FROM (SELECT worker,"
    "  sum(shares) shares, sum(hashes) hashes, max(last_ms) last_ms FROM priced GROUP BY worker) p"
    " WHERE w.worker = p.worker;"
    "UPDATE share_days d SET newest = greatest(d.newest, time_of(p.last_ms)) FROM (SELECT"
    "  '1970-01-01'::date + day AS day, max(last_ms) last_ms FROM priced GROUP BY 1) p"
    " WHERE d.day = p.day;"
    "INSERT INTO work (slot, worker, account, shares, hashes)"
    " SELECT to_timestamp(slot * 300), worker, account, sum(shares), sum(hashes) FROM priced"
    " GROUP BY slot, worker, account ON CONFLICT (slot, worker) DO UPDATE SET"
    " shares = work.shares + excluded.shares, hashes = work.hashes + excluded.hashes;"
    "INSERT INTO work_hours (hour, shares, hashes)"
    " SELECT to_timestamp(slot / 12 * 3600), sum(shares), sum(hashes) FROM priced GROUP BY 1"
    " ON CONFLICT (hour) DO UPDATE SET shares = work_hours.shares + excluded.shares,"
    " hashes = work_hours.hashes + excluded.hashes";

/* ---------------------------------------------------------------------------- refs */

owm_status feed_refs_init(struct feed_refs *refs)
{
    memset(refs, 0, sizeof(*refs));
    refs->accounts = calloc(JOURNAL_MINERS_MAX, sizeof(*refs->accounts));
    refs->bases = calloc(JOURNAL_BASES_MAX, sizeof(*refs->bases));
    refs->workers = calloc(PAIRS_MAX, sizeof(*refs->workers));
    if (!refs->accounts || !refs->bases || !refs->workers) return OWM_E_NOMEM;
    return journal_names_init(&refs->pairs, PAIRS_MAX, 8);
}

void feed_refs_deinit(struct feed_refs *refs)
{
    free(refs->accounts);
    free(refs->bases);
    free(refs->workers);
    journal_names_deinit(&refs->pairs);
    memset(refs, 0, sizeof(*refs));
}

/* The first column of the one row that each of the statements above gives; none where another
 * feeder has just made it: then everything again. */
static owm_status one_number(struct feed_batch *batch, int statement,
                             const struct owm_pg_args *args, int32_t out[2],
                             struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_run(batch->pg, &statements[statement], args, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows) == 1) {
        out[0] = (int32_t)owm_pg_get_i64(rows, 0, 0);
        if (statement == TIP) out[1] = (int32_t)owm_pg_get_i64(rows, 0, 1);
    } else {
        status = owm_fail(error, OWM_E_STATE, "database: %s: written by another feeder just now",
                          statements[statement].name);
    }
    owm_pg_rows_free(rows);
    return status;
}

static owm_status account_of(struct feed_batch *batch, struct feed_refs *refs,
                             const struct owm_journal_entry *entry, struct owm_error *error)
{
    int32_t *account = &refs->accounts[entry->miner_number], out[2];
    if (*account) return OWM_OK;
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_bytes(&args, entry->miner->id, sizeof(entry->miner->id));
    owm_pg_i64(&args, entry->miner->kind);
    owm_pg_text(&args, entry->miner->text);
    owm_pg_i64(&args, entry->share.time_ms);
    owm_status status = one_number(batch, ACCOUNT, &args, out, error);
    if (status == OWM_OK) *account = out[0];
    return status;
}

static owm_status worker_of(struct feed_batch *batch, struct feed_refs *refs,
                            const struct owm_journal_entry *entry, int32_t *worker,
                            struct owm_error *error)
{
    uint8_t key[8];
    bool added;
    memcpy(key, &entry->miner_number, 4);
    memcpy(key + 4, &entry->worker_number, 4);
    if (journal_names_full(&refs->pairs)) {
        journal_names_clear(&refs->pairs); /* What is forgotten is asked again. */
        memset(refs->workers, 0, PAIRS_MAX * sizeof(*refs->workers));
    }
    int32_t *known = &refs->workers[journal_names_find(&refs->pairs, key, &added)], out[2];
    if (*known == 0) {
        struct owm_pg_args args;
        owm_pg_begin_args(&args);
        owm_pg_i64(&args, refs->accounts[entry->miner_number]);
        owm_pg_bytes(&args, entry->worker->id, sizeof(entry->worker->id));
        owm_pg_text(&args, entry->worker->text);
        owm_pg_i64(&args, entry->share.time_ms);
        owm_status status = one_number(batch, WORKER, &args, out, error);
        if (status != OWM_OK) return status;
        *known = out[0];
    }
    *worker = *known;
    return OWM_OK;
}

/* Network hashes as decimal text: up to 2^256 they are more than 128 bits can hold. */
static void hashes_text(uint32_t bits, char text[80])
{
    uint8_t target[32];
    char *at = text + 79;
    struct owm_uint256 ten = owm_uint256_of(10), rest = owm_uint256_of(0), digit;
    if (owm_target_from_compact(bits, target)) rest = owm_target_hashes(target);
    *at = 0;
    do {
        owm_uint256_divide(&rest, &ten, &rest, &digit);
        *--at = (char)('0' + (int)digit.limb[0]);
    } while (!owm_uint256_is_zero(&rest));
    memmove(text, at, strlen(at) + 1);
}

static owm_status day_ready(struct feed_batch *batch, int32_t day, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, day);
    return owm_pg_query(batch->pg, "SELECT make_share_day('1970-01-01'::date + $1::int)", &args,
                        NULL, error);
}

static owm_status learn_basis(struct feed_batch *batch, const struct owm_journal_entry *entry,
                              struct feed_basis *made, struct owm_error *error)
{
    const struct owm_basis *basis = entry->share.basis;
    struct owm_pg_args args;
    int32_t out[2], tip[2];
    char network[80];
    owm_pg_begin_args(&args);
    owm_pg_bytes(&args, basis->previous, sizeof(basis->previous));
    owm_pg_i64(&args, entry->share.time_ms / DAY_MS);
    owm_status status = one_number(batch, TIP, &args, tip, error);
    if (status != OWM_OK) return status;
    hashes_text(basis->bits, network);
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, tip[0]);
    owm_pg_i64(&args, basis->height);
    owm_pg_i64(&args, basis->bits);
    owm_pg_i64(&args, (int64_t)basis->subsidy_sats);
    owm_pg_i64(&args, (int64_t)basis->fees_sats);
    owm_pg_i64(&args, basis->pay_basis_points);
    owm_pg_text(&args, network);
    status = one_number(batch, BASIS, &args, out, error);
    if (status != OWM_OK) return status;
    *made = (struct feed_basis){.id = out[0], .day = tip[1], .basis = *basis};
    return day_ready(batch, tip[1], error);
}

static const struct feed_basis *find_basis(const struct feed_batch *batch, int32_t id)
{
    for (uint32_t i = batch->base_count; i-- > 0;)
        if (batch->bases[i].id == id) return &batch->bases[i];
    return NULL;
}

static owm_status basis_of(struct feed_batch *batch, struct feed_refs *refs,
                           const struct owm_journal_entry *entry, const struct feed_basis **basis,
                           struct owm_error *error)
{
    int32_t *id = &refs->bases[entry->basis_number];
    *basis = *id ? find_basis(batch, *id) : NULL;
    if (*basis) return OWM_OK;
    if (batch->base_count == FEED_BASES_MAX)
        return owm_fail(error, OWM_E_LIMIT, "feeder: more than %d bases of shares at once",
                        FEED_BASES_MAX);
    struct feed_basis *made = &batch->bases[batch->base_count];
    owm_status status = learn_basis(batch, entry, made, error);
    if (status != OWM_OK) return status;
    *id = made->id;
    batch->base_count++;
    *basis = made;
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- rows */

owm_status feed_batch_add(struct feed_batch *batch, struct feed_refs *refs,
                          const struct owm_journal_entry *entry, struct owm_error *error)
{
    const struct feed_basis *basis;
    int32_t worker = 0;
    OWM_ASSERT(batch->row_count < FEED_ROWS_MAX);
    owm_status status = feed_batch_begin(batch, error);
    if (status == OWM_OK) status = account_of(batch, refs, entry, error);
    if (status == OWM_OK) status = worker_of(batch, refs, entry, &worker, error);
    if (status == OWM_OK) status = basis_of(batch, refs, entry, &basis, error);
    if (status != OWM_OK) return status;
    struct feed_row *row = &batch->rows[batch->row_count++];
    memcpy(row->hash, entry->share.hash, sizeof(row->hash));
    row->time_ms = entry->share.time_ms;
    row->hashes = entry->share.hashes;
    row->account = refs->accounts[entry->miner_number];
    row->worker = worker;
    row->basis = basis->id;
    row->day = basis->day;
    row->block = entry->share.block;
    return OWM_OK;
}

__attribute__((format(printf, 2, 3))) static void put(struct feed_batch *batch, const char *format,
                                                      ...)
{
    va_list list;
    va_start(list, format);
    int bytes = vsnprintf(batch->text + batch->text_bytes, LINE_BYTES_MAX, format, list);
    va_end(list);
    OWM_ASSERT(bytes > 0 && bytes < LINE_BYTES_MAX);
    batch->text_bytes += (size_t)bytes;
}

static owm_status copy_staged(struct feed_batch *batch, struct owm_error *error)
{
    char hash[65];
    batch->text_bytes = 0;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        const struct feed_row *row = &batch->rows[i];
        owm_hex_encode(row->hash, sizeof(row->hash), hash);
        put(batch, "%d\t\\\\x%s\t%lld\t%llu\t%d\t%d\t%d\t%c\n", row->day, hash,
            (long long)row->time_ms, (unsigned long long)row->hashes, row->account, row->worker,
            row->basis, row->block ? 't' : 'f');
    }
    return owm_pg_copy(batch->pg, "COPY staged FROM STDIN", batch->text, batch->text_bytes, error);
}

/* One group of new shares of equal price as a row of `priced`. */
static owm_status put_priced(struct feed_batch *batch, const struct owm_pg_rows *rows, size_t row,
                             struct owm_error *error)
{
    const struct feed_basis *basis = find_basis(batch, (int32_t)owm_pg_get_i64(rows, row, 4));
    unsigned __int128 hashes;
    uint64_t count = (uint64_t)owm_pg_get_i64(rows, row, 6);
    if (!basis || owm_psat_parse(owm_pg_get_text(rows, row, 5), &hashes) != OWM_OK)
        return owm_fail(error, OWM_E_DB, "database: a share came back with another basis");
    struct owm_price price;
    char work[OWM_PSAT_TEXT_BYTES], miner[OWM_PSAT_TEXT_BYTES], treasury[OWM_PSAT_TEXT_BYTES];
    owm_share_price(&basis->basis, (uint64_t)hashes, &price);
    put(batch, "%s\t%s\t%s\t%s\t%llu\t%s\t%s\t%s\t%s\t%s\n", owm_pg_get_text(rows, row, 0),
        owm_pg_get_text(rows, row, 1), owm_pg_get_text(rows, row, 2), owm_pg_get_text(rows, row, 3),
        (unsigned long long)count, owm_psat_format(hashes * count, work),
        owm_psat_format(price.miner * count, miner),
        owm_psat_format((price.whole - price.miner) * count, treasury),
        owm_pg_get_text(rows, row, 7), owm_pg_get_text(rows, row, 8));
    batch->fresh += count;
    return OWM_OK;
}

static owm_status copy_priced(struct feed_batch *batch, const struct owm_pg_rows *rows,
                              struct owm_error *error)
{
    owm_status status = OWM_OK;
    batch->text_bytes = 0;
    batch->fresh = 0;
    for (size_t row = 0; status == OWM_OK && row < owm_pg_rows_count(rows); row++)
        status = put_priced(batch, rows, row, error);
    if (status != OWM_OK) return status;
    return owm_pg_copy(batch->pg, "COPY priced FROM STDIN", batch->text, batch->text_bytes, error);
}

owm_status feed_batch_flush(struct feed_batch *batch, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    batch->fresh = 0;
    if (batch->row_count == 0) return OWM_OK;
    owm_status status = copy_staged(batch, error);
    if (status == OWM_OK) status = owm_pg_query(batch->pg, insert_shares_sql, NULL, &rows, error);
    if (status == OWM_OK) status = copy_priced(batch, rows, error);
    owm_pg_rows_free(rows);
    if (status == OWM_OK) status = owm_pg_exec(batch->pg, credit_sql, error);
    if (status == OWM_OK) status = owm_pg_query(batch->pg, insert_blocks_sql, NULL, NULL, error);
    return status;
}

/* ---------------------------------------------------------------------------- transaction */

owm_status feed_batch_begin(struct feed_batch *batch, struct owm_error *error)
{
    if (batch->open) return OWM_OK;
    owm_status status = owm_pg_exec(batch->pg, "BEGIN", error);
    batch->open = status == OWM_OK;
    batch->row_count = 0;
    if (batch->base_count > FEED_BASES_MAX / 2) batch->base_count = 0;
    return status;
}

owm_status feed_batch_commit(struct feed_batch *batch, struct owm_error *error)
{
    owm_status status = owm_pg_exec(batch->pg, "COMMIT", error);
    batch->open = false;
    batch->row_count = 0;
    return status;
}

void feed_batch_abandon(struct feed_batch *batch)
{
    owm_pg_rollback(batch->pg);
    batch->open = false;
    batch->row_count = batch->base_count = 0;
}

owm_status feed_batch_session(struct feed_batch *batch, struct owm_error *error)
{
    return owm_pg_exec(batch->pg, session_sql, error);
}

owm_status feed_batch_init(struct feed_batch *batch, struct owm_pg *pg, struct owm_error *error)
{
    memset(batch, 0, sizeof(*batch));
    batch->pg = pg;
    batch->rows = malloc(FEED_ROWS_MAX * sizeof(*batch->rows));
    batch->bases = malloc(FEED_BASES_MAX * sizeof(*batch->bases));
    batch->text = malloc((size_t)FEED_ROWS_MAX * LINE_BYTES_MAX);
    if (!batch->rows || !batch->bases || !batch->text) return OWM_E_NOMEM;
    owm_status status = feed_batch_session(batch, error);
    if (status == OWM_OK) status = owm_pg_prepare(pg, statements, STATEMENTS, error);
    return status;
}

void feed_batch_deinit(struct feed_batch *batch)
{
    free(batch->rows);
    free(batch->bases);
    free(batch->text);
}
