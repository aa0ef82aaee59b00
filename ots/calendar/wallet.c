/* wallet.c: the calls, and what to do when one fails. */
#include "wallet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/hash.h"
#include "wallet_read.h"

#define BEHIND_BLOCKS_MAX 2 /* A node with more headers than that before it is catching up. */

struct wallet {
    owm_ots_bitcoin_node *node;
    owm_ots_bitcoin_rpc *rpc; /* Of node. */
    const char *url;          /* Of rpc: without user and password. */
};

/* A sentence with the remedy, for who does not answer or does not let us in. Returns: status. */
static owm_status explain_silence(owm_status status, struct owm_error *error)
{
    const struct owm_error said = *error;
    if (status == OWM_E_NET || status == OWM_E_TIMEOUT)
        return owm_fail(error, status,
                        "no answer from the Bitcoin node: %.300s; is it running with server=1, and "
                        "is the URL right?",
                        said.text);
    if (status == OWM_E_PERM)
        return owm_fail(error, status,
                        "%.300s; set those of rpcauth in bitcoin.conf, or name its cookie file",
                        said.text);
    return status;
}

owm_status wallet_open(const char *url, const char *cookie, enum owm_network network,
                       struct wallet **out, struct owm_error *error)
{
    *out = NULL;
    struct wallet *wallet = calloc(1, sizeof *wallet);
    if (!wallet) return owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    owm_status status = owm_ots_bitcoin_open(url, cookie, network, &wallet->node, error);
    if (status != OWM_OK) {
        free(wallet);
        return explain_silence(status, error);
    }
    wallet->rpc = owm_ots_bitcoin_rpc_of(wallet->node);
    wallet->url = owm_ots_bitcoin_rpc_url(wallet->rpc);
    *out = wallet;
    return OWM_OK;
}

void wallet_close(struct wallet *wallet)
{
    if (!wallet) return;
    owm_ots_bitcoin_close(wallet->node);
    free(wallet);
}

void wallet_cancel(struct wallet *wallet)
{
    owm_ots_bitcoin_rpc_cancel(wallet->rpc);
}

/* A sentence with the remedy. Returns: status. */
static owm_status explain(const struct wallet *wallet, int code, owm_status status,
                          struct owm_error *error)
{
    switch (code) {
    case OWM_OTS_BITCOIN_LOCKED:
        return owm_fail(error, status,
                        "the wallet of the node at %s is locked; unlock it with 'bitcoin-cli "
                        "walletpassphrase', or give the calendar a small wallet without one",
                        wallet->url);
    case OWM_OTS_BITCOIN_NO_WALLET:
        return owm_fail(error, status,
                        "the node at %s has not loaded such a wallet; 'bitcoin-cli loadwallet "
                        "NAME' or createwallet, and end the URL in /wallet/NAME",
                        wallet->url);
    case OWM_OTS_BITCOIN_WALLET_NOT_NAMED:
        return owm_fail(error, status,
                        "the node at %s has several wallets; end the URL in /wallet/NAME",
                        wallet->url);
    case OWM_OTS_BITCOIN_NO_METHOD:
        return owm_fail(error, status,
                        "the node at %s has no wallet; start it without disablewallet=1, or with "
                        "one that was built with it",
                        wallet->url);
    case OWM_OTS_BITCOIN_WALLET:
    case OWM_OTS_BITCOIN_NO_COINS: {
        struct owm_error said = *error;
        return owm_fail(error, status,
                        "%.300s; send some bitcoin to the wallet ('bitcoin-cli getnewaddress') if "
                        "it has too little",
                        said.text);
    }
    default:
        return status;
    }
}

static owm_status call(struct wallet *wallet, const char *method, const char *params,
                       json_t **result, struct owm_error *error)
{
    int code = 0;
    struct owm_error why = {.text = ""};
    owm_status status = owm_ots_bitcoin_call(wallet->rpc, method, params, result, &code, &why);
    if (status == OWM_OK) return OWM_OK;
    (void)explain_silence(status, &why);
    (void)explain(wallet, code, status, &why);
    return owm_fail(error, status, "%s: %.450s", method, why.text);
}

/* A call whose one parameter is hex or nothing, with more behind it. */
static owm_status call_hex(struct wallet *wallet, const char *method, const char *hex,
                           const char *more, json_t **result, struct owm_error *error)
{
    char *params = NULL;
    if (asprintf(&params, "[\"%s\"%s]", hex, more) < 0)
        return owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    owm_status status = call(wallet, method, params, result, error);
    free(params);
    return status;
}

owm_status wallet_look(struct wallet *wallet, struct wallet_view *view, struct owm_error *error)
{
    json_t *result = NULL;
    struct wallet_chain chain = {0};
    owm_status status = call(wallet, "getblockchaininfo", "[]", &result, error);
    if (status != OWM_OK) return status;
    status = wallet_read_chain(result, &chain, error);
    json_decref(result);
    if (status != OWM_OK) return status;
    if (chain.downloading || chain.headers > chain.height + BEHIND_BLOCKS_MAX)
        return owm_fail(error, OWM_E_STATE,
                        "the node at %s is still downloading blocks (%" PRIu64 " of %" PRIu64
                        "); it is waited for until it has all",
                        wallet->url, chain.height, chain.headers);
    view->height = chain.height;
    memcpy(view->tip, chain.tip, 32);
    status = call(wallet, "getbalance", "[]", &result, error);
    if (status != OWM_OK) return status;
    status = wallet_read_sat(result, &view->balance_sat, error);
    json_decref(result);
    return status;
}

