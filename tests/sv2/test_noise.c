/* test_noise.c: the handshake, part by part and to the byte (SRS-POOL-01, SRS-SEC-16). */
#include "dataplane/sv2/noise.h"

#include "base/sha256.h"
#include "dataplane/sv2/curve.h"
#include "dataplane/sv2/symmetric.h"
#include "sv2_test.h"

#define NOW        1800000100u
#define TRANSCRIPT "noise_transcript.txt"

static struct owm_sv2_authority *authority, *stranger;
static struct owm_sv2_credentials credentials;
static uint8_t authority_key[32], stranger_key[32];

/* Values that follow from the protocol's name, as the reference implementation has them in
 * stratum-mining/stratum, sv2/noise-sv2/src/lib.rs. */
static void the_first_hashes(void **state)
{
    (void)state;
    struct owm_sv2_symmetric noise;
    owm_sv2_symmetric_init(&noise);
    assert_hex(noise.ck, 32, "2eb47881208e9eee1f669f67c66ee70ea9ea88090d503fe830dc4bc83e29bf10");
    assert_hex(noise.h, 32, "922fa32e4f487c0d59caa3bed7899ce3d98db7e13dbd3b7cf2d23dd433dc6104");
    uint8_t hash[32], zeros[90] = {0}, second[32];
    owm_sha256("bip324_ellswift_xonly_ecdh", 26, hash);
    assert_hex(hash, 32, "98f15cda57c93e51b1aff022215ca652855bc791bad28d1ed7674c994004ae63");
    owm_hmac_sha256(zeros, 32, zeros, 90, hash);
    assert_hex(hash, 32, "5527feb4e2c80d25c4e52f45576b7fa36fa4dafb2e5beb551de65dc857fd4fca");
    owm_sv2_hkdf(zeros, zeros, 32, hash, second);
    assert_hex(hash, 32, "df7204546f1bee78b85324a7898ca119b387e01386d1aef037781d4a8a036aee");
    assert_hex(second, 32, "a7b65a6e7f873068dd147c56493e71294acc89e73baae2e4a87075f18739b4cd");
}

static void exchange_line(char *line)
{
    uint8_t secret[32], ours[64], theirs[64], shared[32];
    char *field[5], *save = NULL;
    for (int i = 0; i < 5; i++) assert_non_null(field[i] = strtok_r(i ? NULL : line, " ", &save));
    from_hex(field[0], secret, 32);
    from_hex(field[1], ours, 64);
    from_hex(field[2], theirs, 64);
    bool initiator = field[3][0] == '1';
    assert_true(owm_sv2_exchange(initiator ? OWM_SV2_INITIATOR : OWM_SV2_RESPONDER, secret,
                                 initiator ? ours : theirs, initiator ? theirs : ours, shared));
    assert_hex(shared, 32, field[4]);
}

static void decode_line(char *line)
{
    uint8_t encoding[64], x[32];
    char *space = strchr(line, ' ');
    assert_non_null(space);
    *space = 0;
    from_hex(line, encoding, 64);
    owm_sv2_ellswift_xonly(encoding, x);
    assert_hex(x, 32, space + 1);
}

static void exchanges_and_encodings_are_those_of_bip324(void **state)
{
    (void)state;
    char line[1024];
    int exchanges = 0, decodings = 0;
    FILE *file = fopen(SV2_VECTORS "/bip324.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "exchange ", 9) == 0) exchange_line(line + 9), exchanges++;
        if (strncmp(line, "decode ", 7) == 0) decode_line(line + 7), decodings++;
    }
    fclose(file);
    assert_int_equal(exchanges, 7);
    assert_int_equal(decodings, 76);
}

/* Both sides' keys of the transcript. */
static void read_transcript(struct owm_sv2_credentials *pool, struct owm_sv2_ephemeral *responder,
                            struct owm_sv2_initiator *initiator)
{
    from_vector(TRANSCRIPT, "static_secret", pool->secret, 32);
    from_vector(TRANSCRIPT, "static_ellswift", pool->ellswift, 64);
    from_vector(TRANSCRIPT, "certificate", pool->certificate, 74);
    from_vector(TRANSCRIPT, "authority_xonly", pool->authority, 32);
    from_vector(TRANSCRIPT, "responder_secret", responder->secret, 32);
    from_vector(TRANSCRIPT, "responder_ellswift", responder->ellswift, 64);
    from_vector(TRANSCRIPT, "initiator_secret", initiator->ephemeral.secret, 32);
    from_vector(TRANSCRIPT, "initiator_ellswift", initiator->ephemeral.ellswift, 64);
}

