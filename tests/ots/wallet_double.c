/* wallet_double.c: a ledger of transactions; what is spent follows from where each one is. */
#include "wallet_double.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/merkle.h"
#include "regtest_chain.h"
#include "wallet_double_tx.h"

#define SAT_PER_BTC 1e8

static const uint8_t own_script[] = {0x00, 0x14, 'o', 'w', 'm'};

/* --- the ledger ------------------------------------------------------------------------------- */

static struct wallet_tx *find_tx(struct wallet_double *wallet, const uint8_t txid[32])
{
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        if (memcmp(wallet->txs[i].txid, txid, 32) == 0) return &wallet->txs[i];
    return NULL;
}

static bool lives(const struct wallet_tx *tx)
{
    return tx->height != WALLET_NOWHERE;
}

static bool spends(const struct wallet_tx *tx, const uint8_t txid[32], uint32_t index)
{
    for (uint32_t i = 0; i < tx->inputs; i++)
        if (tx->input[i].index == index && memcmp(tx->input[i].txid, txid, 32) == 0) return true;
    return false;
}

/* Who spends an output, of those that live. */
static struct wallet_tx *spender(struct wallet_double *wallet, const uint8_t txid[32],
                                 uint32_t index)
{
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        if (lives(&wallet->txs[i]) && spends(&wallet->txs[i], txid, index)) return &wallet->txs[i];
    return NULL;
}

static struct wallet_tx *add_tx(struct wallet_double *wallet, const uint8_t *data, uint32_t bytes)
{
    if (wallet->tx_count == wallet->tx_room) {
        wallet->tx_room = wallet->tx_room ? 2 * wallet->tx_room : 64;
        wallet->txs = reallocarray(wallet->txs, wallet->tx_room, sizeof *wallet->txs);
        OWM_ASSERT(wallet->txs);
    }
    struct wallet_tx *tx = &wallet->txs[wallet->tx_count++];
    OWM_ASSERT(wallet_tx_read(data, bytes, own_script, sizeof own_script, tx));
    tx->data = malloc(bytes);
    OWM_ASSERT(tx->data);
    memcpy(tx->data, data, bytes);
    tx->bytes = bytes;
    tx->height = WALLET_IN_MEMPOOL;
    return tx;
}

/* What left the mempool takes with it what spends it. */
static void evict(struct wallet_double *wallet, struct wallet_tx *tx)
{
    tx->height = WALLET_NOWHERE;
    for (uint32_t i = 0; i < tx->outputs; i++) {
        struct wallet_tx *child = spender(wallet, tx->txid, i);
        if (child) evict(wallet, child);
    }
}

static uint64_t balance(struct wallet_double *wallet)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        for (uint32_t k = 0; k < wallet->txs[i].outputs; k++) {
            const struct wallet_tx *tx = &wallet->txs[i];
            if (lives(tx) && tx->mine[k] && !spender(wallet, tx->txid, k)) sum += tx->value[k];
        }
    return sum;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void put_in_block(struct wallet_mined *block, const uint8_t *data, uint32_t bytes)
{
    block->raw = realloc(block->raw, block->raw_bytes + bytes);
    block->txids = reallocarray(block->txids, block->count + 1, 32);
    OWM_ASSERT(block->raw && block->txids);
    memcpy(block->raw + block->raw_bytes, data, bytes);
    block->raw_bytes += bytes;
    struct owm_transaction read;
    owm_status status = owm_transaction_read(data, bytes, &read, NULL);
    OWM_ASSERT(status == OWM_OK);
    memcpy(block->txids[block->count++], read.txid, 32);
}

static void put_others(struct wallet_double *wallet, struct wallet_mined *block, uint32_t count)
{
    struct owm_rng rng;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t data[256];
        owm_rng_seed(&rng, ++wallet->seed);
        put_in_block(block, data, wallet_tx_random(&rng, data));
    }
}

