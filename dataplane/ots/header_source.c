/* header_source.c: a node, a file, or a file that follows a node. */
#include "header_source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "bitcoin_headers.h"
#include "dataplane/chain/hash.h"

#define FILE_BYTES_MAX                                                                             \
    (OWM_OTS_CHAIN_MAGIC_BYTES + (size_t)OWM_OTS_RECORD_BYTES * (OWM_OTS_HEIGHT_MAX + 1))
#define FILE_MODE       0644
#define REORGANISED_MAX 1000  /* Blocks that a node may take back at most. */
#define SAVE_BLOCKS     50000 /* While it is built, which goes on there when it was stopped. */
#define SAVE_AT_TIP     144   /* A day. */

struct owm_ots_header_source {
    struct owm_ots_header_options options;
    owm_ots_bitcoin_node *node;
    struct owm_ots_chain chain;
    bool loaded;
    struct stat file; /* As it was read. */
    uint64_t unsaved;
};

static bool given(const char *text)
{
    return text && text[0];
}

owm_status owm_ots_header_source_open(const struct owm_ots_header_options *options,
                                      owm_ots_header_source **out, struct owm_error *error)
{
    if (!given(options->bitcoin_rpc) && !given(options->headers_file))
        return owm_fail(error, OWM_E_CONFIG, "block headers need a Bitcoin node or a file");
    owm_ots_header_source *source = calloc(1, sizeof *source);
    if (!source) return owm_fail(error, OWM_E_NOMEM, "no memory for block headers");
    source->options = *options;
    owm_ots_chain_init(&source->chain, options->network);
    *out = source;
    return OWM_OK;
}

/* --- the file --------------------------------------------------------------------------------- */

owm_status owm_ots_header_source_save(owm_ots_header_source *source, struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    if (source->unsaved == 0) return OWM_OK;
    owm_status status = owm_ots_chain_write(&source->chain, &data, &bytes, error);
    if (status == OWM_OK)
        status = owm_fs_write_atomic(source->options.headers_file, data, bytes, FILE_MODE, error);
    free(data);
    if (status == OWM_OK) source->unsaved = 0;
    return status;
}

static void forget(owm_ots_header_source *source)
{
    owm_ots_chain_deinit(&source->chain);
    owm_ots_chain_init(&source->chain, source->options.network);
    source->loaded = false;
}

/* Ours while a node extends it; else somebody may have put a newer one there. */
static bool is_current(const owm_ots_header_source *source)
{
    struct stat now;
    if (!source->loaded || source->node) return source->loaded;
    return stat(source->options.headers_file, &now) == 0 && now.st_ino == source->file.st_ino
           && now.st_size == source->file.st_size
           && now.st_mtim.tv_sec == source->file.st_mtim.tv_sec
           && now.st_mtim.tv_nsec == source->file.st_mtim.tv_nsec;
}

static owm_status load(owm_ots_header_source *source, struct owm_error *error)
{
    const char *path = source->options.headers_file;
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error why = {.text = ""};
    if (is_current(source)) return OWM_OK;
    forget(source);
    if (source->node) owm_fs_sweep(path);
    memset(&source->file, 0, sizeof source->file);
    (void)stat(path, &source->file);
    owm_status status = owm_fs_read(path, FILE_BYTES_MAX, &data, &bytes, error);
    if (status == OWM_E_NOTFOUND && source->node) {
        source->loaded = true;
        return OWM_OK;
    }
    if (status != OWM_OK) return status;
    status = owm_ots_chain_read(&source->chain, data, bytes, &why);
    free(data);
    source->loaded = status == OWM_OK;
    if (status == OWM_OK) return OWM_OK;
    forget(source);
    return owm_fail(error, status, "%.200s: %.250s", path, why.text);
}

/* --- the node --------------------------------------------------------------------------------- */

