/* headers.c: a Bitcoin node or a file, opened when it is first asked. */
#include "node/headers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "dataplane/ots/bitcoin_headers.h"

#define FILE_BYTES_MAX                                                                             \
    (OWM_OTS_CHAIN_MAGIC_BYTES + (size_t)OWM_OTS_RECORD_BYTES * (OWM_OTS_HEIGHT_MAX + 1))

struct node_headers {
    const struct owm_node_config *config;
    struct owm_ots_headers inner; /* While open. */
    bool open;
    owm_ots_bitcoin_node *bitcoin;
    struct owm_ots_chain chain;
    struct stat file; /* As it was when it was read. */
};

static void forget(node_headers *h)
{
    owm_ots_bitcoin_close(h->bitcoin);
    h->bitcoin = NULL;
    owm_ots_chain_deinit(&h->chain);
    h->open = false;
}

static enum owm_network network_of(const node_headers *h)
{
    return (enum owm_network)h->config->bitcoin_network;
}

static owm_status open_bitcoin(node_headers *h, struct owm_error *error)
{
    const char *cookie = *h->config->bitcoin_cookie ? h->config->bitcoin_cookie : NULL;
    owm_status status =
        owm_ots_bitcoin_open(h->config->bitcoin_rpc, cookie, network_of(h), &h->bitcoin, error);
    if (status == OWM_OK) h->inner = owm_ots_bitcoin_source(h->bitcoin);
    return status;
}

static owm_status open_file(node_headers *h, struct owm_error *error)
{
    const char *path = h->config->headers_file;
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error why = {""};
    if (stat(path, &h->file) != 0)
        return owm_fail(error, OWM_E_NOTFOUND, "model.headers_file: %.200s: %s", path,
                        strerror(errno));
    owm_ots_chain_init(&h->chain, network_of(h));
    owm_status status = owm_fs_read(path, FILE_BYTES_MAX, &data, &bytes, &why);
    if (status == OWM_OK) status = owm_ots_chain_read(&h->chain, data, bytes, &why);
    free(data);
    if (status == OWM_OK) status = owm_ots_chain_source(&h->chain, &h->inner, &why);
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, status, "model.headers_file: %.200s: %.250s", path, why.text);
}

/** changed: since it was read; what cannot be seen any more has not. */
static bool changed(const node_headers *h)
{
    struct stat now;
    if (!*h->config->headers_file || stat(h->config->headers_file, &now) != 0) return false;
    return now.st_dev != h->file.st_dev || now.st_ino != h->file.st_ino
           || now.st_size != h->file.st_size || now.st_mtim.tv_sec != h->file.st_mtim.tv_sec
           || now.st_mtim.tv_nsec != h->file.st_mtim.tv_nsec;
}

/** told: a source that failed is opened anew next time, with the cookie of then. */
static owm_status told(node_headers *h, owm_status status)
{
    if (status == OWM_OK || status == OWM_E_NOTFOUND) return status;
    forget(h);
    return status == OWM_E_LIMIT ? OWM_E_PROTO : status;
}

static owm_status tip(void *ctx, uint64_t *height, struct owm_error *error)
{
    node_headers *h = ctx;
    owm_status status = OWM_OK;
    if (h->open && changed(h)) forget(h);
    if (!h->open) {
        status = *h->config->bitcoin_rpc ? open_bitcoin(h, error) : open_file(h, error);
        h->open = status == OWM_OK;
        if (status != OWM_OK) forget(h);
    }
    if (status == OWM_OK) status = h->inner.tip(h->inner.ctx, height, error);
    return told(h, status);
}

static owm_status header(void *ctx, uint64_t height, uint8_t data[static OWM_OTS_HEADER_BYTES],
                         struct owm_error *error)
{
    node_headers *h = ctx;
    if (!h->open) return owm_fail(error, OWM_E_STATE, "the block headers are not open");
    return told(h, h->inner.header(h->inner.ctx, height, data, error));
}

owm_status node_headers_open(const struct owm_node_config *config, node_headers **headers,
                             struct owm_error *error)
{
    *headers = NULL;
    if (!*config->bitcoin_rpc && !*config->headers_file) return OWM_OK;
    *headers = calloc(1, sizeof **headers);
    if (*headers == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    (*headers)->config = config;
    owm_ots_chain_init(&(*headers)->chain, network_of(*headers));
    return OWM_OK;
}

void node_headers_close(node_headers *headers)
{
    if (headers == NULL) return;
    forget(headers);
    free(headers);
}

struct owm_ots_headers node_headers_source(node_headers *headers)
{
    return (struct owm_ots_headers){
        .ctx = headers, .network = network_of(headers), .tip = tip, .header = header};
}
