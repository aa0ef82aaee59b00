/* test_delta.c: the delta package: exact round trip, size, and a reason for every malformation
 * (SRS-MODEL 4.2.3 steps 4 and 5, TST-02). */
#include "dataplane/fl/delta_format.h"
#include "fl_test.h"

#define N 200000u /* three whole blocks and a part */

static struct owm_device *device;
static owm_identity *node, *stranger;

struct made {
    uint8_t *bytes;
    size_t count;
    struct test_sparse sparse;
    struct owm_delta_expect expect;
};

static struct made make(uint32_t n, uint32_t density_ppm, enum owm_delta_values values)
{
    struct made m = {0};
    struct owm_rng rng;
    float *dense = malloc(n * sizeof *dense);
    owm_rng_seed(&rng, n + density_ppm);
    fill_normal(&rng, dense, n, 0.01);
    m.sparse = test_pick(device, dense, n, density_ppm, values);
    free(dense);
    struct owm_delta_header header = {.round = 7,
                                      .base_sha256 = {1, 2, 3},
                                      .nonce = {9, 9},
                                      .parameter_count = n,
                                      .tokens = 4096,
                                      .values = values};
    memcpy(header.node_key, owm_identity_public_key(node), 32);
    size_t capacity = owm_delta_bytes_max(n, m.sparse.view.count, values);
    m.bytes = malloc(capacity);
    assert_ok(owm_delta_encode(&header, &m.sparse.view, m.bytes, capacity, &m.count));
    assert_ok(owm_delta_sign(m.bytes, m.count, node));
    m.expect = (struct owm_delta_expect){
        .round = 7, .base_sha256 = {1, 2, 3}, .parameter_count = n, .k_max = n};
    memcpy(m.expect.node_key, header.node_key, 32);
    return m;
}

static void unmake(struct made *m)
{
    free(m->bytes);
    test_sparse_free(&m->sparse);
}

static void check_round_trip(uint32_t n, uint32_t density_ppm, enum owm_delta_values values)
{
    struct made m = make(n, density_ppm, values);
    struct owm_delta delta;
    enum owm_delta_reason reason;
    struct owm_error error;
    assert_ok(owm_delta_decode(m.bytes, m.count, &m.expect, &delta, &reason, &error));
    assert_int_equal(reason, OWM_DELTA_NONE);
    assert_int_equal(delta.sparse.count, m.sparse.view.count);
    assert_memory_equal(delta.index, m.sparse.index, delta.sparse.count * sizeof *delta.index);
    assert_memory_equal(delta.value, m.sparse.value, delta.sparse.count * sizeof *delta.value);
    assert_true(delta.header.round == 7 && delta.header.tokens == 4096);
    assert_int_equal(delta.header.nonce[1], 9);
    assert_int_equal(delta.sparse.exponent, m.sparse.view.exponent);
    if (n == 1000000)
        print_message("1M parameters, %u ppm, %s: %zu bytes\n", density_ppm,
                      values == OWM_DELTA_INT8 ? "int8" : "bf16", m.count);
    owm_delta_free(&delta);
    unmake(&m);
}

static void round_trip_is_exact(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 9, 65535, 65536, 65537, N};
    static const uint32_t densities[] = {1, 1000, 100000, 125001, 500000, 1000000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t d = 0; d < sizeof densities / sizeof *densities; d++) {
            check_round_trip(sizes[s], densities[d], OWM_DELTA_INT8);
            check_round_trip(sizes[s], densities[d], OWM_DELTA_BF16);
        }
    check_round_trip(1000000, 100000, OWM_DELTA_INT8);
    check_round_trip(1000000, 100000, OWM_DELTA_BF16);
}

static void a_million_parameters_take_less_than_160_kilobytes(void **state)
{
    (void)state;
    struct made m = make(1000000, 100000, OWM_DELTA_INT8);
    assert_true(m.count < 160000); /* dense f32: 4,000,000 */
    unmake(&m);
}

/* --- malformations ---------------------------------------------------------------------------- */

/* Hash, root and signature over whatever the blocks say now: what an attacker with a key can do. */
static void reseal(struct made *m)
{
    uint8_t *directory = m->bytes + DIRECTORY_AT, message[SIGNED_BYTES];
    uint32_t blocks = delta_blocks(m->expect.parameter_count);
    uint8_t *block = directory + (size_t)blocks * ENTRY_BYTES;
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t bytes;
        memcpy(&bytes, directory + (size_t)b * ENTRY_BYTES, 4);
        owm_sha256(block, bytes, directory + (size_t)b * ENTRY_BYTES + 4);
        block += bytes;
    }
    delta_root(directory, blocks, m->bytes + ROOT_AT);
    delta_signed_bytes(m->bytes, message);
    owm_identity_sign(node, OWM_DELTA_CONTEXT, message, sizeof message, m->bytes + SIGNATURE_AT);
}

