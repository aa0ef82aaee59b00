/* cln_funds.c: Core Lightning's own money: force-closing, opening channels, what the wallet has.
 *
 * `close` has no force: with the peer online it ends in an agreement within a second. So the peer
 * is disconnected first. Should it be back before the close begins, the channel is closed all the
 * same, by agreement: the node is evicted, only cheaper for it. The log says so.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "cln.h"

#define SATS_MSAT            1000
#define CODE_NO_FUNDS        301
#define CODE_NO_RESERVE      313
#define UNILATERAL_TIMEOUT_S 1

/* -------------------------------------------------------------------------- force close */

/* Whether it may be closed: OWM_OK it is there and open. */
static owm_status judge(owm_lightning *lightning, const struct owm_lightning_point *point,
                        uint8_t closing_txid[32], struct owm_error *error)
{
    struct owm_lightning_channel *channels, *found = NULL;
    size_t count;
    owm_status status = cln_channels(lightning, NULL, true, &channels, &count, error);
    if (status == OWM_E_AGAIN) return OWM_OK; /* behind the chain, it can close all the same */
    if (status != OWM_OK) return status;
    for (size_t i = 0; i < count && !found; i++)
        if (channels[i].point.index == point->index
            && memcmp(channels[i].point.txid, point->txid, sizeof point->txid) == 0)
            found = &channels[i];
    if (!found) {
        status = owm_fail(error, OWM_E_NOTFOUND, "Core Lightning: it knows no such channel");
    } else if (found->state == OWM_LIGHTNING_CLOSING || found->state == OWM_LIGHTNING_CLOSED) {
        memcpy(closing_txid, found->closing_txid, 32);
        status = owm_fail(error, OWM_E_EXISTS,
                          "Core Lightning: the channel is closing or closed already");
    }
    free(channels);
    return status;
}

static owm_status find_id(struct cln *cln, const struct owm_lightning_point *point, char id[65],
                          uint8_t peer[OWM_LIGHTNING_KEY_BYTES], struct owm_error *error)
{
    struct cln_ask ask = {
        .method = CLN_listpeerchannels,
        .params = json_object(),
        .filter = "{\"channels\": [{\"peer_id\": true, \"channel_id\": true,"
                  " \"funding_txid\": true, \"funding_outnum\": true}]}",
    };
    struct cln_reply reply;
    owm_status status = cln_call(cln, ask, &reply, error);
    if (status == OWM_OK) status = cln_read_channel_id(reply.result, point, id, peer);
    cln_reply_free(&reply);
    if (status == OWM_E_NOTFOUND)
        return owm_fail(error, status, "Core Lightning: it knows no such channel");
    return cln_nonsense(CLN_listpeerchannels, status, error);
}

/* A peer that is not connected needs no disconnecting. */
static owm_status disconnect(struct cln *cln, const uint8_t peer[OWM_LIGHTNING_KEY_BYTES],
                             struct owm_error *error)
{
    char hex[2 * OWM_LIGHTNING_KEY_BYTES + 1];
    struct cln_reply reply;
    owm_hex_encode(peer, OWM_LIGHTNING_KEY_BYTES, hex);
    struct cln_ask ask = {.method = CLN_disconnect,
                          .params = json_pack("{s:s, s:b}", "id", hex, "force", 1)};
    owm_status status = cln_call(cln, ask, &reply, error);
    cln_reply_free(&reply);
    return status == OWM_E_STATE || status == OWM_E_TIMEOUT ? OWM_OK : status;
}

static owm_status close_channel(struct cln *cln, const char *id, uint8_t closing_txid[32],
                                struct owm_error *error)
{
    struct cln_reply reply;
    bool forced = true;
    struct cln_ask ask = {
        .method = CLN_close,
        .params = json_pack("{s:s, s:i}", "id", id, "unilateraltimeout", UNILATERAL_TIMEOUT_S)};
    owm_status status = cln_call(cln, ask, &reply, error);
    if (status == OWM_OK && strcmp(cln_text(reply.result, "type"), "unopened") == 0)
        status = owm_fail(error, OWM_E_NOTFOUND,
                          "Core Lightning: the channel was never opened, and is forgotten now");
    else if (status == OWM_OK)
        status =
            cln_nonsense(CLN_close, cln_read_close(reply.result, closing_txid, &forced), error);
    cln_reply_free(&reply);
    if (status == OWM_OK && !forced)
        owm_log(OWM_LOG_WARN,
                "cln_closed_by_agreement channel=%s reason=\"the peer was back in time\"", id);
    return status;
}

