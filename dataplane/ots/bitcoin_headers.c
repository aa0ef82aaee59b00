/* bitcoin_headers.c: three calls of a node: how high, which hash, which header. */
#include "bitcoin_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/hash.h"

struct owm_ots_bitcoin_node {
    owm_ots_bitcoin_rpc *rpc;
    enum owm_network network;
    const char *url; /* Without user and password. */
};

static owm_status call(owm_ots_bitcoin_node *node, const char *method, const char *params,
                       json_t **result, struct owm_error *error)
{
    return owm_ots_bitcoin_call(node->rpc, method, params, result, NULL, error);
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
    owm_status status = owm_ots_bitcoin_rpc_open(url, cookie, &node->rpc, error);
    if (status == OWM_OK) {
        node->url = owm_ots_bitcoin_rpc_url(node->rpc);
        status = check_network(node, error);
    }
    if (status == OWM_OK)
        *out = node;
    else
        owm_ots_bitcoin_close(node);
    return status;
}

void owm_ots_bitcoin_close(owm_ots_bitcoin_node *node)
{
    if (!node) return;
    owm_ots_bitcoin_rpc_close(node->rpc);
    free(node);
}

owm_ots_bitcoin_rpc *owm_ots_bitcoin_rpc_of(owm_ots_bitcoin_node *node)
{
    return node->rpc;
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
