/* symmetric.c: Noise's symmetric state. */
#include "symmetric.h"

#include <sodium.h>
#include <string.h>

#include "base/sha256.h"

#define PROTOCOL    "Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256"
#define NONCE_BYTES crypto_aead_chacha20poly1305_ietf_NPUBBYTES

void owm_sv2_symmetric_init(struct owm_sv2_symmetric *state)
{
    *state = (struct owm_sv2_symmetric){0};
    owm_sha256(PROTOCOL, sizeof PROTOCOL - 1, state->ck);
    memcpy(state->h, state->ck, sizeof state->h);
    owm_sv2_mix_hash(state, NULL, 0);
}

void owm_sv2_mix_hash(struct owm_sv2_symmetric *state, const void *data, size_t bytes)
{
    struct owm_sha256_ctx sha;
    owm_sha256_init(&sha);
    owm_sha256_update(&sha, state->h, sizeof state->h);
    owm_sha256_update(&sha, data, bytes);
    owm_sha256_final(&sha, state->h);
}

void owm_sv2_hkdf(const uint8_t ck[32], const uint8_t *secret, size_t secret_bytes,
                  uint8_t first[32], uint8_t second[32])
{
    uint8_t key[32], block[33];
    owm_hmac_sha256(ck, 32, secret, secret_bytes, key);
    owm_hmac_sha256(key, sizeof key, &(uint8_t){1}, 1, block);
    block[32] = 2;
    owm_hmac_sha256(key, sizeof key, block, sizeof block, second);
    memcpy(first, block, 32);
    sodium_memzero(key, sizeof key);
    sodium_memzero(block, sizeof block);
}

void owm_sv2_mix_key(struct owm_sv2_symmetric *state, const uint8_t secret[32])
{
    owm_sv2_hkdf(state->ck, secret, 32, state->ck, state->cipher.key);
    state->cipher.nonce = 0;
    state->has_key = true;
}

static void next_nonce(struct owm_sv2_cipher *cipher, uint8_t nonce[NONCE_BYTES])
{
    memset(nonce, 0, NONCE_BYTES);
    memcpy(nonce + 4, &cipher->nonce, sizeof cipher->nonce); /* Little endian, as we are. */
    cipher->nonce++;
}

void owm_sv2_encrypt_and_hash(struct owm_sv2_symmetric *state, const uint8_t *in, size_t bytes,
                              uint8_t *out)
{
    uint8_t nonce[NONCE_BYTES];
    unsigned long long sealed = bytes;
    if (state->has_key) {
        next_nonce(&state->cipher, nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt(out, &sealed, in, bytes, state->h,
                                                  sizeof state->h, NULL, nonce, state->cipher.key);
    } else if (bytes > 0) {
        memcpy(out, in, bytes);
    }
    owm_sv2_mix_hash(state, out, (size_t)sealed);
}

bool owm_sv2_decrypt_and_hash(struct owm_sv2_symmetric *state, const uint8_t *in, size_t bytes,
                              uint8_t *out)
{
    uint8_t nonce[NONCE_BYTES];
    next_nonce(&state->cipher, nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, bytes + OWM_SV2_MAC_BYTES,
                                                  state->h, sizeof state->h, nonce,
                                                  state->cipher.key)
        != 0)
        return false;
    owm_sv2_mix_hash(state, in, bytes + OWM_SV2_MAC_BYTES);
    return true;
}

void owm_sv2_split(struct owm_sv2_symmetric *state, struct owm_sv2_cipher *from_initiator,
                   struct owm_sv2_cipher *from_responder, uint8_t hash[32])
{
    owm_sv2_hkdf(state->ck, NULL, 0, from_initiator->key, from_responder->key);
    from_initiator->nonce = from_responder->nonce = 0;
    memcpy(hash, state->h, sizeof state->h);
    sodium_memzero(state, sizeof *state);
}
