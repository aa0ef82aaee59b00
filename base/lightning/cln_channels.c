/* cln_channels.c: Core Lightning's channels as lightning.h tells them, and what changes in them.
 *
 * 1. Its balances are gross: to_us_msat is ours whoever pays for the commitment, the rest of
 *    total_msat is the peer's. An HTLC is still in the balance of the side that offered it; we
 *    count it as neither's, until it is on its way out (its state says REMOVE: what it moved has
 *    moved).
 * 2. A channel has confirmations by the block in its short_channel_id, which it gets when it is
 *    locked in; a zero-conf one has none before.
 * 3. listpeerchannels has the channels until 100 blocks after all their outputs are resolved, then
 *    listclosedchannels has them. They are read in this order.
 * 4. Who closed how is in the state, and once the funding is spent, in the words of `status`. Of a
 *    channel long closed only the cause is left: of one that we closed, not whether the peer
 *    agreed.
 * 5. It has no subscription to balances. The watch reads the list every few seconds, and
 *    compares.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cln.h"

#define POLL_MS 3000 /* of a watch */

#define FILTER                                                                                     \
    "{\"channels\": [{\"peer_id\": true, \"peer_connected\": true, \"state\": true,"               \
    " \"short_channel_id\": true, \"channel_id\": true, \"funding_txid\": true,"                   \
    " \"funding_outnum\": true, \"private\": true, \"opener\": true, \"closer\": true,"            \
    " \"to_us_msat\": true, \"total_msat\": true, \"their_reserve_msat\": true,"                   \
    " \"lost_state\": true, \"scratch_txid\": true, \"status\": true,"                             \
    " \"funding\": {\"pushed_msat\": true},"                                                       \
    " \"htlcs\": [{\"direction\": true, \"amount_msat\": true, \"state\": true}]}]}"

/* An empty row; NULL: out of memory. */
static struct owm_lightning_channel *add(struct cln_list *list)
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

static owm_status read_point(const json_t *row, struct owm_lightning_point *point)
{
    const json_t *index = json_object_get(row, "funding_outnum");
    if (!json_is_integer(index) || json_integer_value(index) < 0
        || json_integer_value(index) > UINT32_MAX)
        return OWM_E_PROTO;
    point->index = (uint32_t)json_integer_value(index);
    return cln_read_txid(json_object_get(row, "funding_txid"), point->txid);
}

/* "block x transaction x output", as 103x1x0. */
static owm_status read_short_id(const char *text, uint64_t *id)
{
    static const uint64_t limits[] = {0xffffff, 0xffffff, 0xffff};
    static const unsigned shifts[] = {40, 16, 0};
    *id = 0;
    for (size_t part = 0; part < 3; part++) {
        size_t digits = strspn(text, "0123456789");
        uint64_t number = 0;
        if (digits == 0 || digits > 8) return OWM_E_PROTO;
        for (size_t i = 0; i < digits; i++) number = number * 10 + (uint64_t)(text[i] - '0');
        if (number > limits[part] || text[digits] != (part < 2 ? 'x' : 0)) return OWM_E_PROTO;
        *id |= number << shifts[part];
        text += digits + 1;
    }
    return OWM_OK;
}

/* Begin a row. *channel NULL: a peer that was not asked for, or one of old that is not known. */
static owm_status begin(struct cln_list *list, const json_t *row,
                        struct owm_lightning_channel **channel)
{
    uint8_t peer[OWM_LIGHTNING_KEY_BYTES] = {0};
    struct owm_lightning_point point;
    const char *scid = cln_text(row, "short_channel_id");
    uint64_t short_id = 0;
    bool known;
    *channel = NULL;
    owm_status status = cln_read_hex(row, "peer_id", peer, sizeof peer, &known);
    if (status == OWM_OK) status = read_point(row, &point);
    if (status == OWM_OK && scid[0]) status = read_short_id(scid, &short_id);
    if (status != OWM_OK) return status;
    if (!known || (list->peer && memcmp(peer, list->peer, sizeof peer) != 0)) return OWM_OK;
    struct owm_lightning_channel *added = add(list);
    if (!added) return OWM_E_NOMEM;
    memcpy(added->peer, peer, sizeof peer);
    added->point = point;
    added->short_id = short_id;
    added->opened_by_peer = strcmp(cln_text(row, "opener"), "remote") == 0;
    added->closed_by_peer = strcmp(cln_text(row, "closer"), "remote") == 0;
    added->is_private = json_is_true(json_object_get(row, "private"));
    *channel = added;
    return OWM_OK;
}

