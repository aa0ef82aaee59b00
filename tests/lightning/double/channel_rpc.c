/* channel_rpc.c: channels as LND reports them: who is in which list, balances net of what the
 * opener pays for the commitment (lnwallet/commitment.go, rpcserver.go createRPCOpenChannel). */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "double.h"

#define ZERO_CONF_BLOCK 16000000u /* aliases of channels without confirmation begin there */

static uint64_t short_id(uint32_t block, const struct channel *channel)
{
    return (uint64_t)block << 40 | (uint64_t)(channel->point.txid[0] + 1) << 16
           | channel->point.index;
}

static bool has_anchors(const struct channel *channel)
{
    return channel->type == LNRPC__COMMITMENT_TYPE__ANCHORS
           || channel->type == LNRPC__COMMITMENT_TYPE__SIMPLE_TAPROOT;
}

struct net {
    int64_t local_sats, remote_sats, held_sats, commit_fee_sats;
};

static int64_t output(int64_t sats)
{
    return sats >= DUST_SATS ? sats : 0;
}

/* The fee is what the outputs of the commitment leave of the capacity: dust and the anchor of a
 * side without output are in it. */
static struct net net_of(const struct channel *channel)
{
    int64_t anchors = has_anchors(channel) ? 2 * ANCHOR_SATS : 0;
    int64_t cost_msat = (COMMIT_FEE_SATS + anchors) * 1000;
    int64_t local = channel->local_msat, remote = channel->remote_msat;
    int64_t *opener = channel->by_peer ? &remote : &local;
    *opener = *opener > cost_msat ? *opener - cost_msat : 0;
    int64_t held = channel->held_msat < 0 ? -channel->held_msat : channel->held_msat;
    struct net net = {local / 1000, remote / 1000, held / 1000, 0};

    int64_t outputs = output(net.local_sats) + output(net.remote_sats) + output(net.held_sats);
    if (anchors && (output(net.local_sats) || output(net.held_sats))) outputs += ANCHOR_SATS;
    if (anchors && (output(net.remote_sats) || output(net.held_sats))) outputs += ANCHOR_SATS;
    net.commit_fee_sats = channel->capacity_sats - outputs;
    return net;
}

/* One message and the texts that it points to. */
struct shown {
    Lnrpc__Channel message;
    Lnrpc__ChannelConstraints reserve;
    char peer[KEY_TEXT], point[POINT_TEXT];
};

static void show(const struct channel *channel, struct shown *shown)
{
    struct net net = net_of(channel);
    owm_hex_encode(channel->peer, KEY_BYTES, shown->peer);
    point_format(&channel->point, shown->point);
    lnrpc__channel_constraints__init(&shown->reserve);
    shown->reserve.chan_reserve_sat = (uint64_t)channel->capacity_sats / 100;
    Lnrpc__Channel *message = &shown->message;
    lnrpc__channel__init(message);
    message->active = channel->active;
    message->remote_pubkey = shown->peer;
    message->channel_point = shown->point;
    message->chan_id =
        short_id(channel->zero_conf ? ZERO_CONF_BLOCK : channel->funding_height, channel);
    message->capacity = channel->capacity_sats;
    message->local_balance = net.local_sats;
    message->remote_balance = net.remote_sats;
    message->commit_fee = net.commit_fee_sats;
    message->unsettled_balance = net.held_sats;
    message->private_ = channel->is_private;
    message->initiator = !channel->by_peer;
    message->chan_status_flags = channel->flags[0] ? (char *)channel->flags : "ChanStatusDefault";
    message->commitment_type = channel->type;
    message->push_amount_sat = (uint64_t)channel->push_sats;
    message->local_constraints = &shown->reserve;
    message->remote_constraints = &shown->reserve;
    message->zero_conf = channel->zero_conf;
    if (channel->zero_conf && channel->funding_height)
        message->zero_conf_confirmed_scid = short_id(channel->funding_height, channel);
}

static bool is_listed(const struct channel *channel)
{
    return channel->state == CHANNEL_OPEN;
}

void handle_list_channels(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__ListChannelsRequest *request = message;
    if (request->peer.len != 0 && request->peer.len != KEY_BYTES) {
        refuse(call, OWM_RPC_UNKNOWN, "invalid `peer` key: invalid vertex length of %zu, want 33",
               request->peer.len);
        return;
    }
    struct shown *shown = calloc(node->channel_count + 1, sizeof *shown);
    Lnrpc__Channel **list = calloc(node->channel_count + 1, sizeof(Lnrpc__Channel *));
    OWM_ASSERT(shown && list);
    Lnrpc__ListChannelsResponse reply = LNRPC__LIST_CHANNELS_RESPONSE__INIT;
    for (size_t i = 0; i < node->channel_count; i++) {
        const struct channel *channel = &node->channels[i];
        if (!is_listed(channel)) continue;
        if (request->peer.len && memcmp(channel->peer, request->peer.data, KEY_BYTES) != 0)
            continue;
        show(channel, &shown[reply.n_channels]);
        list[reply.n_channels] = &shown[reply.n_channels].message;
        reply.n_channels++;
    }
    reply.channels = list;
    answer(call, &reply.base);
    free(list);
    free(shown);
}

