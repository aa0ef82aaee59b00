/* lnd_funds.c: LND's own money: force-closing, opening channels, what the wallet has. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "lnd.h"

#define SATS_MSAT 1000

/* -------------------------------------------------------------------------- force close */

/* LND refused to close: because it is closing already, or does not know it? Its words differ from
 * release to release, its lists do not. */
static owm_status look_again(owm_lightning *lightning, const struct owm_lightning_point *point,
                             uint8_t closing_txid[32], struct owm_error *error)
{
    struct owm_lightning_channel *channels, *found = NULL;
    struct owm_error unused;
    size_t count;
    if (lnd_channels(lightning, NULL, true, &channels, &count, &unused) != OWM_OK)
        return OWM_E_STATE; /* with LND's own sentence */
    for (size_t i = 0; i < count && !found; i++)
        if (channels[i].point.index == point->index
            && memcmp(channels[i].point.txid, point->txid, sizeof point->txid) == 0)
            found = &channels[i];
    owm_status status = OWM_E_STATE;
    if (!found) {
        status = owm_fail(error, OWM_E_NOTFOUND, "LND: it knows no such channel");
    } else if (found->state == OWM_LIGHTNING_CLOSING || found->state == OWM_LIGHTNING_CLOSED) {
        memcpy(closing_txid, found->closing_txid, 32);
        status = owm_fail(error, OWM_E_EXISTS, "LND: the channel is closing or closed already");
    }
    free(channels);
    return status;
}

static owm_status read_close(const Lnrpc__CloseStatusUpdate *update, uint8_t closing_txid[32],
                             struct owm_error *error)
{
    ProtobufCBinaryData txid = {0};
    if (update->update_case == LNRPC__CLOSE_STATUS_UPDATE__UPDATE_CLOSE_PENDING)
        txid = update->close_pending->txid;
    else if (update->update_case == LNRPC__CLOSE_STATUS_UPDATE__UPDATE_CHAN_CLOSE)
        txid = update->chan_close->closing_txid;
    if (txid.len != 32) return lnd_nonsense(LND_CloseChannel, "no txid", error);
    memcpy(closing_txid, txid.data, 32);
    return OWM_OK;
}

/* The stream would go on until the transaction is in a block; leaving it changes nothing. */
owm_status lnd_force_close(owm_lightning *lightning, const struct owm_lightning_point *point,
                           uint8_t closing_txid[32], struct owm_error *error)
{
    struct lnd *lnd = (struct lnd *)lightning;
    Lnrpc__ChannelPoint at = LNRPC__CHANNEL_POINT__INIT;
    Lnrpc__CloseChannelRequest request = LNRPC__CLOSE_CHANNEL_REQUEST__INIT;
    at.funding_txid_case = LNRPC__CHANNEL_POINT__FUNDING_TXID_FUNDING_TXID_BYTES;
    at.funding_txid_bytes = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)point->txid};
    at.output_index = point->index;
    request.channel_point = &at;
    request.force = true;
    struct lnd_stream stream;
    owm_status status = lnd_stream_open(lnd, LND_CloseChannel, &request.base, &stream, error);
    if (status != OWM_OK) return status;
    ProtobufCMessage *reply;
    status = lnd_stream_read(&stream, lnd->timeout_ms, &reply, error);
    if (status == OWM_OK) {
        status = read_close((Lnrpc__CloseStatusUpdate *)reply, closing_txid, error);
        lnd_free(reply);
    }
    lnd_stream_close(&stream);
    if (status != OWM_E_STATE && status != OWM_E_NOTFOUND) return status;
    return look_again(lightning, point, closing_txid, error);
}

/* ------------------------------------------------------------------------------ opening */

static owm_status connect_peer(struct lnd *lnd, char *key_hex, const char *host,
                               struct owm_error *error)
{
    Lnrpc__LightningAddress address = LNRPC__LIGHTNING_ADDRESS__INIT;
    Lnrpc__ConnectPeerRequest request = LNRPC__CONNECT_PEER_REQUEST__INIT;
    ProtobufCMessage *reply;
    struct owm_error refusal = {0};
    address.pubkey = key_hex;
    address.host = (char *)host;
    request.addr = &address;
    request.timeout = (lnd->timeout_ms + 999) / 1000;
    owm_status status = lnd_call(lnd, LND_ConnectPeer, &request.base, &reply, &refusal);
    lnd_free(reply);
    if (status == OWM_OK || strstr(refusal.text, "already connected to peer")) return OWM_OK;
    return owm_fail(error, status, "%s", refusal.text);
}

