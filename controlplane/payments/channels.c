/* channels.c: a channel from the treasury to each new node, once, while the wallet can spare it
 * (SRS-LN-03). Who gets none is paid over the network's other channels (SRS-LN-06).
 *
 * It is written down before it is asked for. A coordinator that dies in between finds the row and
 * looks whether there is such a channel; it does not ask again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "payer_internal.h"

#define LOOK_MS   5000
#define NAP_MS    250
#define NODES_MAX 16 /* of one look */

struct pay_channels {
    struct owm_pay *pay;
    struct owm_pg *pg;
    pthread_t thread;
    atomic_bool stopping;
    owm_counter *opened, *failed;
};

/** A node that has no row yet, or one that says "asked". */
struct candidate {
    uint8_t node_id[16];
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    const char *host;
};

static owm_status record(struct pay_channels *channels, const struct candidate *node,
                         const char *state, const char *point, const char *reason,
                         struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node->node_id);
    owm_pg_bytes(&args, node->key, sizeof(node->key));
    owm_pg_i64(&args, channels->pay->options.channel_sats);
    owm_pg_text(&args, state);
    owm_pg_text(&args, point);
    owm_pg_text(&args, reason);
    return owm_pg_query(channels->pg,
                        "INSERT INTO reward_channels (node_id, peer, capacity_sats, state,"
                        " channel_point, reason) VALUES ($1, $2, $3, $4, $5, $6)"
                        " ON CONFLICT (node_id) DO UPDATE SET state = excluded.state,"
                        " channel_point = excluded.channel_point, reason = excluded.reason",
                        &args, NULL, error);
}

/* Before it is asked for. *ours false: another coordinator, still at work when we began, has
 * asked. */
static owm_status reserve(struct pay_channels *channels, const struct candidate *node, bool *ours,
                          struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node->node_id);
    owm_pg_bytes(&args, node->key, sizeof(node->key));
    owm_pg_i64(&args, channels->pay->options.channel_sats);
    owm_status status = owm_pg_query(channels->pg,
                                     "INSERT INTO reward_channels (node_id, peer, capacity_sats)"
                                     " VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1",
                                     &args, &rows, error);
    *ours = status == OWM_OK && owm_pg_rows_count(rows) > 0;
    owm_pg_rows_free(rows);
    return status;
}

/* Nothing was begun, and another time it may go. */
static owm_status forget(struct pay_channels *channels, const struct candidate *node,
                         struct owm_error *error)
{
    struct owm_pg_args args;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, node->node_id);
    return owm_pg_query(channels->pg,
                        "DELETE FROM reward_channels WHERE node_id = $1 AND state = 'asked'", &args,
                        NULL, error);
}

/* The channel to this peer that can carry a payment, or that we opened; count of all in *found. */
static owm_status find_channel(owm_lightning *node, const struct candidate *peer, bool closed,
                               struct owm_lightning_point *point, bool *found,
                               struct owm_error *error)
{
    struct owm_lightning_channel *list = NULL;
    size_t count = 0;
    *found = false;
    owm_status status = owm_lightning_channels(node, peer->key, closed, &list, &count, error);
    for (size_t i = 0; status == OWM_OK && i < count && !*found; i++) {
        bool carries = list[i].state == OWM_LIGHTNING_NORMAL && list[i].local_msat > 0;
        bool ours = !list[i].opened_by_peer
                    && (closed || list[i].state == OWM_LIGHTNING_OPENING
                        || list[i].state == OWM_LIGHTNING_NORMAL);
        *found = carries || ours;
        *point = list[i].point;
    }
    free(list);
    return status;
}

static owm_status ask(struct pay_channels *channels, owm_lightning *node,
                      const struct candidate *peer, struct owm_error *error)
{
    const struct owm_pay_options *options = &channels->pay->options;
    struct owm_lightning_point point;
    struct owm_error why = {""};
    char text[OWM_LIGHTNING_POINT_TEXT] = "";
    bool ours;
    owm_status status = reserve(channels, peer, &ours, error);
    if (status != OWM_OK || !ours) return status;
    status = owm_lightning_open_channel(node, peer->key, peer->host, options->channel_sats, 0,
                                        &point, &why);
    if (status == OWM_E_NET || status == OWM_E_TIMEOUT || status == OWM_E_PROTO)
        return OWM_OK; /* It may have been opened: the row is looked at again. */
    if (status == OWM_E_AGAIN || status == OWM_E_PERM || status == OWM_E_LIMIT)
        return forget(channels, peer, error);
    if (status == OWM_OK) owm_lightning_point_format(&point, text);
    owm_counter_add(status == OWM_OK ? channels->opened : channels->failed, 1);
    owm_log(status == OWM_OK ? OWM_LOG_INFO : OWM_LOG_WARN,
            "reward_channel point=%s sats=%lld reason=\"%s\"", text,
            (long long)options->channel_sats, why.text);
    return record(channels, peer, status == OWM_OK ? "opened" : "failed", text, why.text, error);
}

