/* test_rpc_metadata.c: a client without certificate whose calls carry headers, as Lightning nodes
 * want them: a server with a self-signed P-256 certificate for localhost, and big answers. */
#include "base/rpc/rpc.h"
#include "rpc_pki.h"
#include "test.h"

#define DEADLINE_MS 20000
#define BIG_BYTES   (20u << 20)

static struct pki server_pki;

struct filler {
    unsigned calls;
    char path[OWM_RPC_PATH_BYTES_MAX];
};

static void fill(void *user, const char *path, struct owm_rpc_metadata *metadata)
{
    struct filler *filler = user;
    char value[32];
    snprintf(value, sizeof value, "secret-%u", ++filler->calls);
    snprintf(filler->path, sizeof filler->path, "%s", path);
    assert_int_equal(owm_rpc_metadata_add(metadata, "Upper", "x"), OWM_E_ARG);
    assert_int_equal(owm_rpc_metadata_add(metadata, "raw-bin", "x"), OWM_E_ARG);
    assert_int_equal(owm_rpc_metadata_add(metadata, "line", "a\nb"), OWM_E_ARG);
    assert_ok(owm_rpc_metadata_add(metadata, "macaroon", value));
    assert_ok(owm_rpc_metadata_add(metadata, "b", "2"));
    assert_ok(owm_rpc_metadata_add(metadata, "c", "3"));
    assert_ok(owm_rpc_metadata_add(metadata, "d", "4"));
    assert_int_equal(owm_rpc_metadata_add(metadata, "e", "5"), OWM_E_LIMIT);
}

static size_t header(struct owm_rpc_call *call, char value[32])
{
    size_t length = 0;
    assert_ok(owm_rpc_call_metadata(call, "macaroon", value, 32, &length));
    return length;
}

static void on_header(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    char value[32];
    size_t value_length = header(call, value);
    assert_ok(owm_rpc_reply(call, (const uint8_t *)value, value_length));
}

static void on_stream(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    char value[32];
    size_t value_length = header(call, value);
    assert_ok(owm_rpc_send(call, (const uint8_t *)value, value_length));
    assert_ok(owm_rpc_finish(call));
}

static void on_upload_end(void *app, struct owm_rpc_call *call)
{
    on_header(app, call, NULL, 0);
}

static void on_big(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    uint8_t *big = calloc(1, BIG_BYTES);
    assert_non_null(big);
    big[BIG_BYTES - 1] = 7;
    assert_ok(owm_rpc_reply(call, big, BIG_BYTES));
    free(big);
}

static const struct owm_rpc_method methods[] = {
    {.path = "/t/Header", .kind = OWM_RPC_UNARY, .on_message = on_header},
    {.path = "/t/Stream", .kind = OWM_RPC_SERVER_STREAM, .on_message = on_stream},
    {.path = "/t/Upload", .kind = OWM_RPC_CLIENT_STREAM, .on_half_close = on_upload_end},
    {.path = "/t/Big", .kind = OWM_RPC_UNARY, .on_message = on_big},
};

struct world {
    struct owm_rpc_server *server;
    struct owm_rpc_client *client;
    struct filler filler;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    *state = world;
    struct owm_rpc_server_config serve = {.addresses = (const char *const[]){"127.0.0.1:0"},
                                          .address_count = 1,
                                          .certificate_pem = server_pki.certificate_pem,
                                          .key_pem = server_pki.key_pem,
                                          .client_certificate = OWM_RPC_CLIENT_CERTIFICATE_NONE,
                                          .methods = methods,
                                          .method_count = sizeof methods / sizeof methods[0]};
    struct owm_error error = {0};
    assert_ok(owm_rpc_server_open(&world->server, &serve, &error));
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", owm_rpc_server_port(world->server, 0));
    struct owm_rpc_client_config config = {.target = target,
                                           .server_certificate_pem = server_pki.certificate_pem,
                                           .server_name = "localhost",
                                           .message_bytes_max = (size_t)200 << 20,
                                           .metadata = fill,
                                           .metadata_user = &world->filler};
    assert_ok(owm_rpc_client_open(&world->client, &config, &error));
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    owm_rpc_client_close(world->client);
    owm_rpc_server_close(world->server, 1000);
    free(world);
    return 0;
}

static void expect_text(const struct owm_rpc_reply *reply, const char *value)
{
    assert_int_equal(reply->length, strlen(value));
    assert_memory_equal(reply->bytes, value, strlen(value));
}

static void test_each_call_has_headers_of_its_own(void **state)
{
    struct world *world = *state;
    struct owm_rpc_reply reply;
    for (unsigned i = 1; i <= 3; i++) {
        char value[32];
        snprintf(value, sizeof value, "secret-%u", i);
        assert_ok(owm_rpc_call_unary(world->client, "/t/Header", NULL, 0, DEADLINE_MS, &reply));
        expect_text(&reply, value);
        owm_rpc_reply_free(&reply);
    }
    assert_string_equal(world->filler.path, "/t/Header");
}

static void test_streams_have_headers(void **state)
{
    struct world *world = *state;
    struct owm_rpc_stream *stream;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_download(world->client, "/t/Stream", NULL, 0, 0, &stream));
    assert_ok(owm_rpc_stream_read(stream, DEADLINE_MS, &reply));
    expect_text(&reply, "secret-1");
    owm_rpc_reply_free(&reply);
    assert_int_equal(owm_rpc_stream_read(stream, DEADLINE_MS, &reply), OWM_E_NOTFOUND);
    assert_int_equal(reply.code, OWM_RPC_OK);
    owm_rpc_stream_close(stream);
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Upload", 0, &stream));
    assert_ok(owm_rpc_stream_finish(stream, DEADLINE_MS, &reply));
    expect_text(&reply, "secret-2");
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(stream);
    assert_string_equal(world->filler.path, "/t/Upload");
}

static void test_big_answers(void **state)
{
    struct world *world = *state;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_call_unary(world->client, "/t/Big", NULL, 0, DEADLINE_MS, &reply));
    assert_int_equal(reply.length, BIG_BYTES);
    assert_int_equal(reply.bytes[BIG_BYTES - 1], 7);
    owm_rpc_reply_free(&reply);
}

int main(void)
{
    pki_make(&server_pki, "localhost", false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_call_has_headers_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_streams_have_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_big_answers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
