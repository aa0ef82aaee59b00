/* node_rpc.c: the node itself: its state, its peers, its wallet. */
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "double.h"

#define OPEN_FEE_SATS       200
#define CHANNEL_MIN_SATS    20000
#define CHANNEL_MAX_SATS    16777215 /* without wumbo */
#define ANCHOR_RESERVE_SATS 10000

void handle_get_state(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    (void)message;
    Lnrpc__GetStateResponse reply = LNRPC__GET_STATE_RESPONSE__INIT;
    reply.state = node->state;
    answer(call, &reply.base);
}

void handle_get_info(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    (void)message;
    char block[65], uri[KEY_TEXT + NAME_BYTES], *uris[] = {uri};
    uint8_t hash[32];
    owm_sha256(&node->height, sizeof node->height, hash);
    owm_hex_encode(hash, 32, block);
    snprintf(uri, sizeof uri, "%s@127.0.0.1:9735", node->key_text);
    Lnrpc__Chain chain = LNRPC__CHAIN__INIT, *chains[] = {&chain};
    chain.chain = "bitcoin";
    chain.network = node->network;
    Lnrpc__GetInfoResponse reply = LNRPC__GET_INFO_RESPONSE__INIT;
    reply.identity_pubkey = node->key_text;
    reply.alias = node->name;
    reply.block_height = node->height;
    reply.block_hash = block;
    reply.synced_to_chain = node->synced;
    reply.synced_to_graph = node->graph_synced;
    reply.uris = uris;
    reply.n_uris = 1;
    reply.version = node->version;
    reply.chains = chains;
    reply.n_chains = 1;
    answer(call, &reply.base);
}

/* ------------------------------------------------------------------------------------ peers */

static bool is_peer(const struct lnd_double *node, const uint8_t key[KEY_BYTES])
{
    for (size_t i = 0; i < node->peer_count; i++)
        if (memcmp(node->peers[i], key, KEY_BYTES) == 0) return true;
    for (size_t i = 0; i < node->channel_count; i++)
        if (node->channels[i].active && memcmp(node->channels[i].peer, key, KEY_BYTES) == 0)
            return true;
    return false;
}

void handle_connect_peer(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__ConnectPeerRequest *request = message;
    uint8_t key[KEY_BYTES];
    if (!request->addr) {
        refuse(call, OWM_RPC_UNKNOWN, "need: lnc pubkeyhash@hostname");
    } else if (strlen(request->addr->pubkey) != 2 * KEY_BYTES
               || owm_hex_decode(request->addr->pubkey, key, KEY_BYTES) != OWM_OK) {
        refuse(call, OWM_RPC_UNKNOWN, "malformed public key: invalid length");
    } else if (memcmp(key, node->key, KEY_BYTES) == 0) {
        refuse(call, OWM_RPC_UNKNOWN, "cannot make connection to self");
    } else if (is_peer(node, key)) {
        refuse(call, OWM_RPC_UNKNOWN, "already connected to peer: %s@%s", request->addr->pubkey,
               request->addr->host);
    } else if (node->peer_count == PEERS_MAX) {
        refuse(call, OWM_RPC_RESOURCE_EXHAUSTED, "the double has too many peers");
    } else {
        memcpy(node->peers[node->peer_count++], key, KEY_BYTES);
        Lnrpc__ConnectPeerResponse reply = LNRPC__CONNECT_PEER_RESPONSE__INIT;
        answer(call, &reply.base);
    }
}

/* ----------------------------------------------------------------------------------- wallet */

void handle_wallet_balance(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    (void)message;
    Lnrpc__WalletBalanceResponse reply = LNRPC__WALLET_BALANCE_RESPONSE__INIT;
    reply.total_balance = reply.confirmed_balance = node->wallet_sats;
    answer(call, &reply.base);
}

static void add(Lnrpc__Amount *amount, int64_t msat)
{
    amount->msat += (uint64_t)msat;
    amount->sat = amount->msat / 1000;
}

