/* curve.h: the one libsecp256k1 context, and new keys on it; for the files of this folder. */
#ifndef OWM_SV2_CURVE_H
#define OWM_SV2_CURVE_H

#include <secp256k1.h>
#include <stdint.h>

#include "base/status.h"

/** owm_sv2_curve: made and blinded at its first use, never changed afterwards. Thread: any. */
const secp256k1_context *owm_sv2_curve(void);

/** owm_sv2_key_make: a random key and one of its ElligatorSwift encodings (BIP324).
 *  secret [32], ellswift [64] written. Returns: OWM_OK; OWM_E_CRYPTO no random bytes. */
OWM_MUST_USE owm_status owm_sv2_key_make(uint8_t *secret, uint8_t *ellswift);

/** owm_sv2_ellswift_xonly: the x coordinate [32] that an encoding [64] stands for; every encoding
 *  stands for one. */
void owm_sv2_ellswift_xonly(const uint8_t *ellswift, uint8_t *xonly);

#endif
