/* versions_rows.c: model versions out of the database. */
#include <math.h>

#include "base/bytes.h"
#include "versions.h"
#include "versions_internal.h"

const char *owm_version_status(int64_t btc_block, int64_t stamped_ms)
{
    return btc_block ? "confirmed" : stamped_ms ? "pending" : "none";
}

static const char select_versions[] =
    "SELECT version_id, coalesce(round_number, 0), model_bytes, ots_calendars, btc_block,"
    " (extract(epoch FROM created_at) * 1000)::bigint,"
    " (extract(epoch FROM ots_stamped_at) * 1000)::bigint,"
    " (extract(epoch FROM ots_confirmed_at) * 1000)::bigint,"
    " (extract(epoch FROM btc_time) * 1000)::bigint, heldout, is_current, model_hash, ots_note,"
    " manifest, jsonb_path_query_first(manifest::jsonb, '$.sub_models.*.ots_proof') #>> '{}'"
    " FROM model_versions WHERE ($1::text IS NULL OR version_id = $1 OR model_hash = $2::bytea"
    " OR ($1 = 'current' AND is_current))"
    " AND ($3::bigint < 0 OR coalesce(round_number, 0) < $3)"
    " ORDER BY round_number DESC NULLS LAST, version_id DESC LIMIT $4::bigint";

owm_status versions_read(struct owm_pg *pg, const struct version_query *query,
                         struct owm_pg_rows **rows, struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_text(&args, query->id);
    owm_pg_bytes(&args, query->hash, 32);
    owm_pg_i64(&args, query->before);
    owm_pg_i64(&args, query->limit);
    return owm_pg_query(pg, select_versions, &args, rows, error);
}

void version_of(const struct owm_pg_rows *rows, size_t i, struct version *version)
{
    version->id = owm_pg_get_text(rows, i, 0);
    version->round = owm_pg_get_i64(rows, i, 1);
    version->bytes = owm_pg_get_i64(rows, i, 2);
    version->calendars = owm_pg_get_i64(rows, i, 3);
    version->btc_block = owm_pg_get_i64(rows, i, 4);
    version->created_ms = owm_pg_get_i64(rows, i, 5);
    version->stamped_ms = owm_pg_get_i64(rows, i, 6);
    version->confirmed_ms = owm_pg_get_i64(rows, i, 7);
    version->btc_time_ms = owm_pg_get_i64(rows, i, 8);
    version->heldout = owm_pg_is_null(rows, i, 9) ? NAN : owm_pg_get_f64(rows, i, 9);
    version->current = owm_pg_get_bool(rows, i, 10);
    owm_pg_get_hash(rows, i, 11, version->hash, 32);
    owm_hex_encode(version->hash, 32, version->hex);
    version->note = owm_pg_get_text(rows, i, 12);
    version->manifest = owm_pg_get_text(rows, i, 13);
    version->proof_path = owm_pg_get_text(rows, i, 14);
    version->status = owm_version_status(version->btc_block, version->stamped_ms);
}
