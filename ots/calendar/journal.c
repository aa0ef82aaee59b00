/* journal.c: records are appended with a write and a sync each, and read through the page cache.
 *
 * The file is mapped in pieces, so that a calendar of many years costs memory for the index alone.
 * The index is a table with open addressing, keyed by the record's checksum: nobody outside can
 * choose a commitment, for it ends in a keyed hash.
 */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "journal_read.h"

#define PIECE_RECORDS ((size_t)1 << 20)
#define PIECE_BYTES   (PIECE_RECORDS * JOURNAL_RECORD_BYTES)
#define PIECES_MAX    (JOURNAL_RECORDS_MAX / PIECE_RECORDS)
#define SLOTS_MIN     ((size_t)1 << 12)

static_assert(PIECE_BYTES % 65536 == 0, "a piece begins at a page, however large pages are");
static_assert(JOURNAL_RECORD_BYTES == JOURNAL_COMMITMENT_BYTES + 4, "and its checksum");

struct slot {
    uint32_t crc, index_plus_1; /* 0: free. */
};

struct journal {
    int fd, lock_fd;
    bool failed; /* The one that appends alone. */
    pthread_mutex_t lock;
    /* Under lock. */
    const uint8_t *pieces[PIECES_MAX];
    struct slot *slots;
    size_t slot_count, used; /* A power of two. */
    uint32_t count;
};

static const uint8_t *record_at(const struct journal *journal, uint32_t index)
{
    return journal->pieces[index / PIECE_RECORDS] + JOURNAL_MAGIC_BYTES
           + index % PIECE_RECORDS * JOURNAL_RECORD_BYTES;
}

/* The slot of a commitment, or the free one where it belongs. */
static struct slot *slot_of(const struct journal *journal, uint32_t crc, const uint8_t *commitment)
{
    for (size_t at = crc;; at++) {
        struct slot *slot = &journal->slots[at & (journal->slot_count - 1)];
        if (slot->index_plus_1 == 0) return slot;
        if (slot->crc != crc) continue;
        const uint8_t *record = record_at(journal, slot->index_plus_1 - 1);
        if (memcmp(record, commitment, JOURNAL_COMMITMENT_BYTES) == 0) return slot;
    }
}

/* Room for `more`; a quarter of the slots stays free. */
static owm_status grow(struct journal *journal, size_t more, struct owm_error *error)
{
    size_t count = journal->slot_count ? journal->slot_count : SLOTS_MIN;
    while ((journal->used + more) * 4 > count * 3) count *= 2;
    if (count == journal->slot_count) return OWM_OK;
    struct slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        return owm_fail(error, OWM_E_NOMEM, "no memory for an index of %zu promises", count);
    for (size_t i = 0; i < journal->slot_count; i++) {
        const struct slot *old = &journal->slots[i];
        if (old->index_plus_1 == 0) continue;
        size_t at = old->crc;
        while (slots[at & (count - 1)].index_plus_1 != 0) at++;
        slots[at & (count - 1)] = *old;
    }
    free(journal->slots);
    journal->slots = slots;
    journal->slot_count = count;
    return OWM_OK;
}

/* The first of two equal ones stays in the index. */
static void insert(struct journal *journal, uint32_t index, uint32_t crc)
{
    struct slot *slot = slot_of(journal, crc, record_at(journal, index));
    if (slot->index_plus_1 != 0) return;
    *slot = (struct slot){crc, index + 1};
    journal->used++;
}

static owm_status map_piece(struct journal *journal, size_t piece, struct owm_error *error)
{
    if (journal->pieces[piece]) return OWM_OK;
    void *data = mmap(NULL, PIECE_BYTES + JOURNAL_MAGIC_BYTES, PROT_READ, MAP_SHARED, journal->fd,
                      (off_t)(piece * PIECE_BYTES));
    if (data == MAP_FAILED)
        return owm_fail(error, OWM_E_NOMEM, "cannot map the file commitments: %s", strerror(errno));
    journal->pieces[piece] = data;
    return OWM_OK;
}

