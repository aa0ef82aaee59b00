/* test_rpc.c: unary calls, identities and refusals, over mutual TLS on loopback.
 * SRS-NODE-02 (identity key), SRS-SEC-01 (mTLS). */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/rpc/rpc.h"
#include "rpc_pki.h"
#include "test.h"

#define DEADLINE_MS 10000
#define BIG_BYTES   (1 << 20)

#define HEADER_BYTES 100

static struct pki server_pki, client_pki;

struct app {
    atomic_int ended, cancelled;
    struct owm_rpc_call *parked;
    pthread_mutex_t lock;
    pthread_cond_t cond;
};

static void on_echo(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app;
    assert_ok(owm_rpc_reply(call, bytes, length));
    assert_int_equal(owm_rpc_reply(call, bytes, length), OWM_E_STATE);
}

static void on_whoami(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    uint8_t key[OWM_RPC_KEY_BYTES + OWM_RPC_IP_BYTES_MAX] = {0};
    owm_rpc_peer_key(call, key);
    memcpy(key + 32, owm_rpc_peer_address(call), strlen(owm_rpc_peer_address(call)));
    assert_ok(owm_rpc_reply(call, key, sizeof key));
}

static void on_refuse(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    assert_int_equal(owm_rpc_fail(call, OWM_RPC_OK, "no"), OWM_E_ARG);
    assert_ok(owm_rpc_fail(call, OWM_RPC_NOT_FOUND, "no node 7 is registered"));
    assert_int_equal(owm_rpc_send(call, bytes, length), OWM_E_STATE);
}

static void *answer_later(void *arg)
{
    struct owm_rpc_call *call = arg;
    usleep(20000);
    (void)owm_rpc_reply(call, (const uint8_t *)"later", 5);
    owm_rpc_call_unref(call);
    return NULL;
}

static void on_later(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app, (void)bytes, (void)length;
    owm_rpc_call_ref(call);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_later, call), 0);
    pthread_detach(thread);
}

static void on_park(void *context, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)bytes, (void)length;
    struct app *app = context;
    owm_rpc_call_ref(call);
    pthread_mutex_lock(&app->lock);
    app->parked = call;
    pthread_cond_broadcast(&app->cond);
    pthread_mutex_unlock(&app->lock);
}

static void on_end(void *context, struct owm_rpc_call *call, bool cancelled)
{
    (void)call;
    struct app *app = context;
    pthread_mutex_lock(&app->lock);
    app->ended++;
    app->cancelled += cancelled;
    pthread_cond_broadcast(&app->cond);
    pthread_mutex_unlock(&app->lock);
}

/* The value of the header that the request names; a small buffer, so that a long one is refused. */
static void on_header(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app;
    char key[64] = {0};
    memcpy(key, bytes, length < sizeof key ? length : sizeof key - 1);
    uint8_t value[HEADER_BYTES];
    size_t value_length = 0;
    owm_status status = owm_rpc_call_metadata(call, key, value, sizeof value, &value_length);
    if (status == OWM_E_NOTFOUND)
        assert_ok(owm_rpc_fail(call, OWM_RPC_NOT_FOUND, "no such header"));
    else if (status == OWM_E_LIMIT)
        assert_ok(owm_rpc_fail(call, OWM_RPC_RESOURCE_EXHAUSTED, "a long header"));
    else
        assert_ok(owm_rpc_reply(call, value, value_length));
}

static const struct owm_rpc_method methods[] = {
    {.path = "/t/Echo", .kind = OWM_RPC_UNARY, .on_message = on_echo, .on_end = on_end},
    {.path = "/t/WhoAmI", .kind = OWM_RPC_UNARY, .on_message = on_whoami},
    {.path = "/t/Refuse", .kind = OWM_RPC_UNARY, .on_message = on_refuse, .on_end = on_end},
    {.path = "/t/Later", .kind = OWM_RPC_UNARY, .on_message = on_later, .on_end = on_end},
    {.path = "/t/Park", .kind = OWM_RPC_UNARY, .on_message = on_park, .on_end = on_end},
    {.path = "/t/Header", .kind = OWM_RPC_UNARY, .on_message = on_header},
    {.path = "/t/Small",
     .kind = OWM_RPC_UNARY,
     .request_bytes_max = 1000,
     .on_message = on_echo,
     .on_end = on_end},
};

struct world {
    struct app app;
    struct owm_rpc_server *server;
    struct owm_rpc_client *client;
    char target[32];
};

