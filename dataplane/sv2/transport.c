/* transport.c: frames under encryption: the header, then the payload in chunks. */
#include "transport.h"

#include <sodium.h>
#include <string.h>

#include "aead.h"
#include "base/status.h"

#define SEALED_CHUNK_BYTES (OWM_SV2_CHUNK_BYTES + OWM_SV2_MAC_BYTES)

static size_t sealed_payload_bytes(uint32_t bytes)
{
    size_t rest = bytes % OWM_SV2_CHUNK_BYTES;
    return (size_t)(bytes / OWM_SV2_CHUNK_BYTES) * SEALED_CHUNK_BYTES
           + (rest > 0 ? rest + OWM_SV2_MAC_BYTES : 0);
}

size_t owm_sv2_sealed_bytes(uint32_t payload_bytes)
{
    return OWM_SV2_SEALED_HEADER_BYTES + sealed_payload_bytes(payload_bytes);
}

size_t owm_sv2_wanted(const struct owm_sv2_transport *transport)
{
    return transport->has_pending ? sealed_payload_bytes(transport->pending.bytes)
                                  : OWM_SV2_SEALED_HEADER_BYTES;
}

static void read_header(const uint8_t header[OWM_SV2_HEADER_BYTES], struct owm_sv2_frame *frame)
{
    frame->extension = (uint16_t)(header[0] | header[1] << 8);
    frame->type = header[2];
    frame->bytes = (uint32_t)(header[3] | header[4] << 8 | header[5] << 16);
    frame->payload = NULL;
}

/* The pads of a frame: `first` is the nonce of the first pad, so the other is that of the next. */
struct frame_pads {
    struct owm_sv2_pads pads;
    uint64_t first;
};

static void pads_for(struct frame_pads *of, const struct owm_sv2_cipher *cipher)
{
    of->first = cipher->nonce;
    owm_sv2_pads_make(&of->pads, cipher->key, cipher->nonce);
}

/* The message under the cipher's next nonce, which is spent. */
static struct owm_sv2_message next_message(struct owm_sv2_cipher *cipher, struct frame_pads *of)
{
    if (cipher->nonce - of->first > 1) pads_for(of, cipher);
    uint64_t nonce = cipher->nonce++;
    return (struct owm_sv2_message){
        .key = cipher->key, .nonce = nonce, .pads = &of->pads, .pad = (int)(nonce - of->first)};
}

/* Decrypts every chunk where it lies and moves it behind the one before. */
static bool open_chunks(struct owm_sv2_cipher *cipher, struct frame_pads *of, uint8_t *data,
                        uint32_t bytes)
{
    uint8_t *to = data;
    while (bytes > 0) {
        uint32_t chunk = bytes < OWM_SV2_CHUNK_BYTES ? bytes : OWM_SV2_CHUNK_BYTES;
        struct owm_sv2_message message = next_message(cipher, of);
        if (!owm_sv2_aead_open(&message, data, chunk)) return false;
        if (to != data) memmove(to, data, chunk);
        to += chunk;
        data += chunk + OWM_SV2_MAC_BYTES;
        bytes -= chunk;
    }
    return true;
}

enum owm_sv2_receipt owm_sv2_open(struct owm_sv2_transport *transport, uint8_t *data, size_t bytes,
                                  uint32_t payload_max, struct owm_sv2_frame *frame, size_t *used)
{
    struct frame_pads pads;
    *used = 0;
    if (!transport->has_pending) {
        if (bytes < OWM_SV2_SEALED_HEADER_BYTES) return OWM_SV2_MORE;
        pads_for(&pads, &transport->receive);
        struct owm_sv2_message header = next_message(&transport->receive, &pads);
        if (!owm_sv2_aead_open(&header, data, OWM_SV2_HEADER_BYTES)) return OWM_SV2_BAD_MAC;
        read_header(data, &transport->pending);
        transport->has_pending = true;
        *used = OWM_SV2_SEALED_HEADER_BYTES;
        if (transport->pending.bytes > payload_max) return OWM_SV2_TOO_LONG;
    }
    uint8_t *payload = data + *used;
    size_t sealed = sealed_payload_bytes(transport->pending.bytes);
    if (bytes - *used < sealed) return OWM_SV2_MORE;
    if (*used == 0) pads_for(&pads, &transport->receive);
    if (!open_chunks(&transport->receive, &pads, payload, transport->pending.bytes))
        return OWM_SV2_BAD_MAC;
    *frame = transport->pending;
    frame->payload = payload;
    transport->has_pending = false;
    *used += sealed;
    return OWM_SV2_FRAME;
}

size_t owm_sv2_seal(struct owm_sv2_transport *transport, uint16_t extension, uint8_t type,
                    const uint8_t *payload, uint32_t bytes, uint8_t *out)
{
    OWM_ASSERT(bytes <= OWM_SV2_PAYLOAD_BYTES_MAX);
    const uint8_t header[OWM_SV2_HEADER_BYTES] = {
        (uint8_t)extension, (uint8_t)(extension >> 8), type,
        (uint8_t)bytes,     (uint8_t)(bytes >> 8),     (uint8_t)(bytes >> 16),
    };
    struct frame_pads pads;
    uint8_t *to = out;
    pads_for(&pads, &transport->send);
    struct owm_sv2_message message = next_message(&transport->send, &pads);
    owm_sv2_aead_seal(&message, header, sizeof header, to);
    to += OWM_SV2_SEALED_HEADER_BYTES;
    while (bytes > 0) {
        uint32_t chunk = bytes < OWM_SV2_CHUNK_BYTES ? bytes : OWM_SV2_CHUNK_BYTES;
        message = next_message(&transport->send, &pads);
        owm_sv2_aead_seal(&message, payload, chunk, to);
        payload += chunk;
        bytes -= chunk;
        to += chunk + OWM_SV2_MAC_BYTES;
    }
    return (size_t)(to - out);
}

void owm_sv2_transport_wipe(struct owm_sv2_transport *transport)
{
    sodium_memzero(transport, sizeof *transport);
}