void handle_channel_balance(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    (void)message;
    Lnrpc__Amount local = LNRPC__AMOUNT__INIT, remote = local, unsettled_local = local,
                  unsettled_remote = local, pending_local = local, pending_remote = local;
    for (size_t i = 0; i < node->channel_count; i++) {
        const struct channel *channel = &node->channels[i];
        bool pending = channel->state == CHANNEL_PENDING;
        if (!pending && channel->state != CHANNEL_OPEN) continue;
        add(pending ? &pending_local : &local, channel->local_msat);
        add(pending ? &pending_remote : &remote, channel->remote_msat);
        if (channel->held_msat > 0) add(&unsettled_local, channel->held_msat);
        if (channel->held_msat < 0) add(&unsettled_remote, -channel->held_msat);
    }
    Lnrpc__ChannelBalanceResponse reply = LNRPC__CHANNEL_BALANCE_RESPONSE__INIT;
    reply.local_balance = &local;
    reply.remote_balance = &remote;
    reply.unsettled_local_balance = &unsettled_local;
    reply.unsettled_remote_balance = &unsettled_remote;
    reply.pending_open_local_balance = &pending_local;
    reply.pending_open_remote_balance = &pending_remote;
    answer(call, &reply.base);
}

static bool open_check(const struct lnd_double *node, const Lnrpc__OpenChannelRequest *request,
                       char text[200])
{
    int64_t amount = request->local_funding_amount;
    int64_t needed = amount + OPEN_FEE_SATS + ANCHOR_RESERVE_SATS;
    if (!node->synced)
        snprintf(text, 200, "channels cannot be created before the wallet is fully synced");
    else if (amount == 0)
        snprintf(text, 200, "local funding amount must be non-zero");
    else if (request->push_sat >= amount)
        snprintf(text, 200,
                 "amount pushed to remote peer for initial state must be below the "
                 "local funding amount");
    else if (amount > CHANNEL_MAX_SATS)
        snprintf(text, 200, "funding amount is too large, the max channel size is: 0.16777215 BTC");
    else if (amount < CHANNEL_MIN_SATS)
        snprintf(text, 200, "channel is too small, the minimum channel size is: %d SAT",
                 CHANNEL_MIN_SATS);
    else if (request->node_pubkey.len != KEY_BYTES)
        snprintf(text, 200, "malformed public key: invalid length: %zu", request->node_pubkey.len);
    else if (!is_peer(node, request->node_pubkey.data))
        snprintf(text, 200, "peer is not online");
    else if (needed > node->wallet_sats)
        snprintf(text, 200,
                 "not enough witness outputs to create funding transaction, need %lld.%08lld BTC "
                 "only have %lld.%08lld BTC available",
                 (long long)(amount / 100000000), (long long)(amount % 100000000),
                 (long long)(node->wallet_sats / 100000000),
                 (long long)(node->wallet_sats % 100000000));
    else
        return true;
    return false;
}

void handle_open_channel_sync(struct lnd_double *node, struct owm_rpc_call *call,
                              const void *message)
{
    const Lnrpc__OpenChannelRequest *request = message;
    char text[200];
    if (!open_check(node, request, text)) {
        refuse(call, OWM_RPC_UNKNOWN, "%s", text);
        return;
    }
    struct channel channel;
    memset(&channel, 0, sizeof channel);
    memcpy(channel.peer, request->node_pubkey.data, KEY_BYTES);
    channel.capacity_sats = request->local_funding_amount;
    channel.push_sats = request->push_sat;
    channel.type = LNRPC__COMMITMENT_TYPE__ANCHORS;
    channel.state = CHANNEL_PENDING;
    node->wallet_sats -= channel.capacity_sats + OPEN_FEE_SATS;
    journal_chain(node);
    channel_open(node, &channel);
    Lnrpc__ChannelPoint reply = LNRPC__CHANNEL_POINT__INIT;
    reply.funding_txid_case = LNRPC__CHANNEL_POINT__FUNDING_TXID_FUNDING_TXID_BYTES;
    reply.funding_txid_bytes = (ProtobufCBinaryData){.len = 32, .data = channel.point.txid};
    reply.output_index = channel.point.index;
    answer(call, &reply.base);
}