static struct owm_rpc_client *client_open(struct world *world, const struct pki *own,
                                          const struct pki *trusted, struct owm_rpc_cq *cq)
{
    struct owm_rpc_client_config config = {.target = world->target,
                                           .server_certificate_pem = trusted->certificate_pem,
                                           .certificate_pem = own ? own->certificate_pem : NULL,
                                           .key_pem = own ? own->key_pem : NULL,
                                           .cq = cq,
                                           .message_bytes_max = 2 * BIG_BYTES};
    struct owm_rpc_client *client = NULL;
    struct owm_error error = {0};
    assert_ok(owm_rpc_client_open(&client, &config, &error));
    return client;
}

static struct owm_rpc_server_config server_config(struct world *world)
{
    static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0"};
    return (struct owm_rpc_server_config){.addresses = addresses,
                                          .address_count = 1,
                                          .certificate_pem = server_pki.certificate_pem,
                                          .key_pem = server_pki.key_pem,
                                          .methods = methods,
                                          .method_count = sizeof methods / sizeof methods[0],
                                          .app = &world->app,
                                          .message_bytes_max = BIG_BYTES};
}

static void world_open(struct world *world, const struct owm_rpc_server_config *config)
{
    struct owm_error error = {0};
    if (owm_rpc_server_open(&world->server, config, &error) != OWM_OK) fail_msg("%s", error.text);
    snprintf(world->target, sizeof world->target, "127.0.0.1:%d",
             owm_rpc_server_port(world->server, 0));
    world->client = client_open(world, &client_pki, &server_pki, NULL);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    pthread_mutex_init(&world->app.lock, NULL);
    pthread_cond_init(&world->app.cond, NULL);
    struct owm_rpc_server_config config = server_config(world);
    world_open(world, &config);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    owm_rpc_client_close(world->client);
    owm_rpc_server_close(world->server, 1000);
    pthread_mutex_destroy(&world->app.lock);
    pthread_cond_destroy(&world->app.cond);
    free(world);
    return 0;
}

static void wait_ended(struct app *app, int count)
{
    pthread_mutex_lock(&app->lock);
    while (app->ended < count) pthread_cond_wait(&app->cond, &app->lock);
    pthread_mutex_unlock(&app->lock);
}

static void wait_parked(struct app *app)
{
    pthread_mutex_lock(&app->lock);
    while (!app->parked) pthread_cond_wait(&app->cond, &app->lock);
    pthread_mutex_unlock(&app->lock);
}

static void echo(struct owm_rpc_client *client, const void *bytes, size_t length)
{
    struct owm_rpc_reply reply;
    owm_status status = owm_rpc_call_unary(client, "/t/Echo", bytes, length, DEADLINE_MS, &reply);
    if (status != OWM_OK) fail_msg("%s: %s", owm_rpc_code_name(reply.code), reply.text);
    assert_int_equal(reply.length, length);
    if (length) assert_memory_equal(reply.bytes, bytes, length);
    owm_rpc_reply_free(&reply);
    owm_rpc_reply_free(&reply);
}

static void test_echo(void **state)
{
    struct world *world = *state;
    uint8_t *big = malloc(BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++) big[i] = (uint8_t)(i * 31 + (i >> 9));
    echo(world->client, "", 0);
    echo(world->client, "hello", 5);
    echo(world->client, big, BIG_BYTES - 1);
    echo(world->client, big, BIG_BYTES);
    free(big);
    wait_ended(&world->app, 4);
    assert_int_equal(world->app.cancelled, 0);
    struct owm_rpc_counters counters;
    do owm_rpc_server_counters(world->server, &counters);
    while (counters.live > 0);
    assert_int_equal(counters.started, 4);
    assert_int_equal(counters.ended[OWM_RPC_OK], 4);
}

/* The server knows its peer by the key of the certificate, and each client by its own. */
static void test_peer_key_is_the_clients(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 3; i++) {
        struct pki other;
        pki_make(&other, "owm-node", true);
        struct owm_rpc_client *client = client_open(world, &other, &server_pki, NULL);
        struct owm_rpc_reply reply;
        for (int repeat = 0; repeat < 2; repeat++) {
            assert_ok(owm_rpc_call_unary(client, "/t/WhoAmI", NULL, 0, DEADLINE_MS, &reply));
            assert_memory_equal(reply.bytes, other.public_key, 32);
            assert_string_equal((const char *)reply.bytes + 32, "127.0.0.1");
            owm_rpc_reply_free(&reply);
        }
        assert_ok(owm_rpc_call_unary(world->client, "/t/WhoAmI", NULL, 0, DEADLINE_MS, &reply));
        assert_memory_equal(reply.bytes, client_pki.public_key, 32);
        owm_rpc_reply_free(&reply);
        owm_rpc_client_close(client);
    }
}

