/* file_hash.c: take a piece, hash it, say so. */
#include "file_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/ripemd160.h>
#include <nettle/sha1.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"
#include "read_ahead.h"

struct hash {
    uint8_t tag;
    union {
        struct owm_sha256_ctx sha256;
        struct sha1_ctx sha1;
        struct ripemd160_ctx ripemd160;
    } of;
};

static owm_status hash_init(struct hash *hash, uint8_t tag, struct owm_error *error)
{
    hash->tag = tag;
    if (tag == OWM_OTS_SHA256)
        owm_sha256_init(&hash->of.sha256);
    else if (tag == OWM_OTS_SHA1)
        sha1_init(&hash->of.sha1);
    else if (tag == OWM_OTS_RIPEMD160)
        ripemd160_init(&hash->of.ripemd160);
    else
        return owm_fail(error, OWM_E_UNSUPPORTED, "files hashed by %s cannot be checked here",
                        owm_ots_op_name(tag) ? owm_ots_op_name(tag) : "an unknown hash");
    return OWM_OK;
}

static void hash_update(struct hash *hash, const uint8_t *data, size_t bytes)
{
    if (hash->tag == OWM_OTS_SHA256)
        owm_sha256_update(&hash->of.sha256, data, bytes);
    else if (hash->tag == OWM_OTS_SHA1)
        sha1_update(&hash->of.sha1, bytes, data);
    else
        ripemd160_update(&hash->of.ripemd160, bytes, data);
}

static void hash_final(struct hash *hash, uint8_t *digest)
{
    if (hash->tag == OWM_OTS_SHA256)
        owm_sha256_final(&hash->of.sha256, digest);
    else if (hash->tag == OWM_OTS_SHA1)
        sha1_digest(&hash->of.sha1, SHA1_DIGEST_SIZE, digest);
    else
        ripemd160_digest(&hash->of.ripemd160, RIPEMD160_DIGEST_SIZE, digest);
}

static owm_status file_error(const char *path, const char *what, struct owm_error *error)
{
    owm_status status = errno == ENOENT ? OWM_E_NOTFOUND : errno == EACCES ? OWM_E_PERM : OWM_E_IO;
    return owm_fail(error, status, "cannot %s '%s': %s", what, path, strerror(errno));
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec
           && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static owm_status hash_pieces(read_ahead *reader, struct hash *hash, uint64_t total_bytes,
                              const struct owm_ots_progress *progress)
{
    for (uint64_t done = 0;;) {
        const uint8_t *data;
        size_t bytes;
        owm_status status = read_ahead_next(reader, &data, &bytes);
        if (status != OWM_OK || bytes == 0) return status;
        hash_update(hash, data, bytes);
        done += bytes;
        if (progress && !progress->step(progress->ctx, done, total_bytes)) return OWM_E_CANCELLED;
    }
}

/* A file that somebody writes to meanwhile has a hash that no file ever had. */
static owm_status hash_all(int fd, const char *path, struct hash *hash,
                           const struct owm_ots_progress *progress, struct owm_error *error)
{
    struct stat before, after;
    read_ahead *reader = NULL;
    if (fstat(fd, &before) != 0) return file_error(path, "look at", error);
    bool regular = S_ISREG(before.st_mode);
    uint64_t total_bytes = regular ? (uint64_t)before.st_size : 0;
    if (read_ahead_open(fd, total_bytes, &reader) != OWM_OK)
        return owm_fail(error, OWM_E_NOMEM, "no memory to read '%s'", path);
    owm_status status = hash_pieces(reader, hash, total_bytes, progress);
    if (status == OWM_E_CANCELLED)
        (void)owm_fail(error, status, "reading '%s' was cancelled", path);
    else if (status != OWM_OK)
        status = file_error(path, "read", error);
    else if (fstat(fd, &after) != 0)
        status = file_error(path, "look at", error);
    else if (regular && !same(&before, &after))
        status = owm_fail(error, OWM_E_STATE,
                          "'%s' was changed while it was read; try again when nobody writes to it",
                          path);
    read_ahead_close(reader);
    return status;
}

owm_status owm_ots_file_hash(const char *path, uint8_t tag, const struct owm_ots_progress *progress,
                             uint8_t *digest, struct owm_error *error)
{
    struct hash hash;
    owm_status status = hash_init(&hash, tag, error);
    if (status != OWM_OK) return status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return file_error(path, "open", error);
    status = hash_all(fd, path, &hash, progress, error);
    (void)close(fd);
    if (status == OWM_OK) hash_final(&hash, digest);
    return status;
}