static void mine_one(struct wallet_double *wallet)
{
    uint32_t height = (uint32_t)wallet->node.chain.count;
    struct wallet_mined *block = &wallet->blocks[height];
    struct owm_rng rng;
    OWM_ASSERT(height < WALLET_BLOCKS_MAX);
    owm_rng_seed(&rng, ++wallet->seed);
    *block = (struct wallet_mined){0};
    put_others(wallet, block, 1 + (uint32_t)owm_rng_below(&rng, wallet->others_max + 1));
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        if (wallet->txs[i].height == WALLET_IN_MEMPOOL) {
            put_in_block(block, wallet->txs[i].data, wallet->txs[i].bytes);
            wallet->txs[i].height = (int)height;
        }
    put_others(wallet, block, (uint32_t)owm_rng_below(&rng, wallet->others_max + 1));
    uint8_t(*leaves)[32] = calloc(block->count, 32), root[32];
    OWM_ASSERT(leaves);
    memcpy(leaves, block->txids, 32 * (size_t)block->count);
    owm_merkle_tree(leaves, block->count, root);
    free(leaves);
    regtest_mine(&wallet->node.chain, height + 1, height, root);
}

static void free_block(struct wallet_mined *block)
{
    free(block->raw);
    free(block->txids);
    *block = (struct wallet_mined){0};
}

void wallet_mine(struct wallet_double *wallet, uint32_t blocks)
{
    pthread_mutex_lock(&wallet->node.lock);
    while (blocks-- > 0) mine_one(wallet);
    pthread_mutex_unlock(&wallet->node.lock);
}

void wallet_cut(struct wallet_double *wallet, uint32_t count, bool lost)
{
    pthread_mutex_lock(&wallet->node.lock);
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        if (wallet->txs[i].height >= (int)count)
            wallet->txs[i].height = lost ? WALLET_NOWHERE : WALLET_IN_MEMPOOL;
    for (size_t i = count; i < wallet->node.chain.count; i++) free_block(&wallet->blocks[i]);
    owm_ots_chain_cut(&wallet->node.chain, count);
    wallet->seed += 1000; /* Other blocks follow. */
    pthread_mutex_unlock(&wallet->node.lock);
}

void wallet_forget_mempool(struct wallet_double *wallet)
{
    pthread_mutex_lock(&wallet->node.lock);
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        if (wallet->txs[i].height == WALLET_IN_MEMPOOL) wallet->txs[i].height = WALLET_NOWHERE;
    pthread_mutex_unlock(&wallet->node.lock);
}

uint32_t wallet_mempool(struct wallet_double *wallet)
{
    uint32_t count = 0;
    pthread_mutex_lock(&wallet->node.lock);
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        count += wallet->txs[i].height == WALLET_IN_MEMPOOL;
    pthread_mutex_unlock(&wallet->node.lock);
    return count;
}

uint32_t wallet_sent(struct wallet_double *wallet)
{
    pthread_mutex_lock(&wallet->node.lock);
    uint32_t count = wallet->sent_count;
    pthread_mutex_unlock(&wallet->node.lock);
    return count;
}

/* --- making transactions ---------------------------------------------------------------------- */

static json_t *fail(struct node_failure *failure, int code, const char *message)
{
    failure->code = code;
    snprintf(failure->message, sizeof failure->message, "%s", message);
    return NULL;
}

static json_t *hex_json(const uint8_t *data, size_t bytes)
{
    char *text = malloc(2 * bytes + 1);
    OWM_ASSERT(text);
    owm_hex_encode(data, bytes, text);
    json_t *value = json_string(text);
    free(text);
    return value;
}

static json_t *hash_json(const uint8_t hash[32])
{
    char text[OWM_HASH_TEXT_BYTES];
    owm_hash_text(hash, text);
    return json_string(text);
}

static json_t *create(const json_t *params)
{
    struct wallet_plan plan = {0};
    const json_t *inputs = json_array_get(params, 0);
    const char *data =
        json_string_value(json_object_get(json_array_get(json_array_get(params, 1), 0), "data"));
    OWM_ASSERT(data && owm_hex_decode(data, plan.root, 32) == OWM_OK);
    OWM_ASSERT(json_is_true(json_array_get(params, 3)));
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        const json_t *input = json_array_get(inputs, i);
        struct wallet_outpoint *to = &plan.input[plan.inputs++];
        const char *txid = json_string_value(json_object_get(input, "txid"));
        OWM_ASSERT(txid && owm_hash_parse(txid, to->txid) == OWM_OK);
        to->index = (uint32_t)json_integer_value(json_object_get(input, "vout"));
    }
    plan.has_root = true;
    uint8_t tx[WALLET_TX_BYTES_MAX];
    return hex_json(tx, wallet_tx_write(&plan, false, tx));
}

