/* rpc_transactions.c: transactions from outside and those that wait: made, sent, looked at. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "dataplane/chain/address.h"
#include "edit.h"
#include "rpc_internal.h"

#define SATS             1e8
#define DATA_BYTES_MAX   520 /* Of one push. */
#define SCRIPT_BYTES_MAX (DATA_BYTES_MAX + 4)
#define FEE_RATE_MAX     10000000 /* sat/kvB: Bitcoin Core's default. */
#define UNDECODABLE      "TX decode failed. Make sure the tx has at least one input."
#define MEMPOOL_BYTES    300000000

struct script {
    uint8_t data[SCRIPT_BYTES_MAX];
    uint32_t bytes;
};

/* OP_RETURN and one push. */
static bool data_script(const json_t *value, struct script *script, struct rpc_reply *reply)
{
    size_t bytes;
    struct owm_writer w;
    uint8_t *data = rpc_bytes(value, &bytes, "Data must be hexadecimal string", reply);
    if (!data) {
        if (reply->code == RPC_DESERIALIZATION) reply->code = RPC_PARAMETER;
        return false;
    }
    owm_writer_init(&w, script->data, sizeof script->data);
    owm_write_u8(&w, 0x6a);
    if (bytes > 0xff)
        owm_write_u8(&w, 0x4d), owm_write_u16_le(&w, (uint16_t)bytes);
    else if (bytes > 0x4b)
        owm_write_u8(&w, 0x4c), owm_write_u8(&w, (uint8_t)bytes);
    else
        owm_write_u8(&w, (uint8_t)bytes);
    owm_write_bytes(&w, data, bytes);
    script->bytes = (uint32_t)w.at;
    free(data);
    if (owm_writer_ok(&w) && bytes <= DATA_BYTES_MAX) return true;
    rpc_fail(reply, RPC_PARAMETER, "Data is longer than one push can be (520 bytes)");
    return false;
}

static bool add_out(struct edit *edit, const char *key, const json_t *value, struct script *script,
                    struct rpc_reply *reply)
{
    int64_t sats = 0;
    if (strcmp(key, "data") == 0) {
        if (!data_script(value, script, reply)) return false;
    } else {
        uint8_t bytes[OWM_SCRIPT_BYTES_MAX];
        if (owm_address_script(key, OWM_REGTEST, bytes, &script->bytes, NULL) != OWM_OK) {
            rpc_fail(reply, RPC_NOT_FOUND, "Invalid Bitcoin address");
            return false;
        }
        memcpy(script->data, bytes, script->bytes);
        if (!rpc_decimal(value, SATS, &sats, reply)) return false;
    }
    const struct edit_out out = {sats, {script->data, script->bytes}};
    if (edit_add_out(edit, edit->outs, &out)) return true;
    rpc_fail(reply, RPC_PARAMETER, "too many outputs");
    return false;
}

/* An array of objects of one key each, or one object with all. */
static bool add_outs(struct edit *edit, json_t *outputs, struct script *scripts,
                     struct rpc_reply *reply)
{
    size_t i;
    const char *key;
    json_t *one, *value;
    if (!json_is_array(outputs) && !json_is_object(outputs)) {
        rpc_fail(reply, RPC_PARAMETER, "Invalid parameter, outputs argument must be non-null");
        return false;
    }
    json_object_foreach(outputs, key, value) if (edit->outs < EDIT_OUTS_MAX
                                                 && !add_out(edit, key, value, &scripts[edit->outs],
                                                             reply)) return false;
    json_array_foreach(outputs, i, one)
    {
        if (!json_is_object(one) || json_object_size(one) != 1 || edit->outs == EDIT_OUTS_MAX) {
            rpc_fail(reply, RPC_PARAMETER,
                     "Invalid parameter, key-value pair must contain exactly one key");
            return false;
        }
        key = json_object_iter_key(json_object_iter(one));
        if (!add_out(edit, key, json_object_get(one, key), &scripts[edit->outs], reply))
            return false;
    }
    return true;
}

static bool add_ins(struct edit *edit, const json_t *inputs, uint32_t sequence,
                    struct rpc_reply *reply)
{
    size_t i;
    const json_t *one;
    json_array_foreach(inputs, i, one)
    {
        const json_t *index = json_object_get(one, "vout"), *own = json_object_get(one, "sequence");
        struct edit_in in = {.key.index = (uint32_t)json_integer_value(index),
                             .sequence = own ? (uint32_t)json_integer_value(own) : sequence};
        if (!rpc_hash(json_object_get(one, "txid"), "txid must be of length 64 and hexadecimal",
                      in.key.txid, reply))
            return false;
        if (!json_is_integer(index) || !edit_add_in(edit, &in)) {
            rpc_fail(reply, RPC_PARAMETER, "Invalid parameter, missing vout key, or too many");
            return false;
        }
    }
    return true;
}

