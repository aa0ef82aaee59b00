/* test_http.c: server and client against each other on loopback. */
#include "base/clock.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

static void echo(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    (void)ctx;
    owm_http_reply(response, 201, "application/x-echo", request->body, request->body_bytes);
}

static void describe(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s ?%s %s %s", request->method, request->path, request->query,
             request->peer, (const char *)ctx);
    owm_http_reply_header(response, "x-bad:", "a\r\nforged: 1");
    owm_http_reply_text(response, 200, "text/plain", text);
}

static void headers(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    char text[2 * OWM_HTTP_ACCEPT_BYTES_MAX];
    (void)ctx;
    snprintf(text, sizeof text, "%s|%s", request->accept, request->forwarded_for);
    owm_http_reply_text(response, 200, "text/plain", text);
}

static void large(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    (void)ctx;
    (void)request;
    char *text = calloc(1, 300000);
    memset(text, 'x', 299999);
    owm_http_reply_text(response, 200, NULL, text);
    free(text);
}

static void silent(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    (void)ctx;
    (void)request;
    (void)response;
}

static const struct owm_http_route routes[] = {
    {"POST", "/echo", echo, NULL},      {"GET", "/tree/", describe, "ctx"},
    {"GET", "/large", large, NULL},     {"GET", "/silent", silent, NULL},
    {"GET", "/headers", headers, NULL},
};

static unsigned ask(uint16_t port, const char *method, const char *path, const char *body,
                    struct owm_http_result *result)
{
    char url[128];
    struct owm_error error = {""};
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    struct owm_http_call call = {.method = method,
                                 .url = url,
                                 .body = body,
                                 .body_bytes = body ? strlen(body) : 0,
                                 .deadline_ms = 5000};
    owm_status status = owm_http_fetch(&call, result, &error);
    if (status != OWM_OK) fail_msg("%s %s: %s", method, path, error.text);
    return result->status;
}

/* SRS-NODE-08 stands on this server. */
static void round_trips(void **state)
{
    (void)state;
    struct owm_http_server_options options = {
        .routes = routes, .route_count = 4, .body_bytes_max = 16, .port_key = "node.http_port"};
    struct owm_http_result result;
    struct owm_error error = {""};
    owm_http_server *server, *second;
    assert_ok(owm_http_server_open(&options, &server, &error));
    uint16_t port = owm_http_server_port(server);
    assert_true(port > 0);
    static const struct {
        const char *method, *path, *body;
        unsigned status;
        const char *reply;
    } cases[] = {
        {"POST", "/echo", "hello", 201, "hello"},
        {"POST", "/echo", "0123456789abcdef", 201, "0123456789abcdef"},
        {"POST", "/echo", "0123456789abcdefg", 413, "request refused\n"},
        {"POST", "/echo", "", 201, ""},
        {"GET", "/tree/a%20b?x=1&y=2", NULL, 200, "GET /tree/a b ?x=1&y=2 127.0.0.1 ctx"},
        {"GET", "/echo", NULL, 405, "method not allowed\n"},
        {"GET", "/echo/", NULL, 404, "not found\n"},
        {"HEAD", "/tree/q", NULL, 200, ""},
        {"GET", "/silent", NULL, 500, "no answer\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ask(port, cases[i].method, cases[i].path, cases[i].body, &result),
                         cases[i].status);
        assert_string_equal((char *)result.body, cases[i].reply);
        owm_http_result_deinit(&result);
    }
    assert_int_equal(ask(port, "GET", "/large", NULL, &result), 200);
    assert_int_equal(result.body_bytes, 299999);
    owm_http_result_deinit(&result);

    options.port = port;
    assert_int_equal(owm_http_server_open(&options, &second, &error), OWM_E_EXISTS);
    assert_non_null(strstr(error.text, "is in use"));
    assert_non_null(strstr(error.text, "node.http_port"));
    options.bind = "localhost!";
    assert_int_equal(owm_http_server_open(&options, &second, &error), OWM_E_ARG);

    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/large?token=hunter2", port);
    struct owm_http_call call = {.url = url, .reply_bytes_max = 1000};
    assert_int_equal(owm_http_fetch(&call, &result, &error), OWM_E_LIMIT);
    assert_null(strstr(error.text, "hunter2"));
    owm_http_server_close(server);
    assert_int_equal(owm_http_fetch(&call, &result, &error), OWM_E_NET);
    call.url = "file:///etc/passwd";
    assert_int_equal(owm_http_fetch(&call, &result, &error), OWM_E_ARG);
    owm_http_server_close(NULL);
}

