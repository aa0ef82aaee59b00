/* measure_sv2.c: what Stratum v2 costs on one core: frames beside libsodium, handshakes.
 *
 * A measurement, not a test of speed: it fails only if a frame or a handshake fails. Each line is
 * the best of ROUNDS on one thread.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dataplane/sv2/messages.h"
#include "dataplane/sv2/noise.h"

#define ROUNDS 20
#define FRAMES 2000
#define SHARE  24
#define SEALED 62 /* A standard share on the wire. */
#define NOW    1800000000u

static struct owm_sv2_transport miner, pool;
static uint8_t sealed[FRAMES][SEALED], copy[FRAMES][SEALED];

static void must(owm_status status)
{
    if (status != OWM_OK) abort();
}

static void line(const char *what, double ns)
{
    printf("%-52s %10.1f ns %12.0f /s\n", what, ns, 1e9 / ns);
}

/* Best time of `count` turns of `run`, which gets the number of the turn. */
static double best_ns(void (*prepare)(void), void (*run)(int turn), int count)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        if (prepare) prepare();
        uint64_t start = owm_clock_mono_ns();
        for (int i = 0; i < count; i++) run(i);
        double ns = (double)(owm_clock_mono_ns() - start) / count;
        if (ns < best) best = ns;
    }
    return best;
}

static void seal_share(int turn)
{
    uint8_t payload[SHARE];
    struct owm_sv2_submit_standard share = {.sequence_number = (uint32_t)turn};
    size_t bytes = owm_sv2_write_submit_standard(payload, sizeof payload, &share);
    owm_sv2_seal(&miner, OWM_SV2_FRAME_EXT_submit_standard, OWM_SV2_TYPE_submit_standard, payload,
                 (uint32_t)bytes, sealed[turn]);
}

static void seal_all(void)
{
    miner.send.nonce = pool.receive.nonce = 0;
    for (int i = 0; i < FRAMES; i++) seal_share(i);
    memcpy(copy, sealed, sizeof copy);
}

static void open_share(int turn)
{
    struct owm_sv2_frame frame;
    struct owm_sv2_submit_standard share;
    size_t used;
    if (owm_sv2_open(&pool, copy[turn], SEALED, 4096, &frame, &used) != OWM_SV2_FRAME) abort();
    if (owm_sv2_read_submit_standard(frame.payload, frame.bytes, &share) != SHARE) abort();
    if (share.sequence_number != (uint32_t)turn) abort();
}

static void open_one(uint8_t *data, size_t bytes, uint64_t nonce)
{
    uint8_t nonce_bytes[12] = {0};
    memcpy(nonce_bytes + 4, &nonce, 8);
    if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(data, NULL, data, bytes, data + bytes,
                                                           NULL, 0, nonce_bytes, pool.receive.key))
        abort();
}

static void open_share_with_libsodium(int turn)
{
    open_one(copy[turn], OWM_SV2_HEADER_BYTES, 2 * (uint64_t)turn);
    open_one(copy[turn] + OWM_SV2_SEALED_HEADER_BYTES, SHARE, 2 * (uint64_t)turn + 1);
}

static uint8_t job[65519], job_sealed[65519 + 38];
static uint32_t job_bytes;

static void seal_job(int turn)
{
    (void)turn;
    owm_sv2_seal(&pool, OWM_SV2_FRAME_EXT_new_extended_job, OWM_SV2_TYPE_new_extended_job, job,
                 job_bytes, job_sealed);
}

static struct owm_sv2_credentials credentials;
static struct owm_sv2_ephemeral ephemeral;
static struct owm_sv2_initiator initiator;
static uint8_t act1[OWM_SV2_ACT1_BYTES], act2[OWM_SV2_ACT2_BYTES], hash[32];

static void make_ephemeral(int turn)
{
    (void)turn;
    must(owm_sv2_ephemeral_make(&ephemeral));
}

static void respond(int turn)
{
    (void)turn;
    struct owm_sv2_ephemeral used = ephemeral;
    must(owm_sv2_respond(&credentials, &used, act1, act2, &pool, hash));
}

static void finish(int turn)
{
    (void)turn;
    struct owm_sv2_initiator used = initiator;
    struct owm_sv2_expectation expect = {.authority = credentials.authority, .now_s = NOW};
    must(owm_sv2_initiate_finish(&used, act2, &expect, &miner, hash, NULL));
}

int main(void)
{
    static const uint32_t jobs[] = {48, 400, 800, 4000, 65519};
    struct owm_sv2_authority *authority;
    must(owm_sv2_authority_from_secret((uint8_t[32]){1}, &authority));
    must(owm_sv2_credentials_make(authority, NOW, 3600, &credentials));
    must(owm_sv2_initiate(&initiator, act1));
    line("a new ephemeral key, made ahead of time", best_ns(NULL, make_ephemeral, 50));
    line("handshake, pool: owm_sv2_respond", best_ns(NULL, respond, 50));
    line("handshake, miner: owm_sv2_initiate_finish", best_ns(NULL, finish, 50));
    line("write and seal a standard share", best_ns(seal_all, seal_share, FRAMES));
    line("open and read a standard share", best_ns(seal_all, open_share, FRAMES));
    line("the same two opens by libsodium, nothing read",
         best_ns(seal_all, open_share_with_libsodium, FRAMES));
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        char what[64];
        job_bytes = jobs[i];
        snprintf(what, sizeof what, "seal a payload of %u bytes", job_bytes);
        line(what, best_ns(NULL, seal_job, job_bytes > 10000 ? 50 : FRAMES));
    }
    owm_sv2_authority_close(authority);
    return 0;
}
