/* blob_store.c: open, read, delete, trim. Uploads are in blob_upload.c.
 *
 *   <root>/ab/ab…64 hex    a blob; its access time is set at each open and orders trimming
 *   <root>/tmp/<64 hex>    an upload with a declared hash, kept over restarts
 *   <root>/tmp/new-<n>     an upload without; removed at open
 */
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
#include "blob_internal.h"

#define HEX_CHARS 64

static bool is_hash_name(const char *name)
{
    uint8_t hash[OWM_BLOB_HASH_BYTES];
    return strlen(name) == HEX_CHARS && owm_hex_decode(name, hash, sizeof hash) == OWM_OK;
}

static owm_status clean_tmp(const char *root, struct owm_error *error)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/tmp", root);
    DIR *dir = opendir(path);
    if (!dir) return owm_fail(error, OWM_E_IO, "%s: %s", path, strerror(errno));
    owm_status status = OWM_OK;
    for (struct dirent *entry; (entry = readdir(dir)) && status == OWM_OK;) {
        if (entry->d_name[0] == '.' || is_hash_name(entry->d_name)) continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            status = owm_fail(error, OWM_E_IO, "%s/%s: %s", path, entry->d_name, strerror(errno));
    }
    (void)closedir(dir);
    return status;
}

owm_status owm_blob_store_open(const char *root, struct owm_blob_store **out,
                               struct owm_error *error)
{
    char tmp[PATH_MAX];
    int length = snprintf(tmp, sizeof tmp, "%s/tmp", root);
    if (length < 0 || length + 80 > (int)sizeof tmp)
        return owm_fail(error, OWM_E_IO, "the path of the blob store is too long: %s", root);
    owm_status status = owm_fs_mkdirs(tmp, 0700, error);
    if (status == OWM_OK) status = clean_tmp(root, error);
    if (status != OWM_OK) return OWM_E_IO;
    struct owm_blob_store *store = calloc(1, sizeof *store);
    if (store) store->root = strdup(root);
    if (!store || !store->root) {
        free(store);
        return owm_fail(error, OWM_E_NOMEM, "no memory for the blob store %s", root);
    }
    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        free(store->root);
        free(store);
        return owm_fail(error, OWM_E_NOMEM, "no lock for the blob store %s", root);
    }
    *out = store;
    return OWM_OK;
}

void owm_blob_store_close(struct owm_blob_store *store)
{
    if (!store) return;
    OWM_ASSERT(store->upload_count == 0); /* each upload belongs to a caller */
    (void)pthread_mutex_destroy(&store->lock);
    free(store->root);
    free(store);
}

owm_status owm_blob_path(const struct owm_blob_store *store, const uint8_t sha256[32], char *path,
                         size_t capacity)
{
    char hex[HEX_CHARS + 1];
    owm_hex_encode(sha256, OWM_BLOB_HASH_BYTES, hex);
    int length = snprintf(path, capacity, "%s/%.2s/%s", store->root, hex, hex);
    return length >= 0 && (size_t)length < capacity ? OWM_OK : OWM_E_LIMIT;
}

owm_status owm_blob_open(struct owm_blob_store *store, const uint8_t sha256[32], int *fd,
                         uint64_t *bytes)
{
    char path[PATH_MAX];
    struct stat info;
    owm_status status = owm_blob_path(store, sha256, path, sizeof path);
    if (status != OWM_OK) return status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return errno == ENOENT ? OWM_E_NOTFOUND : OWM_E_IO;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(file);
        return OWM_E_IO;
    }
    /* Mounts often do not keep access times; trimming needs them, losing one costs little. */
    (void)futimens(file, (struct timespec[2]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}});
    *fd = file;
    *bytes = (uint64_t)info.st_size;
    return OWM_OK;
}

bool owm_blob_exists(struct owm_blob_store *store, const uint8_t sha256[32])
{
    char path[PATH_MAX];
    return owm_blob_path(store, sha256, path, sizeof path) == OWM_OK && access(path, F_OK) == 0;
}

owm_status owm_blob_delete(struct owm_blob_store *store, const uint8_t sha256[32])
{
    char path[PATH_MAX];
    owm_status status = owm_blob_path(store, sha256, path, sizeof path);
    if (status != OWM_OK) return status;
    if (unlink(path) == 0) return OWM_OK;
    return errno == ENOENT ? OWM_E_NOTFOUND : OWM_E_IO;
}

/* --- trimming --------------------------------------------------------------------------------- */

struct entry {
    uint8_t sha256[OWM_BLOB_HASH_BYTES];
    uint64_t bytes;
    struct timespec used;
};

struct listing {
    struct entry *entry;
    size_t count, capacity;
    uint64_t bytes;
};

static owm_status list_add(struct listing *list, const char *name, const struct stat *info)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        struct entry *grown = realloc(list->entry, capacity * sizeof *grown);
        if (!grown) return OWM_E_NOMEM;
        list->entry = grown;
        list->capacity = capacity;
    }
    struct entry *e = &list->entry[list->count++];
    e->bytes = (uint64_t)info->st_size;
    e->used = info->st_atim;
    list->bytes += e->bytes;
    return owm_hex_decode(name, e->sha256, sizeof e->sha256);
}

static owm_status list_folder(struct listing *list, const char *root, unsigned first_byte)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%02x", root, first_byte);
    DIR *dir = opendir(path);
    if (!dir) return errno == ENOENT ? OWM_OK : OWM_E_IO;
    owm_status status = OWM_OK;
    for (struct dirent *entry; (entry = readdir(dir)) && status == OWM_OK;) {
        struct stat info;
        if (!is_hash_name(entry->d_name)) continue;
        if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            status = errno == ENOENT ? OWM_OK : OWM_E_IO; /* deleted meanwhile */
            continue;
        }
        status = list_add(list, entry->d_name, &info);
    }
    (void)closedir(dir);
    return status;
}

static int oldest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct entry *)a)->used;
    const struct timespec *y = &((const struct entry *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static bool is_pinned(const struct entry *e, const uint8_t (*pinned)[32], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(e->sha256, pinned[i], OWM_BLOB_HASH_BYTES) == 0) return true;
    return false;
}

owm_status owm_blob_trim(struct owm_blob_store *store, uint64_t bytes_max,
                         const uint8_t (*pinned)[32], size_t pinned_count, uint32_t *removed)
{
    struct listing list = {0};
    owm_status status = OWM_OK;
    uint32_t gone = 0;
    for (unsigned byte = 0; byte < 256 && status == OWM_OK; byte++)
        status = list_folder(&list, store->root, byte);
    if (status == OWM_OK && list.count > 0)
        qsort(list.entry, list.count, sizeof *list.entry, oldest_first);
    for (size_t i = 0; i < list.count && list.bytes > bytes_max && status == OWM_OK; i++) {
        const struct entry *e = &list.entry[i];
        if (is_pinned(e, pinned, pinned_count)) continue;
        status = owm_blob_delete(store, e->sha256);
        if (status == OWM_E_NOTFOUND) status = OWM_OK;
        list.bytes -= e->bytes;
        gone++;
    }
    if (status == OWM_OK && list.bytes > bytes_max) status = OWM_E_LIMIT;
    free(list.entry);
    if (removed) *removed = gone;
    return status;
}
