/* sv2link.h: handshake and encryption around the test miner, still without sockets. */
#ifndef OWM_TESTS_SV2LINK_H
#define OWM_TESTS_SV2LINK_H

#include "dataplane/sv2/noise.h"
#include "sv2client.h"

/** sv2link: one connection. Set client.channel and put, then start. */
struct sv2link {
    struct sv2client client;
    void (*put)(void *ctx, const uint8_t *data, size_t bytes); /* Bytes for the pool. */
    void *put_ctx;
    struct owm_sv2_initiator initiator;
    struct owm_sv2_transport transport;
    const uint8_t *authority; /* [32] or NULL: any. */
    uint8_t handshake_hash[32];
    bool secure;
};

/** sv2link_start: send act 1. */
void sv2link_start(struct sv2link *link);

/** sv2link_receive: bytes of the pool, decrypted in place. now_s: for the certificate.
 *  Returns: how many are used up; the rest is to be given again; -1: the pool's bytes are wrong. */
long sv2link_receive(struct sv2link *link, uint8_t *data, size_t bytes, uint64_t now_s);

#endif
