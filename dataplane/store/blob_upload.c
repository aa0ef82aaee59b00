/* blob_upload.c: bytes that become a blob: hashed as they come, renamed into place at the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "blob_internal.h"

#define READ_BYTES 65536

struct owm_blob_upload {
    struct owm_blob_store *store;
    struct owm_blob_upload *next; /* in store->uploads */
    char path[PATH_MAX];
    int fd;
    bool declared;
    uint8_t sha256[OWM_BLOB_HASH_BYTES]; /* if declared */
    struct owm_sha256_ctx hash;
    uint64_t bytes, bytes_max;
};

/* Take a place in the store's list, or say why not. */
static owm_status enlist(struct owm_blob_upload *upload, struct owm_error *error)
{
    struct owm_blob_store *store = upload->store;
    owm_status status = OWM_OK;
    (void)pthread_mutex_lock(&store->lock);
    if (store->upload_count == OWM_BLOB_UPLOADS_MAX)
        status = owm_fail(error, OWM_E_LIMIT, "%d uploads are open already", OWM_BLOB_UPLOADS_MAX);
    for (struct owm_blob_upload *u = store->uploads; u && status == OWM_OK; u = u->next)
        if (upload->declared && u->declared
            && memcmp(u->sha256, upload->sha256, OWM_BLOB_HASH_BYTES) == 0)
            status = owm_fail(error, OWM_E_STATE, "this blob is being uploaded by someone else");
    if (status == OWM_OK) {
        char name[65];
        if (upload->declared)
            owm_hex_encode(upload->sha256, OWM_BLOB_HASH_BYTES, name);
        else
            (void)snprintf(name, sizeof name, "new-%llu", (unsigned long long)store->next_name++);
        (void)snprintf(upload->path, sizeof upload->path, "%s/tmp/%s", store->root, name);
        upload->next = store->uploads;
        store->uploads = upload;
        store->upload_count++;
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

static void release(struct owm_blob_upload *upload)
{
    struct owm_blob_store *store = upload->store;
    (void)pthread_mutex_lock(&store->lock);
    struct owm_blob_upload **at = &store->uploads;
    while (*at != upload) at = &(*at)->next;
    *at = upload->next;
    store->upload_count--;
    (void)pthread_mutex_unlock(&store->lock);
    if (upload->fd >= 0) (void)close(upload->fd);
    free(upload);
}

/* Hash what an earlier attempt left, so that the caller can go on behind it. */
static owm_status resume(struct owm_blob_upload *upload)
{
    uint8_t *buffer = malloc(READ_BYTES);
    if (!buffer) return OWM_E_NOMEM;
    ssize_t got;
    while ((got = read(upload->fd, buffer, READ_BYTES)) > 0) {
        owm_sha256_update(&upload->hash, buffer, (size_t)got);
        upload->bytes += (uint64_t)got;
    }
    free(buffer);
    if (got < 0) return OWM_E_IO;
    if (upload->bytes <= upload->bytes_max) return OWM_OK;
    /* More than allowed: nothing of it is of use. */
    if (ftruncate(upload->fd, 0) != 0 || lseek(upload->fd, 0, SEEK_SET) != 0) return OWM_E_IO;
    owm_sha256_init(&upload->hash);
    upload->bytes = 0;
    return OWM_OK;
}

owm_status owm_blob_begin(struct owm_blob_store *store, const uint8_t *sha256, uint64_t bytes_max,
                          struct owm_blob_upload **out, uint64_t *offset, struct owm_error *error)
{
    if (sha256 && owm_blob_exists(store, sha256))
        return owm_fail(error, OWM_E_EXISTS, "this blob is stored already");
    struct owm_blob_upload *upload = calloc(1, sizeof *upload);
    if (!upload) return owm_fail(error, OWM_E_NOMEM, "no memory for an upload");
    upload->store = store;
    upload->fd = -1;
    upload->bytes_max = bytes_max;
    upload->declared = sha256 != NULL;
    if (sha256) memcpy(upload->sha256, sha256, OWM_BLOB_HASH_BYTES);
    owm_sha256_init(&upload->hash);
    owm_status status = enlist(upload, error);
    if (status != OWM_OK) {
        free(upload);
        return status;
    }
    int fresh = upload->declared ? 0 : O_EXCL;
    upload->fd = open(upload->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | fresh, 0600);
    status = upload->fd < 0 ? OWM_E_IO : resume(upload);
    if (status != OWM_OK) {
        (void)owm_fail(error, status, "%s: %s", upload->path, strerror(errno));
        release(upload);
        return status;
    }
    *offset = upload->bytes;
    *out = upload;
    return OWM_OK;
}

owm_status owm_blob_append(struct owm_blob_upload *upload, const void *data, size_t bytes,
                           struct owm_error *error)
{
    if (bytes > upload->bytes_max - upload->bytes)
        return owm_fail(error, OWM_E_LIMIT, "the upload is larger than the %llu bytes allowed",
                        (unsigned long long)upload->bytes_max);
    const uint8_t *from = data;
    for (size_t done = 0; done < bytes;) {
        /* Positioned: after a failed write the same bytes may be given again. */
        ssize_t wrote =
            pwrite(upload->fd, from + done, bytes - done, (off_t)(upload->bytes + done));
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return owm_fail(error, OWM_E_IO, "%s: %s", upload->path, strerror(errno));
        done += (size_t)wrote;
    }
    owm_sha256_update(&upload->hash, data, bytes);
    upload->bytes += bytes;
    return OWM_OK;
}

static owm_status move_into_place(struct owm_blob_upload *upload, const uint8_t sha256[32],
                                  struct owm_error *error)
{
    char path[PATH_MAX];
    owm_status status = owm_blob_path(upload->store, sha256, path, sizeof path);
    if (status != OWM_OK) return owm_fail(error, OWM_E_IO, "the path of a blob is too long");
    char *folder = owm_fs_parent(path);
    status = folder ? owm_fs_mkdirs(folder, 0700, error) : OWM_E_NOMEM;
    /* A new folder's own name must be on disk before the blob counts as stored. */
    if (status == OWM_OK) status = owm_fs_sync_parent(folder, error);
    free(folder);
    if (status != OWM_OK) return status;
    if (fsync(upload->fd) != 0 || rename(upload->path, path) != 0)
        return owm_fail(error, OWM_E_IO, "%s: %s", path, strerror(errno));
    return owm_fs_sync_parent(path, error) == OWM_OK ? OWM_OK : OWM_E_IO;
}

owm_status owm_blob_finish(struct owm_blob_upload *upload, uint8_t *sha256, struct owm_error *error)
{
    uint8_t hash[OWM_BLOB_HASH_BYTES];
    owm_status status = OWM_OK;
    owm_sha256_final(&upload->hash, hash);
    /* Left over from a failed append or an older, longer attempt: not part of what was hashed. */
    if (ftruncate(upload->fd, (off_t)upload->bytes) != 0)
        status = owm_fail(error, OWM_E_IO, "%s: %s", upload->path, strerror(errno));
    else if (upload->declared && !owm_bytes_equal(hash, upload->sha256, sizeof hash))
        status = owm_fail(error, OWM_E_CRYPTO,
                          "the uploaded bytes do not have the declared SHA-256; upload them again");
    if (status == OWM_OK) status = move_into_place(upload, hash, error);
    if (status == OWM_E_CRYPTO || (status != OWM_OK && !upload->declared))
        (void)unlink(upload->path);
    if (status == OWM_OK && sha256) memcpy(sha256, hash, sizeof hash);
    release(upload);
    return status;
}

/* With the lock held. */
static bool is_open(const struct owm_blob_store *store, const char *name)
{
    for (const struct owm_blob_upload *u = store->uploads; u; u = u->next)
        if (strcmp(strrchr(u->path, '/') + 1, name) == 0) return true;
    return false;
}

/* Counts what is kept and finds the one longest untouched. With the lock held. */
static unsigned count_kept(const struct owm_blob_store *store, DIR *dir, char oldest[NAME_MAX + 1])
{
    struct timespec least = {0};
    unsigned count = 0;
    rewinddir(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat info;
        if (entry->d_name[0] == '.' || is_open(store, entry->d_name)
            || fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        const struct timespec *then = &info.st_mtim;
        if (count++ > 0
            && (then->tv_sec > least.tv_sec
                || (then->tv_sec == least.tv_sec && then->tv_nsec >= least.tv_nsec)))
            continue;
        least = *then;
        (void)snprintf(oldest, NAME_MAX + 1, "%s", entry->d_name);
    }
    return count;
}

static void limit_kept(struct owm_blob_store *store)
{
    char path[PATH_MAX], oldest[NAME_MAX + 1];
    (void)snprintf(path, sizeof path, "%s/tmp", store->root);
    DIR *dir = opendir(path);
    if (!dir) return; /* nothing can be kept there either */
    (void)pthread_mutex_lock(&store->lock);
    while (count_kept(store, dir, oldest) > OWM_BLOB_SUSPENDED_MAX)
        if (unlinkat(dirfd(dir), oldest, 0) != 0) break;
    (void)pthread_mutex_unlock(&store->lock);
    (void)closedir(dir);
}

void owm_blob_suspend(struct owm_blob_upload *upload)
{
    if (!upload) return;
    struct owm_blob_store *store = upload->store;
    bool keep = upload->declared;
    /* What a failed append left behind the counted bytes must not be resumed from. */
    if (!keep || ftruncate(upload->fd, (off_t)upload->bytes) != 0) (void)unlink(upload->path);
    release(upload);
    if (keep) limit_kept(store);
}

owm_status owm_blob_put(struct owm_blob_store *store, const void *data, size_t bytes,
                        uint8_t sha256[32], struct owm_error *error)
{
    struct owm_blob_upload *upload;
    uint64_t offset;
    owm_sha256(data, bytes, sha256);
    if (owm_blob_exists(store, sha256)) return OWM_OK;
    owm_status status = owm_blob_begin(store, NULL, bytes, &upload, &offset, error);
    if (status != OWM_OK) return status;
    status = owm_blob_append(upload, data, bytes, error);
    if (status == OWM_OK) return owm_blob_finish(upload, sha256, error);
    owm_blob_suspend(upload);
    return status;
}
