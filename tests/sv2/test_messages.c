/* test_messages.c: every message of Stratum v2, there and back (SRS-POOL-01). */
#include "dataplane/sv2/messages.h"

#include "sv2_test.h"

/* What the views of a random message point to. */
#define POOL_BYTES (256 * 1024)
static uint8_t pool[POOL_BYTES];
static uint8_t wire[3 * 65536 * 4];

#define RANDOM_PLAIN(type)                                                                         \
    static void random_##type(owm_sv2_##type *value)                                               \
    {                                                                                              \
        random_bytes(value, sizeof *value);                                                        \
    }                                                                                              \
    static void same_##type(const owm_sv2_##type *a, const owm_sv2_##type *b)                      \
    {                                                                                              \
        assert_memory_equal(a, b, sizeof *a);                                                      \
    }
RANDOM_PLAIN(u8)
RANDOM_PLAIN(u16)
RANDOM_PLAIN(u32)
RANDOM_PLAIN(u64)
RANDOM_PLAIN(f32)
RANDOM_PLAIN(u256)
RANDOM_PLAIN(sig)

static void random_flag(owm_sv2_flag *value)
{
    *value = next_random() & 1;
}

static void same_flag(const owm_sv2_flag *a, const owm_sv2_flag *b)
{
    assert_int_equal(*a, *b);
}

static void random_opt_u32(owm_sv2_opt_u32 *value)
{
    *value = (struct owm_sv2_option){.present = next_random() & 1};
    if (value->present) value->value = (uint32_t)next_random();
}

static void same_opt_u32(const owm_sv2_opt_u32 *a, const owm_sv2_opt_u32 *b)
{
    assert_int_equal(a->present, b->present);
    assert_int_equal(a->value, b->value);
}

/* Lengths are mostly small, and sometimes the longest there is. */
static struct owm_sv2_view random_view(uint32_t most, uint32_t size)
{
    uint32_t count = (uint32_t)random_below((most < 40 ? most : 40) + 1);
    if (random_below(8) == 0) count = most;
    return (struct owm_sv2_view){pool + random_below(POOL_BYTES - (size_t)count * size + 1), count};
}

#define RANDOM_VIEW(type, most, size)                                                              \
    static void random_##type(owm_sv2_##type *value)                                               \
    {                                                                                              \
        *value = random_view(most, size);                                                          \
    }                                                                                              \
    static void same_##type(const owm_sv2_##type *a, const owm_sv2_##type *b)                      \
    {                                                                                              \
        assert_int_equal(a->count, b->count);                                                      \
        assert_memory_equal(a->data, b->data, (size_t)a->count *(size));                           \
    }
RANDOM_VIEW(str, 255, 1)
RANDOM_VIEW(b32, 32, 1)
RANDOM_VIEW(b64k, 65535, 1)
RANDOM_VIEW(seq_u256, 255, 32)
RANDOM_VIEW(seq_u32, 65535, 4)
RANDOM_VIEW(seq_u16, 65535, 2)

/* Every shorter payload is malformed; cuts of long ones are sampled. A copy of the cut length on
 * the heap lets the sanitizers see a read past its end. */
typedef size_t reader(const uint8_t *payload, size_t bytes, void *m);
static void assert_cuts_fail(reader *read, size_t bytes, void *m)
{
    for (size_t cut = 0; cut < bytes; cut += bytes < 2000 ? 1 : 1 + random_below(bytes / 100)) {
        uint8_t *part = malloc(cut + (cut == 0));
        assert_non_null(part);
        memcpy(part, wire, cut);
        assert_int_equal(read(part, cut, m), 0);
        free(part);
    }
}

#define FILL(type, name) random_##type(&m.name);
#define SAME(type, name) same_##type(&m.name, &back.name);

