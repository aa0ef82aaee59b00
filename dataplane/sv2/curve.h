/* curve.h: the one libsecp256k1 context, and new keys on it; for the files of this folder. */
#ifndef OWM_SV2_CURVE_H
#define OWM_SV2_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/** owm_sv2_curve: made and blinded at its first use, never changed afterwards. Thread: any. */
const struct secp256k1_context_struct *owm_sv2_curve(void);

/** owm_sv2_key_make: a random key and one of its ElligatorSwift encodings (BIP324).
 *  secret [32], ellswift [64] written. Returns: OWM_OK; OWM_E_CRYPTO no random bytes. */
OWM_MUST_USE owm_status owm_sv2_key_make(uint8_t *secret, uint8_t *ellswift);

/** owm_sv2_ellswift_xonly: the x coordinate [32] that an encoding [64] stands for; every encoding
 *  stands for one. */
void owm_sv2_ellswift_xonly(const uint8_t *ellswift, uint8_t *xonly);

/** owm_sv2_exchange: BIP324's x-only Diffie-Hellman. It is not symmetric: the initiator's encoding
 *  always comes first, and `side` says whose the secret [32] is.
 *  shared [32] written. Returns: false: the secret is no valid key. */
enum owm_sv2_side { OWM_SV2_INITIATOR, OWM_SV2_RESPONDER }; /* libsecp256k1's parties A and B. */
bool owm_sv2_exchange(enum owm_sv2_side side, const uint8_t *secret, const uint8_t *initiator,
                      const uint8_t *responder, uint8_t *shared);

#endif