/* The largest coin that is free and not in the plan. */
static bool pick_coin(struct wallet_double *wallet, struct wallet_plan *plan, uint64_t *value)
{
    const struct wallet_tx *best = NULL;
    uint32_t best_index = 0;
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        for (uint32_t k = 0; k < wallet->txs[i].outputs; k++) {
            const struct wallet_tx *tx = &wallet->txs[i];
            if (!lives(tx) || !tx->mine[k] || spender(wallet, tx->txid, k)) continue;
            if (wallet_plan_has(plan, tx->txid, k)) continue;
            if (best && best->value[best_index] >= tx->value[k]) continue;
            best = tx;
            best_index = k;
        }
    if (!best) return false;
    struct wallet_outpoint *to = &plan->input[plan->inputs++];
    memcpy(to->txid, best->txid, 32);
    to->index = best_index;
    *value += best->value[best_index];
    return true;
}

static json_t *fund(struct wallet_double *wallet, const json_t *params,
                    struct node_failure *failure)
{
    struct wallet_plan plan = {0};
    uint8_t tx[WALLET_TX_BYTES_MAX];
    uint64_t value = 0, fee = 0;
    const json_t *options = json_array_get(params, 1);
    uint64_t rate = (uint64_t)json_integer_value(json_object_get(options, "fee_rate"));
    OWM_ASSERT(json_is_true(json_object_get(options, "replaceable")) && rate > 0);
    OWM_ASSERT(wallet_plan_read(json_string_value(json_array_get(params, 0)), &plan));
    for (uint32_t i = 0; i < plan.inputs; i++) {
        const struct wallet_tx *from = find_tx(wallet, plan.input[i].txid);
        if (!from || plan.input[i].index >= from->outputs)
            return fail(failure, -4, "Not found pre-selected input");
        value += from->value[plan.input[i].index];
    }
    plan.change = 1;
    plan.change_script = own_script;
    plan.change_script_bytes = sizeof own_script;
    for (;;) {
        fee = rate * wallet_plan_vbytes(&plan);
        if (plan.inputs > 0 && value >= fee + 294) break;
        if (!pick_coin(wallet, &plan, &value)) return fail(failure, -4, "Insufficient funds");
    }
    plan.change = value - fee;
    uint32_t bytes = wallet_tx_write(&plan, false, tx);
    return json_pack("{s:o, s:f, s:i}", "hex", hex_json(tx, bytes), "fee",
                     (double)fee / SAT_PER_BTC, "changepos", 1);
}

static json_t *sign(struct wallet_double *wallet, const json_t *params,
                    struct node_failure *failure)
{
    struct wallet_plan plan = {.change_script = own_script,
                               .change_script_bytes = sizeof own_script};
    uint8_t tx[WALLET_TX_BYTES_MAX];
    if (wallet->locked)
        return fail(failure, -13,
                    "Error: Please enter the wallet passphrase with walletpassphrase first.");
    OWM_ASSERT(wallet_plan_read(json_string_value(json_array_get(params, 0)), &plan));
    uint32_t bytes = wallet_tx_write(&plan, true, tx);
    return json_pack("{s:o, s:b}", "hex", hex_json(tx, bytes), "complete", 1);
}

/* --- the mempool ------------------------------------------------------------------------------ */

static bool value_in(struct wallet_double *wallet, const struct wallet_tx *tx, uint64_t *value)
{
    *value = 0;
    for (uint32_t i = 0; i < tx->inputs; i++) {
        const struct wallet_tx *from = find_tx(wallet, tx->input[i].txid);
        if (!from || !lives(from) || tx->input[i].index >= from->outputs) return false;
        const struct wallet_tx *other = spender(wallet, tx->input[i].txid, tx->input[i].index);
        if (other && other->height >= 0) return false;
        *value += from->value[tx->input[i].index];
    }
    return true;
}

