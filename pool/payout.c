/* payout.c: one batch of payments in one transaction; see payout.h. */
#include "payout.h"

#include <string.h>

#include "base/uuid.h"
#include "psat.h"

/* Any number, the same in every pool: "owm pays" as ASCII. */
#define LOCK_PAYOUT "8026107459890700659"

/* Nobody is owed more than all bitcoin: a test network's fortune is paid in parts. */
#define SATS_MAX "2100000000000000"

#define MSAT_PER_SAT 1000u

struct due {
    int64_t account, sats;
    uint8_t miner_id[16];
};

static void with_defaults(const struct owm_payout_options *given, struct owm_payout_options *out)
{
    *out = *given;
    if (!out->threshold_sats) out->threshold_sats = OWM_PAYOUT_THRESHOLD_SATS;
    if (!out->timer_ms) out->timer_ms = OWM_PAYOUT_TIMER_MS;
    if (!out->interval_ms) out->interval_ms = OWM_PAYOUT_INTERVAL_MS;
    if (!out->minimum_sats) out->minimum_sats = OWM_PAYOUT_MINIMUM_SATS;
}

static owm_status take_lock(struct owm_pg *pg, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status =
        owm_pg_query(pg, "SELECT pg_try_advisory_xact_lock(" LOCK_PAYOUT ")", NULL, &rows, error);
    if (status == OWM_OK && !owm_pg_get_bool(rows, 0, 0))
        status = owm_fail(error, OWM_E_EXISTS, "payout: another process is paying");
    owm_pg_rows_free(rows);
    return status;
}

static owm_status find_due(struct owm_pg *pg, const struct owm_payout_options *options,
                           int64_t now_ms, struct owm_pg_rows **rows, struct owm_error *error)
{
    static const char sql[] =
        "SELECT account, miner_id, least(div(earned_psat - paid_psat, 1000000000000)," SATS_MAX ")"
        " FROM accounts WHERE kind < 2 AND (earned_psat - paid_psat >= $1::numeric * 1000000000000"
        " OR (owed_since <= time_of($2)"
        "     AND earned_psat - paid_psat >= $3::numeric * 1000000000000))"
        " ORDER BY account LIMIT $4 FOR NO KEY UPDATE";
    uint64_t early = options->interval_ms < options->timer_ms ? options->interval_ms : 0;
    uint64_t threshold = options->threshold_sats > options->minimum_sats ? options->threshold_sats
                                                                         : options->minimum_sats;
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, (int64_t)threshold);
    owm_pg_i64(&args, now_ms - (int64_t)(options->timer_ms - early));
    owm_pg_i64(&args, (int64_t)options->minimum_sats);
    owm_pg_i64(&args, OWM_PAYOUT_MINERS_MAX);
    return owm_pg_query(pg, sql, &args, rows, error);
}

/* Its row is locked before all others, as the feeder does (feed_batch.c). */
static owm_status find_treasury(struct owm_pg *pg, struct owm_pg_rows **rows,
                                struct owm_error *error)
{
    return owm_pg_query(
        pg,
        "SELECT account, miner_id, least(div(earned_psat - paid_psat, 1000000000000)," SATS_MAX ")"
        " FROM accounts WHERE kind = 2 FOR NO KEY UPDATE",
        NULL, rows, error);
}

static struct due due_of(const struct owm_pg_rows *rows, size_t row)
{
    struct due due = {.account = owm_pg_get_i64(rows, row, 0),
                      .sats = owm_pg_get_i64(rows, row, 2)};
    owm_pg_get_hash(rows, row, 1, due.miner_id, sizeof(due.miner_id));
    return due;
}

static owm_status write_batch_row(struct owm_pg *pg, const struct owm_payout_result *result,
                                  int64_t now_ms, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, result->batch_id);
    owm_pg_i64(&args, now_ms);
    owm_pg_i64(&args, result->miners);
    owm_pg_i64(&args, (int64_t)result->miner_msat);
    owm_pg_i64(&args, (int64_t)result->treasury_msat);
    return owm_pg_query(pg,
                        "INSERT INTO payout_batches (batch_id, created_at, miners, miner_msat,"
                        " treasury_msat) VALUES ($1, time_of($2), $3, $4, $5)",
                        &args, NULL, error);
}

