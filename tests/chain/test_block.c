/* test_block.c: coinbases and blocks byte by byte: scriptSig of heights, outputs, lock time, the
 * merkle root of 0 to 33 transactions against the whole tree, the block as submitblock takes it.
 */
#include "base/bytes.h"
#include "dataplane/chain/template.h"
#include "dataplane/chain/transaction.h"
#include "template_text.h"
#include "test.h"

static const uint8_t extranonce[OWM_EXTRANONCE_BYTES_MAX] = {0xac, 0xae, 3, 4, 5, 6, 7, 8};

static struct owm_coinbase_plan plan_of(uint32_t extranonce_bytes)
{
    return (struct owm_coinbase_plan){
        .script = {0x51}, .script_bytes = 1, .tag = "/OWM/", .extranonce_bytes = extranonce_bytes};
}

static struct owm_coinbase build(const struct owm_template *block, uint32_t extranonce_bytes)
{
    const struct owm_coinbase_plan plan = plan_of(extranonce_bytes);
    struct owm_coinbase coinbase;
    struct owm_error error = {""};
    if (owm_coinbase_build(block, &plan, &coinbase, &error)) fail_msg("%s", error.text);
    return coinbase;
}

/* The coinbase without witness. */
static size_t join(const struct owm_coinbase *coinbase, uint8_t *out, size_t room)
{
    struct owm_writer w;
    owm_writer_init(&w, out, room);
    owm_write_bytes(&w, coinbase->prefix, coinbase->prefix_bytes);
    owm_write_bytes(&w, extranonce, coinbase->extranonce_bytes);
    owm_write_bytes(&w, coinbase->suffix, coinbase->suffix_bytes);
    assert_true(owm_writer_ok(&w));
    return w.at;
}

/* BIP 34's examples of numbers, and the edges of every length. The rest of the scriptSig is the
 * push of the tag and the push of the extranonce. */
static void heights_are_pushed(void **state)
{
    (void)state;
    static const struct {
        uint32_t height;
        const char *push;
    } heights[] = {
        {1, "51"},
        {2, "52"},
        {16, "60"},
        {17, "0111"},
        {127, "017f"},
        {128, "028000"},
        {255, "02ff00"},
        {256, "020001"},
        {32767, "02ff7f"},
        {32768, "03008000"},
        {227836, "03fc7903"},
        {840000, "0340d10c"},
        {8388607, "03ffff7f"},
        {8388608, "0400008000"},
        {499999999, "04ff64cd1d"},
    };
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++) {
        struct owm_template block = {.height = heights[i].height};
        struct owm_coinbase coinbase = build(&block, 8);
        char hex[400], expected[100];
        size_t push = strlen(heights[i].push) / 2;
        snprintf(expected, sizeof expected, "%02zx%s052f4f574d2f08", push + 6 + 9, heights[i].push);
        assert_int_equal(coinbase.prefix_bytes, 4 + 1 + 36 + 1 + push + 6 + 1);
        owm_hex_encode(coinbase.prefix + 41, coinbase.prefix_bytes - 41, hex);
        assert_string_equal(hex, expected);
    }
}

/* A scriptSig has at least two bytes even where the height is one and there is no tag. */
static void shortest_and_longest_script(void **state)
{
    (void)state;
    struct owm_template block = {.height = 1};
    struct owm_coinbase_plan plan = {.script = {0x51}, .script_bytes = 1, .extranonce_bytes = 1};
    struct owm_coinbase coinbase;
    assert_ok(owm_coinbase_build(&block, &plan, &coinbase, NULL));
    assert_int_equal(coinbase.prefix[41], 3);
    block.height = 499999999;
    plan.extranonce_bytes = OWM_EXTRANONCE_BYTES_MAX;
    plan.script_bytes = OWM_SCRIPT_BYTES_MAX;
    memset(plan.tag, 'x', sizeof plan.tag - 1);
    assert_ok(owm_coinbase_build(&block, &plan, &coinbase, NULL));
    assert_in_range(coinbase.prefix[41], 2, OWM_COINBASE_SCRIPT_BYTES_MAX);
    uint8_t whole[1024];
    struct owm_transaction read;
    assert_ok(owm_transaction_read(whole, join(&coinbase, whole, sizeof whole), &read, NULL));
    assert_true(read.weight + 36 + 4 * (80 + 5) < OWM_COINBASE_WEIGHT_RESERVE);
}

