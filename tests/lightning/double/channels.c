/* channels.c: the table of channels, what the chain does to them, and the commands for it. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "command.h"

void txid_format(const uint8_t txid[32], char text[65])
{
    uint8_t shown[32];
    for (int i = 0; i < 32; i++) shown[i] = txid[31 - i];
    owm_hex_encode(shown, 32, text);
}

void point_format(const struct point *point, char text[POINT_TEXT])
{
    txid_format(point->txid, text);
    snprintf(text + 64, POINT_TEXT - 64, ":%u", point->index);
}

bool point_parse(const char *text, struct point *point)
{
    char hex[65];
    uint8_t shown[32];
    const char *colon = strchr(text, ':');
    if (!colon || colon - text != 64) return false;
    memcpy(hex, text, 64);
    hex[64] = 0;
    if (owm_hex_decode(hex, shown, 32) != OWM_OK) return false;
    for (int i = 0; i < 32; i++) point->txid[i] = shown[31 - i];
    point->index = (uint32_t)strtoul(colon + 1, NULL, 10);
    return true;
}

struct channel *channel_find(struct lnd_double *node, const struct point *point)
{
    for (size_t i = 0; i < node->channel_count; i++) {
        struct channel *channel = &node->channels[i];
        if (channel->point.index == point->index
            && memcmp(channel->point.txid, point->txid, 32) == 0)
            return channel;
    }
    return NULL;
}

/* Without a look whether it is there: `channels` would take long with the many it makes. */
static struct channel *channel_append(struct lnd_double *node, const struct channel *channel)
{
    OWM_ASSERT(node->channel_count < LND_DOUBLE_CHANNELS_MAX);
    node->channels = table_grow(node->channels, node->channel_count, &node->channel_room,
                                sizeof *node->channels);
    struct channel *at = &node->channels[node->channel_count++];
    *at = *channel;
    return at;
}

struct channel *channel_put(struct lnd_double *node, const struct channel *channel)
{
    struct channel *at = channel_find(node, &channel->point);
    if (!at) return channel_append(node, channel);
    *at = *channel;
    return at;
}

void channel_save(struct lnd_double *node, struct channel *channel)
{
    journal_write(node, RECORD_CHANNEL, channel, sizeof *channel);
}

/* The same channel as its other end has it, if that is a double of this process. */
static struct channel *other_end(struct lnd_double *node, const struct channel *channel,
                                 struct lnd_double **other)
{
    *other = node_by_key(channel->peer);
    if (*other == node) *other = NULL;
    return *other ? channel_find(*other, &channel->point) : NULL;
}

static struct channel *channel_begin(struct lnd_double *node, const struct channel *channel)
{
    struct channel *at = channel_append(node, channel);
    channel_save(node, at);
    if (at->state == CHANNEL_PENDING)
        channel_event(node, at, LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__PENDING_OPEN_CHANNEL);
    else
        channel_event(node, at, LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__OPEN_CHANNEL);
    return at;
}

void channel_open(struct lnd_double *node, struct channel *channel)
{
    owm_uuid_random(channel->point.txid);
    owm_uuid_random(channel->point.txid + 16);
    int64_t pushed = channel->push_sats * 1000, kept = channel->capacity_sats * 1000 - pushed;
    channel->local_msat = channel->by_peer ? pushed : kept;
    channel->remote_msat = channel->by_peer ? kept : pushed;
    channel->active = channel->state == CHANNEL_OPEN;
    channel_begin(node, channel);

    struct lnd_double *other = node_by_key(channel->peer);
    if (!other || other == node) return;
    struct channel mirror = *channel;
    memcpy(mirror.peer, node->key, KEY_BYTES);
    mirror.by_peer = !channel->by_peer;
    mirror.local_msat = channel->remote_msat;
    mirror.remote_msat = channel->local_msat;
    channel_begin(other, &mirror);
}