static void expect(struct owm_rpc_client *client, const char *path, size_t length,
                   owm_status status, enum owm_rpc_code code, const char *text)
{
    struct owm_rpc_reply reply;
    uint8_t *bytes = calloc(1, length + 1);
    assert_int_equal(owm_rpc_call_unary(client, path, bytes, length, DEADLINE_MS, &reply), status);
    if (reply.code != code || !strstr(reply.text, text))
        fail_msg("%s: code %s, text '%s'", path, owm_rpc_code_name(reply.code), reply.text);
    assert_null(reply.bytes);
    owm_rpc_reply_free(&reply);
    free(bytes);
}

static void test_failures_carry_code_and_text(void **state)
{
    struct world *world = *state;
    expect(world->client, "/t/Refuse", 1, OWM_E_NOTFOUND, OWM_RPC_NOT_FOUND,
           "no node 7 is registered");
    expect(world->client, "/t/Nothing", 1, OWM_E_UNSUPPORTED, OWM_RPC_UNIMPLEMENTED,
           "no method /t/Nothing");
    expect(world->client, "/t/Small", 1001, OWM_E_LIMIT, OWM_RPC_RESOURCE_EXHAUSTED,
           "limit of /t/Small is 1000 bytes");
    expect(world->client, "/t/Echo", BIG_BYTES + 1, OWM_E_LIMIT, OWM_RPC_RESOURCE_EXHAUSTED,
           "1048576");
    echo(world->client, "still here", 10);
}

/* Peers that do not keep to the method's kind. */
static void test_unary_with_no_and_with_two_messages(void **state)
{
    struct world *world = *state;
    struct owm_rpc_stream *call;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Echo", DEADLINE_MS, &call));
    assert_int_equal(owm_rpc_stream_finish(call, DEADLINE_MS, &reply), OWM_E_ARG);
    assert_string_equal(reply.text, "the call carries no request message");
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(call);
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Later", DEADLINE_MS, &call));
    (void)!owm_rpc_stream_write(call, (const uint8_t *)"one", 3, DEADLINE_MS);
    (void)!owm_rpc_stream_write(call, (const uint8_t *)"two", 3, DEADLINE_MS);
    assert_ok(owm_rpc_stream_finish(call, DEADLINE_MS, &reply));
    assert_int_equal(reply.length, 5);
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(call);
    wait_ended(&world->app, 2);
}

static void test_reply_from_another_thread(void **state)
{
    struct world *world = *state;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_call_unary(world->client, "/t/Later", NULL, 0, DEADLINE_MS, &reply));
    assert_int_equal(reply.length, 5);
    assert_memory_equal(reply.bytes, "later", 5);
    owm_rpc_reply_free(&reply);
}

static void test_deadline_cancels_at_the_server(void **state)
{
    struct world *world = *state;
    struct owm_rpc_reply reply;
    assert_int_equal(owm_rpc_call_unary(world->client, "/t/Park", NULL, 0, 100, &reply),
                     OWM_E_TIMEOUT);
    assert_int_equal(reply.code, OWM_RPC_DEADLINE_EXCEEDED);
    wait_ended(&world->app, 1);
    assert_int_equal(world->app.cancelled, 1);
    assert_int_equal(owm_rpc_reply(world->app.parked, NULL, 0), OWM_E_STATE);
    assert_int_equal(owm_rpc_fail(world->app.parked, OWM_RPC_INTERNAL, "late"), OWM_E_STATE);
    owm_rpc_call_unref(world->app.parked);
}

static void test_client_refuses_another_server(void **state)
{
    struct world *world = *state;
    struct pki impostor;
    pki_make(&impostor, "owm-coordinator", true);
    struct owm_rpc_client *client = client_open(world, &client_pki, &impostor, NULL);
    expect(client, "/t/Echo", 1, OWM_E_NET, OWM_RPC_UNAVAILABLE, "");
    owm_rpc_client_close(client);
}

static void test_server_refuses_strangers(void **state)
{
    struct world *world = *state;
    struct owm_rpc_client *client = client_open(world, NULL, &server_pki, NULL);
    expect(client, "/t/Echo", 1, OWM_E_NET, OWM_RPC_UNAVAILABLE, "");
    owm_rpc_client_close(client);
    struct pki p256;
    pki_make(&p256, "owm-node", false);
    client = client_open(world, &p256, &server_pki, NULL);
    expect(client, "/t/Echo", 1, OWM_E_PERM, OWM_RPC_UNAUTHENTICATED, "not Ed25519");
    owm_rpc_client_close(client);
    assert_int_equal(world->app.ended, 0);
}

