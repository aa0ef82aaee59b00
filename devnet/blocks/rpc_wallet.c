/* rpc_wallet.c: the wallet: what it has, what it pays for, what became of it. It has no name, and
 * is always loaded and unlocked.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "rpc_internal.h"
#include "wallet.h"

#define SATS           1e8
#define SATS_PER_VBYTE 1e3 /* Of a rate in sat/kvB. */
#define UNDECODABLE    "TX decode failed"
#define NO_MEMORY      "out of memory"
#define WALLET_VERSION 169900

static void get_balance(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)params;
    struct wallet_balance balance;
    if (wallet_balance(rpc->mempool, &balance))
        reply->result = rpc_sats_json(balance.trusted_sats);
    else
        rpc_fail(reply, RPC_OUT_OF_MEMORY, NO_MEMORY);
}

static json_t *tip_json(const struct rpc *rpc)
{
    const struct chain_node *tip = chain_tip(rpc->chain);
    return json_pack("{s:o, s:i}", "hash", rpc_hash_json(tip->hash), "height", (int)tip->height);
}

static void get_balances(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)params;
    struct wallet_balance balance;
    if (!wallet_balance(rpc->mempool, &balance)) {
        rpc_fail(reply, RPC_OUT_OF_MEMORY, NO_MEMORY);
        return;
    }
    reply->result = json_pack("{s:{s:o, s:o, s:o}, s:o}", "mine", "trusted",
                              rpc_sats_json(balance.trusted_sats), "untrusted_pending",
                              rpc_sats_json(0), "immature", rpc_sats_json(balance.immature_sats),
                              "lastprocessedblock", tip_json(rpc));
}

static void get_wallet_info(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)params;
    struct wallet_balance balance;
    if (!wallet_balance(rpc->mempool, &balance)) {
        rpc_fail(reply, RPC_OUT_OF_MEMORY, NO_MEMORY);
        return;
    }
    reply->result =
        json_pack("{s:s, s:i, s:s, s:o, s:o, s:o, s:i, s:b, s:b, s:b, s:b, s:o}", "walletname", "",
                  "walletversion", WALLET_VERSION, "format", "sqlite", "balance",
                  rpc_sats_json(balance.trusted_sats), "unconfirmed_balance", rpc_sats_json(0),
                  "immature_balance", rpc_sats_json(balance.immature_sats), "txcount",
                  (int)mempool_changes(rpc->mempool), "private_keys_enabled", 1, "avoid_reuse", 0,
                  "scanning", 0, "descriptors", 1, "lastprocessedblock", tip_json(rpc));
}

static void list_wallets(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)rpc;
    (void)params;
    reply->result = json_pack("[s]", "");
}

/* What a parameter holds in hex, and its edit. data is malloc'ed. */
struct given {
    uint8_t *data;
    struct wire_block read;
    struct edit edit;
};

static void given_free(struct given *given)
{
    if (!given) return;
    wire_block_free(&given->read);
    free(given->data);
    free(given);
}

/* One without inputs reads only in the bare form. NULL: a failure is in the reply. */
static struct given *take(const json_t *text, struct rpc_reply *reply)
{
    size_t bytes;
    struct given *given = calloc(1, sizeof *given);
    if (!given) {
        rpc_fail(reply, RPC_OUT_OF_MEMORY, NO_MEMORY);
        return NULL;
    }
    given->data = rpc_bytes(text, &bytes, UNDECODABLE, reply);
    bool read = given->data
                && (wire_tx_read(&given->read, given->data, bytes, false) == OWM_OK
                    || wire_tx_read(&given->read, given->data, bytes, true) == OWM_OK);
    if (given->data && (!read || !edit_read(&given->edit, &given->read))) {
        rpc_fail(reply, RPC_DESERIALIZATION, UNDECODABLE);
        read = false;
    }
    if (read) return given;
    given_free(given);
    return NULL;
}

static bool known_option(const char *key)
{
    static const char *const known[] = {"add_inputs",   "changePosition",  "change_position",
                                        "conf_target",  "estimate_mode",   "feeRate",
                                        "fee_rate",     "includeWatching", "include_watching",
                                        "lockUnspents", "lock_unspents",   "replaceable"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(key, known[i]) == 0) return true;
    return false;
}

/* sat/kvB of the options; stays as it is where there is none. */
static bool read_rate(const json_t *options, int64_t *rate, struct rpc_reply *reply)
{
    const json_t *per_vbyte = json_object_get(options, "fee_rate");
    const json_t *per_kvbyte = json_object_get(options, "feeRate");
    if (per_vbyte && per_kvbyte) {
        rpc_fail(reply, RPC_PARAMETER,
                 "Cannot specify both fee_rate (sat/vB) and feeRate (BTC/kvB)");
        return false;
    }
    if (per_vbyte) return rpc_decimal(per_vbyte, SATS_PER_VBYTE, rate, reply);
    return !per_kvbyte || rpc_decimal(per_kvbyte, SATS, rate, reply);
}

