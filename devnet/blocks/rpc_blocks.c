/* rpc_blocks.c: what the chain and its blocks look like. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/target.h"
#include "rpc_internal.h"
#include "template.h"

#define CORE_VERSION     270000 /* Whose answers these are like. */
#define PROTOCOL_VERSION 70016
#define SUBVERSION       "/owm-devnet-blocks:0.1.0(development block source, no Bitcoin node)/"
#define BITS_AT          72

/* As Bitcoin Core computes it: against a target of ffff and 26 zero bytes. */
static double difficulty_of(uint32_t bits)
{
    double difficulty = 65535.0 / (bits & 0xffffff);
    for (uint32_t size = bits >> 24; size < 29; size++) difficulty *= 256;
    for (uint32_t size = bits >> 24; size > 29; size--) difficulty /= 256;
    return difficulty;
}

static json_t *bits_json(uint32_t bits)
{
    char text[9];
    snprintf(text, sizeof text, "%08x", bits);
    return json_string(text);
}

static json_t *target_json(uint32_t bits)
{
    uint8_t target[32];
    owm_target_from_compact(bits, target);
    return rpc_hash_json(target);
}

static json_t *work_json(const struct owm_uint256 *work)
{
    uint8_t bytes[32];
    owm_uint256_to_le(work, bytes);
    return rpc_hash_json(bytes);
}

static uint32_t header_u32(const struct chain_node *node, size_t at)
{
    struct owm_reader r;
    owm_reader_init(&r, node->header + at, 4);
    return owm_read_u32_le(&r);
}

static void get_blockchain_info(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)params;
    const struct chain_node *tip = chain_tip(rpc->chain);
    const uint32_t bits = header_u32(tip, BITS_AT);
    reply->result =
        json_pack("{s:s, s:i, s:i, s:o, s:o, s:o, s:f, s:I, s:I, s:i, s:b, s:o, s:I, s:b, s:s}",
                  "chain", "regtest", "blocks", (int)tip->height, "headers", (int)tip->height,
                  "bestblockhash", rpc_hash_json(tip->hash), "bits", bits_json(bits), "target",
                  target_json(bits), "difficulty", difficulty_of(bits), "time",
                  (json_int_t)tip->time_s, "mediantime", (json_int_t)chain_median_time_s(tip),
                  "verificationprogress", 1, "initialblockdownload", 0, "chainwork",
                  work_json(&tip->work), "size_on_disk", (json_int_t)chain_file_bytes(rpc->chain),
                  "pruned", 0, "warnings", "this is a development block source, no Bitcoin node");
}

static void get_network_info(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)rpc;
    (void)params;
    reply->result =
        json_pack("{s:i, s:s, s:i, s:i, s:i, s:i, s:b, s:[], s:s}", "version", CORE_VERSION,
                  "subversion", SUBVERSION, "protocolversion", PROTOCOL_VERSION, "connections", 0,
                  "connections_in", 0, "connections_out", 0, "networkactive", 0, "networks",
                  "warnings", "this is a development block source, no Bitcoin node");
}

static void get_connection_count(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)rpc;
    (void)params;
    reply->result = json_integer(0);
}

static void get_block_count(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)params;
    reply->result = json_integer(chain_tip(rpc->chain)->height);
}

static void get_best_block_hash(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    (void)params;
    reply->result = rpc_hash_json(chain_tip(rpc->chain)->hash);
}

static void get_block_hash(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const json_t *height = json_array_get(params, 0);
    const struct chain_node *node = NULL;
    if (!json_is_integer(height)) {
        rpc_fail(reply, RPC_TYPE, "JSON value is not an integer as expected");
        return;
    }
    json_int_t wanted = json_integer_value(height);
    if (wanted >= 0 && wanted <= UINT32_MAX) node = chain_at(rpc->chain, (uint32_t)wanted);
    if (node)
        reply->result = rpc_hash_json(node->hash);
    else
        rpc_fail(reply, RPC_PARAMETER, "Block height out of range");
}

