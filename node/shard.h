/* shard.h: the operator's text as one read-only memory file, the only form in which a worker sees
 * it. It is handed to workers by descriptor and never to the network (promise 4). */
#ifndef OWM_NODE_SHARD_H
#define OWM_NODE_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SHARD_DEPTH_MAX 16

struct shard {
    int fd; /* sealed memfd; -1: none configured */
    uint64_t bytes;
    size_t files;
};

/** shard_open: read the files, and all regular files below the folders, in the order of their
 * names.
 *
 *  paths  comma-separated; "" and NULL give fd -1.   extra  one more folder or file; may be NULL.
 *  Returns: OWM_OK; OWM_E_CONFIG a path cannot be read, or there is no text in them; OWM_E_LIMIT
 *  more than OWM_TEXT_FILES_MAX files; OWM_E_IO; OWM_E_NOMEM. Text beyond bytes_max is left out.
 */
OWM_MUST_USE owm_status shard_open(const char *paths, const char *extra, uint64_t bytes_max,
                                   struct shard *shard, struct owm_error *error);
void shard_close(struct shard *shard);

#endif
