/* channel.c: opening, finding and closing a rig's channels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "rig.h"

#define WAIT_MS         60000
#define FEE_SATS_PER_VB "2"

owm_status rig_connect(const struct daemon *from, const struct daemon *to, struct owm_error *error)
{
    char uri[OWM_LIGHTNING_TEXT_BYTES];
    struct owm_error said = {""};
    daemon_uri(to, uri);
    owm_status status = daemon_ask(from, DAEMON_WORDS("connect", uri), NULL, &said);
    if (status == OWM_OK || strstr(said.text, "already connected")) return OWM_OK;
    return owm_fail(error, status, "%s", said.text);
}

/* Whether a channel that `from` opened to `to` stands in this list: with the funding point `point`
 * and usable, or, where point is NULL, any. */
static bool listed(const json_t *channels, const struct daemon *to, const char *point)
{
    size_t i;
    const json_t *channel;
    json_array_foreach(channels, i, channel)
    {
        const char *peer = json_string_value(json_object_get(channel, "remote_pubkey"));
        const char *at = json_string_value(json_object_get(channel, "channel_point"));
        if (!peer || !at || strcmp(peer, to->key)) continue;
        if (!point && json_is_true(json_object_get(channel, "initiator"))) return true;
        if (point && !strcmp(at, point) && json_is_true(json_object_get(channel, "active")))
            return true;
    }
    return false;
}

static bool opening(const json_t *pending, const struct daemon *to)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(pending, "pending_open_channels"), i, entry)
    {
        const json_t *channel = json_object_get(entry, "channel");
        const char *peer = json_string_value(json_object_get(channel, "remote_node_pub"));
        const char *by = json_string_value(json_object_get(channel, "initiator"));
        if (peer && by && !strcmp(peer, to->key) && strstr(by, "LOCAL")) return true;
    }
    return false;
}

static bool active(const struct daemon *from, const struct daemon *to, const char *point)
{
    json_t *reply = NULL;
    if (daemon_ask(from, DAEMON_WORDS("listchannels", "--peer", to->key), &reply, NULL))
        return false;
    bool there = listed(json_object_get(reply, "channels"), to, point);
    json_decref(reply);
    return there;
}

bool rig_can_pay(const struct daemon *from, const struct daemon *to)
{
    const char *const words[] = {"queryroutes", "--dest", to->key, "--amt", "1", NULL};
    return daemon_ask(from, words, NULL, NULL) == OWM_OK;
}

/* Usable is later than active: the payer's graph has to know the channel, too. */
static bool usable(const struct rig_channel *channel, const char *point)
{
    return active(channel->from, channel->to, point) && active(channel->to, channel->from, point)
           && rig_can_pay(channel->from, channel->to);
}

bool rig_has_channel(const struct daemon *from, const struct daemon *to)
{
    json_t *reply = NULL;
    if (active(from, to, NULL)) return true;
    if (daemon_ask(from, DAEMON_WORDS("pendingchannels"), &reply, NULL)) return false;
    bool there = opening(reply, to);
    json_decref(reply);
    return there;
}

/* Seconds may pass until a peer that has just connected, or a wallet behind the tip, can. */
static owm_status fund(const struct rig_channel *channel, json_t **reply, struct owm_error *error)
{
    char sats[24], push[24];
    uint64_t give_up_ms = owm_clock_mono_ms() + WAIT_MS;
    snprintf(sats, sizeof sats, "%lld", (long long)channel->sats);
    snprintf(push, sizeof push, "%lld", (long long)channel->push_sats);
    for (;;) {
        owm_status status = rig_connect(channel->from, channel->to, error);
        if (status == OWM_OK)
            status = daemon_ask(channel->from,
                                DAEMON_WORDS("openchannel", "--sat_per_vbyte", FEE_SATS_PER_VB,
                                             "--node_key", channel->to->key, "--local_amt", sats,
                                             "--push_amt", push),
                                reply, error);
        if (status != OWM_E_STATE || owm_clock_mono_ms() > give_up_ms) return status;
        owm_clock_sleep_ms(300);
    }
}

/* lncli names the transaction; the output is found in the list of those that open. */
static owm_status point_of(const struct daemon *from, const char *txid, char *point,
                           struct owm_error *error)
{
    json_t *reply = NULL;
    size_t i;
    const json_t *entry;
    owm_status status = daemon_ask(from, DAEMON_WORDS("pendingchannels"), &reply, error);
    if (status) return status;
    *point = 0;
    json_array_foreach(json_object_get(reply, "pending_open_channels"), i, entry)
    {
        const json_t *channel = json_object_get(entry, "channel");
        const char *at = json_string_value(json_object_get(channel, "channel_point"));
        if (at && !strncmp(at, txid, strlen(txid)))
            snprintf(point, OWM_LIGHTNING_POINT_TEXT, "%s", at);
    }
    json_decref(reply);
    return *point ? OWM_OK
                  : owm_fail(error, OWM_E_NOTFOUND, "%s has no channel of %s", from->name, txid);
}

owm_status rig_open(struct rig *rig, const struct rig_channel *channel, char *point,
                    struct owm_error *error)
{
    char own[OWM_LIGHTNING_POINT_TEXT];
    json_t *reply = NULL;
    const char *txid;
    if (!point) point = own;
    owm_status status = fund(channel, &reply, error);
    if (status == OWM_OK) status = owm_json_string(reply, "", "funding_txid", &txid, error);
    if (status == OWM_OK) status = point_of(channel->from, txid, point, error);
    json_decref(reply);
    if (status == OWM_OK) status = rig_mine(rig, RIG_CONFIRMATIONS, error);
    uint64_t give_up_ms = owm_clock_mono_ms() + WAIT_MS;
    while (status == OWM_OK && !usable(channel, point)) {
        if (owm_clock_mono_ms() > give_up_ms)
            return owm_fail(error, OWM_E_TIMEOUT, "channel %s between %s and %s carries nothing",
                            point, channel->from->name, channel->to->name);
        owm_clock_sleep_ms(100);
    }
    return status;
}

owm_status rig_close(struct rig *rig, const struct daemon *by, const char *point,
                     struct owm_error *error)
{
    unsigned waiting = 0;
    owm_status status = daemon_ask(
        by, DAEMON_WORDS("closechannel", "--sat_per_vbyte", FEE_SATS_PER_VB, "--chan_point", point),
        NULL, error);
    uint64_t give_up_ms = owm_clock_mono_ms() + WAIT_MS;
    while (status == OWM_OK && !waiting) {
        status = chain_waiting(&rig->chain, &waiting, error);
        if (owm_clock_mono_ms() > give_up_ms)
            return owm_fail(error, OWM_E_TIMEOUT, "the close of %s is not in the mempool", point);
        owm_clock_sleep_ms(50);
    }
    return status ? status : rig_mine(rig, RIG_CONFIRMATIONS, error);
}
