/* rpc.c: who calls, what is called, and the envelope around its answer (JSON-RPC 1.0 as Bitcoin
 * Core speaks it: an error has an HTTP status of its own).
 */
#include "rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "rpc_internal.h"

#define REAL_DIGITS 16 /* As Bitcoin Core: amounts look as people write them. */

bool rpc_expect(struct rpc *rpc, const char *user, const char *password)
{
    char pair[RPC_SECRET_MAX], text[OWM_BASE64_CHARS(RPC_SECRET_MAX) + 1];
    int bytes = snprintf(pair, sizeof pair, "%s:%s", user, password);
    if (bytes < 0 || (size_t)bytes >= sizeof pair) return false;
    owm_base64_encode(pair, (size_t)bytes, text);
    snprintf(rpc->authorization, sizeof rpc->authorization, "Basic %s", text);
    return true;
}

static bool may_call(const struct rpc *rpc, const struct owm_http_request *request)
{
    size_t bytes = strlen(rpc->authorization);
    return strlen(request->authorization) == bytes
           && owm_bytes_equal(request->authorization, rpc->authorization, bytes);
}

void rpc_fail(struct rpc_reply *reply, enum rpc_code code, const char *message)
{
    reply->code = code;
    reply->message = message;
}

static const struct rpc_method *find_method(const char *name)
{
    static const struct rpc_method *const lists[] = {rpc_mining, rpc_blocks, rpc_transactions,
                                                     rpc_wallet};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const struct rpc_method *method = lists[i]; method->name; method++)
            if (strcmp(method->name, name) == 0) return method;
    return NULL;
}

static void call(struct rpc *rpc, const json_t *request, struct rpc_reply *reply)
{
    const char *name = json_string_value(json_object_get(request, "method"));
    json_t *none = json_array(), *params = json_object_get(request, "params");
    if (!params || json_is_null(params)) params = none;
    const struct rpc_method *method = name ? find_method(name) : NULL;
    if (!name)
        rpc_fail(reply, RPC_INVALID_REQUEST, "Method must be a string; one request, not a batch");
    else if (!json_is_array(params))
        rpc_fail(reply, RPC_INVALID_REQUEST, "Params must be an array");
    else if (!method)
        rpc_fail(reply, RPC_NO_METHOD, "Method not found");
    else
        method->call(rpc, params, reply);
    json_decref(none);
}

static unsigned http_status(enum rpc_code code)
{
    if (code == RPC_OK) return 200;
    return code == RPC_INVALID_REQUEST ? 400 : code == RPC_NO_METHOD ? 404 : 500;
}

static void send_reply(owm_http_response *response, const json_t *id, struct rpc_reply *reply)
{
    json_t *result = reply->result ? reply->result : json_null(), *error = json_null();
    if (reply->code)
        error = json_pack("{s:i, s:s}", "code", (int)reply->code, "message", reply->message);
    json_t *all = json_pack("{s:o, s:o, s:O?}", "result", result, "error", error, "id", id);
    char *text = all ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS)) : NULL;
    if (text)
        owm_http_reply_text(response, http_status(reply->code), "application/json", text);
    else
        owm_http_reply_text(response, 500, NULL, "out of memory\n");
    free(text);
    json_decref(all);
}

void rpc_handle(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    struct rpc *rpc = ctx;
    struct rpc_reply reply = {0};
    json_t *root = NULL;
    if (!may_call(rpc, request)) {
        owm_http_reply_header(response, "www-authenticate:", "Basic realm=\"jsonrpc\"");
        owm_http_reply_text(response, 401, NULL, "the user or the password is wrong\n");
        return;
    }
    if (owm_json_parse((const char *)request->body, request->body_bytes, RPC_BODY_BYTES_MAX, &root,
                       NULL)
        != OWM_OK)
        rpc_fail(&reply, RPC_PARSE, "Parse error");
    else
        call(rpc, root, &reply);
    if (reply.retry_ms)
        owm_http_retry(response, reply.retry_ms);
    else
        send_reply(response, json_object_get(root, "id"), &reply);
    json_decref(root);
}
