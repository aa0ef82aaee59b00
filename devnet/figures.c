/* figures.c: one query. */
#include "figures.h"

static const char sql[] =
    "SELECT (SELECT coalesce(sum(shares), 0) FROM accounts WHERE kind < 2),"
    " count(*), count(*) FILTER (WHERE fate = 'active'),"
    " count(*) FILTER (WHERE fate = 'orphaned'), coalesce(max(height), 0),"
    " (SELECT coalesce(div(sum(earned_psat), 1000000000000), 0) FROM accounts WHERE kind < 2),"
    " (SELECT coalesce(div(sum(earned_psat), 1000000000000), 0) FROM accounts WHERE kind = 2),"
    " (SELECT coalesce(div(sum(amount_msat), 1000), 0) FROM payments WHERE state <> 'settled')"
    " FROM blocks";

owm_status figures_take(struct figures *figures, struct owm_pg **pg, const char *database_url,
                        struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = *pg ? OWM_OK : owm_pg_open(database_url, pg, error);
    if (status == OWM_OK) status = owm_pg_query(*pg, sql, NULL, &rows, error);
    if (status != OWM_OK) {
        owm_pg_close(*pg);
        *pg = NULL;
        return status;
    }
    figures->known = true;
    figures->shares = (uint64_t)owm_pg_get_i64(rows, 0, 0);
    figures->blocks = (uint64_t)owm_pg_get_i64(rows, 0, 1);
    figures->confirmed = (uint64_t)owm_pg_get_i64(rows, 0, 2);
    figures->orphaned = (uint64_t)owm_pg_get_i64(rows, 0, 3);
    figures->height = (uint32_t)owm_pg_get_i64(rows, 0, 4);
    figures->miner_sats = owm_pg_get_i64(rows, 0, 5);
    figures->treasury_sats = owm_pg_get_i64(rows, 0, 6);
    figures->owed_sats = owm_pg_get_i64(rows, 0, 7);
    owm_pg_rows_free(rows);
    return OWM_OK;
}
