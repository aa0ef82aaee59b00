/* identity_internal.h: what identity.c and identity_cert.c share; nobody else includes it. */
#ifndef OWM_BASE_IDENTITY_INTERNAL_H
#define OWM_BASE_IDENTITY_INTERNAL_H

#include "identity.h"

/** Lives in sodium_malloc memory as a whole. libsodium's secret key is seed || public key. */
struct owm_identity {
    uint8_t secret[64];
    uint8_t public_key[OWM_KEY_BYTES];
    uint8_t box_secret[32]; /**< the X25519 form of the same key */
};

#endif
