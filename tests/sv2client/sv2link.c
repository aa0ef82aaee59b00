/* sv2link.c: the test miner's side of the handshake. */
#include "sv2link.h"

#include "base/status.h"

#define FRAME_BYTES_MAX 4096

static void send_sealed(void *ctx, uint16_t extension, uint8_t type, const uint8_t *payload,
                        uint32_t bytes)
{
    struct sv2link *link = ctx;
    uint8_t out[FRAME_BYTES_MAX];
    OWM_ASSERT(owm_sv2_sealed_bytes(bytes) <= sizeof out);
    link->put(link->put_ctx, out,
              owm_sv2_seal(&link->transport, extension, type, payload, bytes, out));
}

void sv2link_start(struct sv2link *link)
{
    uint8_t act1[OWM_SV2_ACT1_BYTES];
    link->client.send = send_sealed;
    link->client.ctx = link;
    OWM_ASSERT(owm_sv2_initiate(&link->initiator, act1) == OWM_OK);
    link->put(link->put_ctx, act1, sizeof act1);
}

static long finish(struct sv2link *link, const uint8_t *data, size_t bytes, uint64_t now_s)
{
    struct owm_sv2_expectation expect = {.authority = link->authority, .now_s = now_s};
    struct owm_error error;
    if (bytes < OWM_SV2_ACT2_BYTES) return 0;
    if (owm_sv2_initiate_finish(&link->initiator, data, &expect, &link->transport,
                                link->handshake_hash, &error)
        != OWM_OK)
        return -1;
    link->secure = true;
    return OWM_SV2_ACT2_BYTES;
}

long sv2link_receive(struct sv2link *link, uint8_t *data, size_t bytes, uint64_t now_s)
{
    size_t at = 0;
    if (!link->secure) {
        long used = finish(link, data, bytes, now_s);
        if (used <= 0) return used;
        at = (size_t)used;
    }
    for (;;) {
        struct owm_sv2_frame frame;
        size_t used = 0;
        enum owm_sv2_receipt receipt = owm_sv2_open(&link->transport, data + at, bytes - at,
                                                    OWM_SV2_PAYLOAD_BYTES_MAX, &frame, &used);
        at += used;
        if (receipt == OWM_SV2_MORE) return (long)at;
        if (receipt != OWM_SV2_FRAME) return -1;
        sv2client_frame(&link->client, &frame);
    }
}
