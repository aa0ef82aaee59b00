/* file_hash.h: the hash of a file of any size, by the hash that its proof names. */
#ifndef OWM_OTS_FILE_HASH_H
#define OWM_OTS_FILE_HASH_H

#include <stdbool.h>

#include "op.h"

#define OWM_OTS_DIGEST_BYTES_MAX 32

/** owm_ots_progress: told after every piece how far a file is; false ends it. Thread: that of the
 *  call. total_bytes is 0 for what is no regular file. */
struct owm_ots_progress {
    void *ctx;
    bool (*step)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
};

/** owm_ots_file_hash: digest [OWM_OTS_DIGEST_BYTES_MAX] written, owm_ots_digest_bytes(tag) of it.
 *
 *  A file of some size is read by a second thread (read_ahead.h), so that it goes as fast as its
 *  hash.
 *
 *  progress  NULL: none.
 *  Thread: any.
 *  Returns: OWM_OK; OWM_E_NOTFOUND, OWM_E_PERM, OWM_E_IO of the file, also for a folder;
 *  OWM_E_STATE it was written to meanwhile, as its size or its time of change says;
 *  OWM_E_CANCELLED by progress; OWM_E_UNSUPPORTED keccak256, which no program stamps files with;
 *  OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status owm_ots_file_hash(const char *path, uint8_t tag,
                                          const struct owm_ots_progress *progress, uint8_t *digest,
                                          struct owm_error *error);

#endif
