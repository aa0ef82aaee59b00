/* versions.h: the newest model version that was used, for training and for serving each, kept over
 * restarts, so that nobody takes this node back to an older one or shows it two versions of one
 * round.
 *
 * A use of an older version is a downgrade, but for the one used just before, for
 * VERSIONS_GRACE_MS: a task for it may have been on its way. The file belongs to one coordinator's
 * key, which its name begins with; it is replaced whole before a version is used.
 */
#ifndef OWM_NODE_VERSIONS_H
#define OWM_NODE_VERSIONS_H

#include "node/proof.h"

#define VERSIONS_GRACE_MS (10 * 60 * 1000)

typedef struct node_versions node_versions;

struct version_mark {
    uint32_t round;
    uint8_t sha256[32];
};

/** node_versions_open: read the marks in folder; none yet is fine.
 *
 *  key  of the coordinator.
 *  Returns: OWM_OK; OWM_E_PROTO, OWM_E_IO, OWM_E_PERM the file is damaged or cannot be read, with
 *  the fix; OWM_E_NOMEM. */
OWM_MUST_USE owm_status node_versions_open(const char *folder, const uint8_t key[static 32],
                                           node_versions **versions, struct owm_error *error);
void node_versions_close(node_versions *versions); /**< NULL is allowed. */

/** node_versions_judge: refusal (DOWNGRADE, FORK) written; nothing changes. now_ms: Unix.
 *  Thread: any. */
void node_versions_judge(node_versions *versions, enum model_use use,
                         const struct version_mark *mark, int64_t now_ms, struct refusal *refusal);

/** node_versions_use: the same, and where it is not refused the mark is on disk afterwards.
 *  Thread: any.
 *  Returns: OWM_OK with refusal; OWM_E_IO, OWM_E_PERM, OWM_E_NOMEM it could not be written. */
struct versions_use {
    enum model_use use;
    struct version_mark mark;
    int64_t now_ms;
};
OWM_MUST_USE owm_status node_versions_use(node_versions *versions, const struct versions_use *use,
                                          struct refusal *refusal, struct owm_error *error);

/** node_versions_newest: false: none was used. since_ms: Unix. Thread: any. */
bool node_versions_newest(node_versions *versions, enum model_use use, struct version_mark *mark,
                          int64_t *since_ms);

#endif
