/* bitcoin_rpc.c: one call is one HTTP exchange. */
#include "bitcoin_rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/json.h"

#define SECRET_BYTES_MAX 512
#define URL_BYTES_MAX    1024

struct owm_ots_bitcoin_rpc {
    owm_http_client *http;
    char url[URL_BYTES_MAX]; /* Without user and password. */
    char *cookie;
    char authorization[32 + OWM_BASE64_CHARS(SECRET_BYTES_MAX)];
};

static void authorise(owm_ots_bitcoin_rpc *rpc, const char *secret, size_t bytes)
{
    static const char head[] = "Authorization: Basic ";
    memcpy(rpc->authorization, head, sizeof head);
    owm_base64_encode(secret, bytes, rpc->authorization + sizeof head - 1);
}

static owm_status read_cookie(owm_ots_bitcoin_rpc *rpc, struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_status status = owm_fs_read(rpc->cookie, SECRET_BYTES_MAX, &data, &bytes, error);
    if (status != OWM_OK) return status;
    authorise(rpc, (const char *)data, strcspn((const char *)data, "\r\n"));
    explicit_bzero(data, bytes);
    free(data);
    return OWM_OK;
}

/* Take user and password out of the URL. */
static owm_status split(owm_ots_bitcoin_rpc *rpc, const char *url, struct owm_error *error)
{
    const char *host = strstr(url, "://");
    if (!host || strlen(url) >= sizeof rpc->url)
        return owm_fail(error, OWM_E_ARG, "a node's URL is http://user:password@host:port");
    host += 3;
    size_t authority = strcspn(host, "/");
    const char *at = memrchr(host, '@', authority);
    if (at && (size_t)(at - host) > SECRET_BYTES_MAX)
        return owm_fail(error, OWM_E_ARG, "user and password of the node are too long");
    if (at) authorise(rpc, host, (size_t)(at - host));
    snprintf(rpc->url, sizeof rpc->url, "%.*s%s", (int)(host - url), url, at ? at + 1 : host);
    return OWM_OK;
}

owm_status owm_ots_bitcoin_rpc_open(const char *url, const char *cookie, owm_ots_bitcoin_rpc **out,
                                    struct owm_error *error)
{
    *out = NULL;
    owm_ots_bitcoin_rpc *rpc = calloc(1, sizeof *rpc);
    if (!rpc) return owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    owm_status status = split(rpc, url, error);
    if (status == OWM_OK && cookie && !(rpc->cookie = strdup(cookie)))
        status = owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    if (status == OWM_OK) status = owm_http_client_open(&rpc->http);
    if (status == OWM_OK)
        *out = rpc;
    else
        owm_ots_bitcoin_rpc_close(rpc);
    return status;
}

void owm_ots_bitcoin_rpc_close(owm_ots_bitcoin_rpc *rpc)
{
    if (!rpc) return;
    owm_http_client_close(rpc->http);
    explicit_bzero(rpc->authorization, sizeof rpc->authorization);
    free(rpc->cookie);
    free(rpc);
}

void owm_ots_bitcoin_rpc_cancel(owm_ots_bitcoin_rpc *rpc)
{
    owm_http_client_cancel(rpc->http);
}

const char *owm_ots_bitcoin_rpc_url(const owm_ots_bitcoin_rpc *rpc)
{
    return rpc->url;
}

static owm_status status_of(int code)
{
    switch (code) {
    case OWM_OTS_BITCOIN_UNKNOWN:
    case OWM_OTS_BITCOIN_PARAMETER:
        return OWM_E_NOTFOUND;
    case OWM_OTS_BITCOIN_WARMING_UP:
        return OWM_E_STATE;
    case OWM_OTS_BITCOIN_NO_METHOD:
        return OWM_E_UNSUPPORTED;
    default:
        return OWM_E_PROTO;
    }
}

static owm_status read_failure(const char *url, const json_t *said, int *code,
                               struct owm_error *error)
{
    const char *text = json_string_value(json_object_get(said, "message"));
    json_int_t number = json_integer_value(json_object_get(said, "code"));
    *code = number < 0 && number >= INT16_MIN ? (int)number : 0;
    return owm_fail(error, status_of(*code), "the node at %s: %.200s", url,
                    text ? text : "an error without words");
}

owm_status owm_ots_bitcoin_reply_read(const char *url, const void *data, size_t bytes,
                                      json_t **result, int *code, struct owm_error *error)
{
    json_t *reply = NULL;
    int none;
    code = code ? code : &none;
    *code = 0;
    *result = NULL;
    owm_status status = owm_json_parse(data, bytes, OWM_OTS_RPC_REPLY_BYTES_MAX, &reply, NULL);
    if (status != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "what answers at %s is no Bitcoin node", url);
    const json_t *said = json_object_get(reply, "error");
    json_t *value = json_object_get(reply, "result");
    if (said && !json_is_null(said))
        status = read_failure(url, said, code, error);
    else if (!value)
        status = owm_fail(error, OWM_E_PROTO, "what answers at %s is no Bitcoin node", url);
    else
        *result = json_incref(value);
    json_decref(reply);
    return status;
}

static owm_status exchange(owm_ots_bitcoin_rpc *rpc, const char *body,
                           struct owm_http_result *reply, struct owm_error *error)
{
    owm_status status = rpc->cookie ? read_cookie(rpc, error) : OWM_OK;
    if (status != OWM_OK) return status;
    const char *const headers[] = {rpc->authorization, NULL};
    const struct owm_http_call http = {.url = rpc->url,
                                       .body = body,
                                       .body_bytes = strlen(body),
                                       .content_type = "application/json",
                                       .headers = rpc->authorization[0] ? headers : NULL,
                                       .deadline_ms = OWM_OTS_RPC_DEADLINE_MS,
                                       .reply_bytes_max = OWM_OTS_RPC_REPLY_BYTES_MAX};
    return owm_http_client_fetch(rpc->http, &http, reply, error);
}

owm_status owm_ots_bitcoin_call(owm_ots_bitcoin_rpc *rpc, const char *method, const char *params,
                                json_t **result, int *code, struct owm_error *error)
{
    char *body = NULL;
    struct owm_http_result reply;
    *result = NULL;
    if (code) *code = 0;
    if (asprintf(&body, "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}", method,
                 params)
        < 0)
        return owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    owm_status status = exchange(rpc, body, &reply, error);
    free(body);
    if (status != OWM_OK) return status;
    if (reply.status == 401 || reply.status == 403)
        status = owm_fail(error, OWM_E_PERM, "the node at %s refuses user and password", rpc->url);
    else
        status =
            owm_ots_bitcoin_reply_read(rpc->url, reply.body, reply.body_bytes, result, code, error);
    owm_http_result_deinit(&reply);
    return status;
}
