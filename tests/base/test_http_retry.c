/* test_http_retry.c: requests that a handler puts off: long polls. */
#include <stdatomic.h>

#include "base/http_client.h"
#include "base/http_server.h"
#include "test.h"

static void echo(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    (void)ctx;
    owm_http_reply(response, 201, "application/x-echo", request->body, request->body_bytes);
}

/* Answers once it has been asked `ctx` times, and says how often. */
static void late(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    atomic_int *asked = ctx;
    char text[64];
    int count = atomic_fetch_add(asked, 1) + 1;
    if (count < 16) {
        owm_http_retry(response, 100);
        return;
    }
    snprintf(text, sizeof text, "%d %s", count, (const char *)request->body);
    owm_http_reply_text(response, 200, "text/plain", text);
}

static unsigned ask(uint16_t port, const char *path, struct owm_http_result *result)
{
    char url[128];
    struct owm_error error = {""};
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    const struct owm_http_call call = {
        .method = "POST", .url = url, .body = "body", .body_bytes = 4, .deadline_ms = 5000};
    if (owm_http_fetch(&call, result, &error) != OWM_OK) fail_msg("%s: %s", path, error.text);
    return result->status;
}

/* A long poll outlives the idle deadline of one second. */
static void put_off_and_answered(void **state)
{
    (void)state;
    atomic_int asked = 0;
    const struct owm_http_route late_routes[] = {{"POST", "/late", late, &asked},
                                                 {"POST", "/echo", echo, NULL}};
    struct owm_http_server_options options = {
        .routes = late_routes, .route_count = 2, .timeout_s = 1};
    struct owm_http_result result;
    owm_http_server *server;
    assert_ok(owm_http_server_open(&options, &server, NULL));
    assert_int_equal(ask(owm_http_server_port(server), "/late", &result), 200);
    assert_string_equal(result.body, "16 body");
    owm_http_result_deinit(&result);
    assert_int_equal(ask(owm_http_server_port(server), "/echo", &result), 201);
    owm_http_result_deinit(&result);

    /* One that leaves before it is answered is forgotten. */
    char url[64];
    atomic_store(&asked, -1000);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/late", owm_http_server_port(server));
    const struct owm_http_call call = {
        .method = "POST", .url = url, .body = "b", .body_bytes = 1, .deadline_ms = 300};
    assert_int_equal(owm_http_fetch(&call, &result, NULL), OWM_E_TIMEOUT);
    assert_int_equal(ask(owm_http_server_port(server), "/echo", &result), 201);
    owm_http_result_deinit(&result);
    owm_http_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_off_and_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