/* What a handler may look at, and what is left out because it is too long. */
static void handlers_see_headers(void **state)
{
    (void)state;
    const struct owm_http_server_options options = {.routes = routes, .route_count = 5};
    struct owm_http_result result;
    owm_http_server *server;
    char url[64], longest[700] = "Accept: ", too_long[700] = "Accept: ", whole[700] = "";
    memset(longest + 8, 'a', OWM_HTTP_ACCEPT_BYTES_MAX);
    memset(too_long + 8, 'a', OWM_HTTP_ACCEPT_BYTES_MAX + 1);
    snprintf(whole, sizeof whole, "%s|", longest + 8);
    assert_ok(owm_http_server_open(&options, &server, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%u/headers", owm_http_server_port(server));
    const struct {
        const char *headers[3], *reply;
    } cases[] = {
        {{"Accept: text/html, */*;q=0.1", "X-Forwarded-For: 192.0.2.1, 2001:db8::1", NULL},
         "text/html, */*;q=0.1|192.0.2.1, 2001:db8::1"},
        {{"Accept:", NULL}, "|"},
        {{longest, NULL}, whole},
        {{too_long, "X-Forwarded-For: 192.0.2.1", NULL}, "|192.0.2.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct owm_http_call call = {.url = url, .headers = cases[i].headers};
        assert_ok(owm_http_fetch(&call, &result, NULL));
        assert_int_equal(result.status, 200);
        assert_string_equal((char *)result.body, cases[i].reply);
        owm_http_result_deinit(&result);
    }
    owm_http_server_close(server);
}

/* --- a client that stays: a peer of our own, since the server above hides its connections ---- */

struct peer {
    int listener;
    char url[64];
    pthread_t thread;
    unsigned connections, requests;
    const char *drip; /* Sent again and again after the first reply's head; NULL: whole replies. */
};

static bool reply_to_one(struct peer *peer, int fd)
{
    static const char whole[] = "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok";
    static const char head[] = "HTTP/1.1 200 X\r\n\r\n";
    char request[2048];
    if (recv(fd, request, sizeof request, 0) <= 0) return false;
    peer->requests++;
    if (!peer->drip) return send(fd, whole, sizeof whole - 1, MSG_NOSIGNAL) > 0;
    ssize_t sent = send(fd, head, sizeof head - 1, MSG_NOSIGNAL);
    while (sent >= 0) {
        sent = send(fd, peer->drip, strlen(peer->drip), MSG_NOSIGNAL);
        owm_clock_sleep_ms(20);
    }
    return false;
}

static void *run_peer(void *argument)
{
    struct peer *peer = argument;
    int fd;
    while ((fd = accept(peer->listener, NULL, NULL)) >= 0) {
        peer->connections++;
        while (reply_to_one(peer, fd)) continue;
        close(fd);
    }
    return NULL;
}

static void start_peer(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    peer->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 4), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(peer->url, sizeof peer->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, run_peer, peer), 0);
}

static void stop_peer(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

static void client_keeps_its_connection(void **state)
{
    (void)state;
    struct peer peer = {0};
    struct owm_http_result result;
    owm_http_client *client;
    start_peer(&peer);
    assert_ok(owm_http_client_open(&client));
    const struct owm_http_call call = {.url = peer.url, .body = "x", .body_bytes = 1};
    for (int i = 0; i < 5; i++) {
        assert_ok(owm_http_client_fetch(client, &call, &result, NULL));
        assert_string_equal((char *)result.body, "ok");
        owm_http_result_deinit(&result);
    }
    owm_http_client_close(client);
    stop_peer(&peer);
    assert_int_equal(peer.connections, 1);
    assert_int_equal(peer.requests, 5);
    owm_http_client_close(NULL);
}

/* A reply that has begun must end in time, however long the wait for it was; a drip is no end. */
static void finish_limits_a_reply(void **state)
{
    (void)state;
    struct peer peer = {.drip = " "};
    struct owm_http_result result;
    start_peer(&peer);
    uint64_t begin_ms = owm_clock_mono_ms();
    const struct owm_http_call call = {.url = peer.url, .deadline_ms = 60000, .finish_ms = 200};
    assert_int_equal(owm_http_fetch(&call, &result, NULL), OWM_E_TIMEOUT);
    uint64_t took_ms = owm_clock_mono_ms() - begin_ms;
    assert_true(took_ms >= 200 && took_ms < 2000);
    stop_peer(&peer);
}

static void *cancel_soon(void *client)
{
    owm_clock_sleep_ms(100);
    owm_http_client_cancel(client);
    return NULL;
}

static void cancel_ends_an_exchange(void **state)
{
    (void)state;
    struct peer peer = {.drip = " "};
    struct owm_http_result result;
    struct owm_error error = {""};
    owm_http_client *client;
    pthread_t thread;
    start_peer(&peer);
    assert_ok(owm_http_client_open(&client));
    const struct owm_http_call call = {.url = peer.url, .deadline_ms = 60000};
    uint64_t begin_ms = owm_clock_mono_ms();
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, client), 0);
    assert_int_equal(owm_http_client_fetch(client, &call, &result, &error), OWM_E_CANCELLED);
    assert_true(owm_clock_mono_ms() - begin_ms < 1000);
    assert_non_null(strstr(error.text, "cancelled"));
    pthread_join(thread, NULL);
    assert_int_equal(owm_http_client_fetch(client, &call, &result, NULL), OWM_E_CANCELLED);
    owm_http_client_close(client);
    stop_peer(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(handlers_see_headers),
        cmocka_unit_test(client_keeps_its_connection),
        cmocka_unit_test(finish_limits_a_reply),
        cmocka_unit_test(cancel_ends_an_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
