/* test_bitcoin_reply.c: the parsers of a node's replies, and what a URL is called in a log. */
#include "pool/bitcoin_reply.h"
#include "pool/bitcoin_rpc.h"
#include "test.h"

static owm_status read_reply(const char *text, struct owm_bitcoin_reply *reply)
{
    struct owm_error error = {""};
    owm_status status = owm_bitcoin_reply_read(text, strlen(text), reply, &error);
    assert_true(status == OWM_OK || error.text[0]);
    return status;
}

static void envelopes(void **state)
{
    (void)state;
    struct owm_bitcoin_reply reply;
    static const struct {
        const char *text, *result; /* NULL: refused. */
    } cases[] = {
        {"{\"result\":{\"a\":[1,{\"b\":\"}\"}]},\"error\":null,\"id\":1}",
         "{\"a\":[1,{\"b\":\"}\"}]}"},
        {" { \"id\" : 3 , \"result\" : 12 } \r\n", "12"},
        {"{\"result\":\"a\\\"b\\\\\",\"error\":null}", "\"a\\\"b\\\\\""},
        {"{\"result\":null,\"error\":null}", "null"},
        {"{\"error\":null}", "null"},
        {"{\"result\":1,\"result\":2}", NULL},
        {"{\"result\":1} x", NULL},
        {"{\"result\":1,}", NULL},
        {"{\"result\":}", NULL},
        {"{\"result\":[1,2}", NULL},
        {"{\"result\":\"a\\\"}", NULL},
        {"{\"result\" 1}", NULL},
        {"{result:1}", NULL},
        {"{\"id\":1}", NULL},
        {"[]", NULL},
        {"", NULL},
        {"{\"error\":{\"code\":\"x\"}}", NULL},
        {"{\"error\":\"x\"}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        owm_status status = read_reply(cases[i].text, &reply);
        if (!cases[i].result) {
            if (status != OWM_E_PROTO) fail_msg("accepted: %s", cases[i].text);
            continue;
        }
        if (status != OWM_OK) fail_msg("refused: %s", cases[i].text);
        assert_int_equal(reply.result_bytes, strlen(cases[i].result));
        assert_memory_equal(reply.result, cases[i].result, reply.result_bytes);
        assert_false(reply.failed);
    }
    assert_ok(read_reply("{\"error\":{\"code\":-28,\"message\":\"a\\nb\\u00e9\"},\"result\":null}",
                         &reply));
    assert_true(reply.failed);
    assert_int_equal(reply.code, OWM_BITCOIN_WARMING_UP);
    assert_string_equal(reply.message, "a?b??");
}

/* Every reply that is cut short, and every one with a byte more, is refused. */
static void cut_envelopes(void **state)
{
    (void)state;
    struct owm_bitcoin_reply reply;
    struct owm_error error;
    static const char whole[] = "{\"result\":{\"a\":\"\\\\\"},\"error\":null,\"id\":1}";
    for (size_t bytes = 0; bytes < sizeof whole - 1; bytes++) {
        char *cut = malloc(bytes + 1);
        memcpy(cut, whole, bytes);
        assert_int_equal(owm_bitcoin_reply_read(cut, bytes, &reply, &error), OWM_E_PROTO);
        free(cut);
    }
    assert_ok(owm_bitcoin_reply_read(whole, sizeof whole - 1, &reply, &error));
    assert_int_equal(owm_bitcoin_reply_read(whole, sizeof whole, &reply, &error), OWM_E_PROTO);
}

static void names_have_no_secrets(void **state)
{
    (void)state;
    char name[OWM_BITCOIN_NAME_BYTES];
    static const struct {
        const char *url, *name;
    } cases[] = {
        {"http://127.0.0.1:8332", "http://127.0.0.1:8332"},
        {"http://user:pass@host:8332/wallet/x?y", "http://host:8332"},
        {"https://u:p@ss@h", "https://h"},
        {"user:pass@host:1", "http://host:1"},
        {"http://host/a@b", "http://host"},
        {"http://[::1]:8332/", "http://[::1]:8332"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        owm_bitcoin_rpc_name(cases[i].url, name);
        assert_string_equal(name, cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelopes),
        cmocka_unit_test(cut_envelopes),
        cmocka_unit_test(names_have_no_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
