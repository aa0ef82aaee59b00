/* btcd_peer.c: mines on a running btcd in regtest: its templates are read, and the blocks that come
 * of them are accepted, before segwit is active and after, with transactions of both
 * serialisations. Usage: btcd_peer URL USER:PASSWORD. Started by btcd.sh.
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/http_client.h"
#include "base/sha256.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/template.h"
#include "dataplane/chain/uint256.h"

#define BLOCKS_BEFORE    440 /* Three windows of 144: started, locked in, active (BIP 9). */
#define BLOCKS_AFTER     6
#define SPENDS           5
#define FEE_SATS         20000
#define EXTRANONCE_BYTES 8

static const char *url, *pair;
static uint8_t coinbase_txid[BLOCKS_BEFORE + 1][32];
static const uint8_t extranonce[EXTRANONCE_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};

__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* New reference to the result. */
static json_t *call(const char *method, json_t *params)
{
    char text[128], header[160];
    struct owm_error error = {""};
    struct owm_http_result result;
    json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "1.0", "id", 1, "method", method,
                                "params", params);
    char *body = json_dumps(request, JSON_COMPACT);
    owm_base64_encode(pair, strlen(pair), text);
    snprintf(header, sizeof header, "Authorization: Basic %s", text);
    const struct owm_http_call http = {.url = url,
                                       .body = body,
                                       .body_bytes = strlen(body),
                                       .content_type = "application/json",
                                       .headers = (const char *const[]){header, NULL}};
    if (owm_http_fetch(&http, &result, &error)) give_up("%s: %s", method, error.text);
    json_t *reply = json_loadb((const char *)result.body, result.body_bytes, 0, NULL);
    json_t *value = json_incref(json_object_get(reply, "result"));
    if (!reply || !json_is_null(json_object_get(reply, "error")))
        give_up("%s: %.*s", method, (int)result.body_bytes, (const char *)result.body);
    owm_http_result_deinit(&result);
    json_decref(reply);
    json_decref(request);
    free(body);
    return value;
}

static struct owm_template *get_template(void)
{
    struct owm_template *block;
    struct owm_error error = {""};
    json_t *root = call("getblocktemplate", json_pack("[{s:[s], s:[s]}]", "capabilities",
                                                      "coinbasevalue", "rules", "segwit"));
    char *text = json_dumps(root, 0);
    if (owm_template_parse(text, strlen(text), &block, &error))
        give_up("template: %s\n%s", error.text, text);
    json_decref(root);
    free(text);
    return block;
}

/* OP_TRUE for odd heights, its witness hash for even ones. */
static uint32_t script_of(uint32_t height, uint8_t script[34])
{
    static const uint8_t op_true = 0x51;
    script[0] = op_true;
    if (height % 2) return 1;
    script[0] = 0;
    script[1] = 32;
    owm_sha256(&op_true, 1, script + 2);
    return 34;
}

static void grind(const struct owm_template *block, const uint8_t root[32], uint8_t header[80])
{
    const struct owm_uint256 target = owm_uint256_from_le(block->target);
    uint8_t hash[32];
    struct owm_uint256 value;
    uint32_t nonce = 0;
    do {
        owm_header_write(&(struct owm_header_fields){block->version, block->current_time_s,
                                                     block->bits, nonce++, block->previous, root},
                         header);
        owm_sha256d(header, 80, hash);
        value = owm_uint256_from_le(hash);
    } while (owm_uint256_compare(&value, &target) > 0);
}

static void keep_txid(uint32_t height, const struct owm_coinbase *coinbase)
{
    struct owm_sha256_ctx ctx;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, coinbase->prefix, coinbase->prefix_bytes);
    owm_sha256_update(&ctx, extranonce, sizeof extranonce);
    owm_sha256_update(&ctx, coinbase->suffix, coinbase->suffix_bytes);
    owm_sha256_final(&ctx, coinbase_txid[height]);
    owm_sha256(coinbase_txid[height], 32, coinbase_txid[height]);
}

