/* aead.h: ChaCha20-Poly1305 (RFC 8439) for frames: no associated data, counter nonces, in place.
 *
 * A share is two messages, 6 and 24 bytes under neighbouring nonces. General libraries spend one
 * call for each, and most of it on blocks of the cipher that nobody reads. Here the four blocks
 * that a frame needs (a MAC key and 64 bytes of key stream for each) are computed side by side, in
 * the time of one; only what is longer than 64 bytes needs more. Constant time in key and data.
 * The 12-byte nonce is four zero bytes and LE64 of the counter, as in Noise.
 * Thread: any; nothing is shared.
 */
#ifndef OWM_SV2_AEAD_H
#define OWM_SV2_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWM_SV2_BLOCK_BYTES 64

/** owm_sv2_row: the last row of ChaCha's state: block counter, then the nonce's three words. */
struct owm_sv2_row {
    uint32_t word[4];
};

/** owm_sv2_chacha: four blocks of key stream, one for each row.
 *  out  [4 * 64] written.   key  [32].   rows  [4]. */
typedef void owm_sv2_chacha(uint8_t *out, const uint8_t *key, const struct owm_sv2_row *rows);

/** owm_sv2_chacha_paths: the implementations that this processor runs, the fastest first, and their
 *  names; the last is plain C. Returns: how many (at most OWM_SV2_CHACHA_PATHS_MAX). */
#define OWM_SV2_CHACHA_PATHS_MAX 2
struct owm_sv2_chacha_path {
    const char *name;
    owm_sv2_chacha *run;
};
size_t owm_sv2_chacha_paths(struct owm_sv2_chacha_path paths[OWM_SV2_CHACHA_PATHS_MAX]);
owm_sv2_chacha owm_sv2_chacha_c, owm_sv2_chacha_avx2;

/** owm_sv2_pads: the first two blocks of two neighbouring nonces: MAC key, then key stream. */
struct owm_sv2_pads {
    uint8_t mac_key[2][OWM_SV2_BLOCK_BYTES]; /* 32 bytes of it are used. */
    uint8_t stream[2][OWM_SV2_BLOCK_BYTES];
};

/** owm_sv2_pads_make: pads[0] is of `nonce`, pads[1] of `nonce` + 1. Holds secrets. */
void owm_sv2_pads_make(struct owm_sv2_pads *pads, const uint8_t key[32], uint64_t nonce);

/** owm_sv2_message: one message under one nonce; `pad` says which of the pads is its own. */
struct owm_sv2_message {
    const uint8_t *key;
    uint64_t nonce;
    const struct owm_sv2_pads *pads;
    int pad;
};

/** owm_sv2_aead_seal: encrypt.
 *  out  [bytes + 16] written: cipher text, then the MAC.   in  [bytes]; may be `out`. */
void owm_sv2_aead_seal(const struct owm_sv2_message *message, const uint8_t *in, size_t bytes,
                       uint8_t *out);

/** owm_sv2_aead_open: check, and decrypt in place if it is right.
 *  data  [bytes + 16]: cipher text, then the MAC.
 *  Returns: false: wrong MAC; nothing was decrypted, and data is worthless. */
bool owm_sv2_aead_open(const struct owm_sv2_message *message, uint8_t *data, size_t bytes);

/** owm_sv2_poly1305: RFC 8439 section 2.5 of whole blocks of 16 bytes. For the tests. */
void owm_sv2_poly1305(const uint8_t key[32], const uint8_t *data, size_t bytes, uint8_t mac[16]);

#endif
