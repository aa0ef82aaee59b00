/* curve.c: the one libsecp256k1 context, and new keys on it. */
#include "curve.h"

#include <pthread.h>
#include <secp256k1_ellswift.h>
#include <secp256k1_extrakeys.h>
#include <sodium.h>

#define TRIES_MAX 8 /* A random number is no key once in 2^128. */

static secp256k1_context *curve;

static void make_curve(void)
{
    uint8_t blinding[32];
    OWM_ASSERT(sodium_init() >= 0);
    curve = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    OWM_ASSERT(curve != NULL);
    randombytes_buf(blinding, sizeof blinding);
    OWM_ASSERT(secp256k1_context_randomize(curve, blinding) == 1);
    sodium_memzero(blinding, sizeof blinding);
}

const struct secp256k1_context_struct *owm_sv2_curve(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_curve);
    return curve;
}

owm_status owm_sv2_key_make(uint8_t *secret, uint8_t *ellswift)
{
    uint8_t extra[32]; /* Which of the encodings. */
    const secp256k1_context *context = owm_sv2_curve();
    randombytes_buf(extra, sizeof extra);
    for (int i = 0; i < TRIES_MAX; i++) {
        randombytes_buf(secret, 32);
        if (secp256k1_ellswift_create(context, ellswift, secret, extra)) return OWM_OK;
    }
    return OWM_E_CRYPTO;
}

void owm_sv2_ellswift_xonly(const uint8_t *ellswift, uint8_t *xonly)
{
    const secp256k1_context *context = owm_sv2_curve();
    secp256k1_pubkey point;
    secp256k1_xonly_pubkey x;
    OWM_ASSERT(secp256k1_ellswift_decode(context, &point, ellswift) == 1);
    OWM_ASSERT(secp256k1_xonly_pubkey_from_pubkey(context, &x, NULL, &point) == 1);
    OWM_ASSERT(secp256k1_xonly_pubkey_serialize(context, xonly, &x) == 1);
}

bool owm_sv2_exchange(enum owm_sv2_side side, const uint8_t *secret, const uint8_t *initiator,
                      const uint8_t *responder, uint8_t *shared)
{
    return secp256k1_ellswift_xdh(owm_sv2_curve(), shared, initiator, responder, secret, (int)side,
                                  secp256k1_ellswift_xdh_hash_function_bip324, NULL)
           == 1;
}
