/* blocks_rpc.c: the block source's server, and calls to it. */
#include "blocks_rpc.h"

#include "base/bytes.h"
#include "base/http_client.h"
#include "test.h"

static owm_http_server *server;

void blocks_serve(struct rpc *rpc)
{
    static struct owm_http_route route = {"POST", "/", rpc_handle, NULL};
    const struct owm_http_server_options options = {
        .routes = &route, .route_count = 1, .body_bytes_max = RPC_BODY_BYTES_MAX};
    route.ctx = rpc;
    assert_true(rpc_expect(rpc, "user", "secret"));
    assert_ok(owm_http_server_open(&options, &server, NULL));
}

void blocks_serve_end(void)
{
    owm_http_server_close(server);
}

unsigned blocks_post(const char *pair, const char *body, json_t **reply)
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

json_t *blocks_call(const char *method, const char *params)
{
    size_t room = strlen(method) + strlen(params) + 100;
    char *body = malloc(room);
    json_t *reply;
    snprintf(body, room, "{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}", method,
             params);
    unsigned status = blocks_post("user:secret", body, &reply);
    if (status != 200) fail_msg("%s: HTTP %u: %s", method, status, json_dumps(reply, 0));
    assert_int_equal(json_integer_value(json_object_get(reply, "id")), 7);
    assert_true(json_is_null(json_object_get(reply, "error")));
    json_t *result = json_incref(json_object_get(reply, "result"));
    json_decref(reply);
    free(body);
    return result;
}

int blocks_fails(const char *method, const char *params, unsigned http_status)
{
    char body[4096];
    json_t *reply;
    snprintf(body, sizeof body, "{\"id\":null,\"method\":\"%s\",\"params\":%s}", method, params);
    assert_int_equal(blocks_post("user:secret", body, &reply), http_status);
    assert_true(json_is_null(json_object_get(reply, "result")));
    const json_t *error = json_object_get(reply, "error");
    assert_true(json_is_string(json_object_get(error, "message")));
    int code = (int)json_integer_value(json_object_get(error, "code"));
    json_decref(reply);
    return code;
}

const char *blocks_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}