static void assert_frame(struct owm_sv2_transport *from, struct owm_sv2_transport *to,
                         const char *name, const struct owm_sv2_frame *frame)
{
    uint8_t expected[512], sealed[512];
    struct owm_sv2_frame back;
    size_t bytes = owm_sv2_sealed_bytes(frame->bytes), used;
    from_vector(TRANSCRIPT, name, expected, bytes);
    assert_int_equal(
        owm_sv2_seal(from, frame->extension, frame->type, frame->payload, frame->bytes, sealed),
        bytes);
    assert_memory_equal(sealed, expected, bytes);
    assert_int_equal(owm_sv2_open(to, sealed, bytes, 512, &back, &used), OWM_SV2_FRAME);
    assert_int_equal(back.extension, frame->extension);
    assert_int_equal(back.type, frame->type);
    assert_int_equal(back.bytes, frame->bytes);
    assert_memory_equal(back.payload, frame->payload, frame->bytes);
}

static void assert_frames(struct owm_sv2_transport *miner, struct owm_sv2_transport *pool)
{
    uint8_t long_payload[200],
        share[24] = {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0};
    uint8_t success[20] = {1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7};
    for (int i = 0; i < 200; i++) long_payload[i] = (uint8_t)i;
    assert_frame(miner, pool, "frame_share", &(struct owm_sv2_frame){0x8000, 0x1a, 24, share});
    assert_frame(miner, pool, "frame_empty", &(struct owm_sv2_frame){0, 0x7f, 0, NULL});
    assert_frame(miner, pool, "frame_200", &(struct owm_sv2_frame){1, 0x55, 200, long_payload});
    assert_frame(pool, miner, "frame_success", &(struct owm_sv2_frame){0x8000, 0x1c, 20, success});
}

/* Made by a second implementation: vectors/noise_transcript.py. */
static void a_whole_handshake_to_the_byte(void **state)
{
    (void)state;
    struct owm_sv2_credentials pool = {0};
    struct owm_sv2_ephemeral responder;
    struct owm_sv2_initiator initiator;
    struct owm_sv2_transport at_pool, at_miner;
    struct owm_error error;
    uint8_t act1[64], act2[234], expected[234], hash[32], hash_at_miner[32], key[32];
    read_transcript(&pool, &responder, &initiator);
    from_vector(TRANSCRIPT, "act1", act1, sizeof act1);
    assert_memory_equal(act1, initiator.ephemeral.ellswift, sizeof act1);
    assert_ok(owm_sv2_respond(&pool, &responder, act1, act2, &at_pool, hash));
    from_vector(TRANSCRIPT, "act2", expected, sizeof expected);
    assert_memory_equal(act2, expected, sizeof act2);
    from_vector(TRANSCRIPT, "handshake_hash", expected, 32);
    assert_memory_equal(hash, expected, 32);
    from_vector(TRANSCRIPT, "key_initiator_to_responder", key, 32);
    assert_memory_equal(at_pool.receive.key, key, 32);
    from_vector(TRANSCRIPT, "key_responder_to_initiator", key, 32);
    assert_memory_equal(at_pool.send.key, key, 32);

    struct owm_sv2_expectation expect = {.authority = pool.authority, .now_s = NOW};
    assert_ok(owm_sv2_initiate_finish(&initiator, act2, &expect, &at_miner, hash_at_miner, &error));
    assert_memory_equal(hash, hash_at_miner, 32);
    assert_frames(&at_miner, &at_pool);
    static const struct owm_sv2_initiator wiped;
    assert_memory_equal(&initiator, &wiped, sizeof wiped);
    assert_memory_equal(&responder, &wiped, sizeof responder);
}