/* --------------------------------------------------------------------------------- open */

static const struct state {
    const char *name;
    enum owm_lightning_channel_state state;
    enum owm_lightning_close_kind kind;
} states[] = {
    {"CHANNELD_NORMAL", OWM_LIGHTNING_NORMAL, OWM_LIGHTNING_CLOSE_NONE},
    {"OPENINGD", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE},
    {"CHANNELD_AWAITING_LOCKIN", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE},
    {"CHANNELD_AWAITING_SPLICE", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE},
    {"DUALOPEND_OPEN_INIT", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE},
    {"DUALOPEND_OPEN_COMMITTED", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE},
    {"DUALOPEND_OPEN_COMMIT_READY", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE},
    {"DUALOPEND_AWAITING_LOCKIN", OWM_LIGHTNING_OPENING, OWM_LIGHTNING_CLOSE_NONE},
    {"CHANNELD_SHUTTING_DOWN", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_COOPERATIVE},
    {"CLOSINGD_SIGEXCHANGE", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_COOPERATIVE},
    {"CLOSINGD_COMPLETE", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_COOPERATIVE},
    {"AWAITING_UNILATERAL", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_FORCED_BY_US},
    {"FUNDING_SPEND_SEEN", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_NONE},
    {"ONCHAIN", OWM_LIGHTNING_CLOSING, OWM_LIGHTNING_CLOSE_NONE},
    {"CLOSED", OWM_LIGHTNING_CLOSED, OWM_LIGHTNING_CLOSE_NONE},
};

/* What onchaind says it follows. */
static enum owm_lightning_close_kind kind_of_words(const json_t *row)
{
    static const struct {
        const char *words;
        enum owm_lightning_close_kind kind;
    } table[] = {
        {"Tracking our own unilateral close", OWM_LIGHTNING_CLOSE_FORCED_BY_US},
        {"Tracking their unilateral close", OWM_LIGHTNING_CLOSE_FORCED_BY_PEER},
        {"Tracking mutual close", OWM_LIGHTNING_CLOSE_COOPERATIVE},
        {"Tracking their illegal close", OWM_LIGHTNING_CLOSE_BREACH},
    };
    const json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(row, "status"), i, entry)
    {
        const char *text = json_is_string(entry) ? json_string_value(entry) : "";
        for (size_t k = 0; k < sizeof table / sizeof table[0]; k++)
            if (strstr(text, table[k].words)) return table[k].kind;
    }
    return OWM_LIGHTNING_CLOSE_NONE;
}

static void read_state(const json_t *row, struct owm_lightning_channel *channel)
{
    const char *name = cln_text(row, "state");
    struct state found = {.state = OWM_LIGHTNING_BROKEN}; /* one that we have not heard of */
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i].name, name) == 0) found = states[i];
    channel->state = found.state;
    channel->close_kind = found.kind;
    bool open = found.state == OWM_LIGHTNING_NORMAL || found.state == OWM_LIGHTNING_OPENING;
    if (json_is_true(json_object_get(row, "lost_state")) && open)
        channel->state = OWM_LIGHTNING_BROKEN;
    if (found.state == OWM_LIGHTNING_NORMAL && channel->confirmations == 0)
        channel->state = OWM_LIGHTNING_OPENING;
    if (channel->state != OWM_LIGHTNING_NORMAL)
        snprintf(channel->note, sizeof channel->note, "%s", name);
    if (found.state == OWM_LIGHTNING_CLOSING && found.kind == OWM_LIGHTNING_CLOSE_NONE)
        channel->close_kind = kind_of_words(row);
    if (channel->close_kind == OWM_LIGHTNING_CLOSE_FORCED_BY_PEER
        || channel->close_kind == OWM_LIGHTNING_CLOSE_BREACH)
        channel->closed_by_peer = true;
}

/* scratch_txid is the transaction with which we would go, or have gone, to the chain. */
static void read_closing_txid(const json_t *row, struct owm_lightning_channel *channel)
{
    const char *name = cln_text(row, "state");
    bool agreed = channel->close_kind == OWM_LIGHTNING_CLOSE_COOPERATIVE
                  && strncmp(name, "CHANNELD_", 9) != 0
                  && strcmp(name, "CLOSINGD_SIGEXCHANGE") != 0;
    if (agreed || channel->close_kind == OWM_LIGHTNING_CLOSE_FORCED_BY_US)
        if (cln_read_txid(json_object_get(row, "scratch_txid"), channel->closing_txid) != OWM_OK)
            memset(channel->closing_txid, 0, 32);
}

