/* test_op.c: each operation by published values, and its limits. */
#include "base/bytes.h"
#include "dataplane/ots/op.h"
#include "test.h"

static uint8_t result[OWM_OTS_MESSAGE_BYTES_MAX];

static struct owm_ots_bytes bytes_of(const char *text)
{
    return (struct owm_ots_bytes){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void assert_op(uint8_t tag, const char *argument, const char *message, const char *hex)
{
    uint32_t bytes = 0;
    char got[2 * sizeof result + 1];
    const struct owm_ots_op op = {tag, bytes_of(argument)};
    assert_ok(owm_ots_op_apply(&op, bytes_of(message), result, &bytes, NULL));
    owm_hex_encode(result, bytes, got);
    assert_string_equal(got, hex);
}

/* The empty string and "abc": FIPS 180-4; RIPEMD-160's and Keccak's own pages. */
static void hashes(void **state)
{
    (void)state;
    assert_op(OWM_OTS_SHA1, "", "", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_op(OWM_OTS_SHA1, "", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_op(OWM_OTS_RIPEMD160, "", "", "9c1185a5c5e9fc54612808977ee8f548b2258d31");
    assert_op(OWM_OTS_RIPEMD160, "", "abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc");
    assert_op(OWM_OTS_SHA256, "", "abc",
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_op(OWM_OTS_KECCAK256, "", "",
              "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    assert_op(OWM_OTS_KECCAK256, "", "abc",
              "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
}

static void others(void **state)
{
    (void)state;
    assert_op(OWM_OTS_APPEND, "cd", "ab", "61626364");
    assert_op(OWM_OTS_PREPEND, "cd", "ab", "63646162");
    assert_op(OWM_OTS_REVERSE, "", "abc", "636261");
    assert_op(OWM_OTS_HEXLIFY, "", "\xab\xcd", "61626364");
}

static owm_status apply(uint8_t tag, uint32_t argument_bytes, uint32_t message_bytes,
                        struct owm_error *error)
{
    static uint8_t zeros[OWM_OTS_MESSAGE_BYTES_MAX + 1];
    uint32_t bytes = 0;
    const struct owm_ots_op op = {tag, {zeros, argument_bytes}};
    error->text[0] = 0;
    owm_status status =
        owm_ots_op_apply(&op, (struct owm_ots_bytes){zeros, message_bytes}, result, &bytes, error);
    assert_int_equal(status == OWM_OK, error->text[0] == 0);
    return status;
}

static void assert_limit(uint8_t tag, uint32_t argument, uint32_t fits, uint32_t too_long)
{
    struct owm_error error;
    assert_int_equal(apply(tag, argument, fits, &error), OWM_OK);
    assert_int_equal(apply(tag, argument, too_long, &error), OWM_E_PROTO);
}

static void limits_are_those_of_the_reference(void **state)
{
    (void)state;
    struct owm_error error;
    assert_limit(OWM_OTS_APPEND, 4064, 32, 33);
    assert_limit(OWM_OTS_PREPEND, 4064, 32, 33);
    assert_limit(OWM_OTS_APPEND, 4096, 0, 1);
    assert_limit(OWM_OTS_SHA256, 0, 4096, 4097);
    assert_limit(OWM_OTS_HEXLIFY, 0, 2048, 2049);
    assert_limit(OWM_OTS_HEXLIFY, 0, 1, 0);
    assert_limit(OWM_OTS_REVERSE, 0, 1, 0);
    assert_int_equal(apply(OWM_OTS_APPEND, 0, 32, &error), OWM_E_PROTO);
    assert_int_equal(apply(OWM_OTS_APPEND, 4065, 32, &error), OWM_E_PROTO);
    assert_int_equal(apply(OWM_OTS_SHA256, 1, 32, &error), OWM_E_PROTO);
    for (int tag = 0; tag < 256; tag++)
        assert_int_equal(apply((uint8_t)tag, owm_ots_op_binary((uint8_t)tag), 32, &error) == OWM_OK,
                         owm_ots_op_name((uint8_t)tag) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes),
        cmocka_unit_test(others),
        cmocka_unit_test(limits_are_those_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
