/* test_template.c: what getblocktemplate gives is read, and every lie or limit in it is refused by
 * the path of its field. SRS-POOL-05.
 */
#include "base/bytes.h"
#include "dataplane/chain/target.h"
#include "dataplane/chain/template.h"
#include "template_text.h"
#include "test.h"

static void fields_are_read(void **state)
{
    (void)state;
    json_t *root = template_json(3);
    struct owm_template *block = template_parsed(root);
    assert_int_equal(block->height, 101);
    assert_int_equal(block->version, 0x20000000);
    assert_int_equal(block->bits, 0x207fffff);
    assert_int_equal(block->min_time_s, 1700000001);
    assert_int_equal(block->current_time_s, 1700000100);
    assert_true(block->coinbase_value_sats == UINT64_C(5000000006));
    assert_true(block->fees_sats == 6);
    assert_int_equal(block->previous[0], 0x06);
    assert_int_equal(block->previous[31], 0x0f);
    assert_int_equal(block->target[31], 0x7f);
    assert_int_equal(block->transactions, 3);
    assert_int_equal(block->branches, 2);
    assert_int_equal(block->commitment_bytes, 38);
    assert_int_equal(block->weight, 3 * 4 * 61 + 6);
    assert_string_equal(block->longpoll_id, "tip1");
    for (uint32_t i = 0; i < 3; i++) {
        char hex[401];
        owm_hex_encode(block->transaction[i].data, block->transaction[i].bytes, hex);
        const json_t *item = json_array_get(json_object_get(root, "transactions"), i);
        assert_string_equal(hex, json_string_value(json_object_get(item, "data")));
    }
    struct owm_template *second = owm_template_retain(block);
    owm_template_release(block);
    assert_int_equal(second->height, 101);
    owm_template_release(second);
    owm_template_release(NULL);
    json_decref(root);
}

static void what_may_be_missing(void **state)
{
    (void)state;
    json_t *root = template_json(0);
    json_object_del(root, "default_witness_commitment");
    json_object_del(root, "rules");
    json_object_del(root, "longpollid");
    json_object_set_new(root, "signet_challenge", json_string("51"));
    struct owm_template *block = template_parsed(root);
    assert_int_equal(block->commitment_bytes, 0);
    assert_int_equal(block->branches, 0);
    assert_string_equal(block->longpoll_id, "");
    owm_template_release(block);
    json_decref(root);
    /* btcd writes the commitment's hash without the script around it: the script is the same. */
    root = template_json(4);
    char *whole = strdup(json_string_value(json_object_get(root, "default_witness_commitment")));
    json_object_set_new(root, "default_witness_commitment", json_string(whole + 12));
    block = template_parsed(root);
    char script[77];
    owm_hex_encode(block->commitment, block->commitment_bytes, script);
    assert_string_equal(script, whole);
    free(whole);
    owm_template_release(block);
    json_decref(root);
    /* A node that does not tell one fee does not tell their sum. */
    root = template_json(4);
    json_object_del(json_array_get(json_object_get(root, "transactions"), 2), "fee");
    block = template_parsed(root);
    assert_true(block->fees_sats == 0);
    owm_template_release(block);
    json_decref(root);
}

/* Sets one field of the template (or of a transaction) to a JSON text, "" for removed. */
static void expect(int transaction, const char *key, const char *json, owm_status status,
                   const char *why)
{
    struct owm_error error = {""};
    struct owm_template *block;
    json_t *root = template_json(4), *where = root;
    if (transaction >= 0)
        where = json_array_get(json_object_get(root, "transactions"), (size_t)transaction);
    if (*json) {
        json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        json_object_set_new(where, key, value);
    } else {
        json_object_del(where, key);
    }
    char *text = json_dumps(root, 0);
    owm_status got = owm_template_parse(text, strlen(text), &block, &error);
    if (got != status) fail_msg("%s: %s: %s", key, json, owm_status_text(got));
    if (!strstr(error.text, why)) fail_msg("'%s' does not say '%s'", error.text, why);
    assert_null(block);
    free(text);
    json_decref(root);
}