/* --------------------------------------------------------------------------------- closing */

static const char *closing_flags(enum close_kind close)
{
    switch (close) {
    case CLOSE_US:
        return "ChanStatusCoopBroadcasted|ChanStatusLocalCloseInitiator";
    case CLOSE_PEER:
        return "ChanStatusCoopBroadcasted|ChanStatusRemoteCloseInitiator";
    case CLOSE_FORCE_US:
        return "ChanStatusCommitBroadcasted|ChanStatusLocalCloseInitiator";
    default:
        return "";
    }
}

/* A commitment that the peer broadcasts is news to LND only when it is in a block. */
static void close_begin(struct lnd_double *node, struct channel *channel, enum close_kind close,
                        const uint8_t txid[32])
{
    channel->close = close;
    channel->active = false;
    memcpy(channel->closing_txid, txid, 32);
    if (close != CLOSE_FORCE_PEER && close != CLOSE_BREACH) {
        channel->state = CHANNEL_CLOSING;
        snprintf(channel->flags, sizeof channel->flags, "%s", closing_flags(close));
    }
    channel_save(node, channel);
    channel_event(node, channel, LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__INACTIVE_CHANNEL);
}

void channel_close(struct lnd_double *node, struct channel *channel, enum close_kind close)
{
    static const enum close_kind seen_by_other[] = {
        [CLOSE_US] = CLOSE_PEER,
        [CLOSE_PEER] = CLOSE_US,
        [CLOSE_FORCE_US] = CLOSE_FORCE_PEER,
        [CLOSE_FORCE_PEER] = CLOSE_FORCE_US,
        [CLOSE_BREACH] = CLOSE_FORCE_US,
    };
    uint8_t named[sizeof channel->point.txid + 1], txid[32];
    memcpy(named, channel->point.txid, 32);
    named[32] = (uint8_t)close;
    owm_sha256(named, sizeof named, txid);
    close_begin(node, channel, close, txid);
    struct lnd_double *other;
    struct channel *mirror = other_end(node, channel, &other);
    if (mirror) close_begin(other, mirror, seen_by_other[close], txid);
}

static bool is_cooperative(enum close_kind close)
{
    return close == CLOSE_US || close == CLOSE_PEER;
}

/* Our own commitment makes us wait; what is the peer's is ours after the next block. */
static void close_mine(struct lnd_double *node, struct channel *channel)
{
    if (channel->state == CHANNEL_FORCED) {
        if (node->height < channel->resolve_height) return;
        channel->state = CHANNEL_CLOSED;
        channel_save(node, channel);
        channel_event(node, channel,
                      LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__FULLY_RESOLVED_CHANNEL);
        return;
    }
    bool waits = channel->close == CLOSE_FORCE_US && channel->local_msat / 1000 >= DUST_SATS;
    channel->state = is_cooperative(channel->close) ? CHANNEL_CLOSED : CHANNEL_FORCED;
    channel->close_height = node->height;
    channel->resolve_height = node->height + (waits ? CSV_BLOCKS : 1);
    channel_save(node, channel);
    channel_event(node, channel, LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__CLOSED_CHANNEL);
    close_confirmed(node, channel);
}

static void open_mine(struct lnd_double *node, struct channel *channel)
{
    bool was_open = channel->state == CHANNEL_OPEN;
    channel->funding_height = node->height;
    channel->state = CHANNEL_OPEN;
    channel->active = true;
    channel_save(node, channel);
    if (!was_open)
        channel_event(node, channel, LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__OPEN_CHANNEL);
}

void channels_mine(struct lnd_double *node)
{
    for (size_t i = 0; i < node->channel_count; i++) {
        struct channel *channel = &node->channels[i];
        if (channel->state == CHANNEL_CLOSED) continue;
        if (channel->close != CLOSE_NONE)
            close_mine(node, channel);
        else if (channel->funding_height == 0)
            open_mine(node, channel);
    }
}

