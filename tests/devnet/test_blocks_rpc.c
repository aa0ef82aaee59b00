/* test_blocks_rpc.c: the block source over HTTP and ZeroMQ, as a pool sees it. */
#include <pthread.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "blocks_fixture.h"
#include "blocks_rpc.h"
#include "test.h"

static char folder[128];
static char *solved; /* In hex, as the parameters of submitblock. */
static struct rpc rpc;

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
    char path[300];
    fixture_folder(folder);
    snprintf(path, sizeof path, "ipc://%s/zmq", folder);
    rpc = (struct rpc){.chain = fixture_open(folder, CHAIN_REGTEST_BITS), .spends_max = 4};
    rpc.mempool = fixture_mempool(folder, rpc.chain);
    assert_ok(publish_open(path, &rpc.publisher, NULL));
    solved = block_params(); /* While the chain is still this thread's. */
    blocks_serve(&rpc);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    blocks_serve_end();
    free(solved);
    publish_close(rpc.publisher);
    mempool_close(rpc.mempool);
    chain_close(rpc.chain);
    fixture_clean(folder);
    return 0;
}

static void who_may_call(void **state)
{
    (void)state;
    json_t *reply;
    const char *body = "{\"method\":\"getblockcount\"}";
    assert_int_equal(blocks_post("user:secret", body, &reply), 200);
    json_decref(reply);
    assert_int_equal(blocks_post("user:Secret", body, &reply), 401);
    assert_int_equal(blocks_post("user:secret2", body, &reply), 401);
    assert_int_equal(blocks_post("", body, &reply), 401);
}

static void errors_are_core_s(void **state)
{
    (void)state;
    json_t *reply;
    assert_int_equal(blocks_fails("getwallets", "[]", 404), -32601);
    assert_int_equal(blocks_fails("getblockcount", "{}", 400), -32600);
    assert_int_equal(blocks_fails("getblockhash", "[\"x\"]", 500), -3);
    assert_int_equal(blocks_fails("getblockhash", "[-1]", 500), -8);
    assert_int_equal(blocks_fails("getblockhash", "[100000]", 500), -8);
    assert_int_equal(blocks_fails("getblock", "[\"00\"]", 500), -8);
    assert_int_equal(
        blocks_fails("getblockheader",
                     "[\"0000000000000000000000000000000000000000000000000000000000000001\"]", 500),
        -5);
    assert_int_equal(blocks_fails("submitblock", "[\"00\"]", 500), -22);
    assert_int_equal(blocks_fails("submitblock", "[\"xyz\"]", 500), -22);
    assert_int_equal(blocks_fails("submitblock", "[]", 500), -3);
    assert_int_equal(blocks_fails("getblocktemplate", "[]", 500), -8);
    assert_int_equal(blocks_fails("getblocktemplate", "[{\"rules\":[\"csv\"]}]", 500), -8);
    assert_int_equal(blocks_fails("getblocktemplate", "[{\"mode\":\"x\"}]", 500), -8);
    assert_int_equal(blocks_post("user:secret", "{", &reply), 500);
    json_decref(reply);
    assert_int_equal(blocks_post("user:secret", "[]", &reply), 400);
    json_decref(reply);
}

static void what_the_chain_looks_like(void **state)
{
    (void)state;
    json_t *info = blocks_call("getblockchaininfo", "[]"),
           *count = blocks_call("getblockcount", "[]");
    assert_string_equal(json_string_value(json_object_get(info, "chain")), "regtest");
    assert_int_equal(json_integer_value(json_object_get(info, "blocks")), CHAIN_PREMINED);
    assert_true(json_is_false(json_object_get(info, "initialblockdownload")));
    assert_int_equal(json_integer_value(count), CHAIN_PREMINED);
    json_decref(info);
    json_decref(count);
    info = blocks_call("getnetworkinfo", "[]");
    assert_non_null(strstr(json_string_value(json_object_get(info, "subversion")),
                           "development block source, no Bitcoin node"));
    assert_true(json_integer_value(json_object_get(info, "version")) >= 270000);
    json_decref(info);
    json_decref(blocks_call("getconnectioncount", "[]"));
}

static void blocks_and_headers(void **state)
{
    (void)state;
    json_t *best = blocks_call("getbestblockhash", "[]"),
           *second = blocks_call("getblockhash", "[200]");
    char params[128];
    assert_true(json_equal(best, second));
    snprintf(params, sizeof params, "[\"%s\"]", json_string_value(best));
    json_t *header = blocks_call("getblockheader", params),
           *block = blocks_call("getblock", params);
    assert_int_equal(json_integer_value(json_object_get(header, "height")), 200);
    assert_int_equal(json_integer_value(json_object_get(header, "confirmations")), 1);
    assert_null(json_object_get(header, "nextblockhash"));
    assert_int_equal(json_array_size(json_object_get(block, "tx")), 1);
    json_t *previous = json_object_get(header, "previousblockhash");
    json_t *expected = blocks_call("getblockhash", "[199]");
    assert_true(json_equal(previous, expected));
    json_decref(header);
    json_decref(block);

    snprintf(params, sizeof params, "[\"%s\", false]", json_string_value(best));
    header = blocks_call("getblockheader", params);
    assert_int_equal(json_string_length(header), 160);
    snprintf(params, sizeof params, "[\"%s\", 0]", json_string_value(best));
    block = blocks_call("getblock", params);
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
    json_decref(blocks_call("submitblock", arg));
    return NULL;
}

/* A template at once; then one that waits until another's block is there. */
static void a_long_poll_ends_with_a_new_tip(void **state)
{
    (void)state;
    json_t *first = blocks_call("getblocktemplate", "[{\"rules\":[\"segwit\"]}]");
    char params[256];
    pthread_t thread;
    snprintf(params, sizeof params, "[{\"rules\":[\"segwit\"],\"longpollid\":\"%s\"}]",
             blocks_text(first, "longpollid"));
    assert_int_equal(pthread_create(&thread, NULL, submit_later, solved), 0);
    const uint64_t start_ms = owm_clock_mono_ms();
    json_t *second = blocks_call("getblocktemplate", params);
    assert_true(owm_clock_mono_ms() - start_ms >= 250);
    assert_int_equal(json_integer_value(json_object_get(second, "height")), 202);
    assert_string_not_equal(blocks_text(second, "previousblockhash"),
                            blocks_text(first, "previousblockhash"));
    pthread_join(thread, NULL);
    json_t *again = blocks_call("submitblock", solved);
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
    json_t *reply = blocks_call("getblocktemplate", params);
    assert_true(json_is_null(reply));
    free(params);
    assert_int_equal(
        blocks_fails("getblocktemplate", "[{\"mode\":\"proposal\",\"data\":\"00\"}]", 500), -22);
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
    json_decref(blocks_call("submitblock", solved));
    assert_int_equal(zmq_recv(socket, part, sizeof part, 0), 9);
    assert_memory_equal(part, "hashblock", 9);
    assert_int_equal(zmq_recv(socket, part, sizeof part, 0), 32);
    owm_hex_encode(part, 32, text);
    json_t *best = blocks_call("getbestblockhash", "[]");
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
