/* rows.c: see rows.h. */
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assess.h"
#include "base/sha256.h"
#include "controlplane/engine/reward.h"
#include "stake_internal.h"

#define RETRY_MS 30000

enum { UPSERT, CLOSE_OTHERS };

static const struct owm_pg_statement statements[] = {
    [UPSERT] =
        {"stake_row",
         "INSERT INTO node_stakes (channel_id, node_id, channel_capacity, local_balance, "
         "tier_minimum,"
         " bonus_multiplier, stake_status, last_verified_at, degraded_since)"
         " VALUES ($1, $2, $3, $4, $5, $6::bigint / 1000000.0, $7, to_timestamp($8 / 1000.0),"
         " CASE WHEN $7 = 'degraded' THEN to_timestamp($8 / 1000.0) END)"
         " ON CONFLICT (channel_id) DO UPDATE SET node_id = excluded.node_id,"
         " channel_capacity = excluded.channel_capacity, local_balance = excluded.local_balance,"
         " tier_minimum = excluded.tier_minimum, bonus_multiplier = excluded.bonus_multiplier,"
         " stake_status = excluded.stake_status, last_verified_at = excluded.last_verified_at,"
         " degraded_since = CASE WHEN excluded.stake_status = 'degraded'"
         " THEN coalesce(node_stakes.degraded_since, excluded.degraded_since) END"},
    [CLOSE_OTHERS] = {"stake_close",
                      "UPDATE node_stakes SET stake_status = 'closed', local_balance = 0,"
                      " last_verified_at = to_timestamp($3 / 1000.0) WHERE node_id = $1"
                      " AND stake_status NOT IN ('closed', 'force_closed')"
                      " AND channel_id <> ALL (string_to_array($2, ','))"},
};

static const char *status_of(const struct stake_rows_of *of,
                             const struct owm_lightning_channel *channel)
{
    bool closing =
        channel->state == OWM_LIGHTNING_CLOSING || channel->state == OWM_LIGHTNING_CLOSED;
    if (closing && channel->close_kind == OWM_LIGHTNING_CLOSE_FORCED_BY_US) return "force_closed";
    if (closing) return "closed";
    if (!channel->opened_by_peer || channel->state == OWM_LIGHTNING_BROKEN) return "not_counted";
    if (owm_stake_is_waiting(channel, of->confirmations)) return "pending";
    return of->node->stake_sats < of->minimum_sats ? "degraded" : "active";
}

uint64_t stake_rows_digest(const struct stake_rows_of *of)
{
    struct owm_sha256_ctx ctx;
    uint8_t hash[32];
    uint64_t digest;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, &of->minimum_sats, sizeof(of->minimum_sats));
    for (size_t i = 0; i < of->count; i++) {
        const struct owm_lightning_channel *channel = &of->channels[i];
        const char *status = status_of(of, channel);
        int64_t counted_msat = owm_stake_channel_msat(channel, of->confirmations);
        owm_sha256_update(&ctx, channel->point.txid, sizeof(channel->point.txid));
        owm_sha256_update(&ctx, &channel->point.index, sizeof(channel->point.index));
        owm_sha256_update(&ctx, &channel->capacity_msat, sizeof(channel->capacity_msat));
        owm_sha256_update(&ctx, &counted_msat, sizeof(counted_msat));
        owm_sha256_update(&ctx, status, strlen(status));
    }
    owm_sha256_final(&ctx, hash);
    memcpy(&digest, hash, sizeof(digest));
    return digest | 1;
}

static owm_status connect(struct stake_rows *rows, struct owm_error *error)
{
    if (rows->pg && owm_pg_alive(rows->pg)) return OWM_OK;
    if (stake_mono_ms() < rows->retry_ms) return OWM_E_AGAIN;
    stake_rows_close(rows);
    owm_status status = owm_pg_open(rows->url, &rows->pg, error);
    /* What these rows say is soon read again from the channels: not worth a wait for the disk. */
    if (status == OWM_OK) status = owm_pg_exec(rows->pg, "SET synchronous_commit = off", error);
    if (status == OWM_OK)
        status =
            owm_pg_prepare(rows->pg, statements, sizeof(statements) / sizeof(statements[0]), error);
    if (status == OWM_OK) return OWM_OK;
    stake_rows_close(rows);
    rows->retry_ms = stake_mono_ms() + RETRY_MS;
    return status;
}

static owm_status queue_channel(struct stake_rows *rows, const struct stake_rows_of *of,
                                const struct owm_lightning_channel *channel,
                                struct owm_error *error)
{
    struct owm_pg_args args;
    char point[OWM_LIGHTNING_POINT_TEXT];
    owm_lightning_point_format(&channel->point, point);
    owm_pg_begin_args(&args);
    owm_pg_text(&args, point);
    owm_pg_uuid(&args, of->node->node_id);
    owm_pg_i64(&args, channel->capacity_msat / 1000);
    owm_pg_i64(&args, owm_stake_channel_msat(channel, of->confirmations) / 1000);
    owm_pg_i64(&args, of->minimum_sats);
    owm_pg_i64(&args, owm_stake_bonus_ppm(of->node->stake_sats, of->minimum_sats));
    owm_pg_text(&args, status_of(of, channel));
    owm_pg_i64(&args, of->read_ms);
    return owm_pg_queue(rows->pg, &statements[UPSERT], &args, error);
}

/* "txid:index,txid:index", malloc'ed. */
static char *list_points(const struct stake_rows_of *of)
{
    char *list = calloc(of->count + 1, OWM_LIGHTNING_POINT_TEXT), *at = list;
    for (size_t i = 0; list && i < of->count; i++) {
        if (i) *at++ = ',';
        owm_lightning_point_format(&of->channels[i].point, at);
        at += strlen(at);
    }
    return list;
}

owm_status stake_rows_write(struct stake_rows *rows, const struct stake_rows_of *of,
                            struct owm_error *error)
{
    struct owm_pg_args args;
    char *points = list_points(of);
    owm_status status = points ? connect(rows, error) : OWM_E_NOMEM;
    if (status == OWM_OK) status = owm_pg_pipeline_begin(rows->pg, error);
    if (status != OWM_OK) goto out;
    for (size_t i = 0; status == OWM_OK && i < of->count; i++)
        status = queue_channel(rows, of, &of->channels[i], error);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, of->node->node_id);
    owm_pg_text(&args, points);
    owm_pg_i64(&args, of->read_ms);
    if (status == OWM_OK) status = owm_pg_queue(rows->pg, &statements[CLOSE_OTHERS], &args, error);
    if (status == OWM_OK)
        status = owm_pg_pipeline_commit(rows->pg, error);
    else
        owm_pg_pipeline_rollback(rows->pg);
out:
    free(points);
    return status;
}

owm_status stake_rows_slashings(struct stake_rows *rows, int64_t *count, struct owm_error *error)
{
    struct owm_pg_rows *result = NULL;
    owm_status status = connect(rows, error);
    if (status == OWM_OK)
        status = owm_pg_query(rows->pg,
                              "SELECT count(*) FROM slashing_events"
                              " WHERE executed_at > now() - interval '7 days'",
                              NULL, &result, error);
    if (status == OWM_OK) *count = owm_pg_get_i64(result, 0, 0);
    owm_pg_rows_free(result);
    return status;
}

void stake_rows_close(struct stake_rows *rows)
{
    owm_pg_close(rows->pg);
    rows->pg = NULL;
}
