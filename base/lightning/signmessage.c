/* signmessage.c: the key behind a signature that a Lightning node makes with `signmessage`.
 *
 * It is ECDSA over SHA-256d of "Lightning Signed Message:" and the message, as 65 bytes (31 + the
 * recovery number, r, s) in zbase32, 104 characters. LND and Core Lightning agree on it.
 */
#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <string.h>

#include "base/sha256.h"
#include "lightning.h"

#define PREFIX          "Lightning Signed Message:"
#define SIGNATURE_BYTES 65
#define SIGNATURE_CHARS 104 /* 65 * 8 / 5: no bits are left over */
#define RECOVERY_FIRST  31  /* 27 + 4, a compressed key */

static owm_status zbase32_decode(const char *text, uint8_t bytes[SIGNATURE_BYTES])
{
    static const char alphabet[] = "ybndrfg8ejkmcpqxot1uwisza345h769";
    if (strnlen(text, SIGNATURE_CHARS + 1) != SIGNATURE_CHARS) return OWM_E_CRYPTO;
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0, out = 0; i < SIGNATURE_CHARS; i++) {
        const char *at = strchr(alphabet, text[i]);
        if (!at) return OWM_E_CRYPTO;
        held = held << 5 | (uint32_t)(at - alphabet);
        bits += 5;
        if (bits < 8) continue;
        bits -= 8;
        bytes[out++] = (uint8_t)(held >> bits);
    }
    return OWM_OK;
}

static void digest_of(const char *message, uint8_t digest[32])
{
    struct owm_sha256_ctx ctx;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, PREFIX, strlen(PREFIX));
    owm_sha256_update(&ctx, message, strlen(message));
    owm_sha256_final(&ctx, digest);
    owm_sha256(digest, 32, digest);
}

owm_status owm_lightning_recover(const char *message, const char *signature,
                                 uint8_t key[OWM_LIGHTNING_KEY_BYTES])
{
    uint8_t bytes[SIGNATURE_BYTES], digest[32];
    owm_status status = zbase32_decode(signature, bytes);
    if (status != OWM_OK) return status;
    int recovery = bytes[0] - RECOVERY_FIRST;
    if (recovery < 0 || recovery > 3) return OWM_E_CRYPTO;
    digest_of(message, digest);
    const secp256k1_context *ctx = secp256k1_context_static;
    secp256k1_ecdsa_recoverable_signature parsed;
    secp256k1_pubkey found;
    if (!secp256k1_ecdsa_recoverable_signature_parse_compact(ctx, &parsed, bytes + 1, recovery)
        || !secp256k1_ecdsa_recover(ctx, &found, &parsed, digest))
        return OWM_E_CRYPTO;
    size_t length = OWM_LIGHTNING_KEY_BYTES;
    secp256k1_ec_pubkey_serialize(ctx, key, &length, &found, SECP256K1_EC_COMPRESSED);
    return OWM_OK;
}
