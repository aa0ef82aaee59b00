/* fuzz_sv2_transport.c: encrypted frames cut and changed as the input says.
 *
 * Random bytes never have a right MAC, so the input is a script: frames are sealed from it, then
 * fed to the other end in pieces. Byte 0: 0 honest, else which bit of the stream is changed. Then
 * for each frame: the size of the next piece, and the length of the payload in steps of 3.
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/sv2/transport.h"

#define FRAMES_MAX  64
#define PAYLOAD_MAX 700 /* Of honest frames: 255 * 3 is beyond, and must be refused. */

static uint8_t stream[FRAMES_MAX * (OWM_SV2_SEALED_HEADER_BYTES + 255 * 3 + OWM_SV2_MAC_BYTES)];
static uint8_t plain[255 * 3];

/* Opens what there is; aborts if a frame is not the next one. Returns: whether the stream lives. */
static bool drain(struct owm_sv2_transport *to, size_t *start, size_t have, const uint8_t *script,
                  size_t *frames)
{
    for (;;) {
        struct owm_sv2_frame frame;
        size_t used;
        enum owm_sv2_receipt got =
            owm_sv2_open(to, stream + *start, have - *start, PAYLOAD_MAX, &frame, &used);
        if (used > have - *start) abort();
        if (got == OWM_SV2_BAD_MAC || got == OWM_SV2_TOO_LONG) return false;
        *start += used;
        if (got == OWM_SV2_MORE) return true;
        if (frame.type != *frames || frame.bytes != script[2 * *frames + 1] * 3u) abort();
        if (memcmp(frame.payload, plain, frame.bytes) != 0) abort();
        ++*frames;
    }
}

/* The bytes as they are, as what a stranger sends. */
static void feed_raw(const uint8_t *data, size_t size)
{
    struct owm_sv2_transport to = {.receive = {.key = {1}}};
    struct owm_sv2_frame frame;
    size_t used;
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    memcpy(copy, data, size);
    if (owm_sv2_open(&to, copy, size, PAYLOAD_MAX, &frame, &used) == OWM_SV2_FRAME) abort();
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct owm_sv2_transport from = {.send = {.key = {7}}}, to = {.receive = {.key = {7}}};
    size_t sealed = 0, start = 0, have = 0, opened = 0, frames = size > 0 ? (size - 1) / 2 : 0;
    feed_raw(data, size);
    if (frames == 0) return 0;
    if (frames > FRAMES_MAX) frames = FRAMES_MAX;
    const uint8_t *script = data + 1;
    bool too_long = false;
    for (size_t i = 0; i < sizeof plain; i++) plain[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < frames; i++) {
        uint32_t bytes = script[2 * i + 1] * 3u;
        too_long |= bytes > PAYLOAD_MAX;
        sealed += owm_sv2_seal(&from, 0x8000, (uint8_t)i, plain, bytes, stream + sealed);
    }
    size_t bit = (size_t)data[0] * 997 % (8 * sealed);
    if (data[0]) stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
    bool alive = true;
    for (size_t i = 0; alive && have < sealed; i = (i + 1) % frames) {
        size_t piece = 1 + script[2 * i];
        have = have + piece < sealed ? have + piece : sealed;
        alive = drain(&to, &start, have, script, &opened);
    }
    if (!data[0] && !too_long && (!alive || opened != frames)) abort();
    if (data[0] && opened == frames) abort();
    return 0;
}