static void refused(const uint8_t *bytes, size_t count, const struct owm_delta_expect *expect,
                    enum owm_delta_reason expected)
{
    struct owm_delta delta;
    enum owm_delta_reason reason;
    struct owm_error error = {""};
    uint8_t *exact = malloc(count ? count : 1); /* so that ASan sees each byte too many */
    memcpy(exact, bytes, count);
    owm_status status = owm_delta_decode(exact, count, expect, &delta, &reason, &error);
    free(exact);
    if (reason != expected)
        fail_msg("expected %s, got %s", owm_delta_reason_name(expected),
                 owm_delta_reason_name(reason));
    assert_int_equal(status, expected == OWM_DELTA_SIGNATURE ? OWM_E_CRYPTO : OWM_E_PROTO);
    assert_non_null(strstr(error.text, owm_delta_reason_text(expected)));
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct made m = make(3000, 100000, OWM_DELTA_INT8);
    for (size_t count = 0; count < m.count; count++)
        refused(m.bytes, count, &m.expect, OWM_DELTA_TRUNCATED);
    uint8_t *longer = malloc(m.count + 1);
    memcpy(longer, m.bytes, m.count);
    longer[m.count] = 0;
    refused(longer, m.count + 1, &m.expect, OWM_DELTA_TRAILING);
    free(longer);
    unmake(&m);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    struct made m = make(3000, 100000, OWM_DELTA_INT8);
    for (size_t bit = 0; bit < 8 * m.count; bit++) {
        struct owm_delta delta;
        enum owm_delta_reason reason;
        m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(owm_delta_decode(m.bytes, m.count, &m.expect, &delta, &reason, NULL),
                             OWM_OK);
        assert_int_not_equal(reason, OWM_DELTA_NONE);
        m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    unmake(&m);
}

static void a_wrong_header_field_has_its_own_reason(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
        enum owm_delta_reason reason;
    } cases[] = {
        {0, 'X', OWM_DELTA_MAGIC},
        {8, 1, OWM_DELTA_WRONG_VERSION},
        {10, 2, OWM_DELTA_VALUE_TYPE},
        {11, 1, OWM_DELTA_RESERVED},
        {13, 0, OWM_DELTA_BLOCK_SIZE},
        {16, 8, OWM_DELTA_WRONG_ROUND},
        {24, 0, OWM_DELTA_WRONG_BASE},
        {104, 0, OWM_DELTA_PARAMETER_COUNT},
        {111, 1, OWM_DELTA_K_TOO_LARGE},
        {112, 9, OWM_DELTA_BLOCK_COUNT},
        {116, 1, OWM_DELTA_SIGNATURE},
        {88, 1, OWM_DELTA_SIGNATURE},
        {SIGNATURE_AT, 0, OWM_DELTA_SIGNATURE},
        {ROOT_AT, 0, OWM_DELTA_ROOT},
        {DIRECTORY_AT + 4, 0, OWM_DELTA_ROOT},
    };
    struct made m = make(N, 100000, OWM_DELTA_INT8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t before = m.bytes[cases[i].at];
        m.bytes[cases[i].at] = before == cases[i].byte ? (uint8_t)(before + 1) : cases[i].byte;
        refused(m.bytes, m.count, &m.expect, cases[i].reason);
        m.bytes[cases[i].at] = before;
    }
    m.expect.node_key[0] ^= 1;
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_WRONG_NODE);
    m.expect.node_key[0] ^= 1;
    memset(m.bytes + 104, 0, 4);
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_PARAMETER_COUNT);
    unmake(&m);

    m = make(N, 100000, OWM_DELTA_INT8);
    m.expect.k_max = m.sparse.view.count - 1;
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_K_TOO_LARGE); /* an index bomb */
    m.expect.k_max = N;
    memset(m.bytes + 108, 0, 4);
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_K_ZERO);
    memcpy(m.bytes + 108, (uint32_t[1]){3}, 4);
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_TOO_LARGE);
    memcpy(m.bytes + 108, (uint32_t[1]){m.sparse.view.count + 1}, 4);
    reseal(&m);
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_COUNT_MISMATCH);
    memcpy(m.bytes + 108, (uint32_t[1]){m.sparse.view.count - 1}, 4);
    reseal(&m);
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_COUNT_MISMATCH);
    unmake(&m);
}

