/* noise.c: the two acts of the handshake, from both sides. */
#include "noise.h"

#include <sodium.h>
#include <string.h>

#include "certificate.h"
#include "curve.h"
#include "symmetric.h"

/* Where things lie in act 2. */
enum {
    STATIC_AT = OWM_SV2_ELLSWIFT_BYTES,
    CERTIFICATE_AT = STATIC_AT + OWM_SV2_ELLSWIFT_BYTES + OWM_SV2_MAC_BYTES,
};
_Static_assert(CERTIFICATE_AT + OWM_SV2_CERTIFICATE_BYTES + OWM_SV2_MAC_BYTES == OWM_SV2_ACT2_BYTES,
               "key, sealed key, sealed certificate");

owm_status owm_sv2_ephemeral_make(struct owm_sv2_ephemeral *ephemeral)
{
    return owm_sv2_key_make(ephemeral->secret, ephemeral->ellswift);
}

static bool mix_exchange(struct owm_sv2_symmetric *state, enum owm_sv2_side side,
                         const uint8_t *secret, const uint8_t *initiator, const uint8_t *responder)
{
    uint8_t shared[32];
    bool good = owm_sv2_exchange(side, secret, initiator, responder, shared);
    if (good) owm_sv2_mix_key(state, shared);
    sodium_memzero(shared, sizeof shared);
    return good;
}

/* Act 1 is hashed twice: the key, then the empty payload behind it. */
static void begin(struct owm_sv2_symmetric *state, const uint8_t *initiator)
{
    owm_sv2_symmetric_init(state);
    owm_sv2_mix_hash(state, initiator, OWM_SV2_ELLSWIFT_BYTES);
    owm_sv2_mix_hash(state, NULL, 0);
}

owm_status owm_sv2_respond(const struct owm_sv2_credentials *credentials,
                           struct owm_sv2_ephemeral *ephemeral,
                           const uint8_t act1[OWM_SV2_ACT1_BYTES], uint8_t act2[OWM_SV2_ACT2_BYTES],
                           struct owm_sv2_transport *transport, uint8_t handshake_hash[32])
{
    struct owm_sv2_symmetric state;
    owm_status status = OWM_E_CRYPTO;
    begin(&state, act1);
    memcpy(act2, ephemeral->ellswift, OWM_SV2_ELLSWIFT_BYTES);
    owm_sv2_mix_hash(&state, act2, OWM_SV2_ELLSWIFT_BYTES);
    if (!mix_exchange(&state, OWM_SV2_RESPONDER, ephemeral->secret, act1, act2)) goto out;
    owm_sv2_encrypt_and_hash(&state, credentials->ellswift, OWM_SV2_ELLSWIFT_BYTES,
                             act2 + STATIC_AT);
    if (!mix_exchange(&state, OWM_SV2_RESPONDER, credentials->secret, act1, credentials->ellswift))
        goto out;
    owm_sv2_encrypt_and_hash(&state, credentials->certificate, OWM_SV2_CERTIFICATE_BYTES,
                             act2 + CERTIFICATE_AT);
    *transport = (struct owm_sv2_transport){0};
    owm_sv2_split(&state, &transport->receive, &transport->send, handshake_hash);
    status = OWM_OK;
out:
    sodium_memzero(&state, sizeof state);
    sodium_memzero(ephemeral, sizeof *ephemeral);
    return status;
}

owm_status owm_sv2_initiate(struct owm_sv2_initiator *initiator, uint8_t act1[OWM_SV2_ACT1_BYTES])
{
    owm_status status = owm_sv2_ephemeral_make(&initiator->ephemeral);
    if (status == OWM_OK) memcpy(act1, initiator->ephemeral.ellswift, OWM_SV2_ACT1_BYTES);
    return status;
}

static owm_status undecipherable(struct owm_error *error)
{
    return owm_fail(error, OWM_E_CRYPTO,
                    "the answer does not decrypt: this is no Stratum v2 pool, or its bytes were "
                    "changed on the way; check host and port");
}

/* Act 2 with the state behind act 1. */
static owm_status read_act2(struct owm_sv2_symmetric *state,
                            const struct owm_sv2_ephemeral *ephemeral,
                            const uint8_t act2[OWM_SV2_ACT2_BYTES],
                            const struct owm_sv2_expectation *expect, struct owm_error *error)
{
    const uint8_t *ours = ephemeral->ellswift;
    uint8_t theirs[OWM_SV2_ELLSWIFT_BYTES], certificate[OWM_SV2_CERTIFICATE_BYTES], xonly[32];
    owm_sv2_mix_hash(state, act2, OWM_SV2_ELLSWIFT_BYTES);
    if (!mix_exchange(state, OWM_SV2_INITIATOR, ephemeral->secret, ours, act2)
        || !owm_sv2_decrypt_and_hash(state, act2 + STATIC_AT, sizeof theirs, theirs)
        || !mix_exchange(state, OWM_SV2_INITIATOR, ephemeral->secret, ours, theirs)
        || !owm_sv2_decrypt_and_hash(state, act2 + CERTIFICATE_AT, sizeof certificate, certificate))
        return undecipherable(error);
    owm_sv2_ellswift_xonly(theirs, xonly);
    return owm_sv2_certificate_check(certificate, xonly, expect, error);
}

owm_status owm_sv2_initiate_finish(struct owm_sv2_initiator *initiator,
                                   const uint8_t act2[OWM_SV2_ACT2_BYTES],
                                   const struct owm_sv2_expectation *expect,
                                   struct owm_sv2_transport *transport, uint8_t handshake_hash[32],
                                   struct owm_error *error)
{
    struct owm_sv2_symmetric state;
    begin(&state, initiator->ephemeral.ellswift);
    owm_status status = read_act2(&state, &initiator->ephemeral, act2, expect, error);
    if (status == OWM_OK) {
        *transport = (struct owm_sv2_transport){0};
        owm_sv2_split(&state, &transport->send, &transport->receive, handshake_hash);
    }
    sodium_memzero(&state, sizeof state);
    sodium_memzero(initiator, sizeof *initiator);
    return status;
}