static void submit(const struct owm_template *block, const char *hex, const uint8_t header[80])
{
    uint8_t hash[32];
    char text[OWM_HASH_TEXT_BYTES];
    json_t *verdict = call("submitblock", json_pack("[s]", hex));
    if (!json_is_null(verdict))
        give_up("height %u: %s\n%s", block->height, json_dumps(verdict, JSON_ENCODE_ANY), hex);
    owm_sha256d(header, 80, hash);
    owm_hash_text(hash, text);
    json_t *best = call("getbestblockhash", json_array());
    if (strcmp(json_string_value(best), text) != 0)
        give_up("height %u: the tip is %s, not %s", block->height, json_string_value(best), text);
    json_decref(verdict);
    json_decref(best);
}

/* One block from a template; how many transactions it held, and whether it committed to witnesses.
 * */
static uint32_t mine(bool *committed)
{
    struct owm_template *block = get_template();
    struct owm_coinbase_plan plan = {.tag = "/OWM/", .extranonce_bytes = EXTRANONCE_BYTES};
    struct owm_coinbase coinbase;
    struct owm_error error = {""};
    uint8_t root[32], header[80];
    char *hex;
    plan.script_bytes = script_of(block->height, plan.script);
    if (owm_coinbase_build(block, &plan, &coinbase, &error)) give_up("coinbase: %s", error.text);
    owm_merkle_root(block, &coinbase, extranonce, root);
    grind(block, root, header);
    if (owm_block_hex(block, &coinbase, extranonce, header, &hex)) give_up("out of memory");
    submit(block, hex, header);
    if (block->height <= BLOCKS_BEFORE) keep_txid(block->height, &coinbase);
    const uint32_t transactions = block->transactions;
    *committed = block->commitment_bytes > 0;
    free(hex);
    owm_template_release(block);
    return transactions;
}

/* Spends the coinbase of a height, for a fee. */
static void send_spend(uint32_t height)
{
    uint8_t data[200], script[34];
    char hex[401];
    struct owm_writer w;
    const uint32_t script_bytes = script_of(0, script);
    owm_writer_init(&w, data, sizeof data);
    owm_write_u32_le(&w, 2);
    if (height % 2 == 0) owm_write_bytes(&w, (const uint8_t[]){0, 1}, 2);
    owm_write_u8(&w, 1);
    owm_write_bytes(&w, coinbase_txid[height], 32);
    owm_write_u32_le(&w, 0);
    owm_write_u8(&w, 0);
    owm_write_u32_le(&w, UINT32_MAX);
    owm_write_u8(&w, 1);
    owm_write_u64_le(&w, UINT64_C(5000000000) - FEE_SATS);
    owm_write_u8(&w, (uint8_t)script_bytes);
    owm_write_bytes(&w, script, script_bytes);
    if (height % 2 == 0) owm_write_bytes(&w, (const uint8_t[]){1, 1, 0x51}, 3);
    owm_write_u32_le(&w, 0);
    owm_hex_encode(data, w.at, hex);
    json_decref(call("sendrawtransaction", json_pack("[s]", hex)));
}

int main(int argc, char **argv)
{
    bool committed = false;
    uint32_t transactions = 0;
    if (argc != 3) give_up("usage: btcd_peer URL USER:PASSWORD");
    url = argv[1];
    pair = argv[2];
    for (uint32_t i = 0; i < BLOCKS_BEFORE; i++) mine(&committed);
    for (uint32_t i = 0; i < BLOCKS_AFTER; i++) {
        for (uint32_t k = 1; k <= SPENDS; k++) send_spend(i * SPENDS + k);
        transactions += mine(&committed);
        /* btcd commits only where there are witnesses: that both forms are taken is seen here. */
        if (!committed) give_up("segwit is not active after %d blocks", BLOCKS_BEFORE + i);
    }
    if (transactions != BLOCKS_AFTER * SPENDS)
        give_up("%u transactions were mined, not %d", transactions, BLOCKS_AFTER * SPENDS);
    printf("btcd accepted %d blocks and %u transactions in them\n", BLOCKS_BEFORE + BLOCKS_AFTER,
           transactions);
    return 0;
}
