/* test_http.c: server and client against each other on loopback. */
#include "base/http_client.h"
#include "base/http_server.h"
#include "test.h"

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
    {"POST", "/echo", echo, NULL},
    {"GET", "/tree/", describe, "ctx"},
    {"GET", "/large", large, NULL},
    {"GET", "/silent", silent, NULL},
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trips)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
