/* node_double.c: getblockcount, getblockhash and getblockheader in its short form. */
#include "node_double.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/hash.h"
#include "regtest_chain.h"

static json_t *hash_at(const struct owm_ots_chain *chain, json_int_t height)
{
    uint8_t hash[32];
    char text[OWM_HASH_TEXT_BYTES];
    if (height < 0 || (size_t)height >= chain->count) return NULL;
    owm_sha256d(chain->headers[height], OWM_OTS_HEADER_BYTES, hash);
    owm_hash_text(hash, text);
    return json_string(text);
}

static json_t *header_of(const struct owm_ots_chain *chain, const char *wanted)
{
    for (size_t i = 0; i < chain->count; i++) {
        json_t *hash = hash_at(chain, (json_int_t)i);
        bool same = strcmp(json_string_value(hash), wanted) == 0;
        json_decref(hash);
        char hex[2 * OWM_OTS_HEADER_BYTES + 1];
        owm_hex_encode(chain->headers[i], OWM_OTS_HEADER_BYTES, hex);
        if (same) return json_string(hex);
    }
    return NULL;
}

static json_t *result_of(const struct node_double *node, const json_t *call,
                         struct node_failure *failure)
{
    const char *method = json_string_value(json_object_get(call, "method"));
    const json_t *params = json_object_get(call, "params"), *first = json_array_get(params, 0);
    json_t *more = node->more ? node->more(node->more_ctx, method, params, failure) : NULL;
    if (more || failure->code) return more;
    *failure = (struct node_failure){-8, "Block height out of range"};
    if (strcmp(method, "getblockcount") == 0)
        return json_integer((json_int_t)node->chain.count - 1);
    if (strcmp(method, "getblockhash") == 0)
        return hash_at(&node->chain, json_integer_value(first));
    return header_of(&node->chain, json_string_value(first));
}

static void handle(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    struct node_double *node = ctx;
    if (strcmp(request->authorization, "Basic cnBjOnNlY3JldA==") != 0) {
        owm_http_reply_text(response, 401, "text/plain", "");
        return;
    }
    json_t *call = json_loadb((const char *)request->body, request->body_bytes, 0, NULL);
    pthread_mutex_lock(&node->lock);
    struct node_failure failure = {0};
    json_t *result = result_of(node, call, &failure);
    pthread_mutex_unlock(&node->lock);
    json_t *reply = result ? json_pack("{s:o, s:n}", "result", result, "error")
                           : json_pack("{s:n, s:{s:i, s:s}}", "result", "error", "code",
                                       failure.code, "message", failure.message);
    char *text = json_dumps(reply, 0);
    owm_http_reply_text(response, result ? 200 : 500, "application/json", text);
    free(text);
    json_decref(reply);
    json_decref(call);
}

void node_open(struct node_double *node)
{
    *node = (struct node_double){.route = {"POST", "/", handle, node}};
    pthread_mutex_init(&node->lock, NULL);
    owm_ots_chain_init(&node->chain, OWM_REGTEST);
    const struct owm_http_server_options options = {.routes = &node->route, .route_count = 1};
    owm_status status = owm_http_server_open(&options, &node->server, NULL);
    OWM_ASSERT(status == OWM_OK);
    unsigned port = owm_http_server_port(node->server);
    snprintf(node->url, sizeof node->url, "http://127.0.0.1:%u/", port);
    snprintf(node->url_with_password, sizeof node->url_with_password,
             "http://rpc:secret@127.0.0.1:%u/", port);
}

void node_close(struct node_double *node)
{
    owm_http_server_close(node->server);
    owm_ots_chain_deinit(&node->chain);
    pthread_mutex_destroy(&node->lock);
}

void node_mine(struct node_double *node, size_t blocks, uint64_t height, const uint8_t *root)
{
    pthread_mutex_lock(&node->lock);
    regtest_mine(&node->chain, blocks, height, root);
    pthread_mutex_unlock(&node->lock);
}

void node_cut(struct node_double *node, size_t count)
{
    pthread_mutex_lock(&node->lock);
    owm_ots_chain_cut(&node->chain, count);
    pthread_mutex_unlock(&node->lock);
}
