/* test_link.c: a connection below the frame: bytes in any pieces, bad ones, and the handshake. */
#include "base/clock.h"
#include "hall_world.h"
#include "pool/link.h"
#include "sv2client/sv2link.h"
#include "test.h"

#define NOW_S UINT64_C(1790000000)

/** cable: a link of the pool and the test miner at its other end. */
struct cable {
    struct owm_link link;
    struct sv2link miner;
    struct sv2client_channel channel[2];
    uint8_t to_pool[65536], to_miner[65536];
    size_t pool_bytes, miner_bytes, reserved;
    bool closed;
    char reason[OWM_PEER_TEXT_BYTES];
};

static struct world world;
static struct owm_gate gate;
static uint8_t authority_key[32];

static int set_up(void **state)
{
    (void)state;
    static const uint8_t secret[32] = {[31] = 9};
    struct owm_sv2_authority *authority;
    struct owm_sv2_credentials credentials;
    assert_ok(owm_sv2_authority_from_secret(secret, &authority));
    owm_sv2_authority_public(authority, authority_key);
    assert_ok(owm_sv2_credentials_make(authority, NOW_S, 3600, &credentials));
    owm_sv2_authority_close(authority);
    assert_ok(owm_gate_init(&gate, &credentials, 256));
    world_open(&world, NULL);
    world_work(&world, 1, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    owm_gate_deinit(&gate);
    return 0;
}

static uint8_t *wire_reserve(void *ctx, size_t bytes)
{
    struct cable *cable = ctx;
    assert_true(cable->miner_bytes + bytes <= sizeof cable->to_miner);
    cable->reserved = bytes;
    return cable->to_miner + cable->miner_bytes;
}

static void wire_commit(void *ctx, size_t bytes)
{
    struct cable *cable = ctx;
    assert_true(bytes <= cable->reserved);
    cable->miner_bytes += bytes;
}

static void wire_close(void *ctx, const char *reason, bool flush)
{
    struct cable *cable = ctx;
    (void)flush;
    assert_false(cable->closed);
    cable->closed = true;
    snprintf(cable->reason, sizeof cable->reason, "%s", reason);
}

static void put(void *ctx, const uint8_t *data, size_t bytes)
{
    struct cable *cable = ctx;
    assert_true(cable->pool_bytes + bytes <= sizeof cable->to_pool);
    memcpy(cable->to_pool + cable->pool_bytes, data, bytes);
    cable->pool_bytes += bytes;
}

static void cable_open(struct cable *cable)
{
    struct owm_wire wire = {wire_reserve, wire_commit, wire_close, cable};
    struct owm_link_owner owner = {world.hall, &gate};
    memset(cable, 0, sizeof *cable);
    cable->miner.client.channel = cable->channel;
    cable->miner.client.channels = 2;
    cable->miner.put = put;
    cable->miner.put_ctx = cable;
    cable->miner.authority = authority_key;
    assert_true(owm_link_open(&cable->link, &owner, &wire, &(struct owm_peer){"192.0.2.1:1", 1}));
}

/** Give the pool what waits, `piece` bytes at a time: as a transport does, with the rest in
 * front. */
static void deliver(struct cable *cable, size_t piece)
{
    uint8_t kept[8192];
    size_t kept_bytes = 0;
    for (size_t at = 0; at < cable->pool_bytes && !cable->closed;) {
        size_t bytes = cable->pool_bytes - at < piece ? cable->pool_bytes - at : piece;
        assert_true(kept_bytes + bytes <= sizeof kept);
        memcpy(kept + kept_bytes, cable->to_pool + at, bytes);
        kept_bytes += bytes;
        at += bytes;
        size_t used = owm_link_receive(&cable->link, kept, kept_bytes);
        assert_true(used <= kept_bytes);
        kept_bytes -= used;
        memmove(kept, kept + used, kept_bytes);
    }
    cable->pool_bytes = 0;
    world_turn(&world, 0);
}

static void answer(struct cable *cable)
{
    long used = sv2link_receive(&cable->miner, cable->to_miner, cable->miner_bytes, NOW_S);
    assert_int_equal(used, cable->miner_bytes);
    cable->miner_bytes = 0;
}

static void shake_hands(struct cable *cable, size_t piece)
{
    sv2link_start(&cable->miner);
    deliver(cable, piece);
    assert_int_equal(cable->miner_bytes, OWM_SV2_ACT2_BYTES);
    answer(cable);
    assert_true(cable->miner.secure);
}

/* A whole conversation in pieces of every size from one byte on (ckpool decrypted a header
 * twice). */
static void bytes_in_any_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 21, 22, 23, 61, 62, 63, 64, 65, 100, 4096};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        static struct cable cable;
        struct sv2client_share share;
        cable_open(&cable);
        shake_hands(&cable, pieces[i]);
        sv2client_setup(&cable.miner.client, 0);
        struct sv2client_channel *channel =
            sv2client_open(&cable.miner.client, &(struct sv2client_opening){.identity = "alice",
                                                                            .rate = world_rate(16),
                                                                            .extended = i % 2});
        deliver(&cable, pieces[i]);
        answer(&cable);
        assert_int_equal(channel->job.id, 1);
        sv2client_share_start(channel, &share);
        for (int k = 0; k < 5; k++, share.nonce++) {
            assert_true(sv2client_mine(channel, channel->target, NULL, &share));
            sv2client_submit(&cable.miner.client, channel, &share);
        }
        deliver(&cable, pieces[i]);
        answer(&cable);
        assert_int_equal(channel->accepted, 5);
        assert_false(cable.closed);
        owm_link_gone(&cable.link);
    }
}