owm_status wallet_rates(struct wallet *wallet, unsigned blocks, uint64_t *wanted, uint64_t *least,
                        struct owm_error *error)
{
    char params[16];
    json_t *result = NULL;
    owm_status status = call(wallet, "getmempoolinfo", "[]", &result, error);
    if (status != OWM_OK) return status;
    status = wallet_read_rate(result, "mempoolminfee", least, error);
    json_decref(result);
    if (*least == 0) *least = 1;
    snprintf(params, sizeof params, "[%u]", blocks);
    if (status == OWM_OK) status = call(wallet, "estimatesmartfee", params, &result, error);
    if (status != OWM_OK) return status;
    status = wallet_read_rate(result, "feerate", wanted, error);
    json_decref(result);
    if (*wanted < *least) *wanted = *least;
    return status;
}

/* --- making one ------------------------------------------------------------------------------- */

/* The parameters of createrawtransaction; NULL without memory. */
static char *order_params(const struct wallet_order *order)
{
    char root[65], txid[OWM_HASH_TEXT_BYTES];
    json_t *inputs = json_array();
    const struct anchor_transaction *replaced = order->replaced;
    for (uint32_t i = 0; replaced && i < replaced->read.inputs; i++) {
        struct owm_reader r;
        owm_reader_init(
            &r,
            owm_transaction_outpoint(anchors_stripped(replaced), replaced->read.stripped_bytes, i),
            OWM_OUTPOINT_BYTES);
        owm_hash_text(owm_read_view(&r, 32), txid);
        json_array_append_new(
            inputs, json_pack("{s:s, s:I}", "txid", txid, "vout", (json_int_t)owm_read_u32_le(&r)));
    }
    owm_hex_encode(order->root, 32, root);
    json_t *params = json_pack("[o, [{s:s}], i, b]", inputs, "data", root, 0, 1);
    char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;
    json_decref(params);
    return text;
}

owm_status wallet_fund(struct wallet *wallet, const struct wallet_order *order,
                       struct wallet_draft *draft, struct owm_error *error)
{
    char options[96], *params = order_params(order);
    json_t *bare = NULL, *result = NULL;
    if (!params) return owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    owm_status status = call(wallet, "createrawtransaction", params, &bare, error);
    free(params);
    if (status != OWM_OK) return status;
    snprintf(options, sizeof options, ",{\"fee_rate\":%" PRIu64 ",\"replaceable\":true}",
             order->rate);
    const char *hex = json_string_value(bare);
    if (hex)
        status = call_hex(wallet, "fundrawtransaction", hex, options, &result, error);
    else
        status = owm_fail(error, OWM_E_PROTO, "createrawtransaction gave no transaction");
    if (status == OWM_OK) status = wallet_read_draft(result, draft, error);
    json_decref(bare);
    json_decref(result);
    return status;
}

owm_status wallet_sign(struct wallet *wallet, const struct wallet_draft *draft, uint8_t *data,
                       uint32_t *bytes, struct owm_error *error)
{
    json_t *result = NULL;
    owm_status status =
        call_hex(wallet, "signrawtransactionwithwallet", draft->hex, "", &result, error);
    if (status == OWM_OK) status = wallet_read_signed(result, data, bytes, error);
    json_decref(result);
    return status;
}

owm_status wallet_send(struct wallet *wallet, const struct anchor_transaction *transaction,
                       int *code, struct owm_error *error)
{
    size_t digits = 2 * (size_t)transaction->bytes;
    char *params = malloc(digits + 5);
    json_t *result = NULL;
    *code = 0;
    if (!params) return owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    memcpy(params, "[\"", 2);
    owm_hex_encode(transaction->data, transaction->bytes, params + 2);
    memcpy(params + 2 + digits, "\"]", 3);
    owm_status status =
        owm_ots_bitcoin_call(wallet->rpc, "sendrawtransaction", params, &result, code, error);
    free(params);
    json_decref(result);
    return status;
}

/* --- looking after one ------------------------------------------------------------------------ */

owm_status wallet_find(struct wallet *wallet, const uint8_t txid[static 32],
                       struct wallet_found *found, struct owm_error *error)
{
    char text[OWM_HASH_TEXT_BYTES];
    json_t *result = NULL;
    owm_hash_text(txid, text);
    owm_status status = call_hex(wallet, "gettransaction", text, "", &result, error);
    if (status == OWM_OK) status = wallet_read_found(result, found, error);
    json_decref(result);
    return status;
}

static owm_status read_header(struct wallet *wallet, const char *hash, uint8_t *header,
                              struct owm_error *error)
{
    json_t *result = NULL;
    owm_status status = call_hex(wallet, "getblockheader", hash, ",false", &result, error);
    if (status != OWM_OK) return status;
    const char *hex = json_string_value(result);
    if (!hex || owm_hex_decode(hex, header, OWM_OTS_HEADER_BYTES) != OWM_OK)
        status = owm_fail(error, OWM_E_PROTO, "the node at %s gives no header", wallet->url);
    json_decref(result);
    return status;
}

owm_status wallet_block(struct wallet *wallet, const uint8_t hash[static 32],
                        struct wallet_block *block, struct owm_error *error)
{
    char text[OWM_HASH_TEXT_BYTES];
    json_t *result = NULL;
    *block = (struct wallet_block){0};
    owm_hash_text(hash, text);
    owm_status status = read_header(wallet, text, block->header, error);
    if (status == OWM_OK) status = call_hex(wallet, "getblock", text, ",1", &result, error);
    if (status == OWM_OK) status = wallet_read_block(result, block, error);
    json_decref(result);
    return status;
}

owm_status wallet_hash(struct wallet *wallet, uint64_t height, uint8_t hash[static 32],
                       struct owm_error *error)
{
    return owm_ots_bitcoin_hash(wallet->node, height, hash, error);
}

struct owm_ots_headers wallet_headers(struct wallet *wallet)
{
    return owm_ots_bitcoin_source(wallet->node);
}
