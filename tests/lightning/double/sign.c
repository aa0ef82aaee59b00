/* sign.c: the node's key, and SignMessage: a recoverable signature over the double SHA-256 of
 * "Lightning Signed Message:" and the message, in zbase32 (LND's rpcserver.go). */
#include <secp256k1_recovery.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "double.h"

#define SIGNATURE_BYTES 65
#define PREFIX          "Lightning Signed Message:"

static void key_public(const uint8_t secret[32], uint8_t key[KEY_BYTES])
{
    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    secp256k1_pubkey point;
    size_t length = KEY_BYTES;
    OWM_ASSERT(secp256k1_ec_pubkey_create(context, &point, secret));
    secp256k1_ec_pubkey_serialize(context, key, &length, &point, SECP256K1_EC_COMPRESSED);
    secp256k1_context_destroy(context);
}

void key_derive(uint64_t number, uint8_t key[KEY_BYTES])
{
    char text[40];
    uint8_t secret[32];
    int length = snprintf(text, sizeof text, "lnd double peer %llu", (unsigned long long)number);
    owm_sha256(text, (size_t)length, secret);
    key_public(secret, key);
}

owm_status key_load(struct lnd_double *node, struct owm_error *error)
{
    char path[LND_DOUBLE_PATH_BYTES];
    uint8_t fresh[32], *bytes = NULL;
    size_t length = 0;
    lnd_double_file(node, "node.key", path);
    owm_uuid_random(fresh);
    owm_uuid_random(fresh + 16);
    owm_status status = owm_fs_create_atomic(path, fresh, sizeof fresh, 0600, error);
    if (status == OWM_OK || status == OWM_E_EXISTS)
        status = owm_fs_read(path, 32, &bytes, &length, error);
    if (status == OWM_OK && length != 32)
        status = owm_fail(error, OWM_E_PROTO, "%s is no key of 32 bytes", path);
    if (status == OWM_OK) {
        memcpy(node->secret, bytes, 32);
        key_public(node->secret, node->key);
        owm_hex_encode(node->key, KEY_BYTES, node->key_text);
    }
    free(bytes);
    return status;
}

static void zbase32(const uint8_t *bytes, size_t length, char *text)
{
    static const char digits[] = "ybndrfg8ejkmcpqxot1uwisza345h769";
    unsigned buffer = 0, bits = 0;
    for (size_t i = 0; i < length; i++) {
        buffer = buffer << 8 | bytes[i];
        bits += 8;
        for (; bits >= 5; bits -= 5) *text++ = digits[buffer >> (bits - 5) & 31];
    }
    if (bits) *text++ = digits[buffer << (5 - bits) & 31];
    *text = 0;
}

static void sign(const struct lnd_double *node, const uint8_t *message, size_t length,
                 uint8_t signature[SIGNATURE_BYTES])
{
    struct owm_sha256_ctx hash;
    uint8_t digest[32];
    owm_sha256_init(&hash);
    owm_sha256_update(&hash, PREFIX, sizeof PREFIX - 1);
    owm_sha256_update(&hash, message, length);
    owm_sha256_final(&hash, digest);
    owm_sha256(digest, 32, digest);

    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    secp256k1_ecdsa_recoverable_signature made;
    int recovery = 0;
    OWM_ASSERT(secp256k1_ecdsa_sign_recoverable(context, &made, digest, node->secret, NULL, NULL));
    secp256k1_ecdsa_recoverable_signature_serialize_compact(context, signature + 1, &recovery,
                                                            &made);
    signature[0] = (uint8_t)(27 + 4 + recovery); /* 4: the key is compressed */
    secp256k1_context_destroy(context);
}

void handle_sign_message(struct lnd_double *node, struct owm_rpc_call *call, const void *message)
{
    const Lnrpc__SignMessageRequest *request = message;
    uint8_t signature[SIGNATURE_BYTES];
    char text[2 * SIGNATURE_BYTES];
    if (request->msg.len == 0) {
        refuse(call, OWM_RPC_UNKNOWN, "need a message to sign");
        return;
    }
    sign(node, request->msg.data, request->msg.len, signature);
    zbase32(signature, sizeof signature, text);
    Lnrpc__SignMessageResponse reply = LNRPC__SIGN_MESSAGE_RESPONSE__INIT;
    reply.signature = text;
    answer(call, &reply.base);
}
