/* source.c: the compact file, made and grown block by block. */
#include "source.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "commands.h"
#include "report.h"

#define FILE_BYTES_MAX                                                                             \
    (OWM_OTS_CHAIN_MAGIC_BYTES + (size_t)OWM_OTS_RECORD_BYTES * (OWM_OTS_HEIGHT_MAX + 1))
#define REORGANISED_MAX 1000  /* Blocks that a node may take back at most. */
#define SAVE_BLOCKS     50000 /* So that a build that is stopped goes on there. */

static owm_status load(const char *path, struct owm_ots_chain *chain, bool may_be_new,
                       struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error why = {.text = ""};
    owm_status status = owm_fs_read(path, FILE_BYTES_MAX, &data, &bytes, error);
    if (status == OWM_E_NOTFOUND && may_be_new) return OWM_OK;
    if (status != OWM_OK) return status;
    status = owm_ots_chain_read(chain, data, bytes, &why);
    free(data);
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, status, "%.200s: %.250s", path, why.text);
}

static owm_status save(const char *path, const struct owm_ots_chain *chain, struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_status status = owm_ots_chain_write(chain, &data, &bytes, error);
    if (status == OWM_OK) status = owm_fs_write_atomic(path, data, bytes, 0644, error);
    free(data);
    return status;
}

/* Cut what the node no longer has. */
static owm_status rewind_to_fork(struct source *source, struct owm_error *error)
{
    struct owm_ots_chain *chain = &source->chain;
    for (int i = 0; chain->count > 0; i++) {
        uint8_t hash[32];
        owm_status status = owm_ots_bitcoin_hash(source->node, chain->count - 1, hash, error);
        if (status == OWM_OK && memcmp(hash, chain->tip, 32) == 0) return OWM_OK;
        if (status != OWM_OK && status != OWM_E_NOTFOUND) return status;
        if (i == REORGANISED_MAX)
            return owm_fail(error, OWM_E_STATE,
                            "the node has other blocks than the file since %d blocks; is it still "
                            "downloading?",
                            REORGANISED_MAX);
        owm_ots_chain_cut(chain, chain->count - 1);
    }
    return OWM_OK;
}

static void progress(uint64_t done, uint64_t total)
{
    if (isatty(2) == 1 && (done % 1000 == 0 || done == total))
        fprintf(stderr, "\rheaders: %llu of %llu%s", (unsigned long long)done,
                (unsigned long long)total, done == total ? "\n" : "");
}

static owm_status extend(const char *path, struct source *source, struct owm_error *error)
{
    struct owm_ots_headers node = owm_ots_bitcoin_source(source->node);
    uint8_t before[32], header[OWM_OTS_HEADER_BYTES];
    uint64_t tip = 0;
    memcpy(before, source->chain.tip, 32);
    owm_status status = rewind_to_fork(source, error);
    if (status == OWM_OK) status = node.tip(node.ctx, &tip, error);
    while (status == OWM_OK && source->chain.count <= tip) {
        status = node.header(node.ctx, source->chain.count, header, error);
        if (status == OWM_OK) status = owm_ots_chain_push(&source->chain, header, error);
        if (status == OWM_OK && source->chain.count % SAVE_BLOCKS == 0)
            status = save(path, &source->chain, error);
        progress(source->chain.count - 1, tip);
    }
    if (status != OWM_OK || memcmp(before, source->chain.tip, 32) == 0) return status;
    return save(path, &source->chain, error);
}

owm_status source_open(const struct options *options, struct source *source,
                       struct owm_error *error)
{
    *source = (struct source){.given = options->headers || options->bitcoin_rpc};
    owm_ots_chain_init(&source->chain, options->network);
    owm_status status = OWM_OK;
    if (options->bitcoin_rpc)
        status = owm_ots_bitcoin_open(options->bitcoin_rpc, options->bitcoin_cookie,
                                      options->network, &source->node, error);
    if (status == OWM_OK && source->node) source->headers = owm_ots_bitcoin_source(source->node);
    if (status == OWM_OK && options->headers) {
        status = load(options->headers, &source->chain, source->node != NULL, error);
        if (status == OWM_OK && source->node) status = extend(options->headers, source, error);
        if (status == OWM_OK)
            status = owm_ots_chain_source(&source->chain, &source->headers, error);
    }
    if (status != OWM_OK) source_close(source);
    return status;
}

void source_close(struct source *source)
{
    owm_ots_bitcoin_close(source->node);
    owm_ots_chain_deinit(&source->chain);
    source->node = NULL;
}

int command_headers(const struct options *options)
{
    struct source source;
    struct owm_error error = {.text = ""};
    if (source_open(options, &source, &error) != OWM_OK)
        return report_failure(options, options->headers, &error);
    char sentence[64];
    snprintf(sentence, sizeof sentence, "block headers 0 to %zu", source.chain.count - 1);
    report(options, options->headers, "written", sentence,
           json_pack("{s:I}", "height", (json_int_t)(source.chain.count - 1)));
    source_close(&source);
    return EXIT_DONE;
}