/* ------------------------------------------------------------------- pending and closed ones */

typedef Lnrpc__PendingChannelsResponse__PendingChannel pending_channel;
typedef Lnrpc__PendingChannelsResponse__PendingOpenChannel pending_open;
typedef Lnrpc__PendingChannelsResponse__WaitingCloseChannel waiting_close;
typedef Lnrpc__PendingChannelsResponse__ForceClosedChannel force_closed;

struct pending {
    pending_channel channel;
    pending_open opening;
    waiting_close waiting;
    force_closed forced;
    char peer[KEY_TEXT], point[POINT_TEXT], closing_txid[65];
};

static void pending_show(const struct channel *channel, struct pending *pending)
{
    struct net net = net_of(channel);
    owm_hex_encode(channel->peer, KEY_BYTES, pending->peer);
    point_format(&channel->point, pending->point);
    txid_format(channel->closing_txid, pending->closing_txid);
    pending_channel *message = &pending->channel;
    lnrpc__pending_channels_response__pending_channel__init(message);
    message->remote_node_pub = pending->peer;
    message->channel_point = pending->point;
    message->capacity = channel->capacity_sats;
    message->local_balance = net.local_sats;
    message->remote_balance = net.remote_sats;
    message->local_chan_reserve_sat = channel->capacity_sats / 100;
    message->remote_chan_reserve_sat = channel->capacity_sats / 100;
    message->initiator =
        channel->by_peer ? LNRPC__INITIATOR__INITIATOR_REMOTE : LNRPC__INITIATOR__INITIATOR_LOCAL;
    message->commitment_type = channel->type;
    if (channel->state == CHANNEL_CLOSING) message->chan_status_flags = (char *)channel->flags;
    message->private_ = channel->is_private;

    lnrpc__pending_channels_response__pending_open_channel__init(&pending->opening);
    pending->opening.channel = message;
    pending->opening.commit_fee = COMMIT_FEE_SATS;
    lnrpc__pending_channels_response__waiting_close_channel__init(&pending->waiting);
    pending->waiting.channel = message;
    pending->waiting.limbo_balance = net.local_sats;
    pending->waiting.closing_txid = pending->closing_txid;
    lnrpc__pending_channels_response__force_closed_channel__init(&pending->forced);
    pending->forced.channel = message;
    pending->forced.closing_txid = pending->closing_txid;
    pending->forced.limbo_balance = net.local_sats;
    pending->forced.maturity_height = channel->resolve_height;
}

void handle_pending_channels(struct lnd_double *node, struct owm_rpc_call *call,
                             const void *message)
{
    (void)message;
    size_t room = node->channel_count + 1;
    struct pending *pending = calloc(room, sizeof *pending);
    pending_open **opening = calloc(room, sizeof(pending_open *));
    waiting_close **waiting = calloc(room, sizeof(waiting_close *));
    force_closed **forced = calloc(room, sizeof(force_closed *));
    OWM_ASSERT(pending && opening && waiting && forced);
    Lnrpc__PendingChannelsResponse reply = LNRPC__PENDING_CHANNELS_RESPONSE__INIT;
    for (size_t i = 0; i < node->channel_count; i++) {
        const struct channel *channel = &node->channels[i];
        struct pending *at = &pending[i];
        if (channel->state == CHANNEL_OPEN || channel->state == CHANNEL_CLOSED) continue;
        pending_show(channel, at);
        at->forced.blocks_til_maturity = (int32_t)(channel->resolve_height - node->height);
        if (channel->state == CHANNEL_PENDING)
            opening[reply.n_pending_open_channels++] = &at->opening;
        else
            reply.total_limbo_balance += at->channel.local_balance;
        if (channel->state == CHANNEL_CLOSING)
            waiting[reply.n_waiting_close_channels++] = &at->waiting;
        if (channel->state == CHANNEL_FORCED && channel->close != CLOSE_BREACH)
            forced[reply.n_pending_force_closing_channels++] = &at->forced;
    }
    reply.pending_open_channels = opening;
    reply.waiting_close_channels = waiting;
    reply.pending_force_closing_channels = forced;
    answer(call, &reply.base);
    free(opening);
    free(waiting);
    free(forced);
    free(pending);
}

