/* lnd_channels.c: LND's channels as lightning.h tells them.
 *
 * 1. LND's balances leave out what the opener pays: the commitment's fee and, in anchor channels,
 *    330 sats for each side's anchor. Both are the opener's, so a peer that opened has whatever
 *    neither we nor an HTLC has: capacity - local - unsettled. That is remote_balance + commit_fee
 *    + 660 where both anchors are there and no HTLC is dust, and right where they are not.
 * 2. A channel that nobody has seen in a block has no confirmations, also where LND already lets it
 *    be used (zero-conf); its chan_id is then an alias, whose block is beyond the chain.
 * 3. ListChannels has the open ones, PendingChannels those that open or close, ClosedChannels
 *    those whose outputs are all resolved. They are read in this order, so a channel that closes
 *    meanwhile is in two of them, and its later state counts. One that gets its last confirmation
 *    meanwhile is in none; the watch speaks up then.
 * 4. Who force-closed is not in PendingChannels once the transaction is confirmed, only afterwards
 *    in ClosedChannels.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "lnd.h"

#define SATS_MSAT 1000

/* list: channels under construction. */
struct list {
    struct owm_lightning_channel *channels;
    size_t count, room;
    const uint8_t *peer; /* NULL: all */
    uint32_t height;
    struct owm_error *error;
};

/* A closing channel: where LND writes which part of it. */
struct closing {
    const Lnrpc__PendingChannelsResponse__PendingChannel *channel;
    const char *txid;
};

/* The 21 million coins fit into 51 bits of sats and 61 of millisats. */
static int64_t msat_of(int64_t sats)
{
    return sats > 0 && sats <= INT64_MAX / SATS_MSAT ? sats * SATS_MSAT : 0;
}

static owm_status nonsense(const struct list *list, enum lnd_method method, const char *what)
{
    return lnd_nonsense(method, what, list->error);
}

/* An empty row of its own; NULL: out of memory. */
static struct owm_lightning_channel *add(struct list *list)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        struct owm_lightning_channel *grown = realloc(list->channels, room * sizeof *grown);
        if (!grown) return NULL;
        list->channels = grown;
        list->room = room;
    }
    struct owm_lightning_channel *channel = &list->channels[list->count++];
    *channel = (struct owm_lightning_channel){0};
    return channel;
}

/* Begin a row with who and where. *channel NULL: a peer that was not asked for. */
static owm_status begin(struct list *list, enum lnd_method method, const char *peer_hex,
                        const char *point_text, struct owm_lightning_channel **channel)
{
    uint8_t peer[OWM_LIGHTNING_KEY_BYTES];
    struct owm_lightning_point point;
    *channel = NULL;
    if (owm_hex_decode(peer_hex, peer, sizeof peer) != OWM_OK)
        return nonsense(list, method, "a peer's key");
    if (owm_lightning_point_parse(point_text, &point) != OWM_OK)
        return nonsense(list, method, "a channel_point");
    if (list->peer && memcmp(peer, list->peer, sizeof peer) != 0) return OWM_OK;
    *channel = add(list);
    if (!*channel) return owm_fail(list->error, OWM_E_NOMEM, "LND: out of memory");
    memcpy((*channel)->peer, peer, sizeof peer);
    (*channel)->point = point;
    return OWM_OK;
}

/* Displayed hex to the chain's order; zero if there is none. */
static void read_txid(const char *hex, uint8_t txid[32])
{
    char text[OWM_LIGHTNING_POINT_TEXT];
    struct owm_lightning_point point;
    snprintf(text, sizeof text, "%.64s:0", hex);
    if (owm_lightning_point_parse(text, &point) == OWM_OK) memcpy(txid, point.txid, 32);
}

/* --------------------------------------------------------------------------------- open */

static uint32_t confirmations(uint64_t short_id, uint32_t height)
{
    uint64_t block = short_id >> 40;
    return block > 0 && block <= height ? (uint32_t)(height - block + 1) : 0;
}