static void a_flipped_bit_ends_it(void **state)
{
    (void)state;
    static struct cable cable;
    for (size_t at = 0; at < 40; at += 13) {
        cable_open(&cable);
        shake_hands(&cable, 4096);
        sv2client_setup(&cable.miner.client, 0);
        cable.to_pool[at] ^= 4;
        deliver(&cable, 4096);
        assert_string_equal(cable.reason, "bad mac");
        assert_int_equal(cable.miner_bytes, 0);
        owm_link_gone(&cable.link);
    }
}

/* 0xffffff bytes announced: refused by the header, before anything of it came or was kept. */
static void length_that_nobody_needs(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {OWM_HALL_PAYLOAD_BYTES + 1, 0xffff, 0xffffff};
    for (int i = 0; i < 3; i++) {
        static struct cable cable;
        cable_open(&cable);
        shake_hands(&cable, 4096);
        uint8_t *whole = calloc(1, lengths[i]), *out = calloc(1, owm_sv2_sealed_bytes(lengths[i]));
        assert_true(whole && out);
        owm_sv2_seal(&cable.miner.transport, 0, 0x1b, whole, lengths[i], out);
        put(&cable, out, OWM_SV2_SEALED_HEADER_BYTES);
        deliver(&cable, 4096);
        assert_string_equal(cable.reason, "frame too long");
        owm_link_gone(&cable.link);
        free(whole);
        free(out);
    }
}

/* SRS-SEC-16: text is recognised in any pieces, and never in an act 1 that begins like it. */
static void text_is_no_handshake(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n",
        "{\"method\": \"mining.authorize\"}",
        "GET / HTTP/1.1\r\n\r\n",
        "POST /json HTTP/1.0\r\n",
        "HEAD / HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t piece = 1; piece < 40; piece += 7) {
            static struct cable cable;
            cable_open(&cable);
            put(&cable, (const uint8_t *)texts[i], strlen(texts[i]));
            deliver(&cable, piece);
            assert_true(cable.link.spoke_text);
            assert_string_equal(cable.reason, "stratum v1");
            assert_int_equal(cable.miner_bytes, 0);
            owm_link_gone(&cable.link);
        }
    static struct cable cable;
    uint8_t act1[OWM_SV2_ACT1_BYTES] = "{\"id\": \x01";
    cable_open(&cable);
    put(&cable, act1, sizeof act1);
    deliver(&cable, 4096);
    assert_int_equal(cable.miner_bytes, OWM_SV2_ACT2_BYTES);
    assert_false(cable.closed);
    owm_link_gone(&cable.link);
}

/* Half an act 1 waits for the rest, until the deadline. */
static void half_a_handshake(void **state)
{
    (void)state;
    static struct cable cable;
    cable_open(&cable);
    sv2link_start(&cable.miner);
    cable.pool_bytes = 63;
    deliver(&cable, 9);
    assert_int_equal(cable.miner_bytes, 0);
    world_idle(&world, 9000);
    assert_false(cable.closed);
    world_idle(&world, 3000);
    assert_string_equal(cable.reason, "handshake timeout");
    owm_link_gone(&cable.link);
}

/* Key pairs made ahead are used up and made anew; without any, one is made at once. */
static void ephemerals(void **state)
{
    (void)state;
    static struct cable cable;
    assert_true(owm_gate_fill(&gate, 2));
    for (int i = 0; i < 3; i++) {
        cable_open(&cable);
        shake_hands(&cable, 64);
        owm_link_gone(&cable.link);
    }
    assert_int_equal(owm_hall_stats(world.hall)->ephemerals_missed, 1);
    assert_int_equal(owm_hall_stats(world.hall)->handshakes, 3);
    while (owm_gate_fill(&gate, 64)) {
    }
    assert_int_equal(gate.ready, 256);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bytes_in_any_pieces),  T(a_flipped_bit_ends_it), T(length_that_nobody_needs),
        T(text_is_no_handshake), T(half_a_handshake),      T(ephemerals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
