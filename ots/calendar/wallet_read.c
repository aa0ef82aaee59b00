/* wallet_read.c: every field that is used is checked. */
#include "wallet_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "dataplane/chain/hash.h"

#define SAT_PER_BTC       100000000.0
#define SAT_MAX           2100000000000000.0
#define VBYTES_PER_KVB    1000
#define BLOCK_TXIDS_MAX   OWM_TEMPLATE_TRANSACTIONS_MAX
#define CONFIRMATIONS_MAX 100000000

owm_status wallet_read_sat(const json_t *amount, int64_t *sat, struct owm_error *error)
{
    double value = json_is_number(amount) ? json_number_value(amount) * SAT_PER_BTC : NAN;
    if (!(value >= -SAT_MAX && value <= SAT_MAX))
        return owm_fail(error, OWM_E_PROTO, "the node's amount is no amount in BTC");
    *sat = llround(value);
    return OWM_OK;
}

static owm_status read_hash(const json_t *answer, const char *key, uint8_t hash[32],
                            struct owm_error *error)
{
    const char *text = NULL;
    owm_status status = owm_json_string(answer, "", key, &text, error);
    if (status != OWM_OK || owm_hash_parse(text, hash) == OWM_OK) return status;
    return owm_fail(error, OWM_E_PROTO, "the node's %s is no hash", key);
}

owm_status wallet_read_chain(const json_t *answer, struct wallet_chain *chain,
                             struct owm_error *error)
{
    const struct owm_json_range heights = {0, OWM_OTS_HEIGHT_MAX};
    int64_t height = 0, headers = 0;
    chain->downloading = false;
    owm_status status = owm_json_int(answer, "", "blocks", heights, &height, error);
    if (status == OWM_OK) status = owm_json_int(answer, "", "headers", heights, &headers, error);
    if (status == OWM_OK) status = read_hash(answer, "bestblockhash", chain->tip, error);
    if (status == OWM_OK)
        status =
            owm_json_bool_or(answer, "", "initialblockdownload", false, &chain->downloading, error);
    chain->height = (uint64_t)height;
    chain->headers = (uint64_t)headers;
    return status;
}

owm_status wallet_read_rate(const json_t *answer, const char *key, uint64_t *rate,
                            struct owm_error *error)
{
    const json_t *value = json_object_get(answer, key);
    int64_t sat = 0;
    *rate = 0;
    if (!value) return OWM_OK;
    owm_status status = wallet_read_sat(value, &sat, error);
    if (status != OWM_OK) return status;
    if (sat < 0) return owm_fail(error, OWM_E_PROTO, "the node's %s is below 0", key);
    *rate = ((uint64_t)sat + VBYTES_PER_KVB - 1) / VBYTES_PER_KVB;
    return OWM_OK;
}

owm_status wallet_read_draft(const json_t *answer, struct wallet_draft *draft,
                             struct owm_error *error)
{
    const char *hex = NULL;
    int64_t fee = 0;
    owm_status status = owm_json_string(answer, "", "hex", &hex, error);
    if (status == OWM_OK) status = wallet_read_sat(json_object_get(answer, "fee"), &fee, error);
    if (status != OWM_OK) return status;
    size_t digits = strlen(hex);
    if (digits >= sizeof draft->hex || strspn(hex, "0123456789abcdefABCDEF") != digits)
        return owm_fail(error, OWM_E_PROTO, "the wallet's transaction is too large, or none");
    if (fee < 0) return owm_fail(error, OWM_E_PROTO, "the wallet's fee is below 0");
    memcpy(draft->hex, hex, digits + 1);
    draft->fee_sat = (uint64_t)fee;
    return OWM_OK;
}