struct closed {
    Lnrpc__ChannelCloseSummary message;
    char peer[KEY_TEXT], point[POINT_TEXT], closing_txid[65];
};

static void closed_show(const struct channel *channel, struct closed *closed)
{
    static const Lnrpc__ChannelCloseSummary__ClosureType kinds[] = {
        [CLOSE_US] = LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__COOPERATIVE_CLOSE,
        [CLOSE_PEER] = LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__COOPERATIVE_CLOSE,
        [CLOSE_FORCE_US] = LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__LOCAL_FORCE_CLOSE,
        [CLOSE_FORCE_PEER] = LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__REMOTE_FORCE_CLOSE,
        [CLOSE_BREACH] = LNRPC__CHANNEL_CLOSE_SUMMARY__CLOSURE_TYPE__BREACH_CLOSE,
    };
    bool by_us = channel->close == CLOSE_US || channel->close == CLOSE_FORCE_US;
    owm_hex_encode(channel->peer, KEY_BYTES, closed->peer);
    point_format(&channel->point, closed->point);
    txid_format(channel->closing_txid, closed->closing_txid);
    Lnrpc__ChannelCloseSummary *message = &closed->message;
    lnrpc__channel_close_summary__init(message);
    message->channel_point = closed->point;
    message->chan_id = short_id(channel->funding_height, channel);
    message->closing_tx_hash = closed->closing_txid;
    message->remote_pubkey = closed->peer;
    message->capacity = channel->capacity_sats;
    message->close_height = channel->close_height;
    message->settled_balance = net_of(channel).local_sats;
    if (channel->close == CLOSE_FORCE_US) message->time_locked_balance = message->settled_balance;
    message->close_type = kinds[channel->close];
    message->open_initiator =
        channel->by_peer ? LNRPC__INITIATOR__INITIATOR_REMOTE : LNRPC__INITIATOR__INITIATOR_LOCAL;
    message->close_initiator =
        by_us ? LNRPC__INITIATOR__INITIATOR_LOCAL : LNRPC__INITIATOR__INITIATOR_REMOTE;
}

void handle_closed_channels(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    (void)message;
    struct closed *closed = calloc(node->channel_count + 1, sizeof *closed);
    Lnrpc__ChannelCloseSummary **list =
        calloc(node->channel_count + 1, sizeof(Lnrpc__ChannelCloseSummary *));
    OWM_ASSERT(closed && list);
    Lnrpc__ClosedChannelsResponse reply = LNRPC__CLOSED_CHANNELS_RESPONSE__INIT;
    for (size_t i = 0; i < node->channel_count; i++) {
        if (node->channels[i].state != CHANNEL_CLOSED) continue;
        closed_show(&node->channels[i], &closed[i]);
        list[reply.n_channels++] = &closed[i].message;
    }
    reply.channels = list;
    answer(call, &reply.base);
    free(list);
    free(closed);
}

/* ----------------------------------------------------------------------------------- events */

void handle_subscribe_channel_events(struct lnd_double *node, struct owm_rpc_call *call,
                                     const void *message)
{
    (void)message;
    (void)stream_open(node, call, METHOD_subscribe_channel_events);
}

static void tell(struct lnd_double *node, const Lnrpc__ChannelEventUpdate *event)
{
    for (struct stream *stream = node->streams; stream; stream = stream->next)
        if (stream->method == METHOD_subscribe_channel_events) stream_send(stream, &event->base);
}

