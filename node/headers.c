/* headers.c: a source of block headers that is brought up to date when it is asked for its tip. */
#include "node/headers.h"

#include <stdlib.h>

#include "dataplane/ots/header_source.h"

#define FETCHED_MAX 20000 /* Headers in one go, where a file follows a Bitcoin node. */

struct node_headers {
    owm_ots_header_source *source;
    enum owm_network network;
    struct owm_ots_headers now; /* Since the last tip that was told. */
};

/** told: a limit that the source met is no limit of the proof. */
static owm_status told(owm_status status)
{
    return status == OWM_E_LIMIT ? OWM_E_PROTO : status;
}

static owm_status tip(void *ctx, uint64_t *height, struct owm_error *error)
{
    node_headers *h = ctx;
    owm_status status = owm_ots_header_source_refresh(h->source, FETCHED_MAX, &h->now, error);
    if (status == OWM_OK) status = h->now.tip(h->now.ctx, height, error);
    return told(status);
}

static owm_status header(void *ctx, uint64_t height, uint8_t data[static OWM_OTS_HEADER_BYTES],
                         struct owm_error *error)
{
    const node_headers *h = ctx;
    return told(h->now.header(h->now.ctx, height, data, error));
}

owm_status node_headers_open(const struct owm_node_config *config, node_headers **headers,
                             struct owm_error *error)
{
    const struct owm_ots_header_options options = {
        .bitcoin_rpc = config->bitcoin_rpc,
        .bitcoin_cookie = config->bitcoin_cookie,
        .headers_file = config->headers_file,
        .network = (enum owm_network)config->bitcoin_network,
    };
    *headers = NULL;
    if (!*config->bitcoin_rpc && !*config->headers_file) return OWM_OK;
    node_headers *h = calloc(1, sizeof *h);
    if (h == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    h->network = options.network;
    owm_status status = owm_ots_header_source_open(&options, &h->source, error);
    if (status == OWM_OK)
        *headers = h;
    else
        free(h);
    return status;
}

void node_headers_close(node_headers *headers)
{
    if (headers == NULL) return;
    owm_ots_header_source_close(headers->source);
    free(headers);
}

struct owm_ots_headers node_headers_source(node_headers *headers)
{
    return (struct owm_ots_headers){
        .ctx = headers, .network = headers->network, .tip = tip, .header = header};
}
