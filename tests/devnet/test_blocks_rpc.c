/* test_blocks_rpc.c: the block source over HTTP and ZeroMQ, as a pool sees it. */
#include <pthread.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "blocks_fixture.h"
#include "rpc.h"
#include "test.h"

static char folder[128];
static char *solved; /* In hex, as the parameters of submitblock. */
static struct rpc rpc;
static owm_http_server *server;

/* A block on the tip as a parameter of submitblock, malloc'ed. */
static char *block_params(void)
{
    struct draft draft;
    size_t bytes;
    draft_begin(&draft, rpc.chain, 4, 1);
    uint8_t *data = draft_finish(&draft, &bytes);
    char *params = malloc(2 * bytes + 5);
    memcpy(params, "[\"", 2);
    owm_hex_encode(data, bytes, params + 2);
    memcpy(params + 2 + 2 * bytes, "\"]", 3);
    free(data);
    draft_free(&draft);
    return params;
}

static int set_up(void **state)
{
    (void)state;
    static const struct owm_http_route route = {"POST", "/", rpc_handle, &rpc};
    const struct owm_http_server_options options = {
        .routes = &route, .route_count = 1, .body_bytes_max = RPC_BODY_BYTES_MAX};
    char path[300];
    fixture_folder(folder);
    snprintf(path, sizeof path, "ipc://%s/zmq", folder);
    rpc = (struct rpc){.chain = fixture_open(folder, CHAIN_REGTEST_BITS), .spends_max = 4};
    assert_true(rpc_expect(&rpc, "user", "secret"));
    assert_ok(publish_open(path, &rpc.publisher, NULL));
    solved = block_params(); /* While the chain is still this thread's. */
    assert_ok(owm_http_server_open(&options, &server, NULL));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    owm_http_server_close(server);
    free(solved);
    publish_close(rpc.publisher);
    chain_close(rpc.chain);
    fixture_clean(folder);
    return 0;
}

static unsigned post(const char *pair, const char *body, json_t **reply)
{
    char url[64], text[256], header[300];
    struct owm_http_result result;
    struct owm_error error = {""};
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", owm_http_server_port(server));
    owm_base64_encode(pair, strlen(pair), text);
    snprintf(header, sizeof header, "Authorization: Basic %s", text);
    const char *const headers[] = {header, NULL};
    const struct owm_http_call call = {.url = url,
                                       .body = body,
                                       .body_bytes = strlen(body),
                                       .headers = headers,
                                       .deadline_ms = 10000};
    if (owm_http_fetch(&call, &result, &error)) fail_msg("%s", error.text);
    unsigned status = result.status;
    *reply = json_loadb((const char *)result.body, result.body_bytes, 0, NULL);
    owm_http_result_deinit(&result);
    return status;
}

/* The result of a call that works; new reference. `params` is JSON. */
static json_t *call(const char *method, const char *params)
{
    size_t room = strlen(method) + strlen(params) + 100;
    char *body = malloc(room);
    json_t *reply;
    snprintf(body, room, "{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}", method,
             params);
    unsigned status = post("user:secret", body, &reply);
    if (status != 200) fail_msg("%s: HTTP %u: %s", method, status, json_dumps(reply, 0));
    assert_int_equal(json_integer_value(json_object_get(reply, "id")), 7);
    assert_true(json_is_null(json_object_get(reply, "error")));
    json_t *result = json_incref(json_object_get(reply, "result"));
    json_decref(reply);
    free(body);
    return result;
}

/* Code of the error that a call ends with. */
static int fails(const char *method, const char *params, unsigned http_status)
{
    char body[512];
    json_t *reply;
    snprintf(body, sizeof body, "{\"id\":null,\"method\":\"%s\",\"params\":%s}", method, params);
    assert_int_equal(post("user:secret", body, &reply), http_status);
    assert_true(json_is_null(json_object_get(reply, "result")));
    const json_t *error = json_object_get(reply, "error");
    assert_true(json_is_string(json_object_get(error, "message")));
    int code = (int)json_integer_value(json_object_get(error, "code"));
    json_decref(reply);
    return code;
}

static void who_may_call(void **state)
{
    (void)state;
    json_t *reply;
    const char *body = "{\"method\":\"getblockcount\"}";
    assert_int_equal(post("user:secret", body, &reply), 200);
    json_decref(reply);
    assert_int_equal(post("user:Secret", body, &reply), 401);
    assert_int_equal(post("user:secret2", body, &reply), 401);
    assert_int_equal(post("", body, &reply), 401);
}

static void errors_are_core_s(void **state)
{
    (void)state;
    json_t *reply;
    assert_int_equal(fails("getwallets", "[]", 404), -32601);
    assert_int_equal(fails("getblockcount", "{}", 400), -32600);
    assert_int_equal(fails("getblockhash", "[\"x\"]", 500), -3);
    assert_int_equal(fails("getblockhash", "[-1]", 500), -8);
    assert_int_equal(fails("getblockhash", "[100000]", 500), -8);
    assert_int_equal(fails("getblock", "[\"00\"]", 500), -8);
    assert_int_equal(fails("getblockheader",
                           "[\"0000000000000000000000000000000000000000000000000000000000000001\"]",
                           500),
                     -5);
    assert_int_equal(fails("submitblock", "[\"00\"]", 500), -22);
    assert_int_equal(fails("submitblock", "[\"xyz\"]", 500), -22);
    assert_int_equal(fails("submitblock", "[]", 500), -3);
    assert_int_equal(fails("getblocktemplate", "[]", 500), -8);
    assert_int_equal(fails("getblocktemplate", "[{\"rules\":[\"csv\"]}]", 500), -8);
    assert_int_equal(fails("getblocktemplate", "[{\"mode\":\"x\"}]", 500), -8);
    assert_int_equal(post("user:secret", "{", &reply), 500);
    json_decref(reply);
    assert_int_equal(post("user:secret", "[]", &reply), 400);
    json_decref(reply);
}

