/* pool_double.c: the pool's end of the wire, without a pool behind it. */
#include "pool_double.h"

#include "base/clock.h"
#include "test.h"

void pool_double_open(struct pool_double *pool)
{
    uint8_t secret[32] = {[31] = 7};
    *pool = (struct pool_double){.now_ms = 1000};
    assert_ok(owm_sv2_authority_from_secret(secret, &pool->authority));
    owm_sv2_authority_public(pool->authority, pool->authority_key);
    assert_ok(owm_sv2_credentials_make(pool->authority, (uint64_t)owm_clock_wall_ms() / 1000, 3600,
                                       &pool->credentials));
}

void pool_double_close(struct pool_double *pool)
{
    owm_sv2_transport_wipe(&pool->transport);
    owm_sv2_credentials_wipe(&pool->credentials);
    owm_sv2_authority_close(pool->authority);
}

void pool_double_accept(struct pool_double *pool, struct owm_mine_session *session)
{
    size_t bytes;
    uint8_t act2[OWM_SV2_ACT2_BYTES];
    struct owm_sv2_ephemeral ephemeral;
    pool->session = session;
    const uint8_t *act1 = owm_mine_session_output(session, &bytes);
    assert_int_equal(bytes, OWM_SV2_ACT1_BYTES);
    assert_ok(owm_sv2_ephemeral_make(&ephemeral));
    assert_ok(owm_sv2_respond(&pool->credentials, &ephemeral, act1, act2, &pool->transport,
                              pool->handshake_hash));
    owm_mine_session_taken(session, bytes);
    for (size_t i = 0; i < sizeof act2; i++) { /* Byte by byte: nothing may depend on packets. */
        pool->heard = owm_mine_session_receive(session, act2 + i, 1, pool->now_ms, &pool->error);
        if (i + 1 < sizeof act2) assert_ok(pool->heard);
    }
}

bool pool_double_next(struct pool_double *pool)
{
    size_t bytes, used;
    const uint8_t *output = owm_mine_session_output(pool->session, &bytes);
    if (bytes == 0) return false;
    assert_true(bytes <= sizeof pool->payload);
    memcpy(pool->payload, output, bytes);
    size_t at = 0;
    enum owm_sv2_receipt receipt =
        owm_sv2_open(&pool->transport, pool->payload, bytes, 2048, &pool->frame, &used);
    at += used;
    assert_int_equal(receipt, OWM_SV2_FRAME);
    owm_mine_session_taken(pool->session, at);
    return true;
}

void pool_double_send(struct pool_double *pool, uint16_t extension, uint8_t type,
                      const uint8_t *payload, uint32_t bytes)
{
    uint8_t out[OWM_MINE_OUT_BYTES + 64];
    size_t sealed = owm_sv2_seal(&pool->transport, extension, type, payload, bytes, out);
    size_t cut = sealed / 3; /* In two pieces. */
    pool->heard = owm_mine_session_receive(pool->session, out, cut, pool->now_ms, &pool->error);
    assert_ok(pool->heard);
    pool->heard = owm_mine_session_receive(pool->session, out + cut, sealed - cut, pool->now_ms,
                                           &pool->error);
}