static void plans_are_checked(void **state)
{
    (void)state;
    struct owm_template block = {.height = 1};
    struct owm_coinbase coinbase;
    struct owm_error error;
    struct owm_coinbase_plan plan = plan_of(0);
    assert_int_equal(owm_coinbase_build(&block, &plan, &coinbase, &error), OWM_E_ARG);
    assert_non_null(strstr(error.text, "extranonce"));
    plan = plan_of(OWM_EXTRANONCE_BYTES_MAX + 1);
    assert_int_equal(owm_coinbase_build(&block, &plan, &coinbase, &error), OWM_E_ARG);
    plan = plan_of(8);
    plan.script_bytes = 0;
    assert_int_equal(owm_coinbase_build(&block, &plan, &coinbase, &error), OWM_E_ARG);
    assert_non_null(strstr(error.text, "script"));
    plan.script_bytes = OWM_SCRIPT_BYTES_MAX + 1;
    assert_int_equal(owm_coinbase_build(&block, &plan, &coinbase, &error), OWM_E_ARG);
    plan = plan_of(8);
    memset(plan.tag, 'x', sizeof plan.tag);
    assert_int_equal(owm_coinbase_build(&block, &plan, &coinbase, &error), OWM_E_ARG);
    assert_non_null(strstr(error.text, "tag"));
}

/* BIP 54: sequence not final, lock time the height before. BIP 141: value, then commitment. */
static void suffix_byte_by_byte(void **state)
{
    (void)state;
    json_t *root = template_json(0);
    struct owm_template *block = template_parsed(root);
    struct owm_coinbase coinbase = build(block, 8);
    char hex[400], expected[400];
    snprintf(expected, sizeof expected,
             "feffffff"
             "02"
             "00f2052a01000000"
             "0151"
             "0000000000000000"
             "26%s"
             "64000000",
             json_string_value(json_object_get(root, "default_witness_commitment")));
    owm_hex_encode(coinbase.suffix, coinbase.suffix_bytes, hex);
    assert_string_equal(hex, expected);
    owm_template_release(block);
    json_object_del(root, "default_witness_commitment");
    block = template_parsed(root);
    coinbase = build(block, 8);
    owm_hex_encode(coinbase.suffix, coinbase.suffix_bytes, hex);
    assert_string_equal(hex, "feffffff"
                             "01"
                             "00f2052a01000000"
                             "0151"
                             "64000000");
    owm_template_release(block);
    json_decref(root);
}

/* The root over all leaves, level by level, from the transactions' ids as the node told them. */
static void whole_root(const json_t *root, const struct owm_coinbase *coinbase, uint8_t out[32])
{
    uint8_t leaf[64][32], bytes[1024], be[32];
    hash_twice(bytes, join(coinbase, bytes, sizeof bytes), leaf[0]);
    const json_t *list = json_object_get(root, "transactions");
    uint32_t count = 1;
    for (size_t i = 0; i < json_array_size(list); i++, count++) {
        const json_t *txid = json_object_get(json_array_get(list, i), "txid");
        assert_ok(owm_hex_decode(json_string_value(txid), be, 32));
        for (int k = 0; k < 32; k++) leaf[count][k] = be[31 - k];
    }
    for (; count > 1; count = (count + 1) / 2) {
        if (count % 2) memcpy(leaf[count], leaf[count - 1], 32);
        for (uint32_t i = 0; i < (count + 1) / 2; i++) hash_twice(leaf[2 * i], 64, leaf[i]);
    }
    memcpy(out, leaf[0], 32);
}

static void roots_of_0_to_33_transactions(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= 33; count++) {
        json_t *root = template_json(count);
        struct owm_template *block = template_parsed(root);
        struct owm_coinbase coinbase = build(block, 8);
        uint8_t ours[32], whole[32];
        owm_merkle_root(block, &coinbase, extranonce, ours);
        whole_root(root, &coinbase, whole);
        assert_memory_equal(ours, whole, 32);
        owm_template_release(block);
        json_decref(root);
    }
}