static owm_status read_piece(struct journal *journal, size_t piece, size_t bytes,
                             struct owm_error *error)
{
    size_t begin = piece * PIECE_BYTES;
    struct journal_piece part = {.first = (uint32_t)(piece * PIECE_RECORDS)};
    part.last = bytes - begin <= PIECE_BYTES;
    part.bytes = part.last ? bytes - begin : PIECE_BYTES;
    uint32_t whole = 0;
    uint32_t *crcs = malloc((part.bytes / JOURNAL_RECORD_BYTES + 1) * sizeof *crcs);
    owm_status status = crcs ? map_piece(journal, piece, error)
                             : owm_fail(error, OWM_E_NOMEM, "no memory to read the promises");
    if (status == OWM_OK) {
        part.data = journal->pieces[piece] + JOURNAL_MAGIC_BYTES;
        status = journal_check(&part, crcs, &whole, error);
    }
    if (status == OWM_OK) status = grow(journal, whole, error);
    if (status == OWM_OK) {
        for (uint32_t i = 0; i < whole; i++) insert(journal, part.first + i, crcs[i]);
        journal->count = part.first + whole;
    }
    free(crcs);
    return status;
}

static owm_status check_magic(const struct journal *journal, off_t size, struct owm_error *error)
{
    char magic[JOURNAL_MAGIC_BYTES];
    if (size < JOURNAL_MAGIC_BYTES || pread(journal->fd, magic, sizeof magic, 0) != sizeof magic
        || memcmp(magic, JOURNAL_MAGIC, sizeof magic) != 0)
        return owm_fail(error, OWM_E_PROTO,
                        "the file commitments does not begin with " JOURNAL_MAGIC
                        "; restore it from a backup, or name another folder");
    if ((uint64_t)size > JOURNAL_MAGIC_BYTES + (uint64_t)JOURNAL_RECORDS_MAX * JOURNAL_RECORD_BYTES)
        return owm_fail(error, OWM_E_PROTO, "the file commitments is longer than any can be");
    return OWM_OK;
}

static owm_status read_all(struct journal *journal, struct owm_error *error)
{
    struct stat stat;
    if (fstat(journal->fd, &stat) != 0)
        return owm_fail(error, OWM_E_IO, "the file commitments: %s", strerror(errno));
    owm_status status = check_magic(journal, stat.st_size, error);
    if (status != OWM_OK) return status;
    size_t bytes = (size_t)stat.st_size - JOURNAL_MAGIC_BYTES;
    status = grow(journal, bytes / JOURNAL_RECORD_BYTES + 1, error);
    for (size_t piece = 0; status == OWM_OK && piece * PIECE_BYTES < bytes; piece++)
        status = read_piece(journal, piece, bytes, error);
    if (status != OWM_OK) return status;
    off_t end = (off_t)(JOURNAL_MAGIC_BYTES + (uint64_t)journal->count * JOURNAL_RECORD_BYTES);
    if (end != stat.st_size && (ftruncate(journal->fd, end) != 0 || fdatasync(journal->fd) != 0))
        return owm_fail(error, OWM_E_IO, "the file commitments: %s", strerror(errno));
    return OWM_OK;
}

static owm_status lock_folder(struct journal *journal, const char *folder, struct owm_error *error)
{
    char path[PATH_MAX];
    owm_status status = owm_fs_mkdirs(folder, 0700, error);
    if (status != OWM_OK) return status;
    snprintf(path, sizeof path, "%s/lock", folder);
    journal->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (journal->lock_fd < 0)
        return owm_fail(error, errno == EACCES ? OWM_E_PERM : OWM_E_IO, "%.500s: %s", path,
                        strerror(errno));
    if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return owm_fail(error, OWM_E_EXISTS,
                        "another calendar has the folder %.500s; stop it, or give this one a "
                        "folder of its own",
                        folder);
    return OWM_OK;
}

static owm_status open_file(struct journal *journal, const char *folder, struct owm_error *error)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/commitments", folder);
    owm_fs_sweep(path);
    owm_status status = OWM_OK;
    if (access(path, F_OK) != 0)
        status = owm_fs_create_atomic(path, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES, 0600, error);
    if (status != OWM_OK) return status;
    journal->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return journal->fd >= 0 ? OWM_OK
                            : owm_fail(error, errno == EACCES ? OWM_E_PERM : OWM_E_IO, "%.500s: %s",
                                       path, strerror(errno));
}