static void signatures_bind_node_and_context(void **state)
{
    (void)state;
    struct made m = make(3000, 100000, OWM_DELTA_INT8);
    uint8_t message[SIGNED_BYTES];
    assert_int_equal(owm_delta_sign(m.bytes, m.count, stranger), OWM_E_ARG);
    delta_signed_bytes(m.bytes, message);
    owm_identity_sign(stranger, OWM_DELTA_CONTEXT, message, sizeof message, m.bytes + SIGNATURE_AT);
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_SIGNATURE);
    owm_identity_sign(node, "owm/other/1", message, sizeof message, m.bytes + SIGNATURE_AT);
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_SIGNATURE);
    unmake(&m);
}

/* One block with raw (uncompressed) parts, sealed by a valid key. */
static struct made raw_block(uint32_t n, uint32_t count, uint8_t code, const uint8_t *index,
                             uint32_t index_bytes, const uint8_t *values, uint32_t value_bytes,
                             enum owm_delta_values type)
{
    struct made m = make(n, 1, type);
    uint32_t size = BLOCK_HEAD + index_bytes + value_bytes;
    m.bytes = realloc(m.bytes, DIRECTORY_AT + ENTRY_BYTES + size);
    m.count = DIRECTORY_AT + ENTRY_BYTES + size;
    memcpy(m.bytes + 108, &count, 4);
    memcpy(m.bytes + DIRECTORY_AT, &size, 4);
    uint8_t *block = m.bytes + DIRECTORY_AT + ENTRY_BYTES;
    memset(block, 0, BLOCK_HEAD);
    memcpy(block, &count, 4);
    block[4] = code;
    memcpy(block + 8, &index_bytes, 4);
    memcpy(block + 12, &index_bytes, 4);
    memcpy(block + BLOCK_HEAD, index, index_bytes);
    memcpy(block + BLOCK_HEAD + index_bytes, values, value_bytes);
    reseal(&m);
    return m;
}

static void check_raw(uint32_t n, uint32_t count, uint8_t code, const char *index,
                      uint32_t index_bytes, const char *values, uint32_t value_bytes,
                      enum owm_delta_values type, enum owm_delta_reason reason)
{
    struct made m = raw_block(n, count, code, (const uint8_t *)index, index_bytes,
                              (const uint8_t *)values, value_bytes, type);
    if (reason == OWM_DELTA_NONE) {
        struct owm_delta delta;
        assert_ok(owm_delta_decode(m.bytes, m.count, &m.expect, &delta, &reason, NULL));
        owm_delta_free(&delta);
    } else {
        refused(m.bytes, m.count, &m.expect, reason);
    }
    unmake(&m);
}