static bool read_options(const json_t *options, struct wallet_fund *fund, struct rpc_reply *reply)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)options, key, value)
    {
        if (known_option(key)) continue;
        rpc_fail(reply, RPC_TYPE, "Unexpected key in the options");
        return false;
    }
    *fund = (struct wallet_fund){.change_position = -1,
                                 .replaceable =
                                     !json_is_false(json_object_get(options, "replaceable"))};
    value = json_object_get(options, "changePosition");
    if (!value) value = json_object_get(options, "change_position");
    if (json_is_integer(value)) {
        const json_int_t at = json_integer_value(value);
        if (at < 0 || at > EDIT_OUTS_MAX) {
            rpc_fail(reply, RPC_PARAMETER, "changePosition out of bounds");
            return false;
        }
        fund->change_position = (int)at;
    }
    if (!read_rate(options, &fund->fee_rate, reply)) return false;
    if (fund->fee_rate) return true;
    rpc_fail(reply, RPC_WALLET,
             "Fee estimation failed. Fallbackfee is disabled. Wait a few blocks or enable "
             "-fallbackfee.");
    return false;
}

static void fund_raw_transaction(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    struct wallet_fund fund;
    size_t bytes;
    if (!read_options(json_array_get(params, 1), &fund, reply)) return;
    struct given *given = take(json_array_get(params, 0), reply);
    if (!given) return;
    const char *reason = wallet_fund(rpc->mempool, &given->edit, &fund);
    uint8_t *data = reason ? NULL : edit_write(&given->edit, false, &bytes);
    if (!reason && !data) reason = NO_MEMORY;
    if (reason)
        rpc_fail(reply, RPC_WALLET, reason);
    else
        reply->result = json_pack("{s:o, s:o, s:i}", "hex", rpc_hex_json(data, bytes), "fee",
                                  rpc_sats_json(fund.fee_sats), "changepos", fund.change_position);
    free(data);
    given_free(given);
}

static json_t *unknown_json(const struct edit *edit)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < edit->ins; i++)
        if (edit->in[i].kind == COIN_OTHER)
            json_array_append_new(list, json_pack("{s:o, s:I, s:s, s:I, s:s}", "txid",
                                                  rpc_hash_json(edit->in[i].key.txid), "vout",
                                                  (json_int_t)edit->in[i].key.index, "scriptSig",
                                                  "", "sequence", (json_int_t)edit->in[i].sequence,
                                                  "error", "Input not found or already spent"));
    return list;
}

/* A coin of OP_TRUE needs nothing, one behind its witness hash shows the script. */
static void sign_raw_transaction(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    size_t bytes;
    struct given *given = take(json_array_get(params, 0), reply);
    if (!given) return;
    const uint32_t unknown = wallet_know(rpc->mempool, &given->edit);
    uint8_t *data = edit_write(&given->edit, true, &bytes);
    if (data)
        reply->result = json_pack("{s:o, s:b}", "hex", rpc_hex_json(data, bytes), "complete",
                                  (int)(unknown == 0 && given->edit.ins > 0));
    else
        rpc_fail(reply, RPC_OUT_OF_MEMORY, NO_MEMORY);
    if (reply->result && unknown)
        json_object_set_new(reply->result, "errors", unknown_json(&given->edit));
    free(data);
    given_free(given);
}

/* The transaction of ours that the first parameter names; NULL: a failure is in the reply. */
static const struct mempool_tx *named(struct rpc *rpc, const json_t *params,
                                      struct rpc_reply *reply)
{
    uint8_t txid[32];
    if (!rpc_hash(json_array_get(params, 0), "txid must be of length 64 and hexadecimal", txid,
                  reply))
        return NULL;
    const struct mempool_tx *tx = mempool_find(rpc->mempool, txid);
    if (tx && tx->owner == COIN_WALLET) return tx;
    rpc_fail(reply, RPC_NOT_FOUND, "Invalid or non-wallet transaction id");
    return NULL;
}

static void bump_fee(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const struct mempool_tx *tx = named(rpc, params, reply), *bumped;
    int64_t rate = 0;
    if (!tx || !read_rate(json_array_get(params, 1), &rate, reply)) return;
    const int64_t had_sats = tx->fee_sats;
    const char *reason = wallet_bump(rpc->mempool, tx, rate, &bumped);
    if (reason) {
        const bool asked = reason == WALLET_HAS_CHILDREN || reason == WALLET_FEE_TOO_LOW;
        rpc_fail(reply, asked ? RPC_PARAMETER : RPC_WALLET, reason);
        return;
    }
    reply->result = json_pack(
        "{s:o, s:o, s:o, s:[]}", "txid", rpc_hash_json(bumped->read.tx[0].txid), "origfee",
        rpc_sats_json(had_sats), "fee", rpc_sats_json(bumped->fee_sats), "errors");
}