#define HASH "\"00000000000000000000000000000000000000000000000000000000000000ff\""

static void fields_out_of_range(void **state)
{
    (void)state;
    static const char *const demanded[] = {"version", "height",        "mintime",
                                           "curtime", "coinbasevalue", "previousblockhash",
                                           "bits",    "target",        "transactions"};
    for (size_t i = 0; i < sizeof demanded / sizeof *demanded; i++) {
        expect(-1, demanded[i], "", OWM_E_PROTO, demanded[i]);
        expect(-1, demanded[i], "null", OWM_E_PROTO, demanded[i]);
        expect(-1, demanded[i], "{}", OWM_E_PROTO, demanded[i]);
        expect(-1, demanded[i], "\"zz\"", OWM_E_PROTO, demanded[i]);
        expect(-1, demanded[i], "-1", OWM_E_PROTO, demanded[i]);
    }
    expect(-1, "height", "0", OWM_E_PROTO, "height");
    expect(-1, "height", "500000000", OWM_E_PROTO, "height");
    expect(-1, "version", "2147483648", OWM_E_PROTO, "version");
    expect(-1, "coinbasevalue", "2100000000000001", OWM_E_PROTO, "coinbasevalue");
    expect(-1, "coinbasevalue", "9", OWM_E_PROTO, "coinbasevalue: less than the fees");
    expect(-1, "curtime", "1700000000", OWM_E_PROTO, "before mintime");
    expect(-1, "bits", "\"207fffff00\"", OWM_E_PROTO, "bits: 8 hex");
    expect(-1, "bits", "\"20ffffff\"", OWM_E_PROTO, "bits: 20ffffff is no target");
    expect(-1, "bits", "\"1d00ffff\"", OWM_E_PROTO, "target: it is not");
    expect(-1, "target", HASH, OWM_E_PROTO, "target: it is not");
    expect(-1, "rules", "[\"!newfork\"]", OWM_E_UNSUPPORTED, "!newfork");
    expect(-1, "rules", "[7]", OWM_E_PROTO, "rules[0]");
    expect(-1, "vbrequired", "8192", OWM_E_UNSUPPORTED, "00002000");
    expect(-1, "signet_challenge", "\"512103ad5e0edad1\"", OWM_E_UNSUPPORTED, "need its key");
    expect(-1, "longpollid", "7", OWM_E_PROTO, "longpollid");
}

static void transactions_that_lie(void **state)
{
    (void)state;
    expect(2, "data", "", OWM_E_PROTO, "transactions[2].data");
    expect(2, "data", "\"0\"", OWM_E_PROTO, "transactions[2].data: not hex");
    expect(2, "data", "\"zz\"", OWM_E_PROTO, "transactions[2].data: not hex");
    expect(2, "data", "\"\"", OWM_E_PROTO, "transactions[2].data: not a transaction");
    expect(2, "data", "\"0100000000\"", OWM_E_PROTO, "transactions[2].data: not a transaction");
    expect(1, "txid", HASH, OWM_E_PROTO, "transactions[1].txid: it is not the hash");
    expect(1, "txid", "", OWM_E_PROTO, "transactions[1].txid");
    expect(1, "txid", "\"12\"", OWM_E_PROTO, "transactions[1].txid: 64 hex");
    expect(3, "hash", HASH, OWM_E_PROTO, "transactions[3].hash: it is not the hash");
    expect(3, "fee", "-1", OWM_E_PROTO, "transactions[3].fee");
    expect(3, "fee", "2100000000000000", OWM_E_PROTO, "more fees than money");
    expect(-1, "transactions", "[7]", OWM_E_PROTO, "transactions[0]");
    expect(-1, "transactions", "[]", OWM_E_PROTO, "default_witness_commitment");
    expect(-1, "default_witness_commitment", "", OWM_E_PROTO, "missing");
    expect(-1, "default_witness_commitment", "\"6a24aa21a9ed00\"", OWM_E_PROTO, "does not commit");
    expect(-1, "default_witness_commitment",
           "\"6a24aa21a9ed00000000000000000000000000000000000000000000000000000000000000ff\"",
           OWM_E_PROTO, "does not commit");
}