/* One handshake up to act 2; the initiator is ready to judge it. */
static void play(const struct owm_sv2_credentials *pool, struct owm_sv2_initiator *initiator,
                 uint8_t act2[234], struct owm_sv2_transport *at_pool)
{
    struct owm_sv2_ephemeral responder;
    uint8_t act1[64], hash[32];
    assert_ok(owm_sv2_ephemeral_make(&responder));
    assert_ok(owm_sv2_initiate(initiator, act1));
    assert_ok(owm_sv2_respond(pool, &responder, act1, act2, at_pool, hash));
}

/* What an initiator says to act 2 when it expects `key` at `now_s`; the sentence is in *error. */
static owm_status judge(const struct owm_sv2_credentials *pool, const uint8_t *key, uint64_t now_s,
                        struct owm_error *error)
{
    struct owm_sv2_initiator initiator;
    struct owm_sv2_transport at_pool, at_miner;
    uint8_t act2[234], hash[32];
    struct owm_sv2_expectation expect = {.authority = key, .now_s = now_s};
    play(pool, &initiator, act2, &at_pool);
    return owm_sv2_initiate_finish(&initiator, act2, &expect, &at_miner, hash, error);
}

static void refused(const struct owm_sv2_credentials *pool, const uint8_t *key, uint64_t now_s,
                    const char *sentence)
{
    struct owm_error error = {""};
    assert_int_equal(judge(pool, key, now_s, &error), OWM_E_CRYPTO);
    if (!strstr(error.text, sentence)) fail_msg("'%s' does not say '%s'", error.text, sentence);
}

static void certificates_are_judged(void **state)
{
    (void)state;
    struct owm_error error;
    uint64_t until = credentials.not_valid_after_s, from = NOW - OWM_SV2_CERTIFICATE_BACKDATE_S;
    uint8_t no_point[32];
    memset(no_point, 0xff, sizeof no_point);
    assert_ok(judge(&credentials, authority_key, NOW, &error));
    assert_ok(judge(&credentials, NULL, NOW, &error));
    refused(&credentials, stranger_key, NOW, "not signed by the authority key");
    refused(&credentials, no_point, NOW, "no point of the curve");
    assert_ok(judge(&credentials, authority_key, until + OWM_SV2_CERTIFICATE_LEEWAY_S, &error));
    refused(&credentials, authority_key, until + OWM_SV2_CERTIFICATE_LEEWAY_S + 1, "expired");
    refused(&credentials, NULL, until + 86400, "expired");
    assert_ok(judge(&credentials, authority_key, from - OWM_SV2_CERTIFICATE_LEEWAY_S, &error));
    refused(&credentials, authority_key, from - OWM_SV2_CERTIFICATE_LEEWAY_S - 1,
            "set this machine's clock");
}

static void other_versions_and_forged_dates_are_refused(void **state)
{
    (void)state;
    for (size_t at = 0; at < OWM_SV2_CERTIFICATE_BYTES; at++) {
        struct owm_sv2_credentials forged = credentials;
        forged.certificate[at] ^= 0x40;
        refused(&forged, authority_key, NOW,
                at < 2 ? "update this program" : "not signed by the authority key");
    }
    struct owm_sv2_credentials moved = credentials; /* A good certificate for another static key. */
    struct owm_sv2_ephemeral fresh;
    assert_ok(owm_sv2_ephemeral_make(&fresh));
    memcpy(moved.secret, fresh.secret, 32);
    memcpy(moved.ellswift, fresh.ellswift, 64);
    refused(&moved, authority_key, NOW, "not signed by the authority key");
}

static void act_2_changed_anywhere_is_refused(void **state)
{
    (void)state;
    struct owm_sv2_initiator ready, initiator;
    struct owm_sv2_transport at_pool, at_miner;
    uint8_t act2[234], hash[32];
    struct owm_error error;
    struct owm_sv2_expectation expect = {.authority = authority_key, .now_s = NOW};
    play(&credentials, &ready, act2, &at_pool);
    for (size_t at = 0; at < sizeof act2; at++) {
        initiator = ready;
        act2[at] ^= (uint8_t)(1u << at % 8);
        assert_int_equal(
            owm_sv2_initiate_finish(&initiator, act2, &expect, &at_miner, hash, &error),
            OWM_E_CRYPTO);
        act2[at] ^= (uint8_t)(1u << at % 8);
    }
    initiator = ready;
    assert_ok(owm_sv2_initiate_finish(&initiator, act2, &expect, &at_miner, hash, &error));
}

