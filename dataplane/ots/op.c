/* op.c: the eight ops, from one table. SHA-1, RIPEMD-160 and Keccak's permutation are nettle's,
 * because OpenSSL may come without the second and never has the third with its first padding. */
#include "op.h"

#include <nettle/ripemd160.h>
#include <nettle/sha1.h>
#include <nettle/sha3.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"

#define KECCAK256_RATE_BYTES 136

struct op_row {
    uint8_t tag;
    const char *name;
    bool binary;
    uint32_t digest_bytes;
    uint32_t message_bytes_min, message_bytes_max;
    void (*apply)(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                  uint32_t *bytes);
};

static void copy(uint8_t *to, struct owm_ots_bytes from)
{
    if (from.bytes > 0) memcpy(to, from.data, from.bytes);
}

static void append(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                   uint32_t *bytes)
{
    copy(result, message);
    copy(result + message.bytes, op->argument);
    *bytes = message.bytes + op->argument.bytes;
}

static void prepend(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                    uint32_t *bytes)
{
    copy(result, op->argument);
    copy(result + op->argument.bytes, message);
    *bytes = message.bytes + op->argument.bytes;
}

static void reverse(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                    uint32_t *bytes)
{
    (void)op;
    for (uint32_t i = 0; i < message.bytes; i++) result[i] = message.data[message.bytes - 1 - i];
    *bytes = message.bytes;
}

static void hexlify(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                    uint32_t *bytes)
{
    (void)op;
    char text[2 * OWM_OTS_HEXLIFY_BYTES_MAX + 1];
    owm_hex_encode(message.data, message.bytes, text);
    memcpy(result, text, 2 * message.bytes);
    *bytes = 2 * message.bytes;
}

static void sha1(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                 uint32_t *bytes)
{
    (void)op;
    struct sha1_ctx ctx;
    sha1_init(&ctx);
    sha1_update(&ctx, message.bytes, message.data);
    sha1_digest(&ctx, SHA1_DIGEST_SIZE, result);
    *bytes = SHA1_DIGEST_SIZE;
}

static void ripemd160(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                      uint32_t *bytes)
{
    (void)op;
    struct ripemd160_ctx ctx;
    ripemd160_init(&ctx);
    ripemd160_update(&ctx, message.bytes, message.data);
    ripemd160_digest(&ctx, RIPEMD160_DIGEST_SIZE, result);
    *bytes = RIPEMD160_DIGEST_SIZE;
}

static void sha256(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                   uint32_t *bytes)
{
    (void)op;
    owm_sha256(message.data, message.bytes, result);
    *bytes = OWM_SHA256_BYTES;
}

/* The state's byte i is byte i % 8 of word i / 8, lowest first. */
static void absorb(struct sha3_state *state, uint32_t at, uint8_t byte)
{
    state->a[at / 8] ^= (uint64_t)byte << (8 * (at % 8));
}

static void keccak256(const struct owm_ots_op *op, struct owm_ots_bytes message, uint8_t *result,
                      uint32_t *bytes)
{
    (void)op;
    struct sha3_state state = {.a = {0}};
    uint32_t at = 0;
    for (uint32_t i = 0; i < message.bytes; i++) {
        absorb(&state, at++, message.data[i]);
        if (at < KECCAK256_RATE_BYTES) continue;
        sha3_permute(&state);
        at = 0;
    }
    absorb(&state, at, 0x01);
    absorb(&state, KECCAK256_RATE_BYTES - 1, 0x80);
    sha3_permute(&state);
    for (uint32_t i = 0; i < 32; i++) result[i] = (uint8_t)(state.a[i / 8] >> (8 * (i % 8)));
    *bytes = 32;
}

#define MAX OWM_OTS_MESSAGE_BYTES_MAX
static const struct op_row rows[] = {
    {OWM_OTS_SHA1, "sha1", false, 20, 0, MAX, sha1},
    {OWM_OTS_RIPEMD160, "ripemd160", false, 20, 0, MAX, ripemd160},
    {OWM_OTS_SHA256, "sha256", false, 32, 0, MAX, sha256},
    {OWM_OTS_KECCAK256, "keccak256", false, 32, 0, MAX, keccak256},
    {OWM_OTS_APPEND, "append", true, 0, 0, MAX, append},
    {OWM_OTS_PREPEND, "prepend", true, 0, 0, MAX, prepend},
    {OWM_OTS_REVERSE, "reverse", false, 0, 1, MAX, reverse},
    {OWM_OTS_HEXLIFY, "hexlify", false, 0, 1, OWM_OTS_HEXLIFY_BYTES_MAX, hexlify},
};

static const struct op_row *row_of(uint8_t tag)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].tag == tag) return &rows[i];
    return NULL;
}

const char *owm_ots_op_name(uint8_t tag)
{
    const struct op_row *row = row_of(tag);
    return row ? row->name : NULL;
}

bool owm_ots_op_binary(uint8_t tag)
{
    const struct op_row *row = row_of(tag);
    return row && row->binary;
}

uint32_t owm_ots_digest_bytes(uint8_t tag)
{
    const struct op_row *row = row_of(tag);
    return row ? row->digest_bytes : 0;
}

static owm_status check_argument(const struct op_row *row, uint32_t bytes, struct owm_error *error)
{
    if (!row->binary && bytes > 0)
        return owm_fail(error, OWM_E_PROTO, "%s takes no argument", row->name);
    if (row->binary && (bytes == 0 || bytes > MAX))
        return owm_fail(error, OWM_E_PROTO, "%s of %u bytes; it takes 1 to %d", row->name, bytes,
                        MAX);
    return OWM_OK;
}

owm_status owm_ots_op_apply(const struct owm_ots_op *op, struct owm_ots_bytes message,
                            uint8_t *result, uint32_t *bytes, struct owm_error *error)
{
    const struct op_row *row = row_of(op->tag);
    if (!row) return owm_fail(error, OWM_E_PROTO, "unknown operation 0x%02x", op->tag);
    owm_status status = check_argument(row, op->argument.bytes, error);
    if (status != OWM_OK) return status;
    if (message.bytes < row->message_bytes_min)
        return owm_fail(error, OWM_E_PROTO, "%s of an empty message", row->name);
    if (message.bytes > row->message_bytes_max)
        return owm_fail(error, OWM_E_PROTO, "%s of a message of %u bytes; at most %u", row->name,
                        message.bytes, row->message_bytes_max);
    if (message.bytes + op->argument.bytes > MAX)
        return owm_fail(error, OWM_E_PROTO, "%s makes a message of %u bytes; at most %d", row->name,
                        message.bytes + op->argument.bytes, MAX);
    row->apply(op, message, result, bytes);
    return OWM_OK;
}
