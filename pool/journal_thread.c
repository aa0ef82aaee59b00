/* journal_thread.c: the half of a journal that waits for the disk: batches, syncs, segments.
 *
 * A sync that failed is never repeated: the kernel may have dropped the pages and call the second
 * one a success. The journal has failed then, for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/uuid.h"
#include "journal_internal.h"

static owm_status io_failed(const struct owm_journal *journal, const char *what,
                            struct owm_error *error)
{
    int cause = errno;
    if (cause == ENOSPC || cause == EDQUOT || cause == EFBIG)
        return owm_fail(error, OWM_E_IO,
                        "journal: %s: no room to %s (%s); make %u MiB free there and start again",
                        journal->path, what, strerror(cause), DISK_NEEDS_BYTES >> 20);
    return owm_fail(error, cause == EACCES || cause == EPERM ? OWM_E_PERM : OWM_E_IO,
                    "journal: %s: cannot %s: %s; see to the disk and start again", journal->path,
                    what, strerror(cause));
}

static owm_status write_all(struct owm_journal *journal, const uint8_t *data, size_t bytes,
                            struct owm_error *error)
{
    while (bytes > 0) {
        ssize_t wrote = pwrite(journal->fd, data, bytes, (off_t)journal->offset);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote == 0) errno = ENOSPC;
        if (wrote <= 0) return io_failed(journal, "write", error);
        data += wrote;
        bytes -= (size_t)wrote;
        journal->offset += (uint64_t)wrote;
    }
    return OWM_OK;
}

static owm_status sync_now(struct owm_journal *journal, struct owm_error *error)
{
    uint64_t began = owm_clock_mono_ns();
    if (fdatasync(journal->fd) != 0) return io_failed(journal, "sync", error);
    uint64_t took = owm_clock_mono_ns() - began;
    atomic_fetch_add_explicit(&journal->stat_sync_ns, took, memory_order_relaxed);
    if (took > atomic_load_explicit(&journal->stat_sync_ns_max, memory_order_relaxed))
        atomic_store_explicit(&journal->stat_sync_ns_max, took, memory_order_relaxed);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- segments */

static void write_header(struct owm_journal *journal, uint8_t header[JOURNAL_HEADER_BYTES])
{
    struct owm_writer writer;
    uint8_t id[16];
    owm_uuid_random(id);
    memset(header, 0, JOURNAL_HEADER_BYTES);
    owm_writer_init(&writer, header, JOURNAL_HEADER_BYTES);
    owm_write_bytes(&writer, JOURNAL_MAGIC, 8);
    owm_write_u32_le(&writer, journal->loop);
    owm_write_u32_le(&writer, 0);
    owm_write_u64_le(&writer, journal->number);
    owm_write_u64_le(&writer, (uint64_t)owm_clock_wall_ms());
    owm_write_bytes(&writer, id, sizeof(id));
    owm_writer_init(&writer, header + JOURNAL_HEADER_BYTES - 4, 4);
    journal->chain = owm_crc32c(0, header, JOURNAL_HEADER_BYTES - 4);
    owm_write_u32_le(&writer, journal->chain);
}

