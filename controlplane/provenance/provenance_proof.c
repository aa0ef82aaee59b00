/* provenance_proof.c: <blob>.ots: read, written as a whole, set aside when it is no proof. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "provenance_internal.h"

#define FILE_MODE   0644
#define FOLDER_MODE 0700

owm_status owm_provenance_path(const struct owm_blob_store *store, const uint8_t sha256[static 32],
                               char *path, size_t capacity)
{
    owm_status status = owm_blob_path(store, sha256, path, capacity);
    if (status != OWM_OK) return status;
    size_t length = strlen(path);
    if (length + sizeof(".ots") > capacity) return OWM_E_LIMIT;
    memcpy(path + length, ".ots", sizeof(".ots"));
    return OWM_OK;
}

static owm_status path_of(const struct owm_provenance *p, const uint8_t hash[32],
                          char path[static PATH_MAX], struct owm_error *error)
{
    owm_status status = owm_provenance_path(p->options.store, hash, path, PATH_MAX);
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, status, "the path of the blob store is too long");
}

/* Whether the bytes are a proof of this hash. */
static owm_status read_proof(const uint8_t *data, size_t bytes, const uint8_t hash[32],
                             struct owm_ots_proof *proof, struct owm_error *error)
{
    owm_status status = owm_ots_proof_read(data, bytes, proof, error);
    if (status != OWM_OK) return status;
    const struct owm_ots_bytes digest = proof->tree.nodes[OWM_OTS_ROOT].message;
    if (proof->file_op == OWM_OTS_SHA256 && digest.bytes == 32
        && memcmp(digest.data, hash, 32) == 0)
        return OWM_OK;
    owm_ots_proof_deinit(proof);
    return owm_fail(error, OWM_E_PROTO, "it is the proof of something else");
}

static owm_status set_aside(struct owm_provenance *p, const char *path, const struct owm_error *why,
                            struct owm_error *error)
{
    char bad[PATH_MAX + 8];
    snprintf(bad, sizeof(bad), "%s.bad", path);
    if (rename(path, bad) != 0)
        return owm_fail(error, OWM_E_IO, "%.300s cannot be renamed: %s", path, strerror(errno));
    owm_counter_add(p->meters.damaged, 1);
    owm_log(OWM_LOG_ERROR, "proof_set_aside path=\"%s\" reason=\"%s\"", bad, why->text);
    return owm_fs_sync_parent(path, error);
}

owm_status prov_proof_open(struct owm_provenance *p, const uint8_t hash[static 32],
                           struct owm_ots_proof *proof, bool *found, struct owm_error *error)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_error why = {""};
    *found = false;
    owm_status status = path_of(p, hash, path, error);
    if (status != OWM_OK) return status;
    owm_fs_sweep(path);
    status = owm_fs_read(path, OWM_OTS_FILE_BYTES_MAX, &data, &bytes, &why);
    if (status == OWM_OK) {
        status = read_proof(data, bytes, hash, proof, &why);
        free(data);
        *found = status == OWM_OK;
        if (*found) return OWM_OK;
    }
    if (status == OWM_E_PROTO || status == OWM_E_LIMIT)
        status = set_aside(p, path, &why, error);
    else if (status == OWM_E_NOTFOUND)
        status = OWM_OK;
    else
        return owm_fail(error, status, "%s", why.text);
    if (status != OWM_OK) return status;
    const struct owm_ots_bytes digest = {hash, 32};
    return owm_ots_proof_init(proof, OWM_OTS_SHA256, digest, error);
}

/* Another coordinator's file is not ours to replace: it may hold more. Where the database does not
 * answer the file is written: what calendars said is worth more than a second question. */
static bool is_deposed(struct owm_provenance *p)
{
    int64_t epoch = 0;
    return prov_rows_epoch(p->pg, &epoch, NULL) == OWM_OK && epoch != p->epoch;
}

owm_status prov_proof_save(struct owm_provenance *p, const uint8_t hash[static 32],
                           const struct owm_ots_proof *proof, struct owm_error *error)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t bytes = 0;
    if (is_deposed(p))
        return owm_fail(error, OWM_E_STATE, "another owm-coordinator has taken over");
    owm_status status = path_of(p, hash, path, error);
    if (status != OWM_OK) return status;
    char *folder = owm_fs_parent(path); /* missing where the checkpoint never was on this disk */
    status = folder ? owm_fs_mkdirs(folder, FOLDER_MODE, error)
                    : owm_fail(error, OWM_E_NOMEM, "no memory for a path");
    free(folder);
    if (status == OWM_OK) status = owm_ots_proof_write(proof, &data, &bytes, error);
    if (status == OWM_OK) status = owm_fs_write_atomic(path, data, bytes, FILE_MODE, error);
    free(data);
    return status;
}
