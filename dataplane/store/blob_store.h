/* blob_store.h: files named by the SHA-256 of what they hold: <root>/ab/abcdef…
 *
 * A blob is there entirely or not at all: uploads grow in <root>/tmp and are renamed into place
 * after fsync and a hash check. Names come from hashes only, so no caller's text reaches a path.
 * One process owns a root. Calls are safe from several threads; one upload belongs to one thread.
 */
#ifndef OWM_STORE_BLOB_STORE_H
#define OWM_STORE_BLOB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_BLOB_HASH_BYTES    32
#define OWM_BLOB_UPLOADS_MAX   1024
#define OWM_BLOB_SUSPENDED_MAX 64 /* the oldest beyond it are removed: nobody may fill the disk */

struct owm_blob_store;
struct owm_blob_upload;

/** owm_blob_store_open: create the folders; remove what a crash left in tmp, except uploads with a
 *  declared hash, which can be resumed.
 *  Returns: OWM_OK; OWM_E_IO, OWM_E_NOMEM with the sentence. */
OWM_MUST_USE owm_status owm_blob_store_open(const char *root, struct owm_blob_store **out,
                                            struct owm_error *error);
void owm_blob_store_close(struct owm_blob_store *store);

/** owm_blob_begin: start (or resume) an upload.
 *
 *  sha256     the declared hash, or NULL if only known at the end (such an upload cannot resume).
 *  bytes_max  the upload is refused beyond this.
 *  offset     written: bytes already there; the caller goes on from here.
 *  Returns: OWM_OK; OWM_E_EXISTS if the blob is already stored (nothing to do); OWM_E_STATE if this
 *           hash is being uploaded now; OWM_E_LIMIT at OWM_BLOB_UPLOADS_MAX; OWM_E_IO; OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_blob_begin(struct owm_blob_store *store, const uint8_t *sha256,
                                       uint64_t bytes_max, struct owm_blob_upload **out,
                                       uint64_t *offset, struct owm_error *error);

/** owm_blob_append: the next bytes.
 *  Returns: OWM_OK; OWM_E_LIMIT beyond bytes_max; OWM_E_IO. */
OWM_MUST_USE owm_status owm_blob_append(struct owm_blob_upload *upload, const void *data,
                                        size_t bytes, struct owm_error *error);

/** owm_blob_finish: check the hash, sync, rename into place. Takes the upload.
 *
 *  sha256  [32] written (may be NULL).
 *  Returns: OWM_OK (also if the same blob was stored meanwhile); OWM_E_CRYPTO if the hash is not
 * the declared one (the temporary file is removed); OWM_E_IO. */
OWM_MUST_USE owm_status owm_blob_finish(struct owm_blob_upload *upload, uint8_t *sha256,
                                        struct owm_error *error);

/** owm_blob_suspend: the peer went away. Keeps the bytes if the hash was declared, else removes
 *  them. Takes the upload; NULL is allowed. Of more than OWM_BLOB_SUSPENDED_MAX that are kept, the
 *  ones longest untouched go. */
void owm_blob_suspend(struct owm_blob_upload *upload);

/** owm_blob_put: begin, append, finish for a buffer. An existing blob is fine. */
OWM_MUST_USE owm_status owm_blob_put(struct owm_blob_store *store, const void *data, size_t bytes,
                                     uint8_t sha256[32], struct owm_error *error);

/** owm_blob_open: a read-only descriptor (the caller closes it) and the size. Counts as a use.
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_IO. */
OWM_MUST_USE owm_status owm_blob_open(struct owm_blob_store *store, const uint8_t sha256[32],
                                      int *fd, uint64_t *bytes);

bool owm_blob_exists(struct owm_blob_store *store, const uint8_t sha256[32]);

/** owm_blob_path: the file's path, for code that maps it.
 *  Returns: OWM_OK; OWM_E_LIMIT if it does not fit capacity. The blob may be absent. */
OWM_MUST_USE owm_status owm_blob_path(const struct owm_blob_store *store, const uint8_t sha256[32],
                                      char *path, size_t capacity);

/** owm_blob_delete: Returns OWM_OK; OWM_E_NOTFOUND; OWM_E_IO. */
OWM_MUST_USE owm_status owm_blob_delete(struct owm_blob_store *store, const uint8_t sha256[32]);

/** owm_blob_trim: delete least recently used blobs until at most bytes_max remain.
 *
 *  pinned   [pinned_count][32] never deleted.
 *  removed  written (may be NULL): how many went.
 *  Returns: OWM_OK; OWM_E_LIMIT if what is pinned alone is larger; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_blob_trim(struct owm_blob_store *store, uint64_t bytes_max,
                                      const uint8_t (*pinned)[32], size_t pinned_count,
                                      uint32_t *removed);

#endif
