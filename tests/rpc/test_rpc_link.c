/* test_rpc_link.c: what happens to connections: a server that goes and comes back, one that is not
 * there yet, a peer that pings too often, gRPC's memory bound; and how peers are named. */
#include <stdatomic.h>
#include <unistd.h>

#include "base/rpc/rpc.h"
#include "base/rpc/rpc_peer.h"
#include "rpc_pki.h"
#include "test.h"

static struct pki server_pki, client_pki;

static void on_echo(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app;
    (void)owm_rpc_reply(call, bytes, length);
}

static void on_end(void *app, struct owm_rpc_call *call, bool cancelled)
{
    (void)call, (void)cancelled;
    atomic_fetch_add((atomic_int *)app, 1);
}

static const struct owm_rpc_method methods[] = {
    {.path = "/t/Echo", .kind = OWM_RPC_UNARY, .on_message = on_echo},
    {.path = "/t/Hang", .kind = OWM_RPC_SERVER_STREAM, .on_end = on_end},
};

static atomic_int hangs_ended;

static struct owm_rpc_server *server_open(const char *address, size_t memory_bytes_max)
{
    const char *const addresses[] = {address};
    struct owm_rpc_server_config config = {.addresses = addresses,
                                           .address_count = 1,
                                           .certificate_pem = server_pki.certificate_pem,
                                           .key_pem = server_pki.key_pem,
                                           .methods = methods,
                                           .method_count = 2,
                                           .app = &hangs_ended,
                                           .memory_bytes_max = memory_bytes_max};
    struct owm_rpc_server *server = NULL;
    struct owm_error error = {0};
    if (owm_rpc_server_open(&server, &config, &error) != OWM_OK) fail_msg("%s", error.text);
    return server;
}

static struct owm_rpc_client_config client_config(const char *target)
{
    return (struct owm_rpc_client_config){.target = target,
                                          .server_certificate_pem = server_pki.certificate_pem,
                                          .certificate_pem = client_pki.certificate_pem,
                                          .key_pem = client_pki.key_pem,
                                          .reconnect_min_ms = 100,
                                          .reconnect_max_ms = 200};
}

static struct owm_rpc_client *client_open(const struct owm_rpc_client_config *config)
{
    struct owm_rpc_client *client = NULL;
    struct owm_error error = {0};
    if (owm_rpc_client_open(&client, config, &error) != OWM_OK) fail_msg("%s", error.text);
    return client;
}

static owm_status echo(struct owm_rpc_client *client, unsigned deadline_ms)
{
    struct owm_rpc_reply reply;
    owm_status status =
        owm_rpc_call_unary(client, "/t/Echo", (const uint8_t *)"x", 1, deadline_ms, &reply);
    owm_rpc_reply_free(&reply);
    return status;
}

static void target_of(const struct owm_rpc_server *server, char target[32])
{
    snprintf(target, 32, "127.0.0.1:%d", owm_rpc_server_port(server, 0));
}

static void test_reconnects_to_a_restarted_server(void **state)
{
    (void)state;
    char target[32];
    struct owm_rpc_server *server = server_open("127.0.0.1:0", 0);
    target_of(server, target);
    struct owm_rpc_client_config config = client_config(target);
    struct owm_rpc_client *client = client_open(&config);
    assert_ok(echo(client, 10000));
    owm_rpc_server_close(server, 1000);
    assert_int_equal(echo(client, 10000), OWM_E_NET);
    server = server_open(target, 0);
    owm_status status = OWM_E_NET;
    for (int i = 0; i < 100 && status != OWM_OK; i++) {
        status = echo(client, 10000);
        usleep(50000);
    }
    assert_ok(status);
    owm_rpc_client_close(client);
    owm_rpc_server_close(server, 1000);
}

static void test_waiting_for_a_server_that_comes_late(void **state)
{
    (void)state;
    char target[32];
    struct owm_rpc_server *server = server_open("127.0.0.1:0", 0);
    target_of(server, target);
    owm_rpc_server_close(server, 0);
    struct owm_rpc_client_config config = client_config(target);
    struct owm_rpc_client *hasty = client_open(&config);
    config.wait_for_ready = true;
    struct owm_rpc_client *patient = client_open(&config);
    assert_int_equal(echo(hasty, 10000), OWM_E_NET);
    assert_int_equal(echo(patient, 200), OWM_E_TIMEOUT);
    server = server_open(target, 0);
    assert_ok(echo(patient, 10000));
    owm_rpc_client_close(hasty);
    owm_rpc_client_close(patient);
    owm_rpc_server_close(server, 1000);
}

