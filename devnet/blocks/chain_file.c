/* chain_file.c: the file of blocks: opened and locked, read again, begun, appended to.
 *
 * A record reaches the file in one write and is not synced: what this process accepted survives its
 * death, and a power cut costs the newest blocks, which a development network can mine again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "chain_internal.h"
#include "dataplane/chain/target.h"
#include "premine.h"

#define RECORD_HEAD_BYTES 8
#define SLOTS             (1u << 21)

_Static_assert(SLOTS >= 2 * CHAIN_BLOCKS_MAX, "the index is at most half full");

static const uint8_t magic[4] = {0xfa, 0xbf, 0xb5, 0xda};

owm_status chain_append(struct chain *chain, const struct chain_node *node, const uint8_t *data)
{
    uint8_t head[RECORD_HEAD_BYTES];
    struct owm_writer w;
    const uint64_t bytes = RECORD_HEAD_BYTES + (uint64_t)node->bytes;
    owm_writer_init(&w, head, sizeof head);
    owm_write_bytes(&w, magic, sizeof magic);
    owm_write_u32_le(&w, node->bytes);
    const struct iovec part[] = {{head, sizeof head}, {(void *)data, node->bytes}};
    if (!chain->replaying
        && pwritev(chain->fd, part, 2, (off_t)chain->file_bytes) != (ssize_t)bytes) {
        owm_log(OWM_LOG_ERROR, "cannot write the file of blocks: %s", strerror(errno));
        return OWM_E_IO;
    }
    chain->file_bytes += bytes;
    return OWM_OK;
}

void chain_cut(struct chain *chain, const struct chain_node *node)
{
    chain->file_bytes = node->at;
    if (!chain->replaying && ftruncate(chain->fd, (off_t)chain->file_bytes))
        owm_log(OWM_LOG_ERROR, "cannot cut the file of blocks: %s", strerror(errno));
}

uint64_t chain_file_bytes(const struct chain *chain)
{
    return chain->file_bytes;
}

owm_status chain_read(const struct chain *chain, const struct chain_node *node, uint8_t **data)
{
    *data = malloc(node->bytes);
    if (!*data) return OWM_E_NOMEM;
    if (node->height == 0) {
        uint32_t bytes;
        memcpy(*data, premine_genesis(&bytes), node->bytes);
        return OWM_OK;
    }
    ssize_t got = pread(chain->fd, *data, node->bytes, (off_t)(node->at + RECORD_HEAD_BYTES));
    if (got == (ssize_t)node->bytes) return OWM_OK;
    free(*data);
    *data = NULL;
    return OWM_E_IO;
}

static owm_status open_file(struct chain *chain, const char *path, struct owm_error *error)
{
    chain->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (chain->fd < 0)
        return owm_fail(error, OWM_E_IO, "cannot open %s: %s", path, strerror(errno));
    if (flock(chain->fd, LOCK_EX | LOCK_NB) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_EXISTS, "%s is in use by another block source", path);
}

/* The record at the file's end. *bytes 0: there is none, or one that a crash cut off. */
static owm_status next_record(const struct chain *chain, uint64_t end, uint8_t *data,
                              uint32_t *bytes)
{
    uint8_t head[RECORD_HEAD_BYTES];
    struct owm_reader r;
    *bytes = 0;
    if (end - chain->file_bytes < sizeof head) return OWM_OK;
    const off_t at = (off_t)chain->file_bytes;
    if (pread(chain->fd, head, sizeof head, at) != (ssize_t)sizeof head) return OWM_E_IO;
    owm_reader_init(&r, head + sizeof magic, sizeof head - sizeof magic);
    const uint32_t length = owm_read_u32_le(&r);
    if (memcmp(head, magic, sizeof magic) != 0 || length > WIRE_BLOCK_BYTES_MAX) return OWM_E_PROTO;
    if (end - chain->file_bytes - sizeof head < length) return OWM_OK;
    if (pread(chain->fd, data, length, at + (off_t)sizeof head) != (ssize_t)length) return OWM_E_IO;
    *bytes = length;
    return OWM_OK;
}