/* Others that spend a coin of it; and how deep the deepest of them stands in the chain. */
static json_t *conflicts_json(const struct rpc *rpc, const struct mempool_tx *tx, int *depth)
{
    json_t *list = json_array();
    *depth = 0;
    for (uint32_t i = 0; mempool_known(rpc->mempool, i); i++) {
        const struct mempool_tx *other = mempool_known(rpc->mempool, i);
        if (other == tx || !mempool_conflict(tx, other)) continue;
        const struct chain_node *block = mempool_block(rpc->mempool, other);
        json_array_append_new(list, rpc_hash_json(other->read.tx[0].txid));
        if (block) *depth = (int)(chain_tip(rpc->chain)->height - block->height + 1);
    }
    return list;
}

static void add_block(const struct rpc *rpc, const struct mempool_tx *tx,
                      const struct chain_node *block, json_t *root)
{
    uint8_t *data;
    struct wire_block read;
    json_object_set_new(root, "blockhash", rpc_hash_json(block->hash));
    json_object_set_new(root, "blockheight", json_integer(block->height));
    json_object_set_new(root, "blocktime", json_integer(block->time_s));
    if (chain_read(rpc->chain, block, &data) != OWM_OK) return;
    if (wire_block_read(&read, data, block->bytes) == OWM_OK) {
        for (uint32_t i = 0; i < read.txs; i++)
            if (memcmp(read.tx[i].txid, tx->read.tx[0].txid, 32) == 0)
                json_object_set_new(root, "blockindex", json_integer(i));
        wire_block_free(&read);
    }
    free(data);
}

static json_t *details_json(const struct mempool_tx *tx)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < tx->read.outs; i++)
        if (coin_kind_of(tx->read.out[i].script) == COIN_OTHER)
            json_array_append_new(
                list, json_pack("{s:s, s:o, s:i, s:o, s:b}", "category", "send", "amount",
                                rpc_sats_json(-tx->read.out[i].value_sats), "vout", (int)i, "fee",
                                rpc_sats_json(-tx->fee_sats), "abandoned", 0));
    return list;
}

static void get_transaction(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const struct mempool_tx *tx = named(rpc, params, reply);
    if (!tx) return;
    const struct chain_node *block = mempool_block(rpc->mempool, tx);
    int depth;
    json_t *conflicts = conflicts_json(rpc, tx, &depth);
    const int confirmations = block ? (int)(chain_tip(rpc->chain)->height - block->height + 1)
                              : tx->waiting ? 0
                                            : -depth;
    const char *replaceable = block                                   ? "no"
                              : !tx->waiting                          ? "unknown"
                              : mempool_replaceable(rpc->mempool, tx) ? "yes"
                                                                      : "no";
    reply->result =
        json_pack("{s:o, s:o, s:i, s:o, s:o, s:o, s:I, s:I, s:s, s:o, s:o, s:o}", "amount",
                  rpc_sats_json(-wallet_paid_sats(tx)), "fee", rpc_sats_json(-tx->fee_sats),
                  "confirmations", confirmations, "txid", rpc_hash_json(tx->read.tx[0].txid),
                  "wtxid", rpc_hash_json(tx->read.tx[0].wtxid), "walletconflicts", conflicts,
                  "time", (json_int_t)tx->time_s, "timereceived", (json_int_t)tx->time_s,
                  "bip125-replaceable", replaceable, "details", details_json(tx), "hex",
                  rpc_hex_json(tx->data, tx->read.bytes), "lastprocessedblock", tip_json(rpc));
    if (block) add_block(rpc, tx, block, reply->result);
    if (tx->replaced_by)
        json_object_set_new(reply->result, "replaced_by_txid",
                            rpc_hash_json(tx->replaced_by->read.tx[0].txid));
    if (tx->replaces)
        json_object_set_new(reply->result, "replaces_txid",
                            rpc_hash_json(tx->replaces->read.tx[0].txid));
}

const struct rpc_method rpc_wallet[] = {
    {"bumpfee", bump_fee},
    {"fundrawtransaction", fund_raw_transaction},
    {"getbalance", get_balance},
    {"getbalances", get_balances},
    {"gettransaction", get_transaction},
    {"getwalletinfo", get_wallet_info},
    {"listwallets", list_wallets},
    {"signrawtransactionwithwallet", sign_raw_transaction},
    {NULL, NULL},
};