/* A row "asked" of a coordinator that died, or of a call without an answer. */
static owm_status look_again(struct pay_channels *channels, owm_lightning *node,
                             const struct candidate *peer, struct owm_error *error)
{
    struct owm_lightning_point point;
    struct owm_error why = {""};
    char text[OWM_LIGHTNING_POINT_TEXT] = "";
    bool found;
    if (find_channel(node, peer, true, &point, &found, &why) != OWM_OK) return OWM_OK;
    if (found) owm_lightning_point_format(&point, text);
    return record(channels, peer, found ? "opened" : "failed", text,
                  found ? "" : "asked for, and no such channel came", error);
}

static owm_status consider(struct pay_channels *channels, owm_lightning *node,
                           const struct candidate *peer, struct owm_error *error)
{
    const struct owm_pay_options *options = &channels->pay->options;
    struct owm_lightning_funds funds;
    struct owm_lightning_point point;
    struct owm_error why = {""};
    bool found;
    owm_status status = find_channel(node, peer, false, &point, &found, &why);
    if (status != OWM_OK) return OWM_OK;
    if (found) {
        char text[OWM_LIGHTNING_POINT_TEXT];
        owm_lightning_point_format(&point, text);
        return record(channels, peer, "opened", text, "it was there", error);
    }
    if (owm_lightning_get_funds(node, &funds, &why) != OWM_OK) return OWM_OK;
    if (funds.wallet_confirmed_msat / 1000 < options->channel_sats + options->reserve_sats)
        return OWM_OK; /* Not now: the wallet keeps its reserve. */
    return ask(channels, node, peer, error);
}

static owm_status each_node(struct pay_channels *channels, owm_lightning *node,
                            const uint8_t own[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error)
{
    static const char sql[] =
        "SELECT n.node_id, n.ln_node_uri, coalesce(c.state, '') FROM nodes n"
        " LEFT JOIN reward_channels c USING (node_id) WHERE (n.status = 'active' AND c.state IS "
        "NULL"
        " AND n.ln_node_uri <> '') OR (c.state = 'asked' AND c.asked_at < now() - interval '2 min')"
        " ORDER BY n.registered_at LIMIT $1";
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, NODES_MAX);
    owm_status status = owm_pg_query(channels->pg, sql, &args, &rows, error);
    if (status != OWM_OK) return status;
    for (size_t i = 0; status == OWM_OK && i < owm_pg_rows_count(rows); i++) {
        struct candidate peer;
        if (atomic_load(&channels->stopping)) break;
        owm_pg_get_uuid(rows, i, 0, peer.node_id);
        if (owm_lightning_uri_parse(owm_pg_get_text(rows, i, 1), peer.key, &peer.host) != OWM_OK
            || memcmp(peer.key, own, sizeof(peer.key)) == 0) {
            memset(peer.key, 0, sizeof(peer.key));
            status =
                record(channels, &peer, "failed", "", "no Lightning URI of another node", error);
        } else if (owm_pg_get_text(rows, i, 2)[0]) {
            status = look_again(channels, node, &peer, error);
        } else {
            status = consider(channels, node, &peer, error);
        }
    }
    owm_pg_rows_free(rows);
    return status;
}

static owm_status look(struct pay_channels *channels, struct owm_error *error)
{
    struct owm_pay *pay = channels->pay;
    uint8_t own[OWM_LIGHTNING_KEY_BYTES];
    owm_status status = OWM_OK;
    if (!channels->pg)
        status = owm_pg_open(pay->options.database_url, &channels->pg, error);
    else if (!owm_pg_alive(channels->pg))
        status = owm_pg_reopen(channels->pg, error);
    if (status != OWM_OK) return status;
    owm_lightning *node = owm_wallet_enter(pay->wallet, own);
    if (!node) return OWM_OK;
    status = each_node(channels, node, own, error);
    owm_wallet_leave(pay->wallet);
    return status;
}

static void *run(void *ctx)
{
    struct pay_channels *channels = ctx;
    while (!atomic_load(&channels->stopping)) {
        struct owm_error error = {""};
        if (look(channels, &error) != OWM_OK)
            owm_log(OWM_LOG_WARN, "reward_channels_wait reason=\"%s\"", error.text);
        for (int ms = 0; ms < LOOK_MS && !atomic_load(&channels->stopping); ms += NAP_MS)
            owm_clock_sleep_ms(NAP_MS);
    }
    return NULL;
}

owm_status pay_channels_open(struct owm_pay *pay, struct pay_channels **out)
{
    struct pay_channels *channels = calloc(1, sizeof(*channels));
    if (!channels) return OWM_E_NOMEM;
    struct owm_metrics *m = pay->options.metrics;
    channels->pay = pay;
    channels->opened = owm_metrics_counter(m, "owm_reward_channels_opened_total",
                                           "Channels opened to nodes.", NULL);
    channels->failed = owm_metrics_counter(m, "owm_reward_channels_failed_total",
                                           "Channels that could not be opened.", NULL);
    if (pthread_create(&channels->thread, NULL, run, channels) != 0) {
        free(channels);
        return OWM_E_NOMEM;
    }
    *out = channels;
    return OWM_OK;
}

void pay_channels_close(struct pay_channels *channels)
{
    if (!channels) return;
    atomic_store(&channels->stopping, true);
    pthread_join(channels->thread, NULL);
    owm_pg_close(channels->pg);
    free(channels);
}
