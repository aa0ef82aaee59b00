/* fuzz_mine_session.c: a miner's session after its handshake, with a hostile pool: the input is a
 * row of frames, each "type, extension's low byte, length u16, payload", properly encrypted.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dataplane/mine/session.h"
#include "dataplane/sv2/noise.h"

static struct owm_sv2_credentials credentials;

static void on_work(void *ctx, struct owm_mine_work *work)
{
    uint8_t root[32];
    struct owm_mine_work **kept = ctx;
    owm_mine_work_root(work, 0x0102030405060708, root);
    owm_mine_work_release(*kept);
    *kept = work;
}

static void on_open(void *ctx, uint32_t channel_id, bool proven)
{
    (void)ctx, (void)channel_id, (void)proven;
}

static void on_accepted(void *ctx, uint32_t count, uint64_t sum, double latency_ms)
{
    (void)ctx, (void)count, (void)sum, (void)latency_ms;
}

static void on_rejected(void *ctx, uint32_t sequence, const char *code)
{
    (void)ctx, (void)sequence;
    if (strlen(code) >= OWM_MINE_CODE_BYTES) abort();
}

static void on_reconnect(void *ctx, const char *host, uint16_t port)
{
    (void)ctx, (void)port;
    if (strlen(host) > OWM_SV2_STRING_BYTES_MAX) abort();
}

static void must(owm_status status)
{
    if (status != OWM_OK) abort();
}

static void make_credentials(void)
{
    const uint8_t secret[32] = {[31] = 7};
    struct owm_sv2_authority *authority = NULL;
    must(owm_sv2_authority_from_secret(secret, &authority));
    must(owm_sv2_credentials_make(authority, (uint64_t)owm_clock_wall_ms() / 1000, 86400,
                                  &credentials));
    owm_sv2_authority_close(authority);
}

static struct owm_mine_session *connect(bool extended, struct owm_mine_work **kept,
                                        struct owm_sv2_transport *transport)
{
    struct owm_mine_session *session = NULL;
    struct owm_mine_session_options options = {
        .user = "a.b", .worker = "b", .host = "h", .device_id = "d", .extended = extended};
    struct owm_mine_session_events events = {on_work,     on_open,      on_accepted,
                                             on_rejected, on_reconnect, kept};
    size_t bytes;
    uint8_t act2[OWM_SV2_ACT2_BYTES], hash[32];
    struct owm_sv2_ephemeral ephemeral;
    struct owm_error error;
    must(owm_mine_session_open(&options, &events, 0, &session));
    must(owm_sv2_ephemeral_make(&ephemeral));
    must(owm_sv2_respond(&credentials, &ephemeral, owm_mine_session_output(session, &bytes), act2,
                         transport, hash));
    owm_mine_session_taken(session, bytes);
    must(owm_mine_session_receive(session, act2, sizeof act2, 0, &error));
    return session;
}

static bool say(struct owm_mine_session *session, struct owm_sv2_transport *transport,
                const uint8_t *input, size_t bytes, size_t *used)
{
    uint8_t out[4096 + 64];
    if (bytes < 4) return false;
    uint32_t payload = (uint32_t)(input[2] | (input[3] & 0x0f) << 8);
    if (payload > bytes - 4) payload = (uint32_t)bytes - 4;
    uint16_t extension = (uint16_t)((input[1] & 0x7f) | (input[1] & 0x80) << 8);
    size_t sealed = owm_sv2_seal(transport, extension, input[0], input + 4, payload, out);
    *used = 4 + payload;
    struct owm_error error;
    return owm_mine_session_receive(session, out, sealed, 1, &error) == OWM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct owm_mine_work *kept = NULL;
    struct owm_sv2_transport transport;
    size_t used = 0;
    if (credentials.not_valid_after_s == 0) make_credentials();
    if (bytes == 0) return 0;
    struct owm_mine_session *session = connect(data[0] & 1, &kept, &transport);
    for (size_t at = 1; say(session, &transport, data + at, bytes - at, &used); at += used) {
        size_t waiting;
        owm_mine_session_output(session, &waiting);
        owm_mine_session_taken(session, waiting);
    }
    owm_mine_session_close(session);
    owm_mine_work_release(kept);
    return 0;
}
