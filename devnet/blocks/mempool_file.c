/* mempool_file.c: the file of transactions: read again, appended to. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "mempool_internal.h"

#define RECORD_HEAD_BYTES 25

static const uint8_t magic[4] = {0xfa, 0xbf, 0xb5, 0xdb};

owm_status mempool_append(struct mempool *pool, const struct mempool_tx *tx)
{
    uint8_t head[RECORD_HEAD_BYTES];
    struct owm_writer w;
    const uint64_t bytes = RECORD_HEAD_BYTES + (uint64_t)tx->read.bytes;
    owm_writer_init(&w, head, sizeof head);
    owm_write_bytes(&w, magic, sizeof magic);
    owm_write_u32_le(&w, tx->read.bytes);
    owm_write_u64_le(&w, tx->time_s);
    owm_write_u64_le(&w, (uint64_t)tx->fee_sats);
    owm_write_u8(&w, (uint8_t)tx->owner);
    const struct iovec part[] = {{head, sizeof head}, {tx->data, tx->read.bytes}};
    if (pwritev(pool->fd, part, 2, (off_t)pool->file_bytes) != (ssize_t)bytes) {
        owm_log(OWM_LOG_ERROR, "cannot write the file of transactions: %s", strerror(errno));
        return OWM_E_IO;
    }
    pool->file_bytes += bytes;
    return OWM_OK;
}

static owm_status keep_record(struct mempool *pool, const uint8_t *data, uint32_t bytes,
                              const struct mempool_tx *head)
{
    struct wire_block read;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) return OWM_E_NOMEM;
    memcpy(copy, data, bytes);
    owm_status status = wire_tx_read(&read, copy, bytes, false);
    if (status != OWM_OK) {
        free(copy);
        return status;
    }
    struct mempool_tx *tx = mempool_keep(pool, copy, &read);
    if (!tx) return OWM_E_NOMEM;
    tx->time_s = head->time_s;
    tx->fee_sats = head->fee_sats;
    tx->owner = head->owner;
    return OWM_OK;
}

/* The records of a file's bytes; stops before one that was cut off. */
static owm_status read_records(struct mempool *pool, const uint8_t *data, size_t bytes)
{
    struct owm_reader r;
    owm_reader_init(&r, data, bytes);
    while (owm_reader_left(&r) >= RECORD_HEAD_BYTES) {
        struct mempool_tx head = {0};
        const uint8_t *mark = owm_read_view(&r, sizeof magic);
        const uint32_t length = owm_read_u32_le(&r);
        head.time_s = owm_read_u64_le(&r);
        head.fee_sats = (int64_t)owm_read_u64_le(&r);
        head.owner = owm_read_u8(&r);
        if (memcmp(mark, magic, sizeof magic) != 0 || length > WIRE_BLOCK_BYTES_MAX
            || head.owner > COIN_WALLET)
            return OWM_E_PROTO;
        if (owm_reader_left(&r) < length) break;
        owm_status status = keep_record(pool, owm_read_view(&r, length), length, &head);
        if (status != OWM_OK) return status;
        pool->file_bytes = r.at;
    }
    return OWM_OK;
}

static owm_status read_file(struct mempool *pool, const char *path, struct owm_error *error)
{
    struct stat info;
    if (fstat(pool->fd, &info))
        return owm_fail(error, OWM_E_IO, "cannot read %s: %s", path, strerror(errno));
    const size_t bytes = (size_t)info.st_size;
    uint8_t *data = malloc(bytes + 1);
    if (!data) return OWM_E_NOMEM;
    owm_status status = OWM_OK;
    if (pread(pool->fd, data, bytes, 0) != (ssize_t)bytes)
        status = owm_fail(error, OWM_E_IO, "cannot read %s: %s", path, strerror(errno));
    if (status == OWM_OK) status = read_records(pool, data, bytes);
    free(data);
    if (status == OWM_E_PROTO)
        return owm_fail(error, status,
                        "%s holds no transaction at byte %llu; move it away to begin anew", path,
                        (unsigned long long)pool->file_bytes);
    if (status != OWM_OK || pool->file_bytes == bytes) return status;
    owm_log(OWM_LOG_WARN, "a transaction was cut off when the last run ended: it is removed");
    if (ftruncate(pool->fd, (off_t)pool->file_bytes) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_IO, "cannot cut %s: %s", path, strerror(errno));
}

owm_status mempool_load(struct mempool *pool, const char *path, struct owm_error *error)
{
    pool->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (pool->fd < 0) return owm_fail(error, OWM_E_IO, "cannot open %s: %s", path, strerror(errno));
    return read_file(pool, path, error);
}
