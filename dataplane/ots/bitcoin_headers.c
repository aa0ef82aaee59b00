/* bitcoin_headers.c: three calls of a node: how high, which hash, which header. */
#include "bitcoin_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/json.h"
#include "dataplane/chain/hash.h"

#define REPLY_BYTES_MAX  65536
#define SECRET_BYTES_MAX 512
#define DEADLINE_MS      10000

struct owm_ots_bitcoin_node {
    owm_http_client *http;
    enum owm_network network;
    char url[1024]; /* Without user and password. */
    char authorization[32 + OWM_BASE64_CHARS(SECRET_BYTES_MAX)];
};

static void authorise(owm_ots_bitcoin_node *node, const char *secret, size_t bytes)
{
    static const char head[] = "Authorization: Basic ";
    memcpy(node->authorization, head, sizeof head);
    owm_base64_encode(secret, bytes, node->authorization + sizeof head - 1);
}

static owm_status read_cookie(owm_ots_bitcoin_node *node, const char *path, struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_status status = owm_fs_read(path, SECRET_BYTES_MAX, &data, &bytes, error);
    if (status != OWM_OK) return status;
    authorise(node, (const char *)data, strcspn((const char *)data, "\r\n"));
    explicit_bzero(data, bytes);
    free(data);
    return OWM_OK;
}

/* Take user and password out of the URL. */
static owm_status split(owm_ots_bitcoin_node *node, const char *url, struct owm_error *error)
{
    const char *host = strstr(url, "://");
    if (!host || strlen(url) >= sizeof node->url)
        return owm_fail(error, OWM_E_ARG, "a node's URL is http://user:password@host:port");
    host += 3;
    size_t authority = strcspn(host, "/");
    const char *at = memrchr(host, '@', authority);
    if (at && (size_t)(at - host) > SECRET_BYTES_MAX)
        return owm_fail(error, OWM_E_ARG, "user and password of the node are too long");
    if (at) authorise(node, host, (size_t)(at - host));
    snprintf(node->url, sizeof node->url, "%.*s%s", (int)(host - url), url, at ? at + 1 : host);
    return OWM_OK;
}

static owm_status read_reply(const owm_ots_bitcoin_node *node, const struct owm_http_result *http,
                             json_t **result, struct owm_error *error)
{
    json_t *reply = NULL;
    if (http->status == 401 || http->status == 403)
        return owm_fail(error, OWM_E_PERM, "the node at %s refuses user and password", node->url);
    owm_status status =
        owm_json_parse((const char *)http->body, http->body_bytes, REPLY_BYTES_MAX, &reply, NULL);
    if (status != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "what answers at %s is no Bitcoin node", node->url);
    const json_t *said = json_object_get(reply, "error");
    *result = json_incref(json_object_get(reply, "result"));
    if (said && !json_is_null(said)) {
        const char *text = json_string_value(json_object_get(said, "message"));
        bool absent = json_integer_value(json_object_get(said, "code")) == -8;
        status = owm_fail(error, absent ? OWM_E_NOTFOUND : OWM_E_PROTO, "the node at %s: %.200s",
                          node->url, text ? text : "an error without words");
    } else if (!*result) {
        status = owm_fail(error, OWM_E_PROTO, "what answers at %s is no Bitcoin node", node->url);
    }
    if (status != OWM_OK) json_decref(*result);
    json_decref(reply);
    return status;
}

/* result: json_decref it after OWM_OK. */
static owm_status call(owm_ots_bitcoin_node *node, const char *method, const char *params,
                       json_t **result, struct owm_error *error)
{
    char body[256];
    const char *const headers[] = {node->authorization, NULL};
    snprintf(body, sizeof body, "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
             method, params);
    const struct owm_http_call http = {.url = node->url,
                                       .body = body,
                                       .body_bytes = strlen(body),
                                       .content_type = "application/json",
                                       .headers = node->authorization[0] ? headers : NULL,
                                       .deadline_ms = DEADLINE_MS,
                                       .reply_bytes_max = REPLY_BYTES_MAX};
    struct owm_http_result reply;
    owm_status status = owm_http_client_fetch(node->http, &http, &reply, error);
    if (status != OWM_OK) return status;
    status = read_reply(node, &reply, result, error);
    owm_http_result_deinit(&reply);
    return status;
}