const struct chain_node *rpc_block_named(struct rpc *rpc, const json_t *text,
                                         struct rpc_reply *reply)
{
    uint8_t hash[32];
    if (!rpc_hash(text, "blockhash must be of length 64 and hexadecimal", hash, reply)) return NULL;
    const struct chain_node *node = chain_find(rpc->chain, hash);
    if (!node) rpc_fail(reply, RPC_NOT_FOUND, "Block not found");
    return node;
}

/* Fields that a header and a block have in common. */
static json_t *header_json(const struct rpc *rpc, const struct chain_node *node)
{
    const struct chain_node *next = chain_at(rpc->chain, node->height + 1);
    const bool active = chain_at(rpc->chain, node->height) == node;
    const uint32_t version = header_u32(node, 0), bits = header_u32(node, BITS_AT);
    const int confirmations = active ? (int)(chain_tip(rpc->chain)->height - node->height + 1) : -1;
    char version_hex[9];
    snprintf(version_hex, sizeof version_hex, "%08x", version);
    json_t *root = json_pack(
        "{s:o, s:i, s:i, s:I, s:s, s:o, s:I, s:I, s:I, s:o, s:o, s:f, s:o, s:i}", "hash",
        rpc_hash_json(node->hash), "confirmations", confirmations, "height", (int)node->height,
        "version", (json_int_t)(int32_t)version, "versionHex", version_hex, "merkleroot",
        rpc_hash_json(node->header + 36), "time", (json_int_t)node->time_s, "mediantime",
        (json_int_t)chain_median_time_s(node), "nonce", (json_int_t)header_u32(node, 76), "bits",
        bits_json(bits), "target", target_json(bits), "difficulty", difficulty_of(bits),
        "chainwork", work_json(&node->work), "nTx", (int)node->txs);
    if (root && node->previous)
        json_object_set_new(root, "previousblockhash", rpc_hash_json(node->previous->hash));
    if (root && active && next)
        json_object_set_new(root, "nextblockhash", rpc_hash_json(next->hash));
    return root;
}

static void get_block_header(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const struct chain_node *node = rpc_block_named(rpc, json_array_get(params, 0), reply);
    if (!node) return;
    reply->result = json_is_false(json_array_get(params, 1))
                        ? rpc_hex_json(node->header, sizeof node->header)
                        : header_json(rpc, node);
}

static json_t *block_json(const struct rpc *rpc, const struct chain_node *node, const uint8_t *data)
{
    struct wire_block block;
    if (wire_block_read(&block, data, node->bytes) != OWM_OK) return NULL;
    json_t *root = header_json(rpc, node), *list = json_array();
    const uint64_t weight = wire_weight(&block);
    for (uint32_t i = 0; i < block.txs; i++)
        json_array_append_new(list, rpc_hash_json(block.tx[i].txid));
    json_object_set_new(root, "strippedsize", json_integer((json_int_t)(weight - node->bytes) / 3));
    json_object_set_new(root, "size", json_integer(node->bytes));
    json_object_set_new(root, "weight", json_integer((json_int_t)weight));
    json_object_set_new(root, "tx", list);
    wire_block_free(&block);
    return root;
}

static void get_block(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const json_t *verbosity = json_array_get(params, 1);
    const bool raw = json_is_false(verbosity)
                     || (json_is_integer(verbosity) && json_integer_value(verbosity) == 0);
    const struct chain_node *node = rpc_block_named(rpc, json_array_get(params, 0), reply);
    uint8_t *data;
    if (!node) return;
    if (node->failed || chain_read(rpc->chain, node, &data) != OWM_OK) {
        rpc_fail(reply, RPC_MISC, "Block not found on disk");
        return;
    }
    reply->result = raw ? rpc_hex_json(data, node->bytes) : block_json(rpc, node, data);
    if (!reply->result) rpc_fail(reply, RPC_MISC, "Can't read block from disk");
    free(data);
}

const struct rpc_method rpc_blocks[] = {
    {"getbestblockhash", get_best_block_hash},
    {"getblock", get_block},
    {"getblockchaininfo", get_blockchain_info},
    {"getblockcount", get_block_count},
    {"getblockhash", get_block_hash},
    {"getblockheader", get_block_header},
    {"getconnectioncount", get_connection_count},
    {"getnetworkinfo", get_network_info},
    {NULL, NULL},
};
