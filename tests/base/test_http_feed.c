/* test_http_feed.c: the WebSocket feed, with a client of plain sockets: RFC 6455's own handshake
 * example, texts in order, the newest for who comes late, limits, other paths, ordinary requests
 * beside it.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "test.h"

static void hello(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    (void)ctx, (void)request;
    owm_http_reply_text(response, 200, NULL, "hello");
}

static const struct owm_http_route routes[] = {{"GET", "/", hello, NULL}};

static owm_http_server *open_server(unsigned listeners)
{
    struct owm_error error = {""};
    owm_http_server *server = NULL;
    struct owm_http_server_options options = {
        .routes = routes, .route_count = 1, .feed_path = "/feed", .feed_listeners_max = listeners};
    if (owm_http_server_open(&options, &server, &error) != OWM_OK) fail_msg("%s", error.text);
    return server;
}

static int connect_to(const owm_http_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(owm_http_server_port(server))};
    struct timeval timeout = {.tv_sec = 5};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void read_all(int fd, void *out, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = recv(fd, (char *)out + at, bytes - at, 0);
        if (got <= 0) fail_msg("the server sent no more");
        at += (size_t)got;
    }
}

/* RFC 6455 section 1.3: this key is answered by this word. false: the upgrade is refused. */
static bool upgrade(int fd, const char *path)
{
    char request[512], reply[2048] = "";
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             path);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (size_t at = 0; at + 1 < sizeof reply && strstr(reply, "\r\n\r\n") == NULL; at++)
        if (recv(fd, reply + at, 1, 0) != 1) return false;
    if (strncmp(reply, "HTTP/1.1 101", 12) != 0) return false;
    assert_non_null(strstr(reply, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    return true;
}

static void expect_text(int fd, const char *text)
{
    uint8_t head[2];
    char body[126] = "";
    read_all(fd, head, sizeof head);
    assert_int_equal(head[0], 0x81); /* One whole text. */
    assert_int_equal(head[1], strlen(text));
    read_all(fd, body, head[1]);
    assert_string_equal(body, text);
}

static void texts_come_in_order(void **state)
{
    owm_http_server *server = open_server(4);
    (void)state;
    int early = connect_to(server);
    assert_true(upgrade(early, "/feed"));
    assert_ok(owm_http_feed_publish(server, "{\"n\":1}"));
    expect_text(early, "{\"n\":1}");
    int late = connect_to(server);
    assert_true(upgrade(late, "/feed"));
    expect_text(late, "{\"n\":1}"); /* The newest, for who comes late. */
    assert_ok(owm_http_feed_publish(server, "{\"n\":2}"));
    expect_text(early, "{\"n\":2}");
    expect_text(late, "{\"n\":2}");
    close(early);
    close(late);
    owm_http_server_close(server);
}

static void limits_and_other_paths_are_refused(void **state)
{
    owm_http_server *server = open_server(1);
    (void)state;
    int wrong = connect_to(server), one = connect_to(server), two = connect_to(server);
    assert_false(upgrade(wrong, "/other"));
    assert_true(upgrade(one, "/feed"));
    assert_false(upgrade(two, "/feed"));
    close(one);
    int three = -1;
    bool admitted = false;
    for (int i = 0; i < 100 && !admitted; i++) { /* Free once the server has seen it. */
        owm_clock_sleep_ms(20);
        if (three >= 0) close(three);
        three = connect_to(server);
        admitted = upgrade(three, "/feed");
    }
    assert_true(admitted);
    close(wrong);
    close(two);
    close(three);
    owm_http_server_close(server);
}

static void requests_go_on_beside_it(void **state)
{
    owm_http_server *server = open_server(4);
    (void)state;
    int fd = connect_to(server);
    assert_true(upgrade(fd, "/feed"));
    for (int i = 0; i < 50; i++) {
        char url[64];
        struct owm_error error = {""};
        struct owm_http_result result;
        snprintf(url, sizeof url, "http://127.0.0.1:%u/", owm_http_server_port(server));
        struct owm_http_call call = {.method = "GET", .url = url};
        assert_ok(owm_http_feed_publish(server, "x"));
        assert_ok(owm_http_fetch(&call, &result, &error));
        assert_int_equal(result.status, 200);
        owm_http_result_deinit(&result);
    }
    close(fd);
    owm_http_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_in_order),
        cmocka_unit_test(limits_and_other_paths_are_refused),
        cmocka_unit_test(requests_go_on_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