owm_status owm_ots_bitcoin_hash(owm_ots_bitcoin_node *node, uint64_t height,
                                uint8_t hash[static 32], struct owm_error *error)
{
    char params[32];
    json_t *result = NULL;
    snprintf(params, sizeof params, "[%llu]", (unsigned long long)height);
    owm_status status = call(node, "getblockhash", params, &result, error);
    if (status != OWM_OK) return status;
    const char *text = json_string_value(result);
    if (!text || owm_hash_parse(text, hash) != OWM_OK)
        status = owm_fail(error, OWM_E_PROTO, "the node at %s names no block hash", node->url);
    json_decref(result);
    return status;
}

static owm_status node_tip(void *ctx, uint64_t *height, struct owm_error *error)
{
    owm_ots_bitcoin_node *node = ctx;
    json_t *result = NULL;
    owm_status status = call(node, "getblockcount", "[]", &result, error);
    if (status != OWM_OK) return status;
    json_int_t count = json_is_integer(result) ? json_integer_value(result) : -1;
    json_decref(result);
    if (count < 0 || count > OWM_OTS_HEIGHT_MAX)
        return owm_fail(error, OWM_E_PROTO, "the node at %s says no height", node->url);
    *height = (uint64_t)count;
    return OWM_OK;
}

static owm_status check_header(const owm_ots_bitcoin_node *node, const uint8_t hash[32],
                               const uint8_t *header, struct owm_error *error)
{
    uint8_t real[32];
    struct owm_error why = {.text = "its hash is another"};
    owm_sha256d(header, OWM_OTS_HEADER_BYTES, real);
    if (memcmp(real, hash, 32) == 0 && owm_ots_header_work(node->network, header, &why) == OWM_OK)
        return OWM_OK;
    return owm_fail(error, OWM_E_PROTO, "the node at %s gives a wrong header: %.200s", node->url,
                    why.text);
}

static owm_status node_header(void *ctx, uint64_t height,
                              uint8_t header[static OWM_OTS_HEADER_BYTES], struct owm_error *error)
{
    owm_ots_bitcoin_node *node = ctx;
    uint8_t hash[32];
    char hex[OWM_HASH_TEXT_BYTES], params[128];
    json_t *result = NULL;
    owm_status status = owm_ots_bitcoin_hash(node, height, hash, error);
    if (status != OWM_OK) return status;
    owm_hash_text(hash, hex);
    snprintf(params, sizeof params, "[\"%s\",false]", hex);
    status = call(node, "getblockheader", params, &result, error);
    if (status != OWM_OK) return status;
    const char *text = json_string_value(result);
    if (!text || owm_hex_decode(text, header, OWM_OTS_HEADER_BYTES) != OWM_OK)
        status = owm_fail(error, OWM_E_PROTO, "the node at %s gives no header", node->url);
    else
        status = check_header(node, hash, header, error);
    json_decref(result);
    return status;
}

static owm_status check_network(owm_ots_bitcoin_node *node, struct owm_error *error)
{
    uint8_t wanted[32], first[32];
    owm_status status = owm_ots_bitcoin_hash(node, 0, first, error);
    if (status != OWM_OK) return status;
    owm_ots_genesis(node->network, wanted);
    if (memcmp(wanted, first, 32) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_CONFIG, "the node at %s is of another network; see --network",
                    node->url);
}

owm_status owm_ots_bitcoin_open(const char *url, const char *cookie, enum owm_network network,
                                owm_ots_bitcoin_node **out, struct owm_error *error)
{
    *out = NULL;
    owm_ots_bitcoin_node *node = calloc(1, sizeof *node);
    if (!node) return owm_fail(error, OWM_E_NOMEM, "no memory to ask a node");
    node->network = network;
    owm_status status = split(node, url, error);
    if (status == OWM_OK && cookie) status = read_cookie(node, cookie, error);
    if (status == OWM_OK) status = owm_http_client_open(&node->http);
    if (status == OWM_OK) status = check_network(node, error);
    if (status == OWM_OK)
        *out = node;
    else
        owm_ots_bitcoin_close(node);
    return status;
}

void owm_ots_bitcoin_close(owm_ots_bitcoin_node *node)
{
    if (!node) return;
    owm_http_client_close(node->http);
    explicit_bzero(node->authorization, sizeof node->authorization);
    free(node);
}

struct owm_ots_headers owm_ots_bitcoin_source(owm_ots_bitcoin_node *node)
{
    return (struct owm_ots_headers){
        .ctx = node,
        .network = node->network,
        .tip = node_tip,
        .header = node_header,
    };
}
