/* ln_signer.c: see ln_signer.h. */
#include "ln_signer.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "test.h"

static secp256k1_context *context(void)
{
    static secp256k1_context *made;
    if (!made) made = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    return made;
}

void ln_signer_make(struct ln_signer *signer, uint32_t number)
{
    secp256k1_pubkey key;
    size_t bytes = sizeof(signer->key);
    char hex[2 * OWM_LIGHTNING_KEY_BYTES + 1];
    owm_sha256(&number, sizeof(number), signer->secret);
    assert_int_equal(secp256k1_ec_pubkey_create(context(), &key, signer->secret), 1);
    secp256k1_ec_pubkey_serialize(context(), signer->key, &bytes, &key, SECP256K1_EC_COMPRESSED);
    owm_hex_encode(signer->key, sizeof(signer->key), hex);
    snprintf(signer->uri, sizeof(signer->uri), "%s@127.0.0.1:9735", hex);
}

static void zbase32(const uint8_t *bytes, size_t count, char *text)
{
    static const char alphabet[] = "ybndrfg8ejkmcpqxot1uwisza345h769";
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < count; i++) {
        held = held << 8 | bytes[i];
        for (bits += 8; bits >= 5; bits -= 5) *text++ = alphabet[held >> (bits - 5) & 31];
    }
    *text = 0;
}

void ln_signer_sign(const struct ln_signer *signer, const char *message,
                    char signature[OWM_LIGHTNING_SIGNATURE_TEXT])
{
    secp256k1_ecdsa_recoverable_signature made;
    struct owm_sha256_ctx ctx;
    uint8_t digest[32], bytes[65];
    int recovery = 0;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, "Lightning Signed Message:", 25);
    owm_sha256_update(&ctx, message, strlen(message));
    owm_sha256_final(&ctx, digest);
    owm_sha256(digest, 32, digest);
    assert_int_equal(
        secp256k1_ecdsa_sign_recoverable(context(), &made, digest, signer->secret, NULL, NULL), 1);
    secp256k1_ecdsa_recoverable_signature_serialize_compact(context(), bytes + 1, &recovery, &made);
    bytes[0] = (uint8_t)(31 + recovery);
    zbase32(bytes, sizeof(bytes), signature);
}
