/* noise_peer.c: dataplane/sv2 at the end of two pipes, for src/noise.rs: one side of handshakes,
 * and an echo of frames.
 *
 * First the authority's secret key, then commands of a byte:
 *   r  respond: act 1 in, act 2 out, frames
 *   n  so, without frames;                    R  by a certificate that is over
 *   i  initiate: act 1 out, act 2 in, 1 or 0 out, frames if 1;    I  so, for another authority
 * Frames: their number u32, then each is answered by its payload under the complement of its type.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/sv2/noise.h"

#define PAYLOAD_MAX (1 << 20)
#define BUFFER_MAX  (2 * PAYLOAD_MAX)
#define DAY_S       86400

struct peer {
    struct owm_sv2_authority *authority;
    uint8_t key[32];
    struct owm_sv2_transport transport;
    uint8_t in[BUFFER_MAX], out[BUFFER_MAX];
    size_t filled;
    unsigned turn;
};

static void fail(const char *what)
{
    fprintf(stderr, "noise_peer: %s\n", what);
    exit(1);
}

/** false: the input has ended before the first byte. */
static bool read_all(void *data, size_t bytes)
{
    uint8_t *at = data;
    for (size_t done = 0; done < bytes;) {
        ssize_t more = read(STDIN_FILENO, at + done, bytes - done);
        if (more < 0 && errno == EINTR) continue;
        if (more == 0 && done == 0) return false;
        if (more <= 0) fail("the input has ended in the middle");
        done += (size_t)more;
    }
    return true;
}

static void write_all(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t done = 0; done < bytes;) {
        ssize_t more = write(STDOUT_FILENO, at + done, bytes - done);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) fail("the output has ended");
        done += (size_t)more;
    }
}

static void answer(struct peer *peer, const struct owm_sv2_frame *frame)
{
    size_t bytes = owm_sv2_seal(&peer->transport, frame->extension, (uint8_t)~frame->type,
                                frame->payload, frame->bytes, peer->out);
    write_all(peer->out, bytes);
}

/** Reads in pieces of changing sizes: a byte, a few, as much as there is. */
static void fill(struct peer *peer)
{
    static const size_t pieces[] = {BUFFER_MAX, 1, 21, BUFFER_MAX, 4096, 7, BUFFER_MAX};
    size_t room = BUFFER_MAX - peer->filled;
    size_t piece = pieces[peer->turn++ % (sizeof pieces / sizeof pieces[0])];
    ssize_t more = read(STDIN_FILENO, peer->in + peer->filled, piece < room ? piece : room);
    if (more < 0 && errno == EINTR) return;
    if (more <= 0) fail("the input has ended in the middle of frames");
    peer->filled += (size_t)more;
}

static void echo(struct peer *peer)
{
    uint8_t count_le[4];
    if (!read_all(count_le, sizeof count_le)) fail("no number of frames");
    uint32_t left = count_le[0] | (uint32_t)count_le[1] << 8;
    peer->filled = 0;
    while (left) {
        struct owm_sv2_frame frame;
        size_t used;
        enum owm_sv2_receipt receipt =
            owm_sv2_open(&peer->transport, peer->in, peer->filled, PAYLOAD_MAX, &frame, &used);
        if (receipt == OWM_SV2_BAD_MAC || receipt == OWM_SV2_TOO_LONG) fail("a frame is refused");
        if (receipt == OWM_SV2_FRAME) {
            answer(peer, &frame);
            left--;
        }
        memmove(peer->in, peer->in + used, peer->filled - used);
        peer->filled -= used;
        if (receipt == OWM_SV2_MORE) fill(peer);
    }
}

static void respond(struct peer *peer, bool expired)
{
    uint8_t act1[OWM_SV2_ACT1_BYTES], act2[OWM_SV2_ACT2_BYTES], hash[32];
    struct owm_sv2_credentials credentials;
    struct owm_sv2_ephemeral ephemeral;
    uint64_t now_s = (uint64_t)time(NULL) - (expired ? 2 * DAY_S : 0);
    if (!read_all(act1, sizeof act1)) fail("no act 1");
    if (owm_sv2_credentials_make(peer->authority, now_s, DAY_S, &credentials) != OWM_OK
        || owm_sv2_ephemeral_make(&ephemeral) != OWM_OK
        || owm_sv2_respond(&credentials, &ephemeral, act1, act2, &peer->transport, hash) != OWM_OK)
        fail("cannot respond");
    write_all(act2, sizeof act2);
}

static bool initiate(struct peer *peer, bool other_authority)
{
    uint8_t act1[OWM_SV2_ACT1_BYTES], act2[OWM_SV2_ACT2_BYTES], hash[32], key[32];
    struct owm_sv2_initiator initiator;
    struct owm_error error;
    struct owm_sv2_expectation expect = {.authority = key, .now_s = (uint64_t)time(NULL)};
    memcpy(key, peer->key, sizeof key);
    if (other_authority) key[0] ^= 1;
    if (owm_sv2_initiate(&initiator, act1) != OWM_OK) fail("cannot initiate");
    write_all(act1, sizeof act1);
    if (!read_all(act2, sizeof act2)) fail("no act 2");
    bool good = owm_sv2_initiate_finish(&initiator, act2, &expect, &peer->transport, hash, &error)
                == OWM_OK;
    write_all(&(uint8_t){good}, 1);
    return good;
}

static void obey(struct peer *peer, char command)
{
    switch (command) {
    case 'r':
        respond(peer, false);
        echo(peer);
        break;
    case 'n':
        respond(peer, false);
        break;
    case 'R':
        respond(peer, true);
        break;
    case 'i':
    case 'I':
        if (initiate(peer, command == 'I')) echo(peer);
        break;
    default:
        fail("no such command");
    }
}

int main(void)
{
    static struct peer peer;
    uint8_t secret[32];
    char command;
    if (!read_all(secret, sizeof secret)
        || owm_sv2_authority_from_secret(secret, &peer.authority) != OWM_OK)
        fail("no authority");
    owm_sv2_authority_public(peer.authority, peer.key);
    while (read_all(&command, 1)) obey(&peer, command);
    owm_sv2_authority_close(peer.authority);
    return 0;
}