#define CASE(name, fields, extension, number, channel)                                             \
    static size_t read_##name(const uint8_t *payload, size_t bytes, void *m)                       \
    {                                                                                              \
        return owm_sv2_read_##name(payload, bytes, m);                                             \
    }                                                                                              \
    static void round_trip_##name(void **state)                                                    \
    {                                                                                              \
        (void)state;                                                                               \
        for (int i = 0; i < 60; i++) {                                                             \
            struct owm_sv2_##name m, back;                                                         \
            memset(&m, 0, sizeof m);                                                               \
            fields(FILL) size_t bytes = owm_sv2_write_##name(wire, sizeof wire, &m);               \
            assert_int_not_equal(bytes, 0);                                                        \
            assert_int_equal(owm_sv2_read_##name(wire, bytes, &back), bytes);                      \
            fields(SAME) assert_int_equal(owm_sv2_read_##name(wire, bytes + 1, &back), bytes);     \
            if (i < 8) assert_cuts_fail(read_##name, bytes, &back);                                \
            assert_int_equal(owm_sv2_write_##name(wire, bytes, &m), bytes);                        \
            assert_int_equal(owm_sv2_write_##name(wire, bytes - 1, &m), 0);                        \
            assert_int_equal(owm_sv2_write_##name(wire, 0, &m), 0);                                \
        }                                                                                          \
    }
OWM_SV2_MESSAGES(CASE)

static void sizes_on_the_wire_are_those_of_the_specification(void **state)
{
    (void)state;
    struct owm_sv2_submit_standard share = {0};
    struct owm_sv2_submit_success success = {0};
    struct owm_sv2_set_prev_hash tip = {0};
    struct owm_sv2_set_target target = {0};
    struct owm_sv2_new_job job = {0};
    struct owm_sv2_setup_connection setup;
    assert_int_equal(owm_sv2_write_submit_standard(wire, sizeof wire, &share), 24);
    assert_int_equal(owm_sv2_write_submit_success(wire, sizeof wire, &success), 20);
    assert_int_equal(owm_sv2_write_set_prev_hash(wire, sizeof wire, &tip), 48);
    assert_int_equal(owm_sv2_write_set_target(wire, sizeof wire, &target), 36);
    assert_int_equal(owm_sv2_write_new_job(wire, sizeof wire, &job), 45);
    job.min_ntime.present = true;
    assert_int_equal(owm_sv2_write_new_job(wire, sizeof wire, &job), 49);
    struct owm_sv2_view full = {pool, 255};
    setup = (struct owm_sv2_setup_connection){.endpoint_host = full,
                                              .vendor = full,
                                              .hardware_version = full,
                                              .firmware = full,
                                              .device_id = full};
    assert_int_equal(owm_sv2_write_setup_connection(wire, sizeof wire, &setup), 1291);
}

/* Bytes: stratum-mining/sv2-tp, src/test/sv2_messages_tests.cpp (the example of the specification).
 */
static void setup_messages_are_those_of_the_template_provider(void **state)
{
    (void)state;
    static const char hex[] = "02"
                              "0200"
                              "0200"
                              "01000000"
                              "07302e302e302e30"
                              "6121"
                              "074269746d61696e"
                              "0853396920"
                              "31332e35"
                              "1c627261"
                              "69696e732d6f732d323031382d30392d32322d312d68617368"
                              "10736f6d652d6465766963652d75756964";
    uint8_t bytes[82];
    struct owm_sv2_setup_connection setup;
    from_hex(hex, bytes, sizeof bytes);
    assert_int_equal(owm_sv2_read_setup_connection(bytes, sizeof bytes, &setup), sizeof bytes);
    assert_int_equal(setup.protocol, 2);
    assert_int_equal(setup.min_version, 2);
    assert_int_equal(setup.max_version, 2);
    assert_int_equal(setup.flags, 1);
    assert_int_equal(setup.endpoint_port, 8545);
    assert_memory_equal(setup.endpoint_host.data, "0.0.0.0", setup.endpoint_host.count);
    assert_memory_equal(setup.vendor.data, "Bitmain", setup.vendor.count);
    assert_memory_equal(setup.hardware_version.data, "S9i 13.5", setup.hardware_version.count);
    assert_memory_equal(setup.firmware.data, "braiins-os-2018-09-22-1-hash", setup.firmware.count);
    assert_memory_equal(setup.device_id.data, "some-device-uuid", setup.device_id.count);
    assert_int_equal(owm_sv2_write_setup_connection(wire, sizeof wire, &setup), sizeof bytes);
    assert_hex(wire, sizeof bytes, hex);

    struct owm_sv2_setup_success success = {.used_version = 2, .flags = 3};
    assert_int_equal(owm_sv2_write_setup_success(wire, sizeof wire, &success), 6);
    assert_hex(wire, 6, "020003000000");
    static const char mismatch[] = "protocol-version-mismatch";
    struct owm_sv2_setup_error error = {.error_code = owm_sv2_view_of(mismatch, 25)};
    assert_int_equal(owm_sv2_write_setup_error(wire, sizeof wire, &error), 30);
    assert_hex(wire, 30, "000000001970726f746f636f6c2d76657273696f6e2d6d69736d61746368");
}

static void counts_that_lie_are_malformed(void **state)
{
    (void)state;
    uint8_t bytes[80] = {0};
    struct owm_sv2_set_group_channel group;
    struct owm_sv2_set_extranonce extranonce;
    struct owm_sv2_close_channel close;
    struct owm_sv2_new_extended_job job;
    struct owm_sv2_new_job standard;
    bytes[4] = bytes[5] = 0xff; /* 65,535 channels in 74 bytes. */
    assert_int_equal(owm_sv2_read_set_group_channel(bytes, sizeof bytes, &group), 0);
    memset(bytes, 0, sizeof bytes);
    bytes[4] = 33; /* B0_32 with all its 33 bytes there. */
    assert_int_equal(owm_sv2_read_set_extranonce(bytes, sizeof bytes, &extranonce), 0);
    bytes[4] = 76; /* A string one byte longer than the payload. */
    assert_int_equal(owm_sv2_read_close_channel(bytes, sizeof bytes, &close), 0);
    bytes[4] = 75;
    assert_int_equal(owm_sv2_read_close_channel(bytes, sizeof bytes, &close), sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    bytes[14] = 255; /* 255 hashes of a merkle path in 65 bytes. */
    assert_int_equal(owm_sv2_read_new_extended_job(bytes, sizeof bytes, &job), 0);
    bytes[14] = 0;
    assert_int_equal(owm_sv2_read_new_extended_job(bytes, sizeof bytes, &job), 19);
    for (int option = 2; option < 256; option++) { /* OPTION has one element or none. */
        bytes[8] = (uint8_t)option;
        assert_int_equal(owm_sv2_read_new_job(bytes, sizeof bytes, &standard), 0);
    }
}

static void only_bit_0_of_a_bool_counts(void **state)
{
    (void)state;
    uint8_t bytes[19] = {0};
    struct owm_sv2_new_extended_job job;
    for (int flag = 0; flag < 256; flag++) {
        bytes[13] = (uint8_t)flag;
        assert_int_equal(owm_sv2_read_new_extended_job(bytes, sizeof bytes, &job), sizeof bytes);
        assert_int_equal(job.version_rolling_allowed, flag & 1);
    }
}

static void views_longer_than_their_type_are_not_written(void **state)
{
    (void)state;
    struct owm_sv2_close_channel close = {.reason_code = {pool, 256}};
    struct owm_sv2_set_extranonce extranonce = {.extranonce_prefix = {pool, 33}};
    struct owm_sv2_new_extended_job job = {.coinbase_prefix = {pool, 65536}};
    struct owm_sv2_set_group_channel group = {.channel_ids = {pool, 65536}};
    assert_int_equal(owm_sv2_write_close_channel(wire, sizeof wire, &close), 0);
    assert_int_equal(owm_sv2_write_set_extranonce(wire, sizeof wire, &extranonce), 0);
    assert_int_equal(owm_sv2_write_new_extended_job(wire, sizeof wire, &job), 0);
    job = (struct owm_sv2_new_extended_job){.merkle_path = {pool, 256}};
    assert_int_equal(owm_sv2_write_new_extended_job(wire, sizeof wire, &job), 0);
    assert_int_equal(owm_sv2_write_set_group_channel(wire, sizeof wire, &group), 0);
}

static void names_and_numbers(void **state)
{
    (void)state;
#define NAMED(name, fields, extension, number, channel)                                            \
    assert_string_equal(                                                                           \
        owm_sv2_message_name((uint16_t)OWM_SV2_FRAME_EXT_##name, OWM_SV2_TYPE_##name), #name);     \
    assert_string_equal(owm_sv2_message_name((extension), (number)), #name);
    OWM_SV2_MESSAGES(NAMED)
    assert_null(owm_sv2_message_name(0, 0x50));
    assert_null(owm_sv2_message_name(0x4f58, 0));
    assert_int_equal(OWM_SV2_FRAME_EXT_submit_standard, 0x8000);
    assert_int_equal(OWM_SV2_TYPE_submit_standard, 0x1a);
    assert_int_equal(OWM_SV2_FRAME_EXT_node_auth, 0x4f57);
}

static void assert_worker(const char *hex, const char *expected)
{
    uint8_t tlv[256];
    size_t bytes = strlen(hex) / 2;
    struct owm_sv2_view name = {0};
    from_hex(hex, tlv, bytes);
    bool found = owm_sv2_worker_name(tlv, bytes, &name);
    assert_int_equal(found, expected != NULL);
    if (!expected) return;
    assert_int_equal(name.count, strlen(expected));
    assert_memory_equal(name.data, expected, name.count);
}

/* The first is the example of the specification (section 3.4.3 and extension 0x0002), big endian;
 * the second is what the reference implementation sends. */
static void worker_names_are_read_in_both_byte_orders(void **state)
{
    (void)state;
    assert_worker("000201000a576f726b65725f303031", "Worker_001");
    assert_worker("0200010a00576f726b65725f303031", "Worker_001");
    assert_worker("0200010000", "");
    assert_worker("", NULL);
    assert_worker("0200010a", NULL);                       /* Cut in its head. */
    assert_worker("0200010b00576f726b65725f303031", NULL); /* One byte short. */
    assert_worker("0200020400576f726b", NULL);             /* Another field. */
    assert_worker("0300010100ff02000103006f776d", "owm");  /* An unknown one first. */
    assert_worker("00030100"
                  "01ff00020100036f776d",
                  "owm");
    assert_worker("02000103006f776d03000101", NULL); /* Malformed behind it. */
    assert_worker("0200012100"
                  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
                  NULL); /* 33 bytes. */
}

static void worker_names_are_written(void **state)
{
    (void)state;
    uint8_t out[64];
    struct owm_sv2_view back;
    assert_int_equal(owm_sv2_write_worker_name(out, 15, owm_sv2_view_of("Worker_001", 10)), 15);
    assert_hex(out, 15, "0200010a00576f726b65725f303031");
    assert_int_equal(owm_sv2_write_worker_name(out, 14, owm_sv2_view_of("Worker_001", 10)), 0);
    assert_int_equal(owm_sv2_write_worker_name(out, sizeof out, owm_sv2_view_of(pool, 33)), 0);
    assert_int_equal(owm_sv2_write_worker_name(out, sizeof out, owm_sv2_view_of(pool, 32)), 37);
    assert_true(owm_sv2_worker_name(out, 37, &back));
    assert_memory_equal(back.data, pool, 32);
}

int main(void)
{
#define TEST(name, fields, extension, number, channel) cmocka_unit_test(round_trip_##name),
    static const struct CMUnitTest tests[] = {
        OWM_SV2_MESSAGES(TEST) cmocka_unit_test(sizes_on_the_wire_are_those_of_the_specification),
        cmocka_unit_test(setup_messages_are_those_of_the_template_provider),
        cmocka_unit_test(counts_that_lie_are_malformed),
        cmocka_unit_test(only_bit_0_of_a_bool_counts),
        cmocka_unit_test(views_longer_than_their_type_are_not_written),
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(worker_names_are_read_in_both_byte_orders),
        cmocka_unit_test(worker_names_are_written),
    };
    random_bytes(pool, sizeof pool);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