static owm_status read_htlcs(const json_t *row, int64_t *in, int64_t *out)
{
    const json_t *htlc;
    size_t i;
    *in = *out = 0;
    json_array_foreach(json_object_get(row, "htlcs"), i, htlc)
    {
        int64_t msat;
        int64_t *side = strcmp(cln_text(htlc, "direction"), "out") == 0 ? out : in;
        if (strstr(cln_text(htlc, "state"), "_REMOVE_")) continue;
        owm_status status = cln_read_msat(htlc, "amount_msat", &msat, NULL);
        if (status != OWM_OK || *side > INT64_MAX / 4 - msat) return OWM_E_PROTO;
        *side += msat;
    }
    return OWM_OK;
}

static owm_status read_balances(const json_t *row, struct owm_lightning_channel *channel)
{
    int64_t ours, total, in, out;
    bool there;
    owm_status status = cln_read_msat(row, "to_us_msat", &ours, &there);
    if (status == OWM_OK) status = cln_read_msat(row, "total_msat", &total, &there);
    if (status == OWM_OK) status = read_htlcs(row, &in, &out);
    if (status == OWM_OK)
        status = cln_read_msat(row, "their_reserve_msat", &channel->remote_reserve_msat, &there);
    if (status == OWM_OK)
        status = cln_read_msat(json_object_get(row, "funding"), "pushed_msat",
                               &channel->pushed_msat, &there);
    if (status != OWM_OK || ours > total) return OWM_E_PROTO;
    channel->capacity_msat = total;
    channel->local_msat = ours > out ? ours - out : 0;
    channel->remote_msat = total - ours > in ? total - ours - in : 0;
    channel->unsettled_msat = in + out;
    return OWM_OK;
}

static uint32_t confirmations(uint64_t short_id, uint32_t height)
{
    uint64_t block = short_id >> 40;
    return block > 0 && block <= height ? (uint32_t)(height - block + 1) : 0;
}

static owm_status read_open(const json_t *row, struct cln_list *list)
{
    struct owm_lightning_channel *channel;
    if (!json_object_get(row, "funding_txid")) return OWM_OK; /* it is only being talked about */
    owm_status status = begin(list, row, &channel);
    if (status != OWM_OK || !channel) return status;
    channel->confirmations = confirmations(channel->short_id, list->height);
    channel->active = json_is_true(json_object_get(row, "peer_connected"));
    read_state(row, channel);
    if (channel->state != OWM_LIGHTNING_NORMAL) channel->active = false;
    read_closing_txid(row, channel);
    return read_balances(row, channel);
}

owm_status cln_read_channels(const json_t *result, struct cln_list *list)
{
    const json_t *rows = json_object_get(result, "channels"), *row;
    owm_status status = json_is_array(rows) ? OWM_OK : OWM_E_PROTO;
    size_t i;
    json_array_foreach(rows, i, row) if (status == OWM_OK) status = read_open(row, list);
    return status;
}

owm_status cln_read_channel_id(const json_t *result, const struct owm_lightning_point *point,
                               char id[65], uint8_t peer[OWM_LIGHTNING_KEY_BYTES])
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(result, "channels"), i, row)
    {
        struct owm_lightning_point at;
        uint8_t raw[32];
        if (read_point(row, &at) != OWM_OK || at.index != point->index
            || memcmp(at.txid, point->txid, 32) != 0)
            continue;
        owm_status status = cln_read_hex(row, "channel_id", raw, sizeof raw, NULL);
        if (status == OWM_OK)
            status = cln_read_hex(row, "peer_id", peer, OWM_LIGHTNING_KEY_BYTES, NULL);
        if (status == OWM_OK) owm_hex_encode(raw, sizeof raw, id);
        return status;
    }
    return OWM_E_NOTFOUND;
}

/* ------------------------------------------------------------------------------- closed */

static enum owm_lightning_close_kind kind_of_cause(const char *cause)
{
    if (strcmp(cause, "remote") == 0) return OWM_LIGHTNING_CLOSE_COOPERATIVE;
    if (strcmp(cause, "onchain") == 0) return OWM_LIGHTNING_CLOSE_FORCED_BY_PEER;
    if (strcmp(cause, "local") == 0 || strcmp(cause, "protocol") == 0)
        return OWM_LIGHTNING_CLOSE_FORCED_BY_US;
    return OWM_LIGHTNING_CLOSE_NONE;
}