/* Header, count, coinbase with marker, flag and 32 zero bytes of witness, then the node's bytes. */
static void check_block(uint32_t count, const char *count_hex)
{
    json_t *root = template_json(count);
    struct owm_template *block = template_parsed(root);
    struct owm_coinbase coinbase = build(block, 8);
    uint8_t header[80], merkle[32];
    owm_merkle_root(block, &coinbase, extranonce, merkle);
    const struct owm_header_fields fields = {
        block->version, block->current_time_s, block->bits, 7, block->previous, merkle};
    owm_header_write(&fields, header);
    size_t room = 1000 + 400 * (size_t)count;
    char *hex, *expected = calloc(1, room);
    assert_ok(owm_block_hex(block, &coinbase, extranonce, header, &hex));

    char part[600];
    owm_hex_encode(header, 80, part);
    size_t at = (size_t)snprintf(expected, room, "%s%s020000000001", part, count_hex);
    owm_hex_encode(coinbase.prefix + 4, coinbase.prefix_bytes - 4, part);
    at += (size_t)snprintf(expected + at, room - at, "%s", part);
    owm_hex_encode(extranonce, 8, part);
    at += (size_t)snprintf(expected + at, room - at, "%s", part);
    owm_hex_encode(coinbase.suffix, coinbase.suffix_bytes - 4, part);
    at += (size_t)snprintf(expected + at, room - at, "%s0120%064d64000000", part, 0);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(json_object_get(root, "transactions"), i);
        at += (size_t)snprintf(expected + at, room - at, "%s",
                               json_string_value(json_object_get(item, "data")));
    }
    assert_string_equal(hex, expected);
    free(hex);
    free(expected);
    owm_template_release(block);
    json_decref(root);
}

static void blocks_byte_by_byte(void **state)
{
    (void)state;
    check_block(0, "01");
    check_block(5, "06");
    check_block(251, "fc");
    check_block(252, "fdfd00");
    check_block(299, "fd2c01");
}

/* A block that commits to nothing has no witness at all: BIP 141. */
static void block_without_commitment(void **state)
{
    (void)state;
    struct owm_template block = {.height = 101, .coinbase_value_sats = 5000000000};
    struct owm_coinbase coinbase = build(&block, 8);
    uint8_t header[80] = {0}, bytes[1024];
    char *hex;
    assert_ok(owm_block_hex(&block, &coinbase, extranonce, header, &hex));
    size_t count = join(&coinbase, bytes, sizeof bytes);
    assert_int_equal(strlen(hex), 2 * (80 + 1 + count));
    char *expected = malloc(2 * count + 1);
    owm_hex_encode(bytes, count, expected);
    assert_string_equal(hex + 162, expected);
    free(expected);
    free(hex);
}

/* The header of block 170 from its fields, as it is in the chain. */
static void header_of_block_170(void **state)
{
    (void)state;
    uint8_t previous[32], root[32], header[80], hash[32];
    char hex[161];
    assert_ok(owm_hex_decode("55bd840a78798ad0da853f68974f3d183e2bd1db6a842c1feecf222a00000000",
                             previous, 32));
    assert_ok(owm_hex_decode("ff104ccb05421ab93e63f8c3ce5c2c2e9dbb37de2764b3a3175c8166562cac7d",
                             root, 32));
    const struct owm_header_fields fields = {1, 1231731025, 0x1d00ffff, 1889418792, previous, root};
    owm_header_write(&fields, header);
    owm_hex_encode(header, 80, hex);
    assert_string_equal(hex, "0100000055bd840a78798ad0da853f68974f3d183e2bd1db6a842c1feecf222a"
                             "00000000ff104ccb05421ab93e63f8c3ce5c2c2e9dbb37de2764b3a3175c8166"
                             "562cac7d51b96a49ffff001d283e9e70");
    hash_twice(header, 80, hash);
    owm_hex_encode(hash, 32, hex);
    assert_string_equal(hex, "eea2d48d2fced4346842835c659e493d323f06d4034469a8905714d100000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heights_are_pushed),
        cmocka_unit_test(shortest_and_longest_script),
        cmocka_unit_test(plans_are_checked),
        cmocka_unit_test(suffix_byte_by_byte),
        cmocka_unit_test(roots_of_0_to_33_transactions),
        cmocka_unit_test(blocks_byte_by_byte),
        cmocka_unit_test(block_without_commitment),
        cmocka_unit_test(header_of_block_170),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