owm_status cln_force_close(owm_lightning *lightning, const struct owm_lightning_point *point,
                           uint8_t closing_txid[32], struct owm_error *error)
{
    struct cln *cln = (struct cln *)lightning;
    uint8_t peer[OWM_LIGHTNING_KEY_BYTES];
    char id[65];
    owm_status status = judge(lightning, point, closing_txid, error);
    if (status == OWM_OK) status = find_id(cln, point, id, peer, error);
    if (status == OWM_OK) status = disconnect(cln, peer, error);
    if (status == OWM_OK) status = close_channel(cln, id, closing_txid, error);
    return status;
}

/* ------------------------------------------------------------------------------ opening */

static owm_status connect_peer(struct cln *cln, const char *key_hex, const char *host,
                               struct owm_error *error)
{
    struct cln_reply reply;
    struct cln_ask ask = {.method = CLN_connect,
                          .params = json_pack("{s:s++}", "id", key_hex, "@", host)};
    owm_status status = cln_call(cln, ask, &reply, error);
    cln_reply_free(&reply);
    return status;
}

static owm_status read_funding(const json_t *result, struct owm_lightning_point *point)
{
    const json_t *index = json_object_get(result, "outnum");
    if (!json_is_integer(index) || json_integer_value(index) < 0
        || json_integer_value(index) > UINT32_MAX)
        return OWM_E_PROTO;
    point->index = (uint32_t)json_integer_value(index);
    return cln_read_txid(json_object_get(result, "txid"), point->txid);
}

owm_status cln_open_channel(owm_lightning *lightning, const uint8_t *peer, const char *host,
                            int64_t capacity_sats, int64_t push_msat,
                            struct owm_lightning_point *point, struct owm_error *error)
{
    struct cln *cln = (struct cln *)lightning;
    char key_hex[2 * OWM_LIGHTNING_KEY_BYTES + 1];
    if (capacity_sats <= 0 || push_msat < 0 || push_msat % SATS_MSAT != 0)
        return owm_fail(error, OWM_E_ARG,
                        "Core Lightning: a channel's capacity is above 0, and whole sats are "
                        "pushed");
    owm_hex_encode(peer, OWM_LIGHTNING_KEY_BYTES, key_hex);
    owm_status status = connect_peer(cln, key_hex, host, error);
    if (status != OWM_OK) return status;
    struct cln_reply reply;
    struct cln_ask ask = {.method = CLN_fundchannel,
                          .params = json_pack("{s:s, s:I, s:I}", "id", key_hex, "amount",
                                              (json_int_t)capacity_sats, "push_msat",
                                              (json_int_t)push_msat)};
    status = cln_call(cln, ask, &reply, error);
    bool poor = reply.code == CODE_NO_FUNDS || reply.code == CODE_NO_RESERVE;
    if (status == OWM_OK)
        status = cln_nonsense(CLN_fundchannel, read_funding(reply.result, point), error);
    else if (status == OWM_E_STATE && poor)
        status = OWM_E_LIMIT;
    cln_reply_free(&reply);
    return status;
}

/* -------------------------------------------------------------------------------- funds */

owm_status cln_get_funds(owm_lightning *lightning, struct owm_lightning_funds *funds,
                         struct owm_error *error)
{
    struct cln_reply reply;
    struct cln_ask ask = {
        .method = CLN_listfunds,
        .params = json_object(),
        .filter = "{\"outputs\": [{\"amount_msat\": true, \"status\": true, \"reserved\": true}],"
                  " \"channels\": [{\"our_amount_msat\": true, \"amount_msat\": true,"
                  " \"state\": true}]}",
    };
    owm_status status = cln_call((struct cln *)lightning, ask, &reply, error);
    if (status == OWM_OK)
        status = cln_nonsense(CLN_listfunds, cln_read_funds(reply.result, funds), error);
    cln_reply_free(&reply);
    return status;
}
