/* proof_files.h: manifest and proof of a cached checkpoint, in two files beside it: <blob>.json and
 * <blob>.ots. The proof is one that every OpenTimestamps client reads. */
#ifndef OWM_NODE_PROOF_FILES_H
#define OWM_NODE_PROOF_FILES_H

#include "dataplane/store/blob_store.h"

/** proof_papers: what proves a version. proof_bytes 0: no proof. */
struct proof_papers {
    const char *manifest;
    const uint8_t *proof;
    size_t proof_bytes;
};

/** proof_files_keep: written whole, both; what cannot be written is only logged, because it is
 *  asked for again. Thread: any. */
void proof_files_keep(struct owm_blob_store *store, const uint8_t sha256[static 32],
                      const struct proof_papers *papers);

/** proof_files_read: papers owned by the caller: proof_files_free.
 *  Returns: OWM_OK; OWM_E_NOTFOUND, OWM_E_LIMIT, OWM_E_IO, … one of them is not to be had. */
OWM_MUST_USE owm_status proof_files_read(struct owm_blob_store *store,
                                         const uint8_t sha256[static 32],
                                         struct proof_papers *papers);
void proof_files_free(struct proof_papers *papers);

/** proof_files_sweep: remove those whose checkpoint is not in the cache any more. */
void proof_files_sweep(const char *root, struct owm_blob_store *store);

#endif