void channel_event(struct lnd_double *node, const struct channel *channel,
                   Lnrpc__ChannelEventUpdate__UpdateType type)
{
    struct shown shown;
    struct closed closed;
    Lnrpc__ChannelEventUpdate event = LNRPC__CHANNEL_EVENT_UPDATE__INIT;
    Lnrpc__PendingUpdate pending = LNRPC__PENDING_UPDATE__INIT;
    Lnrpc__ChannelCommitUpdate update = LNRPC__CHANNEL_COMMIT_UPDATE__INIT;
    Lnrpc__ChannelPoint point = LNRPC__CHANNEL_POINT__INIT;
    event.type = type;
    pending.txid = point.funding_txid_bytes =
        (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)channel->point.txid};
    pending.output_index = point.output_index = channel->point.index;
    point.funding_txid_case = LNRPC__CHANNEL_POINT__FUNDING_TXID_FUNDING_TXID_BYTES;
    show(channel, &shown);
    update.channel = &shown.message;
    switch (type) {
    case LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__OPEN_CHANNEL:
        event.channel_case = LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_OPEN_CHANNEL;
        event.open_channel = &shown.message;
        break;
    case LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__CLOSED_CHANNEL:
        closed_show(channel, &closed);
        event.channel_case = LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_CLOSED_CHANNEL;
        event.closed_channel = &closed.message;
        break;
    case LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__PENDING_OPEN_CHANNEL:
        event.channel_case = LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_PENDING_OPEN_CHANNEL;
        event.pending_open_channel = &pending;
        break;
    case LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__CHANNEL_UPDATE:
        event.channel_case = LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_UPDATED_CHANNEL;
        event.updated_channel = &update;
        break;
    case LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__ACTIVE_CHANNEL:
        event.channel_case = LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_ACTIVE_CHANNEL;
        event.active_channel = &point;
        break;
    case LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__INACTIVE_CHANNEL:
        event.channel_case = LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_INACTIVE_CHANNEL;
        event.inactive_channel = &point;
        break;
    default:
        event.channel_case = LNRPC__CHANNEL_EVENT_UPDATE__CHANNEL_FULLY_RESOLVED_CHANNEL;
        event.fully_resolved_channel = &point;
    }
    tell(node, &event);
}

/* ---------------------------------------------------------------------------------- closing */

static bool point_of(const Lnrpc__ChannelPoint *message, struct point *point)
{
    char text[POINT_TEXT];
    if (message->funding_txid_case == LNRPC__CHANNEL_POINT__FUNDING_TXID_FUNDING_TXID_STR) {
        snprintf(text, sizeof text, "%s:%u", message->funding_txid_str, message->output_index);
        return point_parse(text, point);
    }
    if (message->funding_txid_bytes.len != 32) return false;
    memcpy(point->txid, message->funding_txid_bytes.data, 32);
    point->index = message->output_index;
    return true;
}

/* rpcserver.go CloseChannel, contractcourt: what is refused. NULL: nothing. */
static const char *close_refusal(const struct channel *channel, bool force)
{
    if (!channel || channel->state == CHANNEL_FORCED || channel->state == CHANNEL_CLOSED)
        return "channel not found";
    if (strstr(channel->flags, "ChanStatusRestored")
        || strstr(channel->flags, "ChanStatusLocalDataLoss"))
        return "cannot close channel with state: ChanStatusLocalDataLoss|ChanStatusRestored";
    if (!force && !channel->active)
        return "unable to gracefully close channel while peer is offline (try force closing it "
               "instead): unable to find link";
    if (force && channel->close == CLOSE_FORCE_US)
        return "channel is already in the process of being force closed";
    return NULL;
}

void handle_close_channel(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__CloseChannelRequest *request = message;
    struct point point;
    if (!request->channel_point || !point_of(request->channel_point, &point)) {
        refuse(call, OWM_RPC_UNKNOWN, "must specify channel point in close channel");
        return;
    }
    struct channel *channel = channel_find(node, &point);
    const char *why = close_refusal(channel, request->force);
    if (why) {
        refuse(call, OWM_RPC_UNKNOWN, "%s", why);
        return;
    }
    struct stream *stream = stream_open(node, call, METHOD_close_channel);
    if (!stream) return;
    stream->point = point;
    channel_close(node, channel, request->force ? CLOSE_FORCE_US : CLOSE_US);
    Lnrpc__CloseStatusUpdate update = LNRPC__CLOSE_STATUS_UPDATE__INIT;
    Lnrpc__PendingUpdate pending = LNRPC__PENDING_UPDATE__INIT;
    pending.txid = (ProtobufCBinaryData){.len = 32, .data = channel->closing_txid};
    update.update_case = LNRPC__CLOSE_STATUS_UPDATE__UPDATE_CLOSE_PENDING;
    update.close_pending = &pending;
    stream_send(stream, &update.base);
}

void close_confirmed(struct lnd_double *node, const struct channel *channel)
{
    Lnrpc__CloseStatusUpdate update = LNRPC__CLOSE_STATUS_UPDATE__INIT;
    Lnrpc__ChannelCloseUpdate close = LNRPC__CHANNEL_CLOSE_UPDATE__INIT;
    close.closing_txid = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)channel->closing_txid};
    close.success = true;
    update.update_case = LNRPC__CLOSE_STATUS_UPDATE__UPDATE_CHAN_CLOSE;
    update.chan_close = &close;
    for (struct stream *stream = node->streams; stream; stream = stream->next) {
        if (stream->method != METHOD_close_channel
            || memcmp(&stream->point, &channel->point, sizeof channel->point) != 0)
            continue;
        stream_send(stream, &update.base);
        stream_finish(stream);
    }
}