static void a_signed_but_wrong_block_has_its_own_reason(void **state)
{
    (void)state;
    /* n = 1000, two values, gaps; scale 2^0 (exponent byte 0), codes 1 and 2. */
    check_raw(1000, 2, 0, "\x01\x02", 2, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_NONE);
    check_raw(1000, 2, 0, "\xff\xff\xff\xff\x01", 5, "\0\1\2", 3, OWM_DELTA_INT8,
              OWM_DELTA_INDEX_RANGE);
    check_raw(1000, 2, 0, "\x01\x02\x03", 3, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_INDEX_CODE);
    check_raw(1000, 2, 0, "\x01", 1, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_INDEX_CODE);
    check_raw(1000, 2, 0, "\x01\x02\xff", 3, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_INDEX_CODE);
    check_raw(1000, 2, 2, "\x01\x02", 2, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_BLOCK_FORMAT);
    check_raw(1000, 2, 0, "\x01\x02", 2, "\0\1", 2, OWM_DELTA_INT8, OWM_DELTA_BLOCK_COMPRESSION);
    check_raw(1000, 2, 0, "\x01\x02", 2, "\x78\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_SCALE);
    check_raw(1000, 2, 0, "\x01\x02", 2, "\x80\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_SCALE);
    check_raw(1000, 2, 0, "\x01\x02", 2, "\0\x80\2", 3, OWM_DELTA_INT8, OWM_DELTA_SCALE);
    check_raw(9, 2, 1, "\x03\0", 2, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_NONE);
    check_raw(9, 2, 1, "\x01\x02", 2, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_INDEX_RANGE);
    check_raw(9, 2, 1, "\x07\0", 2, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_INDEX_CODE);
    check_raw(9, 2, 1, "\x01\0", 2, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_INDEX_CODE);
    check_raw(9, 2, 1, "\x03", 1, "\0\1\2", 3, OWM_DELTA_INT8, OWM_DELTA_INDEX_CODE);
    /* 4100 coordinates are three groups; the middle one is empty and says -126 (0x82). */
    check_raw(4100, 2, 0, "\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x10",
              18, "\0\x82\0\1\2", 5, OWM_DELTA_INT8, OWM_DELTA_NONE);
    check_raw(4100, 2, 0, "\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x10",
              18, "\0\x81\0\1\2", 5, OWM_DELTA_INT8, OWM_DELTA_SCALE);
    /* bf16, high bytes first: NaN, infinity, denormal, and two values 2^60 apart. */
    check_raw(9, 1, 0, "\0", 1, "\x7f\xc0", 2, OWM_DELTA_BF16, OWM_DELTA_SCALE);
    check_raw(9, 1, 0, "\0", 1, "\x7f\x80", 2, OWM_DELTA_BF16, OWM_DELTA_SCALE);
    check_raw(9, 1, 0, "\0", 1, "\x00\x01", 2, OWM_DELTA_BF16, OWM_DELTA_SCALE);
    check_raw(9, 2, 0, "\0\0", 2, "\x3f\x21\x80\x80", 4, OWM_DELTA_BF16, OWM_DELTA_SPAN);
    check_raw(9, 1, 0, "\0", 1, "\x3f\x80", 2, OWM_DELTA_BF16, OWM_DELTA_NONE);
}

static void damaged_blocks_and_compression_bombs_are_refused(void **state)
{
    (void)state;
    struct made m = make(3000, 100000, OWM_DELTA_INT8);
    uint8_t *block = m.bytes + DIRECTORY_AT + ENTRY_BYTES;
    block[BLOCK_HEAD + 3] ^= 1;
    refused(m.bytes, m.count, &m.expect, OWM_DELTA_BLOCK_HASH);
    unmake(&m);

    /* An index part that claims zstd but is a frame of 100 MB of zeros. */
    size_t zeros = 100u << 20;
    uint8_t *plain = calloc(zeros, 1), packed[16384];
    size_t bytes = ZSTD_compress(packed, sizeof packed, plain, zeros, 3);
    assert_false(ZSTD_isError(bytes));
    free(plain);
    m = raw_block(1000, 2, 0, packed, (uint32_t)bytes, (const uint8_t *)"\0\1\2", 3,
                  OWM_DELTA_INT8);
    m.expect.k_max = 1000;
    block = m.bytes + DIRECTORY_AT + ENTRY_BYTES;
    block[5] = BLOCK_INDEX_ZSTD;
    memcpy(block + 8, (uint32_t[1]){2}, 4);
    reseal(&m);
    struct owm_delta delta;
    enum owm_delta_reason reason;
    assert_int_equal(owm_delta_decode(m.bytes, m.count, &m.expect, &delta, &reason, NULL),
                     OWM_E_PROTO);
    assert_true(reason == OWM_DELTA_BLOCK_COMPRESSION || reason == OWM_DELTA_TOO_LARGE);
    unmake(&m);
}

static void the_encoder_refuses_what_it_cannot_write(void **state)
{
    (void)state;
    struct owm_delta_header header = {.parameter_count = 10, .values = OWM_DELTA_INT8};
    uint8_t out[1024];
    size_t bytes;
    static const struct {
        uint32_t index[2];
        float value[2];
    } bad[] = {{{2, 1}, {1, 1}},   {{1, 1}, {1, 1}},        {{1, 10}, {1, 1}},
               {{1, 2}, {1, NAN}}, {{1, 2}, {1, INFINITY}}, {{1, 2}, {1, 0.3f}}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct owm_sparse sparse = {2, 0, bad[i].index, bad[i].value};
        assert_int_equal(owm_delta_encode(&header, &sparse, out, sizeof out, &bytes), OWM_E_ARG);
    }
    struct owm_sparse good = {2, 0, (uint32_t[]){1, 2}, (float[]){1, -3}};
    assert_ok(owm_delta_encode(&header, &good, out, sizeof out, &bytes));
    assert_int_equal(owm_delta_encode(&header, &good, out, 100, &bytes), OWM_E_LIMIT);
    good.count = 0;
    assert_int_equal(owm_delta_encode(&header, &good, out, sizeof out, &bytes), OWM_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_is_exact),
        cmocka_unit_test(a_million_parameters_take_less_than_160_kilobytes),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(a_wrong_header_field_has_its_own_reason),
        cmocka_unit_test(signatures_bind_node_and_context),
        cmocka_unit_test(a_signed_but_wrong_block_has_its_own_reason),
        cmocka_unit_test(damaged_blocks_and_compression_bombs_are_refused),
        cmocka_unit_test(the_encoder_refuses_what_it_cannot_write),
    };
    device = test_device(NULL);
    node = test_identity(1);
    stranger = test_identity(2);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    owm_identity_close(node);
    owm_identity_close(stranger);
    device->backend->close(device);
    return failed;
}