/* -------------------------------------------------------------------------------- commands */

static const struct {
    const char *name;
    Lnrpc__CommitmentType type;
} types[] = {
    {"anchors", LNRPC__COMMITMENT_TYPE__ANCHORS},
    {"static", LNRPC__COMMITMENT_TYPE__STATIC_REMOTE_KEY},
    {"legacy", LNRPC__COMMITMENT_TYPE__LEGACY},
    {"taproot", LNRPC__COMMITMENT_TYPE__SIMPLE_TAPROOT},
};

static bool type_parse(const char *name, Lnrpc__CommitmentType *type)
{
    *type = LNRPC__COMMITMENT_TYPE__ANCHORS;
    if (!name) return true;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        *type = types[i].type;
        if (strcmp(name, types[i].name) == 0) return true;
    }
    return false;
}

static owm_status run_channel(struct lnd_double *node, struct words *words)
{
    struct channel channel;
    memset(&channel, 0, sizeof channel);
    const char *peer = word_option(words, "peer"), *by = word_option(words, "by");
    bool pending = word_flag(words, "pending");
    if (!peer || strlen(peer) != 2 * KEY_BYTES
        || owm_hex_decode(peer, channel.peer, KEY_BYTES) != OWM_OK)
        return wrong(words, "channel: peer= 66 hex digits");
    channel.capacity_sats = word_number(words, "capacity", 0);
    channel.push_sats = word_number(words, "push", 0);
    if (channel.capacity_sats < 20000 || channel.push_sats >= channel.capacity_sats)
        return wrong(words, "channel: capacity of 20,000 at least, and less pushed");
    if (!type_parse(word_option(words, "type"), &channel.type))
        return wrong(words, "channel: no such type");
    if (node->channel_count == LND_DOUBLE_CHANNELS_MAX)
        return wrong(words, "channel: the double has no room for more");
    channel.by_peer = !by || strcmp(by, "us") != 0;
    channel.is_private = word_flag(words, "private");
    channel.zero_conf = word_flag(words, "zeroconf");
    channel.state = pending ? CHANNEL_PENDING : CHANNEL_OPEN;
    if (!pending && !channel.zero_conf) channel.funding_height = node->height;
    channel_open(node, &channel);
    char text[POINT_TEXT];
    point_format(&channel.point, text);
    fprintf(words->out, "%s", text);
    return OWM_OK;
}

static owm_status run_channels(struct lnd_double *node, struct words *words)
{
    long long count = strtoll(words->word[1], NULL, 10);
    int64_t capacity = word_number(words, "capacity", 1000000);
    if (count < 1 || node->channel_count + (size_t)count > LND_DOUBLE_CHANNELS_MAX)
        return wrong(words, "channels: 1 to %d in all", LND_DOUBLE_CHANNELS_MAX);
    for (long long i = 0; i < count; i++) {
        struct channel channel;
        memset(&channel, 0, sizeof channel);
        channel.capacity_sats = capacity;
        channel.type = LNRPC__COMMITMENT_TYPE__ANCHORS;
        channel.by_peer = true;
        channel.state = CHANNEL_OPEN;
        channel.funding_height = node->height;
        key_derive((uint64_t)i, channel.peer);
        channel_open(node, &channel);
    }
    return OWM_OK;
}

static struct channel *named(struct lnd_double *node, struct words *words)
{
    struct point point;
    struct channel *channel = NULL;
    if (point_parse(words->word[1], &point)) channel = channel_find(node, &point);
    if (!channel) (void)!wrong(words, "%s: no channel %s", words->word[0], words->word[1]);
    return channel;
}

static void changed(struct lnd_double *node, struct channel *channel)
{
    channel_save(node, channel);
    channel_event(node, channel, LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__CHANNEL_UPDATE);
}

