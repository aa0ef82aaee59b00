/* premine.c: blocks of a coinbase alone, odd heights to OP_TRUE, even ones to its witness hash. */
#include "premine.h"

#include "base/bytes.h"

#define BLOCK_INTERVAL_S 600
#define VERSION          0x20000000
#define ROOT_AT          36
#define NONCE_AT         76

/* Regtest's header over the coinbase that all of Bitcoin's networks share. */
static const char genesis_hex[] =
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2"
    "7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4adae5494dffff7f20020000000101000000010000"
    "000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d01044554"
    "68652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f6620"
    "7365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0"
    "fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de"
    "5c384df7ba0b8d578a4c702b6bf11d5fac00000000";
#define GENESIS_BYTES (sizeof genesis_hex / 2)

const uint8_t *premine_genesis(uint32_t *bytes)
{
    static uint8_t genesis[GENESIS_BYTES];
    if (!genesis[0]) OWM_ASSERT(owm_hex_decode(genesis_hex, genesis, GENESIS_BYTES) == OWM_OK);
    *bytes = GENESIS_BYTES;
    return genesis;
}

/* OP_0 behind the height, since a scriptSig has at least two bytes. */
static uint8_t height_script(uint32_t height, uint8_t script[5])
{
    uint8_t bytes = 0;
    if (height <= 16) {
        script[bytes++] = (uint8_t)(0x50 + height);
    } else {
        script[bytes++] = height < 128 ? 1 : 2;
        script[bytes++] = (uint8_t)height;
        if (height >= 128) script[bytes++] = (uint8_t)(height >> 8);
    }
    script[bytes++] = 0;
    return bytes;
}

static void write_coinbase(struct owm_writer *w, uint32_t height)
{
    static const uint8_t none[32];
    uint8_t in_script[5], out_script[34], in_bytes = height_script(height, in_script);
    uint32_t out_bytes = coin_script(height % 2 ? COIN_TRUE : COIN_WITNESS_TRUE, out_script);
    owm_write_u32_le(w, 1);
    owm_write_u8(w, 1);
    owm_write_bytes(w, none, sizeof none);
    owm_write_u32_le(w, UINT32_MAX);
    owm_write_u8(w, in_bytes);
    owm_write_bytes(w, in_script, in_bytes);
    owm_write_u32_le(w, UINT32_MAX);
    owm_write_u8(w, 1);
    owm_write_u64_le(w, (uint64_t)check_subsidy_sats(height));
    owm_write_u8(w, (uint8_t)out_bytes);
    owm_write_bytes(w, out_script, out_bytes);
    owm_write_u32_le(w, 0);
}

/* Of 207fffff: the highest bit of the hash is zero, and every second one has that. */
static void grind(uint8_t header[WIRE_HEADER_BYTES])
{
    uint8_t hash[32];
    for (uint8_t nonce = 0;; nonce++) {
        header[NONCE_AT] = nonce;
        wire_hash(header, WIRE_HEADER_BYTES, hash);
        if (hash[31] < 0x7f) return;
    }
}

uint32_t premine_block(const struct chain_node *previous, uint8_t *data)
{
    static const uint8_t none[32];
    const uint32_t height = previous->height + 1;
    struct owm_writer w;
    owm_writer_init(&w, data, PREMINE_BYTES_MAX);
    owm_write_u32_le(&w, VERSION);
    owm_write_bytes(&w, previous->hash, 32);
    owm_write_bytes(&w, none, 32);
    owm_write_u32_le(&w, previous->time_s + BLOCK_INTERVAL_S);
    owm_write_u32_le(&w, CHAIN_REGTEST_BITS);
    owm_write_u32_le(&w, 0);
    owm_write_u8(&w, 1);
    const size_t coinbase_at = w.at;
    write_coinbase(&w, height);
    OWM_ASSERT(owm_writer_ok(&w));
    wire_hash(data + coinbase_at, w.at - coinbase_at, data + ROOT_AT);
    grind(data);
    return (uint32_t)w.at;
}