/* BIP 125: pays more than what it replaces, and its own way. */
static bool outbids(struct wallet_double *wallet, const struct wallet_tx *tx)
{
    uint64_t fees = 0;
    for (uint32_t i = 0; i < wallet->tx_count; i++) {
        bool conflict = false;
        for (uint32_t k = 0; k < tx->inputs; k++)
            conflict |= spends(&wallet->txs[i], tx->input[k].txid, tx->input[k].index);
        if (conflict && wallet->txs[i].height == WALLET_IN_MEMPOOL) fees += wallet->txs[i].fee_sat;
    }
    return fees == 0 || tx->fee_sat >= fees + tx->vbytes;
}

static void replace_conflicts(struct wallet_double *wallet, const struct wallet_tx *tx)
{
    for (uint32_t k = 0; k < tx->inputs; k++) {
        struct wallet_tx *other = spender(wallet, tx->input[k].txid, tx->input[k].index);
        if (other) evict(wallet, other);
    }
}

static json_t *take(struct wallet_double *wallet, const uint8_t *data, uint32_t bytes,
                    struct node_failure *failure)
{
    struct wallet_tx tx;
    uint64_t value = 0, out = 0;
    OWM_ASSERT(wallet_tx_read(data, bytes, own_script, sizeof own_script, &tx));
    struct wallet_tx *there = find_tx(wallet, tx.txid);
    if (there && there->height >= 0)
        return fail(failure, -27, "Transaction already in block chain");
    if (there && lives(there)) return hash_json(tx.txid);
    if (!value_in(wallet, &tx, &value)) return fail(failure, -25, "bad-txns-inputs-missingorspent");
    for (uint32_t i = 0; i < tx.outputs; i++) out += tx.value[i];
    tx.fee_sat = value - out;
    if (tx.fee_sat < wallet->min_rate * tx.vbytes)
        return fail(failure, -26, "mempool min fee not met, 1 < 2");
    if (!outbids(wallet, &tx)) return fail(failure, -26, "insufficient fee, rejecting replacement");
    replace_conflicts(wallet, &tx);
    if (!there) {
        there = add_tx(wallet, data, bytes);
        wallet->sent_count++;
    }
    there->height = WALLET_IN_MEMPOOL;
    there->fee_sat = tx.fee_sat;
    there->known = true;
    return hash_json(tx.txid);
}

/* A node that starts again without its mempool, when fees have risen. */
static void squeeze(struct wallet_double *wallet)
{
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        if (wallet->txs[i].height == WALLET_IN_MEMPOOL) wallet->txs[i].height = WALLET_NOWHERE;
    wallet->min_rate = wallet->squeeze_rate;
    mine_one(wallet);
}

static json_t *send_raw(struct wallet_double *wallet, const json_t *params,
                        struct node_failure *failure)
{
    uint8_t data[WALLET_TX_BYTES_MAX];
    const char *hex = json_string_value(json_array_get(params, 0));
    uint32_t bytes = (uint32_t)(strlen(hex) / 2);
    OWM_ASSERT(bytes <= sizeof data && owm_hex_decode(hex, data, bytes) == OWM_OK);
    json_t *result = take(wallet, data, bytes, failure);
    if (!result || wallet->mine_at_send == 0) return result;
    if (wallet->held_sends >= wallet->sent_count) {
        if (wallet->squeeze_rate > wallet->min_rate) squeeze(wallet);
        return result;
    }
    for (uint32_t i = 0; i < wallet->mine_at_send; i++) mine_one(wallet);
    return result;
}

/* --- looking ---------------------------------------------------------------------------------- */

static bool conflict(const struct wallet_tx *a, const struct wallet_tx *b)
{
    for (uint32_t i = 0; i < a->inputs && a != b; i++)
        if (spends(b, a->input[i].txid, a->input[i].index)) return true;
    return false;
}

