/* symmetric.h: Noise's symmetric state; for the files of this folder.
 *
 * Source: the Noise Protocol Framework, revision 34, section 5.2.
 * A running hash `h` of everything that was said, and a chaining key `ck` of every secret that was
 * shared. Fixed to SHA-256 and ChaCha20-Poly1305.
 */
#ifndef OWM_SV2_SYMMETRIC_H
#define OWM_SV2_SYMMETRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

/** owm_sv2_symmetric: holds secrets; wiped by owm_sv2_split. */
struct owm_sv2_symmetric {
    uint8_t ck[32];
    uint8_t h[32];
    struct owm_sv2_cipher cipher;
    bool has_key; /* Before the first owm_sv2_mix_key, "encryption" only hashes. */
};

/** owm_sv2_symmetric_init: the protocol's name and an empty prologue. */
void owm_sv2_symmetric_init(struct owm_sv2_symmetric *state);

void owm_sv2_mix_hash(struct owm_sv2_symmetric *state, const void *data, size_t bytes);
void owm_sv2_mix_key(struct owm_sv2_symmetric *state, const uint8_t secret[32]);

/** owm_sv2_encrypt_and_hash: out [bytes, and 16 more once there is a key] written. */
void owm_sv2_encrypt_and_hash(struct owm_sv2_symmetric *state, const uint8_t *in, size_t bytes,
                              uint8_t *out);

/** owm_sv2_decrypt_and_hash: in [bytes + 16], out [bytes] written; a key is there.
 *  Returns: false: wrong MAC. */
bool owm_sv2_decrypt_and_hash(struct owm_sv2_symmetric *state, const uint8_t *in, size_t bytes,
                              uint8_t *out);

/** owm_sv2_split: the two directions; hash [32] written; state is wiped. */
void owm_sv2_split(struct owm_sv2_symmetric *state, struct owm_sv2_cipher *from_initiator,
                   struct owm_sv2_cipher *from_responder, uint8_t hash[32]);

/** owm_sv2_hkdf: HKDF with two outputs, as Noise has it. `first` may be `ck`. */
void owm_sv2_hkdf(const uint8_t ck[32], const uint8_t *secret, size_t secret_bytes,
                  uint8_t first[32], uint8_t second[32]);

#endif
