/* fs.h: files that are whole or absent. */
#ifndef OWM_BASE_FS_H
#define OWM_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "status.h"

/** owm_fs_write_atomic: replace `path` by `data`: temporary file beside it, fsync, rename, fsync of
 *  the folder. After a crash the old file or the new one is there, never a part.
 *
 *  mode  permission bits of the new file, exact (umask does not apply).
 *  Thread: any; two writers of one path: the last one wins whole.
 *  Returns: OWM_OK; OWM_E_PERM; OWM_E_NOTFOUND the folder is missing; OWM_E_IO (disk full, …).
 * `error` names path and cause.
 */
OWM_MUST_USE owm_status owm_fs_write_atomic(const char *path, const void *data, size_t bytes,
                                            mode_t mode, struct owm_error *error);

/** owm_fs_create_atomic: the same, but never replaces: OWM_E_EXISTS if `path` is there. */
OWM_MUST_USE owm_status owm_fs_create_atomic(const char *path, const void *data, size_t bytes,
                                             mode_t mode, struct owm_error *error);

/** owm_fs_sync_parent: make a rename or a new name in the folder of `path` durable.
 *  Returns: OWM_OK; OWM_E_PERM, OWM_E_NOTFOUND, OWM_E_NOMEM, OWM_E_IO. */
OWM_MUST_USE owm_status owm_fs_sync_parent(const char *path, struct owm_error *error);

/** owm_fs_sweep: remove the temporary files that writers of `path` left behind when they were
 * killed. For the only process that writes `path`, while it does not. What cannot be removed stays.
 */
void owm_fs_sweep(const char *path);

/** owm_fs_read: read a whole regular file.
 *
 *  data   *data malloc'ed, one zero byte behind the end (so a text file is a string); caller frees.
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_PERM; OWM_E_LIMIT more than bytes_max; OWM_E_NOMEM;
 *  OWM_E_IO also for what is no regular file.
 */
OWM_MUST_USE owm_status owm_fs_read(const char *path, size_t bytes_max, uint8_t **data,
                                    size_t *bytes, struct owm_error *error);

/** owm_fs_mkdirs: `mkdir -p`; missing folders get `mode` (exact for the last one), existing ones
 *  are left alone.
 *  Returns: OWM_OK; OWM_E_PERM; OWM_E_EXISTS a part of the path is no folder; OWM_E_IO. */
OWM_MUST_USE owm_status owm_fs_mkdirs(const char *path, mode_t mode, struct owm_error *error);

/** owm_fs_expand: replace a leading "~" or "~/" by $HOME (or the password database's home).
 *  path_out  malloc'ed; caller frees.
 *  Returns: OWM_OK; OWM_E_NOMEM; OWM_E_NOTFOUND no home; OWM_E_ARG the form "~user". */
OWM_MUST_USE owm_status owm_fs_expand(const char *path, char **path_out, struct owm_error *error);

/** owm_fs_parent: the folder part of `path`, malloc'ed; "." if there is none. NULL: out of memory.
 */
char *owm_fs_parent(const char *path);

#endif
