/* cached_file.h: a checkpoint in the cache, whose bytes this process has hashed. */
#ifndef OWM_NODE_CACHED_FILE_H
#define OWM_NODE_CACHED_FILE_H

#include "node/node.h"

/** node_cached_open: hash the file at its first use by this process, and whenever it is another
 *  file or was written since (device, inode, size, time of change).
 *
 *  fd       the caller's, on OWM_OK without a refusal.
 *  refusal  TAMPERED_FILE: other bytes; the file is removed.
 *  Returns: OWM_OK with fd or refusal; OWM_E_NOTFOUND not in the cache; OWM_E_CANCELLED,
 *  OWM_E_TIMEOUT the task's; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status node_cached_open(struct node_slot *slot,
                                         const struct checkpoint *checkpoint, int *fd,
                                         struct refusal *refusal, struct owm_error *error);

#endif
