/* paying_figures.c: three questions to two databases. */
#include "paying_figures.h"

#include <stdio.h>
#include <string.h>

static const char nodes_sql[] =
    "SELECT n.alias, n.stake_sats, n.tier,"
    " coalesce(sum(p.settled_msat) FILTER (WHERE p.state = 'settled'), 0)::bigint,"
    " coalesce(sum(p.amount_msat) FILTER (WHERE p.state IN ('owed', 'in_flight', 'failed')),"
    " 0)::bigint, count(*) FILTER (WHERE p.state = 'settled')"
    " FROM nodes n LEFT JOIN payments p ON p.node_id = n.node_id GROUP BY n.node_id ORDER BY "
    "n.alias LIMIT 16";

static const char newest_sql[] =
    "SELECT n.alias, p.settled_msat, encode(p.preimage, 'hex') FROM payments p"
    " JOIN nodes n ON n.node_id = p.node_id WHERE p.state = 'settled'"
    " ORDER BY p.updated_at DESC LIMIT 1";

static const char pool_sql[] =
    "SELECT count(*) FILTER (WHERE state = 'settled' AND purpose = 'pool_payout'),"
    " coalesce(sum(amount_msat) FILTER (WHERE state = 'settled' AND purpose = 'pool_payout'),"
    " 0)::bigint,"
    " coalesce(sum(amount_msat) FILTER (WHERE state = 'settled' AND purpose = 'pool_treasury'),"
    " 0)::bigint,"
    " coalesce(sum(amount_msat) FILTER (WHERE state IN ('owed', 'in_flight', 'failed')), 0)::bigint"
    " FROM payments";

int64_t paying_minimum_sats(const char *tier)
{
    return strcmp(tier, "t1") == 0   ? PAYING_T1_SATS
           : strcmp(tier, "t2") == 0 ? PAYING_T2_SATS
                                     : PAYING_T3_SATS;
}

static double bonus_of(int64_t stake_sats, int64_t minimum_sats)
{
    double more = (double)(stake_sats - minimum_sats) / (double)minimum_sats;
    return more <= 0 ? 1 : more >= 2 ? 2 : 1 + more / 2;
}

static void take_nodes(struct paying_figures *figures, const struct owm_pg_rows *rows)
{
    *figures = (struct paying_figures){.known = true, .pool = figures->pool};
    for (size_t i = 0; i < owm_pg_rows_count(rows) && i < PAYING_NODES_MAX; i++) {
        struct paying_node *node = &figures->nodes[figures->node_count++];
        snprintf(node->alias, sizeof node->alias, "%s", owm_pg_get_text(rows, i, 0));
        node->stake_sats = owm_pg_get_i64(rows, i, 1);
        node->bonus = bonus_of(node->stake_sats, paying_minimum_sats(owm_pg_get_text(rows, i, 2)));
        node->settled_msat = owm_pg_get_i64(rows, i, 3);
        node->owed_msat = owm_pg_get_i64(rows, i, 4);
        figures->settled += (unsigned)owm_pg_get_i64(rows, i, 5);
        figures->settled_msat += node->settled_msat;
        figures->owed_msat += node->owed_msat;
    }
}

static void take_newest(struct paying_figures *figures, const struct owm_pg_rows *rows)
{
    if (owm_pg_rows_count(rows) == 0) return;
    snprintf(figures->alias, sizeof figures->alias, "%s", owm_pg_get_text(rows, 0, 0));
    figures->newest_msat = owm_pg_get_i64(rows, 0, 1);
    snprintf(figures->preimage, sizeof figures->preimage, "%s", owm_pg_get_text(rows, 0, 2));
}

/* A connection that failed is not used again. */
static owm_status ask(struct owm_pg **database, const char *url, const char *sql,
                      struct owm_pg_rows **rows, struct owm_error *error)
{
    owm_status status = *database ? OWM_OK : owm_pg_open(url, database, error);
    if (status == OWM_OK) status = owm_pg_query(*database, sql, NULL, rows, error);
    if (status == OWM_OK) return OWM_OK;
    owm_pg_close(*database);
    *database = NULL;
    return status;
}

owm_status paying_figures_take(struct paying_figures *figures, struct owm_pg **database,
                               const char *url, struct owm_error *error)
{
    struct owm_pg_rows *nodes = NULL, *newest = NULL;
    owm_status status = ask(database, url, nodes_sql, &nodes, error);
    if (status == OWM_OK) status = ask(database, url, newest_sql, &newest, error);
    if (status == OWM_OK) {
        take_nodes(figures, nodes);
        take_newest(figures, newest);
    }
    owm_pg_rows_free(nodes);
    owm_pg_rows_free(newest);
    return status;
}

owm_status paying_pool_take(struct paying_pool *pool, struct owm_pg **database, const char *url,
                            struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = ask(database, url, pool_sql, &rows, error);
    if (status) return status;
    pool->settled = (unsigned)owm_pg_get_i64(rows, 0, 0);
    pool->settled_msat = owm_pg_get_i64(rows, 0, 1);
    pool->booked_msat = owm_pg_get_i64(rows, 0, 2);
    pool->owed_msat = owm_pg_get_i64(rows, 0, 3);
    owm_pg_rows_free(rows);
    return OWM_OK;
}
