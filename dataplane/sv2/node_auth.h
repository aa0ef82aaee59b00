/* node_auth.h: an OWM node proves its identity inside a Stratum v2 connection (SRS-POOL-02).
 *
 * NX proves the pool alone. Extension 0x4f57 lets the miner sign what only this connection has:
 *
 *   message = handshake_hash || authority || public key || LE64 time      (32 + 32 + 32 + 8 bytes)
 *   signature = owm_identity_sign(key, "OWM-POOL-AUTH-v1", message), see base/identity.h
 *
 * handshake_hash is unique to the connection, so a signature can be neither replayed nor relayed.
 * The byte layout, negotiation and errors are in docs/sv2-extension.md.
 */
#ifndef OWM_SV2_NODE_AUTH_H
#define OWM_SV2_NODE_AUTH_H

#include "base/identity.h"
#include "base/status.h"
#include "messages.h"

#define OWM_SV2_NODE_AUTH_CONTEXT "OWM-POOL-AUTH-v1"
#define OWM_SV2_NODE_AUTH_SKEW_S  300 /* Clocks of node and pool may differ by this. */

/** owm_sv2_binding: what a signature is bound to. */
struct owm_sv2_binding {
    uint8_t handshake_hash[32];
    uint8_t authority[32]; /* x-only key that the certificate was signed with. */
};

/** owm_sv2_node_auth_sign: fill `auth`. Thread: any. */
void owm_sv2_node_auth_sign(const struct owm_identity *identity,
                            const struct owm_sv2_binding *binding, uint64_t time_s,
                            struct owm_sv2_node_auth *auth);

/** owm_sv2_node_auth_check: Returns: OWM_OK; OWM_E_CRYPTO wrong signature; OWM_E_TIMEOUT clocks
 *  differ by more than OWM_SV2_NODE_AUTH_SKEW_S. */
OWM_MUST_USE owm_status owm_sv2_node_auth_check(const struct owm_sv2_node_auth *auth,
                                                const struct owm_sv2_binding *binding,
                                                uint64_t now_s);

#endif
