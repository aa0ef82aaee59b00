/* proof_files.c: two small files for each checkpoint in the cache. */
#include "node/proof_files.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/log.h"
#include "dataplane/ots/proof.h"
#include "node/manifest.h"

#define HEX_CHARS 64
#define MANIFEST  ".json"
#define PROOF     ".ots"

static owm_status path_of(const struct owm_blob_store *store, const uint8_t sha256[32],
                          const char *ending, char path[static PATH_MAX])
{
    owm_status status = owm_blob_path(store, sha256, path, PATH_MAX - 8);
    if (status == OWM_OK) memcpy(path + strlen(path), ending, strlen(ending) + 1);
    return status;
}

static owm_status keep(const struct owm_blob_store *store, const uint8_t sha256[32],
                       const char *ending, struct owm_ots_bytes bytes, struct owm_error *error)
{
    char path[PATH_MAX];
    owm_status status = path_of(store, sha256, ending, path);
    if (status != OWM_OK) return owm_fail(error, status, "its path is too long");
    char *folder = owm_fs_parent(path);
    if (folder == NULL) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    status = owm_fs_mkdirs(folder, 0700, error);
    free(folder);
    return status == OWM_OK ? owm_fs_write_atomic(path, bytes.data, bytes.bytes, 0600, error)
                            : status;
}

void proof_files_keep(struct owm_blob_store *store, const uint8_t sha256[static 32],
                      const struct proof_papers *papers)
{
    struct owm_error error = {""};
    const struct owm_ots_bytes manifest = {(const uint8_t *)papers->manifest,
                                           (uint32_t)strlen(papers->manifest)};
    const struct owm_ots_bytes proof = {papers->proof, (uint32_t)papers->proof_bytes};
    if (keep(store, sha256, MANIFEST, manifest, &error) != OWM_OK
        || keep(store, sha256, PROOF, proof, &error) != OWM_OK)
        owm_log(OWM_LOG_WARN, "proof_not_kept reason=\"%s\"", error.text);
}

owm_status proof_files_read(struct owm_blob_store *store, const uint8_t sha256[static 32],
                            struct proof_papers *papers)
{
    char path[PATH_MAX];
    uint8_t *manifest = NULL, *proof = NULL;
    size_t bytes = 0;
    struct owm_error error;
    owm_status status = path_of(store, sha256, MANIFEST, path);
    if (status == OWM_OK) status = owm_fs_read(path, MANIFEST_BYTES_MAX, &manifest, &bytes, &error);
    if (status == OWM_OK) status = path_of(store, sha256, PROOF, path);
    if (status == OWM_OK)
        status = owm_fs_read(path, OWM_OTS_FILE_BYTES_MAX, &proof, &bytes, &error);
    *papers = (struct proof_papers){(const char *)manifest, proof, bytes};
    if (status != OWM_OK) proof_files_free(papers);
    return status;
}

void proof_files_free(struct proof_papers *papers)
{
    free((void *)(uintptr_t)papers->manifest);
    free((void *)(uintptr_t)papers->proof);
    *papers = (struct proof_papers){NULL, NULL, 0};
}

/** is_orphan: one of our files, or what a crash left of one, whose checkpoint is gone. */
static bool is_orphan(struct owm_blob_store *store, const char *name)
{
    uint8_t sha256[32];
    char hex[HEX_CHARS + 1];
    if (strlen(name) <= HEX_CHARS || name[HEX_CHARS] != '.') return false;
    snprintf(hex, sizeof hex, "%.*s", HEX_CHARS, name);
    return owm_hex_decode(hex, sha256, sizeof sha256) == OWM_OK && !owm_blob_exists(store, sha256);
}

void proof_files_sweep(const char *root, struct owm_blob_store *store)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%02x", root, byte);
        DIR *folder = opendir(path);
        if (folder == NULL) continue;
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
            if (is_orphan(store, entry->d_name)) (void)unlinkat(dirfd(folder), entry->d_name, 0);
        (void)closedir(folder);
    }
}
