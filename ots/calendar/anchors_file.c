/* anchors_file.c: folder/anchors, which only grows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anchor_internal.h"
#include "base/fs.h"
#include "base/log.h"

#define FILE_BYTES_MAX ((size_t)4 << 30)
#define PATH_BYTES_MAX 4096

static owm_status io_error(struct owm_error *error, const char *what)
{
    return owm_fail(error, OWM_E_IO, "the calendar's anchors: %s: %s; make room or repair the disk",
                    what, strerror(errno));
}

static owm_status append_bytes(int fd, const uint8_t *data, size_t bytes, struct owm_error *error)
{
    while (bytes > 0) {
        ssize_t done = write(fd, data, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return io_error(error, "write");
        data += done;
        bytes -= (size_t)done;
    }
    return fdatasync(fd) == 0 ? OWM_OK : io_error(error, "sync");
}

static owm_status cut(int fd, size_t bytes, struct owm_error *error)
{
    if (ftruncate(fd, (off_t)bytes) != 0) return io_error(error, "cut");
    return fdatasync(fd) == 0 ? OWM_OK : io_error(error, "sync");
}

/* What stands in the file, to memory. A magic that was cut off was all there was. */
static owm_status load(struct anchor *anchor, const char *path, struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0, whole = 0;
    struct owm_error why = {.text = ""};
    owm_status status = owm_fs_read(path, FILE_BYTES_MAX, &data, &bytes, error);
    if (status != OWM_OK) return status;
    size_t magic = bytes < ANCHORS_MAGIC_BYTES ? bytes : ANCHORS_MAGIC_BYTES;
    if (memcmp(data, ANCHORS_MAGIC, magic) != 0)
        status = owm_fail(&why, OWM_E_PROTO, "it is no file of anchors");
    else if (bytes > magic)
        status = anchors_read(&anchor->anchors, data + magic, bytes - magic, &whole, &why);
    free(data);
    if (status == OWM_E_PROTO)
        return owm_fail(
            error, status,
            "%.150s is damaged: %.200s; put back a copy of the folder, or move this file "
            "away: all promises are then put into a block again",
            path, why.text);
    if (status != OWM_OK) return owm_fail(error, status, "%.150s: %.200s", path, why.text);
    if (magic < ANCHORS_MAGIC_BYTES) {
        status = cut(anchor->fd, 0, error);
        if (status == OWM_OK)
            status = append_bytes(anchor->fd, (const uint8_t *)ANCHORS_MAGIC, ANCHORS_MAGIC_BYTES,
                                  error);
        return status;
    }
    if (magic + whole == bytes) return OWM_OK;
    owm_log(OWM_LOG_WARN, "anchors: a record that a crash cut off is removed bytes=%zu",
            bytes - magic - whole);
    return cut(anchor->fd, magic + whole, error);
}

/* The promises that were anchored are those that lie beside it. Of the last batch this is computed;
 * of another one when its first proof is asked for. */
static owm_status check_journal(const struct anchor *anchor, const char *path,
                                struct owm_error *error)
{
    const struct anchors *anchors = &anchor->anchors;
    struct journal *journal = anchor->options.journal;
    uint8_t tops[ANCHOR_CHUNK][32], root[32];
    if (anchors_covered(anchors) > journal_count(journal))
        return owm_fail(error, OWM_E_PROTO,
                        "%.150s names %u promises, but the folder holds %u: put back its file "
                        "'commitments', of the same time or newer; if there is none, move this "
                        "file away: what is known is then put into a block again",
                        path, anchors_covered(anchors), journal_count(journal));
    if (anchors->batch_count == 0) return OWM_OK;
    const struct anchor_batch *last = &anchors->batches[anchors->batch_count - 1];
    anchor_tops(journal, last->first, last->count, tops, root);
    if (memcmp(root, last->root, 32) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_PROTO,
                    "%.150s is of other promises than the folder's file 'commitments': put back "
                    "the two that belong together",
                    path);
}

owm_status anchors_open(struct anchor *anchor, struct owm_error *error)
{
    char path[PATH_BYTES_MAX];
    int length = snprintf(path, sizeof path, "%s/anchors", anchor->options.folder);
    if (length < 0 || (size_t)length >= sizeof path)
        return owm_fail(error, OWM_E_CONFIG, "the calendar's folder has too long a name");
    anchor->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (anchor->fd < 0)
        return owm_fail(error, errno == EACCES ? OWM_E_PERM : OWM_E_IO, "%.200s: %s", path,
                        strerror(errno));
    owm_status status = load(anchor, path, error);
    if (status == OWM_OK) status = owm_fs_sync_parent(path, error);
    if (status != OWM_OK) return status;
    return check_journal(anchor, path, error);
}

owm_status anchors_append(struct anchor *anchor, const uint8_t *record, size_t bytes,
                          struct owm_error *error)
{
    size_t whole = 0;
    if (anchor->fd < 0)
        return owm_fail(error, OWM_E_IO,
                        "the calendar's anchors could not be written before; restart it");
    owm_status status = append_bytes(anchor->fd, record, bytes, error);
    if (status == OWM_OK) {
        pthread_mutex_lock(&anchor->lock);
        status = anchors_read(&anchor->anchors, record, bytes, &whole, error);
        pthread_mutex_unlock(&anchor->lock);
        if (status == OWM_OK && whole == bytes) return OWM_OK;
    }
    close(anchor->fd);
    anchor->fd = -1;
    return status != OWM_OK ? status : owm_fail(error, OWM_E_PROTO, "a record cannot be read back");
}
