/* authority_text.c: the authority key as people pass it on: base58check.
 *
 *   version LE16 = 1 | x-only key 32 | the first 4 bytes of SHA-256 of SHA-256 of those
 */
#include <secp256k1_extrakeys.h>
#include <string.h>

#include "authority.h"
#include "base/sha256.h"
#include "curve.h"

#define VERSION_BYTES  2
#define BODY_BYTES     (VERSION_BYTES + OWM_SV2_KEY_BYTES)
#define CHECKSUM_BYTES 4
#define RAW_BYTES      (BODY_BYTES + CHECKSUM_BYTES)

static const char letters[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

static void checksum(const uint8_t body[BODY_BYTES], uint8_t out[CHECKSUM_BYTES])
{
    uint8_t hash[OWM_SHA256_BYTES];
    owm_sha256(body, BODY_BYTES, hash);
    owm_sha256(hash, sizeof hash, hash);
    memcpy(out, hash, CHECKSUM_BYTES);
}

/* Divides the number in `raw`, highest byte first, by 58. Returns: the remainder. */
static unsigned divide(uint8_t raw[RAW_BYTES])
{
    unsigned rest = 0;
    for (int i = 0; i < RAW_BYTES; i++) {
        rest = rest << 8 | raw[i];
        raw[i] = (uint8_t)(rest / 58);
        rest %= 58;
    }
    return rest;
}

/* raw = raw * 58 + digit. Returns: false: it does not fit. */
static bool multiply(uint8_t raw[RAW_BYTES], unsigned digit)
{
    for (int i = RAW_BYTES - 1; i >= 0; i--) {
        digit += raw[i] * 58u;
        raw[i] = (uint8_t)digit;
        digit >>= 8;
    }
    return digit == 0;
}

static bool is_zero(const uint8_t raw[RAW_BYTES])
{
    uint8_t any = 0;
    for (int i = 0; i < RAW_BYTES; i++) any |= raw[i];
    return any == 0;
}

void owm_sv2_authority_text(const uint8_t xonly[32], char text[OWM_SV2_AUTHORITY_TEXT_BYTES])
{
    uint8_t raw[RAW_BYTES] = {1, 0};
    char back[OWM_SV2_AUTHORITY_TEXT_BYTES];
    size_t count = 0;
    memcpy(raw + VERSION_BYTES, xonly, OWM_SV2_KEY_BYTES);
    checksum(raw, raw + BODY_BYTES);
    while (!is_zero(raw)) back[count++] = letters[divide(raw)]; /* At most 53 letters. */
    for (size_t i = 0; i < count; i++) text[i] = back[count - 1 - i];
    text[count] = 0;
}

static owm_status decode(const char *text, uint8_t raw[RAW_BYTES], struct owm_error *error)
{
    memset(raw, 0, RAW_BYTES);
    for (const char *at = text; *at; at++) {
        const char *letter = strchr(letters, *at);
        if (!letter)
            return owm_fail(error, OWM_E_PROTO,
                            "the authority key has a letter that base58 does not have, at "
                            "position %zu; copy it again",
                            (size_t)(at - text) + 1);
        if (!multiply(raw, (unsigned)(letter - letters)))
            return owm_fail(error, OWM_E_PROTO, "the authority key is too long; copy it again");
    }
    return OWM_OK;
}

owm_status owm_sv2_authority_parse(const char *text, uint8_t xonly[32], struct owm_error *error)
{
    uint8_t raw[RAW_BYTES], check[CHECKSUM_BYTES];
    char again[OWM_SV2_AUTHORITY_TEXT_BYTES];
    secp256k1_xonly_pubkey point;
    owm_status status = decode(text, raw, error);
    if (status != OWM_OK) return status;
    checksum(raw, check);
    if (memcmp(check, raw + BODY_BYTES, CHECKSUM_BYTES) != 0)
        return owm_fail(error, OWM_E_PROTO,
                        "the authority key is mistyped or cut: its checksum is wrong; copy it "
                        "again");
    if (raw[0] != 1 || raw[1] != 0)
        return owm_fail(error, OWM_E_PROTO,
                        "the authority key is of version %u, and only 1 is known here; update "
                        "this program",
                        raw[0] | (unsigned)raw[1] << 8);
    if (!secp256k1_xonly_pubkey_parse(owm_sv2_curve(), &point, raw + VERSION_BYTES))
        return owm_fail(error, OWM_E_PROTO,
                        "the authority key is no point of the curve; ask the pool for its key");
    owm_sv2_authority_text(raw + VERSION_BYTES, again);
    if (strcmp(again, text) != 0) /* Zeros in front, as the letter 1. */
        return owm_fail(error, OWM_E_PROTO, "the authority key is too long; copy it again");
    memcpy(xonly, raw + VERSION_BYTES, OWM_SV2_KEY_BYTES);
    return OWM_OK;
}
