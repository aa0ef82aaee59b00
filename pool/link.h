/* link.h: one connection's bytes: the handshake, then frames out of their encryption and into it.
 *
 *   act 1 (64 bytes) -> act 2 -> sealed frames both ways       text instead of act 1 -> refused
 *
 * Stratum v1 and HTTP begin with text, act 1 is random: 16 characters of text in a row are no key
 * (one key in two thousand million would look so). Sans-IO. Thread: one loop.
 */
#ifndef OWM_POOL_LINK_H
#define OWM_POOL_LINK_H

#include "gate.h"
#include "hall.h"

#define OWM_LINK_TEXT_BYTES 16

/** owm_wire: where bytes go; every pointer is set. reserve: NULL when the reader is too slow. */
struct owm_wire {
    uint8_t *(*reserve)(void *ctx, size_t bytes);
    void (*commit)(void *ctx, size_t bytes);
    void (*close)(void *ctx, const char *reason, bool flush);
    void *ctx;
};

enum owm_link_state { OWM_LINK_ACT1, OWM_LINK_OPEN, OWM_LINK_CLOSED };

/** owm_link: caller-owned; must not move while its session lives. */
struct owm_link {
    enum owm_link_state state;
    struct owm_session *session;
    struct owm_wire wire;
    struct owm_gate *gate;
    struct owm_pool_stats *stats;
    struct owm_sv2_transport transport;
    uint8_t *out; /* Between reserve and commit of a frame. */
    bool spoke_text;
};

/** owm_link_owner: what all links of a loop share. */
struct owm_link_owner {
    struct owm_hall *hall;
    struct owm_gate *gate;
};

/** owm_link_open: a new connection. false: the hall is full. */
bool owm_link_open(struct owm_link *link, const struct owm_link_owner *owner,
                   const struct owm_wire *wire, const struct owm_peer *peer);

/** owm_link_receive: what came and was not used yet; decrypted in place. Returns: bytes used up. */
size_t owm_link_receive(struct owm_link *link, uint8_t *data, size_t bytes);

/** owm_link_gone: the connection is gone: the session leaves, keys are wiped. */
void owm_link_gone(struct owm_link *link);

#endif
