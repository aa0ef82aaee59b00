/* test_transport.c: encrypted frames, however they are cut (SRS-POOL-01). */
#include "dataplane/sv2/transport.h"

#include "dataplane/sv2/messages.h"
#include "sv2_test.h"

static struct owm_sv2_transport miner, server;

/* Both ends of a connection, from random keys. */
static void connect_ends(void)
{
    memset(&miner, 0, sizeof miner);
    random_bytes(miner.send.key, 32);
    random_bytes(miner.receive.key, 32);
    server = (struct owm_sv2_transport){.send = miner.receive, .receive = miner.send};
}

static void sealed_sizes(void **state)
{
    (void)state;
    static const struct {
        uint32_t plain;
        size_t sealed;
    } sizes[] = {{0, 0},
                 {1, 17},
                 {24, 40},
                 {65519, 65535},
                 {65520, 65552},
                 {131038, 131070},
                 {16777215, 16781327}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(owm_sv2_sealed_bytes(sizes[i].plain), 22 + sizes[i].sealed);
}

static void one_byte_at_a_time_decrypts_each_header_once(void **state)
{
    (void)state;
    uint8_t stream[3 * 62 + 22], plain[24];
    size_t filled = 0, start = 0;
    connect_ends();
    random_bytes(plain, sizeof plain);
    for (int i = 0; i < 3; i++)
        filled += owm_sv2_seal(&miner, 0x8000, 0x1a, plain, 24, stream + filled);
    filled += owm_sv2_seal(&miner, 0, 0x7f, NULL, 0, stream + filled);
    assert_int_equal(filled, sizeof stream);
    int frames = 0;
    for (size_t have = 1; have <= filled; have++) {
        struct owm_sv2_frame frame;
        size_t used, wanted = owm_sv2_wanted(&server);
        enum owm_sv2_receipt got =
            owm_sv2_open(&server, stream + start, have - start, 4096, &frame, &used);
        /* Progress comes exactly when owm_sv2_wanted said. */
        assert_int_equal(used > 0, have - start >= wanted);
        start += used;
        if (got != OWM_SV2_FRAME) {
            assert_int_equal(got, OWM_SV2_MORE);
            continue;
        }
        frames++;
        assert_int_equal(frame.type, frames <= 3 ? 0x1a : 0x7f);
        assert_int_equal(frame.extension, frames <= 3 ? 0x8000 : 0);
        assert_int_equal(frame.bytes, frames <= 3 ? 24 : 0);
        assert_memory_equal(frame.payload, plain, frame.bytes);
        assert_int_equal(start, have);
    }
    assert_int_equal(frames, 4);
    assert_int_equal(server.receive.nonce, 7); /* Four headers, three payloads. */
}

static void frames_in_one_segment_come_out_one_by_one(void **state)
{
    (void)state;
    static uint8_t stream[200 * 600], plain[200][512];
    uint32_t bytes[200];
    size_t filled = 0, at = 0;
    connect_ends();
    for (int i = 0; i < 200; i++) {
        bytes[i] = (uint32_t)random_below(513);
        random_bytes(plain[i], bytes[i]);
        filled +=
            owm_sv2_seal(&miner, (uint16_t)i, (uint8_t)i, plain[i], bytes[i], stream + filled);
    }
    for (int i = 0; i < 200; i++) {
        struct owm_sv2_frame frame;
        size_t used;
        assert_int_equal(owm_sv2_open(&server, stream + at, filled - at, 512, &frame, &used),
                         OWM_SV2_FRAME);
        assert_int_equal(frame.type, i);
        assert_int_equal(frame.bytes, bytes[i]);
        assert_memory_equal(frame.payload, plain[i], bytes[i]);
        at += used;
    }
    assert_int_equal(at, filled);
}

static void long_payloads_go_in_chunks(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1535,  1536,   1537,   65518,  65519,
                                     65520, 131037, 131038, 131039, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t bytes = sizes[i];
        uint8_t *plain = malloc(bytes), *stream = malloc(owm_sv2_sealed_bytes(bytes));
        assert_true(plain && stream);
        random_bytes(plain, bytes);
        connect_ends();
        size_t filled = owm_sv2_seal(&miner, 1, 2, plain, bytes, stream), used;
        struct owm_sv2_frame frame;
        assert_int_equal(filled, owm_sv2_sealed_bytes(bytes));
        assert_int_equal(owm_sv2_open(&server, stream, filled - 1, bytes, &frame, &used),
                         OWM_SV2_MORE);
        assert_int_equal(used, OWM_SV2_SEALED_HEADER_BYTES);
        assert_int_equal(owm_sv2_wanted(&server), filled - used);
        size_t rest;
        assert_int_equal(owm_sv2_open(&server, stream + used, filled - used, bytes, &frame, &rest),
                         OWM_SV2_FRAME);
        assert_int_equal(used + rest, filled);
        assert_int_equal(frame.bytes, bytes);
        assert_memory_equal(frame.payload, plain, bytes);
        assert_int_equal(miner.send.nonce, server.receive.nonce);
        free(plain);
        free(stream);
    }
}