static owm_status read_point(const Lnrpc__ChannelPoint *from, struct owm_lightning_point *point,
                             struct owm_error *error)
{
    if (from->funding_txid_case != LNRPC__CHANNEL_POINT__FUNDING_TXID_FUNDING_TXID_BYTES
        || from->funding_txid_bytes.len != sizeof point->txid)
        return lnd_nonsense(LND_OpenChannelSync, "no txid", error);
    memcpy(point->txid, from->funding_txid_bytes.data, sizeof point->txid);
    point->index = from->output_index;
    return OWM_OK;
}

owm_status lnd_open_channel(owm_lightning *lightning, const uint8_t *peer, const char *host,
                            int64_t capacity_sats, int64_t push_msat,
                            struct owm_lightning_point *point, struct owm_error *error)
{
    struct lnd *lnd = (struct lnd *)lightning;
    char key_hex[2 * OWM_LIGHTNING_KEY_BYTES + 1];
    if (capacity_sats <= 0 || push_msat < 0 || push_msat % SATS_MSAT != 0)
        return owm_fail(error, OWM_E_ARG,
                        "LND: a channel's capacity is above 0, and whole sats are pushed");
    owm_hex_encode(peer, OWM_LIGHTNING_KEY_BYTES, key_hex);
    owm_status status = connect_peer(lnd, key_hex, host, error);
    if (status != OWM_OK) return status;
    Lnrpc__OpenChannelRequest request = LNRPC__OPEN_CHANNEL_REQUEST__INIT;
    ProtobufCMessage *reply;
    request.node_pubkey =
        (ProtobufCBinaryData){.len = OWM_LIGHTNING_KEY_BYTES, .data = (uint8_t *)peer};
    request.local_funding_amount = capacity_sats;
    request.push_sat = push_msat / SATS_MSAT;
    struct owm_error refusal = {0};
    status = lnd_call(lnd, LND_OpenChannelSync, &request.base, &reply, &refusal);
    if (status == OWM_OK) status = read_point((Lnrpc__ChannelPoint *)reply, point, &refusal);
    lnd_free(reply);
    if (status == OWM_OK) return OWM_OK;
    bool poor = strstr(refusal.text, "not enough witness outputs")
                || strstr(refusal.text, "insufficient funds")
                || strstr(refusal.text, "reserved wallet balance");
    return owm_fail(error, poor ? OWM_E_LIMIT : status, "%s", refusal.text);
}

/* -------------------------------------------------------------------------------- funds */

static int64_t msat_of(const Lnrpc__Amount *amount)
{
    return amount && amount->msat <= INT64_MAX / 4 ? (int64_t)amount->msat : 0;
}

static owm_status wallet(struct lnd *lnd, struct owm_lightning_funds *funds,
                         struct owm_error *error)
{
    Lnrpc__WalletBalanceRequest request = LNRPC__WALLET_BALANCE_REQUEST__INIT;
    ProtobufCMessage *reply;
    owm_status status = lnd_call(lnd, LND_WalletBalance, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    const Lnrpc__WalletBalanceResponse *from = (Lnrpc__WalletBalanceResponse *)reply;
    funds->wallet_confirmed_msat = from->confirmed_balance * SATS_MSAT;
    funds->wallet_unconfirmed_msat = from->unconfirmed_balance * SATS_MSAT;
    lnd_free(reply);
    return OWM_OK;
}

static owm_status open_balance(struct lnd *lnd, struct owm_lightning_funds *funds,
                               struct owm_error *error)
{
    Lnrpc__ChannelBalanceRequest request = LNRPC__CHANNEL_BALANCE_REQUEST__INIT;
    ProtobufCMessage *reply;
    owm_status status = lnd_call(lnd, LND_ChannelBalance, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    const Lnrpc__ChannelBalanceResponse *from = (Lnrpc__ChannelBalanceResponse *)reply;
    funds->outbound_msat = msat_of(from->local_balance);
    funds->inbound_msat = msat_of(from->remote_balance);
    funds->pending_msat = msat_of(from->pending_open_local_balance);
    lnd_free(reply);
    return OWM_OK;
}

static owm_status closing_balance(struct lnd *lnd, struct owm_lightning_funds *funds,
                                  struct owm_error *error)
{
    Lnrpc__PendingChannelsRequest request = LNRPC__PENDING_CHANNELS_REQUEST__INIT;
    ProtobufCMessage *reply;
    owm_status status = lnd_call(lnd, LND_PendingChannels, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    funds->pending_msat +=
        ((Lnrpc__PendingChannelsResponse *)reply)->total_limbo_balance * SATS_MSAT;
    lnd_free(reply);
    return OWM_OK;
}

owm_status lnd_get_funds(owm_lightning *lightning, struct owm_lightning_funds *funds,
                         struct owm_error *error)
{
    struct lnd *lnd = (struct lnd *)lightning;
    owm_status status = wallet(lnd, funds, error);
    if (status == OWM_OK) status = open_balance(lnd, funds, error);
    if (status == OWM_OK) status = closing_balance(lnd, funds, error);
    return status;
}