/* A server that asks for no certificate, with a P-256 one of its own as Lightning nodes have it. */
static void test_server_without_client_certificates(void **state)
{
    struct world *world = *state;
    struct pki p256;
    pki_make(&p256, "owm-coordinator", false);
    struct owm_rpc_server_config config = server_config(world);
    config.certificate_pem = p256.certificate_pem;
    config.key_pem = p256.key_pem;
    config.client_certificate = OWM_RPC_CLIENT_CERTIFICATE_NONE;
    struct owm_rpc_server *server;
    struct owm_error error = {0};
    assert_ok(owm_rpc_server_open(&server, &config, &error));
    snprintf(world->target, sizeof world->target, "127.0.0.1:%d", owm_rpc_server_port(server, 0));
    const struct pki *const owns[] = {NULL, &client_pki};
    for (int i = 0; i < 2; i++) {
        struct owm_rpc_client *client = client_open(world, owns[i], &p256, NULL);
        struct owm_rpc_reply reply;
        const uint8_t nobody[OWM_RPC_KEY_BYTES] = {0};
        assert_ok(owm_rpc_call_unary(client, "/t/WhoAmI", NULL, 0, DEADLINE_MS, &reply));
        assert_memory_equal(reply.bytes, nobody, sizeof nobody);
        assert_string_equal((const char *)reply.bytes + 32, "127.0.0.1");
        owm_rpc_reply_free(&reply);
        owm_rpc_client_close(client);
    }
    owm_rpc_server_close(server, 1000);
}

static void test_callbacks_read_headers(void **state)
{
    struct world *world = *state;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_call_unary(world->client, "/t/Header", (const uint8_t *)"user-agent", 10,
                                 DEADLINE_MS, &reply));
    assert_true(reply.length > 5);
    assert_memory_equal(reply.bytes, "grpc-", 5);
    owm_rpc_reply_free(&reply);
    expect(world->client, "/t/Header", 3, OWM_E_NOTFOUND, OWM_RPC_NOT_FOUND, "no such header");
}

static void test_shutdown_cancels_what_does_not_end(void **state)
{
    struct world *world = *state;
    struct owm_rpc_client *client = client_open(world, &client_pki, &server_pki, NULL);
    struct owm_rpc_stream *call;
    assert_ok(owm_rpc_stream_upload(client, "/t/Park", DEADLINE_MS, &call));
    assert_ok(owm_rpc_stream_write(call, NULL, 0, DEADLINE_MS));
    wait_parked(&world->app);
    owm_rpc_server_close(world->server, 50);
    world->server = NULL;
    assert_int_equal(world->app.ended, 1);
    assert_int_equal(world->app.cancelled, 1);
    assert_int_equal(owm_rpc_reply(world->app.parked, NULL, 0), OWM_E_STATE);
    owm_rpc_call_unref(world->app.parked);
    struct owm_rpc_reply reply;
    assert_int_not_equal(owm_rpc_stream_finish(call, DEADLINE_MS, &reply), OWM_OK);
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(call);
    owm_rpc_client_close(client);
}

static void *answer_parked(void *arg)
{
    struct app *app = arg;
    usleep(100000);
    assert_ok(owm_rpc_reply(app->parked, (const uint8_t *)"drained", 7));
    owm_rpc_call_unref(app->parked);
    return NULL;
}

static void test_shutdown_lets_calls_end(void **state)
{
    struct world *world = *state;
    struct owm_rpc_stream *call;
    assert_ok(owm_rpc_stream_upload(world->client, "/t/Park", DEADLINE_MS, &call));
    assert_ok(owm_rpc_stream_write(call, NULL, 0, DEADLINE_MS));
    wait_parked(&world->app);
    pthread_t thread;
    pthread_create(&thread, NULL, answer_parked, &world->app);
    owm_rpc_server_close(world->server, DEADLINE_MS);
    world->server = NULL;
    pthread_join(thread, NULL);
    assert_int_equal(world->app.cancelled, 0);
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_finish(call, DEADLINE_MS, &reply));
    assert_int_equal(reply.length, 7);
    owm_rpc_reply_free(&reply);
    owm_rpc_stream_close(call);
}

static void count_done(void *user, owm_status status, const struct owm_rpc_reply *reply)
{
    atomic_int *count = user;
    if (status == OWM_OK && reply->length == 4)
        atomic_fetch_add(count, 1);
    else
        atomic_fetch_add(count, 1000000);
}