static void create(const json_t *params, struct edit *edit, struct script *scripts,
                   struct rpc_reply *reply)
{
    const json_t *lock_time = json_array_get(params, 2);
    *edit = (struct edit){.version = 2, .lock_time = (uint32_t)json_integer_value(lock_time)};
    const uint32_t sequence = json_is_false(json_array_get(params, 3))
                                  ? UINT32_MAX - (edit->lock_time > 0)
                                  : MEMPOOL_SEQUENCE_OPEN;
    if (!add_ins(edit, json_array_get(params, 0), sequence, reply)) return;
    if (!add_outs(edit, json_array_get(params, 1), scripts, reply)) return;
    size_t bytes;
    uint8_t *data = edit_write(edit, false, &bytes);
    if (data) reply->result = rpc_hex_json(data, bytes);
    if (!reply->result) rpc_fail(reply, RPC_OUT_OF_MEMORY, "out of memory");
    free(data);
}

static void create_raw_transaction(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)rpc;
    struct edit *edit = malloc(sizeof *edit);
    struct script *scripts = calloc(EDIT_OUTS_MAX, sizeof *scripts);
    if (edit && scripts)
        create(params, edit, scripts, reply);
    else
        rpc_fail(reply, RPC_OUT_OF_MEMORY, "out of memory");
    free(edit);
    free(scripts);
}

static void fail_send(struct rpc_reply *reply, const char *reason)
{
    if (!*reason)
        rpc_fail(reply, RPC_DESERIALIZATION, UNDECODABLE);
    else if (strcmp(reason, MEMPOOL_MINED) == 0)
        rpc_fail(reply, RPC_IN_CHAIN, reason);
    else if (strcmp(reason, MEMPOOL_MISSING) == 0 || strcmp(reason, MEMPOOL_FEE_TOO_HIGH) == 0)
        rpc_fail(reply, RPC_TRANSACTION, reason);
    else
        rpc_fail(reply, RPC_REJECTED, reason);
}

static void send_raw_transaction(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const json_t *rate = json_array_get(params, 1);
    const struct mempool_tx *tx;
    int64_t fee_rate_max = FEE_RATE_MAX;
    size_t bytes;
    if (rate && !json_is_null(rate) && !rpc_decimal(rate, SATS, &fee_rate_max, reply)) return;
    uint8_t *data = rpc_bytes(json_array_get(params, 0), &bytes, UNDECODABLE, reply);
    if (!data) return;
    const char *reason = mempool_send(rpc->mempool, data, bytes, fee_rate_max, &tx);
    free(data);
    if (reason) {
        owm_log(OWM_LOG_WARN, "transaction_refused reason=%s", *reason ? reason : "undecodable");
        fail_send(reply, reason);
        return;
    }
    reply->result = rpc_hash_json(tx->read.tx[0].txid);
}

/* One of a block that the caller names. */
static void find_in_block(struct rpc *rpc, const struct chain_node *node, const uint8_t txid[32],
                          bool verbose, struct rpc_reply *reply)
{
    uint8_t *data;
    struct wire_block block;
    if (chain_read(rpc->chain, node, &data) != OWM_OK) {
        rpc_fail(reply, RPC_MISC, "Block not found on disk");
        return;
    }
    if (wire_block_read(&block, data, node->bytes) == OWM_OK) {
        const uint8_t *at = block.header + WIRE_HEADER_BYTES;
        at += block.txs < 0xfd ? 1 : block.txs <= 0xffff ? 3 : 5;
        for (uint32_t i = 0; !reply->result && i < block.txs; at += block.tx[i++].bytes)
            if (memcmp(block.tx[i].txid, txid, 32) == 0)
                reply->result = verbose ? rpc_transaction_json(&block, &block.tx[i])
                                        : rpc_hex_json(at, block.tx[i].bytes);
        wire_block_free(&block);
    }
    free(data);
    if (!reply->result)
        rpc_fail(reply, RPC_NOT_FOUND,
                 "No such transaction found in the provided block. Use gettransaction for wallet "
                 "transactions.");
    else if (verbose)
        json_object_set_new(reply->result, "blockhash", rpc_hash_json(node->hash));
}

static void get_raw_transaction(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const json_t *verbosity = json_array_get(params, 1), *where = json_array_get(params, 2);
    const bool verbose = json_is_true(verbosity) || json_integer_value(verbosity) > 0;
    uint8_t txid[32];
    if (!rpc_hash(json_array_get(params, 0), "txid must be of length 64 and hexadecimal", txid,
                  reply))
        return;
    if (where && !json_is_null(where)) {
        const struct chain_node *node = rpc_block_named(rpc, where, reply);
        if (node) find_in_block(rpc, node, txid, verbose, reply);
        return;
    }
    const struct mempool_tx *tx = mempool_find(rpc->mempool, txid);
    if (!tx || !tx->waiting) {
        rpc_fail(reply, RPC_NOT_FOUND,
                 "No such mempool transaction. Use -txindex or provide a block hash to enable "
                 "blockchain transaction queries. Use gettransaction for wallet transactions.");
        return;
    }
    reply->result = verbose ? rpc_transaction_json(&tx->read, tx->read.tx)
                            : rpc_hex_json(tx->data, tx->read.bytes);
    if (verbose) json_object_set_new(reply->result, "hex", rpc_hex_json(tx->data, tx->read.bytes));
}