static void limits_have_names(void **state)
{
    (void)state;
    struct owm_error error = {""};
    struct owm_template *block;
    char id[OWM_LONGPOLL_ID_BYTES + 3];
    memset(id, 'x', sizeof id);
    id[0] = id[sizeof id - 2] = '"';
    id[sizeof id - 1] = 0;
    expect(-1, "longpollid", id, OWM_E_LIMIT, "longpollid: longer than");

    json_t *root = template_json(1), *list = json_object_get(root, "transactions");
    for (int i = 0; i < OWM_TEMPLATE_TRANSACTIONS_MAX; i++)
        json_array_append_new(list, json_null());
    char *text = json_dumps(root, 0);
    assert_int_equal(owm_template_parse(text, strlen(text), &block, &error), OWM_E_LIMIT);
    assert_non_null(strstr(error.text, "transactions: 100001"));
    free(text);
    json_decref(root);
    assert_int_equal(owm_template_parse("{", 1, &block, &error), OWM_E_PROTO);
    assert_int_equal(owm_template_parse("[]", 2, &block, &error), OWM_E_PROTO);
    assert_int_equal(owm_template_parse("{}", OWM_TEMPLATE_JSON_BYTES_MAX + 1, &block, &error),
                     OWM_E_LIMIT);
}

/* One transaction with an output script of `bytes`: the reserve for the coinbase stays free. */
static owm_status parse_heavy(uint32_t bytes)
{
    uint32_t size = 4 + 1 + 41 + 1 + 8 + 5 + bytes + 4;
    uint8_t *data = calloc(1, size), hash[32], pair[128] = {0};
    char *hex = malloc(2 * (size_t)size + 1), text[65], script[77] = "6a24aa21a9ed";
    data[0] = 2;
    data[4] = 1;
    data[42] = 1; /* 5 + 32 is the index; the script is empty. */
    data[46] = 1;
    data[47] = 1;
    data[55] = 0xfe;
    memcpy(data + 56, &bytes, 4);
    hash_twice(data, size, hash);
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", hash[31 - i]);
    owm_hex_encode(data, size, hex);
    memcpy(pair + 32, hash, 32);
    hash_twice(pair, 64, pair);
    memset(pair + 32, 0, 32);
    hash_twice(pair, 64, hash);
    owm_hex_encode(hash, 32, script + 12);

    json_t *root = template_json(0);
    json_object_set_new(root, "transactions",
                        json_pack("[{s:s, s:s, s:s}]", "data", hex, "txid", text, "hash", text));
    json_object_set_new(root, "default_witness_commitment", json_string(script));
    char *json = json_dumps(root, 0);
    struct owm_template *block;
    struct owm_error error = {""};
    owm_status status = owm_template_parse(json, strlen(json), &block, &error);
    if (status == OWM_E_LIMIT) assert_non_null(strstr(error.text, "blockreservedweight"));
    if (status == OWM_E_PROTO) fail_msg("%s", error.text);
    if (status == OWM_OK) assert_int_equal(block->weight, 4 * size);
    owm_template_release(block);
    json_decref(root);
    free(json);
    free(hex);
    free(data);
    return status;
}

static void the_coinbase_has_its_room(void **state)
{
    (void)state;
    const uint32_t room = (4000000 - OWM_COINBASE_WEIGHT_RESERVE) / 4 - 64;
    assert_int_equal(parse_heavy(room), OWM_OK);
    assert_int_equal(parse_heavy(room + 1), OWM_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read),     cmocka_unit_test(what_may_be_missing),
        cmocka_unit_test(fields_out_of_range), cmocka_unit_test(transactions_that_lie),
        cmocka_unit_test(limits_have_names),   cmocka_unit_test(the_coinbase_has_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