/* A node that started anew has another cookie: one that fails is opened again once. */
static owm_status reach(owm_ots_header_source *source, uint64_t *tip, struct owm_error *error)
{
    const struct owm_ots_header_options *o = &source->options;
    const char *cookie = given(o->bitcoin_cookie) ? o->bitcoin_cookie : NULL;
    struct owm_ots_headers node;
    if (source->node) {
        node = owm_ots_bitcoin_source(source->node);
        if (node.tip(node.ctx, tip, error) == OWM_OK) return OWM_OK;
        owm_ots_bitcoin_close(source->node);
        source->node = NULL;
    }
    owm_status status =
        owm_ots_bitcoin_open(o->bitcoin_rpc, cookie, o->network, &source->node, error);
    if (status != OWM_OK) return status;
    node = owm_ots_bitcoin_source(source->node);
    return node.tip(node.ctx, tip, error);
}

/* Cut what the node no longer has. */
static owm_status rewind_to_fork(owm_ots_header_source *source, struct owm_error *error)
{
    struct owm_ots_chain *chain = &source->chain;
    size_t count = chain->count;
    for (; count > 0; count--) {
        uint8_t wanted[32], ours[32];
        owm_status status = owm_ots_bitcoin_hash(source->node, count - 1, wanted, error);
        if (status != OWM_OK && status != OWM_E_NOTFOUND) return status;
        owm_sha256d(chain->headers[count - 1], OWM_OTS_HEADER_BYTES, ours);
        if (status == OWM_OK && memcmp(wanted, ours, 32) == 0) break;
        if (chain->count - count == REORGANISED_MAX)
            return owm_fail(error, OWM_E_STATE,
                            "the node has other blocks than the file since %d blocks; is it still "
                            "downloading?",
                            REORGANISED_MAX);
    }
    source->unsaved += chain->count - count;
    owm_ots_chain_cut(chain, count);
    return OWM_OK;
}

static owm_status extend(owm_ots_header_source *source, uint64_t tip, uint64_t blocks_max,
                         struct owm_error *error)
{
    struct owm_ots_headers node = owm_ots_bitcoin_source(source->node);
    struct owm_ots_chain *chain = &source->chain;
    uint8_t header[OWM_OTS_HEADER_BYTES];
    owm_status status = rewind_to_fork(source, error);
    for (uint64_t i = 0; status == OWM_OK && chain->count <= tip; i++) {
        if (i == blocks_max)
            return owm_fail(error, OWM_E_AGAIN, "block headers are fetched: %zu of %llu",
                            chain->count, (unsigned long long)tip);
        status = node.header(node.ctx, chain->count, header, error);
        if (status == OWM_OK) status = owm_ots_chain_push(chain, header, error);
        if (status == OWM_OK && ++source->unsaved >= SAVE_BLOCKS)
            status = owm_ots_header_source_save(source, error);
    }
    if (status != OWM_OK || source->unsaved < SAVE_AT_TIP) return status;
    return owm_ots_header_source_save(source, error);
}

owm_status owm_ots_header_source_refresh(owm_ots_header_source *source, uint64_t blocks_max,
                                         struct owm_ots_headers *headers, struct owm_error *error)
{
    const struct owm_ots_header_options *options = &source->options;
    bool file = given(options->headers_file);
    uint64_t tip = 0;
    owm_status status = OWM_OK;
    if (given(options->bitcoin_rpc)) status = reach(source, &tip, error);
    if (status == OWM_OK && !file) {
        *headers = owm_ots_bitcoin_source(source->node);
        return OWM_OK;
    }
    if (status == OWM_OK) status = load(source, error);
    if (status == OWM_OK && source->node) status = extend(source, tip, blocks_max, error);
    if (status == OWM_OK) status = owm_ots_chain_source(&source->chain, headers, error);
    return status;
}

void owm_ots_header_source_close(owm_ots_header_source *source)
{
    if (!source) return;
    /* What is lost when this fails is fetched again. */
    (void)!owm_ots_header_source_save(source, NULL);
    owm_ots_bitcoin_close(source->node);
    owm_ots_chain_deinit(&source->chain);
    free(source);
}