static owm_status read_closed(const json_t *row, struct cln_list *list)
{
    struct owm_lightning_channel *channel;
    bool there;
    owm_status status = begin(list, row, &channel);
    if (status != OWM_OK || !channel) return status;
    const char *cause = cln_text(row, "close_cause");
    const json_t *txid = json_object_get(row, "last_commitment_txid");
    channel->state = OWM_LIGHTNING_CLOSED;
    channel->close_kind = kind_of_cause(cause);
    snprintf(channel->note, sizeof channel->note, "close cause: %s", cause);
    if (channel->close_kind == OWM_LIGHTNING_CLOSE_FORCED_BY_PEER)
        channel->closed_by_peer = true;
    else if (txid && cln_read_txid(txid, channel->closing_txid) != OWM_OK)
        return OWM_E_PROTO;
    status = cln_read_msat(row, "total_msat", &channel->capacity_msat, NULL);
    if (status == OWM_OK)
        status = cln_read_msat(row, "final_to_us_msat", &channel->local_msat, NULL);
    if (status == OWM_OK)
        status = cln_read_msat(row, "funding_pushed_msat", &channel->pushed_msat, &there);
    return status;
}

owm_status cln_read_closed(const json_t *result, struct cln_list *list)
{
    const json_t *rows = json_object_get(result, "closedchannels"), *row;
    owm_status status = json_is_array(rows) ? OWM_OK : OWM_E_PROTO;
    size_t i;
    json_array_foreach(rows, i, row) if (status == OWM_OK) status = read_closed(row, list);
    return status;
}

/* ---------------------------------------------------------------------------------- all */

static json_t *peer_params(const uint8_t *peer)
{
    char hex[2 * OWM_LIGHTNING_KEY_BYTES + 1];
    if (!peer) return json_object();
    owm_hex_encode(peer, OWM_LIGHTNING_KEY_BYTES, hex);
    return json_pack("{s:s}", "id", hex);
}

static owm_status read_height(struct cln *cln, struct cln_list *list, struct owm_error *error)
{
    struct owm_lightning_info info;
    owm_status status = cln_info(cln, &info, error);
    if (status != OWM_OK) return status;
    list->height = info.block_height;
    if (info.synced_to_chain) return OWM_OK;
    return owm_fail(error, OWM_E_AGAIN,
                    "Core Lightning at %s is behind the chain (at block %" PRIu32
                    "); what it says of channels is old",
                    cln->path, info.block_height);
}

static owm_status list_with(struct cln *cln, struct cln_list *list, enum cln_method method,
                            struct owm_error *error)
{
    bool open = method == CLN_listpeerchannels;
    struct cln_ask ask = {
        .method = method, .params = peer_params(list->peer), .filter = open ? FILTER : NULL};
    struct cln_reply reply;
    owm_status status = cln_call(cln, ask, &reply, error);
    if (status == OWM_OK) {
        status = open ? cln_read_channels(reply.result, list) : cln_read_closed(reply.result, list);
        if (status != OWM_OK) cln_nonsense(method, status, error);
    }
    cln_reply_free(&reply);
    return status;
}

owm_status cln_channels(owm_lightning *lightning, const uint8_t *peer, bool closed,
                        struct owm_lightning_channel **channels, size_t *count,
                        struct owm_error *error)
{
    struct cln *cln = (struct cln *)lightning;
    struct cln_list list = {.peer = peer};
    owm_status status = read_height(cln, &list, error);
    if (status == OWM_OK) status = list_with(cln, &list, CLN_listpeerchannels, error);
    if (status == OWM_OK && closed) status = list_with(cln, &list, CLN_listclosedchannels, error);
    if (status != OWM_OK) {
        free(list.channels);
        return status;
    }
    owm_lightning_channels_sort(list.channels, list.count);
    size_t kept = 0; /* of two rows of one channel, the later state */
    for (size_t i = 0; i < list.count; i++)
        if (kept == 0
            || memcmp(&list.channels[kept - 1].point, &list.channels[i].point,
                      sizeof list.channels[i].point)
                   != 0)
            list.channels[kept++] = list.channels[i];
    *channels = list.channels;
    *count = kept;
    return OWM_OK;
}

/* -------------------------------------------------------------------------------- watch */