/* Ten pings a second where one in ten seconds is allowed: the server ends the connection. */
static void test_a_peer_that_pings_too_often_is_dropped(void **state)
{
    (void)state;
    char target[32];
    struct owm_rpc_server *server = server_open("127.0.0.1:0", 0);
    target_of(server, target);
    struct owm_rpc_client_config config = client_config(target);
    config.keepalive_ms = 100;
    struct owm_rpc_client *client = client_open(&config);
    struct owm_rpc_stream *stream;
    struct owm_rpc_reply reply;
    assert_ok(owm_rpc_stream_download(client, "/t/Hang", NULL, 0, 30000, &stream));
    assert_int_equal(owm_rpc_stream_read(stream, 30000, &reply), OWM_E_NOTFOUND);
    assert_int_equal(reply.code, OWM_RPC_UNAVAILABLE);
    assert_non_null(strstr(reply.text, "pings"));
    owm_rpc_stream_close(stream);
    owm_rpc_client_close(client);
    owm_rpc_server_close(server, 1000);
    assert_int_equal(hangs_ended, 1);
}

static void test_serves_within_a_memory_bound(void **state)
{
    (void)state;
    char target[32];
    struct owm_rpc_server *server = server_open("127.0.0.1:0", 64u << 20);
    target_of(server, target);
    struct owm_rpc_client_config config = client_config(target);
    struct owm_rpc_client *clients[20];
    for (int i = 0; i < 20; i++) clients[i] = client_open(&config);
    for (int n = 0; n < 5; n++)
        for (int i = 0; i < 20; i++) assert_ok(echo(clients[i], 10000));
    for (int i = 0; i < 20; i++) owm_rpc_client_close(clients[i]);
    owm_rpc_server_close(server, 1000);
}

static void expect_ip(const char *uri, const char *expected)
{
    char ip[OWM_RPC_IP_BYTES_MAX];
    rpc_peer_ip(uri, ip);
    assert_string_equal(ip, expected);
}

static void test_peer_address_forms(void **state)
{
    (void)state;
    expect_ip("ipv4:10.1.2.3:5000", "10.1.2.3");
    expect_ip("ipv6:%5B::1%5D:5000", "::1");
    expect_ip("ipv6:[fe80::1]:1", "fe80::1");
    expect_ip("ipv6:%5B::1", "::1");
    expect_ip("ipv4:10.1.2.3", "10.1.2.3");
    expect_ip("unix:/tmp/socket", "unix:/tmp/socket");
    expect_ip("", "");
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    char ip[OWM_RPC_IP_BYTES_MAX];
    rpc_peer_ip(longest, ip);
    assert_int_equal(strlen(ip), OWM_RPC_IP_BYTES_MAX - 1);
}

static void test_peer_keys(void **state)
{
    (void)state;
    struct rpc_peer_cache *cache = rpc_peer_cache_open();
    assert_non_null(cache);
    uint8_t key[OWM_RPC_KEY_BYTES];
    struct pki p256;
    pki_make(&p256, "owm-node", false);
    const char *pem = client_pki.certificate_pem;
    for (int repeat = 0; repeat < 2; repeat++) {
        memset(key, 0, sizeof key);
        assert_ok(rpc_peer_key(cache, pem, strlen(pem), key));
        assert_memory_equal(key, client_pki.public_key, sizeof key);
        assert_int_equal(
            rpc_peer_key(cache, p256.certificate_pem, strlen(p256.certificate_pem), key),
            OWM_E_PROTO);
    }
    for (size_t length = 0; length < strlen(pem) - 30; length += 7)
        assert_int_equal(rpc_peer_key(cache, pem, length, key), OWM_E_PROTO);
    char *large = calloc(1, OWM_RPC_PEM_BYTES_MAX + 1);
    assert_int_equal(rpc_peer_key(cache, large, OWM_RPC_PEM_BYTES_MAX + 1, key), OWM_E_PROTO);
    free(large);
    rpc_peer_cache_close(cache);
}

int main(void)
{
    pki_make(&server_pki, "owm-coordinator", true);
    pki_make(&client_pki, "owm-node", true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reconnects_to_a_restarted_server),
        cmocka_unit_test(test_waiting_for_a_server_that_comes_late),
        cmocka_unit_test(test_a_peer_that_pings_too_often_is_dropped),
        cmocka_unit_test(test_serves_within_a_memory_bound),
        cmocka_unit_test(test_peer_address_forms),
        cmocka_unit_test(test_peer_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