static void what_the_chain_looks_like(void **state)
{
    (void)state;
    json_t *info = call("getblockchaininfo", "[]"), *count = call("getblockcount", "[]");
    assert_string_equal(json_string_value(json_object_get(info, "chain")), "regtest");
    assert_int_equal(json_integer_value(json_object_get(info, "blocks")), CHAIN_PREMINED);
    assert_true(json_is_false(json_object_get(info, "initialblockdownload")));
    assert_int_equal(json_integer_value(count), CHAIN_PREMINED);
    json_decref(info);
    json_decref(count);
    info = call("getnetworkinfo", "[]");
    assert_non_null(strstr(json_string_value(json_object_get(info, "subversion")),
                           "development block source, no Bitcoin node"));
    assert_true(json_integer_value(json_object_get(info, "version")) >= 270000);
    json_decref(info);
    json_decref(call("getconnectioncount", "[]"));
}

static void blocks_and_headers(void **state)
{
    (void)state;
    json_t *best = call("getbestblockhash", "[]"), *second = call("getblockhash", "[200]");
    char params[128];
    assert_true(json_equal(best, second));
    snprintf(params, sizeof params, "[\"%s\"]", json_string_value(best));
    json_t *header = call("getblockheader", params), *block = call("getblock", params);
    assert_int_equal(json_integer_value(json_object_get(header, "height")), 200);
    assert_int_equal(json_integer_value(json_object_get(header, "confirmations")), 1);
    assert_null(json_object_get(header, "nextblockhash"));
    assert_int_equal(json_array_size(json_object_get(block, "tx")), 1);
    json_t *previous = json_object_get(header, "previousblockhash");
    json_t *expected = call("getblockhash", "[199]");
    assert_true(json_equal(previous, expected));
    json_decref(header);
    json_decref(block);

    snprintf(params, sizeof params, "[\"%s\", false]", json_string_value(best));
    header = call("getblockheader", params);
    assert_int_equal(json_string_length(header), 160);
    snprintf(params, sizeof params, "[\"%s\", 0]", json_string_value(best));
    block = call("getblock", params);
    assert_memory_equal(json_string_value(block), json_string_value(header), 160);
    json_decref(header);
    json_decref(block);
    json_decref(best);
    json_decref(second);
    json_decref(expected);
}

static void *submit_later(void *arg)
{
    owm_clock_sleep_ms(300);
    json_decref(call("submitblock", arg));
    return NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

/* A template at once; then one that waits until another's block is there. */
static void a_long_poll_ends_with_a_new_tip(void **state)
{
    (void)state;
    json_t *first = call("getblocktemplate", "[{\"rules\":[\"segwit\"]}]");
    char params[256];
    pthread_t thread;
    snprintf(params, sizeof params, "[{\"rules\":[\"segwit\"],\"longpollid\":\"%s\"}]",
             text_of(first, "longpollid"));
    assert_int_equal(pthread_create(&thread, NULL, submit_later, solved), 0);
    const uint64_t start_ms = owm_clock_mono_ms();
    json_t *second = call("getblocktemplate", params);
    assert_true(owm_clock_mono_ms() - start_ms >= 250);
    assert_int_equal(json_integer_value(json_object_get(second, "height")), 202);
    assert_string_not_equal(text_of(second, "previousblockhash"),
                            text_of(first, "previousblockhash"));
    pthread_join(thread, NULL);
    json_t *again = call("submitblock", solved);
    assert_string_equal(json_string_value(again), "duplicate");
    json_decref(again);
    json_decref(first);
    json_decref(second);
}

static void proposals(void **state)
{
    (void)state;
    size_t room = strlen(solved) + 64;
    char *params = malloc(room);
    snprintf(params, room, "[{\"mode\":\"proposal\",\"data\":%.*s}]", (int)strlen(solved) - 2,
             solved + 1);
    json_t *reply = call("getblocktemplate", params);
    assert_true(json_is_null(reply));
    free(params);
    assert_int_equal(fails("getblocktemplate", "[{\"mode\":\"proposal\",\"data\":\"00\"}]", 500),
                     -22);
}

static void new_tips_are_published(void **state)
{
    (void)state;
    uint8_t part[64];
    char path[300], text[65];
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_SUB);
    const int wait_ms = 5000;
    snprintf(path, sizeof path, "ipc://%s/zmq", folder);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "hashblock", 9);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    assert_int_equal(zmq_connect(socket, path), 0);
    owm_clock_sleep_ms(300); /* Until the subscription has arrived. */
    json_decref(call("submitblock", solved));
    assert_int_equal(zmq_recv(socket, part, sizeof part, 0), 9);
    assert_memory_equal(part, "hashblock", 9);
    assert_int_equal(zmq_recv(socket, part, sizeof part, 0), 32);
    owm_hex_encode(part, 32, text);
    json_t *best = call("getbestblockhash", "[]");
    assert_string_equal(text, json_string_value(best));
    assert_int_equal(zmq_recv(socket, part, sizeof part, 0), 4);
    assert_memory_equal(part, "\0\0\0\0", 4);
    json_decref(best);
    zmq_close(socket);
    zmq_ctx_term(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_may_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_are_core_s, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_chain_looks_like, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blocks_and_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_poll_ends_with_a_new_tip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(proposals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(new_tips_are_published, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
