/* bitcoin_rpc.c: JSON-RPC over HTTP with a cookie file or a password. */
#include "bitcoin_rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"

#define AUTHORIZATION_BYTES (32 + OWM_BASE64_CHARS(OWM_BITCOIN_COOKIE_BYTES_MAX))

struct owm_bitcoin_rpc {
    const struct owm_bitcoin_node *node;
    char name[OWM_BITCOIN_NAME_BYTES];
    owm_http_client *http;
    uint64_t calls;
};

static bool given(const char *text)
{
    return text && *text;
}

void owm_bitcoin_rpc_name(const char *url, char name[static OWM_BITCOIN_NAME_BYTES])
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t host_bytes = strcspn(host, "/?#");
    for (size_t i = host_bytes; i > 0; i--) {
        if (host[i - 1] != '@') continue;
        host += i;
        host_bytes -= i;
        break;
    }
    snprintf(name, OWM_BITCOIN_NAME_BYTES, "%s://%.*s",
             strncmp(url, "https://", 8) == 0 ? "https" : "http", (int)host_bytes, host);
}

owm_status owm_bitcoin_rpc_open(const struct owm_bitcoin_node *node, struct owm_bitcoin_rpc **out)
{
    struct owm_bitcoin_rpc *rpc = calloc(1, sizeof *rpc);
    *out = NULL;
    if (!rpc) return OWM_E_NOMEM;
    rpc->node = node;
    owm_bitcoin_rpc_name(node->url, rpc->name);
    owm_status status = owm_http_client_open(&rpc->http);
    if (status != OWM_OK) {
        free(rpc);
        return status;
    }
    *out = rpc;
    return OWM_OK;
}

void owm_bitcoin_rpc_close(struct owm_bitcoin_rpc *rpc)
{
    if (!rpc) return;
    owm_http_client_close(rpc->http);
    free(rpc);
}

void owm_bitcoin_rpc_cancel(struct owm_bitcoin_rpc *rpc)
{
    owm_http_client_cancel(rpc->http);
}

/* --- credentials ------------------------------------------------------------------------------ */

/* "user:password", from the cookie file where there is one. */
static owm_status read_secret(const struct owm_bitcoin_rpc *rpc,
                              char secret[static OWM_BITCOIN_COOKIE_BYTES_MAX],
                              struct owm_error *error)
{
    const struct owm_bitcoin_node *node = rpc->node;
    if (!given(node->cookie_path)) {
        int length = snprintf(secret, OWM_BITCOIN_COOKIE_BYTES_MAX, "%s:%s",
                              node->user ? node->user : "", node->password ? node->password : "");
        if (length < OWM_BITCOIN_COOKIE_BYTES_MAX) return OWM_OK;
        return owm_fail(error, OWM_E_LIMIT, "user and password for %s are too long", rpc->name);
    }
    struct owm_error cause = {""};
    uint8_t *data = NULL;
    size_t bytes = 0;
    if (owm_fs_read(node->cookie_path, OWM_BITCOIN_COOKIE_BYTES_MAX - 1, &data, &bytes, &cause)
        != OWM_OK)
        return owm_fail(error, OWM_E_PERM,
                        "%s; the node at %s writes its cookie file when it starts: is it running, "
                        "and may this user read the file?",
                        cause.text, rpc->name);
    data[strcspn((char *)data, "\r\n")] = 0;
    snprintf(secret, OWM_BITCOIN_COOKIE_BYTES_MAX, "%s", (char *)data);
    explicit_bzero(data, bytes);
    free(data);
    return OWM_OK;
}

static owm_status refused(const struct owm_bitcoin_rpc *rpc, unsigned http, struct owm_error *error)
{
    if (http == 403)
        return owm_fail(error, OWM_E_PERM,
                        "the node at %s does not allow calls from this address; add it with "
                        "rpcallowip in bitcoin.conf",
                        rpc->name);
    if (given(rpc->node->cookie_path))
        return owm_fail(error, OWM_E_PERM,
                        "the node at %s refuses the cookie in %s; is it the cookie file of this "
                        "node and network?",
                        rpc->name, rpc->node->cookie_path);
    return owm_fail(error, OWM_E_PERM,
                    "the node at %s refuses user and password; set those of rpcauth or rpcuser and "
                    "rpcpassword in bitcoin.conf, or name its cookie file",
                    rpc->name);
}

/* --- one call --------------------------------------------------------------------------------- */

static owm_status post(struct owm_bitcoin_rpc *rpc, const struct owm_bitcoin_call *call,
                       const char *body, const char *secret, struct owm_http_result *result,
                       struct owm_error *error)
{
    char authorization[AUTHORIZATION_BYTES] = "Authorization: Basic ";
    owm_base64_encode(secret, strlen(secret), authorization + strlen(authorization));
    const char *const headers[] = {authorization, NULL};
    const struct owm_http_call http = {.url = rpc->node->url,
                                       .body = body,
                                       .body_bytes = strlen(body),
                                       .content_type = "application/json",
                                       .headers = *secret == ':' && !secret[1] ? NULL : headers,
                                       .deadline_ms = call->deadline_ms,
                                       .finish_ms = call->finish_ms,
                                       .reply_bytes_max = OWM_TEMPLATE_JSON_BYTES_MAX};
    owm_status status = owm_http_client_fetch(rpc->http, &http, result, error);
    explicit_bzero(authorization, sizeof authorization);
    return status;
}

