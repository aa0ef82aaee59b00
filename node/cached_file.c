/* cached_file.c: hash what is on disk before it is used. */
#include "node/cached_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/sha256.h"

#define PIECE_BYTES (1 << 20)

static owm_status may_go_on(const struct node_slot *slot, struct owm_error *error)
{
    if (atomic_load(&slot->cancel))
        return owm_fail(error, OWM_E_CANCELLED, "the coordinator took the task back");
    if (owm_clock_mono_ms() > slot->task.deadline_ms)
        return owm_fail(error, OWM_E_TIMEOUT,
                        "the task's deadline passed while the checkpoint was hashed");
    return OWM_OK;
}

static owm_status hash_pieces(struct node_slot *slot, int fd, uint8_t *piece, uint8_t hash[32],
                              struct owm_error *error)
{
    struct owm_sha256_ctx sha;
    off_t at = 0;
    owm_sha256_init(&sha);
    for (;;) {
        owm_status status = may_go_on(slot, error);
        if (status != OWM_OK) return status;
        ssize_t got = pread(fd, piece, PIECE_BYTES, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return owm_fail(error, OWM_E_IO, "the cached checkpoint: %s", strerror(errno));
        if (got == 0) break;
        owm_sha256_update(&sha, piece, (size_t)got);
        at += got;
    }
    owm_sha256_final(&sha, hash);
    return OWM_OK;
}

static owm_status hash_file(struct node_slot *slot, int fd, uint8_t hash[32],
                            struct owm_error *error)
{
    uint8_t *piece = malloc(PIECE_BYTES);
    if (piece == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = hash_pieces(slot, fd, piece, hash, error);
    free(piece);
    return status;
}

/** check: hash it unless that was done. OWM_OK with a refusal: other bytes. */
static owm_status check(struct node_slot *slot, const struct checkpoint *checkpoint, int fd,
                        struct refusal *refusal, struct owm_error *error)
{
    struct node *node = slot->node;
    struct stat before, after;
    struct model model;
    uint8_t hash[32];
    if (fstat(fd, &before) != 0)
        return owm_fail(error, OWM_E_IO, "the cached checkpoint: %s", strerror(errno));
    bool known = node_models_find(node->models, checkpoint->sha256, &model);
    if (known && (uint64_t)before.st_size == checkpoint->bytes && model_is_hashed(&model, &before))
        return OWM_OK;
    node_slot_doing(slot, "checking a checkpoint of %.1f MB", (double)checkpoint->bytes / 1e6);
    owm_status status = hash_file(slot, fd, hash, error);
    if (status != OWM_OK) return status;
    if (fstat(fd, &after) != 0)
        return owm_fail(error, OWM_E_IO, "the cached checkpoint: %s", strerror(errno));
    bool right = owm_bytes_equal(hash, checkpoint->sha256, 32)
                 && (uint64_t)after.st_size == checkpoint->bytes;
    if (!right)
        refusal_set(
            refusal, REFUSAL_TAMPERED_FILE,
            "the cached file holds other bytes than the checkpoint that it is named after; it "
            "was removed and is fetched again");
    /* Written while it was read: the next use looks again. */
    bool still = before.st_mtim.tv_sec == after.st_mtim.tv_sec
                 && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec;
    node_models_hashed(node->models, checkpoint->sha256, right && still ? &after : NULL);
    return OWM_OK;
}

owm_status node_cached_open(struct node_slot *slot, const struct checkpoint *checkpoint, int *fd,
                            struct refusal *refusal, struct owm_error *error)
{
    struct owm_blob_store *store = slot->node->store;
    uint64_t size = 0;
    *refusal = (struct refusal){.code = REFUSAL_NONE};
    owm_status status = owm_blob_open(store, checkpoint->sha256, fd, &size);
    if (status != OWM_OK)
        return owm_fail(error, status, "the checkpoint could not be opened in the cache: %s",
                        owm_status_text(status));
    status = check(slot, checkpoint, *fd, refusal, error);
    if (status == OWM_OK && refusal->code == REFUSAL_NONE) return OWM_OK;
    close(*fd);
    *fd = -1;
    if (status == OWM_OK) {
        owm_status removed = owm_blob_delete(store, checkpoint->sha256);
        if (removed != OWM_OK && removed != OWM_E_NOTFOUND)
            return owm_fail(error, removed,
                            "the cache holds a checkpoint with other bytes, which cannot be "
                            "removed");
    }
    return status;
}
