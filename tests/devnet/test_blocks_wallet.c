/* test_blocks_wallet.c: the block source as a calendar uses it: wallet and mempool over HTTP. */
#include "base/bytes.h"
#include "blocks_fixture.h"
#include "blocks_rpc.h"
#include "test.h"

#define DATA   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SCRIPT "6a20" DATA

static char folder[128];
static struct rpc rpc;

static int set_up(void **state)
{
    (void)state;
    fixture_folder(folder);
    rpc = (struct rpc){.chain = fixture_open(folder, CHAIN_REGTEST_BITS), .spends_max = 4};
    rpc.mempool = fixture_mempool(folder, rpc.chain);
    blocks_serve(&rpc);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    blocks_serve_end();
    mempool_close(rpc.mempool);
    chain_close(rpc.chain);
    fixture_clean(folder);
    return 0;
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static int64_t sats(const json_t *value)
{
    return (int64_t)(json_number_value(value) * 1e8 + (json_number_value(value) < 0 ? -0.5 : 0.5));
}

/* `["TEXT"MORE]` as parameters. */
static const char *params(const char *text, const char *more)
{
    static char all[8192];
    snprintf(all, sizeof all, "[\"%s\"%s]", text, more);
    return all;
}

/* From nothing to the mempool, by the calls that a calendar makes. The id; new reference. */
static json_t *anchor(const char *fee_rate)
{
    char more[128];
    json_t *raw = blocks_call("createrawtransaction", "[[],[{\"data\":\"" DATA "\"}]]");
    snprintf(more, sizeof more, ",{\"fee_rate\":%s,\"replaceable\":true,\"changePosition\":1}",
             fee_rate);
    json_t *funded = blocks_call("fundrawtransaction", params(json_string_value(raw), more));
    assert_int_equal(json_integer_value(json_object_get(funded, "changepos")), 1);
    json_t *signed_ =
        blocks_call("signrawtransactionwithwallet", params(blocks_text(funded, "hex"), ""));
    assert_true(json_is_true(json_object_get(signed_, "complete")));
    json_t *txid = blocks_call("sendrawtransaction", params(blocks_text(signed_, "hex"), ",0.1"));
    json_t *entry = blocks_call("getmempoolentry", params(json_string_value(txid), ""));
    const json_t *fee = json_object_get(json_object_get(entry, "fees"), "base");
    assert_int_equal(sats(fee), sats(json_object_get(funded, "fee")));
    assert_true((double)sats(fee) >= number_of(entry, "vsize") * strtod(fee_rate, NULL));
    assert_true((double)sats(fee) < (number_of(entry, "vsize") + 1) * strtod(fee_rate, NULL));
    json_decref(raw);
    json_decref(funded);
    json_decref(signed_);
    json_decref(entry);
    return txid;
}

static json_t *get_transaction(const json_t *txid)
{
    return blocks_call("gettransaction", params(json_string_value(txid), ",true"));
}

/* As a pool does: template, work, submitblock. */
static void mine_one(void)
{
    struct draft draft;
    size_t bytes;
    blocks_serve_end(); /* Chain and mempool are its thread's. */
    draft_begin_with(&draft, rpc.chain, rpc.mempool, 4, 1);
    blocks_serve(&rpc);
    uint8_t *data = draft_finish(&draft, &bytes);
    char *hex = malloc(2 * bytes + 5);
    memcpy(hex, "[\"", 2);
    owm_hex_encode(data, bytes, hex + 2);
    memcpy(hex + 2 + 2 * bytes, "\"]", 3);
    json_t *reply = blocks_call("submitblock", hex);
    assert_true(json_is_null(reply));
    json_decref(reply);
    free(hex);
    free(data);
    draft_free(&draft);
}

static void an_anchor_is_made_sent_and_mined(void **state)
{
    (void)state;
    json_t *before = blocks_call("getbalance", "[]"), *txid = anchor("3.5");
    json_t *tx = get_transaction(txid), *after = blocks_call("getbalance", "[]");
    const int64_t fee_sats = -sats(json_object_get(tx, "fee"));
    assert_true(sats(before) > 0 && sats(after) == sats(before) - fee_sats);
    assert_int_equal(sats(json_object_get(tx, "amount")), 0);
    assert_int_equal(json_integer_value(json_object_get(tx, "confirmations")), 0);
    assert_null(json_object_get(tx, "blockhash"));
    assert_string_equal(blocks_text(tx, "bip125-replaceable"), "yes");
    assert_non_null(strstr(blocks_text(tx, "hex"), SCRIPT));
    json_decref(tx);

    mine_one();
    mine_one();
    tx = get_transaction(txid);
    assert_int_equal(json_integer_value(json_object_get(tx, "confirmations")), 2);
    assert_int_equal(json_integer_value(json_object_get(tx, "blockheight")), 201);
    json_t *block = blocks_call("getblock", params(blocks_text(tx, "blockhash"), ",1"));
    const json_t *list = json_object_get(block, "tx");
    const json_int_t index = json_integer_value(json_object_get(tx, "blockindex"));
    assert_true(index > 0);
    assert_true(json_equal(json_array_get(list, (size_t)index), txid));
    char more[100];
    snprintf(more, sizeof more, ",false,\"%s\"", blocks_text(tx, "blockhash"));
    json_t *raw = blocks_call("getrawtransaction", params(json_string_value(txid), more));
    assert_string_equal(json_string_value(raw), blocks_text(tx, "hex"));
    assert_int_equal(blocks_fails("getrawtransaction", params(json_string_value(txid), ""), 500),
                     -5);
    assert_int_equal(blocks_fails("sendrawtransaction", params(json_string_value(raw), ""), 500),
                     -27);
    json_decref(raw);
    json_decref(block);
    json_decref(tx);
    json_decref(after);
    json_decref(before);
    json_decref(txid);
}

static void a_fee_is_bumped(void **state)
{
    (void)state;
    json_t *txid = anchor("1");
    assert_int_equal(
        blocks_fails("bumpfee", params(json_string_value(txid), ",{\"fee_rate\":1.5}"), 500), -8);
    json_t *bumped = blocks_call("bumpfee", params(json_string_value(txid), ",{\"fee_rate\":5}"));
    assert_true(sats(json_object_get(bumped, "fee")) > sats(json_object_get(bumped, "origfee")));
    json_t *first = get_transaction(txid);
    json_t *second = get_transaction(json_object_get(bumped, "txid"));
    assert_string_equal(blocks_text(first, "replaced_by_txid"), blocks_text(bumped, "txid"));
    assert_string_equal(blocks_text(second, "replaces_txid"), json_string_value(txid));
    assert_non_null(strstr(blocks_text(second, "hex"), SCRIPT));
    assert_int_equal(
        blocks_fails("bumpfee", params(json_string_value(txid), ",{\"fee_rate\":9}"), 500), -4);
    json_decref(first);
    mine_one();
    mine_one();
    first = get_transaction(txid);
    assert_int_equal(json_integer_value(json_object_get(first, "confirmations")), -2);
    assert_true(json_array_size(json_object_get(first, "walletconflicts")) == 1);
    json_decref(first);
    json_decref(second);
    json_decref(bumped);
    json_decref(txid);
}

/* A new transaction ends a long poll, and the template has it with its fee. */
static void a_long_poll_ends_with_a_transaction(void **state)
{
    (void)state;
    char more[200];
    json_t *first = blocks_call("getblocktemplate", "[{\"rules\":[\"segwit\"]}]");
    json_t *txid = anchor("2");
    snprintf(more, sizeof more, "[{\"rules\":[\"segwit\"],\"longpollid\":\"%s\"}]",
             blocks_text(first, "longpollid"));
    json_t *second = blocks_call("getblocktemplate", more);
    const json_t *one = json_array_get(json_object_get(second, "transactions"), 0);
    assert_string_equal(blocks_text(one, "txid"), json_string_value(txid));
    json_t *tx = get_transaction(txid);
    assert_int_equal(json_integer_value(json_object_get(one, "fee")),
                     -sats(json_object_get(tx, "fee")));
    assert_int_equal(number_of(second, "coinbasevalue"),
                     number_of(first, "coinbasevalue") + number_of(one, "fee"));
    json_decref(tx);
    json_decref(txid);
    json_decref(first);
    json_decref(second);
}

static void what_is_there(void **state)
{
    (void)state;
    json_t *wallets = blocks_call("listwallets", "[]"), *info = blocks_call("getwalletinfo", "[]");
    json_t *balances = blocks_call("getbalances", "[]"), *balance = blocks_call("getbalance", "[]");
    assert_true(json_array_size(wallets) == 1);
    assert_string_equal(blocks_text(info, "walletname"), "");
    assert_null(json_object_get(info, "unlocked_until"));
    assert_true(json_equal(json_object_get(json_object_get(balances, "mine"), "trusted"), balance));
    json_decref(wallets);
    json_decref(info);
    json_decref(balances);
    json_decref(balance);

    json_t *txid = anchor("1"), *list = blocks_call("getrawmempool", "[]");
    assert_true(json_array_size(list) == 1 && json_equal(json_array_get(list, 0), txid));
    json_decref(list);
    list = blocks_call("getrawmempool", "[true]");
    assert_non_null(json_object_get(list, json_string_value(txid)));
    json_decref(list);
    info = blocks_call("getmempoolinfo", "[]");
    assert_int_equal(number_of(info, "size"), 1);
    assert_int_equal(sats(json_object_get(info, "minrelaytxfee")), 1000);
    json_decref(info);
    json_t *raw = blocks_call("getrawtransaction", params(json_string_value(txid), ""));
    json_t *verbose = blocks_call("getrawtransaction", params(json_string_value(txid), ",true"));
    assert_string_equal(blocks_text(verbose, "hex"), json_string_value(raw));
    assert_true(json_array_size(json_object_get(verbose, "vout")) == 2);
    json_decref(verbose);
    json_decref(raw);
    json_decref(txid);
    json_t *estimate = blocks_call("estimatesmartfee", "[6]");
    assert_null(json_object_get(estimate, "feerate"));
    json_decref(estimate);
}

static void errors_are_core_s(void **state)
{
    (void)state;
    const char *none = "[\"0000000000000000000000000000000000000000000000000000000000000001\"]";
    assert_int_equal(blocks_fails("gettransaction", none, 500), -5);
    assert_int_equal(blocks_fails("gettransaction", "[\"zz\"]", 500), -8);
    assert_int_equal(blocks_fails("getmempoolentry", none, 500), -5);
    assert_int_equal(blocks_fails("bumpfee", none, 500), -5);
    assert_int_equal(blocks_fails("sendrawtransaction", "[\"00\"]", 500), -22);
    assert_int_equal(blocks_fails("createrawtransaction", "[[],[{\"data\":\"0\"}]]", 500), -8);
    assert_int_equal(blocks_fails("createrawtransaction", "[[],[{\"bc1qxyz\":1}]]", 500), -5);
    assert_int_equal(blocks_fails("createrawtransaction", "[[]]", 500), -8);
    json_t *raw = blocks_call("createrawtransaction",
                              "[[],[{\"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\":\"0.5\"}]]");
    const char *hex = json_string_value(raw);
    assert_int_equal(blocks_fails("fundrawtransaction", params(hex, ""), 500), -4);
    assert_int_equal(blocks_fails("fundrawtransaction", params(hex, ",{\"x\":1}"), 500), -3);
    assert_int_equal(blocks_fails("fundrawtransaction", params(hex, ",{\"fee_rate\":-1}"), 500),
                     -3);
    assert_int_equal(blocks_fails("fundrawtransaction",
                                  params(hex, ",{\"fee_rate\":1,\"changePosition\":2}"), 500),
                     -4);
    json_decref(raw);
    raw = blocks_call("createrawtransaction",
                      "[[],[{\"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\":20000000}]]");
    assert_int_equal(blocks_fails("fundrawtransaction",
                                  params(json_string_value(raw), ",{\"fee_rate\":1}"), 500),
                     -4);
    json_decref(raw);
    raw = blocks_call(
        "createrawtransaction",
        "[[{\"txid\":\"0000000000000000000000000000000000000000000000000000000000000001\","
        "\"vout\":0}],[{\"data\":\"" DATA "\"}]]");
    json_t *signed_ =
        blocks_call("signrawtransactionwithwallet", params(json_string_value(raw), ""));
    assert_true(json_is_false(json_object_get(signed_, "complete")));
    assert_true(json_array_size(json_object_get(signed_, "errors")) == 1);
    assert_int_equal(blocks_fails("sendrawtransaction", params(json_string_value(raw), ""), 500),
                     -25);
    json_decref(signed_);
    json_decref(raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_anchor_is_made_sent_and_mined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fee_is_bumped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_poll_ends_with_a_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_are_core_s, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