static json_t *get_transaction(struct wallet_double *wallet, const json_t *params,
                               struct node_failure *failure)
{
    uint8_t txid[32];
    const char *text = json_string_value(json_array_get(params, 0));
    OWM_ASSERT(text && owm_hash_parse(text, txid) == OWM_OK);
    struct wallet_tx *tx = find_tx(wallet, txid);
    if (!tx || !tx->known || wallet->forgets)
        return fail(failure, -5, "Invalid or non-wallet transaction id");
    int tip = (int)wallet->node.chain.count - 1;
    int confirmations = tx->height >= 0 ? tip - tx->height + 1 : 0;
    json_t *conflicts = json_array();
    for (uint32_t i = 0; i < wallet->tx_count; i++) {
        const struct wallet_tx *other = &wallet->txs[i];
        if (!other->known || !conflict(tx, other)) continue;
        json_array_append_new(conflicts, hash_json(other->txid));
        if (!lives(tx) && other->height >= 0) confirmations = -(tip - other->height + 1);
    }
    json_t *result = json_pack("{s:f, s:f, s:i, s:o, s:o, s:o}", "amount", 0.0, "fee",
                               -(double)tx->fee_sat / SAT_PER_BTC, "confirmations", confirmations,
                               "txid", hash_json(txid), "walletconflicts", conflicts, "hex",
                               hex_json(tx->data, tx->bytes));
    if (tx->height < 0) return result;
    uint8_t hash[32];
    owm_sha256d(wallet->node.chain.headers[tx->height], OWM_OTS_HEADER_BYTES, hash);
    json_object_set_new(result, "blockhash", hash_json(hash));
    json_object_set_new(result, "blockheight", json_integer(tx->height));
    return result;
}

static json_t *get_block(struct wallet_double *wallet, const json_t *params,
                         struct node_failure *failure)
{
    uint8_t wanted[32], hash[32];
    const char *text = json_string_value(json_array_get(params, 0));
    OWM_ASSERT(text && owm_hash_parse(text, wanted) == OWM_OK);
    for (size_t i = 0; i < wallet->node.chain.count; i++) {
        owm_sha256d(wallet->node.chain.headers[i], OWM_OTS_HEADER_BYTES, hash);
        if (memcmp(hash, wanted, 32) != 0) continue;
        json_t *txids = json_array();
        for (uint32_t k = 0; k < wallet->blocks[i].count; k++)
            json_array_append_new(txids, hash_json(wallet->blocks[i].txids[k]));
        return json_pack("{s:s, s:i, s:o}", "hash", text, "height", (int)i, "tx", txids);
    }
    return fail(failure, -5, "Block not found");
}