static enum owm_lightning_channel_state state_of(const Lnrpc__Channel *from, uint32_t depth)
{
    if (strstr(from->chan_status_flags, "Borked") || strstr(from->chan_status_flags, "DataLoss")
        || strstr(from->chan_status_flags, "Restored"))
        return OWM_LIGHTNING_BROKEN;
    if (strstr(from->chan_status_flags, "Broadcasted")) return OWM_LIGHTNING_CLOSING;
    if (strcmp(from->chan_status_flags, "ChanStatusDefault") != 0) return OWM_LIGHTNING_BROKEN;
    return depth > 0 ? OWM_LIGHTNING_NORMAL : OWM_LIGHTNING_OPENING;
}

static owm_status read_balances(struct list *list, const Lnrpc__Channel *from,
                                struct owm_lightning_channel *channel)
{
    if (from->capacity < 0 || from->local_balance < 0 || from->local_balance > from->capacity
        || from->remote_balance < 0 || from->unsettled_balance < 0)
        return nonsense(list, LND_ListChannels, "balances above the capacity");
    int64_t rest = from->capacity - from->local_balance - from->unsettled_balance;
    if (rest < from->remote_balance)
        return nonsense(list, LND_ListChannels, "balances above the capacity");
    channel->capacity_msat = msat_of(from->capacity);
    channel->local_msat = msat_of(from->local_balance);
    channel->remote_msat = msat_of(from->initiator ? from->remote_balance : rest);
    channel->unsettled_msat = msat_of(from->unsettled_balance);
    channel->pushed_msat = msat_of((int64_t)from->push_amount_sat);
    if (from->remote_constraints)
        channel->remote_reserve_msat = msat_of((int64_t)from->remote_constraints->chan_reserve_sat);
    return OWM_OK;
}

static owm_status read_open(struct list *list, const Lnrpc__Channel *from)
{
    struct owm_lightning_channel *channel;
    owm_status status =
        begin(list, LND_ListChannels, from->remote_pubkey, from->channel_point, &channel);
    if (status != OWM_OK || !channel) return status;
    uint64_t short_id = from->zero_conf ? from->zero_conf_confirmed_scid : from->chan_id;
    channel->confirmations = confirmations(short_id, list->height);
    if (channel->confirmations > 0) channel->short_id = short_id;
    channel->state = state_of(from, channel->confirmations);
    channel->opened_by_peer = !from->initiator;
    channel->active = from->active;
    channel->is_private = from->private_;
    if (channel->state != OWM_LIGHTNING_NORMAL)
        snprintf(channel->note, sizeof channel->note, "%s", from->chan_status_flags);
    return read_balances(list, from, channel);
}

static owm_status list_open(struct lnd *lnd, struct list *list)
{
    Lnrpc__ListChannelsRequest request = LNRPC__LIST_CHANNELS_REQUEST__INIT;
    ProtobufCMessage *reply;
    if (list->peer)
        request.peer =
            (ProtobufCBinaryData){.len = OWM_LIGHTNING_KEY_BYTES, .data = (uint8_t *)list->peer};
    owm_status status = lnd_call(lnd, LND_ListChannels, &request.base, &reply, list->error);
    if (status != OWM_OK) return status;
    const Lnrpc__ListChannelsResponse *from = (Lnrpc__ListChannelsResponse *)reply;
    for (size_t i = 0; i < from->n_channels && status == OWM_OK; i++)
        status = read_open(list, from->channels[i]);
    lnd_free(reply);
    return status;
}

/* ------------------------------------------------------------------------------ pending */

static void read_pending(const Lnrpc__PendingChannelsResponse__PendingChannel *from,
                         struct owm_lightning_channel *channel)
{
    channel->opened_by_peer = from->initiator == LNRPC__INITIATOR__INITIATOR_REMOTE;
    channel->is_private = from->private_;
    channel->capacity_msat = msat_of(from->capacity);
    channel->local_msat = msat_of(from->local_balance);
    channel->remote_msat = msat_of(from->remote_balance);
    channel->remote_reserve_msat = msat_of(from->remote_chan_reserve_sat);
    snprintf(channel->note, sizeof channel->note, "%s", from->chan_status_flags);
}