static void act_1_changed_on_the_way_is_seen(void **state)
{
    (void)state;
    struct owm_sv2_initiator initiator;
    struct owm_sv2_ephemeral responder;
    struct owm_sv2_transport at_pool, at_miner;
    uint8_t act1[64], act2[234], hash[32];
    struct owm_error error;
    struct owm_sv2_expectation expect = {.authority = authority_key, .now_s = NOW};
    for (size_t at = 0; at < sizeof act1; at++) {
        assert_ok(owm_sv2_initiate(&initiator, act1));
        assert_ok(owm_sv2_ephemeral_make(&responder));
        act1[at] ^= 1;
        assert_ok(owm_sv2_respond(&credentials, &responder, act1, act2, &at_pool, hash));
        assert_int_equal(
            owm_sv2_initiate_finish(&initiator, act2, &expect, &at_miner, hash, &error),
            OWM_E_CRYPTO);
    }
}

/* Every 64 bytes are a key, so plain Stratum v1 gets an act 2; but nothing it says is a frame. */
static void plain_stratum_v1_never_becomes_a_frame(void **state)
{
    (void)state;
    static const char v1[] =
        "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"cpuminer/2.5.1\"]}\n"
        "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"user\",\"x\"]}\n";
    struct owm_sv2_ephemeral responder;
    struct owm_sv2_transport at_pool;
    struct owm_sv2_frame frame;
    uint8_t act2[234], hash[32], rest[sizeof v1];
    size_t used;
    assert_ok(owm_sv2_ephemeral_make(&responder));
    assert_ok(owm_sv2_respond(&credentials, &responder, (const uint8_t *)v1, act2, &at_pool, hash));
    memcpy(rest, v1 + 64, sizeof v1 - 64);
    assert_int_equal(owm_sv2_open(&at_pool, rest, sizeof v1 - 64, 4096, &frame, &used),
                     OWM_SV2_BAD_MAC);
}

static void every_handshake_is_unique(void **state)
{
    (void)state;
    struct owm_sv2_initiator initiator;
    struct owm_sv2_ephemeral responder;
    struct owm_sv2_transport transport;
    uint8_t act1[64], act2[2][234], hash[2][32];
    assert_ok(owm_sv2_initiate(&initiator, act1));
    for (int i = 0; i < 2; i++) { /* Act 1 replayed. */
        assert_ok(owm_sv2_ephemeral_make(&responder));
        assert_ok(owm_sv2_respond(&credentials, &responder, act1, act2[i], &transport, hash[i]));
    }
    assert_memory_not_equal(act2[0], act2[1], 64);
    assert_memory_not_equal(hash[0], hash[1], 32);
}

static int prepare(void **state)
{
    (void)state;
    if (owm_sv2_authority_from_secret((uint8_t[32]){7}, &authority) != OWM_OK
        || owm_sv2_authority_from_secret((uint8_t[32]){8}, &stranger) != OWM_OK)
        return 1;
    owm_sv2_authority_public(authority, authority_key);
    owm_sv2_authority_public(stranger, stranger_key);
    return owm_sv2_credentials_make(authority, NOW, 3600, &credentials) != OWM_OK;
}

static int finish(void **state)
{
    (void)state;
    owm_sv2_credentials_wipe(&credentials);
    owm_sv2_authority_close(authority);
    owm_sv2_authority_close(stranger);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_hashes),
        cmocka_unit_test(exchanges_and_encodings_are_those_of_bip324),
        cmocka_unit_test(a_whole_handshake_to_the_byte),
        cmocka_unit_test(certificates_are_judged),
        cmocka_unit_test(other_versions_and_forged_dates_are_refused),
        cmocka_unit_test(act_2_changed_anywhere_is_refused),
        cmocka_unit_test(act_1_changed_on_the_way_is_seen),
        cmocka_unit_test(plain_stratum_v1_never_becomes_a_frame),
        cmocka_unit_test(every_handshake_is_unique),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