static void an_oversize_header_is_refused_at_once(void **state)
{
    (void)state;
    uint8_t header[OWM_SV2_SEALED_HEADER_BYTES];
    static uint8_t stream[OWM_SV2_SEALED_HEADER_BYTES + 2049 + 16], plain[2049];
    struct owm_sv2_frame frame;
    size_t used;
    connect_ends();
    owm_sv2_seal(&miner, 0, 0, plain, 2049, stream);
    memcpy(header, stream, sizeof header); /* The header alone is enough to know. */
    assert_int_equal(owm_sv2_open(&server, header, sizeof header, 2048, &frame, &used),
                     OWM_SV2_TOO_LONG);
    connect_ends();
    owm_sv2_seal(&miner, 0, 0, plain, 2048, stream);
    assert_int_equal(owm_sv2_open(&server, stream, 22 + 2048 + 16, 2048, &frame, &used),
                     OWM_SV2_FRAME);
}

static void one_wrong_bit_anywhere_is_seen(void **state)
{
    (void)state;
    uint8_t sealed[62], copy[62], plain[24] = {1, 2, 3};
    struct owm_sv2_frame frame;
    size_t used;
    connect_ends();
    const struct owm_sv2_transport fresh = server;
    assert_int_equal(owm_sv2_seal(&miner, 0x8000, 0x1a, plain, 24, sealed), sizeof sealed);
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        memcpy(copy, sealed, sizeof copy);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        server = fresh;
        assert_int_equal(owm_sv2_open(&server, copy, sizeof copy, 4096, &frame, &used),
                         OWM_SV2_BAD_MAC);
    }
    server = fresh; /* Said twice: the second has a spent nonce. */
    memcpy(copy, sealed, sizeof copy);
    assert_int_equal(owm_sv2_open(&server, copy, sizeof copy, 4096, &frame, &used), OWM_SV2_FRAME);
    memcpy(copy, sealed, sizeof copy);
    assert_int_equal(owm_sv2_open(&server, copy, sizeof copy, 4096, &frame, &used),
                     OWM_SV2_BAD_MAC);
    memcpy(copy, sealed, sizeof copy); /* And a frame is not taken back by its sender. */
    assert_int_equal(owm_sv2_open(&miner, copy, sizeof copy, 4096, &frame, &used), OWM_SV2_BAD_MAC);
}

static void a_payload_may_lie_where_it_is_sealed(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 24, 64, 65, 600, 700, 65519};
    static uint8_t apart[66000], in_place[66000], plain[66000];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        connect_ends();
        struct owm_sv2_transport same = miner;
        random_bytes(plain, sizes[i]);
        uint8_t *inside = in_place + OWM_SV2_SEALED_HEADER_BYTES;
        memcpy(inside, plain, sizes[i]);
        size_t bytes = owm_sv2_seal(&miner, 3, 4, plain, sizes[i], apart);
        assert_int_equal(owm_sv2_seal(&same, 3, 4, inside, sizes[i], in_place), bytes);
        assert_memory_equal(apart, in_place, bytes);
    }
}

/* The counter is 64 bits wide and the pads of a frame may lie on both sides of a carry. */
static void nonces_count_past_32_bits(void **state)
{
    (void)state;
    uint8_t sealed[62], plain[24] = {9};
    connect_ends();
    miner.send.nonce = server.receive.nonce = 0xffffffff;
    for (int i = 0; i < 3; i++) {
        struct owm_sv2_frame frame;
        size_t used;
        owm_sv2_seal(&miner, 0, 1, plain, 24, sealed);
        assert_int_equal(owm_sv2_open(&server, sealed, sizeof sealed, 24, &frame, &used),
                         OWM_SV2_FRAME);
        assert_memory_equal(frame.payload, plain, 24);
    }
    assert_true(server.receive.nonce == 0xffffffffull + 6);
}

static void wiping_forgets_the_keys(void **state)
{
    (void)state;
    static const struct owm_sv2_transport nothing;
    connect_ends();
    owm_sv2_transport_wipe(&miner);
    assert_memory_equal(&miner, &nothing, sizeof nothing);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_sizes),
        cmocka_unit_test(one_byte_at_a_time_decrypts_each_header_once),
        cmocka_unit_test(frames_in_one_segment_come_out_one_by_one),
        cmocka_unit_test(long_payloads_go_in_chunks),
        cmocka_unit_test(an_oversize_header_is_refused_at_once),
        cmocka_unit_test(one_wrong_bit_anywhere_is_seen),
        cmocka_unit_test(a_payload_may_lie_where_it_is_sealed),
        cmocka_unit_test(nonces_count_past_32_bits),
        cmocka_unit_test(wiping_forgets_the_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
