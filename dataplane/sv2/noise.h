/* noise.h: the handshake of Stratum v2, Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256.
 *
 *   initiator (miner)                       responder (pool)
 *     act 1: ephemeral key, 64 bytes   -->
 *                                      <--   act 2: ephemeral key, static key, certificate, 234
 *
 * Sans-IO: each act is one call on whole messages. It proves the pool to the miner and nobody to
 * the pool; a node proves itself afterwards over handshake_hash (node_auth.h). Source: Stratum v2
 * specification, section 4.5; BIP324 for the key exchange.
 * Thread: any; every call works on what it is given.
 */
#ifndef OWM_SV2_NOISE_H
#define OWM_SV2_NOISE_H

#include "authority.h"
#include "transport.h"

#define OWM_SV2_ACT1_BYTES 64
#define OWM_SV2_ACT2_BYTES 234

/** owm_sv2_ephemeral: a key pair for one handshake, made ahead of time by whoever is idle. Used
 *  once, then wiped by the call that uses it. */
struct owm_sv2_ephemeral {
    uint8_t secret[32];
    uint8_t ellswift[OWM_SV2_ELLSWIFT_BYTES];
};

/** owm_sv2_ephemeral_make: Returns: OWM_OK; OWM_E_CRYPTO no random bytes. */
OWM_MUST_USE owm_status owm_sv2_ephemeral_make(struct owm_sv2_ephemeral *ephemeral);

/** owm_sv2_respond: both acts of the responder.
 *
 *  credentials     read.
 *  ephemeral       used and wiped.
 *  act1            as it came.
 *  act2            written: send it.
 *  transport       written: ready for frames.
 *  handshake_hash  [32] written: the same on both sides, unique to this connection.
 *  Returns: OWM_OK; OWM_E_CRYPTO the key exchange failed. Every 64 bytes are a valid key: a wrong
 *  initiator shows at its first frame. */
OWM_MUST_USE owm_status owm_sv2_respond(const struct owm_sv2_credentials *credentials,
                                        struct owm_sv2_ephemeral *ephemeral,
                                        const uint8_t act1[OWM_SV2_ACT1_BYTES],
                                        uint8_t act2[OWM_SV2_ACT2_BYTES],
                                        struct owm_sv2_transport *transport,
                                        uint8_t handshake_hash[32]);

/** owm_sv2_initiator: between the acts. Holds secrets: finish wipes it. */
struct owm_sv2_initiator {
    struct owm_sv2_ephemeral ephemeral;
};

/** owm_sv2_initiate: make act 1. Returns: OWM_OK; OWM_E_CRYPTO no random bytes. */
OWM_MUST_USE owm_status owm_sv2_initiate(struct owm_sv2_initiator *initiator,
                                         uint8_t act1[OWM_SV2_ACT1_BYTES]);

/** owm_sv2_expectation: who must have signed, and when it is.
 *  authority  [32] x-only key that must have signed the certificate; NULL: any (the caller warns).
 *  now_s      Unix time, for the certificate's validity, with OWM_SV2_CERTIFICATE_LEEWAY_S. */
struct owm_sv2_expectation {
    const uint8_t *authority;
    uint64_t now_s;
};

/** owm_sv2_initiate_finish: check act 2.
 *
 *  initiator       wiped, whatever comes out.
 *  transport       written on OWM_OK: ready for frames.
 *  handshake_hash  [32] written on OWM_OK.
 *  Returns: OWM_OK; OWM_E_CRYPTO decryption or signature failed, certificate not yet valid, expired
 *  or of an unknown version, each with a sentence that says what to do. */
OWM_MUST_USE owm_status owm_sv2_initiate_finish(struct owm_sv2_initiator *initiator,
                                                const uint8_t act2[OWM_SV2_ACT2_BYTES],
                                                const struct owm_sv2_expectation *expect,
                                                struct owm_sv2_transport *transport,
                                                uint8_t handshake_hash[32],
                                                struct owm_error *error);

#endif