static void test_200_clients_on_one_queue(void **state)
{
    enum { CLIENTS = 200, CALLS = 5 };
    struct world *world = *state;
    struct owm_rpc_cq *cq;
    assert_ok(owm_rpc_cq_open(&cq, 2));
    struct owm_rpc_client *clients[CLIENTS];
    atomic_int count = 0;
    for (int i = 0; i < CLIENTS; i++) clients[i] = client_open(world, &client_pki, &server_pki, cq);
    for (int n = 0; n < CALLS; n++)
        for (int i = 0; i < CLIENTS; i++)
            assert_ok(owm_rpc_call_unary_async(clients[i], "/t/Echo", (const uint8_t *)"ping", 4,
                                               60000, count_done, &count));
    while (atomic_load(&count) < CLIENTS * CALLS) usleep(1000);
    assert_int_equal(count, CLIENTS * CALLS);
    for (int i = 0; i < CLIENTS; i++) owm_rpc_client_close(clients[i]);
    owm_rpc_cq_close(cq);
}

static void test_call_limit(void **state)
{
    struct world *world = *state;
    struct owm_rpc_server *first = world->server;
    struct owm_rpc_client *first_client = world->client;
    struct owm_rpc_server_config config = server_config(world);
    config.calls_max = 1;
    config.threads = 1;
    world_open(world, &config);
    struct owm_rpc_stream *call;
    assert_ok(owm_rpc_stream_download(world->client, "/t/Park", NULL, 0, DEADLINE_MS, &call));
    wait_parked(&world->app);
    expect(world->client, "/t/Echo", 1, OWM_E_LIMIT, OWM_RPC_RESOURCE_EXHAUSTED, "1 calls");
    owm_rpc_stream_cancel(call);
    wait_ended(&world->app, 1);
    owm_rpc_call_unref(world->app.parked);
    owm_rpc_stream_close(call);
    owm_rpc_client_close(world->client);
    owm_rpc_server_close(world->server, 1000);
    world->server = first;
    world->client = first_client;
}

static void test_open_refuses_bad_configs(void **state)
{
    struct world *world = *state;
    struct owm_error error = {0};
    struct owm_rpc_server *server;
    struct owm_rpc_server_config config = server_config(world);
    config.address_count = 2;
    assert_ok(owm_rpc_server_open(&server, &config, &error));
    assert_true(owm_rpc_server_port(server, 1) > 0);
    assert_int_equal(owm_rpc_server_port(server, 2), 0);
    owm_rpc_server_close(server, 0);

    config = server_config(world);
    const char *const taken[] = {world->target};
    config.addresses = taken;
    assert_int_equal(owm_rpc_server_open(&server, &config, &error), OWM_E_NET);
    assert_non_null(strstr(error.text, world->target));
    config = server_config(world);
    config.key_pem = client_pki.key_pem;
    assert_int_equal(owm_rpc_server_open(&server, &config, &error), OWM_E_CRYPTO);
    config = server_config(world);
    config.threads = 1000;
    assert_int_equal(owm_rpc_server_open(&server, &config, &error), OWM_E_ARG);

    struct owm_rpc_client *client;
    struct owm_rpc_client_config own = {.target = world->target};
    assert_int_equal(owm_rpc_client_open(&client, &own, &error), OWM_E_ARG);
    own.server_certificate_pem = "no certificate";
    assert_int_equal(owm_rpc_client_open(&client, &own, &error), OWM_E_CRYPTO);
}

static void test_code_names(void **state)
{
    (void)state;
    assert_string_equal(owm_rpc_code_name(14), "UNAVAILABLE");
    assert_string_equal(owm_rpc_code_name(17), "UNKNOWN");
    assert_string_equal(owm_rpc_code_name(-1), "UNKNOWN");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    pki_make(&server_pki, "owm-coordinator", true);
    pki_make(&client_pki, "owm-node", true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_names),
        CASE(test_echo),
        CASE(test_peer_key_is_the_clients),
        CASE(test_failures_carry_code_and_text),
        CASE(test_unary_with_no_and_with_two_messages),
        CASE(test_reply_from_another_thread),
        CASE(test_deadline_cancels_at_the_server),
        CASE(test_client_refuses_another_server),
        CASE(test_server_refuses_strangers),
        CASE(test_server_without_client_certificates),
        CASE(test_callbacks_read_headers),
        CASE(test_shutdown_cancels_what_does_not_end),
        CASE(test_shutdown_lets_calls_end),
        CASE(test_200_clients_on_one_queue),
        CASE(test_call_limit),
        CASE(test_open_refuses_bad_configs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