static owm_status replay_all(struct chain *chain, const char *path, uint8_t *data,
                             struct owm_error *error)
{
    struct stat info;
    uint32_t bytes;
    if (fstat(chain->fd, &info))
        return owm_fail(error, OWM_E_IO, "cannot read %s: %s", path, strerror(errno));
    for (;;) {
        const uint64_t at = chain->file_bytes;
        owm_status status = next_record(chain, (uint64_t)info.st_size, data, &bytes);
        if (status != OWM_OK)
            return owm_fail(error, status,
                            "%s holds no block at byte %llu; move it away to begin anew", path,
                            (unsigned long long)at);
        if (bytes == 0) break;
        /* Times were checked when the block came. */
        const char *reason = chain_submit(chain, data, bytes, UINT32_MAX);
        if (reason && strcmp(reason, "inconclusive") != 0)
            return owm_fail(
                error, OWM_E_PROTO,
                "%s: the block at byte %llu is refused (%s); move the file away to begin "
                "anew, or begin with the --bits and --halvings that it was made with",
                path, (unsigned long long)at, *reason ? reason : "cannot be read");
    }
    if (chain->file_bytes == (uint64_t)info.st_size) return OWM_OK;
    owm_log(OWM_LOG_WARN, "a block was cut off when the last run ended: it is removed");
    if (ftruncate(chain->fd, (off_t)chain->file_bytes) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_IO, "cannot cut %s: %s", path, strerror(errno));
}

static owm_status replay(struct chain *chain, const char *path, struct owm_error *error)
{
    uint8_t *data = malloc(WIRE_BLOCK_BYTES_MAX);
    if (!data) return OWM_E_NOMEM;
    chain->replaying = true;
    owm_status status = replay_all(chain, path, data, error);
    chain->replaying = false;
    free(data);
    return status;
}

static owm_status begin(struct chain *chain, struct owm_error *error)
{
    uint8_t data[PREMINE_BYTES_MAX];
    while (chain->height < chain->premined) {
        uint32_t bytes = premine_block(chain_tip(chain), data);
        const char *reason = chain_submit(chain, data, bytes, UINT32_MAX);
        if (reason) return owm_fail(error, OWM_E_IO, "cannot begin the chain: %s", reason);
    }
    return OWM_OK;
}

static owm_status insert_genesis(struct chain *chain)
{
    uint32_t bytes;
    struct wire_block block;
    const uint8_t *data = premine_genesis(&bytes);
    owm_status status = wire_block_read(&block, data, bytes);
    if (status != OWM_OK) return status;
    chain->active[0] = chain_insert(chain, &block, NULL, 0);
    wire_block_free(&block);
    return chain->active[0] ? OWM_OK : OWM_E_NOMEM;
}

static owm_status fill(struct chain *chain, const struct chain_options *options,
                       struct owm_error *error)
{
    uint8_t target[32];
    if (!owm_target_from_compact(options->bits, target))
        return owm_fail(error, OWM_E_CONFIG, "bits %08x are no target", options->bits);
    OWM_ASSERT(options->halvings <= CHAIN_HALVINGS_MAX);
    const uint32_t halved = options->halvings * CHECK_HALVING_INTERVAL;
    chain->bits = options->bits;
    chain->premined = halved > CHAIN_PREMINED ? halved : CHAIN_PREMINED;
    chain->slots = SLOTS;
    chain->coins = coins_open();
    chain->active = calloc(CHAIN_BLOCKS_MAX, sizeof *chain->active);
    chain->slot = calloc(SLOTS, sizeof *chain->slot);
    if (!chain->coins || !chain->active || !chain->slot) return OWM_E_NOMEM;
    owm_status status = open_file(chain, options->path, error);
    if (status == OWM_OK) status = insert_genesis(chain);
    if (status == OWM_OK) status = replay(chain, options->path, error);
    if (status == OWM_OK) status = begin(chain, error);
    return status;
}

owm_status chain_open(const struct chain_options *options, struct chain **out,
                      struct owm_error *error)
{
    *out = NULL;
    struct chain *chain = calloc(1, sizeof *chain);
    if (!chain) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    chain->fd = -1;
    owm_status status = fill(chain, options, error);
    if (status == OWM_E_NOMEM) owm_fail(error, status, "out of memory");
    if (status == OWM_OK)
        *out = chain;
    else
        chain_close(chain);
    return status;
}

void chain_close(struct chain *chain)
{
    if (!chain) return;
    for (size_t i = 0; chain->slot && i < chain->slots; i++) free(chain->slot[i]);
    free(chain->slot);
    free(chain->active);
    coins_close(chain->coins);
    if (chain->fd >= 0) close(chain->fd);
    free(chain);
}