static owm_status read_opening(struct list *list,
                               const Lnrpc__PendingChannelsResponse__PendingOpenChannel *from)
{
    struct owm_lightning_channel *channel;
    if (!from->channel) return nonsense(list, LND_PendingChannels, "no channel");
    owm_status status = begin(list, LND_PendingChannels, from->channel->remote_node_pub,
                              from->channel->channel_point, &channel);
    if (status != OWM_OK || !channel) return status;
    channel->state = OWM_LIGHTNING_OPENING;
    read_pending(from->channel, channel);
    if (channel->opened_by_peer)
        channel->remote_msat = channel->capacity_msat - channel->local_msat;
    return OWM_OK;
}

static owm_status read_closing(struct list *list, struct closing closing,
                               struct owm_lightning_channel **out)
{
    *out = NULL;
    if (!closing.channel) return nonsense(list, LND_PendingChannels, "no channel");
    owm_status status = begin(list, LND_PendingChannels, closing.channel->remote_node_pub,
                              closing.channel->channel_point, out);
    if (status != OWM_OK || !*out) return status;
    (*out)->state = OWM_LIGHTNING_CLOSING;
    read_pending(closing.channel, *out);
    read_txid(closing.txid, (*out)->closing_txid);
    return OWM_OK;
}

/* Its closing transaction is not confirmed. LND's flags tell which kind it sent or agreed to. */
static owm_status read_waiting(struct list *list,
                               const Lnrpc__PendingChannelsResponse__WaitingCloseChannel *from)
{
    struct owm_lightning_channel *channel;
    owm_status status =
        read_closing(list, (struct closing){from->channel, from->closing_txid}, &channel);
    if (status != OWM_OK || !channel) return status;
    const char *flags = from->channel->chan_status_flags;
    channel->closed_by_peer = strstr(flags, "RemoteCloseInitiator") != NULL;
    if (strstr(flags, "CoopBroadcasted"))
        channel->close_kind = OWM_LIGHTNING_CLOSE_COOPERATIVE;
    else if (strstr(flags, "CommitBroadcasted"))
        channel->close_kind = OWM_LIGHTNING_CLOSE_FORCED_BY_US;
    if (strstr(flags, "DataLoss") || strstr(flags, "Borked") || strstr(flags, "Restored"))
        if (channel->close_kind == OWM_LIGHTNING_CLOSE_NONE) channel->state = OWM_LIGHTNING_BROKEN;
    return OWM_OK;
}

/* Its force close is confirmed, somebody's outputs still wait. */
static owm_status read_forced(struct list *list,
                              const Lnrpc__PendingChannelsResponse__ForceClosedChannel *from)
{
    struct owm_lightning_channel *channel;
    owm_status status =
        read_closing(list, (struct closing){from->channel, from->closing_txid}, &channel);
    if (status == OWM_OK && channel)
        snprintf(channel->note, sizeof channel->note, "force-closed, by whom is not known yet");
    return status;
}

static owm_status list_pending(struct lnd *lnd, struct list *list)
{
    Lnrpc__PendingChannelsRequest request = LNRPC__PENDING_CHANNELS_REQUEST__INIT;
    ProtobufCMessage *reply;
    owm_status status = lnd_call(lnd, LND_PendingChannels, &request.base, &reply, list->error);
    if (status != OWM_OK) return status;
    const Lnrpc__PendingChannelsResponse *from = (Lnrpc__PendingChannelsResponse *)reply;
    for (size_t i = 0; i < from->n_pending_open_channels && status == OWM_OK; i++)
        status = read_opening(list, from->pending_open_channels[i]);
    for (size_t i = 0; i < from->n_waiting_close_channels && status == OWM_OK; i++)
        status = read_waiting(list, from->waiting_close_channels[i]);
    for (size_t i = 0; i < from->n_pending_force_closing_channels && status == OWM_OK; i++)
        status = read_forced(list, from->pending_force_closing_channels[i]);
    lnd_free(reply);
    return status;
}

/* ------------------------------------------------------------------------------- closed */