static void balances(struct lnd_double *node, struct channel *channel, int64_t move, int64_t hold)
{
    channel->local_msat += move;
    channel->remote_msat -= move;
    if (channel->held_msat > 0) channel->remote_msat += channel->held_msat;
    if (channel->held_msat < 0) channel->local_msat -= channel->held_msat;
    if (hold > 0) channel->remote_msat -= hold;
    if (hold < 0) channel->local_msat += hold;
    channel->held_msat = hold;
    changed(node, channel);
}

static owm_status run_move(struct lnd_double *node, struct words *words)
{
    struct channel *channel = named(node, words);
    if (!channel) return OWM_E_NOTFOUND;
    int64_t msat = strtoll(words->word[2], NULL, 10);
    if (channel->local_msat + msat < 0 || channel->remote_msat - msat < 0)
        return wrong(words, "move: that side has not so much");
    struct lnd_double *other;
    struct channel *mirror = other_end(node, channel, &other);
    balances(node, channel, msat, channel->held_msat);
    if (mirror) balances(other, mirror, -msat, mirror->held_msat);
    return OWM_OK;
}

static owm_status run_hold(struct lnd_double *node, struct words *words)
{
    struct channel *channel = named(node, words);
    if (!channel) return OWM_E_NOTFOUND;
    int64_t msat = strtoll(words->word[2], NULL, 10);
    if (msat > channel->remote_msat || (msat != 0 && channel->held_msat != 0))
        return wrong(words, "hold: the peer has not so much, or another is held");
    struct lnd_double *other;
    struct channel *mirror = other_end(node, channel, &other);
    balances(node, channel, 0, msat);
    if (mirror) balances(other, mirror, 0, -msat);
    return OWM_OK;
}

static owm_status run_active(struct lnd_double *node, struct words *words)
{
    struct channel *channel = named(node, words);
    if (!channel) return OWM_E_NOTFOUND;
    channel->active = word_yes(words, 2);
    channel_save(node, channel);
    channel_event(node, channel,
                  channel->active ? LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__ACTIVE_CHANNEL
                                  : LNRPC__CHANNEL_EVENT_UPDATE__UPDATE_TYPE__INACTIVE_CHANNEL);
    return OWM_OK;
}

static owm_status run_flags(struct lnd_double *node, struct words *words)
{
    struct channel *channel = named(node, words);
    if (!channel) return OWM_E_NOTFOUND;
    snprintf(channel->flags, sizeof channel->flags, "%s", words->word[2]);
    channel_save(node, channel);
    return OWM_OK;
}

static owm_status run_close(struct lnd_double *node, struct words *words)
{
    static const char *const names[] = {"", "us", "peer", "force-us", "force-peer", "breach"};
    struct channel *channel = named(node, words);
    if (!channel) return OWM_E_NOTFOUND;
    if (channel->state != CHANNEL_OPEN || channel->close != CLOSE_NONE)
        return wrong(words, "close: it is not open");
    for (int close = CLOSE_US; close <= CLOSE_BREACH; close++)
        if (strcmp(words->word[2], names[close]) == 0) {
            channel_close(node, channel, (enum close_kind)close);
            return OWM_OK;
        }
    return wrong(words, "close: us, peer, force-us, force-peer or breach");
}

static owm_status run_channel_state(struct lnd_double *node, struct words *words)
{
    static const char *const names[] = {"pending", "open", "closing", "forced", "closed"};
    struct channel *channel = named(node, words);
    if (!channel) return OWM_E_NOTFOUND;
    fprintf(words->out, "%s", names[channel->state]);
    return OWM_OK;
}

const struct command channel_commands[] = {
    {"channel", 3, run_channel},
    {"channels", 2, run_channels},
    {"move", 3, run_move},
    {"hold", 3, run_hold},
    {"active", 3, run_active},
    {"flags", 3, run_flags},
    {"close", 3, run_close},
    {"channel-state", 2, run_channel_state},
    {NULL, 0, NULL},
};
