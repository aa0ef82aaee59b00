/* certificate.c: makes and checks what an authority says of a static key. */
#include "certificate.h"

#include <inttypes.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <sodium.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "curve.h"

#define VERSION      0
#define SIGNED_BYTES 10 /* Of the certificate: what stands before the signature. */

_Static_assert(SIGNED_BYTES + 64 == OWM_SV2_CERTIFICATE_BYTES, "the signature is the rest");

static void signed_hash(const uint8_t *certificate, const uint8_t *xonly, uint8_t hash[32])
{
    struct owm_sha256_ctx sha;
    owm_sha256_init(&sha);
    owm_sha256_update(&sha, certificate, SIGNED_BYTES);
    owm_sha256_update(&sha, xonly, OWM_SV2_KEY_BYTES);
    owm_sha256_final(&sha, hash);
}

static owm_status sign(const struct owm_sv2_authority *authority, const uint8_t hash[32],
                       uint8_t *signature)
{
    const secp256k1_context *context = owm_sv2_curve();
    secp256k1_keypair pair;
    uint8_t extra[32];
    randombytes_buf(extra, sizeof extra);
    bool good = secp256k1_keypair_create(context, &pair, authority->secret)
                && secp256k1_schnorrsig_sign32(context, signature, hash, &pair, extra);
    sodium_memzero(&pair, sizeof pair);
    return good ? OWM_OK : OWM_E_CRYPTO;
}

owm_status owm_sv2_credentials_make(const struct owm_sv2_authority *authority, uint64_t now_s,
                                    uint32_t valid_s, struct owm_sv2_credentials *credentials)
{
    uint8_t xonly[OWM_SV2_KEY_BYTES], hash[32];
    struct owm_writer to;
    if (valid_s == 0 || now_s > UINT32_MAX || UINT32_MAX - now_s < valid_s) return OWM_E_ARG;
    uint64_t from_s =
        now_s > OWM_SV2_CERTIFICATE_BACKDATE_S ? now_s - OWM_SV2_CERTIFICATE_BACKDATE_S : 0;
    owm_status status = owm_sv2_key_make(credentials->secret, credentials->ellswift);
    if (status != OWM_OK) return status;
    credentials->not_valid_after_s = (uint32_t)(now_s + valid_s);
    owm_sv2_authority_public(authority, credentials->authority);
    owm_writer_init(&to, credentials->certificate, SIGNED_BYTES);
    owm_write_u16_le(&to, VERSION);
    owm_write_u32_le(&to, (uint32_t)from_s);
    owm_write_u32_le(&to, credentials->not_valid_after_s);
    owm_sv2_ellswift_xonly(credentials->ellswift, xonly);
    signed_hash(credentials->certificate, xonly, hash);
    status = sign(authority, hash, credentials->certificate + SIGNED_BYTES);
    if (status != OWM_OK) owm_sv2_credentials_wipe(credentials);
    return status;
}

void owm_sv2_credentials_wipe(struct owm_sv2_credentials *credentials)
{
    sodium_memzero(credentials, sizeof *credentials);
}

static owm_status check_signature(const uint8_t *certificate, const uint8_t *xonly,
                                  const uint8_t *authority, struct owm_error *error)
{
    const secp256k1_context *context = owm_sv2_curve();
    secp256k1_xonly_pubkey key;
    uint8_t hash[32];
    if (!secp256k1_xonly_pubkey_parse(context, &key, authority))
        return owm_fail(error, OWM_E_CRYPTO,
                        "the authority key that was set is no point of the curve; take it from "
                        "the pool's page again");
    signed_hash(certificate, xonly, hash);
    if (!secp256k1_schnorrsig_verify(context, certificate + SIGNED_BYTES, hash, sizeof hash, &key))
        return owm_fail(error, OWM_E_CRYPTO,
                        "the pool's certificate is not signed by the authority key that was set: "
                        "this is another pool, or somebody in between; compare the key with the "
                        "one on the pool's page");
    return OWM_OK;
}

static owm_status check_times(uint64_t from_s, uint64_t until_s, uint64_t now_s,
                              struct owm_error *error)
{
    if (now_s + OWM_SV2_CERTIFICATE_LEEWAY_S < from_s)
        return owm_fail(error, OWM_E_CRYPTO,
                        "the pool's certificate is not valid before Unix time %" PRIu64
                        ", and it is %" PRIu64 " here; set this machine's clock",
                        from_s, now_s);
    if (now_s > until_s + OWM_SV2_CERTIFICATE_LEEWAY_S)
        return owm_fail(error, OWM_E_CRYPTO,
                        "the pool's certificate expired at Unix time %" PRIu64
                        ", and it is %" PRIu64 " here; if this machine's clock is right, tell "
                        "the pool's operator",
                        until_s, now_s);
    return OWM_OK;
}

owm_status owm_sv2_certificate_check(const uint8_t *certificate, const uint8_t *xonly,
                                     const struct owm_sv2_expectation *expect,
                                     struct owm_error *error)
{
    struct owm_reader from;
    owm_reader_init(&from, certificate, SIGNED_BYTES);
    unsigned version = owm_read_u16_le(&from);
    uint32_t from_s = owm_read_u32_le(&from), until_s = owm_read_u32_le(&from);
    if (version != VERSION)
        return owm_fail(error, OWM_E_CRYPTO,
                        "the pool's certificate is of version %u, and only %u is known here; "
                        "update this program",
                        version, VERSION);
    owm_status status = OWM_OK;
    if (expect->authority) status = check_signature(certificate, xonly, expect->authority, error);
    if (status != OWM_OK) return status;
    return check_times(from_s, until_s, expect->now_s, error);
}
