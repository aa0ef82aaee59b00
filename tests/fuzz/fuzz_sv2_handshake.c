/* fuzz_sv2_handshake.c: the initiator on act 2, the responder on act 1, both hostile.
 *
 * Byte 0: even: the rest is act 1, and then what comes behind it; odd: the rest is laid over a good
 * act 2 by exclusive or, so that an input of zeros is an honest pool.
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/sv2/authority.h"
#include "dataplane/sv2/noise.h"

#define NOW 1800000000u

static struct owm_sv2_credentials credentials;

static void prepare(void)
{
    struct owm_sv2_authority *authority;
    if (owm_sv2_authority_from_secret((uint8_t[32]){1}, &authority) != OWM_OK) abort();
    if (owm_sv2_credentials_make(authority, NOW, 3600, &credentials) != OWM_OK) abort();
    owm_sv2_authority_close(authority);
}

static void respond(const uint8_t *data, size_t size, uint8_t act2[OWM_SV2_ACT2_BYTES],
                    struct owm_sv2_transport *transport)
{
    uint8_t act1[OWM_SV2_ACT1_BYTES] = {0}, hash[32];
    struct owm_sv2_ephemeral ephemeral;
    memcpy(act1, data, size < sizeof act1 ? size : sizeof act1);
    if (owm_sv2_ephemeral_make(&ephemeral) != OWM_OK) abort();
    if (owm_sv2_respond(&credentials, &ephemeral, act1, act2, transport, hash) != OWM_OK) abort();
}

/* Every act 1 gets an answer, and no bytes of a stranger are a frame behind it. */
static void stranger(const uint8_t *data, size_t size)
{
    uint8_t act2[OWM_SV2_ACT2_BYTES], rest[256];
    struct owm_sv2_transport transport;
    struct owm_sv2_frame frame;
    size_t used;
    respond(data, size, act2, &transport);
    if (size <= OWM_SV2_ACT1_BYTES) return;
    size -= OWM_SV2_ACT1_BYTES;
    if (size > sizeof rest) size = sizeof rest;
    memcpy(rest, data + OWM_SV2_ACT1_BYTES, size);
    if (owm_sv2_open(&transport, rest, size, 4096, &frame, &used) == OWM_SV2_FRAME) abort();
}

static void impostor(const uint8_t *data, size_t size)
{
    uint8_t act1[OWM_SV2_ACT1_BYTES], act2[OWM_SV2_ACT2_BYTES], hash[32], changed = 0;
    struct owm_sv2_initiator initiator;
    struct owm_sv2_transport at_pool, at_miner;
    struct owm_error error;
    struct owm_sv2_expectation expect = {.authority = credentials.authority, .now_s = NOW};
    if (owm_sv2_initiate(&initiator, act1) != OWM_OK) abort();
    respond(act1, sizeof act1, act2, &at_pool);
    for (size_t i = 0; i < size && i < sizeof act2; i++) changed |= data[i], act2[i] ^= data[i];
    owm_status status = owm_sv2_initiate_finish(&initiator, act2, &expect, &at_miner, hash, &error);
    if ((status == OWM_OK) != (changed == 0)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (credentials.not_valid_after_s == 0) prepare();
    if (size == 0) return 0;
    if (data[0] & 1)
        impostor(data + 1, size - 1);
    else
        stranger(data + 1, size - 1);
    return 0;
}
