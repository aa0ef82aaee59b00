/* pool_double.h: a test double of a pool, for a miner's session: the real handshake and frames of
 * dataplane/sv2 on the pool's side, and messages as the test asks for them. It validates nothing;
 * the real pool and the reference implementation are tried in tests/pool and tests/interop.
 */
#ifndef OWM_TEST_POOL_DOUBLE_H
#define OWM_TEST_POOL_DOUBLE_H

#include "dataplane/mine/session.h"
#include "dataplane/sv2/noise.h"

struct pool_double {
    struct owm_sv2_authority *authority;
    struct owm_sv2_credentials credentials;
    struct owm_sv2_transport transport;
    uint8_t authority_key[32], handshake_hash[32];
    struct owm_mine_session *session; /* The miner's, that this pool talks to. */
    int64_t now_ms;
    struct owm_sv2_frame frame; /* The newest from the miner; its payload in `payload`. */
    uint8_t payload[4096];
    owm_status heard; /* What the session said to our newest bytes. */
    struct owm_error error;
};

void pool_double_open(struct pool_double *pool);
void pool_double_close(struct pool_double *pool);

/** pool_double_accept: do the handshake with a session that has just been opened. */
void pool_double_accept(struct pool_double *pool, struct owm_mine_session *session);

/** pool_double_next: the miner's next frame into pool->frame; false: it has sent no more. */
bool pool_double_next(struct pool_double *pool);

/** POOL_SAY(pool, name, message): send a message of dataplane/sv2/messages.h. */
#define POOL_SAY(pool, name, message)                                                              \
    do {                                                                                           \
        uint8_t say_payload[OWM_MINE_OUT_BYTES];                                                   \
        size_t say_bytes = owm_sv2_write_##name(say_payload, sizeof say_payload, (message));       \
        assert_true(say_bytes > 0);                                                                \
        pool_double_send(pool, OWM_SV2_FRAME_EXT_##name, OWM_SV2_TYPE_##name, say_payload,         \
                         (uint32_t)say_bytes);                                                     \
    } while (0)
void pool_double_send(struct pool_double *pool, uint16_t extension, uint8_t type,
                      const uint8_t *payload, uint32_t bytes);

#endif
