/* transport.h: frames of Stratum v2 in their encryption, in place, without memory of its own.
 *
 * A frame is a header of 6 bytes and a payload, each under ChaCha20-Poly1305 with its own counter
 * nonce: 22 bytes, then the payload in chunks of up to 65519 bytes, each with a MAC of 16. A
 * zero-length payload has no chunk. Source: Stratum v2 specification, sections 3.2, 4.6.
 * Thread: one at a time for each transport.
 */
#ifndef OWM_SV2_TRANSPORT_H
#define OWM_SV2_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWM_SV2_HEADER_BYTES        6
#define OWM_SV2_MAC_BYTES           16
#define OWM_SV2_SEALED_HEADER_BYTES (OWM_SV2_HEADER_BYTES + OWM_SV2_MAC_BYTES)
#define OWM_SV2_CHUNK_BYTES         65519 /* Plain bytes of a full chunk. */
#define OWM_SV2_PAYLOAD_BYTES_MAX   0xffffff

/** owm_sv2_cipher: one direction. */
struct owm_sv2_cipher {
    uint8_t key[32];
    uint64_t nonce;
};

/** owm_sv2_frame: a header and where its payload lies. */
struct owm_sv2_frame {
    uint16_t extension; /* As decoded, channel bit included. */
    uint8_t type;
    uint32_t bytes;   /* Of the plain payload. */
    uint8_t *payload; /* Into the caller's buffer, plain. */
};

/** owm_sv2_transport: both directions. Wipe it when the connection ends. */
struct owm_sv2_transport {
    struct owm_sv2_cipher send, receive;
    struct owm_sv2_frame pending; /* A header whose payload has not come yet: its nonce is spent. */
    bool has_pending;
};

enum owm_sv2_receipt {
    OWM_SV2_FRAME,    /* *frame is filled. */
    OWM_SV2_MORE,     /* Needs more bytes; *used of them are done with all the same. */
    OWM_SV2_BAD_MAC,  /* Not our peer's bytes: close. */
    OWM_SV2_TOO_LONG, /* The header asks for more than payload_max: close. */
};

/** owm_sv2_open: decrypt the next frame of a stream, in place.
 *
 *  data         [bytes] what came and was not used yet; the payload is decrypted where it lies
 *               (chunks of a long one are moved together) and frame->payload points there.
 *  payload_max  longest payload taken, a policy; nothing is allocated for it.
 *  frame        written on OWM_SV2_FRAME.
 *  used         bytes of data that are done with, also for OWM_SV2_MORE (a header is decrypted
 *               once, as soon as it is whole, and must not be given again).
 *  After BAD_MAC or TOO_LONG the transport is dead. */
enum owm_sv2_receipt owm_sv2_open(struct owm_sv2_transport *transport, uint8_t *data, size_t bytes,
                                  uint32_t payload_max, struct owm_sv2_frame *frame, size_t *used);

/** owm_sv2_wanted: bytes of which the next call of owm_sv2_open can make progress: 22, or what the
 *  pending payload takes on the wire. For callers that size a buffer. */
size_t owm_sv2_wanted(const struct owm_sv2_transport *transport);

/** owm_sv2_sealed_bytes: what a frame with `payload_bytes` takes on the wire. */
size_t owm_sv2_sealed_bytes(uint32_t payload_bytes);

/** owm_sv2_seal: encrypt a frame.
 *
 *  out       [owm_sv2_sealed_bytes(bytes)] written.
 *  payload   [bytes]; may lie at out + OWM_SV2_SEALED_HEADER_BYTES, where an encoder can write it
 *            to save a copy (one chunk only); else does not overlap.
 *  bytes     at most OWM_SV2_PAYLOAD_BYTES_MAX: more is the caller's bug and asserts.
 *  Returns: bytes written. */
size_t owm_sv2_seal(struct owm_sv2_transport *transport, uint16_t extension, uint8_t type,
                    const uint8_t *payload, uint32_t bytes, uint8_t *out);

/** owm_sv2_transport_wipe: forget the keys. */
void owm_sv2_transport_wipe(struct owm_sv2_transport *transport);

#endif
