/* template_text.c: synthetic transactions, hashes and commitment from base/sha256 alone. */
#include "template_text.h"

#include "base/bytes.h"
#include "base/sha256.h"
#include "dataplane/chain/template.h"
#include "test.h"

void hash_twice(const void *data, size_t bytes, uint8_t hash[32])
{
    owm_sha256(data, bytes, hash);
    owm_sha256(hash, 32, hash);
}

static void hash_text(const uint8_t hash[32], char text[65])
{
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", hash[31 - i]);
}

/* One input, one output; the number is in the output's value. */
static size_t write_transaction(uint8_t *data, size_t room, uint32_t number, bool witness)
{
    struct owm_writer w;
    owm_writer_init(&w, data, room);
    uint8_t from[32] = {1};
    owm_write_u32_le(&w, 2);
    if (witness) owm_write_u16_le(&w, 0x0100);
    owm_write_u8(&w, 1);
    owm_write_bytes(&w, from, 32);
    owm_write_u32_le(&w, number);
    owm_write_u8(&w, 0);
    owm_write_u32_le(&w, 0xffffffff);
    owm_write_u8(&w, 1);
    owm_write_u64_le(&w, 1000 + number);
    owm_write_u8(&w, 1);
    owm_write_u8(&w, 0x51);
    if (witness) owm_write_bytes(&w, (const uint8_t[]){1, 2, 0xab, 0xcd}, 4);
    owm_write_u32_le(&w, 0);
    assert_true(owm_writer_ok(&w));
    return w.at;
}

static void naive_root(uint8_t (*leaf)[32], uint32_t count, uint8_t root[32])
{
    while (count > 1) {
        if (count % 2) memcpy(leaf[count], leaf[count - 1], 32), count++;
        for (uint32_t i = 0; i < count / 2; i++) hash_twice(leaf[2 * i], 64, leaf[i]);
        count /= 2;
    }
    memcpy(root, leaf[0], 32);
}

static json_t *transaction_json(uint32_t number, uint8_t wtxid[32])
{
    uint8_t whole[200], bare[200], txid[32];
    char hex[401], txid_text[65], wtxid_text[65];
    size_t bytes = write_transaction(whole, sizeof whole, number, number % 3 == 0);
    hash_twice(whole, bytes, wtxid);
    hash_twice(bare, write_transaction(bare, sizeof bare, number, false), txid);
    owm_hex_encode(whole, bytes, hex);
    hash_text(txid, txid_text);
    hash_text(wtxid, wtxid_text);
    return json_pack("{s:s, s:s, s:s, s:[], s:i, s:i, s:i}", "data", hex, "txid", txid_text, "hash",
                     wtxid_text, "depends", "fee", (int)number + 1, "sigops", 0, "weight", 0);
}

json_t *template_json(uint32_t count)
{
    static uint8_t leaf[TEXT_TRANSACTIONS_MAX + 2][32];
    uint8_t pair[64] = {0}, hash[32];
    char script[77] = "6a24aa21a9ed";
    json_t *list = json_array();
    int64_t value_sats = 5000000000;
    assert_true(count <= TEXT_TRANSACTIONS_MAX);
    memset(leaf[0], 0, 32);
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(list, transaction_json(i, leaf[i + 1]));
        value_sats += i + 1;
    }
    naive_root(leaf, count + 1, pair);
    hash_twice(pair, 64, hash);
    owm_hex_encode(hash, 32, script + 12);
    return json_pack("{s:i, s:[s,s], s:s, s:o, s:{}, s:I, s:s, s:s, s:i, s:i, s:s, s:i, s:s}",
                     "version", 0x20000000, "rules", "csv", "!segwit", "previousblockhash",
                     "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
                     "transactions", list, "coinbaseaux", "coinbasevalue", (json_int_t)value_sats,
                     "longpollid", "tip1", "target",
                     "7fffff0000000000000000000000000000000000000000000000000000000000", "mintime",
                     1700000001, "curtime", 1700000100, "bits", "207fffff", "height", 101,
                     "default_witness_commitment", script);
}

struct owm_template *template_parsed(const json_t *root)
{
    struct owm_template *block;
    struct owm_error error = {""};
    char *text = json_dumps(root, 0);
    assert_non_null(text);
    if (owm_template_parse(text, strlen(text), &block, &error)) fail_msg("%s", error.text);
    free(text);
    return block;
}