/* Numbers are times, so that they grow even where somebody has removed the older files. */
owm_status journal_segment_begin(struct owm_journal *journal, struct owm_error *error)
{
    uint64_t now = (uint64_t)owm_clock_wall_ms();
    journal->number = now > journal->number ? now : journal->number + 1;
    free(journal->path);
    journal->path = NULL;
    if (asprintf(&journal->path, "%s/%02u-%016llu" JOURNAL_SUFFIX, journal->folder, journal->loop,
                 (unsigned long long)journal->number)
        < 0)
        return OWM_E_NOMEM;
    uint8_t header[JOURNAL_HEADER_BYTES];
    write_header(journal, header);
    journal->offset = journal->allocated = 0;
    journal->fd = open(journal->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (journal->fd < 0) return io_failed(journal, "be made", error);
    owm_status status = write_all(journal, header, sizeof(header), error);
    if (status == OWM_OK) status = sync_now(journal, error);
    if (status == OWM_OK) status = owm_fs_sync_parent(journal->path, error);
    return status;
}

static size_t put_record(uint8_t *out, enum journal_type type, const void *payload, size_t bytes)
{
    struct owm_writer writer;
    owm_writer_init(&writer, out, JOURNAL_RECORD_BYTES + bytes);
    owm_write_u8(&writer, (uint8_t)type);
    owm_write_u8(&writer, 0);
    owm_write_u16_le(&writer, (uint16_t)bytes);
    owm_write_u32_le(&writer, owm_crc32c(owm_crc32c(0, out, 4), payload, bytes));
    owm_write_bytes(&writer, payload, bytes);
    return writer.at;
}

/* A closed segment: all of it synced, an end, and no allocated space behind it. */
static owm_status segment_end(struct owm_journal *journal, struct owm_error *error)
{
    uint8_t end[JOURNAL_RECORD_BYTES];
    size_t bytes = put_record(end, JOURNAL_END, "", 0);
    owm_status status = write_all(journal, end, bytes, error);
    if (status == OWM_OK && ftruncate(journal->fd, (off_t)journal->offset) != 0)
        status = io_failed(journal, "be cut to its length", error);
    if (status == OWM_OK) status = sync_now(journal, error);
    close(journal->fd);
    journal->fd = -1;
    return status;
}

static owm_status rotate(struct owm_journal *journal, struct owm_error *error)
{
    owm_status status = segment_end(journal, error);
    if (status == OWM_OK) status = journal_segment_begin(journal, error);
    if (status == OWM_OK)
        atomic_store_explicit(&journal->rotate_at, ROTATE_NEVER, memory_order_release);
    return status;
}

/* ---------------------------------------------------------------------------- batches */

static void copy_out(struct owm_journal *journal, uint64_t from, size_t bytes)
{
    size_t at = from % OWM_JOURNAL_BUFFER_BYTES;
    size_t first = OWM_JOURNAL_BUFFER_BYTES - at < bytes ? OWM_JOURNAL_BUFFER_BYTES - at : bytes;
    memcpy(journal->batch, journal->ring + at, first);
    memcpy(journal->batch + first, journal->ring, bytes - first);
}

/* Bytes of the whole records among the first `bytes` of the batch, and how many are shares. */
static size_t whole_records(const uint8_t *batch, size_t bytes, uint32_t *shares)
{
    size_t at = 0;
    *shares = 0;
    while (bytes - at >= JOURNAL_RECORD_BYTES) {
        size_t record = JOURNAL_RECORD_BYTES + (size_t)(batch[at + 2] | batch[at + 3] << 8);
        if (record > bytes - at) break;
        if (batch[at] == JOURNAL_SHARE) ++*shares;
        at += record;
    }
    return at;
}

/* Space ahead is a courtesy to the file system; without it the write itself will tell. */
static void allocate_ahead(struct owm_journal *journal, size_t bytes)
{
    uint64_t end = journal->offset + bytes;
    if (end <= journal->allocated) return;
    uint64_t wanted = (end / ALLOCATE_BYTES + 1) * ALLOCATE_BYTES;
    if (fallocate(journal->fd, 0, (off_t)journal->offset, (off_t)(wanted - journal->offset)) == 0)
        journal->allocated = wanted;
    else
        journal->allocated = end + ALLOCATE_BYTES; /* Ask again later. */
}

static owm_status write_batch(struct owm_journal *journal, uint64_t limit, struct owm_error *error)
{
    uint64_t taken = atomic_load_explicit(&journal->taken, memory_order_relaxed);
    size_t bytes =
        limit - taken < JOURNAL_BATCH_BYTES_MAX ? limit - taken : JOURNAL_BATCH_BYTES_MAX;
    uint32_t shares;
    copy_out(journal, taken, bytes);
    bytes = whole_records(journal->batch, bytes, &shares);
    OWM_ASSERT(bytes > 0);
    atomic_store_explicit(&journal->taken, taken + bytes, memory_order_release);
    journal->written_sequence += shares;
    journal->chain = owm_crc32c(journal->chain, journal->batch, bytes);
    uint8_t payload[JOURNAL_COMMIT_BYTES];
    struct owm_writer writer;
    owm_writer_init(&writer, payload, sizeof(payload));
    owm_write_u64_le(&writer, journal->written_sequence);
    owm_write_u32_le(&writer, shares);
    owm_write_u32_le(&writer, (uint32_t)bytes);
    owm_write_u32_le(&writer, journal->chain);
    size_t all =
        bytes + put_record(journal->batch + bytes, JOURNAL_COMMIT, payload, sizeof(payload));
    allocate_ahead(journal, all);
    atomic_fetch_add_explicit(&journal->stat_shares, shares, memory_order_relaxed);
    atomic_fetch_add_explicit(&journal->stat_batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&journal->stat_bytes, all, memory_order_relaxed);
    return write_all(journal, journal->batch, all, error);
}

/* Everything that is published now: written, synced, durable. */
static owm_status write_gathered(struct owm_journal *journal, uint64_t end, struct owm_error *error)
{
    owm_status status = OWM_OK;
    uint64_t taken;
    while (status == OWM_OK && (taken = atomic_load(&journal->taken)) < end) {
        uint64_t rotate_at = atomic_load_explicit(&journal->rotate_at, memory_order_acquire);
        uint64_t limit = rotate_at < end ? rotate_at : end;
        status = limit == taken ? rotate(journal, error) : write_batch(journal, limit, error);
    }
    if (status == OWM_OK) status = sync_now(journal, error);
    if (status != OWM_OK) return status;
    atomic_store_explicit(&journal->durable, journal->written_sequence, memory_order_release);
    if (journal->on_durable) journal->on_durable(journal->ctx);
    return OWM_OK;
}

static void fail_for_good(struct owm_journal *journal, const struct owm_error *error)
{
    snprintf(journal->failure, sizeof(journal->failure), "%s",
             error->text[0] ? error->text : "journal: out of memory");
    owm_log(OWM_LOG_ERROR, "journal_failed loop=%u: %s", journal->loop, journal->failure);
    atomic_store_explicit(&journal->failed, journal->failure, memory_order_release);
    if (journal->on_durable) journal->on_durable(journal->ctx);
}

/* Sleep until there is more. The loop publishes and then looks whether we sleep; we say that we
 * sleep and then look whether there is more: so one of the two sees the other. */
static void wait_for_more(struct owm_journal *journal)
{
    atomic_store(&journal->asleep, true);
    if (atomic_load(&journal->published) == atomic_load(&journal->taken)
        && !atomic_load(&journal->stopping))
        while (sem_wait(&journal->wake) != 0 && errno == EINTR) continue;
    atomic_store(&journal->asleep, false);
}

void *journal_thread(void *arg)
{
    struct owm_journal *journal = arg;
    struct owm_error error = {""};
    owm_status status = OWM_OK;
    for (;;) {
        uint64_t end = atomic_load(&journal->published);
        if (end != atomic_load(&journal->taken)) {
            status = write_gathered(journal, end, &error);
            if (status != OWM_OK) break;
        } else if (atomic_load(&journal->stopping)) {
            status = segment_end(journal, &error);
            break;
        } else {
            wait_for_more(journal);
        }
    }
    if (status != OWM_OK) fail_for_good(journal, &error);
    return NULL;
}