/* Off the balance and into a row, with the payment's name and hash. */
static owm_status write_payment(struct owm_pg *pg, const struct owm_payment_secret *secret,
                                const struct owm_payout_result *batch, const struct due *due,
                                int64_t now_ms, const char *purpose, struct owm_error *error)
{
    static const char sql[] =
        "WITH moved AS (UPDATE accounts SET paid_psat = paid_psat + $1::numeric * 1000000000,"
        " owed_since = CASE WHEN earned_psat - paid_psat - $1::numeric * 1000000000"
        "   >= 1000000000000 THEN owed_since END WHERE account = $2 RETURNING account)"
        " INSERT INTO payments (payment_id, source_id, purpose, batch_id, account, amount_msat,"
        " payment_hash, created_at) SELECT $3::uuid, $4::uuid, $5::text, $6::uuid, account,"
        " $1::bigint, $7::bytea, time_of($8)"
        " FROM moved";
    uint8_t source[16], id[16], hash[32];
    struct owm_pg_args args;
    owm_uuid_derive(batch->batch_id, due->miner_id, sizeof(due->miner_id), source);
    owm_payment_id(source, purpose, id);
    owm_payment_hash(secret, id, hash);
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, due->sats * MSAT_PER_SAT);
    owm_pg_i64(&args, due->account);
    owm_pg_uuid(&args, id);
    owm_pg_uuid(&args, source);
    owm_pg_text(&args, purpose);
    owm_pg_uuid(&args, batch->batch_id);
    owm_pg_bytes(&args, hash, sizeof(hash));
    owm_pg_i64(&args, now_ms);
    return owm_pg_query(pg, sql, &args, NULL, error);
}

static owm_status write_all(struct owm_pg *pg, const struct owm_payment_secret *secret,
                            const struct owm_pg_rows *miners, const struct owm_pg_rows *treasury,
                            int64_t now_ms, struct owm_payout_result *result,
                            struct owm_error *error)
{
    struct due cut = due_of(treasury, 0);
    result->miners = (uint32_t)owm_pg_rows_count(miners);
    for (size_t i = 0; i < result->miners; i++)
        result->miner_msat += (uint64_t)due_of(miners, i).sats * MSAT_PER_SAT;
    result->treasury_msat = (uint64_t)cut.sats * MSAT_PER_SAT;
    owm_uuid_random(result->batch_id);
    owm_status status = write_batch_row(pg, result, now_ms, error);
    for (size_t i = 0; status == OWM_OK && i < result->miners; i++) {
        struct due due = due_of(miners, i);
        status = write_payment(pg, secret, result, &due, now_ms, "pool_payout", error);
    }
    if (status == OWM_OK && cut.sats > 0)
        status = write_payment(pg, secret, result, &cut, now_ms, "pool_treasury", error);
    return status;
}

static owm_status inside(struct owm_pg *pg, const struct owm_payment_secret *secret,
                         const struct owm_payout_options *options, int64_t now_ms,
                         struct owm_payout_result *result, struct owm_error *error)
{
    struct owm_pg_rows *miners = NULL, *treasury = NULL;
    owm_status status = take_lock(pg, error);
    if (status == OWM_OK) status = find_treasury(pg, &treasury, error);
    if (status == OWM_OK) status = find_due(pg, options, now_ms, &miners, error);
    if (status == OWM_OK && owm_pg_rows_count(miners) > 0)
        status = write_all(pg, secret, miners, treasury, now_ms, result, error);
    owm_pg_rows_free(miners);
    owm_pg_rows_free(treasury);
    return status;
}

owm_status owm_payout_run(struct owm_pg *pg, const struct owm_payment_secret *secret,
                          const struct owm_payout_options *options, int64_t now_ms,
                          struct owm_payout_result *result, struct owm_error *error)
{
    struct owm_payout_options used;
    with_defaults(options, &used);
    memset(result, 0, sizeof(*result));
    owm_status status = owm_pg_exec(pg, "BEGIN", error);
    if (status == OWM_OK) status = inside(pg, secret, &used, now_ms, result, error);
    if (status == OWM_OK) status = owm_pg_exec(pg, "COMMIT", error);
    if (status == OWM_OK) return OWM_OK;
    owm_pg_rollback(pg);
    memset(result, 0, sizeof(*result));
    return status;
}