/* The peers whose channels were found changed wait in `told` until they are asked for. */
struct channel_watch {
    struct owm_lightning_watch base; /* first */
    struct cln *cln;
    struct owm_lightning_channel *channels;
    size_t count;
    uint8_t (*told)[OWM_LIGHTNING_KEY_BYTES];
    size_t told_count;
    uint64_t looked_ms;
};

owm_status cln_watch_channels(owm_lightning *lightning, struct owm_lightning_watch **out,
                              struct owm_error *error)
{
    struct channel_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
    watch->cln = (struct cln *)lightning;
    owm_status status =
        cln_channels(lightning, NULL, false, &watch->channels, &watch->count, error);
    watch->looked_ms = owm_clock_mono_ms();
    if (status == OWM_OK)
        *out = &watch->base;
    else
        free(watch);
    return status;
}

static int order(const struct owm_lightning_channel *a, const struct owm_lightning_channel *b)
{
    int by_txid = memcmp(a->point.txid, b->point.txid, sizeof a->point.txid);
    return by_txid != 0 ? by_txid
                        : (a->point.index > b->point.index) - (a->point.index < b->point.index);
}

/* In what a reader of stakes would see; a new block, or a peer that comes and goes, is nothing. */
static bool differs(const struct owm_lightning_channel *a, const struct owm_lightning_channel *b)
{
    return a->state != b->state || a->close_kind != b->close_kind || a->short_id != b->short_id
           || a->capacity_msat != b->capacity_msat || a->local_msat != b->local_msat
           || a->remote_msat != b->remote_msat || a->unsettled_msat != b->unsettled_msat;
}

static void tell(struct channel_watch *watch, const struct owm_lightning_channel *of)
{
    memcpy(watch->told[watch->told_count++], of->peer, sizeof of->peer);
}

/* Both lists are sorted. told has room for all of both. */
static void compare(struct channel_watch *watch, const struct owm_lightning_channel *now,
                    size_t count)
{
    for (size_t old = 0, new = 0; old < watch->count || new < count;) {
        const struct owm_lightning_channel *was = &watch->channels[old], *is = &now[new];
        int which = old == watch->count ? 1 : new == count ? -1 : order(was, is);
        if (which != 0)
            tell(watch, which < 0 ? was : is);
        else if (differs(was, is))
            tell(watch, is);
        old += which <= 0;
        new += which >= 0;
    }
}

static owm_status look(struct channel_watch *watch, struct owm_error *error)
{
    struct owm_lightning_channel *now;
    size_t count;
    owm_status status = cln_channels(&watch->cln->base, NULL, false, &now, &count, error);
    watch->looked_ms = owm_clock_mono_ms();
    if (status == OWM_E_AGAIN) return OWM_OK; /* it is catching up: an old view is no news */
    if (status != OWM_OK) return status == OWM_E_TIMEOUT ? OWM_E_NET : status;
    void *told = malloc((watch->count + count + 1) * sizeof *watch->told);
    if (!told) {
        free(now);
        return owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
    }
    free(watch->told);
    watch->told = told;
    watch->told_count = 0;
    compare(watch, now, count);
    free(watch->channels);
    watch->channels = now;
    watch->count = count;
    return OWM_OK;
}

owm_status cln_watch_next(struct owm_lightning_watch *base, unsigned wait_ms,
                          uint8_t peer[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error)
{
    struct channel_watch *watch = (struct channel_watch *)base;
    uint64_t until_ms = owm_clock_mono_ms() + wait_ms;
    while (watch->told_count == 0) {
        uint64_t now_ms = owm_clock_mono_ms(), due_ms = watch->looked_ms + POLL_MS;
        if (due_ms > until_ms) {
            if (until_ms > now_ms) owm_clock_sleep_ms((uint32_t)(until_ms - now_ms));
            return owm_fail(error, OWM_E_TIMEOUT, "Core Lightning: no channel has changed");
        }
        if (due_ms > now_ms) owm_clock_sleep_ms((uint32_t)(due_ms - now_ms));
        owm_status status = look(watch, error);
        if (status != OWM_OK) return status;
    }
    memcpy(peer, watch->told[--watch->told_count], OWM_LIGHTNING_KEY_BYTES);
    return OWM_OK;
}

void cln_watch_close(struct owm_lightning_watch *base)
{
    struct channel_watch *watch = (struct channel_watch *)base;
    free(watch->channels);
    free(watch->told);
    free(watch);
}