/* With the cookie of now; once more if the node has written another one in the meantime. */
static owm_status post_as_allowed(struct owm_bitcoin_rpc *rpc, const struct owm_bitcoin_call *call,
                                  const char *body, struct owm_http_result *result,
                                  struct owm_error *error)
{
    char secret[OWM_BITCOIN_COOKIE_BYTES_MAX], newer[OWM_BITCOIN_COOKIE_BYTES_MAX] = "";
    owm_status status = read_secret(rpc, secret, error);
    if (status != OWM_OK) return status;
    status = post(rpc, call, body, secret, result, error);
    if (status == OWM_OK && result->status == 401 && read_secret(rpc, newer, error) == OWM_OK
        && strcmp(secret, newer) != 0) {
        owm_http_result_deinit(result);
        status = post(rpc, call, body, newer, result, error);
    }
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(newer, sizeof newer);
    return status;
}

static owm_status explain(const struct owm_bitcoin_rpc *rpc, const char *method,
                          const struct owm_bitcoin_reply *reply, struct owm_error *error)
{
    const char *said = reply->message;
    switch (reply->code) {
    case OWM_BITCOIN_WARMING_UP:
        return owm_fail(error, OWM_E_STATE, "the node at %s is still starting (%s); wait for it",
                        rpc->name, said);
    case OWM_BITCOIN_DOWNLOADING:
        return owm_fail(error, OWM_E_STATE,
                        "the node at %s is still downloading blocks (%s); wait until it has all",
                        rpc->name, said);
    case OWM_BITCOIN_NO_PEERS:
        return owm_fail(error, OWM_E_STATE,
                        "the node at %s has no peers (%s); check its network connection", rpc->name,
                        said);
    case OWM_BITCOIN_NO_SUCH_BLOCK:
        return owm_fail(error, OWM_E_NOTFOUND, "the node at %s: %s: %s", rpc->name, method, said);
    default:
        break;
    }
    bool unknown = reply->code == OWM_BITCOIN_UNKNOWN_METHOD
                   || (reply->code == OWM_BITCOIN_MISC && strstr(said, "unimplemented"));
    return owm_fail(error, unknown ? OWM_E_UNSUPPORTED : OWM_E_IO,
                    "the node at %s: %s failed: %s (%" PRId64 ")", rpc->name, method, said,
                    reply->code);
}

static owm_status read_answer(const struct owm_bitcoin_rpc *rpc, const char *method,
                              struct owm_bitcoin_answer *answer, struct owm_error *error)
{
    const struct owm_http_result *http = &answer->http;
    struct owm_error cause = {""};
    if (http->status == 401 || http->status == 403) return refused(rpc, http->status, error);
    if (http->status == 503)
        return owm_fail(error, OWM_E_STATE,
                        "the node at %s is too busy for another call (HTTP 503); raise rpcthreads "
                        "and rpcworkqueue in bitcoin.conf",
                        rpc->name);
    if (owm_bitcoin_reply_read((const char *)http->body, http->body_bytes, &answer->reply, &cause)
        != OWM_OK)
        return owm_fail(error, OWM_E_PROTO,
                        "what answers at %s is no Bitcoin node: %s: HTTP status %u, %s", rpc->name,
                        method, http->status, cause.text);
    return answer->reply.failed ? explain(rpc, method, &answer->reply, error) : OWM_OK;
}

owm_status owm_bitcoin_rpc_call(struct owm_bitcoin_rpc *rpc, const struct owm_bitcoin_call *call,
                                struct owm_bitcoin_answer *answer, struct owm_error *error)
{
    char *body = NULL;
    *answer = (struct owm_bitcoin_answer){0};
    if (asprintf(&body, "{\"jsonrpc\":\"1.0\",\"id\":%" PRIu64 ",\"method\":\"%s\",\"params\":%s}",
                 ++rpc->calls, call->method, call->params)
        < 0)
        return owm_fail(error, OWM_E_NOMEM, "no memory for %s", call->method);
    struct owm_error cause = {""};
    owm_status status = post_as_allowed(rpc, call, body, &answer->http, &cause);
    if (status == OWM_OK)
        status = read_answer(rpc, call->method, answer, error);
    else if (status == OWM_E_PERM)
        owm_fail(error, status, "%s", cause.text);
    else
        owm_fail(error, status,
                 "no answer from the node at %s: %s; is it running with server=1, and is the URL "
                 "right?",
                 rpc->name, cause.text);
    free(body);
    if (status == OWM_OK) return OWM_OK;
    owm_http_result_deinit(&answer->http);
    answer->reply.result = NULL;
    answer->reply.result_bytes = 0;
    return status;
}

void owm_bitcoin_answer_deinit(struct owm_bitcoin_answer *answer)
{
    owm_http_result_deinit(&answer->http);
}
