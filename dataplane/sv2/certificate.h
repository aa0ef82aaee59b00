/* certificate.h: SIGNATURE_NOISE_MESSAGE, what an authority says of a static key; for this folder.
 *
 *   version u16 = 0 | valid_from u32 | not_valid_after u32 | signature 64        little endian
 *
 * Signed (BIP340): SHA-256 of the first ten bytes and the static key's x coordinate.
 * Source: Stratum v2 specification, section 4.5.3.
 */
#ifndef OWM_SV2_CERTIFICATE_H
#define OWM_SV2_CERTIFICATE_H

#include "authority.h"
#include "noise.h"

/** owm_sv2_certificate_check: does it certify this static key, now?
 *  certificate [74] as on the wire; xonly [32]. Returns and error: as owm_sv2_initiate_finish. */
OWM_MUST_USE owm_status owm_sv2_certificate_check(const uint8_t *certificate, const uint8_t *xonly,
                                                  const struct owm_sv2_expectation *expect,
                                                  struct owm_error *error);

/** owm_sv2_authority: in sodium_malloc memory as a whole. */
struct owm_sv2_authority {
    uint8_t secret[OWM_SV2_KEY_BYTES];
    uint8_t xonly[OWM_SV2_KEY_BYTES];
};

#endif
