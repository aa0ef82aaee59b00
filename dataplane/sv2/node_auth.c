/* node_auth.c: an Ed25519 signature over what only this connection has. */
#include "node_auth.h"

#include <string.h>

#include "base/bytes.h"

#define MESSAGE_BYTES (32 + 32 + OWM_KEY_BYTES + 8)

static void signed_message(const struct owm_sv2_binding *binding, const uint8_t *public_key,
                           uint64_t time_s, uint8_t message[MESSAGE_BYTES])
{
    struct owm_writer to;
    owm_writer_init(&to, message, MESSAGE_BYTES);
    owm_write_bytes(&to, binding->handshake_hash, sizeof binding->handshake_hash);
    owm_write_bytes(&to, binding->authority, sizeof binding->authority);
    owm_write_bytes(&to, public_key, OWM_KEY_BYTES);
    owm_write_u64_le(&to, time_s);
}

void owm_sv2_node_auth_sign(const struct owm_identity *identity,
                            const struct owm_sv2_binding *binding, uint64_t time_s,
                            struct owm_sv2_node_auth *auth)
{
    uint8_t message[MESSAGE_BYTES];
    memcpy(auth->public_key.byte, owm_identity_public_key(identity), OWM_KEY_BYTES);
    auth->time_s = time_s;
    signed_message(binding, auth->public_key.byte, time_s, message);
    owm_identity_sign(identity, OWM_SV2_NODE_AUTH_CONTEXT, message, sizeof message,
                      auth->signature.byte);
}

owm_status owm_sv2_node_auth_check(const struct owm_sv2_node_auth *auth,
                                   const struct owm_sv2_binding *binding, uint64_t now_s)
{
    uint8_t message[MESSAGE_BYTES];
    signed_message(binding, auth->public_key.byte, auth->time_s, message);
    owm_status status = owm_verify(auth->public_key.byte, OWM_SV2_NODE_AUTH_CONTEXT, message,
                                   sizeof message, auth->signature.byte);
    if (status != OWM_OK) return status;
    uint64_t apart_s = auth->time_s > now_s ? auth->time_s - now_s : now_s - auth->time_s;
    return apart_s > OWM_SV2_NODE_AUTH_SKEW_S ? OWM_E_TIMEOUT : OWM_OK;
}