static enum owm_lightning_close_kind kind_of(const Lnrpc__ChannelCloseSummary *from)
{
    switch (from->close_type) {
    case LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__COOPERATIVE_CLOSE:
        return OWM_LIGHTNING_CLOSE_COOPERATIVE;
    case LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__LOCAL_FORCE_CLOSE:
        return OWM_LIGHTNING_CLOSE_FORCED_BY_US;
    case LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__REMOTE_FORCE_CLOSE:
        return OWM_LIGHTNING_CLOSE_FORCED_BY_PEER;
    case LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__BREACH_CLOSE:
        return OWM_LIGHTNING_CLOSE_BREACH;
    default:
        return OWM_LIGHTNING_CLOSE_OTHER;
    }
}

static owm_status read_closed(struct list *list, const Lnrpc__ChannelCloseSummary *from)
{
    struct owm_lightning_channel *channel;
    owm_status status =
        begin(list, LND_ClosedChannels, from->remote_pubkey, from->channel_point, &channel);
    if (status != OWM_OK || !channel) return status;
    channel->state = OWM_LIGHTNING_CLOSED;
    channel->opened_by_peer = from->open_initiator == LNRPC__INITIATOR__INITIATOR_REMOTE;
    channel->short_id = from->chan_id;
    channel->capacity_msat = msat_of(from->capacity);
    channel->local_msat = msat_of(from->settled_balance); /* what is time-locked is part of it */
    channel->close_kind = kind_of(from);
    channel->closed_by_peer = from->close_initiator == LNRPC__INITIATOR__INITIATOR_REMOTE
                              || channel->close_kind == OWM_LIGHTNING_CLOSE_FORCED_BY_PEER
                              || channel->close_kind == OWM_LIGHTNING_CLOSE_BREACH;
    read_txid(from->closing_tx_hash, channel->closing_txid);
    return OWM_OK;
}

static owm_status list_closed(struct lnd *lnd, struct list *list)
{
    Lnrpc__ClosedChannelsRequest request = LNRPC__CLOSED_CHANNELS_REQUEST__INIT;
    ProtobufCMessage *reply;
    owm_status status = lnd_call(lnd, LND_ClosedChannels, &request.base, &reply, list->error);
    if (status != OWM_OK) return status;
    const Lnrpc__ClosedChannelsResponse *from = (Lnrpc__ClosedChannelsResponse *)reply;
    for (size_t i = 0; i < from->n_channels && status == OWM_OK; i++)
        status = read_closed(list, from->channels[i]);
    lnd_free(reply);
    return status;
}

/* ---------------------------------------------------------------------------------- all */

static owm_status read_height(struct lnd *lnd, struct list *list)
{
    Lnrpc__GetInfoResponse *info;
    owm_status status = lnd_info(lnd, &info, list->error);
    if (status != OWM_OK) return status;
    list->height = info->block_height;
    if (!info->synced_to_chain)
        status = owm_fail(list->error, OWM_E_AGAIN,
                          "LND at %s is behind the chain (at block %" PRIu32
                          "); what it says of channels is old",
                          lnd->address, info->block_height);
    lnd_free(&info->base);
    return status;
}

/* Sorted, a later state of the same channel comes first. */
static void keep_the_latest(struct list *list)
{
    owm_lightning_channels_sort(list->channels, list->count);
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct owm_lightning_point *point = &list->channels[i].point;
        const struct owm_lightning_point *last = &list->channels[kept ? kept - 1 : 0].point;
        if (kept > 0 && last->index == point->index && memcmp(last->txid, point->txid, 32) == 0)
            continue;
        list->channels[kept++] = list->channels[i];
    }
    list->count = kept;
}

owm_status lnd_channels(owm_lightning *lightning, const uint8_t *peer, bool closed,
                        struct owm_lightning_channel **channels, size_t *count,
                        struct owm_error *error)
{
    struct lnd *lnd = (struct lnd *)lightning;
    struct list list = {.peer = peer, .error = error};
    owm_status status = read_height(lnd, &list);
    if (status == OWM_OK) status = list_open(lnd, &list);
    if (status == OWM_OK) status = list_pending(lnd, &list);
    if (status == OWM_OK && closed) status = list_closed(lnd, &list);
    if (status != OWM_OK) {
        free(list.channels);
        return status;
    }
    keep_the_latest(&list);
    *channels = list.channels;
    *count = list.count;
    return OWM_OK;
}