/* A transaction in hex. */
static owm_status read_bytes(const json_t *answer, uint8_t *data, uint32_t *bytes,
                             struct owm_error *error)
{
    const char *hex = NULL;
    owm_status status = owm_json_string(answer, "", "hex", &hex, error);
    if (status != OWM_OK) return status;
    size_t count = strlen(hex) / 2;
    if (count > ANCHOR_TRANSACTION_BYTES || owm_hex_decode(hex, data, count) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "the wallet's transaction is too large, or none");
    *bytes = (uint32_t)count;
    return OWM_OK;
}

owm_status wallet_read_signed(const json_t *answer, uint8_t *data, uint32_t *bytes,
                              struct owm_error *error)
{
    bool complete = false;
    owm_status status = owm_json_bool(answer, "", "complete", &complete, error);
    if (status != OWM_OK) return status;
    if (!complete)
        return owm_fail(error, OWM_E_PROTO,
                        "the wallet cannot sign alone; give the calendar a wallet of its own with "
                        "private keys");
    return read_bytes(answer, data, bytes, error);
}

static owm_status read_conflicts(const json_t *answer, struct wallet_found *found,
                                 struct owm_error *error)
{
    const json_t *list = NULL;
    owm_status status = owm_json_array_or(answer, "", "walletconflicts", &list, error);
    size_t count = status == OWM_OK && list ? json_array_size(list) : 0;
    found->conflict_count = 0;
    for (size_t i = 0; i < count && found->conflict_count < WALLET_CONFLICTS_MAX; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || owm_hash_parse(text, found->conflicts[found->conflict_count++]) != OWM_OK)
            return owm_fail(error, OWM_E_PROTO, "the wallet's conflicts are no transactions");
    }
    return status;
}

owm_status wallet_read_found(const json_t *answer, struct wallet_found *found,
                             struct owm_error *error)
{
    const struct owm_json_range range = {-CONFIRMATIONS_MAX, CONFIRMATIONS_MAX};
    const json_t *fee = json_object_get(answer, "fee");
    int64_t sat = 0;
    owm_status status =
        owm_json_int(answer, "", "confirmations", range, &found->confirmations, error);
    if (status == OWM_OK && found->confirmations > 0)
        status = read_hash(answer, "blockhash", found->block, error);
    if (status == OWM_OK && fee) status = wallet_read_sat(fee, &sat, error);
    if (status == OWM_OK) status = read_conflicts(answer, found, error);
    if (status == OWM_OK) status = read_bytes(answer, found->data, &found->bytes, error);
    found->fee_sat = (uint64_t)(sat < 0 ? -sat : sat); /* What the wallet paid is below 0. */
    return status;
}

static owm_status read_txids(const json_t *list, struct wallet_block *block,
                             struct owm_error *error)
{
    for (uint32_t i = 0; i < block->count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || owm_hash_parse(text, block->txids[i]) != OWM_OK)
            return owm_fail(error, OWM_E_PROTO, "the node's block holds what is no transaction");
    }
    return OWM_OK;
}

owm_status wallet_read_block(const json_t *answer, struct wallet_block *block,
                             struct owm_error *error)
{
    const json_t *list = NULL;
    int64_t height = 0;
    owm_status status = owm_json_int(
        answer, "", "height", (struct owm_json_range){0, OWM_OTS_HEIGHT_MAX}, &height, error);
    if (status == OWM_OK) status = owm_json_array(answer, "", "tx", &list, error);
    if (status != OWM_OK) return status;
    size_t count = json_array_size(list);
    if (count == 0 || count > BLOCK_TXIDS_MAX)
        return owm_fail(error, OWM_E_PROTO, "the node's block holds %zu transactions", count);
    block->height = (uint32_t)height;
    block->count = (uint32_t)count;
    block->txids = calloc(count, 32);
    if (!block->txids) return owm_fail(error, OWM_E_NOMEM, "no memory for a block's transactions");
    status = read_txids(list, block, error);
    if (status == OWM_OK) return OWM_OK;
    free(block->txids);
    block->txids = NULL;
    return status;
}