owm_status journal_open(const char *folder, struct journal **journal_out, struct owm_error *error)
{
    *journal_out = NULL;
    if (strlen(folder) + sizeof "/commitments" > PATH_MAX)
        return owm_fail(error, OWM_E_IO, "the name of the folder is too long");
    struct journal *journal = calloc(1, sizeof *journal);
    if (!journal) return owm_fail(error, OWM_E_NOMEM, "no memory for the promises");
    journal->fd = journal->lock_fd = -1;
    pthread_mutex_init(&journal->lock, NULL);
    owm_status status = lock_folder(journal, folder, error);
    if (status == OWM_OK) status = open_file(journal, folder, error);
    if (status == OWM_OK) status = read_all(journal, error);
    if (status == OWM_OK)
        *journal_out = journal;
    else
        journal_close(journal);
    return status;
}

void journal_close(struct journal *journal)
{
    if (!journal) return;
    for (size_t i = 0; i < PIECES_MAX; i++)
        if (journal->pieces[i])
            munmap((void *)journal->pieces[i], PIECE_BYTES + JOURNAL_MAGIC_BYTES);
    if (journal->fd >= 0) close(journal->fd);
    if (journal->lock_fd >= 0) close(journal->lock_fd);
    pthread_mutex_destroy(&journal->lock);
    free(journal->slots);
    free(journal);
}

static owm_status make_room(struct journal *journal, struct owm_error *error)
{
    if (journal->count == JOURNAL_RECORDS_MAX)
        return owm_fail(error, OWM_E_LIMIT, "the calendar's file is full; begin a new calendar");
    owm_status status = map_piece(journal, journal->count / PIECE_RECORDS, error);
    return status == OWM_OK ? grow(journal, 1, error) : status;
}

static owm_status write_record(struct journal *journal, uint32_t index,
                               const uint8_t record[static JOURNAL_RECORD_BYTES],
                               struct owm_error *error)
{
    off_t at = (off_t)(JOURNAL_MAGIC_BYTES + (uint64_t)index * JOURNAL_RECORD_BYTES);
    errno = ENOSPC; /* What a short write means. */
    if (pwrite(journal->fd, record, JOURNAL_RECORD_BYTES, at) == JOURNAL_RECORD_BYTES
        && fdatasync(journal->fd) == 0)
        return OWM_OK;
    journal->failed = true;
    return owm_fail(error, OWM_E_IO,
                    "cannot write a promise: %s; nothing is promised until the disk is well and "
                    "the calendar is started again",
                    strerror(errno));
}

owm_status journal_append(struct journal *journal,
                          const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES],
                          struct owm_error *error)
{
    uint8_t record[JOURNAL_RECORD_BYTES];
    if (journal->failed)
        return owm_fail(error, OWM_E_IO, "an earlier promise could not be written");
    uint32_t crc = journal_record(commitment, record);
    pthread_mutex_lock(&journal->lock);
    owm_status status = make_room(journal, error);
    pthread_mutex_unlock(&journal->lock);
    if (status == OWM_OK) status = write_record(journal, journal->count, record, error);
    if (status != OWM_OK) return status;
    pthread_mutex_lock(&journal->lock);
    insert(journal, journal->count, crc);
    journal->count++;
    pthread_mutex_unlock(&journal->lock);
    return OWM_OK;
}

bool journal_find(struct journal *journal,
                  const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES], uint32_t *index)
{
    uint8_t record[JOURNAL_RECORD_BYTES];
    uint32_t crc = journal_record(commitment, record);
    pthread_mutex_lock(&journal->lock);
    uint32_t found = slot_of(journal, crc, commitment)->index_plus_1;
    pthread_mutex_unlock(&journal->lock);
    if (found > 0) *index = found - 1;
    return found > 0;
}

void journal_get(struct journal *journal, uint32_t index,
                 uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    pthread_mutex_lock(&journal->lock);
    OWM_ASSERT(index < journal->count);
    memcpy(commitment, record_at(journal, index), JOURNAL_COMMITMENT_BYTES);
    pthread_mutex_unlock(&journal->lock);
}

uint32_t journal_count(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    uint32_t count = journal->count;
    pthread_mutex_unlock(&journal->lock);
    return count;
}
