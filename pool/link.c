/* link.c: bytes of a connection to frames of a session, and back. */
#include "link.h"

#include <string.h>

static uint8_t *reserve_frame(void *ctx, uint32_t bytes)
{
    struct owm_link *link = ctx;
    link->out = link->wire.reserve(link->wire.ctx, owm_sv2_sealed_bytes(bytes));
    return link->out ? link->out + OWM_SV2_SEALED_HEADER_BYTES : NULL;
}

/** The payload was written where it is sealed. */
static void commit_frame(void *ctx, uint16_t extension, uint8_t type, uint32_t bytes)
{
    struct owm_link *link = ctx;
    size_t sealed = owm_sv2_seal(&link->transport, extension, type,
                                 link->out + OWM_SV2_SEALED_HEADER_BYTES, bytes, link->out);
    link->wire.commit(link->wire.ctx, sealed);
}

static void close_wire(void *ctx, enum owm_close reason, bool flush)
{
    struct owm_link *link = ctx;
    link->state = OWM_LINK_CLOSED;
    link->wire.close(link->wire.ctx, owm_close_text(reason), flush);
}

bool owm_link_open(struct owm_link *link, const struct owm_link_owner *owner,
                   const struct owm_wire *wire, const struct owm_peer *peer)
{
    struct owm_sink sink = {reserve_frame, commit_frame, close_wire, link};
    *link = (struct owm_link){
        .wire = *wire,
        .gate = owner->gate,
        .stats = owm_hall_counters(owner->hall),
    };
    link->session = owm_session_enter(owner->hall, &sink, peer);
    return link->session != NULL;
}

/** Does it begin as a JSON object or an HTTP request does, and go on as text? */
static bool is_text(const uint8_t *data)
{
    bool begins = data[0] == '{' || memcmp(data, "GET ", 4) == 0 || memcmp(data, "POST ", 5) == 0
                  || memcmp(data, "HEAD ", 5) == 0;
    for (int i = 0; begins && i < OWM_LINK_TEXT_BYTES; i++)
        begins = (data[i] >= ' ' && data[i] < 127) || data[i] == '\r' || data[i] == '\n'
                 || data[i] == '\t';
    return begins;
}

static void shake_hands(struct owm_link *link, const uint8_t *act1)
{
    uint8_t hash[32];
    bool missed;
    uint8_t *act2 = link->wire.reserve(link->wire.ctx, OWM_SV2_ACT2_BYTES);
    if (!act2) {
        owm_session_end(link->session, OWM_CLOSE_SLOW);
        return;
    }
    owm_status status = owm_gate_respond(link->gate, act1, act2, &link->transport, hash, &missed);
    if (missed) owm_count(&link->stats->ephemerals_missed, 1);
    link->wire.commit(link->wire.ctx, status == OWM_OK ? OWM_SV2_ACT2_BYTES : 0);
    if (status != OWM_OK) {
        owm_session_end(link->session, OWM_CLOSE_NOISE);
        return;
    }
    link->state = OWM_LINK_OPEN;
    owm_session_secured(link->session, hash);
}

static size_t receive_act1(struct owm_link *link, const uint8_t *data, size_t bytes)
{
    if (bytes >= OWM_LINK_TEXT_BYTES && is_text(data)) {
        link->spoke_text = true;
        owm_session_end(link->session, OWM_CLOSE_STRATUM_V1);
        return bytes;
    }
    if (bytes < OWM_SV2_ACT1_BYTES) return 0;
    shake_hands(link, data);
    return OWM_SV2_ACT1_BYTES;
}

static void end_of(struct owm_link *link, enum owm_sv2_receipt receipt)
{
    owm_session_end(link->session, receipt == OWM_SV2_TOO_LONG ? OWM_CLOSE_LONG : OWM_CLOSE_MAC);
}

size_t owm_link_receive(struct owm_link *link, uint8_t *data, size_t bytes)
{
    size_t at = link->state == OWM_LINK_ACT1 ? receive_act1(link, data, bytes) : 0;
    while (link->state == OWM_LINK_OPEN) {
        struct owm_sv2_frame frame;
        size_t used = 0;
        enum owm_sv2_receipt receipt = owm_sv2_open(&link->transport, data + at, bytes - at,
                                                    OWM_HALL_PAYLOAD_BYTES, &frame, &used);
        at += used;
        if (receipt == OWM_SV2_MORE) return at;
        if (receipt == OWM_SV2_FRAME)
            owm_session_frame(link->session, &frame);
        else
            end_of(link, receipt);
    }
    return link->state == OWM_LINK_CLOSED ? bytes : at;
}

void owm_link_gone(struct owm_link *link)
{
    owm_session_leave(link->session);
    owm_sv2_transport_wipe(&link->transport);
    link->session = NULL;
}