static bool is_parent(const struct mempool_tx *parent, const struct mempool_tx *tx)
{
    for (uint32_t i = 0; i < tx->read.ins; i++)
        if (memcmp(tx->read.in[i].txid, parent->read.tx[0].txid, 32) == 0) return true;
    return false;
}

static json_t *entry_json(const struct mempool *pool, const struct mempool_tx *tx)
{
    uint32_t count;
    const struct mempool_tx *const *waiting = mempool_waiting(pool, &count);
    json_t *depends = json_array(), *spent_by = json_array();
    for (uint32_t i = 0; i < count; i++) {
        if (is_parent(waiting[i], tx))
            json_array_append_new(depends, rpc_hash_json(waiting[i]->read.tx[0].txid));
        if (is_parent(tx, waiting[i]))
            json_array_append_new(spent_by, rpc_hash_json(waiting[i]->read.tx[0].txid));
    }
    return json_pack("{s:i, s:i, s:I, s:o, s:{s:o, s:o}, s:o, s:o, s:b, s:b}", "vsize",
                     (int)wire_tx_vbytes(tx->read.tx), "weight", (int)wire_tx_weight(tx->read.tx),
                     "time", (json_int_t)tx->time_s, "wtxid", rpc_hash_json(tx->read.tx[0].wtxid),
                     "fees", "base", rpc_sats_json(tx->fee_sats), "modified",
                     rpc_sats_json(tx->fee_sats), "depends", depends, "spentby", spent_by,
                     "bip125-replaceable", (int)mempool_replaceable(pool, tx), "unbroadcast", 0);
}

static void get_mempool_entry(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    uint8_t txid[32];
    if (!rpc_hash(json_array_get(params, 0), "txid must be of length 64 and hexadecimal", txid,
                  reply))
        return;
    const struct mempool_tx *tx = mempool_find(rpc->mempool, txid);
    if (tx && tx->waiting)
        reply->result = entry_json(rpc->mempool, tx);
    else
        rpc_fail(reply, RPC_NOT_FOUND, "Transaction not in mempool");
}

static void get_raw_mempool(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    uint32_t count;
    const struct mempool_tx *const *waiting = mempool_waiting(rpc->mempool, &count);
    const bool verbose = json_is_true(json_array_get(params, 0));
    reply->result = verbose ? json_object() : json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *txid = rpc_hash_json(waiting[i]->read.tx[0].txid);
        if (!verbose) {
            json_array_append_new(reply->result, txid);
            continue;
        }
        json_object_set_new(reply->result, json_string_value(txid),
                            entry_json(rpc->mempool, waiting[i]));
        json_decref(txid);
    }
}

static void get_mempool_info(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)params;
    uint32_t count;
    const struct mempool_tx *const *waiting = mempool_waiting(rpc->mempool, &count);
    uint64_t vbytes = 0, bytes = 0;
    int64_t fees_sats = 0;
    for (uint32_t i = 0; i < count; i++) {
        vbytes += wire_tx_vbytes(waiting[i]->read.tx);
        bytes += waiting[i]->read.bytes;
        fees_sats += waiting[i]->fee_sats;
    }
    reply->result =
        json_pack("{s:b, s:i, s:I, s:I, s:o, s:i, s:o, s:o, s:o, s:i, s:b}", "loaded", 1, "size",
                  (int)count, "bytes", (json_int_t)vbytes, "usage", (json_int_t)bytes, "total_fee",
                  rpc_sats_json(fees_sats), "maxmempool", MEMPOOL_BYTES, "mempoolminfee",
                  rpc_sats_json(MEMPOOL_RELAY_RATE), "minrelaytxfee",
                  rpc_sats_json(MEMPOOL_RELAY_RATE), "incrementalrelayfee",
                  rpc_sats_json(MEMPOOL_RELAY_RATE), "unbroadcastcount", 0, "fullrbf", 0);
}

/* As a node answers that has seen too few blocks that were full. */
static void estimate_smart_fee(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)rpc;
    const json_t *target = json_array_get(params, 0);
    if (!json_is_integer(target))
        rpc_fail(reply, RPC_TYPE, "JSON value is not an integer as expected");
    else
        reply->result = json_pack("{s:[s], s:I}", "errors", "Insufficient data or no feerate found",
                                  "blocks", json_integer_value(target));
}

const struct rpc_method rpc_transactions[] = {
    {"createrawtransaction", create_raw_transaction},
    {"estimatesmartfee", estimate_smart_fee},
    {"getmempoolentry", get_mempool_entry},
    {"getmempoolinfo", get_mempool_info},
    {"getrawmempool", get_raw_mempool},
    {"getrawtransaction", get_raw_transaction},
    {"sendrawtransaction", send_raw_transaction},
    {NULL, NULL},
};
