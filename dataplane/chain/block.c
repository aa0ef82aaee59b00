/* block.c: from a template, a coinbase and an extranonce to a root, a header and a whole block. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "merkle.h"
#include "template.h"

#define VERSION_BYTES      4
#define LOCK_TIME_BYTES    4
#define HEADER_BYTES       80
#define COUNT_BYTES_MAX    5
#define WITNESS_HEAD_BYTES 2
#define WITNESS_BYTES      34

void owm_merkle_root(const struct owm_template *block, const struct owm_coinbase *coinbase,
                     const uint8_t *extranonce, uint8_t root[32])
{
    uint8_t txid[32];
    struct owm_sha256_ctx ctx;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, coinbase->prefix, coinbase->prefix_bytes);
    owm_sha256_update(&ctx, extranonce, coinbase->extranonce_bytes);
    owm_sha256_update(&ctx, coinbase->suffix, coinbase->suffix_bytes);
    owm_sha256_final(&ctx, txid);
    owm_sha256(txid, 32, txid);
    owm_merkle_fold(txid, block->branch, block->branches, root);
}

void owm_header_write(const struct owm_header_fields *fields, uint8_t header[80])
{
    struct owm_writer w;
    owm_writer_init(&w, header, HEADER_BYTES);
    owm_write_u32_le(&w, fields->version);
    owm_write_bytes(&w, fields->previous, 32);
    owm_write_bytes(&w, fields->root, 32);
    owm_write_u32_le(&w, fields->time_s);
    owm_write_u32_le(&w, fields->bits);
    owm_write_u32_le(&w, fields->nonce);
}

static void write_count(struct owm_writer *w, uint32_t count)
{
    if (count < 0xfd) {
        owm_write_u8(w, (uint8_t)count);
    } else if (count <= UINT16_MAX) {
        owm_write_u8(w, 0xfd);
        owm_write_u16_le(w, (uint16_t)count);
    } else {
        owm_write_u8(w, 0xfe);
        owm_write_u32_le(w, count);
    }
}

/* BIP 144's form if the block commits to witnesses: a marker and a flag behind the version, one
 * item of 32 zero bytes before the lock time. Without a commitment a witness would be refused. */
static void write_coinbase(struct owm_writer *w, const struct owm_template *block,
                           const struct owm_coinbase *coinbase, const uint8_t *extranonce)
{
    static const uint8_t head[WITNESS_HEAD_BYTES] = {0, 1}, witness[WITNESS_BYTES] = {1, 32};
    const bool committed = block->commitment_bytes > 0;
    const uint32_t body_bytes = coinbase->suffix_bytes - LOCK_TIME_BYTES;
    owm_write_bytes(w, coinbase->prefix, VERSION_BYTES);
    if (committed) owm_write_bytes(w, head, sizeof head);
    owm_write_bytes(w, coinbase->prefix + VERSION_BYTES, coinbase->prefix_bytes - VERSION_BYTES);
    owm_write_bytes(w, extranonce, coinbase->extranonce_bytes);
    owm_write_bytes(w, coinbase->suffix, body_bytes);
    if (committed) owm_write_bytes(w, witness, sizeof witness);
    owm_write_bytes(w, coinbase->suffix + body_bytes, LOCK_TIME_BYTES);
}

owm_status owm_block_hex(const struct owm_template *block, const struct owm_coinbase *coinbase,
                         const uint8_t *extranonce, const uint8_t header[80], char **hex)
{
    size_t bytes_max = HEADER_BYTES + COUNT_BYTES_MAX + WITNESS_HEAD_BYTES + WITNESS_BYTES
                       + coinbase->prefix_bytes + coinbase->extranonce_bytes
                       + coinbase->suffix_bytes;
    for (uint32_t i = 0; i < block->transactions; i++) bytes_max += block->transaction[i].bytes;
    uint8_t *bytes = malloc(bytes_max);
    *hex = malloc(2 * bytes_max + 1);
    if (!bytes || !*hex) {
        free(bytes);
        free(*hex);
        *hex = NULL;
        return OWM_E_NOMEM;
    }
    struct owm_writer w;
    owm_writer_init(&w, bytes, bytes_max);
    owm_write_bytes(&w, header, HEADER_BYTES);
    write_count(&w, block->transactions + 1);
    write_coinbase(&w, block, coinbase, extranonce);
    for (uint32_t i = 0; i < block->transactions; i++)
        owm_write_bytes(&w, block->transaction[i].data, block->transaction[i].bytes);
    OWM_ASSERT(owm_writer_ok(&w));
    owm_hex_encode(bytes, w.at, *hex);
    free(bytes);
    return OWM_OK;
}