bool wallet_one_can_confirm(struct wallet_double *wallet)
{
    bool one = true;
    pthread_mutex_lock(&wallet->node.lock);
    for (uint32_t i = 0; i < wallet->tx_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (wallet->txs[i].fee_sat > 0 && wallet->txs[k].fee_sat > 0)
                one = one && conflict(&wallet->txs[i], &wallet->txs[k]);
    pthread_mutex_unlock(&wallet->node.lock);
    return one;
}

static json_t *chain_info(struct wallet_double *wallet)
{
    int height = (int)wallet->node.chain.count - 1;
    return json_pack("{s:s, s:i, s:i, s:o, s:b}", "chain", "regtest", "blocks", height, "headers",
                     height, "bestblockhash", hash_json(wallet->node.chain.tip),
                     "initialblockdownload", wallet->downloading);
}

static json_t *estimate(const struct wallet_double *wallet)
{
    if (wallet->estimate == 0)
        return json_pack("{s:[s], s:i}", "errors", "Insufficient data or no feerate found",
                         "blocks", 12);
    return json_pack("{s:f, s:i}", "feerate", (double)(1000 * wallet->estimate) / SAT_PER_BTC,
                     "blocks", 12);
}

static json_t *wallet_call(struct wallet_double *wallet, const char *method, const json_t *params,
                           struct node_failure *failure)
{
    bool of_wallet = strcmp(method, "getbalance") == 0 || strcmp(method, "fundrawtransaction") == 0
                     || strcmp(method, "signrawtransactionwithwallet") == 0
                     || strcmp(method, "gettransaction") == 0;
    if (of_wallet && wallet->no_method) return fail(failure, -32601, "Method not found");
    if (of_wallet && wallet->no_wallet)
        return fail(failure, -18, "Requested wallet does not exist or is not loaded");
    if (strcmp(method, "getblockchaininfo") == 0) return chain_info(wallet);
    if (strcmp(method, "getbalance") == 0) return json_real((double)balance(wallet) / SAT_PER_BTC);
    if (strcmp(method, "getmempoolinfo") == 0)
        return json_pack("{s:f}", "mempoolminfee", (double)(1000 * wallet->min_rate) / SAT_PER_BTC);
    if (strcmp(method, "estimatesmartfee") == 0) return estimate(wallet);
    if (strcmp(method, "createrawtransaction") == 0) return create(params);
    if (strcmp(method, "fundrawtransaction") == 0) return fund(wallet, params, failure);
    if (strcmp(method, "signrawtransactionwithwallet") == 0) return sign(wallet, params, failure);
    if (strcmp(method, "sendrawtransaction") == 0) return send_raw(wallet, params, failure);
    if (strcmp(method, "gettransaction") == 0) return get_transaction(wallet, params, failure);
    if (strcmp(method, "getblock") == 0) return get_block(wallet, params, failure);
    return NULL;
}

static json_t *answer(void *ctx, const char *method, const json_t *params,
                      struct node_failure *failure)
{
    struct wallet_double *wallet = ctx;
    if (wallet->watch) wallet->watch(wallet->watch_ctx, method, false);
    json_t *result = wallet_call(wallet, method, params, failure);
    if (wallet->watch) wallet->watch(wallet->watch_ctx, method, true);
    return result;
}

/* --- a test's side ---------------------------------------------------------------------------- */

static void add_coin(struct wallet_double *wallet, uint64_t value_sat)
{
    struct wallet_plan plan = {.change = value_sat,
                               .change_script = own_script,
                               .change_script_bytes = sizeof own_script,
                               .inputs = 1};
    uint8_t tx[WALLET_TX_BYTES_MAX];
    struct owm_rng rng;
    owm_rng_seed(&rng, ++wallet->seed);
    for (int i = 0; i < 32; i++) plan.input[0].txid[i] = (uint8_t)owm_rng_u64(&rng);
    add_tx(wallet, tx, wallet_tx_write(&plan, true, tx))->known = true;
}

void wallet_add_coins(struct wallet_double *wallet, uint32_t coins, uint64_t value_sat)
{
    pthread_mutex_lock(&wallet->node.lock);
    for (uint32_t i = 0; i < coins; i++) add_coin(wallet, value_sat);
    mine_one(wallet);
    pthread_mutex_unlock(&wallet->node.lock);
}

void wallet_spend(struct wallet_double *wallet, bool same_root)
{
    struct wallet_plan plan = {0};
    uint8_t tx[WALLET_TX_BYTES_MAX];
    struct node_failure failure = {0};
    char hex[2 * WALLET_TX_BYTES_MAX + 1];
    pthread_mutex_lock(&wallet->node.lock);
    const struct wallet_tx *newest = &wallet->txs[wallet->tx_count - 1];
    owm_hex_encode(newest->data, newest->bytes, hex);
    OWM_ASSERT(wallet_plan_read(hex, &plan));
    plan.change -= 10 * newest->fee_sat;
    plan.has_root = same_root;
    plan.change_script = own_script;
    plan.change_script_bytes = sizeof own_script;
    json_t *txid = take(wallet, tx, wallet_tx_write(&plan, true, tx), &failure);
    OWM_ASSERT(txid);
    json_decref(txid);
    pthread_mutex_unlock(&wallet->node.lock);
}

void wallet_open_double(struct wallet_double *wallet, uint32_t blocks, uint32_t coins,
                        uint64_t value_sat)
{
    *wallet = (struct wallet_double){.min_rate = 1, .others_max = 12};
    node_open(&wallet->node);
    node_mine(&wallet->node, 1, 0, NULL);
    wallet_add_coins(wallet, coins, value_sat);
    wallet_mine(wallet, blocks);
    pthread_mutex_lock(&wallet->node.lock);
    wallet->node.more_ctx = wallet;
    wallet->node.more = answer;
    pthread_mutex_unlock(&wallet->node.lock);
}

void wallet_close_double(struct wallet_double *wallet)
{
    node_close(&wallet->node);
    for (uint32_t i = 0; i < wallet->tx_count; i++) free(wallet->txs[i].data);
    for (size_t i = 0; i < WALLET_BLOCKS_MAX; i++) free_block(&wallet->blocks[i]);
    free(wallet->txs);
}
